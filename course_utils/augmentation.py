"""Flips, rotation and zoom: drawn anew for every image and epoch, applied in one interpolation.

The parameters mean what they mean to Keras' `RandomFlip`, `RandomRotation` and `RandomZoom` (keras.io,
image augmentation layers), and with the same parameters the pixels are the same within one grey level. Keras
calls three layers one after the other; here their three matrices are multiplied and the image is read once.

That holds with OpenCV 5. OpenCV 4 (Colab's) rounds the place that it reads to a 32nd of a pixel: the same
picture to the eye, and up to five grey levels off on pure grain.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np

from .checks import check_between, check_choice, check_flag, check_whole
from .scratch import scratch

# An image is warped on a thread of its own already, and threads of OpenCV's own would not survive the fork
# that Keras makes for worker processes.
cv2.setNumThreads(1)

FILL_MODES = ("reflect", "constant")
WARPED = ("uint8", "float32")


class Augmenter(Protocol):
    """What `augmentation=` takes: an object that draws what happens to an image, and does it.

    It may be called from several threads at once, so nothing that it draws may be kept in it. For masks it
    needs a third method, `apply_to_mask(mask, draw)`, like `apply`.

    Example, with pipelines of Albumentations (not installed with this package), a new one for each image;
    its floats go from 0 to 1, so it is given uint8:
        >>> class Albumented:
        ...     def __init__(self, build):
        ...         self.build = build
        ...     def draw(self, seed, epoch, position):
        ...         return int(np.random.SeedSequence((seed, epoch, position)).generate_state(1)[0])
        ...     def apply(self, image, draw):
        ...         return self.build(draw)(image=image)["image"]
        >>> def build(seed):
        ...     return A.Compose([A.RandomGamma(), A.GaussNoise()], seed=seed)
        >>> options = {"augmentation": Albumented(build), "dtype": "uint8"}
        >>> sequence = AugmentingImageSequence(paths, labels, 32, (64, 64), **options)
    """

    def draw(self, seed: int, epoch: int, position: int) -> Any:
        """What happens to the image at a position of the full list: the same for the same three numbers."""

    def apply(self, image: np.ndarray, draw: Any) -> np.ndarray:
        """A new array of the image's shape and dtype: the image, changed as drawn."""


def check_augmenter(value, with_masks: bool = False) -> None:
    """TypeError unless `value` has an `Augmenter`'s methods, and for masks `apply_to_mask`."""
    if isinstance(value, type):
        raise TypeError(f"augmentation must be an object, got the class {value.__name__}: call it")
    for method in ("draw", "apply", "apply_to_mask") if with_masks else ("draw", "apply"):
        if not callable(getattr(value, method, None)):
            raise TypeError(
                f"augmentation must have a method {method} (see course_utils.augmentation.Augmenter), and "
                f"{type(value).__name__} has none"
            )


def check_warped(name: str, dtype) -> None:
    """ValueError unless images of that dtype can be flipped, turned and zoomed here."""
    if np.dtype(dtype) not in WARPED:
        raise ValueError(
            f"{name} is {dtype}: flips, rotation and zoom are made for {' and '.join(WARPED)}. Convert it in "
            "the source, give an augmentation of your own, or augment=False"
        )


