"""The one filter by which pictures of every format are made smaller or larger."""

import cv2
import numpy as np
from PIL import Image

# The decoders' threads use the cores, and threads of OpenCV's own do not survive a fork: see augmentation.py.
cv2.setNumThreads(1)

WORTH_IT = 2**18  # pixels; a smaller picture takes Pillow less than half a millisecond
FACTORS = range(2, 7)  # above that OpenCV is no faster


def resized(
    pixels: Image.Image | np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]
) -> np.ndarray:
    """A picture in another size, by a triangle that is as wide as two of the new pixels where it shrinks.

    This is Pillow's BILINEAR, and what torchvision and `tf.image.resize(antialias=True)` call bilinear: every
    pixel of the file counts. OpenCV's INTER_AREA, a box, is faster, but makes false coarse stripes of fine
    ones: at a quarter of the size it leaves 18 % of a grating of 3 pixels a period, the triangle 2 %
    (`python tests/benchmarks/filters.py`). Where large pictures shrink by whole factors, OpenCV does it all
    the same: a triangle is two boxes, one after the other. That is the same to one grey level.

    Args:
        pixels: an image of mode L, RGB or F, or a uint8 or float32 array (height, width), or (height, width,
            3) of uint8.
        size: (width, height) wanted.
        box: (left, top, right, bottom), the part of it to take, in pixels and fractions.

    Returns:
        Array (height, width) or (height, width, 3) of the same dtype; a new one if anything had to be done.

    Example:
        >>> resized(np.zeros((1024, 1024), np.uint8), (256, 256), (0, 0, 1024, 1024)).shape
        (256, 256)
    """
    height, width = pixels.shape[:2] if isinstance(pixels, np.ndarray) else pixels.size[::-1]
    whole = box == (0, 0, width, height)
    if whole and size == (width, height):
        return np.asarray(pixels)
    factors = height // size[1], width // size[0]
    large = whole and width * height >= WORTH_IT and min(size) > 1 and set(factors) <= set(FACTORS)
    if large and (factors[1] * size[0], factors[0] * size[1]) == (width, height):
        values = np.asarray(pixels)
        if values.dtype == np.uint8:
            return _by_whole_factors(values, *factors)
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))


def _by_whole_factors(values: np.ndarray, down: int, across: int) -> np.ndarray:
    """Blurs with one box, and averages blocks, which is the other."""
    border = cv2.BORDER_CONSTANT  # of zeros: what lies beyond the border does not count
    blurred = cv2.sepFilter2D(values, -1, _box(across), _box(down), borderType=border)
    height, width = values.shape[0] // down, values.shape[1] // across
    small = cv2.resize(blurred, (width, height), interpolation=cv2.INTER_AREA)
    # Of the outermost pixels an eighth lies there; Pillow weighs the rest the more for it.
    blocks = blurred.reshape(height, down, width, across, -1)
    edges = blocks[[0, -1]].mean((1, 3), np.float32) * _more(down)
    edges[:, [0, -1]] *= _more(across)
    sides = blocks[1:-1, :, [0, -1]].mean((1, 3), np.float32) * _more(across)
    small = small.reshape(height, width, -1)
    small[[0, -1]], small[1:-1, [0, -1]] = edges.round(), sides.round()
    return small.reshape(height, width, *values.shape[2:])


def _more(factor: int) -> float:
    return 8 / (7 + factor % 2 / factor**2)


def _box(factor: int) -> np.ndarray:
    """As wide as the factor, and centred on a pixel: an even one has half a pixel on either side."""
    weights = np.ones(factor + 1 - factor % 2, np.float32)
    if factor % 2 == 0:
        weights[[0, -1]] = 0.5
    return weights / factor
