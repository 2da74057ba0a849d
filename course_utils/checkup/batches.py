"""What is kept of a batch: shapes, ranges, and a short name for the content of each sample; no pixels."""

import hashlib
import math
from typing import NamedTuple

import keras
import numpy as np


class Leaf(NamedTuple):
    """One array of a batch, or what stands in the place of one: then `shape` is empty."""

    part: str  # "x", "y" or "w"
    name: str  # its key in a dict or place in a tuple; "" if it is the whole part
    kind: str  # the library that it is from; the type of what is no array
    shape: tuple[int, ...] = ()
    dtype: str = ""
    nbytes: int = 0
    low: float = math.nan
    high: float = math.nan
    finite: bool = True
    whole: bool = False  # whole numbers, whatever the dtype
    rows: tuple[bytes, ...] = ()  # a short name for the content of each sample


class Batch(NamedTuple):
    """What is kept of a batch."""

    index: int
    kind: str
    parts: int
    leaves: list[Leaf]

    def rows(self, *parts: str) -> list[bytes]:
        """The content of each sample in these parts ("x", "y", "w"), all their leaves together."""
        leaves = [leaf.rows for leaf in self.leaves if leaf.part in parts and leaf.shape]
        return [b"".join(row) for row in zip(*leaves, strict=False)]

    @property
    def content(self) -> tuple:
        return tuple(leaf.rows for leaf in self.leaves)


def describe(index: int, batch) -> Batch:
    """What is to be kept of a batch of any kind."""
    parts = tuple(batch) if isinstance(batch, (tuple, list)) else (batch,)
    leaves = []
    for part, value in zip("xyw", parts, strict=False):
        for path, leaf in keras.tree.flatten_with_path(value):
            leaves.append(_leaf(part, "/".join(map(str, path)), leaf))
    return Batch(index, type(batch).__name__, len(parts), leaves)


def _leaf(part: str, name: str, leaf) -> Leaf:
    if not (hasattr(leaf, "dtype") and len(leaf.shape)):
        return Leaf(part, name, type(leaf).__name__)
    array, library = np.asarray(leaf), type(leaf).__module__.partition(".")[0]
    text = array.dtype.kind == "O" and all(isinstance(value, (str, bytes)) for value in array.flat)
    if array.dtype.kind == "O" and not text:
        return Leaf(part, name, "array of objects")
    low = high = math.nan
    finite = array.dtype.kind not in "fc" or bool(np.isfinite(array).all())
    whole = array.dtype.kind in "biu"
    if array.size and array.dtype.kind in "biuf":
        low, high = float(array.min()), float(array.max())
        whole = whole or (finite and bool((array == np.floor(array)).all()))
    rows = (repr(row).encode() if text else row.tobytes() for row in array)
    digests = tuple(hashlib.blake2b(row, digest_size=8).digest() for row in rows)
    figures = array.nbytes, low, high, finite, whole
    return Leaf(part, name, library, array.shape, array.dtype.name, *figures, digests)
