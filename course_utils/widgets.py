"""Panels: controls, a function from the other rooms, a picture. They work without a kernel too."""

import html
import os

import ipywidgets as widgets
import numpy as np

from . import plots
from .dataset import Dataset
from .images import load_image
from .memory import MemoryLimit, megabytes, memory_limit, memory_with_files
from .order import cut

# Binder ends a server that passes "2G" (mybinder.org-deploy, August 2026): we take the smaller reading.
BINDER_BYTES = 2 * 10**9
# At Keras' default settings (workers=1) two to three batches are alive at once, in use, waiting and in the
# making; tests/test_memory_claims.py measures it. We count the three. (Of batches below some 10 MB
# TensorFlow may prefetch more: 22 MB in all where one takes 2 MB.)
BATCHES_ALIVE = 3
SIDES = [64, 128, 256, 512, 1024, 2048]


class Panel:
    """Controls above a sentence and a picture. A plain class, not a Widget.

    Override `draw`. A subclass of Widget that also returns a picture shows nothing on ipywidgets 7.7.1
    (Colab); a plain class that returns text, PNG and its box's view works on 7 and 8, and a notebook
    opened without a kernel still shows the PNG.

    Attributes:
        box: the widget to show.
        controls: name -> control; set `.value` to drive the panel.
        shown: the `plots.Picture` on show.
        calls: how often the picture was drawn.
    """

    def __init__(self, rows: list[list[widgets.Widget]]):
        self.controls = {c.description: c for row in rows for c in row if c.description}
        self.sentence, self.picture, self.problem = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.box = widgets.VBox([*map(widgets.HBox, rows), self.sentence, self.picture, self.problem])
        self.calls, self.shown = 0, None
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        self._changed()

    def draw(self) -> tuple[str, plots.Picture]:
        """The sentence (plain text) and the picture for the controls as they stand."""
        raise NotImplementedError

    def _changed(self, _change=None) -> None:
        try:
            sentence, self.shown = self.draw()
            self.calls += 1
            self.sentence.value = f"<p>{html.escape(sentence)}</p>"
            self.picture.value = self.shown.html
            self.problem.value = ""
        except Exception as error:
            # An exception in a callback is shown nowhere in a notebook: say it here.
            self.problem.value = (
                f'<p role="alert"><b>{html.escape(f"{type(error).__name__}: {error}")}</b></p>'
            )
            if "PYTEST_CURRENT_TEST" in os.environ:
                raise

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        bundle = {"text/plain": type(self).__name__, "application/vnd.jupyter.widget-view+json": view}
        if self.shown:  # else the first drawing failed, and the box says why
            bundle |= {"text/plain": self.shown.alt, "image/png": self.shown.base64}
        return bundle


def _dropdown(description: str, options: list, value) -> widgets.Dropdown:
    # Wide enough for the longest description, which ipywidgets would cut.
    return widgets.Dropdown(
        description=description, options=options, value=value, style={"description_width": "initial"}
    )


def _number(description: str, least, most, value, step=1):
    """A number box and a slider that move together, and their links."""
    # A slider has no accessible name (ipywidgets 7 and 8), so a named number box goes with it.
    box, slider = (
        (widgets.BoundedIntText, widgets.IntSlider)
        if isinstance(step, int)
        else (widgets.BoundedFloatText, widgets.FloatSlider)
    )
    limits = {"min": least, "max": most, "step": step, "value": value}
    box = box(description=description, style={"description_width": "initial"}, **limits)
    slider = slider(readout=False, continuous_update=False, **limits)
    return box, slider, [widgets.link((slider, a), (box, a)) for a in ("value", "max")]


