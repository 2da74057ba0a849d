"""Index a folder of your own pictures: a labels.csv for the course.

    python -m data_scripts.index_folder FOLDER --patient '(\\d{8})_'

The folder's immediate sub-folders are the classes; or, where they are named train, val and test, they are the
split, which is kept, and the folders below them the classes; or a table says which picture is what. Pictures
lie anywhere below, under any name. Every picture is opened to its last pixel, so that a damaged one is found
now and not in the middle of an epoch. What cannot be used is left out and named in the report. The columns of
labels.csv, sorted by file:

file     the picture, relative to the folder, with forward slashes
label    0 to K - 1, the classes in the order of their names
split    train, validation or test: as the folders say, else about 60/20/20 per cent of each class
class    the class's name
patient  only where --patient or the table says who it is; a patient is in one split only
"""

import argparse
import contextlib
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from course_utils.checks import check_flag, check_whole
from course_utils.dataset import SPLITS
from course_utils.images import MAX_PIXELS

from ._folders import write_labels
from ._pictures import from_folders, from_table, open_all
from ._splits import check_patients, copies_to_leave_out, join, split_all
from ._tree import listed

PROGRAM = "data_scripts.index_folder"
ASIDE = ".index_folder-"


@dataclass(frozen=True)
class Index:
    """What `index` made of a folder.

    Attributes:
        labels_csv: absolute path of the table.
        classes: each class's label; 1 for the positive one and 0 for all others, if one was named.
        counts: how many pictures each split holds of each label: `counts["train"][1]`.
        given: whether the split is the folders' or the table's, and not drawn.
        patients: how many patients there are; None if nothing told them apart.
        unknown: how many pictures have no patient in the table; each counts as a patient of its own.
        color: how many pictures are in colour; the others are grey, whatever their files say.
        bad: the files (and links) that were left out, each with the reason.
        copies: groups of good pictures that are the same byte for byte.
        disputed: how many of these groups stand in more than one class.
    """

    labels_csv: Path
    classes: dict[str, int]
    counts: dict[str, dict[int, int]]
    given: bool
    patients: int | None
    unknown: int
    color: int
    bad: dict[str, str]
    copies: list[list[str]]
    disputed: int

    def report(self) -> str:
        """All of it in plain words, several lines."""
        total = sum(sum(of.values()) for of in self.counts.values())
        classes = "; ".join(f"{_shown(name)} = {label}" for name, label in self.classes.items())
        lines = [f"{_many(total, 'picture')} in {len(self.classes)} classes: {classes}"]
        for split, of in self.counts.items():
            each = ", ".join(f"{n} of label {label}" for label, n in of.items())
            if len(of) > 10:
                each = f"{min(of.values())} to {max(of.values())} of each label"
            lines.append(f"  {split:<10} {sum(of.values()):>6}: {each}")
        if self.given:
            empty = [split for split, of in self.counts.items() if not any(of.values())]
            lines.append("The split is the given one" + f"; it has no {' and no '.join(empty)}" * bool(empty))
        lines.append(
            f"{total - self.color} grey and {self.color} in colour: color_mode="
            f"{'rgb' if 2 * self.color >= total else 'grayscale'!r}"
        )
        if self.patients is None:
            lines.append(
                "Every picture counts as a patient of its own. If some patients have several pictures, use "
                "--patient: a patient in two splits makes the validation score too good."
            )
        else:
            rest = f"; {_many(self.unknown, 'picture')} without one" if self.unknown else ""
            lines.append(f"{_many(self.patients, 'patient')}, each in one split only{rest}")
        if self.copies:
            lines.append(
                f"{_many(len(self.copies), 'picture')} in several copies, each in one split only, "
                f"and {self.disputed} of them in several classes; the first: "
                + ", ".join(map(_shown, self.copies[0]))
            )
        if self.bad:
            lines.append(f"{_many(len(self.bad), 'bad file')} left out:")
            lines += [f"  {_shown(name)}: {_shown(reason)}" for name, reason in self.bad.items()]
        return "\n".join(lines)


def _many(number: int, what: str) -> str:
    return f"{number} {what}" + "s" * (number != 1)


