"""Decode once, read for ever: any source becomes a pack, in one file."""

import contextlib
import errno
import math
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .checks import check_flag
from .images import ImageError
from .sources import FileSource, Pack, PackError, Source, array_fault, check_source, named
from .sources.pack_folder import (
    FILES,
    HEAD,
    IMAGES,
    LABELS,
    Row,
    add_rows,
    mark_of,
    npy_header,
    read_head,
    reading_of,
    rows_of,
    write_head,
    write_rows,
)
from .threads import for_each

TOGETHER = 64  # images that are decoded before they are written; fewer where they take more than the bytes
TOGETHER_BYTES = 2**25
LINE = 200  # bytes an image in files.csv, about


def pack_bytes(source: Source) -> int:
    """Bytes of disk that a pack of the source takes: its images, and about 200 a line of its list of files.

    Example:
        >>> pack_bytes(FileSource(paths, (64, 64), dtype="uint8"))
        171968
    """
    return len(npy_header(len(source), source.shape, source.dtype)) + len(source) * (_size(source) + LINE)


def make_pack(
    source: Source,
    folder: str | os.PathLike,
    labels=None,
    *,
    replace: bool = False,
    progress: bool | None = None,
) -> Pack:
    """Decodes every image of a source once, into a pack; or opens the pack, if it is there.

    The pack appears whole or not at all. What was done before a kill, Ctrl-C, a full disk or a broken file
    lies in FOLDER.part; the same call goes on there, with those images that are still true by the checksums
    of file and pixels. Delete it if you do not want to go on. Memory is that of some images, up to 34 MB.

    Args:
        source: image files as a `FileSource`, masks as a `MaskSource`, or any other. With dtype="uint8" the
            pack takes a quarter of what it takes with "float32".
        folder: where the pack is to be; the folders above it are made.
        labels: one entry an image, (n,) or (n, k), numbers or booleans, kept beside the images. For a pack
            that is there they take the place of its own. None keeps those.
        replace: what to do about a pack that is not of this source any more. False raises an error that says
            why; True makes it anew, and the old one stays until the new one is whole.
        progress: True shows a progress bar on standard error, and before it the disk that is needed, False
            neither, None only if that is a terminal.

    Returns:
        The pack, opened.

    Raises:
        PackError: the pack that is there is of something else; the disk does not suffice; or another process
            is at it.
        images.ImageError: an image cannot be used, or changed while it was read; the message names it.
        FileExistsError: the folder holds something else than a pack.
        OSError: the disk is full after all; the message says what is kept.
        TypeError, ValueError: an argument is wrong; the message names it.

    Example:
        >>> source = FileSource(paths, (64, 64), dtype="uint8")
        >>> pack = make_pack(source, "small.pack", labels)
        >>> sequence = ImageSequence.from_source(pack, pack.labels, 32, shuffle=True)
    """
    source, folder = check_source("source", source), Path(folder).absolute()
    replace = check_flag("replace", replace)
    labels = None if labels is None else _labels(labels, len(source))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder.with_name(f"{folder.name}.lock")):
        if pack := _existing(source, folder, replace):
            if labels is not None:
                _save_labels(folder, labels)
                pack.labels = labels
            return pack
        part = folder.with_name(f"{folder.name}.part")
        done = _resume(source, part)
        hide = None if progress is None else not progress  # None: hide unless standard error is a terminal
        with tqdm(desc="packing", unit="image", initial=done, total=len(source), disable=hide) as bar:
            _check_disk(source, part, done, bar)
            _fill(source, part, done, bar)
        if labels is not None:
            _save_labels(part, labels)
        _publish(part, folder)
    return Pack(folder, source, check_files=False)


def _size(source: Source) -> int:
    return math.prod(source.shape) * np.dtype(source.dtype).itemsize


def _labels(labels, n: int) -> np.ndarray:
    array = np.array(labels)
    if array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or len(array) != n:
        raise ValueError(
            f"labels must be numbers of shape ({n},) or ({n}, k), one an image; got dtype {array.dtype} and "
            f"shape {array.shape}"
        )
    return array


