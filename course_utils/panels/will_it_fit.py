"""*Will it fit?*, and the picture of it."""

from collections.abc import Mapping

from ..budget import BATCHES_ALIVE, BINDER_BYTES, images_in_fit
from ..checks import check_choice
from ..images import COLOR_MODES
from ..memory import MemoryLimit, megabytes, memory_limit, memory_with_files
from ..plots import BLUE, GREEN, GREY, RED, Picture, new_figure
from .panel import SIDES, Panel, dropdown


class WillItFit(Panel):
    """*Will it fit?*: what the images of a `fit` need at Keras' default settings, against the limit.

    Counted are this process as it stands and three batches of float32 images, which is what Keras
    keeps alive with `workers=1`. What the model needs for its own sums is not counted.

    Args:
        limit: the limit to draw; None asks `memory_limit()`.
        base: bytes that the process holds already, libraries included; None measures it.
        color_mode: "grayscale" or "rgb".
    """

    def __init__(
        self, limit: MemoryLimit | None = None, base: int | None = None, color_mode: str = "grayscale"
    ):
        self.limit = limit or memory_limit()
        self.base = memory_with_files() if base is None else base
        self.channels = 1 if check_choice("color_mode", color_mode, COLOR_MODES) == "grayscale" else 3
        self.batch_size = dropdown("Batch size", [1, 8, 32, 128, 512], 32)
        self.side = dropdown("Image height and width", SIDES, 256)
        super().__init__([[self.batch_size, self.side]])

    def draw(self) -> tuple[str, Picture]:
        n, side, size = self.batch_size.value, self.side.value, megabytes
        need = images_in_fit(n, (side, side, self.channels), base=self.base)
        here, binder = need.total < self.limit.bytes, need.total < BINDER_BYTES
        verdict = {
            (True, True): "The images fit here, and on Binder",
            (True, False): "The images fit here, but not on Binder",
            (False, True): "The images do not fit here, though Binder would take it",
            (False, False): "The images do not fit here, nor on Binder",
        }[here, binder]
        sentence = (
            f"{n} images of {side} × {side}: {size(need.batch)} a batch, "
            f"about {BATCHES_ALIVE} batches alive; with the {size(self.base)} this notebook holds already, "
            f"libraries included, {size(need.total)}. {verdict}. "
            "The model's own needs come on top. A thousand images in the folder or a million: the same."
        )
        picture = stacked(
            {"this notebook": self.base, "batches alive": need.alive},
            {f"limit here ({self.limit.source})": self.limit.bytes, "Binder": BINDER_BYTES},
            alt=f"Will it fit? {sentence}",
        )
        return sentence, picture


def stacked(parts: Mapping[str, float], limits: Mapping[str, float], *, alt: str) -> Picture:
    """One bar of stacked parts against one or two limits; a limit off the scale is named at the edge.

    Args:
        parts: what -> bytes, from left to right.
        limits: name -> bytes.
        alt: what it shows, in words.
    """
    figure, axes = new_figure(height=2.2)
    right = max(sum(parts.values()), min(limits.values())) * 1.15
    left = 0.0
    for (name, size), colour, hatch in zip(
        parts.items(), (GREY, BLUE, GREEN), ("", "//", ".."), strict=False
    ):
        axes.barh([0], [size / 1e6], left=left, color=colour, hatch=hatch, edgecolor="white", height=0.5,
                  label=f"{name}: {megabytes(size)}")  # fmt: skip
        left += size / 1e6
    for (name, limit), style in zip(limits.items(), ("-", "--"), strict=False):
        off = "" if limit <= right else " (off the scale)"
        axes.axvline(limit / 1e6, color=RED, linewidth=2.5, linestyle=style,
                     label=f"{name}: {megabytes(limit)}{off}")  # fmt: skip
    axes.set(xlim=(0, right / 1e6), ylim=(-0.4, 0.4), yticks=[], xlabel="MB")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return Picture(figure, alt)
