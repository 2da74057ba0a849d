"""What decides about memory in a `fit`: the settings of a Sequence, written down or read off one."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks import check_flag, check_whole
from ..memory import PeakMeter


def array_bytes(shape: tuple[int, ...], dtype="float32") -> int:
    """What an array of that shape and dtype takes.

    Example:
        >>> array_bytes((32, 256, 256, 1), "float32")
        8388608
    """
    return math.prod(shape) * np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Settings:
    """What decides about memory in a `fit` on a Sequence.

    Attributes:
        batch_size: images a batch.
        image_shape: (height, width, channels) as the Sequence serves them.
        dtype: of their numbers.
        workers, use_multiprocessing, max_queue_size: Keras' own.
        length: batches an epoch; None for many.
        more_per_image: bytes of labels, masks, weights and other inputs, an image.
        making: bytes that `__getitem__` takes for a moment, beside the batch that it returns.

    Raises:
        ValueError: a value is out of range; the message names it.

    Example:
        >>> Settings(32, (256, 256, 1), workers=2).batch_bytes
        8388608
    """

    batch_size: int
    image_shape: tuple[int, ...]
    dtype: str = "float32"
    workers: int = 1
    use_multiprocessing: bool = False
    max_queue_size: int = 10
    length: int | None = None
    more_per_image: int = 0
    making: int = 0

    def __post_init__(self):
        check_whole("batch_size", self.batch_size, 1)
        check_whole("workers", self.workers, 0)
        check_flag("use_multiprocessing", self.use_multiprocessing)
        check_whole("max_queue_size", self.max_queue_size, 0)
        for name in ("more_per_image", "making"):
            check_whole(name, getattr(self, name), 0)
        for size in self.image_shape:
            check_whole("image_shape", size, 1)
        try:
            np.dtype(self.dtype)
        except TypeError:
            raise ValueError(f"dtype must be the name of a NumPy dtype, got {self.dtype!r}") from None
        if self.length is not None:
            check_whole("length", self.length, 1)
        elif self.has_queue and self.max_queue_size == 0:
            raise ValueError(
                "max_queue_size=0 sets no bound to the queue: it takes the whole epoch. How long?"
            )

    @property
    def batch_bytes(self) -> int:
        return (
            array_bytes((self.batch_size, *self.image_shape), self.dtype)
            + self.batch_size * self.more_per_image
        )

    @property
    def has_queue(self) -> bool:
        """Whether Keras puts a queue between the Sequence and the model: for `workers > 1` or processes."""
        return self.workers > 1 or (self.workers > 0 and self.use_multiprocessing)

    @property
    def forks(self) -> bool:
        return self.use_multiprocessing and self.workers > 0


def settings_of(sequence: Any) -> Settings:
    """The settings of a Sequence: anybody's, so its first batch is fetched, twice, and counted.

    The second time is watched: what `__getitem__` takes for a moment (decoders, float64 on the way) is taken
    by each worker, and may be more than the batch.

    Args:
        sequence: a `PyDataset` whose batches are images, or (images, ...), arrays of (batch, ...).

    Raises:
        TypeError: the first batch begins with something else than an array of two dimensions or more.

    Example:
        >>> settings_of(ImageSequence(paths, labels, 16, (64, 64))).batch_bytes == 16 * (64 * 64 * 4 + 8)
        True
    """
    _leaves(sequence[0])  # the first also brings libraries and threads, which stay
    with PeakMeter(interval=0.002) as meter:
        batch = sequence[0]
    first, *others = _leaves(batch)
    if first.ndim < 2:
        raise TypeError(f"the first batch must begin with images, (batch, ...); got an array {first.shape}")
    try:
        length = len(sequence)
    except (TypeError, NotImplementedError):  # a PyDataset without end
        length = None
    return Settings(
        len(first),
        first.shape[1:],
        str(first.dtype),
        sequence.workers,
        sequence.use_multiprocessing,
        sequence.max_queue_size,
        length,
        round(sum(array.nbytes for array in others) / len(first)),
        max(0, meter.growth - sum(array.nbytes for array in (first, *others))),
    )


def _leaves(batch: Any) -> list[np.ndarray]:
    if isinstance(batch, dict):
        batch = list(batch.values())
    if isinstance(batch, (tuple, list)):
        return [leaf for part in batch for leaf in _leaves(part)]
    return [] if batch is None else [np.asarray(batch)]