class CutTheDeck(Panel):
    """*Cut the deck*: n samples in batches; who is in which batch, and who is in none."""

    def __init__(self):
        self.images = _dropdown("Images", [5, 96, 100], 100)
        self.batch_size = _dropdown("Batch size", [1, 7, 32, 96, 100, 128], 32)
        self.rule = _dropdown("Number of batches", ["ceil", "floor", "floor + 1"], "ceil")
        self.index, self.slider, self._links = _number("Batch index", 0, 3, 0)
        super().__init__([[self.images, self.batch_size, self.rule], [self.index, self.slider]])

    def draw(self) -> tuple[str, plots.Picture]:
        n, size, rule = self.images.value, self.batch_size.value, self.rule.value
        batches = cut(n, size, rule)
        last_index = max(len(batches) - 1, 0)
        if self.index.value > last_index:
            self.index.value = 0  # calls draw again; this call goes on with the same result
        self.index.max = last_index
        chosen = self.index.value
        unseen = n - sum(map(len, batches))
        count = f"{len(batches)} batch" + ("es" if len(batches) != 1 else "")
        parts = [f"{n} images in {size}s, {rule}: {count}"]
        if not batches:
            parts.append("an epoch of nothing")
        elif not len(batches[-1]):
            parts.append("the last one is empty: fit stops with an error, or the model learns NaN")
        else:
            parts.append(f"the last holds {len(batches[-1])}")
        parts.append(f"{unseen} images never seen" if unseen else "every image seen once")
        if batches and len(batches[chosen]):
            members = batches[chosen]
            parts.append(f"batch {chosen} is images {members[0]} to {members[-1]}")
        sentence = "; ".join(parts) + "."
        return sentence, plots.deck(n, batches, chosen, alt=f"Cut the deck. {sentence}")


class WillItFit(Panel):
    """*Will it fit?*: what the images of a `fit` need at Keras' default settings, against the limit.

    Counted are this process as it stands and three batches of grey float32 images, which is what Keras
    keeps alive with `workers=1`. What the model needs for its own sums is not counted.

    Args:
        limit: the limit to draw; None asks `memory_limit()`.
        base: bytes that the process holds already, libraries included; None measures it.
    """

    def __init__(self, limit: MemoryLimit | None = None, base: int | None = None):
        self.limit = limit or memory_limit()
        self.base = memory_with_files() if base is None else base
        self.batch_size = _dropdown("Batch size", [1, 8, 32, 128, 512], 32)
        self.side = _dropdown("Image height and width", SIDES, 256)
        super().__init__([[self.batch_size, self.side]])

    def draw(self) -> tuple[str, plots.Picture]:
        n, side, size = self.batch_size.value, self.side.value, megabytes
        batch = n * side * side * 4
        total = self.base + BATCHES_ALIVE * batch
        verdict = "The images fit here" if total < self.limit.bytes else "The images do not fit here"
        binder = "and on Binder" if total < BINDER_BYTES else "but not on Binder"
        if total >= self.limit.bytes:
            binder = "nor on Binder" if total >= BINDER_BYTES else "though Binder would take it"
        sentence = (
            f"{n} images of {side} × {side}: {size(batch)} a batch, about {BATCHES_ALIVE} batches alive; "
            f"with the {size(self.base)} this notebook holds already, libraries included, {size(total)}. "
            f"{verdict}, {binder}. "
            "The model's own needs come on top. A thousand images in the folder or a million: the same."
        )
        picture = plots.stacked(
            {"this notebook": self.base, "batches alive": BATCHES_ALIVE * batch},
            {f"limit here ({self.limit.source})": self.limit.bytes, "Binder": BINDER_BYTES},
            alt=f"Will it fit? {sentence}",
        )
        return sentence, picture