def _save_labels(folder: Path, labels: np.ndarray) -> None:
    new = folder / f"new-{LABELS}"
    np.save(new, labels, allow_pickle=False)
    os.replace(new, folder / LABELS)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Sees to it that nobody else makes the same pack; the system frees the lock of a process that dies."""
    with open(lock, "ab") as file:
        try:
            _lock(file)
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                raise FileNotFoundError  # its owner has just ended, and taken it along
        except (BlockingIOError, PermissionError, FileNotFoundError):
            raise PackError(f"{lock.with_suffix('')}: another process is making this pack") from None
        try:
            yield
        finally:
            with contextlib.suppress(PermissionError):  # Windows deletes no file that is open
                os.unlink(lock)


def _lock(file) -> None:
    try:
        import fcntl
    except ImportError:
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (
            errno.ENOLCK,
            errno.ENOTSUP,
            errno.EINVAL,
            errno.ENOSYS,
        ):  # a drive without locks
            raise


def _existing(source: Source, folder: Path, replace: bool) -> Pack | None:
    """The pack of the source that is there already. Whatever else is there is an error, unless it may go."""
    if not folder.is_dir():
        if os.path.lexists(folder):
            raise FileExistsError(f"{folder}: is no folder")
        return None
    if not (folder / HEAD).is_file():
        if any(folder.iterdir()):
            raise FileExistsError(f"{folder}: holds something else than a pack")
        return None
    try:
        return Pack(folder, source)
    except PackError:
        if not replace:
            raise
        return None


def _resume(source: Source, part: Path) -> int:
    """How many images an earlier run left that are still true; what is not is cut off."""
    part.mkdir(exist_ok=True)
    new = part / f"new-{FILES}"
    done = write_rows(new, _kept(source, part))
    os.replace(new, part / FILES)
    write_head(part, source)
    header = npy_header(len(source), source.shape, source.dtype)
    with open(part / IMAGES, "ab") as images:
        images.truncate(len(header) + done * _size(source))
    with open(part / IMAGES, "r+b") as images:
        images.write(header)
    return done


def _kept(source: Source, part: Path) -> Iterator[Row]:
    try:
        if read_head(part)["reading"] != reading_of(source):
            return
        with open(part / IMAGES, "rb") as images:
            images.seek(len(npy_header(len(source), source.shape, source.dtype)))
            for at, row in zip(range(len(source)), rows_of(part / FILES), strict=False):
                same = row.name == source.name(at) and row.mark.bytes >= 0 and row.mark.fits(row.name)
                if not same or zlib.crc32(images.read(_size(source))) != row.pixels:
                    return
                yield row
    except (PackError, FileNotFoundError):
        return


def _check_disk(source: Source, part: Path, done: int, bar: tqdm) -> None:
    needed, free = pack_bytes(source) - done * (_size(source) + LINE), shutil.disk_usage(part).free
    if not bar.disable:
        bar.write(
            f"{part.with_suffix('')}: {len(source):,} images, {pack_bytes(source) / 1e6:,.0f} MB of disk, "
            f"{needed / 1e6:,.0f} MB of it to be written; {free / 1e6:,.0f} MB are free",
            file=sys.stderr,
        )
    if needed > free:
        if not done:
            shutil.rmtree(part)
        raise PackError(
            f"{part.with_suffix('')}: {needed / 1e6:,.0f} MB are to be written, {free / 1e6:,.0f} MB are free"
        )


def _fill(source: Source, part: Path, done: int, bar: tqdm) -> None:
    """Decodes what is left. Pixels first, then the lines that say that they are there."""
    together = max(1, min(TOGETHER, TOGETHER_BYTES // _size(source)))
    try:
        with (
            open(part / IMAGES, "ab") as images,
            open(part / FILES, "a", newline="", encoding="utf-8") as files,
        ):
            for first in range(done, len(source), together):
                pixels, rows = _decoded(source, range(first, min(first + together, len(source))))
                images.write(pixels)
                images.flush()
                add_rows(files, rows)
                files.flush()
                done += len(rows)
                bar.update(len(rows))
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            f"the disk is full after {done} of {len(source)} images. They are kept in {part}: make room, and "
            "make_pack goes on there; or delete it",
        ) from None


def _decoded(source: Source, positions: range) -> tuple[np.ndarray, list[Row]]:
    pixels = np.empty((len(positions), *source.shape), source.dtype)
    rows: list[Row | None] = [None] * len(positions)

    def decode(slot: int) -> None:
        position = positions[slot]
        name = source.name(position)
        mark = mark_of(name)
        try:
            if type(source) is FileSource:
                source.read_into(pixels[slot], position)
            else:
                array = source[position]
                if fault := array_fault(array, source.shape, pixels.dtype):
                    raise ImageError(fault)
                pixels[slot] = array
        except MemoryError:
            raise  # not the image's fault
        except Exception as error:
            raise ImageError(named(source, position, error)) from error
        if mark.bytes >= 0 and (mark.bytes, mark.modified_ns) != mark_of(name)[:2]:
            raise ImageError(f"{name}: changed while it was packed")
        rows[slot] = Row(name, mark, zlib.crc32(pixels[slot]))

    for_each(decode, range(len(positions)))
    return pixels, rows


def _publish(part: Path, folder: Path) -> None:
    """The folder that is whole takes its name; a pack that bore it before is kept until then."""
    for path in (*part.iterdir(), part):
        _sync(path)
    old = folder.with_name(f"{folder.name}.old")
    if (old / HEAD).is_file():
        shutil.rmtree(old)  # left by a run that was killed here
    if (folder / HEAD).is_file():
        folder.rename(old)
    elif folder.is_dir():
        folder.rmdir()  # empty; Windows renames nothing onto it
    try:
        part.rename(folder)
    except BaseException:
        if (old / HEAD).is_file() and not folder.exists():
            old.rename(folder)
        raise
    _sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync(path: Path) -> None:
    """Has the disk write what it still holds back, so that no power cut leaves a name without its content."""
    with contextlib.suppress(OSError):  # Windows opens no folder, and some drives know no such thing
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
