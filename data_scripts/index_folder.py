"""Index a folder of your own pictures: one sub-folder a class becomes a labels.csv for the course.

    python -m data_scripts.index_folder FOLDER --patient '(\\d{8})_'

The folder's immediate sub-folders are the classes; pictures lie anywhere below them, under any name. Every
picture is opened to its last pixel, so that a damaged one is found now and not in the middle of an epoch.
What cannot be used is left out and named in the report. The columns of labels.csv, sorted by file:

file     the picture, relative to the folder, with forward slashes
label    0 or 1
split    train, validation or test, about 60/20/20 of each label's pictures
patient  only where --patient says how to find it in the file's name; a patient is in one split only
"""

import argparse
import contextlib
import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import UnidentifiedImageError
from tqdm import tqdm

from course_utils import ImageError, load_image
from course_utils.checks import check_whole
from course_utils.dataset import inside

from ._folders import write_labels

PROGRAM = "data_scripts.index_folder"
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}
LITTER = ("thumbs.db", "desktop.ini", "__macosx")  # left by Windows and macOS, besides names with a dot


@dataclass(frozen=True)
class Index:
    """What `index` made of a folder.

    Attributes:
        labels_csv: absolute path of the table.
        classes: each class's label, 0 or 1.
        counts: how many pictures each split holds of each label: `counts["train"][1]`.
        patients: how many patients there are; None if no pattern told them apart.
        bad: the files (and links to folders) that were left out, each with the reason.
        copies: groups of good pictures that are the same byte for byte.
    """

    labels_csv: Path
    classes: dict[str, int]
    counts: dict[str, dict[int, int]]
    patients: int | None
    bad: dict[str, str]
    copies: list[list[str]]

    def report(self) -> str:
        """All of it in plain words, several lines."""
        total = sum(sum(of.values()) for of in self.counts.values())
        classes = "; ".join(f"{_shown(name)} = {label}" for name, label in self.classes.items())
        lines = [f"{_many(total, 'picture')} in {len(self.classes)} classes: {classes}"]
        for split, of in self.counts.items():
            lines.append(f"  {split:<10} {of[0] + of[1]:>6}: {of[0]} of label 0, {of[1]} of label 1")
        if self.patients is None:
            lines.append(
                "Every picture counts as a patient of its own. If some patients have several pictures, use "
                "--patient: a patient in two splits makes the validation score too good."
            )
        else:
            lines.append(f"{_many(self.patients, 'patient')}, each in one split only")
        if self.copies:
            labels = [{self.classes[name.partition("/")[0]] for name in group} for group in self.copies]
            both = sum(len(found) > 1 for found in labels)
            lines.append(
                f"{_many(len(self.copies), 'picture')} in several copies, {both} of them under both labels; "
                f"the first: {', '.join(map(_shown, self.copies[0]))}"
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


def _walk(folder: Path) -> tuple[list[str], list[str], dict[str, str]]:
    """The classes, the files below them that are worth opening, and what is bad without being opened."""
    classes, names, bad, todo = [], [], {}, [""]
    while todo:
        prefix = todo.pop()
        try:
            entries = list(os.scandir(folder / prefix))
        except OSError as error:
            if not prefix:
                raise
            bad[prefix[:-1]] = f"the folder cannot be read ({error.strerror})"
            continue
        for entry in entries:
            name = prefix + entry.name
            if entry.name.startswith(".") or entry.name.casefold() in LITTER or name == "labels.csv":
                continue
            link = entry.is_symlink() or getattr(entry, "is_junction", bool)()  # from Python 3.12 on
            if link and os.path.isdir(entry.path):
                bad[name] = "a link to a folder, which is not followed"
            elif entry.is_dir(follow_symlinks=False):
                todo.append(f"{name}/")
                if not prefix:
                    classes.append(name)
            elif not prefix:
                bad[name] = "in no class folder"
            elif reason := _unlistable(name):
                bad[name] = reason
            else:
                names.append(name)
    return sorted(classes), sorted(names), bad


def _unlistable(name: str) -> str | None:
    """Why labels.csv cannot hold this name, None if it can."""
    if name != name.strip():
        return "labels.csv cannot hold a name that starts or ends with a blank"
    if "\n" in name or "\r" in name:
        return "labels.csv cannot hold a name with a line break"
    try:
        name.encode()
    except UnicodeEncodeError:
        return "the name is not valid Unicode"
    try:
        inside(name, "")
    except ValueError:
        return "by the rules of Windows the name leads out of the folder"
    return None


def _look(folder: Path, name: str) -> tuple[str | None, bytes]:
    """Why the file cannot be used as a picture, None if it can; and a checksum of a good one."""
    if reason := _unusable(folder, name):
        return reason, b""
    with open(folder / name, "rb") as file:
        return None, hashlib.file_digest(file, "sha256").digest()


def _unusable(folder: Path, name: str) -> str | None:
    """Why the file cannot be used as a picture, None if it can: it is opened whole, and let go."""
    path = folder / name
    if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(folder):
        return "a link that leads out of the folder"
    try:
        load_image(path, dtype="uint8")
    except ImageError as error:
        cause = error.__cause__
        if isinstance(cause, UnidentifiedImageError):  # its message only repeats the path
            return "not a readable image" if path.stat().st_size else "an empty file"
        if isinstance(cause, OSError) and cause.strerror:
            return f"cannot be read ({cause.strerror})"
        return str(error).removeprefix(f"{path}: ").replace(str(path), name)
    return None


def _labels(classes: list[str], positive: str | None) -> dict[str, int]:
    listed = ", ".join(map(repr, classes)) or "none"
    if len(classes) < 2:
        raise ValueError(
            f"two or more class folders are needed, found {listed} (links to folders are not followed)"
        )
    if positive is None and len(classes) > 2:
        raise ValueError(
            f"{len(classes)} classes: {listed}. Say which of them is label 1, all others being 0, with "
            "--positive NAME (in Python positive=)"
        )
    if positive is not None and positive not in classes:
        raise ValueError(f"there is no class {positive!r} to be label 1; the classes are {listed}")
    return {name: int(name == (positive or classes[1])) for name in classes}


def _check_classes(classes: dict[str, int], good: list[str], bad: dict[str, str]) -> None:
    """Raises ValueError if a class has no good picture."""
    filled = {name.partition("/")[0] for name in good}
    for name in classes:
        if name not in filled:
            first = next((f for f in bad if f.partition("/")[0] == name), None)
            why = "it holds no file" if first is None else f"the first bad file is {first!r}: {bad[first]}"
            raise ValueError(f"class {name!r} has no good picture; {why}")


def _patients(names: list[str], pattern: re.Pattern) -> list[str]:
    """Each file's patient."""
    found = [pattern.search(name) for name in names]
    # An optional group that took no part in the match is None: no patient either.
    ids = [match and match[1 if pattern.groups else 0] for match in found]
    if missing := [name for name, patient in zip(names, ids, strict=True) if patient is None]:
        raise ValueError(
            f"the patient pattern {pattern.pattern!r} is not found in {len(missing)} of {len(names)} good "
            f"files, the first of them {missing[0]!r}"
        )
    ids = [patient.strip() for patient in ids]  # as labels.csv is read
    if "" in ids:
        raise ValueError(
            f"the patient pattern {pattern.pattern!r} finds an empty name in {names[ids.index('')]!r}"
        )
    return ids


def _feasible(have: list[tuple[int, int]], left: Counter) -> bool:
    """Whether every split can still get both labels from the patients left, counted by (has 0, has 1)."""
    lacking = Counter((not zeros, not ones) for zeros, ones in have)
    both = (True, True)
    best = min(left[both], lacking[both])  # who has both labels is worth most where both are lacking
    single = ((True, False), (False, True))
    short = sum(max(0, lacking[kind] + lacking[both] - best - left[kind]) for kind in single)
    return short <= left[both] - best


def _split(patients: dict[str, list[int]], seed: int) -> dict[str, str]:
    """Each patient's split, from how many pictures of label 0 and 1 they have.

    The largest patients come first, each into the split where the pictures then deviate least from the
    shares wanted (chi-square, over both labels), but never so that a split could end without a label.
    """

    def order(patient: str) -> tuple[int, bytes]:  # a hash: the same with every version of every library
        return -sum(patients[patient]), hashlib.sha256(f"{seed} {patient}".encode()).digest()

    totals = [sum(counts) for counts in zip(*patients.values(), strict=True)]
    wanted = {split: [share * total for total in totals] for split, share in SHARES.items()}
    have = {split: (0, 0) for split in SHARES}
    left = Counter((zeros > 0, ones > 0) for zeros, ones in patients.values())
    chosen = {}
    for patient in sorted(patients, key=order):
        new = patients[patient]
        left[new[0] > 0, new[1] > 0] -= 1
        best = None
        for split in SHARES:
            then = {**have, split: (have[split][0] + new[0], have[split][1] + new[1])}
            growth = zip(have[split], then[split], wanted[split], strict=True)
            cost = sum(((b - want) ** 2 - (a - want) ** 2) / want for a, b, want in growth)
            if (best is None or cost < best[0]) and _feasible(list(then.values()), left):
                best = cost, split, then
        _, chosen[patient], have = best  # three patients of each label always leave a way
    return chosen


def _check_new(folder: Path, to: Path | None, force: bool) -> None:
    """Raises unless nothing of value stands where the result goes."""
    labels_csv = folder / "labels.csv"
    if to is None:
        if os.path.lexists(labels_csv) and not force:
            raise FileExistsError(f"{labels_csv} exists; replace it with --force (in Python force=True)")
    elif to == folder or to in folder.parents or folder in to.parents:
        raise ValueError(f"{to} must neither lie in {folder} nor contain it: name a folder elsewhere")
    elif os.path.lexists(to) and not (to.is_dir() and not any(to.iterdir())):
        raise FileExistsError(f"{to} exists; name a folder that is new or empty")


@contextlib.contextmanager
def _aside(home: Path, advice: str) -> Iterator[Path]:
    """A folder to write in, on the same disk as the place where the result is moved to at the end."""
    try:
        path = Path(tempfile.mkdtemp(prefix=".index_folder-", dir=home))
    except OSError as error:
        raise PermissionError(f"{home} cannot be written to ({error.strerror}){advice}") from None
    try:
        yield path / "new"  # mkdtemp's own folder is closed to everybody else
    finally:
        shutil.rmtree(path, ignore_errors=True)


def index(
    folder: str | os.PathLike,
    *,
    to: str | os.PathLike | None = None,
    positive: str | None = None,
    patient: str | None = None,
    seed: int = 0,
    force: bool = False,
    progress: bool | None = None,
) -> Index:
    """Opens every picture below a folder's class folders and writes labels.csv into the folder.

    A file that cannot be used never stops the run: it is left out, and `Index.bad` says why. The same
    folder and arguments give the same bytes. Prints nothing to standard output.

    Args:
        folder: the folder whose immediate sub-folders are the classes.
        to: a new or empty folder elsewhere. The good pictures are copied there, under the same names, and
            labels.csv is written there; `folder` stays as it is, and may be read-only.
        positive: the class that is label 1, all others being 0. None: of two classes the second by name.
        patient: regular expression searched in each file's name (relative to the folder, with forward
            slashes); its first group, or the whole match if it has none, is the patient. All pictures of a
            patient go into one split. None: every picture counts as a patient of its own.
        seed: 0 or more; another seed gives other splits.
        force: replace an existing labels.csv.
        progress: True shows a progress bar on standard error, False none, None only if that is a terminal.

    Returns:
        The `Index`, whose `report()` tells it in words.

    Raises:
        TypeError: `patient` or `force` is of another kind.
        NotADirectoryError: there is no such folder.
        FileExistsError: there is a labels.csv, and `force` is not set; or `to` is not empty.
        PermissionError: the folder where the result goes cannot be written to.
        ValueError: an argument is not as described, a class has no good picture, a good picture's name has
            no patient, or a label has fewer than three patients, one for each split. The message says which.
    """
    for name, value, kinds in (("patient", patient, (str, type(None))), ("force", force, bool)):
        if not isinstance(value, kinds):
            raise TypeError(
                f"{name} must be {'True or False' if kinds is bool else 'a string'}, got {value!r}"
            )
    folder = Path(folder).expanduser().resolve()
    to = None if to is None else Path(to).expanduser().resolve()
    seed = check_whole("seed", seed, 0)
    try:
        pattern = None if patient is None else re.compile(patient)
    except (re.error, OverflowError) as error:
        raise ValueError(f"patient {patient!r} is not a regular expression ({error})") from None
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}")
    _check_new(folder, to, force)
    home, advice = folder, "; copy the pictures and write there with --to OTHER (in Python to=)"
    if to is not None:
        home, advice = next(parent for parent in to.parents if parent.exists()), ""
    with _aside(home, advice):  # better to learn now than after minutes that nothing can be written
        pass

    found, names, bad = _walk(folder)
    classes = _labels(found, positive)
    bar = partial(tqdm, unit="picture", disable=None if progress is None else not progress)
    pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))  # Pillow decodes outside the GIL
    try:
        looks = list(bar(pool.map(partial(_look, folder), names), total=len(names), desc="opening"))
    finally:
        pool.shutdown(cancel_futures=True)
    bad |= {name: reason for name, (reason, _) in zip(names, looks, strict=True) if reason}
    bad = dict(sorted(bad.items()))
    good = [name for name in names if name not in bad]
    _check_classes(classes, good, bad)

    same: dict[bytes, list[str]] = {}
    for name, (reason, digest) in zip(names, looks, strict=True):
        if not reason:
            same.setdefault(digest, []).append(name)
    # Copies of one picture are one patient: one to learn from and one for the exam would be no exam.
    twins = {name: group[0] for group in same.values() for name in group}
    ids = [twins[name] for name in good] if pattern is None else _patients(good, pattern)
    labels = [classes[name.partition("/")[0]] for name in good]
    patients: dict[str, list[int]] = {}
    for who, label in zip(ids, labels, strict=True):
        patients.setdefault(who, [0, 0])[label] += 1
    have = [sum(counts[label] > 0 for counts in patients.values()) for label in (0, 1)]
    if min(have) < len(SHARES):
        what = "patients" if pattern else "good pictures"
        whose = [", ".join(name for name in classes if classes[name] == label) for label in (0, 1)]
        raise ValueError(
            f"train, validation and test need at least {len(SHARES)} {what} of each label, one for each; "
            f"there are {have[0]} of label 0 ({whose[0]}) and {have[1]} of label 1 ({whose[1]})"
        )
    split_of = _split(patients, seed)
    splits = [split_of[who] for who in ids]

    with _aside(home, advice) as new:
        new.mkdir()
        if to is not None:
            for name in bar(good, desc="copying"):
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                # "x": on a disk that takes "a.png" and "A.png" for one file, no picture replaces another.
                with open(folder / name, "rb") as source, open(new / name, "xb") as copy:
                    shutil.copyfileobj(source, copy)
        columns = ("file", "label", "split") + ("patient",) * (pattern is not None)
        table = (good, labels, splits) + (ids,) * (pattern is not None)
        write_labels(new / "labels.csv", columns, zip(*table, strict=True))
        _check_new(folder, to, force)  # look again: much may have happened in the meantime
        if to is None:
            os.replace(new / "labels.csv", folder / "labels.csv")
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            if to.is_dir():
                to.rmdir()  # only succeeds if empty; Windows renames nothing onto an empty folder
            os.replace(new, to)
    tally = Counter(zip(splits, labels, strict=True))
    counts = {split: {label: tally[split, label] for label in (0, 1)} for split in SHARES}
    copies = [group for group in same.values() if len(group) > 1]
    labels_csv = (to or folder) / "labels.csv"
    return Index(labels_csv, classes, counts, len(patients) if pattern else None, bad, copies)


def main(arguments: list[str] | None = None) -> int:
    """Run as a program; returns the exit status: 0, or 2 with a message on standard error."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {PROGRAM}",
        description="Write labels.csv for a folder with one sub-folder a class, so that the course can use "
        "it. Every picture is opened; bad files are reported and left out.",
        epilog="Two classes become 0 and 1 in the order of their names. About 60/20/20 per cent of the "
        "pictures go to train, validation and test. Prints a report, and the path of labels.csv last.",
    )
    parser.add_argument("folder", metavar="FOLDER", help="its immediate sub-folders are the classes")
    parser.add_argument("--positive", metavar="NAME", help="the class that is label 1; all others are 0")
    parser.add_argument(
        "--patient",
        metavar="REGEX",
        help="finds the patient in a file's name relative to FOLDER: the first group, or the whole match. A "
        r"patient's pictures all go into one split. For names like 00001371_003.png: '(\d{8})_'",
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
