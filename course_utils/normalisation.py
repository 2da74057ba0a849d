"""Grey values 0 to 255 -> the range a network trains well on: by a constant, the same for every image."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


def to_unit_range(images: np.ndarray) -> np.ndarray:
    """0 to 255 -> 0 to 1, by a constant: the same picture gives the same numbers in every batch.

    Args:
        images: array of any shape, uint8 or float32, values 0 to 255.

    Returns:
        A new float32 array of that shape. (`images / 255.0` of whole numbers would be float64: twice that.)

    Raises:
        TypeError: they are of another dtype, whose largest value is not 255.

    Example:
        >>> to_unit_range(np.uint8([0, 51, 255]))
        array([0. , 0.2, 1. ], dtype=float32)
    """
    if images.dtype not in (np.uint8, np.float32):
        raise TypeError(f"images must be uint8 or float32, with values 0 to 255; got {images.dtype}")
    return np.divide(images, np.float32(255), dtype=np.float32)


@dataclass(frozen=True, eq=False)  # arrays do not compare to one truth
class Standardize:
    """0 to 255 -> mean 0, deviation 1 over the data that the two figures come from.

    Attributes:
        mean, deviation: numbers, or one a channel, in grey values 0 to 255. Take them from the training
            images only, see `mean_and_deviation`.

    Raises:
        ValueError: they are not finite numbers, or a deviation is not above 0.

    Example:
        >>> plain = ImageSequence(paths, labels, 32, (64, 64))
        >>> normalize = Standardize(*mean_and_deviation(plain))
        >>> sequence = PreprocessingImageSequence(paths, labels, 32, (64, 64), normalize=normalize)
    """

    mean: float | np.ndarray
    deviation: float | np.ndarray

    def __post_init__(self):
        for name in ("mean", "deviation"):
            value = np.asarray(getattr(self, name))
            value = (
                value.astype(np.float32) if value.dtype.kind in "iuf" and value.size else np.float32("nan")
            )
            # As float32: a deviation so small that it becomes 0 there divides by 0.
            if value.ndim > 1 or not np.isfinite(value).all() or (name == "deviation" and (value <= 0).any()):
                what = "above 0" if name == "deviation" else "finite"
                raise ValueError(
                    f"{name} must be {what}, a number or one a channel; got {getattr(self, name)!r}"
                )
            object.__setattr__(self, name, value)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """A new float32 array of the images' shape (…, channels)."""
        return ((images - self.mean) / self.deviation).astype(np.float32, copy=False)


def mean_and_deviation(batches: Iterable) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, from one batch at a time.

    Each batch's own mean and sum of squares are merged into the total by the formula of Chan, Golub and
    LeVeque (1979), which keeps its digits where "mean of squares less square of mean" loses them.

    Args:
        batches: a Sequence that does not augment, or any iterable of batches: images
            (batch, height, width, channels), or tuples that begin with them.

    Returns:
        Mean and deviation, float64, (channels,), in the units of the images. The variance that
        `keras.layers.Normalization` wants is the deviation squared.

    Raises:
        ValueError: there is no batch, one has not this shape or the channels of the others, a value is not
            finite, or the Sequence augments. The message names the batch.

    Example:
        >>> mean, deviation = mean_and_deviation(ImageSequence(paths, labels, 32, (64, 64)))
        >>> mean.shape
        (1,)
    """
    if getattr(batches, "augment", False):
        raise ValueError("expected a Sequence that does not augment: make one with augment=False")
    count, mean, squares = 0, 0.0, 0.0
    for number, batch in enumerate(batches):
        images = np.asarray(batch[0] if isinstance(batch, tuple) else batch)
        channels = images.shape[-1:] if not count else np.shape(mean)
        if images.ndim != 4 or not images.size or images.shape[-1:] != channels:
            raise ValueError(
                f"batch {number}: expected images (batch, height, width, channels), not empty, with the "
                f"channels of the batches before; got shape {images.shape}"
            )
        values = images.reshape(-1, images.shape[-1])
        here = values.mean(axis=0, dtype=np.float64)
        if not np.isfinite(here).all():
            raise ValueError(f"batch {number}: expected finite values, got a mean of {here}")
        away = here - mean
        total = count + len(values)
        squares = squares + values.var(axis=0, dtype=np.float64) * len(values)
        squares = squares + away**2 * count * len(values) / total
        mean = mean + away * len(values) / total
        count = total
    if not count:
        raise ValueError("expected at least one batch, got none")
    return np.asarray(mean), np.sqrt(squares / count)
