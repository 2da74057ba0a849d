"""Every picture is seen by everyone: in words, by colour-blind eyes, in grey, on a projector.

What is drawn is looked at as Matplotlib holds it: parts that differ in colour, and texts with what lies under
them. The page around the pictures is axe's, in `tests/browser`.
"""

import functools
import inspect
import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from course_utils import plots
from course_utils.memory import Outcome
from course_utils.panels.cut_the_deck import BATCH_COLOURS
from course_utils.plots import Picture

from .test_panels import PANELS

GREY = [np.full((8, 8, 1), shade) for shade in (40.0, 128.0, 220.0)]
KILLED = Outcome("limit", "", peak=90_000_000, seconds=[0, 1, 2], bytes=[0, 5e7, 9e7])
CALM = Outcome("finished", "", peak=30_000_000, seconds=[0, 1, 2], bytes=[0, 2e7, 3e7])
PARTS = {"base": 9e7, "batches": 5e7, "making them": 2e7, "workers": 4e7, "model": 3e7}

# One drawing of each function of `plots`, with all that it can show, and every panel.
PICTURES = {
    "bars": lambda: plots.bars({"on disk": 1e6, "in memory": 9e6}, limit=5e6, guess=3),
    "times": lambda: plots.times({"read": 0.001, "decode": 0.02}, share="decode", guess=50),
    "tiles": lambda: plots.tiles([0.11, 0.22, 0.11, 0.33]),
    "stacked": lambda: plots.stacked(
        PARTS, {"here": 2e8, "Binder": 2e9}, alt="It fits.", guess=1, measured=1e8
    ),
    "curves": lambda: plots.curves(
        {"all at once": KILLED, "in batches": CALM, "again": CALM}, limit=1e8, guess=2
    ),
    "gallery": lambda: plots.gallery(GREY, ["a", "b", "c"], caption="drawn by a program"),
    "turned": lambda: plots.turned(GREY, [3, 50, 9], guess=1, caption="drawn by a program"),
    "way": lambda: plots.way("queue"),
    "read_from": lambda: plots.read_from(GREY[0], GREY[1], [((0, 1), (2, 3))]),
} | {f"panel: {name}": lambda make=make: make().shown for name, make in PANELS.items()}


@functools.cache
def drawn(name):
    """The picture of that name, and the figure that it was, as last saved."""
    saved, save = [], Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda *args, **kinds: (saved.append(args[0]), save(*args, **kinds)))
        return PICTURES[name](), saved[-1]


def test_every_function_that_draws_is_looked_at():
    functions = {
        name for name, it in inspect.getmembers(plots, inspect.isfunction)
        if it.__module__ == plots.__name__ and inspect.signature(it).return_annotation is Picture
    }  # fmt: skip
    assert functions == {name for name in PICTURES if not name.startswith("panel")}


@pytest.mark.parametrize("name", PICTURES)
def test_alt_text_says_what_is_written_in_the_picture(name):
    """The figures that stand at bars, in titles and legends: whoever hears the picture gets them too."""
    picture, figure = drawn(name)
    assert len(picture.alt) > 20
    assert f'<img alt="{picture.alt}"' in picture.html.replace("&#x27;", "'")
    written = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        written.append(axes.get_title("left"))
        if axes.containers and name != "tiles":  # bars; of tiles the alt text gives the count
            written += [text.get_text() for text in axes.texts]
    assert [text for text in written if text not in picture.alt] == []


# Linear RGB as each kind of colour-blind eye gets it (Machado, Oliveira, Fernandes 2009, severity 1.0), and
# as a printer without colour prints it.
EYES = {
    "all": np.eye(3),
    "protan": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "deutan": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "tritan": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
    "grey": [[0.2126, 0.7152, 0.0722]] * 3,
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def apart(one, other, eyes):
    """How far apart two colours are to these eyes: the distance in CIELAB, in which 1 can just be seen."""

    def lab(colour):
        x, y, z = TO_XYZ @ np.clip(np.array(EYES[eyes]) @ linear(colour), 0, 1) / [0.95047, 1, 1.08883]
        x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z))
        return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])

    return float(np.linalg.norm(lab(one) - lab(other)))


