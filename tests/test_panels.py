"""Panels without a kernel: move a control, see another picture. Runs on ipywidgets 7.7.1 and 8."""

import base64
import io
import itertools
import json
import os
import re
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import ipywidgets
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from conftest import made_labels
from course_utils import FileSource, panels, plots, read_labels
from course_utils.budget import ModelCost, Rehearsal, TrainingFailed
from course_utils.memory import MemoryLimit, Outcome
from course_utils.order import cut
from course_utils.panels import multiply_the_shape, will_it_run
from course_utils.panels.same_picture_same_numbers import broken_order
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


COST = ModelCost((256, 256, 1), "float32", 290e6, 10e6, 3e6, 1e6, 4e3)


def build_model(image_shape):
    """Sent nowhere: the tests put another `rehearse` in the place of the real one."""


def make_sequence(settings):
    """Likewise."""


def in_processes():
    """Set so that every control shows: one worker thread has no queue."""
    panel = panels.WillItRun(COST, build_model, make_sequence, limit=SMALL)
    panel.kind.value = "processes"
    return panel


def waiting(model=None):
    """Over two sources of the same pictures, with a model that takes its time."""
    paths = pictures(n=24).paths
    sources = {name: FileSource(paths, (side, side), dtype="uint8") for name, side in (("a", 32), ("b", 64))}
    sleepy = SimpleNamespace(train_on_batch=lambda images, labels: time.sleep(0.002))
    return panels.WhoWaits(sources, np.arange(24), model or sleepy)


PANELS = {
    "run": in_processes,
    "waits": waiting,
    "true": lambda: panels.IsItStillTrue(pictures(), side=48),
    "true, lesions unknown": lambda: panels.IsItStillTrue(pictures(known=False), side=48),
    "same": met_among_others,
    "cut": panels.CutTheDeck,
    "fit": lambda: panels.WillItFit(limit=SMALL, base=5 * 10**8),
    "shape": lambda: panels.MultiplyTheShape(640, 28 * 10**6, limit=SMALL),
}


def move(control):
    """Sets a control to another of its values."""
    if isinstance(control, ipywidgets.Dropdown):
        control.index = (control.index + 1) % len(control.options)
    elif isinstance(control, ipywidgets.Checkbox):
        control.value = not control.value
    else:
        control.value += control.step * 8 if control.value < control.max else -control.step * 8


def test_every_panel_is_looked_at():
    assert {type(make()).__name__ for make in PANELS.values()} == set(panels.__all__)


@pytest.mark.parametrize("make", PANELS.values(), ids=PANELS)
def test_every_control_redraws_once_and_says_something_else(make):
    for name in make().controls:
        panel = make()
        control = panel.controls[name]
        before, calls, alt, views = pixels(panel), panel.calls, panel.shown.alt, []
        panel.view.observe(lambda change, views=views: views.append(change["new"]), names="value")
        move(control)
        assert panel.calls == calls + 1, name
        after = pixels(panel)
        assert panel.shown.alt != alt, name
        assert before.shape != after.shape or np.abs(before - after).max() > 50, name
        # Sentence and picture go out as one value: there is no moment at which they disagree.
        assert after.std() > 5 and len(views) == 1
        assert views[0].startswith("<p>") and views[0].endswith(f"{panel.shown.html}</div>")


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
    panel, saved = panels.CutTheDeck(), []
    panel.index.value = 3
    assert "batch 3 is images 96 to 99" in panel.shown.alt and panel.slider.value == 3
    calls, save = panel.calls, Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda *args, **kinds: (saved.append(args), save(*args, **kinds)))
        panel.batch_size.value = 96  # index 3 is gone, and the panel sets another: still one drawing
    assert panel.calls == calls + 1 and len(saved) == 1
    assert panel.index.value == 0 and panel.index.max == 1 == panel.slider.max
    assert "batch 0 is images 0 to 95" in panel.view.value
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


