"""A pack: images that were decoded once, in one file, as a source. `packing.make_pack` makes one."""

import math
import operator
import os
import threading
import weakref
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsIndex

import numpy as np
from numpy.dtypes import StringDType

from ..images import ImageError
from .files import positions_to_check, spread
from .pack_folder import (
    FILES,
    IMAGES,
    Mark,
    PackError,
    full_name,
    npy_header,
    read_head,
    read_labels_of,
    reading_of,
    rows_of,
)
from .protocol import Source, check_source, named

SAMPLE = 32  # images, spread evenly, whose checksums are looked at when a pack is opened
READ = 8  # of those that a source reads anew, to compare: its code may have changed, or a row of its table
AGAIN = "make_pack(..., replace=True) makes it anew"


class Pack:
    """Images that were decoded once, read from one file: a `Source`.

    The folder holds `images.npy`, (n, height, width, channels), which `np.load(..., mmap_mode="r")` opens as
    well; `labels.npz`, if there are labels; `files.csv`, what each image was made from; and `pack.json`. An
    image is read when it is asked for, into the batch, and no part of the file is mapped: memory stays that
    of a batch, in threads, in worker processes, and for whoever gets a copy.

    Args:
        folder: the pack's.
        source: what it should be a pack of. None takes what it was made from: if none of those files is
            there, it is taken for a pack that came from another machine.
        check_files: True looks whether every file is still what it was, False at none; None looks at all of
            up to 10,000 and at 1,000 spread over a longer list. A file whose size and time have not changed
            is not read.

    Attributes:
        shape, dtype: of one image.
        labels: the array that was packed with the images, or None.
        id: text that no other pack has.

    Raises:
        PackError: the folder holds no pack, or one that is cut short, or damaged where a look at 32 images
            tells; a file has changed since; or `source` has other images or another way to read them, where
            a look at eight that it reads anew tells.
        OSError: the drive cannot read it; nothing is said of the pack.
        TypeError: `source` is none.

    Example:
        >>> pack = Pack("chests.pack")
        >>> sequence = ImageSequence.from_source(pack, pack.labels, 32, shuffle=True)
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        source: Source | None = None,
        *,
        check_files: bool | None = None,
    ):
        self.folder = Path(folder).absolute()
        source = None if source is None else check_source("source", source)
        self._head, self._file = read_head(self.folder), None
        self.id = self._head["id"]
        self.shape = tuple(self._head["reading"]["shape"])
        self.dtype = np.dtype(self._head["reading"]["dtype"])
        self._open()
        self.labels = read_labels_of(self.folder, len(self))
        marks = self._read_rows()
        if source is not None:
            self._check_source(source, marks)
        self._check_files(marks, positions_to_check(len(self), check_files), source)
        self._check_pixels(spread(len(self), SAMPLE))

    def __len__(self) -> int:
        return self._head["images"]

    def name(self, position: int) -> str:
        """What the image was made from."""
        return str(self._names[position])

    def __getitem__(self, position: SupportsIndex) -> np.ndarray:
        """The image at a position: a new array of `shape` and `dtype`.

        Raises:
            IndexError: there is no such position.
            images.ImageError: the file cannot be read any more.
        """
        image = np.empty(self.shape, self.dtype)
        self.read_into(image, position)
        return image

    def read_into(self, place: np.ndarray, position: SupportsIndex) -> None:
        """The image at a position, written into an array in one piece, of `shape` and `dtype`.

        Raises:
            IndexError, images.ImageError: as for `pack[position]`.
            ValueError: the array is not as described.
        """
        position = operator.index(position)
        if not -len(self) <= position < len(self):
            raise IndexError(f"{self.folder}: has images 0 to {len(self) - 1}, not {position}")
        if place.shape != self.shape or place.dtype != self.dtype or not place.flags.c_contiguous:
            raise ValueError(
                f"place must be an array in one piece, of shape {self.shape} and dtype {self.dtype}; got "
                f"shape {place.shape} and dtype {place.dtype}"
            )
        try:
            self._read_at(place, self._start + position % len(self) * place.nbytes)
        except OSError as error:
            raise ImageError(f"{self.name(position)} in {self.folder / IMAGES}: {error.strerror}") from None
        except PackError as error:
            raise ImageError(f"{self.name(position)}: {error}") from None

    def read_cached(self, places: np.ndarray, positions: np.ndarray) -> list[int]:
        """Reads, into an array in one piece, those images that the system holds in memory: without threads,
        whose taking turns would cost more than these reads (14 us an image instead of 7, measured).

        Args:
            places: (len(positions), *shape), of `dtype`.
            positions: 0 to len - 1.

        Returns:
            Which slots of `places` are still to be filled by `read_into`: all, where the system does not tell
            what it holds (Linux does).

        Example:
            >>> pack, images = Pack("chests.pack"), np.empty((2, 64, 64, 1), "uint8")
            >>> for slot in pack.read_cached(images, [4, 2]):
            ...     pack.read_into(images[slot], [4, 2][slot])
        """
        if not hasattr(os, "RWF_NOWAIT") or self._file is None:  # `read_into` opens it
            return list(range(len(positions)))
        handle, size, left = self._file.fileno(), places[0].nbytes, []
        for slot, position in enumerate(positions):
            try:
                got = os.preadv(handle, [places[slot]], self._start + int(position) * size, os.RWF_NOWAIT)
            except OSError:
                got = 0
            if got != size:
                left.append(slot)
        return left

    def verify(self) -> None:
        """Reads all images, and compares each with the checksum that was taken when it was decoded.

        Raises:
            PackError: one differs; the message names the first.

        Example:
            >>> Pack("chests.pack").verify()
        """
        self._check_pixels(range(len(self)))

    def _open(self) -> None:
        header, path = npy_header(len(self), self.shape, self.dtype), self.folder / IMAGES
        self._start, self._lock = len(header), threading.Lock()  # the lock: where there is no `preadv`
        size = self._start + len(self) * math.prod(self.shape) * self.dtype.itemsize
        try:
            file = open(path, "rb", buffering=0)  # noqa: SIM115 (as long as the pack lives)
        except FileNotFoundError:
            raise PackError(f"{path}: is missing. {AGAIN}") from None
        weakref.finalize(self, file.close)
        found, begins = os.fstat(file.fileno()).st_size, file.read(self._start)
        if found != size:
            raise PackError(f"{path}: expected {size:,} bytes, {len(self)} images, got {found:,}. {AGAIN}")
        if begins != header:
            raise PackError(f"{path}: expected images of {self.shape} and {self.dtype}. {AGAIN}")
        self._file = file

    def _read_at(self, place: np.ndarray, offset: int) -> None:
        if self._file is None:  # a copy, in another process
            if read_head(self.folder) != self._head:
                raise PackError(f"{self.folder}: is another pack than the one that this is a copy of")
            self._open()
        view = memoryview(place).cast("B")
        while view:
            if hasattr(os, "preadv"):  # moves no position that threads and forked processes share
                got = os.preadv(self._file.fileno(), [view], offset)
            else:
                with self._lock:
                    self._file.seek(offset)
                    got = self._file.readinto(view)
            if not got:
                raise OSError(0, "is cut short")
            view, offset = view[got:], offset + got

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_lock"} | {"_file": None}

    def __setstate__(self, state: dict) -> None:
        # Opened at the first read: a worker that cannot unpickle its task is waited for, for ever.
        vars(self).update(state)

    def _read_rows(self) -> np.ndarray:
        """Fills in what the images are called and what their pixels add up to; returns the marks of files."""
        n, path = len(self), self.folder / FILES
        self._names, self._pixels = np.empty(n, StringDType()), np.zeros(n, np.uint32)
        marks, found = np.zeros((n, 3), np.int64), 0
        try:
            for found, row in enumerate(rows_of(path), 1):
                self._names[found - 1], marks[found - 1], self._pixels[found - 1] = row
        except FileNotFoundError:
            raise PackError(f"{path}: is missing. {AGAIN}") from None
        except (IndexError, OverflowError):  # more lines than images, or numbers that no file has
            found = f"line {found + 1}, which fits none"
        if found != n:
            raise PackError(f"{path}: expected {n} lines, one an image, got {found}. {AGAIN}")
        return marks

    def _check_source(self, source: Source, marks: np.ndarray) -> None:
        has, wanted = self._head["reading"], reading_of(source)
        for key, value in wanted.items():
            if has.get(key) != value:
                raise PackError(f"{self.folder}: has {key} {has.get(key)}, expected {value}. {AGAIN}")
        if len(source) != len(self):
            raise PackError(f"{self.folder}: has {len(self)} images, expected {len(source)}. {AGAIN}")
        # By what was packed, not by a look at each: of a million files on a network drive that takes minutes.
        given = (str(source.name(at)) for at in range(len(source)))
        are_files = marks[:, 0] >= 0
        names = (os.path.abspath(n) if is_file else n for n, is_file in zip(given, are_files, strict=True))
        names = np.array(list(names), StringDType())
        other = np.flatnonzero(_without_root(names) != _without_root(self._names))
        if len(other):
            at = int(other[0])
            raise PackError(f"{self.folder}: image {at} is {self.name(at)}, expected {names[at]}. {AGAIN}")
        for at in spread(len(self), READ):
            if checksum_of(source, at) != self._pixels[at]:
                raise PackError(f"{self.folder}: image {at}, {names[at]}, is read otherwise now. {AGAIN}")

    def _check_files(self, marks: np.ndarray, positions: Iterable[int], source: Source | None) -> None:
        """Whether the files are still what they were; with a source, at the places where it has them."""
        names = {at: self.name(at) if source is None else full_name(source, at) for at in positions}
        if source is None and not any(os.path.exists(name) for name in names.values()):
            return  # from another machine, or of no files
        for at, name in names.items():
            if not Mark(*marks[at].tolist()).fits(name):
                how = "has changed since it was packed" if os.path.exists(name) else "is missing"
                raise PackError(f"{self.folder}: image {at}, {name}, {how}. {AGAIN}")

    def _check_pixels(self, positions: Iterable[int]) -> None:
        for at in positions:
            try:
                checksum = zlib.crc32(self[at])
            except ImageError as error:
                raise PackError(str(error)) from None
            if checksum != self._pixels[at]:
                raise PackError(f"{self.folder}: image {at}, {self.name(at)}, is damaged. {AGAIN}")


def checksum_of(source: Source, position: int) -> int:
    """The checksum of an image as the source gives it now.

    Raises:
        images.ImageError: it gives none.

    Example:
        >>> checksum_of(FileSource(paths, (64, 64)), 0) == zlib.crc32(FileSource(paths, (64, 64))[0])
        True
    """
    try:
        return zlib.crc32(np.ascontiguousarray(source[position]))
    except Exception as error:
        raise ImageError(named(source, position, error)) from error


def _without_root(names: np.ndarray) -> np.ndarray:
    """The names less the folders that all of them begin with: a data set may have moved as a whole."""
    common = os.path.commonprefix([str(names.min()), str(names.max())])
    root = max(common.rfind("/"), common.rfind(os.sep)) + 1
    return np.array([str(name)[root:] for name in names], StringDType())