@dataclass(frozen=True)
class Transform:
    """What is done to one image: flips, then a rotation, then a zoom. The default does nothing.

    Attributes:
        horizontal_flip: whether left and right change places.
        vertical_flip: whether top and bottom change places.
        angle: rotation about the middle, in radians, counter-clockwise.
        height_zoom, width_zoom: above 1 the picture shrinks, below 1 it grows (Keras' direction).

    Raises:
        ValueError: the angle is not finite, or a zoom is not a finite number above 0.

    Example:
        >>> Transform(angle=math.pi / 2).tilt
        90.0
    """

    horizontal_flip: bool = False
    vertical_flip: bool = False
    angle: float = 0.0
    height_zoom: float = 1.0
    width_zoom: float = 1.0

    def __post_init__(self):
        zooms = (self.height_zoom, self.width_zoom)
        if not (math.isfinite(self.angle) and 0 < min(zooms) and max(zooms) < math.inf):
            raise ValueError(f"expected a finite angle and finite zooms above 0, got {self}")

    def linear(self) -> tuple[float, float, float, float]:
        """a, b, c, d: the pixel (x, y) of the new image, counted from its middle, is read in the old one at
        (a x + b y, c x + d y)."""
        # Three matrices multiplied, flips @ rotation @ zooms: from new to old we meet the last step first.
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        across = -1.0 if self.horizontal_flip else 1.0
        down = -1.0 if self.vertical_flip else 1.0
        return (
            across * cos * self.width_zoom,
            across * -sin * self.height_zoom,
            down * sin * self.width_zoom,
            down * cos * self.height_zoom,
        )

    def moved(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the old image lies in the new one; (0, 0) is the middle, y points down."""
        a, b, c, d = self.linear()
        area = a * d - b * c
        return (d * x - b * y) / area, (a * y - c * x) / area

    @property
    def tilt(self) -> float:
        """How far the upward direction has turned from upright, in degrees, 0 to 180."""
        return tilt_of(self.linear())


def tilt_of(matrix: Sequence) -> float:
    """How far a warp turns the upward direction from upright, in degrees, 0 to 180.

    Args:
        matrix: ((a, b), (c, d)), or the four in a row, as `Transform.linear` gives them.

    Example:
        >>> tilt_of([[1, 0], [0, -1]])  # upside down
        180.0
    """
    a, b, c, d = np.ravel(matrix)
    area = a * d - b * c
    return math.degrees(math.atan2(abs(b / area), a / area))


@dataclass(frozen=True)
class Augmentation:
    """How strongly images may change. The defaults are `RandomFlip("horizontal_and_vertical")`,
    `RandomRotation(0.2)` and `RandomZoom((-0.2, 0.2), (-0.2, 0.2))`.

    Attributes:
        strength: 0.0 to 2.0; scales rotation and zoom. 0.0 without flips changes nothing.
        horizontal_flip, vertical_flip: whether half of the images are flipped that way. Each is drawn for
            itself, where Keras' one layer for both draws once: it turns by 180 degrees or does nothing.
        rotation: the most a picture turns either way, as a part of a full turn, 0.0 to 0.5.
        zoom: the most its height and its width, each for itself, grow or shrink, 0.0 to 0.4.
        fill_mode: what lies beyond the edge, "reflect" (the picture mirrored, Keras' default) or "constant".
        fill_value: for "constant", 0 to 255.

    Raises:
        ValueError: an attribute is not as described; the message names it.

    Example:
        >>> gentle = Augmentation(0.15, vertical_flip=False)
        >>> changed = gentle.apply(image, gentle.draw(seed=0, epoch=3, position=17))
    """

    strength: float = 1.0
    horizontal_flip: bool = True
    vertical_flip: bool = True
    rotation: float = 0.2
    zoom: float = 0.2
    fill_mode: str = "reflect"
    fill_value: float = 0.0

    def __post_init__(self):
        for name, most in (("strength", 2.0), ("rotation", 0.5), ("zoom", 0.4), ("fill_value", 255.0)):
            check_between(name, getattr(self, name), most)
        for name in ("horizontal_flip", "vertical_flip"):
            check_flag(name, getattr(self, name))
        check_choice("fill_mode", self.fill_mode, FILL_MODES)

    def draw(self, seed: int, epoch: int, position: int) -> Transform:
        """What happens to one image in one epoch.

        Args:
            seed, epoch: 0 or more.
            position: the image's place in the full list, 0 or more.

        Returns:
            The same transform for the same three numbers, whoever asks, whenever and in which process.
        """
        key = [check_whole(n, v, 0) for n, v in (("seed", seed), ("epoch", epoch), ("position", position))]
        # The 1 keeps these numbers apart from those that shuffle (order.py). Always five of them, so that
        # a flip that is switched off, or another strength, leaves the other draws as they were.
        left_right, up_down, turn, height, width = np.random.default_rng((*key, 1)).random(5)
        return Transform(
            horizontal_flip=bool(self.horizontal_flip and left_right < 0.5),
            vertical_flip=bool(self.vertical_flip and up_down < 0.5),
            angle=2 * math.pi * self.strength * self.rotation * (2 * turn - 1),
            height_zoom=1 + self.strength * self.zoom * (2 * height - 1),
            width_zoom=1 + self.strength * self.zoom * (2 * width - 1),
        )

    def apply(self, image: np.ndarray, transform: Transform) -> np.ndarray:
        """The image, transformed; what comes from beyond its edge is filled as this augmentation says."""
        return warp(image, transform, fill_mode=self.fill_mode, fill_value=self.fill_value)

    def apply_to_mask(self, mask: np.ndarray, transform: Transform) -> np.ndarray:
        """The mask under its image's transform, by nearest pixel; beyond the edge as the image, or 0."""
        return warp(mask, transform, fill_mode=self.fill_mode, nearest=True)


def warp(
    image: np.ndarray,
    transform: Transform,
    *,
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    nearest: bool = False,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Applies a transform in one interpolation.

    Args:
        image: (height, width, channels), uint8 or float32.
        transform: what to do.
        fill_mode, fill_value: as in `Augmentation`.
        nearest: take the nearest pixel instead of mixing four; for masks, whose values are names of classes.
        out: an array in one piece, of the image's shape and dtype and none of its memory, that takes the
            result; None for a new one.

    Returns:
        An array of the same shape and dtype: `out`, or a new one. uint8 values are rounded.

    Raises:
        ValueError: the image or `fill_mode` is not as described.

    Example:
        >>> np.array_equal(warp(image, Transform(horizontal_flip=True)), image[:, ::-1])
        True
    """
    check_choice("fill_mode", fill_mode, FILL_MODES)
    if image.ndim != 3 or image.size == 0 or image.dtype not in WARPED:
        raise ValueError(
            "image must be (height, width, channels), uint8 or float32 and not empty; got "
            f"{image.shape}, {image.dtype}"
        )
    if out is not None and (out.shape, out.dtype, out.flags.c_contiguous) != (image.shape, image.dtype, True):
        raise ValueError(
            f"out must be in one piece, {image.shape} and {image.dtype}; got {out.shape}, {out.dtype}"
        )
    height, width, channels = image.shape
    if channels > 4:  # OpenCV 5 would round the place that it reads, as OpenCV 4 does, and takes 512 at most
        fours = [image[..., first : first + 4] for first in range(0, channels, 4)]
        options = {"fill_mode": fill_mode, "fill_value": fill_value, "nearest": nearest}
        return np.concatenate([warp(four, transform, **options) for four in fours], axis=-1, out=out)
    a, b, c, d = transform.linear()
    x, y = (width - 1) / 2, (height - 1) / 2  # the middle
    left, top, border = 0, 0, cv2.BORDER_CONSTANT
    if fill_mode == "reflect":
        # OpenCV can reflect while it warps, but takes three times as long for that as for these two steps.
        left = max(0, math.ceil(abs(a) * x + abs(b) * y - x) + 1)
        top = max(0, math.ceil(abs(c) * x + abs(d) * y - y) + 1)
        if (width + 2 * left) * (height + 2 * top) <= 16 * width * height + 10_000:
            rim = scratch("rim", (height + 2 * top, width + 2 * left, channels), image.dtype)
            image = cv2.copyMakeBorder(image, top, top, left, left, cv2.BORDER_REFLECT, dst=rim)
        else:  # a turned strip of 1 x 40,000 pixels would be 40,000 x 40,000
            left, top, border = 0, 0, cv2.BORDER_REFLECT
    matrix = np.array([[a, b, x + left - a * x - b * y], [c, d, y + top - c * x - d * y]])
    out = np.empty((height, width, channels), image.dtype) if out is None else out
    warped = cv2.warpAffine(
        image,
        matrix,
        (width, height),
        dst=out,
        flags=(cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP,
        borderMode=border,
        borderValue=(fill_value,) * 4,
    )
    if not np.may_share_memory(warped, out):  # OpenCV wanted an array of its own
        out[...] = warped.reshape(out.shape)
    return out