def test_will_it_run_says_what_fits_and_what_to_change():
    panel = panels.WillItRun(COST, build_model, make_sequence, limit=SMALL)
    alt = panel.shown.alt
    assert "8.4 MB a batch. About 522 MB at the peak, 625 MB at the most. Here: fits. On Binder: fits." in alt
    assert "dtype float32 → uint8, which saves 80 MB" in alt
    panel.batch_size.value = 128
    assert "Here: does not fit. On Binder: fits." in panel.shown.alt
    panel.side.value = 512
    assert "The model was weighed at 256; its part is scaled." in panel.shown.alt
    assert "On Binder: does not fit." in panel.shown.alt
    panel.workers.value, panel.dtype.value, panel.batch_size.value = 1, "uint8", 1
    assert "One worker thread: no queue." in panel.shown.alt and "saves" not in panel.shown.alt


def rehearsing(monkeypatch, result):
    """A panel whose rehearsal waits until it is let go; then it gives, or raises, the result."""
    panel, go, asked = panels.WillItRun(COST, build_model, make_sequence, limit=SMALL), threading.Event(), []

    def rehearse(function, sequence, *, allowance, stop):
        asked.append((sequence.args[0], allowance))
        while not go.wait(0.02) and not stop.is_set():
            pass
        if stop.is_set():
            raise TrainingFailed("the rehearsal: stopped on request")
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(will_it_run, "rehearse", rehearse)
    return panel, go, asked


def outcome(ended="finished"):
    return Outcome(ended, "by the limit", allowance=10**8, baseline=3 * 10**8, peak=48 * 10**7)


def test_a_rehearsal_adds_its_dot_to_the_setting_it_was_made_for(monkeypatch):
    parts = {"Python and Keras": 3 * 10**8, "batches": 18 * 10**7}
    panel, go, asked = rehearsing(monkeypatch, Rehearsal(outcome(), parts, True, 15))
    before, settings = panel.shown.png, panel.settings
    panel.rehearse.click()
    panel.rehearse.click()  # one at a time
    panel.batch_size.value = 64  # moved meanwhile: the answer is that of 32
    go.set()
    panel.join(20)
    assert asked == [(settings, None)]  # for it fits by far
    assert panel.status.value.endswith("></span>")
    assert "Rehearsed" not in panel.shown.alt
    panel.batch_size.value = 32
    assert "Rehearsed: 480 MB at the peak" in panel.shown.alt and panel.shown.png != before


def test_where_a_rehearsal_might_not_fit_it_gets_an_allowance(monkeypatch):
    panel, go, asked = rehearsing(monkeypatch, Rehearsal(outcome("limit"), {}, False, 0))
    monkeypatch.setattr(will_it_run, "memory_free", lambda: 10**8)
    go.set()
    panel.rehearse.click()
    panel.join(20)
    assert asked[0][1] == 10**8 and "Died of its allowance" in panel.view.value


def test_a_rehearsal_says_how_long_it_takes_and_can_be_stopped(monkeypatch):
    panel, _, _ = rehearsing(monkeypatch, None)
    panel.rehearse.click()
    deadline = time.monotonic() + 20
    while "Rehearsing in a process of its own: " not in panel.status.value:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    panel.stop.click()
    panel.join(20)
    assert "Stopped." in panel.status.value and panel.rehearsed == {}


@pytest.mark.parametrize(
    "result, said",
    [
        (TrainingFailed("the rehearsal: ended by ValueError\nmore"), "the rehearsal: ended by ValueError<"),
        (TypeError("f cannot be sent <b>"), "f cannot be sent &lt;b&gt;"),
        (Rehearsal(outcome("limit"), {}, False, 0), "Died of its allowance of 100 MB: by the limit."),
    ],
)
def test_a_rehearsal_that_fails_or_dies_says_so(monkeypatch, result, said):
    panel, go, _ = rehearsing(monkeypatch, result)
    go.set()
    panel.rehearse.click()
    panel.join(20)
    assert said in panel.status.value + panel.view.value