class MultiplyTheShape(Panel):
    """Same files, other numbers: what a folder takes on disk, and in memory by size, channels and dtype.

    Args:
        images: number of images.
        on_disk: bytes of their files together.
        side: height and width to begin with; 256 unless it is one of those offered.
        limit: the limit to draw; None asks `memory_limit()`.
    """

    def __init__(self, images: int, on_disk: int, side: int = 256, limit: MemoryLimit | None = None):
        self.images, self.on_disk, self.limit = images, on_disk, limit or memory_limit()
        self.side = _dropdown("Image height and width", SIDES, side if side in SIDES else 256)
        self.channels = _dropdown("Channels", [("1, grey", 1), ("3, colour", 3)], 1)
        kinds = [("uint8, 1 byte", 1), ("float32, 4 bytes", 4), ("float64, 8 bytes", 8)]
        self.bytes_each = _dropdown("Numbers", kinds, 4)
        super().__init__([[self.side, self.channels, self.bytes_each]])

    def draw(self) -> tuple[str, plots.Picture]:
        side, size = self.side.value, megabytes
        memory = self.images * side * side * self.channels.value * self.bytes_each.value
        sentence = (
            f"{self.images} × {side} × {side} × {self.channels.value} × {self.bytes_each.value} bytes: "
            f"{size(self.on_disk)} on disk, {size(memory)} in memory. "
            f"The limit here is {size(self.limit.bytes)} ({self.limit.source})."
        )
        limit = self.limit.bytes if self.limit.bytes < 10 * memory else None  # else it would dwarf the bars
        return sentence, plots.bars({"on disk": self.on_disk, "in memory": memory}, limit=limit)


class IsItStillTrue(Panel):
    """*Is it still true?*: the same four pictures at any strength, and what became of their labels.

    Counted over up to 64 pictures of one epoch: how many stand upright, and in how many the lesion lies on
    the side that it is labelled with. Where no lesion is known, a point far out to one side stands for it.

    Args:
        data: at least four pictures. Those with a lesion are taken where they are enough.
        side: height and width of the pictures shown.
    """

    UPRIGHT = 10  # degrees

    def __init__(self, data: Dataset, side: int = 160):
        known = np.flatnonzero(np.isfinite(data.lesions).all(axis=1))
        self.known = len(known) >= 4
        chosen = (known if self.known else np.arange(len(data)))[:64]
        self.paths, self.labels, self.pixels = data.paths[chosen], data.labels[chosen], side
        # In parts of the picture from its middle.
        self.points = data.lesions[chosen] - [0.5, 0.5, 0] if self.known else [(0.25, 0.0, 0.0)] * len(chosen)
        self.shown_positions = np.linspace(0, len(chosen) - 1, 4).astype(int)
        self.strength, self.slider, self._links = _number("Augmentation strength", 0.0, 1.0, 1.0, 0.05)
        self.mirror = widgets.Checkbox(description="Mirror left and right", value=True, indent=False)
        self.upside_down = widgets.Checkbox(description="Turn upside down", value=True, indent=False)
        self.epoch = widgets.BoundedIntText(description="Epoch", min=0, max=99, value=0)
        self.batch_size = _dropdown("Batch size", [1, 4, 16, 32], 4)
        super().__init__(
            [[self.strength, self.slider], [self.mirror, self.upside_down], [self.epoch, self.batch_size]]
        )

    def draw(self) -> tuple[str, plots.Picture]:
        from .sequences import AugmentingImageSequence  # here: the other panels need no Keras

        epoch, size, n = self.epoch.value, self.batch_size.value, self.pixels
        sequence = AugmentingImageSequence(
            self.paths,
            self.labels,
            size,
            (n, n),
            strength=self.strength.value,
            horizontal_flip=self.mirror.value,
            vertical_flip=self.upside_down.value,
        )
        sequence.epoch = epoch
        transforms = [sequence.augmentation.draw(0, epoch, at) for at in range(len(self.paths))]
        points = [t.moved(x, y) for t, (x, y, _) in zip(transforms, self.points, strict=True)]
        upright = sum(t.tilt <= self.UPRIGHT for t in transforms)
        true = sum(x * old[0] > 0 for (x, _), old in zip(points, self.points, strict=True))
        images, titles, heads, rings = [], [], [], []
        for at in self.shown_positions:
            index, place = divmod(int(at), size)
            images.append(sequence[index][0][place])
            titles.append(f"image {at}\nbatch {index}, place {place}")
            heads.append(transforms[at].moved(0, -1))
            grown = self.points[at][2] * n / (transforms[at].height_zoom * transforms[at].width_zoom) ** 0.5
            (x, y) = points[at]
            rings.append(((x + 0.5) * n - 0.5, (y + 0.5) * n - 0.5, grown) if self.known else None)
        what = "the lesion lies where its side label says" if self.known else "left is still left"
        flips = [
            f"{flip} or not" if box.value else f"never {flip}"
            for flip, box in (("mirrored", self.mirror), ("upside down", self.upside_down))
        ]
        sentence = (
            f"Strength {self.strength.value:g}, {', '.join(flips)}, epoch {epoch}, batches of {size}: "
            f"within {self.UPRIGHT}° of upright {upright} of {len(transforms)}; "
            f"{what} in {true} of {len(transforms)}."
        )
        return sentence, plots.marked(images, titles, heads, rings, alt=f"Is it still true? {sentence}")


