"""What memory images take, reckoned from their shape before it is spent. All figures are bytes."""

import math
from dataclasses import dataclass

import numpy as np

# Binder ends a server that passes "2G" (mybinder.org-deploy, August 2026): we take the smaller reading.
BINDER_BYTES = 2 * 10**9

# At Keras' default settings (workers=1) two to three batches are alive at once, in use, waiting and in the
# making; tests/test_memory_claims.py measures it. We count the three. (Of batches below some 10 MB
# TensorFlow may prefetch more: 22 MB in all where one takes 2 MB.)
BATCHES_ALIVE = 3


def array_bytes(shape: tuple[int, ...], dtype="float32") -> int:
    """What an array of that shape and dtype takes.

    Example:
        >>> array_bytes((32, 256, 256, 1), "float32")
        8388608
    """
    return math.prod(shape) * np.dtype(dtype).itemsize


@dataclass(frozen=True)
class Need:
    """What the images of a `fit` take.

    Attributes:
        batch: one batch.
        alive: the batches that are in memory at once.
        total: these, and what the process holds already.
    """

    batch: int
    alive: int
    total: int


def images_in_fit(batch_size: int, shape: tuple[int, int, int], dtype="float32", *, base: int = 0) -> Need:
    """What the images of a `fit` take at Keras' default settings; what the model takes is not counted.

    Args:
        batch_size: images a batch.
        shape: of one image, (height, width, channels).
        dtype: of its numbers.
        base: bytes that the process holds already.

    Example:
        >>> images_in_fit(32, (256, 256, 1)).alive
        25165824
    """
    batch = array_bytes((batch_size, *shape), dtype)
    return Need(batch, BATCHES_ALIVE * batch, base + BATCHES_ALIVE * batch)
