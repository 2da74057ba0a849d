"""*Is it still true?*, and the picture of it."""

from collections.abc import Sequence

import ipywidgets as widgets
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ..dataset import Dataset
from ..plots import ORANGE, SKY, Picture, draw_image
from .panel import Panel, dropdown, number_and_slider


class IsItStillTrue(Panel):
    """*Is it still true?*: the same four pictures at any strength, and what became of their labels.

    Counted over up to 64 pictures of one epoch: how many stand upright, and in how many the lesion lies on
    the side that it is labelled with. Where no lesion is known, a point far out to one side stands for it.

    Args:
        data: pictures, four of which are shown. Those with a lesion are taken where they are enough.
        side: height and width of the pictures shown.
        color_mode: "grayscale" or "rgb".
    """

    UPRIGHT = 10  # degrees

    title = "Is it still true?"

    def __init__(self, data: Dataset, side: int = 160, color_mode: str = "grayscale"):
        known = np.flatnonzero(np.isfinite(data.lesions).all(axis=1))
        self.known = len(known) >= 4
        chosen = (known if self.known else np.arange(len(data)))[:64]
        self.paths, self.labels, self.pixels = data.paths[chosen], data.labels[chosen], side
        self.color_mode = color_mode
        # In parts of the picture from its middle.
        self.points = data.lesions[chosen] - [0.5, 0.5, 0] if self.known else [(0.25, 0.0, 0.0)] * len(chosen)
        self.shown_positions = np.linspace(0, len(chosen) - 1, min(4, len(chosen))).astype(int)
        self.strength, self.slider, self._links = number_and_slider(
            "Augmentation strength", 0.0, 1.0, 1.0, 0.05
        )
        self.mirror = widgets.Checkbox(description="Mirror left and right", value=True, indent=False)
        self.upside_down = widgets.Checkbox(description="Turn upside down", value=True, indent=False)
        self.epoch = widgets.BoundedIntText(description="Epoch", min=0, max=99, value=0)
        self.batch_size = dropdown("Batch size", [1, 4, 16, 32], 4)
        super().__init__(
            [[self.strength, self.slider], [self.mirror, self.upside_down], [self.epoch, self.batch_size]]
        )

    def draw(self) -> tuple[str, Picture]:
        from ..sequences import AugmentingImageSequence  # here: the other panels need no Keras

        epoch, size, n = self.epoch.value, self.batch_size.value, self.pixels
        sequence = AugmentingImageSequence(
            self.paths,
            self.labels,
            size,
            (n, n),
            color_mode=self.color_mode,
            strength=self.strength.value,
            horizontal_flip=self.mirror.value,
            vertical_flip=self.upside_down.value,
        )
        sequence.epoch = epoch
        transforms = [sequence.augmentation.draw(0, epoch, at) for at in range(len(self.paths))]
        points = [t.moved(x, y) for t, (x, y, _) in zip(transforms, self.points, strict=True)]
        upright = sum(t.tilt <= self.UPRIGHT for t in transforms)
        true = sum(x * old[0] > 0 for (x, _), old in zip(points, self.points, strict=True))
        images, titles, heads, rings, words = [], [], [], [], []
        for at in self.shown_positions:
            index, place = divmod(int(at), size)
            images.append(sequence[index][0][place])
            titles.append(f"image {at}\nbatch {index}, place {place}")
            heads.append(transforms[at].moved(0, -1))
            grown = self.points[at][2] * n / (transforms[at].height_zoom * transforms[at].width_zoom) ** 0.5
            (x, y) = points[at]
            side = f", the lesion {'left' if x < 0 else 'right'} of the middle" if self.known else ""
            words.append(f"{titles[-1]}, tilted by {transforms[at].tilt:.0f}°{side}".replace("\n", ", "))
            rings.append(((x + 0.5) * n - 0.5, (y + 0.5) * n - 0.5, grown) if self.known else None)
        counted = f"of {len(transforms)} pictures" + (" with a lesion" if self.known else "")
        what = "the lesion lies where its side label says" if self.known else "left is still left"
        flips = [
            f"{flip} or not" if box.value else f"never {flip}"
            for flip, box in (("mirrored", self.mirror), ("upside down", self.upside_down))
        ]
        sentence = (
            f"Strength {self.strength.value:g}, {', '.join(flips)}, epoch {epoch}, batches of {size}: "
            f"{counted}, {upright} stand within {self.UPRIGHT}° of upright; {what} in {true}."
        )
        alt = f"{self.title} {sentence} Shown: {'; '.join(words)}."
        return sentence, marked(images, titles, heads, rings, alt=alt)


def marked(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    heads: Sequence[tuple[float, float]],
    points: Sequence[tuple[float, float, float] | None],
    *,
    alt: str,
) -> Picture:
    """Pictures in a row, each with an arrow towards the head and a ring around a lesion.

    Args:
        images: arrays (height, width, 1 or 3), values 0 to 255.
        titles: one a picture.
        heads: the direction of the head, (x, y) of about length 1, y downwards.
        points: x, y and radius of a ring in pixels, or None for none.
        alt: what they show, in words.
    """
    figure = Figure(figsize=(2.3 * len(images), 2.8), layout="constrained")
    for axes, image, title, (x, y), point in zip(
        np.atleast_1d(figure.subplots(1, len(images))), images, titles, heads, points, strict=True
    ):
        height, width = image.shape[:2]
        draw_image(axes, image)
        middle = np.array([width / 2, height / 2])
        axes.annotate("", middle + 0.42 * height * np.array([x, y]), middle,
                      arrowprops={"arrowstyle": "-|>", "color": ORANGE, "linewidth": 3})  # fmt: skip
        if point is not None:
            axes.add_patch(Circle(point[:2], 1.3 * point[2], fill=False, edgecolor=SKY, linewidth=2.5))
        axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    return Picture(figure, alt)
