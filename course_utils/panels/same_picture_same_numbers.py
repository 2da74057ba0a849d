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

    title = "Same picture, same numbers?"

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
        image, (here, there) = batches[0][0], (normalise(batch)[0] for batch in batches)
        verdict = (
            "Same picture, same numbers." if np.array_equal(here, there) else "Same picture, other numbers."
        )
        if size == 1:
            verdict = "Alone in its batch, it has no neighbours."
        swap = broken_order(image, here)
        if swap:
            what = "grey" if self.color_mode == "grayscale" else "value"
            (dark, dark_to), (bright, bright_to) = swap
            verdict += (
                f" The order of the {what}s is broken: {what} {dark} becomes {dark_to:.2f}, "
                f"{what} {bright} becomes {bright_to:.2f}."
            )
        black = np.mean(image == 0)
        lowest, highest = min(here.min(), there.min()), max(here.max(), there.max())
        sentence = (
            f"{self.normalizer.value}, batches of {size}, strength {self.strength.value:g}, "
            f"{self.fill.label} beyond the edge: the picture's mean is {here.mean():.3f} among dark pictures "
            f"and {there.mean():.3f} among bright ones, its numbers run from {lowest:.2f} to {highest:.2f}; "
            f"{black:.0%} of its pixels are black. {verdict}"
        )
        picture = histograms(
            image,
            {"met among dark pictures": here, "met among bright ones": there},
            name=self.normalizer.value,
            alt=f"{self.title} {sentence}",
        )
        return sentence, picture


def broken_order(
    image: np.ndarray, numbers: np.ndarray
) -> tuple[tuple[int, float], tuple[int, float]] | None:
    """Two greys of an image of which the darker one became the higher number, each with what it became.

    Args:
        image: uint8.
        numbers: the same image, normalised grey by grey.

    Returns:
        (darker grey, its number), (brighter grey, its number), those furthest apart; None if all greys kept
        their order.

    Example:
        >>> image = np.array([100, 127, 128], np.uint8)
        >>> broken_order(image, (image - np.uint8(128)) / np.float32(128))
        ((127, 1.9921875), (128, 0.0))
    """
    greys, first = np.unique(image, return_index=True)
    becomes = numbers.ravel()[first]
    bright = int(np.argmax(np.maximum.accumulate(becomes) - becomes))  # how far below a darker one
    dark = int(np.argmax(becomes[: bright + 1]))
    if dark == bright:
        return None
    (a, b), (c, d) = ((int(greys[i]), float(becomes[i])) for i in (dark, bright))
    return (a, b), (c, d)


def histograms(image: np.ndarray, values: Mapping[str, np.ndarray], *, name: str, alt: str) -> Picture:
    """A picture, the same one as its numbers show it, and how often each number occurs in several versions.

    Args:
        image: (height, width, 1 or 3), values 0 to 255.
        values: how the picture was met -> its numbers then. The first is shown: 0 is black and 1 white, or,
            where it has numbers beyond, its least and its greatest.
        name: of what made the numbers.
        alt: what it shows, in words.
    """
    figure = Figure(figsize=(9, 2.8), layout="constrained")
    before, after, right = figure.subplots(1, 3, width_ratios=(1, 1, 1.5))
    numbers = next(iter(values.values()))
    low, high = float(numbers.min()), float(numbers.max())
    if 0 <= low and high <= 1:  # as it should be: then dark stays dark
        low, high = 0.0, 1.0
    draw_image(before, image)
    draw_image(after, (numbers - low) / max(high - low, 1e-6) * 255)
    before.set_title("the picture\nblack is 0, white is 255", fontsize=10)
    after.set_title(f"{name}\nblack is {low:.2f}, white is {high:.2f}", fontsize=10)
    for axes in (before, after):
        axes.set_axis_off()
    low = min(float(v.min()) for v in values.values())
    high = max(float(v.max()) for v in values.values())
    bins = np.linspace(low, max(high, low + 1e-6), 65)
    for (met, v), colour, style in zip(values.items(), (BLUE, RED), ("-", "--"), strict=False):
        right.hist(v.ravel(), bins, histtype="step", color=colour, linestyle=style, linewidth=2, label=met)
    right.set(xlabel=name, ylabel="pixels")
    right.spines[["top", "right"]].set_visible(False)
    right.legend(frameon=False, fontsize=9)
    return Picture(figure, alt)