def _shown(text: str) -> str:
    """Fit to print: a file's name may hold line breaks, codes that steer the terminal, or broken Unicode."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _labels(classes: list[str], positive: str | None) -> tuple[dict[str, int], list[str]]:
    """Each class's label, and what each label is called."""
    if positive is None:
        return {name: label for label, name in enumerate(classes)}, classes
    if positive not in classes:
        raise ValueError(f"there is no class {positive!r} to be label 1; the classes are {listed(classes)}")
    return {name: int(name == positive) for name in classes}, [f"not {positive}", positive]


def _patterns(name: str, value: Sequence[str]) -> list[str]:
    """The patterns as a list; TypeError for a single string, whose letters would be patterns."""
    if not isinstance(value, (list, tuple)) or not all(isinstance(pattern, str) for pattern in value):
        raise TypeError(f"{name} must be a list of patterns, got {value!r}")
    return [pattern.removeprefix("./").rstrip("/") for pattern in value]


def _check_new(folder: Path, to: Path | None, force: bool) -> None:
    """Raises unless nothing of value stands where the result goes."""
    labels_csv = folder / "labels.csv"
    if to is None:
        if os.path.lexists(labels_csv) and not force:
            raise FileExistsError(f"{labels_csv} exists; replace it with --force (in Python force=True)")
    elif to == folder or to in folder.parents or folder in to.parents:
        raise ValueError(f"{to} must neither lie in {folder} nor contain it: name a folder elsewhere")
    elif os.path.lexists(to) and not (to.is_dir() and all(map(_is_ours, to.iterdir()))):
        raise FileExistsError(f"{to} exists; name a folder that is new or empty")


def _is_ours(path: Path) -> bool:
    """Whether it is a folder that `_aside` made."""
    return path.name.startswith(ASIDE)


@contextlib.contextmanager
def _aside(home: Path, advice: str) -> Iterator[Path]:
    """A folder to write in, on the same disk as the place where the result is moved to at the end."""
    try:
        path = Path(tempfile.mkdtemp(prefix=ASIDE, dir=home))
    except OSError as error:
        raise PermissionError(f"{home} cannot be written to ({error.strerror}){advice}") from None
    try:
        yield path / "new"  # mkdtemp's own folder is closed to everybody else
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _copy(folder: Path, names: Iterable[str], new: Path) -> None:
    for name in names:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        # "x": on a disk that takes "a.png" and "A.png" for one file, no picture replaces another.
        with open(folder / name, "rb") as source, open(new / name, "xb") as copy:
            shutil.copyfileobj(source, copy)


def _put(new: Path, folder: Path, to: Path | None) -> None:
    """Moves the result to its place."""
    if to is None:
        os.replace(new / "labels.csv", folder / "labels.csv")
    elif to.exists():
        for name in sorted(os.listdir(new), key="labels.csv".__eq__):  # the table last: all else is there
            os.replace(new / name, to / name)
    else:
        to.parent.mkdir(parents=True, exist_ok=True)
        os.replace(new, to)


def _copies(digests: Sequence[bytes]) -> list[list[int]]:
    """The positions of those that have the same digest, where there are several."""
    same: dict[bytes, list[int]] = {}
    for at, digest in enumerate(digests):
        same.setdefault(digest, []).append(at)
    return [group for group in same.values() if len(group) > 1]


def _patient_pattern(patient: str | None) -> re.Pattern | None:
    if not isinstance(patient, (str, type(None))):
        raise TypeError(f"patient must be a string, got {patient!r}")
    try:
        return None if patient is None else re.compile(patient)
    except (re.error, OverflowError) as error:
        raise ValueError(f"patient {patient!r} is not a regular expression ({error})") from None


