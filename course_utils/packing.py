"""Decode once, read for ever: any source becomes a pack, in one file."""

import contextlib
import errno
import glob
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
from .sources.pack import checksum_of
from .sources.pack_folder import (
    FILES,
    HEAD,
    IMAGES,
    LABELS,
    NEW,
    Row,
    add_rows,
    full_name,
    is_ours,
    mark_of,
    npy_header,
    read_head,
    reading_of,
    rows_of,
    write_head,
    write_labels_of,
    write_rows,
)
from .threads import for_each

TOGETHER = 64  # images that are decoded before they are written; fewer where they take more than the bytes
TOGETHER_BYTES = 2**25
LINE = 200  # bytes an image in files.csv, about
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)  # a drive that knows none
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, or what a file may have on it


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
            that is there they take the place of its own; None keeps those.
        replace: what to do about a pack that is not of this source any more. False raises an error that says
            why; True makes it anew, and the old one stays until the new one is whole. If it had labels, the
            new one wants some.
        progress: True shows a progress bar on standard error, and before it the disk that is needed, False
            neither, None only if that is a terminal.

    Returns:
        The pack, opened.

    Raises:
        PackError: the pack that is there is of something else; the disk does not suffice; or another process
            is at it.
        images.ImageError: an image cannot be used, or changed while it was read; the message names it.
        FileExistsError: the folder, or FOLDER.part, holds something else than a pack. Nothing is changed.
        OSError: the disk is full after all; the message says where what is done is kept.
        TypeError, ValueError: an argument is wrong; the message names it.

    Example:
        >>> source = FileSource(paths, (64, 64), dtype="uint8")
        >>> pack = make_pack(source, "small.pack", labels)
        >>> sequence = ImageSequence.from_source(pack, pack.labels, 32, shuffle=True)
    """
    source, replace = check_source("source", source), check_flag("replace", replace)
    labels = None if labels is None else _checked(labels, len(source))
    folder = Path(folder).resolve()  # the place itself, if a link leads there
    if pack := _existing(source, folder, labels, replace):
        _tidy(folder)
        return pack
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        _restore(folder)
        if pack := _existing(source, folder, labels, replace):
            return pack  # by somebody who has just finished
        part = folder.with_name(f"{folder.name}.part")
        with _told_if_full(part):
            _write(source, part, labels, progress)
        _publish(part, folder)
    return Pack(folder, source, check_files=False)


def _size(source: Source) -> int:
    return math.prod(source.shape) * np.dtype(source.dtype).itemsize


def _checked(labels, n: int) -> np.ndarray:
    array = np.array(labels)
    hidden = isinstance(labels, np.ma.MaskedArray) and labels.mask.any()  # which would be trained on
    if hidden or array.dtype.kind not in "biuf" or array.ndim not in (1, 2) or len(array) != n:
        raise ValueError(
            f"labels must be numbers of shape ({n},) or ({n}, k), one entry an image, none masked; got "
            f"dtype {array.dtype} and shape {array.shape}"
        )
    return array


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Sees to it that nobody else makes the same pack; the system frees the lock of a process that dies."""
    lock = _lock_of(folder)
    with open(lock, "ab") as file:
        try:
            _lock(file)
            if not os.path.samestat(os.fstat(file.fileno()), os.stat(lock)):
                raise FileNotFoundError  # its owner has just ended, and taken it along
        except (BlockingIOError, PermissionError, FileNotFoundError):
            raise PackError(f"{folder}: another process is making this pack") from None
        try:
            yield
        finally:
            # Windows deletes no file that is open; and somebody may have deleted it already.
            with contextlib.suppress(PermissionError, FileNotFoundError):
                os.unlink(lock)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


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
        if error.errno not in NO_LOCKS:
            raise


def _existing(source: Source, folder: Path, labels: np.ndarray | None, replace: bool) -> Pack | None:
    """The pack of the source that is there already. Whatever else is there is an error, unless it may go."""
    if not os.path.lexists(folder):
        return None
    if folder.is_dir() and folder != Path.cwd() and not any(folder.iterdir()):
        folder.rmdir()  # now: where this is not allowed, no renaming onto it would be
        return None
    if not (folder / HEAD).is_file() or not is_ours(folder):
        raise FileExistsError(f"{folder}: holds something else than a pack; nothing was changed")
    try:
        pack = Pack(folder, source)
    except PackError:
        if not replace:
            raise
        if labels is None and (folder / LABELS).exists():
            raise ValueError(f"{folder}: has labels; replace=True wants those of the new pack") from None
        return None
    if labels is not None:
        write_labels_of(folder, labels)
        pack.labels = labels
    return pack


