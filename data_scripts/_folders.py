"""What the data scripts share: a labels.csv, and a folder that is either whole or not there."""

import contextlib
import csv
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

MARKER = "dataset.json"
_making: set[str] = set()  # temporary folders this very process is writing


def write_labels(labels_csv: Path, columns: Iterable[str], rows: Iterable[tuple]) -> None:
    """Writes a labels.csv as `course_utils.read_labels` reads it: UTF-8, commas and quotes quoted.

    Args:
        labels_csv: the file; an older one is replaced.
        columns: as `read_labels` knows them, "file" and "label" at least.
        rows: one tuple a picture, in the order of the columns.
    """
    with open(labels_csv, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        table.writerows(rows)


def default_folder(name: str) -> Path:
    """data/NAME in the project's folder, or in the current one outside the project."""
    project = Path(__file__).resolve().parent.parent
    return (project if (project / "pyproject.toml").is_file() else Path.cwd()) / "data" / name


def printed(program: str, make: Callable[[], Path]) -> int:
    """Prints the path that a program made; returns its exit status: 0, or 2 with a message on stderr."""
    try:
        print(make())
    except (OSError, ValueError) as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return 2
    return 0


@dataclass(frozen=True)
class Maker:
    """A program that makes folders of images/*.png, labels.csv and dataset.json, whole or not at all.

    Attributes:
        program: the name that its dataset.json bears; how a folder of its own is told from any other.
        version: raised whenever the same arguments would give other pictures.
        pictures: a regular expression of its pictures' names; --force replaces no folder with others in it.
    """

    program: str
    version: int
    pictures: str

    def marker(self, folder: Path) -> dict | None:
        """What dataset.json says, or None if there is none of this program's."""
        try:
            marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return marker if isinstance(marker, dict) and marker.get("program") == self.program else None

    def mark(self, folder: Path, arguments: dict[str, int], **more: object) -> None:
        """Write dataset.json. The number of pictures must be in it, as "images"."""
        marker = {"program": self.program, "version": self.version, "arguments": arguments, **more}
        text = json.dumps(marker, indent=1) + "\n"
        (folder / MARKER).write_text(text, encoding="utf-8", newline="\n")

    def existing(self, folder: Path, arguments: dict[str, int], force: bool) -> Path | None:
        """The folder's labels.csv to reuse, None if it may be made; else raises FileExistsError."""
        if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
            return None
        marker = self.marker(folder)
        if marker is None:
            raise FileExistsError(
                f"{folder} exists and was not made by this program (it has no {MARKER} of {self.program}); "
                "it is left as it is. Name a folder that is new or empty."
            )
        if force:
            ours = re.compile(rf"labels\.csv|dataset\.json|images(/{self.pictures})?")
            for path in folder.rglob("*"):
                if not ours.fullmatch(path.relative_to(folder).as_posix()):
                    raise FileExistsError(
                        f"{folder} also holds {path}, which this program did not make; move it first"
                    )
            return None
        here = {"version": marker.get("version"), **marker.get("arguments", {})}
        asked = {"version": self.version, **arguments}
        if here != asked:
            raise FileExistsError(
                f"{folder} was made with {here}, but {asked} is asked for. Name another folder, "
                "or replace this one with --force (in Python force=True)."
            )
        images, left = {**arguments, **marker}.get("images"), len(list((folder / "images").rglob("*.png")))
        if left != images or not (folder / "labels.csv").is_file():
            raise FileExistsError(
                f"{folder} has lost files: {left} of {images} pictures are left. "
                "Make it again with --force (in Python force=True)."
            )
        return folder / "labels.csv"

    def make(
        self, folder: Path, arguments: dict[str, int], force: bool, write: Callable[[Path], None]
    ) -> Path:
        """Make the folder unless it is there already.

        Args:
            folder: where it is to be, an absolute path.
            arguments: what the pictures depend on; a folder made with others is not reused.
            force: make it again, in place of one that this program made.
            write: writes everything, dataset.json too, into the folder that it is given and has to create.
                That one's parent is deleted afterwards, with anything else that `write` keeps there.

        Returns:
            The path of labels.csv.

        Raises:
            FileExistsError: the folder holds something else.
        """
        _sweep(folder)
        if labels := self.existing(folder, arguments, force):
            return labels

        # Everything is written aside and renamed at the end: a folder of that name is always a finished one.
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.making-{os.getpid()}-", dir=folder.parent))
        _making.add(str(aside))
        try:
            write(aside / "new")
            self.existing(folder, arguments, force)  # look again: much may have happened while we wrote
            if force and folder.exists():
                folder.rename(aside / "old")
            elif folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()  # only succeeds if empty; Windows renames nothing onto an empty folder
            try:
                (aside / "new").rename(folder)
            except OSError:  # if another process was faster, use its pictures
                if not self.existing(folder, arguments, force=False):
                    raise
        finally:
            if not os.path.lexists(folder):
                with contextlib.suppress(OSError):
                    (aside / "old").rename(folder)  # stopped between the two renames: nothing is lost
            shutil.rmtree(aside, ignore_errors=True)
            _making.discard(str(aside))
        return folder / "labels.csv"


def _sweep(folder: Path) -> None:
    """Remove what killed runs left beside the folder."""
    name = re.compile(rf"\.{re.escape(folder.name)}\.making-(\d+)-\w+")
    for path in folder.parent.glob(".*.making-*"):
        # A new process may bear a dead one's number, ours above all: in a container the numbers start anew.
        if (found := name.fullmatch(path.name)) and str(path) not in _making:
            if int(found[1]) == os.getpid() or not psutil.pid_exists(int(found[1])):
                shutil.rmtree(path, ignore_errors=True)
