"""One row of a batch: what a source gives, looked at before it is taken."""

from collections.abc import Callable

import numpy as np

from ..images import ImageError
from ..sources import FileSource, Pack, Source, array_fault, named


def own(source: Source, position: int) -> np.ndarray:
    """A source's array, to do with as one likes: working in place must not change what the source keeps."""
    array = _read(source, position)
    new = isinstance(source, (FileSource, Pack)) or not isinstance(array, np.ndarray)
    return array if new else array.copy()


def _read(source: Source, position: int) -> np.ndarray:
    """What a source gives, asked again where Python itself stumbled.

    `np.load` reads a file's header with `ast.literal_eval`; before 3.11.8 and 3.12.2 that fails now and then
    when several threads do it (cpython#106905).
    """
    for _ in range(9):
        try:
            return source[position]
        except SystemError as error:
            if "recursion depth mismatch" not in str(error):
                raise
    return source[position]


def fill_row(
    place: np.ndarray, method: Callable, source: Source, position: int, epoch: int, what: str = ""
) -> None:
    """Puts an array into its place, or raises an ImageError that names it: whatever a source or a subclass
    does wrong."""
    try:
        array = method(position, epoch)
        fault = array_fault(array, place.shape, place.dtype)
    except MemoryError:
        raise  # not the image's fault
    except (Exception, SystemExit) as error:  # a worker process that exits would be waited for, for ever
        raise ImageError(what + named(source, position, error)) from error
    if fault:
        raise ImageError(what + named(source, position, fault))
    place[...] = array