def test_is_it_still_true_says_what_the_learner_should_discover():
    panel = panels.IsItStillTrue(pictures(), side=48)

    def counts():
        return [
            int(n)
            for n in re.search(
                r"(\d+) stand within.* in (\d+)\.$", panel.view.value.split("</p>")[0]
            ).groups()
        ]

    n = int(re.search(r"of (\d+) pictures with a lesion", panel.shown.alt)[1])
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
    unknown = panels.IsItStillTrue(pictures(known=False), side=48)
    assert "of 64 pictures, " in unknown.shown.alt and "lesion" not in unknown.shown.alt


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
    assert panel.shown.alt.endswith(
        "Alone in its batch, it has no neighbours. "
        "The order of the greys is broken: grey 127 becomes 1.99, grey 128 becomes 0.00."
    )
    panel.normalizer.value, panel.strength.value = "x / 255", 1.0
    assert "0% of its pixels are black" in panel.shown.alt
    panel.fill.value = "constant"
    assert int(re.search(r"(\d+)% of its pixels", panel.shown.alt)[1]) >= 5


def test_a_broken_order_is_found_wherever_there_is_one():
    rng = np.random.default_rng(0)
    for height in (1, 2, 5, 30):
        image = rng.integers(0, 256, (height, 3, 1)).astype(np.uint8)
        becomes = rng.normal(size=256)
        drops = [
            becomes[dark] - becomes[bright] for dark in image.flat for bright in image.flat if dark < bright
        ]
        (dark, dark_to), (bright, bright_to) = broken_order(image, becomes[image]) or ((0, 0), (0, 0))
        assert dark_to - bright_to == max([*drops, 0])
        if dark_to > bright_to:
            assert dark < bright and dark in image and bright in image
            assert (dark_to, bright_to) == (becomes[dark], becomes[bright])
        assert broken_order(image, image / 255) is None and broken_order(image, image * 0.0) is None