class SamePictureSameNumbers(Panel):
    """*Same picture, same numbers?*: one picture, met in two batches, normalised in three ways.

    Args:
        data: pictures. Of the first 64 the darkest is met twice, among other dark ones and among bright ones.
        side: height and width of the pictures.
    """

    NORMALISERS = {
        "x / 255": lambda batch: batch / np.float32(255),
        "x / batch max": lambda batch: batch / np.float32(batch.max()),
        "(x - 128) / 128, on uint8": lambda batch: (batch - np.uint8(128)) / np.float32(128),
    }

    def __init__(self, data: Dataset, side: int = 128):
        first = data.paths[:64]
        brightest = [load_image(path, (side, side)).max() for path in first]
        self.paths, self.pixels = first[np.argsort(brightest, kind="stable")], side
        self.normaliser = _dropdown("Normaliser", list(self.NORMALISERS), "x / 255")
        self.batch_size = _dropdown("Batch size", [1, 4, 32], 4)
        self.strength, self.slider, self._links = _number("Augmentation strength", 0.0, 1.0, 0.0, 0.05)
        self.fill = _dropdown("Beyond the edge", [("reflect", "reflect"), ("black", "constant")], "reflect")
        super().__init__([[self.normaliser, self.batch_size], [self.strength, self.slider, self.fill]])

    def draw(self) -> tuple[str, plots.Picture]:
        from .sequences import AugmentingImageSequence  # here: the other panels need no Keras

        size, n = min(self.batch_size.value, len(self.paths)), self.pixels
        batches = []
        for neighbours in (self.paths[1:size], self.paths[::-1][: size - 1]):
            paths = np.concatenate([self.paths[:1], neighbours])
            sequence = AugmentingImageSequence(
                paths, np.zeros(size), size, (n, n), strength=self.strength.value, horizontal_flip=False,
                vertical_flip=False, fill_mode=self.fill.value, dtype="uint8",
            )  # fmt: skip
            batches.append(sequence[0][0])
        normalise = self.NORMALISERS[self.normaliser.value]
        here, there = (normalise(batch)[0] for batch in batches)
        verdict = (
            "Same picture, same numbers." if np.array_equal(here, there) else "Same picture, other numbers."
        )
        if size == 1:
            verdict = "Alone in its batch, it has no neighbours."
        black = np.mean(batches[0][0] == 0)
        lowest, highest = min(here.min(), there.min()), max(here.max(), there.max())
        sentence = (
            f"{self.normaliser.value}, batches of {size}, strength {self.strength.value:g}, "
            f"{self.fill.label} beyond the edge: the picture's mean is {here.mean():.3f} among dark pictures "
            f"and {there.mean():.3f} among bright ones, its numbers run from {lowest:.2f} to {highest:.2f}; "
            f"{black:.0%} of its pixels are black. {verdict}"
        )
        picture = plots.histograms(
            batches[0][0],
            {"met among dark pictures": here, "met among bright ones": there},
            labels=("the same picture", self.normaliser.value),
            alt=f"Same picture, same numbers? {sentence}",
        )
        return sentence, picture
