"""*Will it fit?*, of notebook 01: the images alone."""

from ..budget import BINDER, batches_alive, predict
from ..checks import check_choice
from ..images import COLOR_MODES
from ..memory import MemoryLimit, megabytes, memory_limit, memory_with_files
from ..plots import Picture, stacked
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

    title = "Will it fit?"

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
        need = predict(None, batch_size=n, image_shape=(side, side, self.channels), base=self.base)
        here, binder = need.total < self.limit.bytes, need.total < BINDER.bytes
        verdict = {
            (True, True): "The images fit here, and on Binder",
            (True, False): "The images fit here, but not on Binder",
            (False, True): "The images do not fit here, though Binder would take it",
            (False, False): "The images do not fit here, nor on Binder",
        }[here, binder]
        sentence = (
            f"{n} images of {side} × {side}: {size(need.settings.batch_bytes)} a batch, "
            f"about {batches_alive(need.settings)} batches alive; with the {size(self.base)} this notebook "
            f"holds already, libraries included, {size(need.total)}. {verdict}. "
            "The model's own needs come on top. A thousand images in the folder or a million: the same."
        )
        picture = stacked(
            {"this notebook": self.base, "batches alive": need.growth},
            {f"limit here ({self.limit.source})": self.limit.bytes, "Binder": BINDER.bytes},
            alt=f"{self.title} {sentence}",
        )
        return sentence, picture
