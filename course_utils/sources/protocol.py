"""The seam between whatever holds the pixels and the Sequences that serve them."""

from typing import Protocol, SupportsIndex

import numpy as np

from ..checks import check_whole
from ..images import ImageError


class Source(Protocol):
    """What holds the images: one array a position, all of one shape and dtype.

    The first two methods are Grain's random-access protocol (google-grain.readthedocs.io, data sources), so
    that Grain reads our sources as they are, and one of Grain's becomes ours with the three names that it
    lacks.

    Attributes:
        shape: of one array, (height, width, channels).
        dtype: of its numbers, at most 64 bits each. The package's own flips, rotation and zoom want "uint8"
            or "float32", and its default normaliser these with values 0 to 255; with an `augmentation=` and
            a `normalize=` of your own any will do.

    The length must not change. It may be read from several threads at once. It is copied into worker
    processes: open a file or a connection at the first read in each process, not in `__init__`.

    Example:
        >>> class Bands:  # satellite images, one .npy file each
        ...     shape, dtype = (64, 64, 5), "float32"
        ...     def __init__(self, paths): self.paths = paths
        ...     def __len__(self): return len(self.paths)
        ...     def __getitem__(self, position): return np.load(self.paths[position])
        ...     def name(self, position): return str(self.paths[position])
        >>> ImageSequence.from_source(Bands(npy_paths), labels, 32)[0][0].shape
        (32, 64, 64, 5)
    """

    shape: tuple[int, int, int]
    dtype: np.dtype | str

    def __len__(self) -> int:
        """Number of images."""

    def __getitem__(self, position: SupportsIndex) -> np.ndarray:
        """The image at a position, 0 to len - 1, as a NumPy array. The Sequences never change it."""

    def name(self, position: int) -> str:
        """What to call it in an error message: a file, a row, an address."""


MEMBERS = ("__len__", "__getitem__", "shape", "dtype", "name")


def is_source(value) -> bool:
    """Whether it has all that a `Source` has. A pandas Series of paths has not: its `name` is no method."""
    return all(hasattr(value, member) for member in MEMBERS) and callable(value.name)


def check_source(name: str, value) -> Source:
    """`value` itself, after a look at its first array.

    Raises:
        TypeError: it is no `Source`; the message says what is missing.
        ValueError: it holds nothing, its shape or dtype is none that an image can have, or its first array
            is another than they say.
        images.ImageError: its first array cannot be read.
    """
    if not is_source(value):
        missing = [member for member in MEMBERS if not hasattr(value, member)]
        raise TypeError(
            f"{name} must be a source (see course_utils.Source): {type(value).__name__} has no "
            f"{', '.join(missing) or 'method name(position)'}"
        )
    check_whole(f"len({name})", len(value), 1)
    shape, dtype = value.shape, _dtype(name, value.dtype)
    if not isinstance(shape, tuple) or len(shape) != 3:
        raise ValueError(f"{name}.shape must be one image's tuple (height, width, channels), got {shape!r}")
    for side in shape:
        check_whole(f"each of {name}.shape", side, 1)
    try:
        fault = array_fault(value[0], shape, dtype)
    except MemoryError:
        raise  # not the image's fault
    except Exception as error:
        raise ImageError(f"{name}[0], {named(value, 0, error)}") from error
    if fault:
        raise ValueError(f"{name}[0], {named(value, 0, fault)}")
    return value


def _dtype(name: str, dtype) -> np.dtype:
    try:
        found = np.dtype("O" if dtype is None else dtype)  # NumPy takes None for float64
    except TypeError:
        found = np.dtype("O")
    if found.kind not in "biuf" or found.itemsize > 8 or not found.isnative:
        raise ValueError(
            f"{name}.dtype must be numbers of at most 64 bits or booleans, in this machine's byte order; got "
            f"{dtype!r}"
        )
    return found


def named(source: Source, position: int, fault: str | BaseException) -> str:
    """The fault, or what an error says, with the name of the position: unless it begins with that."""
    if isinstance(fault, BaseException):
        fault = str(fault) if isinstance(fault, ImageError) else f"{type(fault).__name__}: {fault}"
    try:
        name = str(source.name(position))
    except Exception:  # of all things: the fault matters more
        name = f"position {position}"
    return fault if fault.startswith(name) else f"{name}: {fault}"


def array_fault(array, shape: tuple[int, ...], dtype: np.dtype) -> str:
    """What is wrong with an array that should have that shape and dtype and finite values; "" if nothing.

    NumPy would broadcast another shape, cast another dtype and turn None into NaN, all silently; and one NaN
    makes every weight of a network NaN.
    """
    hidden = isinstance(array, np.ma.MaskedArray)  # whose hidden values would be trained on
    if not isinstance(array, np.ndarray) or hidden or array.shape != shape or array.dtype != dtype:
        return (
            f"expected an array of shape {shape} and dtype {dtype}, got {type(array).__name__} of shape "
            f"{getattr(array, 'shape', None)} and dtype {getattr(array, 'dtype', None)}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        return "expected finite values, got NaN or infinity"
    return ""
