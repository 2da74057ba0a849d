"""Panels: controls, a function from the other rooms, a picture. They work without a kernel too."""

import html
import os

import ipywidgets as widgets

from . import plots
from .memory import MemoryLimit, megabytes, memory_limit, memory_now
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
        self.controls = {
            c.description: c
            for row in rows
            for c in row
            if c.description and not isinstance(c, widgets.IntSlider)
        }
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


class CutTheDeck(Panel):
    """*Cut the deck*: n samples in batches; who is in which batch, and who is in none."""

    def __init__(self):
        self.images = _dropdown("Images", [5, 96, 100], 100)
        self.batch_size = _dropdown("Batch size", [1, 7, 32, 96, 100, 128], 32)
        self.rule = _dropdown("Number of batches", ["ceil", "floor", "floor + 1"], "ceil")
        self.index = widgets.BoundedIntText(
            description="Batch index", min=0, max=3, value=0, style={"description_width": "initial"}
        )
        # A slider has no accessible name (ipywidgets 7 and 8), so a named number box goes with it.
        self.slider = widgets.IntSlider(min=0, max=3, readout=False, continuous_update=False)
        self._links = [widgets.link((self.slider, a), (self.index, a)) for a in ("value", "max")]
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
        base: bytes that the process holds already; None measures it.
    """

    def __init__(self, limit: MemoryLimit | None = None, base: int | None = None):
        self.limit = limit or memory_limit()
        self.base = memory_now() if base is None else base
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
            f"with the {size(self.base)} this notebook holds already, {size(total)}. {verdict}, {binder}. "
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
