"""Fetch real radiographs: PneumoniaMNIST, 5856 chest pictures of children, with a labels.csv.

The pictures are downloaded once, checked against a checksum, and written one by one, so that the set, of
300 MB at 224 pixels, is never in memory as a whole. Run it from the project's folder,

    python -m data_scripts.fetch_dataset --help

or call `fetch()` from a notebook, which downloads once and afterwards only finds the pictures.

A fetched folder holds `images/train_00000.png` and so on (8-bit grey, square), `labels.csv` and
`dataset.json`, which names the source, the licence and whom to credit. The columns of labels.csv:

file     the picture, relative to the folder, with forward slashes; the rows are sorted by it
label    1 with pneumonia, 0 without
split    train, validation or test, as the set's authors divided it; who the patients are is not known

The downloaded archive is deleted when the pictures are written, or when anything goes wrong: a second
attempt downloads all of it again. To keep one, download it by hand and name it with --archive.
"""

import argparse
import contextlib
import os
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pooch
from PIL import Image
from requests import RequestException  # what pooch lets through
from tqdm import tqdm

from ._folders import Maker, default_folder, printed, write_labels

# size in pixels: address and MD5 checksum of the archive, as the set's authors publish them
ARCHIVES = {
    224: (
        "https://zenodo.org/records/10519652/files/pneumoniamnist_224.npz?download=1",
        "d6a3c71de1b945ea11211b03746c1fe1",
    ),
    28: (
        "https://zenodo.org/records/10519652/files/pneumoniamnist.npz?download=1",
        "28209eda62fecd6e6a2d98b1501bb15f",
    ),
}
LICENCE = "CC BY 4.0"
CREDIT = 'Yang et al., "MedMNIST v2", Scientific Data 2023; pictures from Kermany et al., Cell 2018'
MAKER = Maker("data_scripts.fetch_dataset", version=1, pictures=r"(train|validation|test)_\d{5}\.png")
COLUMNS = ("file", "label", "split")
SPLITS = {"train": "train", "val": "validation", "test": "test"}  # the archive's names, and the course's
LIMIT = 100_000  # pictures a split; more would neither fit the file names nor be this set
TIMEOUT = 30.0  # seconds


def _matches(archive: Path, md5: str) -> bool:
    return pooch.file_hash(str(archive), alg="md5") == md5


def _reason(error: Exception, outer: BaseException | None) -> str:
    """The innermost exception's text; what requests and urllib3 wrap around it fills half a page."""
    inner: BaseException = error
    while inner.__context__ not in (None, outer):  # outer: what our caller was handling, if anything
        inner = inner.__context__
    return " ".join(str(inner).split()) or type(inner).__name__


def _download(address: str, md5: str, archive: Path, timeout: float, hide: bool | None) -> None:
    outer = sys.exception()
    advice = "Try again, or download that file by hand and name it with --archive (in Python archive=...)."
    # A total of 0 or None would make tqdm count as false, and pooch then leaves it alone.
    bar = tqdm(total=1, desc="downloading", unit="B", unit_scale=True, disable=hide)
    # Not pooch.retrieve: it logs to standard error, and its message on a wrong checksum gives no advice.
    downloader = pooch.HTTPDownloader(
        progressbar=bar,
        chunk_size=2**16,
        timeout=timeout,  # requests takes it for connecting and for every wait for data
        headers={"User-Agent": f"{MAKER.program} (pooch {pooch.__version__})"},
    )
    with bar:
        try:
            downloader(address, str(archive), None)
        except (RequestException, ValueError) as error:  # ValueError: a Content-Length that is no number
            raise ConnectionError(
                f"{address} could not be downloaded: {_reason(error, outer)}. {advice}"
            ) from error
    if not _matches(archive, md5):
        raise ConnectionError(
            f"what came from {address} ({archive.stat().st_size:,} bytes) has not the checksum {md5}, "
            f"so it is not the data set and was deleted. {advice}"
        )


@contextlib.contextmanager
def _array(
    npz: zipfile.ZipFile, name: str, expected: str = ""
) -> Iterator[tuple[IO[bytes], tuple, np.dtype]]:
    """An array of the archive, opened behind its header; shape and dtype. Nothing of it is read yet."""
    try:
        member = npz.open(f"{name}.npy")
    except KeyError:
        raise ValueError(f"the archive holds no array {name!r}; expected {expected}") from None
    with member:
        try:
            # Version 1 keeps the header below 64 KiB; the others may ask for 4 GiB and are not needed here.
            if (version := np.lib.format.read_magic(member)) != (1, 0):
                raise ValueError(f"its format is {version}, not (1, 0)")
            shape, by_column, dtype = np.lib.format.read_array_header_1_0(member)
            if by_column:
                raise ValueError("it is stored column by column (Fortran's order), not row by row")
        except ValueError as error:
            raise ValueError(f"the archive's array {name!r} cannot be read: {error}") from None
        yield member, shape, dtype