def test_a_torn_picture_is_shown_torn():
    panel = panels.SamePictureSameNumbers(pictures(), side=48)
    height, width = pixels(panel).shape
    parts = {}
    for name in ("x / 255", "(x - 128) / 128, on uint8"):
        panel.normalizer.value = name
        # The middles of the two pictures, without titles and frames.
        rows = slice(height * 3 // 10, height * 7 // 10)
        parts[name] = [pixels(panel)[rows, width * at // 100 : width * (at + 16) // 100] for at in (4, 31)]
    alike, torn = (np.corrcoef(before.ravel(), after.ravel())[0, 1] for before, after in parts.values())
    assert alike > 0.9 and torn < 0.3, (alike, torn)


def test_the_axis_of_multiply_the_shape_shows_every_setting_and_stays(monkeypatch):
    drawn, picture = [], plots.bars({"disk": 1e6})

    def bars(sizes, **options):
        drawn.append((sizes, options))
        return picture

    monkeypatch.setattr(multiply_the_shape, "bars", bars)
    for images, on_disk, limit in ((640, 28 * 10**6, 10**9), (1, 900, 2 * 10**9), (5, 10**6, 10**13)):
        panel = panels.MultiplyTheShape(images, on_disk, limit=MemoryLimit(limit, "machine"))
        drawn.clear()
        for side, channels, dtype in itertools.product(range(6), range(2), range(3)):
            panel.side.index, panel.channels.index, panel.dtype.index = side, channels, dtype
        ((least, most),) = {options["log"] for _, options in drawn}
        assert least <= 1e6 and len(drawn) > 30
        assert all(options["limit"] == limit <= most for _, options in drawn)
        assert all(2 * least <= size <= most for sizes, _ in drawn for size in sizes.values())


def test_controls_go_on_in_the_next_line_of_a_narrow_page():
    for make in PANELS.values():
        rows = [child for child in make().box.children if isinstance(child, ipywidgets.HBox)]
        assert rows and all(row.layout.flex_flow == "row wrap" for row in rows)


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
    assert "Your guess, 50 MB: 50 times too high." in plots.bars({"disk": 1e6}, guess=50).alt
    grey = [np.zeros((4, 4, 1)), np.full((4, 4, 1), 255), np.zeros((4, 4, 1))]
    assert (
        "2 of 3 stand within 10° of upright. Your guess, 1: it is 2."
        in plots.turned(grey, [50, 3, 9], upright=10, guess=1).alt
    )
    shown = Image.open(io.BytesIO(plots.turned(grey, [50, 3, 9], upright=10).png)).convert("L")
    assert 0.1 < np.mean(np.asarray(shown) < 5) < 0.5  # the two black pictures
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
    assert "640 × 256 × 256 × 3 × 4 bytes" in panel.view.value
    modes = ("grayscale", "rgb")
    grey, colour = (panels.WillItFit(limit=SMALL, base=0, color_mode=mode) for mode in modes)
    assert "8.4 MB a batch" in grey.view.value and "25 MB a batch" in colour.view.value


@pytest.mark.parametrize(
    "guess, said",
    [
        (None, ""),
        (100, "Your guess, 100 MB: right."),
        (95, "Your guess, 95 MB: close."),
        (21, "Your guess, 21 MB: 4.8 times too low."),
        (2500, "Your guess, 2500 MB: 25 times too high."),
        (0, "Your guess, 0 MB: too low."),
        (-3, "Your guess, -3 MB: too low."),
    ],
)
def test_a_guess_is_answered_in_words(guess, said):
    assert plots.guess_in_words(guess, 100, " MB") == said
    picture = plots.bars({"disk": 3e6, "memory": 100e6}, guess=guess)
    assert picture.alt.endswith(said or "memory: 100 MB.")


def test_the_way_marks_one_part_and_an_arrow_says_where_a_pixel_is_read():
    ways = [plots.way(here) for here in ("folder", "Sequence", "queue", "model")]
    assert len({way.png for way in ways}) == 4 and ways[2].alt.endswith("Marked: queue.")
    with pytest.raises(ValueError, match="here must be one of"):
        plots.way("disk")
    old, new = np.zeros((2, 40, 40, 1))
    one, other = (plots.read_from(old, new, [((5, -3), end)]) for end in ((2, 1), (-9, 8)))
    assert "(5, -3) from (2, 1)" in one.alt and one.png != other.png


def test_a_guess_of_times_says_what_came_out():
    runs = {"Sequence": SimpleNamespace(growth=26e6, seconds=[0, 1], bytes=[0, 26e6], baseline=0)}
    said = plots.curves(runs, limit=60e6, guess=4, unit=20e6).alt
    assert said.endswith("Your guess, 4 times: 3.1 times too high. It is 1.3.")
    assert "close. It is 1.3." in plots.curves(runs, limit=60e6, guess=1, unit=20e6).alt
    assert (
        plots.curves(runs, limit=60e6, guess=1, unit=0).alt
        and "guess" not in plots.curves(runs, limit=60e6).alt
    )


def test_who_waits_says_who():
    """A model that takes 20 ms for each picture waits for nobody; one that takes nothing always waits."""
    slow = SimpleNamespace(train_on_batch=lambda images, labels: time.sleep(0.02 * len(images)))
    quick = SimpleNamespace(train_on_batch=lambda images, labels: None)
    assert "Data waits for training" in waiting(slow).shown.alt
    panel = waiting(quick)
    assert "Training waits for data" in panel.shown.alt
    panel.batch_size.value, panel.strength.value, panel.source.value = 4, 0.3, "b"
    assert panel.shown.alt.startswith("Who waits? From b, batches of 4, strength 0.3: ")


def test_who_waits_shows_what_the_sequence_serves():
    seen = []
    model = SimpleNamespace(train_on_batch=lambda images, labels: seen.append((images, labels)))
    panel = waiting(model)
    images, labels = seen[-1]
    source = panel.sources["a"]
    for image, label in zip(images, labels, strict=True):
        np.testing.assert_array_equal(image, source[int(label)])
    panel.strength.value = 0.5
    assert not np.array_equal(seen[-1][0][0], source[int(seen[-1][1][0])])


def test_who_waits_counts_the_images_that_are_there(monkeypatch):
    """24 pictures in a batch of up to 64: no more are read a second than threads that sleep can read."""
    panel = waiting()
    source = panel.sources["a"]

    class Slow:
        shape, dtype, name = source.shape, source.dtype, source.name

        def __len__(self):
            return len(source)

        def __getitem__(self, position):
            time.sleep(0.02)
            return source[position]

    monkeypatch.setitem(panel.sources, "b", Slow())
    panel.source.value, panel.batch_size.value = "b", 64
    [read] = re.findall(r"([0-9,]+) images a second are read", panel.shown.alt)
    assert 0 < int(read.replace(",", "")) <= 50 * min(os.cpu_count(), 8)
