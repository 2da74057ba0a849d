"""Panels without a kernel: move a control, see another picture. Runs on ipywidgets 7.7.1 and 8."""

import base64
import io
import json
import re
from dataclasses import replace

import ipywidgets
import numpy as np
import pytest
from PIL import Image

from conftest import made_labels
from course_utils import panels, plots, read_labels
from course_utils.memory import MemoryLimit
from course_utils.order import cut
from data_scripts.index_folder import index

from .conftest import write_flowers

SMALL = MemoryLimit(10**9, "machine")


def pixels(panel):
    return np.asarray(Image.open(io.BytesIO(panel.shown.png)).convert("L"), int)


def pictures(known=True, n=70):
    """The made pictures, with or without the place of their lesions."""
    data = read_labels(made_labels()).split("train").head(n)
    return data if known else replace(data, lesions=np.full_like(data.lesions, np.nan))


def met_among_others():
    """Set so that every control shows: divided by 255 and unturned, neighbours and edges change nothing."""
    panel = panels.SamePictureSameNumbers(pictures(), side=48)
    panel.normalizer.value, panel.strength.value = "x / batch max", 0.5
    return panel


PANELS = {
    "true": lambda: panels.IsItStillTrue(pictures(), side=48),
    "true, lesions unknown": lambda: panels.IsItStillTrue(pictures(known=False), side=48),
    "same": met_among_others,
    "cut": panels.CutTheDeck,
    "fit": lambda: panels.WillItFit(limit=SMALL, base=5 * 10**8),
    "shape": lambda: panels.MultiplyTheShape(640, 28 * 10**6, limit=SMALL),
}


@pytest.mark.parametrize("make", PANELS.values(), ids=PANELS)
def test_every_control_redraws_once_and_says_something_else(make):
    for name in make().controls:
        panel = make()
        control = panel.controls[name]
        before, calls, alt = pixels(panel), panel.calls, panel.shown.alt
        if isinstance(control, ipywidgets.Dropdown):
            control.index = (control.index + 1) % len(control.options)
        elif isinstance(control, ipywidgets.Checkbox):
            control.value = not control.value
        else:
            control.value += control.step * 8 if control.value < control.max else -control.step * 8
        assert panel.calls == calls + 1, name
        after = pixels(panel)
        assert panel.shown.alt != alt, name
        assert before.shape != after.shape or np.abs(before - after).max() > 50, name
        assert after.std() > 5 and panel.shown.base64 in panel.picture.value


@pytest.mark.parametrize("make", PANELS.values(), ids=PANELS)
def test_a_panel_shows_as_text_as_picture_and_as_widget(make):
    panel = make()
    bundle = panel._repr_mimebundle_()
    json.dumps(bundle)
    assert bundle["text/plain"] == panel.shown.alt and len(panel.shown.alt) > 40
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.box.model_id
    assert all(name and control.description == name for name, control in panel.controls.items())


def test_cut_the_deck_says_what_the_learner_should_discover():
    panel = panels.CutTheDeck()

    def says(images, batch_size, rule):
        panel.images.value, panel.batch_size.value, panel.rule.value = images, batch_size, rule
        return panel.shown.alt

    assert "4 batches; the last holds 4; every image seen once; batch 0 is images 0 to 31." in panel.shown.alt
    assert "3 batches; the last holds 32; 4 images never seen" in says(100, 32, "floor")
    assert "0 batches; an epoch of nothing; 100 images never seen" in says(100, 128, "floor")
    assert "2 batches; the last one is empty" in says(96, 96, "floor + 1")
    assert "1 batch; the last holds 5; every image seen once" in says(5, 7, "ceil")


def test_the_batch_index_stays_inside_the_epoch():
    panel = panels.CutTheDeck()
    panel.index.value = 3
    assert "batch 3 is images 96 to 99" in panel.shown.alt and panel.slider.value == 3
    panel.batch_size.value = 96
    assert panel.index.value == 0 and panel.index.max == 1 == panel.slider.max
    panel.slider.value = 1
    assert "batch 1 is images 96 to 99" in panel.shown.alt


@pytest.mark.parametrize("n", [1, 5, 96, 100])
@pytest.mark.parametrize("size", [1, 7, 32, 96, 100, 128])
def test_the_rules_are_what_they_are_called(n, size):
    right = cut(n, size)
    assert [p for batch in right for p in batch] == list(range(n)) and all(map(len, right))
    assert len(cut(n, size, "floor")) == n // size and len(cut(n, size, "floor + 1")) == n // size + 1
    with pytest.raises(ValueError, match="rule must be one of"):
        cut(n, size, "round")
    with pytest.raises(ValueError, match="batch_size must be a whole number"):
        cut(n, 0)


def test_will_it_fit_counts_three_batches_and_knows_the_limit():
    panel = panels.WillItFit(limit=SMALL, base=5 * 10**8)
    assert "8.4 MB a batch" in panel.shown.alt and "The images fit here, and on Binder" in panel.shown.alt
    panel.batch_size.value, panel.side.value = 128, 512  # 3 x 134 MB
    assert "903 MB. The images fit here" in panel.shown.alt
    panel.side.value = 1024
    assert "The images do not fit here" in panel.shown.alt


