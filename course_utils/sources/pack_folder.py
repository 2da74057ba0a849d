"""What a pack's folder holds: the images, the labels, what each image was made from, and a head."""

import contextlib
import csv
import io
import json
import os
import uuid
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from ..images import ImageError
from .protocol import Source

FORMAT = 1
IMAGES, LABELS, FILES, HEAD = "images.npy", "labels.npz", "files.csv", "pack.json"
COLUMNS = ("name", "bytes", "modified_ns", "crc32", "pixels_crc32")
NEW = "new-"  # begins the name of what is about to take the place of one of these
BLOCK = 2**20  # bytes
LONGEST = 2**16  # characters of a name; no system has longer paths


class PackError(ValueError):
    """A pack that is none, is damaged, or is not of what it was made from any more. The message says which.

    Example:
        >>> Pack("no.pack")
        Traceback (most recent call last):
        course_utils.sources.pack_folder.PackError: ...: no pack, it has no pack.json; make_pack makes one
    """


class Mark(NamedTuple):
    """What tells a file from a changed one; -1 each for an image that is no file."""

    bytes: int = -1
    modified_ns: int = -1
    crc32: int = -1

    def fits(self, path: str) -> bool:
        """Whether the file is still the same: by size and time, and by its bytes where only the time differs,
        as after a copy.

        Example:
            >>> mark_of("chest.png").fits("chest.png")
            True
        """
        if not os.path.isfile(path):
            return self.bytes < 0
        found = os.stat(path)
        same_size = found.st_size == self.bytes
        return self.is_near(found) or (same_size and mark_of(path).crc32 == self.crc32)

    def is_near(self, found: os.stat_result) -> bool:
        """Whether size and time are still those."""
        return (found.st_size, found.st_mtime_ns) == (self.bytes, self.modified_ns)


def mark_of(path: str) -> Mark:
    """The mark of a file, which is read for it; of anything else one that says so.

    Example:
        >>> mark_of("row 17 of a table")
        Mark(bytes=-1, modified_ns=-1, crc32=-1)
    """
    if not os.path.isfile(path):
        return Mark()
    with open(path, "rb") as file:
        found, checksum = os.fstat(file.fileno()), 0
        while block := file.read(BLOCK):
            checksum = zlib.crc32(block, checksum)
    return Mark(found.st_size, found.st_mtime_ns, checksum)


class Row(NamedTuple):
    """One line of files.csv: an image's name, the mark of its file, the checksum of its pixels."""

    name: str
    mark: Mark
    pixels: int


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Begins a files.csv, and says with how many lines.

    Example:
        >>> write_rows(pathlib.Path("files.csv"), rows_of(pathlib.Path("chests.pack/files.csv")))
        40
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerow(COLUMNS)
        return add_rows(file, rows)


def add_rows(file: TextIO, rows: Iterable[Row]) -> int:
    """Adds lines to an open files.csv, and says how many."""
    table, n = csv.writer(file), 0
    for n, row in enumerate(rows, 1):  # noqa: B007
        table.writerow((row.name, *row.mark, row.pixels))
    return n


def rows_of(path: Path) -> Iterator[Row]:
    """The lines of a files.csv, as far as they are whole: where writing was cut off they end.

    Example:
        >>> sum(1 for row in rows_of(pathlib.Path("chests.pack/files.csv")))
        40
    """
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        lines = _while_csv(csv.reader(file))
        if tuple(next(lines, ())) != COLUMNS:
            return
        for line in lines:
            try:
                name, size, modified, checksum, pixels = line[0], *map(int, line[1:])
            except (ValueError, IndexError):
                return
            yield Row(name, Mark(size, modified, checksum), pixels)


def _while_csv(lines: Iterator[list[str]]) -> Iterator[list[str]]:
    with contextlib.suppress(csv.Error):  # as of a quotation mark that nothing closes
        yield from lines


def full_name(source: Source, position: int) -> str:
    """What a source calls an image, a file by its whole path: another working directory means no other.

    Raises:
        images.ImageError: no such name can be written down.

    Example:
        >>> full_name(FileSource(paths, (64, 64)), 3) == os.path.abspath(paths[3])
        True
    """
    name = str(source.name(position))
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ImageError(f"position {position}: its name is not valid Unicode: {name!r:.80}") from None
    if len(name) > LONGEST:
        raise ImageError(f"position {position}: its name has more than {LONGEST} characters: {name:.80}")
    return os.path.abspath(name) if os.path.isfile(name) else name


