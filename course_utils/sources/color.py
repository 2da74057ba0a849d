"""Grey or in colour? What the pixels say, not the mode of the file: many a grey X-ray is stored as RGB."""

import os
from collections.abc import Sequence

import numpy as np

from ..images import MAX_PIXELS, load_image
from .files import as_paths

LOOK_AT = 32  # files: of a set that is mixed, about half, the answer may be either
APART = 16  # grey values of 255; JPEG's rounding sets the channels of a grey picture less apart than that


def has_color(image: np.ndarray) -> bool:
    """Whether an image shows more than greys.

    Args:
        image: (height, width, 3), uint8 or float32, values 0 to 255.

    Returns:
        Whether in one pixel of its thumbnail (every second pixel, both ways) two channels are more than 16
        apart.

    Example:
        >>> has_color(load_image("chest.png", color_mode="rgb"))
        False
    """
    red, green, blue = np.moveaxis(image[::2, ::2].astype(np.int16), -1, 0)
    return bool(max(np.abs(red - green).max(), np.abs(green - blue).max()) > APART)


def color_mode_of(paths: Sequence[str | os.PathLike], max_pixels: int = MAX_PIXELS) -> str:
    """Which `color_mode` suits a list of pictures, by a look at up to 32 of them, spread evenly.

    Args:
        paths: list or array of paths, at least one.
        max_pixels: as for `load_image`.

    Returns:
        "rgb" if at least half of them are in colour, else "grayscale".

    Raises:
        TypeError, ValueError: `paths` is no such list.
        images.ImageError: one cannot be read.

    Example:
        >>> color_mode = color_mode_of(paths)
        >>> sequence = ImageSequence(paths, labels, 32, (64, 64), color_mode=color_mode)
    """
    paths = as_paths(paths, "paths")
    some = np.unique(np.linspace(0, len(paths) - 1, LOOK_AT).astype(int))
    images = (load_image(paths[at], color_mode="rgb", dtype="uint8", max_pixels=max_pixels) for at in some)
    return "rgb" if 2 * sum(map(has_color, images)) >= len(some) else "grayscale"