def index(
    folder: str | os.PathLike,
    *,
    to: str | os.PathLike | None = None,
    positive: str | None = None,
    patient: str | None = None,
    exclude: Sequence[str] = (),
    keep: Sequence[str] = (),
    table: str | os.PathLike | None = None,
    columns: Mapping[str, str | Sequence[str]] | None = None,
    suffix: str = "",
    level: int | None = None,
    redraw: bool = False,
    max_pixels: int = MAX_PIXELS,
    seed: int = 0,
    force: bool = False,
    progress: bool | None = None,
) -> Index:
    """Opens every picture below a folder's class folders and writes labels.csv into the folder.

    A file that cannot be used never stops the run: it is left out, and `Index.bad` says why. The same
    folder and arguments give the same bytes. Prints nothing to standard output. Copies of a picture, the same
    byte for byte, never end in two splits.

    Args:
        folder: its immediate sub-folders are the classes. Or they are `train`, `val` (`valid`, `validation`)
            and `test`, in upper or lower case: then they are the split, and hold the class folders. A split
            without validation has it drawn from train.
        to: a new or empty folder elsewhere. The good pictures are copied there, under the same names, and
            labels.csv is written there; `folder` stays as it is, and may be read-only.
        positive: the class that is label 1, all others being 0. None: classes are 0, 1, 2, ... by name.
        patient: regular expression searched in each file's name (relative to the folder, with forward
            slashes); its first group, or the whole match if it has none, is the patient. All pictures of a
            patient go into one split. None: every picture counts as a patient of its own.
        exclude: patterns as in a shell, of files and folders to leave out: "*_mask*", "masks". Each must
            match something.
        keep: patterns of files and folders that look like masks and are pictures to learn from.
        table: a CSV file that says which picture is what, in the place of the sub-folders.
        columns: the table's columns: which is "file" and "class", and where there are some "patient" and
            "split". A class of several columns with one 1 in a row: {"class": ["MEL", "NV"], ...}.
            Who has no patient in the table counts as a patient of its own.
        suffix: what to add to the names in the table, such as ".jpg".
        level: 1 if the immediate sub-folders are the classes, 2 if those below them are; None finds out, and
            asks where it could be either.
        redraw: draw a split although the folders or the table give one.
        max_pixels: the largest picture allowed, see `course_utils.load_image`.
        seed: 0 or more; another seed gives other splits.
        force: replace an existing labels.csv.
        progress: True shows a progress bar on standard error, False none, None only if that is a terminal.

    Returns:
        The `Index`, whose `report()` tells it in words.

    Raises:
        TypeError: `patient` is of another kind.
        NotADirectoryError: there is no such folder.
        FileExistsError: there is a labels.csv, and `force` is not set; or `to` is not empty.
        PermissionError: the folder where the result goes cannot be written to.
        ValueError: an argument is not as described; folders or files look like masks; the parts of a split
            hold different classes or part a patient; a class has no good picture; a good picture's name has
            no patient; or a class has too few pictures or patients for the splits. The message says which.
    """
    pattern = _patient_pattern(patient)
    force, redraw = check_flag("force", force), check_flag("redraw", redraw)
    if "" in (os.fspath(folder), to):  # a shell's unset variable would mean the current folder
        raise ValueError("a folder's name is empty")
    folder = Path(folder).expanduser().resolve()
    to = None if to is None else Path(to).expanduser().resolve()
    if level not in (None, 1, 2):
        raise ValueError(f"level must be 1, 2 or None, got {level!r}")
    if not isinstance(suffix, str):
        raise TypeError(f"suffix must be a string, got {suffix!r}")
    seed, max_pixels = check_whole("seed", seed, 0), check_whole("max_pixels", max_pixels, 1)
    exclude, keep = _patterns("exclude", exclude), _patterns("keep", keep)
    if (table is None) != (columns is None):
        raise ValueError("table and columns belong together")
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    if table is not None and to is None and Path(table).resolve() == folder / "labels.csv":
        raise ValueError(
            f"{table} would be replaced by the result; copy the pictures with --to (in Python to=)"
        )
    _check_new(folder, to, force)
    home, advice = folder, "; copy the pictures and write there with --to OTHER (in Python to=)"
    if to is not None:  # an empty folder may be a disk of its own
        home, advice = next(place for place in (to, *to.parents) if place.exists()), ""
    with _aside(home, advice):  # better to learn now than after minutes that nothing can be written
        pass

    if table is None:
        pictures = from_folders(folder, exclude, keep, level, redraw)
    else:
        pictures = from_table(folder, table, columns, suffix, exclude, redraw)
    classes, label_names = _labels(pictures.all_classes, positive)
    bar = partial(tqdm, unit="picture", disable=None if progress is None else not progress)
    looks = open_all(folder, pictures.names, max_pixels, bar)
    pictures = pictures.without({name: look.reason for name, look in looks.items() if look.reason})
    if pictures.given:
        digests = [looks[name].digest for name in pictures.names]
        pictures = pictures.without(copies_to_leave_out(pictures.names, pictures.splits, digests))
    pictures.check()
    labels = [classes[name] for name in pictures.classes]
    ids = pictures.patients if pattern is None else pictures.search(pattern)
    if ids and pictures.given:
        check_patients(ids, pictures.splits)
    digests = [looks[name].digest for name in pictures.names]
    who = [
        patient or f"\0{name}" for patient, name in zip(ids or pictures.names, pictures.names, strict=True)
    ]
    groups = join(who, digests)
    splits = split_all(groups, [label_names[label] for label in labels], pictures.splits, seed)

    table = {"file": pictures.names, "label": labels, "split": splits}
    table["class"] = [label_names[label] for label in labels]
    if ids:
        table["patient"] = ids
    with _aside(home, advice) as new:
        new.mkdir()
        if to is not None:
            _copy(folder, bar(pictures.names, desc="copying"), new)
        write_labels(new / "labels.csv", table, zip(*table.values(), strict=True))
        _check_new(folder, to, force)  # look again: much may have happened in the meantime
        _put(new, folder, to)
    tally = Counter(zip(splits, labels, strict=True))
    copies = _copies(digests)
    return Index(
        labels_csv=(to or folder) / "labels.csv",
        classes=classes,
        counts={split: {label: tally[split, label] for label in range(len(label_names))} for split in SPLITS},
        given=pictures.given,
        patients=len(set(ids) - {""}) if ids else None,
        unknown=ids.count("") if ids else 0,
        color=sum(looks[name].color for name in pictures.names),
        bad=dict(sorted(pictures.bad.items())),
        copies=[[pictures.names[at] for at in group] for group in copies],
        disputed=sum(len({pictures.classes[at] for at in group}) > 1 for group in copies),
    )