def reading_of(source: Source) -> dict:
    """How a source reads, as JSON keeps it: two that read the same files in other ways differ in it.

    Example:
        >>> reading_of(FileSource(paths, (64, 64)))["aspect"]
        'stretch'
    """
    classes = getattr(source, "classes", None)  # of masks
    return {
        "source": type(source).__name__,
        "shape": [int(side) for side in source.shape],
        "dtype": str(np.dtype(source.dtype)),
        "color_mode": str(getattr(source, "color_mode", "")),
        "aspect": str(getattr(source, "aspect", "")),
        "values": None if classes is None else np.asarray(classes).tolist(),
        "pack": source.id if hasattr(source, "id") else "",  # of a pack, which pack
    }


def read_head(folder: Path) -> dict:
    """The folder's pack.json: "images", their number; "reading", see `reading_of`; "id", of this very pack.

    Raises:
        PackError: there is none, or it is none of ours.
        OSError: the drive cannot read it.

    Example:
        >>> read_head(pathlib.Path("chests.pack"))["images"]
        40
    """
    path = folder / HEAD
    try:
        head = json.loads(path.read_text(encoding="utf-8"))
        numbers = [head["images"], *head["reading"]["shape"]]
        known = head["format"] == FORMAT and isinstance(head["id"], str) and len(numbers) == 4
        known = known and all(type(number) is int and number >= 1 for number in numbers)
        known = known and np.dtype(head["reading"]["dtype"]).kind in "biuf"
    except (FileNotFoundError, NotADirectoryError):
        raise PackError(f"{folder}: no pack, it has no {HEAD}; make_pack makes one") from None
    except (ValueError, TypeError, KeyError):
        known = False
    if not known:
        raise PackError(f"{path}: not the head of a pack of format {FORMAT}")
    return head


def is_ours(folder: Path) -> bool:
    """Whether a folder holds what belongs to a pack, whole or in the making, and nothing else.

    Example:
        >>> is_ours(pathlib.Path("chests.pack"))
        True
    """
    names = {path.name for path in folder.iterdir()}
    if not {name.removeprefix(NEW) for name in names} <= {IMAGES, LABELS, FILES, HEAD}:
        return False
    if names <= {NEW + HEAD}:
        return True  # nothing yet: the head is what comes first
    try:
        return bool(read_head(folder))
    except PackError:
        return False


def read_labels_of(folder: Path, n: int) -> np.ndarray | None:
    """The labels of a pack, None if it has none. The format, a ZIP archive, brings a checksum.

    Raises:
        PackError: they are damaged, or are no labels of `n` images.

    Example:
        >>> read_labels_of(pathlib.Path("chests.pack"), 40)[:3]
        array([0, 1, 0])
    """
    path = folder / LABELS
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        labels = np.load(io.BytesIO(content), allow_pickle=False)["labels"]
    except Exception as error:  # NumPy and zipfile have many for what is damaged, a TokenError among them
        raise PackError(f"{path}: cannot be read: {error}") from None
    if labels.shape[:1] != (n,) or labels.dtype.kind not in "biuf":
        raise PackError(f"{path}: expected {n} numbers, got dtype {labels.dtype}, shape {labels.shape}")
    return labels


def write_labels_of(folder: Path, labels: np.ndarray) -> None:
    """Puts labels beside the images of a pack, whole or not at all.

    Example:
        >>> write_labels_of(pathlib.Path("chests.pack"), labels)
    """
    content = io.BytesIO()
    np.savez(content, labels=labels)
    _write_whole(folder / LABELS, content.getvalue())


def _write_whole(path: Path, content: bytes) -> None:
    new = path.with_name(f"{NEW}{path.name}")
    new.write_bytes(content)
    os.replace(new, path)


def write_head(folder: Path, source: Source) -> None:
    """Puts the pack.json of a new pack into its folder.

    Example:
        >>> write_head(pathlib.Path("."), FileSource(paths, (64, 64), dtype="uint8"))
    """
    head = {"format": FORMAT, "id": uuid.uuid4().hex, "images": len(source), "reading": reading_of(source)}
    _write_whole(folder / HEAD, json.dumps(head, indent=1).encode())


def npy_header(n: int, shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """What a .npy file of `n` such arrays begins with.

    Example:
        >>> npy_header(3, (64, 64, 1), np.dtype("uint8"))[1:6]
        b'NUMPY'
    """
    file = io.BytesIO()
    head = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
    np.lib.format.write_array_header_1_0(file, head | {"shape": (n, *map(int, shape))})
    return file.getvalue()