def told_apart(one, other):
    return min(apart(one, other, eyes) for eyes in EYES) >= 10


def parts(axes):
    """(colour, what else tells it) of every coloured part: filled ones by hatch, lines by their style."""
    for patch in (p for p in axes.get_children() if isinstance(p, Patch) and p is not axes.patch):
        colour = patch.get_facecolor() if patch.get_fill() else patch.get_edgecolor()
        yield colour, ("filled" if patch.get_fill() else patch.get_linestyle(), patch.get_hatch() or "")
    for line in axes.get_lines():
        yield line.get_color(), ("line", line.get_linestyle(), line.get_marker())


@pytest.mark.parametrize("name", PICTURES)
def test_no_part_is_told_by_its_colour_alone(name):
    """Two parts of one picture differ in hatch or style, or in colour to all eyes, and in grey."""
    for axes in drawn(name)[1].axes:
        looks = {(to_rgb(colour), style) for colour, style in parts(axes) if to_rgba(colour)[3] > 0}
        for (one, how), (other, how_too) in itertools.combinations(looks, 2):
            assert one == other or how != how_too or told_apart(one, other), (one, other, how)


def test_batches_that_touch_are_told_apart():
    """*Cut the deck* has one colour a batch and no hatch: neighbours differ to all eyes, and in grey."""
    for one, other in itertools.pairwise([*BATCH_COLOURS, BATCH_COLOURS[0]]):
        assert told_apart(one, other), (one, other)


def test_colours_that_look_the_same_are_found():
    assert not told_apart("#d55e00", "#8e8e8e") or not told_apart("#ff0000", "#7f7f7f")  # of one lightness
    assert apart("#d7191c", "#4d8c27", "deutan") < apart("#d7191c", "#4d8c27", "all") / 2
    assert told_apart("black", "white")


def contrast(one, other):
    """WCAG 2's ratio of two colours' luminances: 1 to 21."""
    low, high = sorted(float(linear(colour) @ EYES["grey"][0]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def under(text, figure, renderer):
    """The colours that lie under a text: of the parts that hold its middle, or the page's white."""
    box = text.get_window_extent(renderer)
    middle = (box.x0 + box.width / 2, box.y0 + box.height / 2)
    found = [(1.0, 1.0, 1.0)]
    for axes in (axes for axes in figure.axes if axes.bbox.contains(*middle)):
        for child in axes.get_children():
            if isinstance(child, Patch) and child is not axes.patch and child.get_fill():
                if child.contains_point(middle):
                    found.append(to_rgb(child.get_facecolor()))
            if isinstance(child, Collection):
                inside = axes.transData.inverted().transform(middle)
                for path, colour in zip(child.get_paths(), child.get_facecolors(), strict=False):
                    if path.contains_point(inside):
                        found.append(to_rgb(colour))
    return found[-1]


@pytest.mark.parametrize("name", PICTURES)
def test_texts_stand_out_and_are_large_enough(name):
    """4.5 to 1 against what is under them (WCAG 2, AA); 8 points at least, 12 pixels of the page."""
    _, figure = drawn(name)
    FigureCanvasAgg(figure).draw()  # puts the texts in their places
    renderer = figure.canvas.get_renderer()
    texts = [
        text for text in figure.findobj(lambda it: hasattr(it, "get_fontsize")) if text.get_text().strip()
    ]
    assert texts
    for text in (text for text in texts if text.get_visible()):
        box = text.get_bbox_patch()
        below = to_rgb(box.get_facecolor()) if box else under(text, figure, renderer)
        assert contrast(text.get_color(), below) >= 4.5, (text.get_text(), text.get_color(), below)
        assert text.get_fontsize() >= 8, text.get_text()