def _column(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise argparse.ArgumentTypeError(f"expected OURS=THEIRS, got {text!r}")
    return ours, theirs


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; returns the exit status: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}",
        description="Write labels.csv for a folder with one sub-folder a class, so that the course can use "
        "it. Every picture is opened; bad files are reported and left out.",
        epilog="Classes become 0, 1, 2, ... in the order of their names. About 60/20/20 per cent of each go "
        "to train, validation and test, unless folders of these names hold the class folders. Prints a "
        "report, and the path of labels.csv last.",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", help="its sub-folders are the classes, or train, val and test above them"
    )
    parser.add_argument("--positive", metavar="NAME", help="the class that is label 1; all others are 0")
    parser.add_argument(
        "--patient",
        metavar="REGEX",
        help="finds the patient in a file's name relative to FOLDER: the first group, or the whole match. A "
        r"patient's pictures all go into one split. For names like 00001371_003.png: '(\d{8})_'",
    )
    parser.add_argument(
        "--exclude",
        metavar="PATTERN",
        action="append",
        default=[],
        help="files and folders to leave out, as in a shell: '*_mask*'. May be given several times",
    )
    parser.add_argument(
        "--keep",
        metavar="PATTERN",
        action="append",
        default=[],
        help="files and folders that look like masks and are pictures to learn from",
    )
    parser.add_argument(
        "--table", metavar="FILE", help="a CSV file that says which picture is what, in place of sub-folders"
    )
    parser.add_argument(
        "--column",
        metavar="OURS=THEIRS",
        action="append",
        type=_column,
        dest="columns",
        help="the table's columns: file=image_name, class=diagnosis (or class=MEL,NV,BCC: one of them is 1), "
        "and where there are some patient=... and split=...",
    )
    parser.add_argument("--suffix", default="", metavar="S", help="what the table's names lack, such as .jpg")
    parser.add_argument(
        "--level",
        type=int,
        choices=(1, 2),
        help="1 if FOLDER's sub-folders are the classes, 2 if those below them are",
    )
    parser.add_argument(
        "--redraw", action="store_true", help="draw a split although the folders or the table give one"
    )
    parser.add_argument(
        "--max-pixels", type=int, default=MAX_PIXELS, metavar="N", help="the largest picture allowed"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="for other splits (default: 0)")
    parser.add_argument("--force", action="store_true", help="replace an existing labels.csv")
    parser.add_argument(
        "--to",
        metavar="OTHER",
        help="copy the good pictures to OTHER, a new or empty folder, and write labels.csv there; FOLDER "
        "stays as it is",
    )
    given = vars(parser.parse_args(arguments))
    given["columns"] = dict(given["columns"]) if given["columns"] else None
    try:
        made = index(**given)
    except (OSError, ValueError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    encoding = sys.stdout.encoding or "utf-8"  # a terminal that lacks a name's letters gets them escaped
    text = f"{made.report()}\n{made.labels_csv}"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    return 0


if __name__ == "__main__":
    sys.exit(main())
