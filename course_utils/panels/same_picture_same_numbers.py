"""*Same picture, same numbers?*, and the picture of it."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ..dataset import Dataset
from ..images import load_image
from ..plots import BLUE, RED, Picture, draw_image
from .panel import Panel, dropdown, number_and_slider


class SamePictureSameNumbers(Panel):
    """*Same picture, same numbers?*: one picture, met in two batches, normalised in three ways.

    Args:
        data: pictures. Of the first 64 the darkest is met twice, among other dark ones and among bright ones.
        side: height and width of the pictures.
        color_mode: "grayscale" or "rgb".
    """

    NORMALIZERS = {
        "x / 255": lambda batch: batch / np.float32(255),
        "x / batch max": lambda batch: batch / np.float32(batch.max()),
        "(x - 128) / 128, on uint8": lambda batch: (batch - np.uint8(128)) / np.float32(128),
    }

    def __init__(self, data: Dataset, side: int = 128, color_mode: str = "grayscale"):
        first = data.paths[:64]
        brightest = [load_image(path, (side, side), color_mode).max() for path in first]
        self.color_mode = color_mode
        self.paths, self.pixels = first[np.argsort(brightest, kind="stable")], side
        self.normalizer = dropdown("Normaliser", list(self.NORMALIZERS), "x / 255")
        self.batch_size = dropdown("Batch size", [1, 4, 32], 4)
        self.strength, self.slider, self._links = number_and_slider(
            "Augmentation strength", 0.0, 1.0, 0.0, 0.05
        )
        self.fill = dropdown("Beyond the edge", [("reflect", "reflect"), ("black", "constant")], "reflect")
        super().__init__([[self.normalizer, self.batch_size], [self.strength, self.slider, self.fill]])

    def draw(self) -> tuple[str, Picture]:
        from ..sequences import AugmentingImageSequence  # here: the other panels need no Keras

        size, n = min(self.batch_size.value, len(self.paths)), self.pixels
        batches = []
        for neighbours in (self.paths[1:size], self.paths[::-1][: size - 1]):
            paths = np.concatenate([self.paths[:1], neighbours])
            sequence = AugmentingImageSequence(
                paths, np.zeros(size), size, (n, n), strength=self.strength.value, horizontal_flip=False,
                vertical_flip=False, fill_mode=self.fill.value, dtype="uint8",
                color_mode=self.color_mode,
            )  # fmt: skip
            batches.append(sequence[0][0])
        normalise = self.NORMALIZERS[self.normalizer.value]
        here, there = (normalise(batch)[0] for batch in batches)
        verdict = (
            "Same picture, same numbers." if np.array_equal(here, there) else "Same picture, other numbers."
        )
        if size == 1:
            verdict = "Alone in its batch, it has no neighbours."
        black = np.mean(batches[0][0] == 0)
        lowest, highest = min(here.min(), there.min()), max(here.max(), there.max())
        sentence = (
            f"{self.normalizer.value}, batches of {size}, strength {self.strength.value:g}, "
            f"{self.fill.label} beyond the edge: the picture's mean is {here.mean():.3f} among dark pictures "
            f"and {there.mean():.3f} among bright ones, its numbers run from {lowest:.2f} to {highest:.2f}; "
            f"{black:.0%} of its pixels are black. {verdict}"
        )
        picture = histograms(
            batches[0][0],
            {"met among dark pictures": here, "met among bright ones": there},
            labels=("the same picture", self.normalizer.value),
            alt=f"Same picture, same numbers? {sentence}",
        )
        return sentence, picture


def histograms(
    image: np.ndarray, values: Mapping[str, np.ndarray], *, labels: tuple[str, str], alt: str
) -> Picture:
    """A picture, and beside it how often each number occurs in several versions of it, overlaid.

    Args:
        image: (height, width, 1 or 3), values 0 to 255.
        values: name -> the numbers of one version.
        labels: the title of the picture, and the name of the numbers' axis.
        alt: what it shows, in words.
    """
    figure = Figure(figsize=(7.5, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 2.2))
    draw_image(left, image)
    left.set_title(labels[0], fontsize=10)
    left.set_axis_off()
    low = min(float(v.min()) for v in values.values())
    high = max(float(v.max()) for v in values.values())
    bins = np.linspace(low, max(high, low + 1e-6), 65)
    for (name, v), colour, style in zip(values.items(), (BLUE, RED), ("-", "--"), strict=False):
        right.hist(v.ravel(), bins, histtype="step", color=colour, linestyle=style, linewidth=2, label=name)
    right.set(xlabel=labels[1], ylabel="pixels")
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, fontsize=9)
    return Picture(figure, alt)