@contextlib.contextmanager
def _told_if_full(part: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(
            error.errno,
            f"{error.strerror}. What is done is kept in {part}: make room, and make_pack goes on there; or "
            "delete it",
        ) from None


def _write(source: Source, part: Path, labels: np.ndarray | None, progress: bool | None) -> None:
    """Fills the folder with what a pack has."""
    if part.is_dir() and not is_ours(part):
        raise FileExistsError(f"{part}: holds something else than a part of a pack; nothing was changed")
    done = _resume(source, part)
    hide = None if progress is None else not progress  # None: hide unless standard error is a terminal
    with tqdm(desc="packing", unit="image", initial=done, total=len(source), disable=hide) as bar:
        _check_disk(source, part, done, bar)
        _fill(source, part, done, bar)
    if labels is not None:
        write_labels_of(part, labels)


def _resume(source: Source, part: Path) -> int:
    """How many images an earlier run left that are still true; what is not is cut off."""
    part.mkdir(exist_ok=True)
    if not (part / HEAD).exists():
        write_head(part, source)
    (part / LABELS).unlink(missing_ok=True)
    new = part / f"{NEW}{FILES}"
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
    """The lines of an earlier run as far as they are true: by their names, by the checksums of files and
    pixels, and, one in 64, by what the source reads now."""
    try:
        if read_head(part)["reading"] != reading_of(source):
            return
        with open(part / IMAGES, "rb") as images:
            images.seek(len(npy_header(len(source), source.shape, source.dtype)))
            for at, row in zip(range(len(source)), rows_of(part / FILES), strict=False):
                same = row.name == full_name(source, at) and row.mark.bytes >= 0 and row.mark.fits(row.name)
                if not same or zlib.crc32(images.read(_size(source))) != row.pixels:
                    return
                if at % TOGETHER == 0 and checksum_of(source, at) != row.pixels:
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
            bar.update(len(rows))


def _decoded(source: Source, positions: range) -> tuple[np.ndarray, list[Row]]:
    pixels = np.empty((len(positions), *source.shape), source.dtype)
    rows: list[Row | None] = [None] * len(positions)

    def decode(slot: int) -> None:
        position = positions[slot]
        name = full_name(source, position)
        mark = mark_of(name)
        try:
            if type(source) is FileSource:
                source.read_into(pixels[slot], position)
            else:
                array = source[position]
                if fault := array_fault(array, source.shape, pixels.dtype):
                    raise ImageError(fault)
                pixels[slot] = array
            if mark.bytes >= 0 and not mark.is_near(os.stat(name)):
                raise ImageError("changed while it was packed")
        except MemoryError:
            raise  # not the image's fault
        except Exception as error:
            raise ImageError(named(source, position, error)) from error
        rows[slot] = Row(name, mark, zlib.crc32(pixels[slot]))

    for_each(decode, range(len(positions)))
    return pixels, rows


def _publish(part: Path, folder: Path) -> None:
    """The folder that is whole takes its name; a pack that bore it before is kept until then."""
    for path in (*part.iterdir(), part):
        _sync(path)
    try:
        if folder.exists():
            folder.rename(_set_aside(folder))
        part.rename(folder)
        _sync(folder.parent)
    finally:
        _restore(folder)


def _tidy(folder: Path) -> None:
    """Takes away what a run left that was killed when its pack was whole."""
    if _lock_of(folder).exists():
        with contextlib.suppress(OSError, PackError), _alone(folder):
            _restore(folder)


def _set_aside(folder: Path) -> Path:
    """Where an old pack lies while the new one takes its name: nobody else has a folder of this one's id."""
    return folder.with_name(f"{folder.name}.{read_head(folder)['id']}")


def _restore(folder: Path) -> None:
    """Ends what was begun: an old pack that lies aside takes its name again, or goes if that is taken."""
    for path in folder.parent.glob(f"{glob.escape(folder.name)}.*"):
        if len(path.suffix) != 33 or not path.is_dir() or not is_ours(path):
            continue
        if path.name != f"{folder.name}.{read_head(path)['id']}":
            continue
        if folder.exists():
            shutil.rmtree(path)
        else:
            path.rename(folder)


def _sync(path: Path) -> None:
    """Has the disk write what it still holds back, so that no power cut leaves a name without its content."""
    with contextlib.suppress(OSError):  # Windows opens no folder, and some drives know no such thing
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