def test_is_it_still_true_says_what_the_learner_should_discover():
    panel = panels.IsItStillTrue(pictures(), side=48)

    def counts():
        return [int(n) for n in re.findall(r"(\d+) of \d+", panel.shown.alt)]

    n = int(panel.shown.alt.rsplit(" of ", 1)[1].rstrip("."))
    assert n > 20 and counts()[0] < n / 4 and n / 4 < counts()[1] < 0.8 * n
    panel.mirror.value = False
    assert counts()[1] > 0.8 * n  # tilt alone rarely carries a lesion to the other half
    tilted = counts()[0]
    panel.upside_down.value = False
    assert tilted < counts()[0] < n
    panel.strength.value = 0.1
    assert counts() == [n, n]
    panel.mirror.value = True
    assert counts()[0] == n and counts()[1] < 0.8 * n  # upright, and false


def test_the_epoch_changes_the_pictures_and_the_batch_size_only_their_place():
    panel = panels.IsItStillTrue(pictures(), side=48)

    def drawn():  # below the titles, which say the batch
        return pixels(panel)[60:]

    first = drawn()
    assert panel.slider.value == 1.0 and panel.strength.max == 1.0
    panel.batch_size.value = 32
    np.testing.assert_array_equal(drawn(), first)
    panel.epoch.value = 1
    assert np.abs(drawn() - first).max() > 100
    panel.epoch.value = 0
    panel.slider.value = 0.5
    assert panel.strength.value == 0.5 and "Strength 0.5" in panel.shown.alt


def test_same_picture_same_numbers_says_what_the_learner_should_discover():
    panel = panels.SamePictureSameNumbers(pictures(), side=48)
    assert panel.shown.alt.endswith("Same picture, same numbers.")
    panel.normalizer.value = "x / batch max"
    assert panel.shown.alt.endswith("Same picture, other numbers.")
    panel.batch_size.value = 1
    assert panel.shown.alt.endswith("Alone in its batch, it has no neighbours.")
    panel.normalizer.value = "(x - 128) / 128, on uint8"
    assert "run from 0.00 to 1.99" in panel.shown.alt  # torn: below 128 it wraps
    panel.normalizer.value, panel.strength.value = "x / 255", 1.0
    assert "0% of its pixels are black" in panel.shown.alt
    panel.fill.value = "constant"
    assert int(re.search(r"(\d+)% of its pixels", panel.shown.alt)[1]) >= 5


def test_an_error_is_shown_in_the_panel_and_raised_under_tests(monkeypatch):
    panel = panels.CutTheDeck()
    monkeypatch.setattr(panel, "draw", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        panel.batch_size.value = 7
    assert "ZeroDivisionError: division by zero" in panel.problem.value
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    panel.batch_size.value = 1  # a learner's kernel goes on
    monkeypatch.undo()
    panel.batch_size.value = 96
    assert panel.problem.value == ""


def test_a_panel_whose_first_drawing_fails_is_still_shown(monkeypatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    monkeypatch.setattr(panels.CutTheDeck, "draw", lambda self: 1 / 0)
    panel = panels.CutTheDeck()
    assert "application/vnd.jupyter.widget-view+json" in panel._repr_mimebundle_()
    assert "ZeroDivisionError" in panel.problem.value


def test_a_guess_that_is_no_number_is_named():
    assert "your guess: 50 MB" in plots.bars({"disk": 1e6}, guess=50, unit=1e6).alt
    grey = [np.zeros((4, 4, 1))] * 3
    assert (
        "2 of 3 stand within 10° of upright; your guess: 1"
        in plots.turned(grey, [50, 3, 9], upright=10, guess=1).alt
    )
    with pytest.raises(ValueError, match="my_guess must be 0 to 3"):
        plots.turned(grey, [50, 3, 9], upright=10, guess=17)
    for guess in ("200", float("inf")):
        with pytest.raises(TypeError, match="my_guess must be a plain number"):
            plots.bars({"disk": 1e6}, guess=guess)


def test_pictures_escape_their_words_and_leave_nothing_open():
    figure, _ = plots.new_figure()
    picture = plots.Picture(figure, 'a <script> "x" & y')
    assert "<script>" not in picture.html and "&lt;script&gt; &quot;x&quot; &amp; y" in picture.html
    import matplotlib.pyplot

    assert matplotlib.pyplot.get_fignums() == []


@pytest.mark.parametrize("kind", ["IsItStillTrue", "SamePictureSameNumbers"])
@pytest.mark.parametrize("color_mode", ["rgb", "grayscale"])
def test_pictures_in_colour_are_shown_in_colour(tmp_path, kind, color_mode):
    data = read_labels(index(write_flowers(tmp_path)).labels_csv)
    for some in (data, data.head(1)):
        panel = getattr(panels, kind)(some, side=48, color_mode=color_mode)
        shown = Image.open(io.BytesIO(panel.shown.png)).convert("RGB")
        leaves = sum(count for count, (r, g, b) in shown.getcolors(10**6) if g - max(r, b) in range(40, 90))
        assert (leaves > 200) == (color_mode == "rgb"), leaves  # no line or arrow of ours has that green


def test_channels_of_the_folder_are_where_a_panel_begins():
    panel = panels.MultiplyTheShape(640, 28 * 10**6, limit=SMALL, channels=3)
    assert "640 × 256 × 256 × 3 × 4 bytes" in panel.sentence.value
    modes = ("grayscale", "rgb")
    grey, colour = (panels.WillItFit(limit=SMALL, base=0, color_mode=mode) for mode in modes)
    assert "8.4 MB a batch" in grey.sentence.value and "25 MB a batch" in colour.sentence.value