def _labels(npz: zipfile.ZipFile, split: str, size: int) -> np.ndarray:
    """A split's labels, after a look at all that can be known of it without reading its pictures."""
    name = f"{split}_images"
    expected = f"uint8 (n, {size}, {size}), n from 1 to {LIMIT}"
    with _array(npz, name, expected) as (_, shape, dtype):
        if dtype != np.uint8 or shape[1:] != (size, size) or not 1 <= shape[0] <= LIMIT:
            raise ValueError(f"the archive's array {name!r} is {dtype} {shape}; expected {expected}")
    count, name = shape[0], f"{split}_labels"
    expected = f"whole numbers ({count}, 1) or ({count},), each 0 or 1"
    with _array(npz, name, expected) as (_, shape, dtype):
        if dtype.kind not in "iu" or shape not in ((count,), (count, 1)):
            raise ValueError(f"the archive's array {name!r} is {dtype} {shape}; expected {expected}")
    with npz.open(f"{name}.npy") as member:
        labels = np.lib.format.read_array(member, allow_pickle=False).ravel()
    if wrong := set(labels.tolist()) - {0, 1}:
        raise ValueError(f"the archive's array {name!r} also holds {min(wrong)}; expected {expected}")
    return labels


def _write(folder: Path, archive: Path, size: int, hide: bool | None) -> list[tuple]:
    """Write all pictures into a new folder; the rows of labels.csv."""
    rows = []
    with zipfile.ZipFile(archive) as npz:
        labels = {split: _labels(npz, split, size) for split in SPLITS}
        (folder / "images").mkdir(parents=True)
        total = sum(map(len, labels.values()))
        with tqdm(total=total, desc="writing", unit="picture", disable=hide) as bar:
            for split, ours in SPLITS.items():
                with _array(npz, f"{split}_images") as (member, _, _):
                    for k, label in enumerate(labels[split]):
                        pixels = member.read(size * size)  # one picture, never the whole array
                        if len(pixels) < size * size:
                            raise ValueError(f"the archive's array '{split}_images' ends after {k} pictures")
                        file = f"images/{ours}_{k:05d}.png"
                        picture = Image.frombytes("L", (size, size), pixels)
                        # Level 1 takes a third of the usual level's time, for a sixth more bytes.
                        picture.save(folder / file, compress_level=1)
                        rows.append((file, int(label), ours))
                        bar.update()
    return sorted(rows)


def fetch(
    folder: str | os.PathLike | None = None,
    *,
    size: int = 224,
    archive: str | os.PathLike | None = None,
    force: bool = False,
    timeout: float = TIMEOUT,
    progress: bool | None = None,
) -> Path:
    """Download PneumoniaMNIST unless it is there already; return the absolute path of its labels.csv.

    Prints nothing to standard output. However it ends, there is a whole folder or none; after a failure
    everything is downloaded again.

    folder: where the pictures are to be. None: data/pneumoniamnist_224 (or _28) in the project's folder, or
        in the current one outside the project.
    size: the pictures' width and height in pixels, 224 or 28.
    archive: an .npz file of that size, downloaded by hand; nothing is downloaded then. It is only read.
    force: fetch again, in place of a folder that this program made.
    timeout: seconds to wait for a connection, and then for each next piece of data.
    progress: True shows progress bars on standard error, False none, None only if that is a terminal.

    Raises ValueError for another size, for a timeout that is not above 0, and for an archive that has not the
    published checksum or not the expected content, FileNotFoundError if there is no such archive,
    ConnectionError if the download fails or has not that checksum, FileExistsError if the folder holds
    something else, and OSError for an error of the disk.
    """
    if size not in ARCHIVES:
        raise ValueError(f"size must be one of {', '.join(map(str, ARCHIVES))}, not {size!r}")
    if not timeout > 0:
        raise ValueError(f"timeout must be above 0 seconds, not {timeout!r}")
    size = int(size)
    address, md5 = ARCHIVES[size]
    folder = Path(default_folder(f"pneumoniamnist_{size}") if folder is None else folder)
    hide = None if progress is None else not progress  # None: hide unless standard error is a terminal
    given = None if archive is None else Path(archive).expanduser()

    def write(new: Path) -> None:
        npz = given or new.with_name("download.npz")
        if not given:
            _download(address, md5, npz, timeout, hide)
        elif not _matches(npz, md5):
            raise ValueError(
                f"{npz} has not the checksum {md5}: it is damaged, or not what {address} gives; "
                "download it again"
            )
        try:
            rows = _write(new, npz, size, hide)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ValueError(f"the archive is damaged: {error}") from error
        write_labels(new / "labels.csv", COLUMNS, rows)
        about = {"source": address, "licence": LICENCE, "credit": CREDIT}
        MAKER.mark(new, {"size": size}, images=len(rows), **about)

    return MAKER.make(folder.expanduser().resolve(), {"size": size}, force, write)


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; returns the exit status: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {MAKER.program}",
        description="Fetch PneumoniaMNIST, 5856 chest radiographs of children, as pictures with labels.csv. "
        f"Licence: {LICENCE}. Credit: {CREDIT}.",
        epilog="A finished folder is reused. Prints the path of labels.csv.",
    )
    parser.add_argument(
        "folder", nargs="?", metavar="FOLDER", help="default: data/pneumoniamnist_SIZE in the project"
    )
    parser.add_argument(
        "--size", type=int, choices=ARCHIVES, default=224, help="width and height in pixels (default: 224)"
    )
    parser.add_argument("--archive", metavar="FILE.npz", help="use this file, downloaded by hand before")
    parser.add_argument("--force", action="store_true", help="replace FOLDER, if this program made it")
    given = parser.parse_args(arguments)
    return printed(
        parser.prog, lambda: fetch(given.folder, size=given.size, archive=given.archive, force=given.force)
    )


if __name__ == "__main__":
    sys.exit(main())
