"""labels.csv -> paths, labels, splits. Names and numbers only: no picture is opened here."""

import csv
import math
import os
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.dtypes import StringDType

from .checks import check_whole

SPLITS = ("train", "validation", "test")
LESION = ("x", "y", "radius")


@dataclass(frozen=True)
class Dataset:
    """A list of images with what is known of each. All arrays have one entry an image.

    Attributes:
        folder: the folder that the images lie in.
        paths: StringDType array of absolute paths (about 100 MB a million; a list of Python strings
            costs more, and every worker process would copy it).
        labels: int64 array, 0 to K - 1 for K classes; int64 (n, k) of 0 and 1 for several flags an image;
            float32 for a number to predict.
        classes: what the labels mean: the K names, by label; the flags' names; () for a number.
        sides: int8 array, -1, 0 or 1: where the lesion lies in the picture; all 0 without that column.
        patients: StringDType array; empty strings without that column.
        lesions: float32 array (n, 3): x and y of the lesion's middle and its radius, 0 to 1, in parts of
            the picture's width and height from the upper left corner; NaN where none is known.
        splits: StringDType array, "train", "validation" or "test"; all "train" without that column.

    Example:
        >>> train = read_labels("labels.csv").split("train")
        >>> sequence = ImageSequence(train.paths, train.labels, 32, (64, 64), shuffle=True)
    """

    folder: Path
    paths: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    sides: np.ndarray
    patients: np.ndarray
    splits: np.ndarray
    lesions: np.ndarray

    def __len__(self) -> int:
        return len(self.paths)

    def split(self, name: str) -> "Dataset":
        """The images of one split, in the file's order.

        Args:
            name: "train", "validation" or "test".

        Raises:
            ValueError: no image belongs to that split; the message counts those that exist.
        """
        chosen = self.splits == name
        if not chosen.any():
            counts = {str(s): int((self.splits == s).sum()) for s in np.unique(self.splits)}
            raise ValueError(f"no image in split {name!r} of {self.folder / 'labels.csv'}: it has {counts}")
        return self._take(chosen)

    def head(self, n: int) -> "Dataset":
        """The first n images (all of them where there are fewer)."""
        return self._take(slice(check_whole("n", n, 0)))

    def _take(self, which: np.ndarray | slice) -> "Dataset":
        whole = ("folder", "classes")
        arrays = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name not in whole}
        return replace(self, **arrays)


def read_labels(
    labels_csv: str | os.PathLike,
    *,
    classes: str | Sequence[str] | None = None,
    flags: Sequence[str] | None = None,
    number: str | None = None,
    file: str = "file",
    suffix: str = "",
    patient: str | None = None,
    split: str | None = None,
    folder: str | os.PathLike | None = None,
) -> Dataset:
    """Reads `labels.csv`: the columns `file,label` and, where known, `class,side,patient,split,x,y,radius`.

    `label` is 0 to K - 1, `class` its name. For a table of your own say where the labels stand, by one of
    `classes`, `flags` and `number`.

    Args:
        labels_csv: the file, or the folder that holds it. UTF-8.
        classes: the column that names each image's class: the names are numbered in order. Or a list of
            columns, one a class, of which each row has one 1 and else 0.
        flags: a list of columns of 0 and 1, any number of which may be 1: labels (n, k).
        number: the column that holds a number to predict.
        file: the column that names the images, relative to `folder`.
        suffix: what to add to each name, such as ".jpg".
        patient, split: the columns that hold these. None: in a table of your own there are none.
        folder: where the images lie; None: the folder of the table.

    Returns:
        The `Dataset`. Whether the images exist is not checked here: the Sequence does that.

    Raises:
        FileNotFoundError: there is no such file.
        TypeError: two of `classes`, `flags` and `number` are given, or one is of another kind.
        ValueError: a column is missing, a row is wrong (a value is blank, NaN or of another kind), a file
            name leaves the folder, a file is listed twice, a class has no image, or a patient is in two
            splits. The message names the file and the line.

    Example:
        >>> data = read_labels("labels.csv")
        >>> len(data.head(4)), data.classes
        (4, ('0', '1'))

    The table of a skin lesion challenge, one column a class, names without ".png":
        >>> data = read_labels("lesions.csv", classes=["MEL", "NV"], file="image", suffix=".png")
        >>> data.classes, data.labels[:3]
        (('MEL', 'NV'), array([0, 1, 0]))
    """
    labels_csv = Path(labels_csv)
    if labels_csv.is_dir():
        labels_csv = labels_csv / "labels.csv"
    if not labels_csv.is_file():
        raise FileNotFoundError(f"no labels.csv at {labels_csv}: expected a CSV file with file,label,split")
    target = _target(classes, flags, number)
    folder = labels_csv.resolve().parent if folder is None else Path(folder).expanduser().resolve()
    names, found, patients, splits, sides, lesions = [], [], [], [], array("b"), array("f")
    try:
        with labels_csv.open(encoding="utf-8-sig", newline="") as opened:
            table = csv.DictReader(opened, strict=True)  # else an unclosed quote would swallow the rest
            columns = {"file": file, "patient": patient, "split": split}
            for name, value, side, who, part, lesion in _rows(table, labels_csv, target, columns, suffix):
                names.append(f"{folder}{os.sep}{name.replace('/', os.sep)}")
                found.append(value)
                patients.append(who)
                splits.append(part)
                sides.append(side)
                lesions.extend(lesion)
    except UnicodeError as error:
        raise ValueError(f"{labels_csv} is not a CSV file in UTF-8 ({error})") from None
    except csv.Error as error:
        raise ValueError(
            f"{labels_csv} is not a CSV file after its {len(names)}. row ({error}; is a quote unclosed?)"
        ) from None
    if not names:
        raise ValueError(f"{labels_csv} lists no image")
    labels, meaning = target.labels(found, labels_csv)
    text = StringDType()
    return Dataset(
        folder=folder,
        paths=np.array(names, dtype=text),
        labels=labels,
        classes=meaning,
        sides=np.frombuffer(sides, np.int8).copy(),
        patients=np.array(patients, dtype=text),
        splits=np.array(splits, dtype=text),
        lesions=np.frombuffer(lesions, np.float32).reshape(-1, 3).copy(),
    )


def _rows(
    table: csv.DictReader, labels_csv: Path, target, names: dict[str, str | None], suffix: str
) -> Iterator[tuple]:
    """File, label, side, patient, split and (x, y, radius) of each row, checked."""
    columns = list(table.fieldnames or [])
    ours = isinstance(target, _Numbered)  # in a table of somebody else's, "side" or "x" mean what they like
    for column in dict.fromkeys((*filter(None, names.values()), *target.columns)):
        if columns.count(column) != 1:
            raise ValueError(f"{labels_csv} must have one column {column!r}: it has {columns}")
    seen: set[str] = set()
    split_of: dict[str, str] = {}
    patients, splits = (names[each] or (each if ours else "") for each in ("patient", "split"))
    marked = ours and any(column in columns for column in LESION)
    unknown = (math.nan,) * 3
    for row in table:
        where = f"{labels_csv}, line {table.line_num}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: expected {len(columns)} values (is a comma unquoted?)")
        row = {column: text.strip() for column, text in row.items()}
        name = inside(row[names["file"]] and row[names["file"]] + suffix, where)
        if name in seen:
            raise ValueError(f"{where}: {name!r} is listed twice")
        seen.add(name)
        value = target.read(row, where)
        side = _one_of(ours and row.get("side") or "0", (-1, 0, 1), "side", where)
        patient, split = row.get(patients, ""), row.get(splits, "train")
        if split not in SPLITS:
            raise ValueError(f"{where}: split must be one of {', '.join(SPLITS)}, got {split!r}")
        if patient and split_of.setdefault(patient, split) != split:
            raise ValueError(
                f"{where}: patient {patient!r} is in {split_of[patient]} and in {split}; "
                "a patient in two splits makes the validation score too good"
            )
        split = SPLITS[SPLITS.index(split)]  # one string for all rows, not one a row
        yield name, value, side, patient, split, _lesion(row, where) if marked else unknown


# ---------------------------------------------------------------- what the labels are


@dataclass
class _Numbered:
    """The columns `label`, 0 to K - 1, and, where there is one, `class`."""

    columns = ("label",)

    def __post_init__(self):
        self.names: dict[int, str] = {}
        self.label_of: dict[str, int] = {}

    def read(self, row: dict[str, str], where: str) -> int:
        text = row["label"]
        if not (text.isascii() and text.isdigit()):
            raise ValueError(
                f"{where}: label must be a whole number, 0 to K - 1, got {text!r}. Of a table of your own "
                "say what its labels are, by classes=, flags= or number= (help(course_utils.read_labels))"
            )
        label = int(text)
        if "class" in row:
            name = _name(row, "class", where)
            above = self.names.setdefault(label, name), self.label_of.setdefault(name, label)
            if above != (name, label):
                raise ValueError(
                    f"{where}: label {label} is class {name!r} here; above are {above[0]!r} and {above[1]}"
                )
        return label

    def labels(self, found: list[int], labels_csv: Path) -> tuple[np.ndarray, tuple[str, ...]]:
        present = set(found)
        count = max(2, max(present) + 1)
        if count > 2 and len(present) < count:
            first = next(label for label in range(count) if label not in present)
            raise ValueError(
                f"{labels_csv}: labels must be 0 to K - 1, and one goes up to {count - 1}, but no image has "
                f"label {first}"
            )
        names = tuple(self.names.get(label, str(label)) for label in range(count))
        return np.array(found, np.int64), names


@dataclass
class _Named:
    """One column of names."""

    column: str

    def __post_init__(self):
        self.columns = (self.column,)
        self.first: tuple[str, bool] | None = None
        self.numbers: dict[str, int] = {}
        self.spelled: dict[float | str, str] = {}

    def read(self, row: dict[str, str], where: str) -> int:
        name = _name(row, self.column, where)
        if name not in self.numbers:
            self.first = self.first or (name, _is_number(name))
            if _is_number(name) != self.first[1]:
                raise ValueError(
                    f"{where}: {self.column} must be all names or all numbers; got {name!r} after "
                    f"{self.first[0]!r}"
                )
            alike = float(name) if self.first[1] else name.casefold()
            if self.spelled.setdefault(alike, name) != name:
                raise ValueError(
                    f"{where}: {self.column} has {name!r}, above {self.spelled[alike]!r}: one class or two?"
                )
            self.numbers[name] = len(self.numbers)
        return self.numbers[name]

    def labels(self, found: list[int], labels_csv: Path) -> tuple[np.ndarray, tuple[str, ...]]:
        names = in_order(self.numbers)
        if len(names) < 2:
            raise ValueError(f"{labels_csv}: expected two or more classes in {self.column}, got {names}")
        order = np.empty(len(names), np.int64)
        order[[self.numbers[name] for name in names]] = range(len(names))
        return order[np.array(found)], tuple(names)


@dataclass
class _Flags:
    """Several columns of 0 and 1; `one`: exactly one of them is 1, and its place is the class."""

    columns: tuple[str, ...]
    one: bool

    def read(self, row: dict[str, str], where: str) -> tuple[int, ...]:
        values = tuple(_flag(row[column], column, where) for column in self.columns)
        if self.one and sum(values) != 1:
            raise ValueError(f"{where}: expected one 1 in {', '.join(self.columns)}, got {sum(values)}")
        return values

    def labels(self, found: list[tuple], labels_csv: Path) -> tuple[np.ndarray, tuple[str, ...]]:
        table = np.array(found, np.int64)
        empty = [name for name, n in zip(self.columns, table.sum(axis=0), strict=True) if not n]
        if self.one and empty:
            raise ValueError(f"{labels_csv}: no image is of class {', '.join(map(repr, empty))}")
        return (table.argmax(axis=1) if self.one else table), self.columns


@dataclass
class _Number:
    """A column of finite numbers to predict."""

    column: str

    def __post_init__(self):
        self.columns = (self.column,)

    def read(self, row: dict[str, str], where: str) -> float:
        text = row[self.column]
        if not _is_number(text) or abs(float(text)) > np.finfo(np.float32).max:
            raise ValueError(f"{where}: {self.column} must be a finite number, got {text!r}")
        return float(text)

    def labels(self, found: list[float], labels_csv: Path) -> tuple[np.ndarray, tuple[str, ...]]:
        return np.array(found, np.float32), ()


def _target(classes, flags, number) -> _Numbered | _Named | _Flags | _Number:
    """Who reads the labels."""
    given = {"classes": classes, "flags": flags, "number": number}
    given = {name: value for name, value in given.items() if value is not None}
    if len(given) > 1:
        raise TypeError(f"expected one of classes, flags and number, got {' and '.join(given)}")
    if not given:
        return _Numbered()
    ((kind, value),) = given.items()
    if isinstance(value, str) and value and kind != "flags":
        return _Named(value) if kind == "classes" else _Number(value)
    several = isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    if kind == "number" or not several:
        raise TypeError(f"{kind} must be the name of a column or, but for number, a list; got {value!r}")
    if len(set(value)) != len(tuple(value)) or len(value) < 2:
        raise ValueError(f"{kind} must be two or more different columns, got {value!r}")
    return _Flags(tuple(value), kind == "classes")


def in_order(names: Iterable[str]) -> list[str]:
    """Classes' names as they are numbered: by size, if all are numbers ("9" before "10"), else by letters."""
    names = list(names)
    return sorted(names, key=(lambda name: (float(name), name)) if all(map(_is_number, names)) else None)


def is_name(text: str) -> bool:
    """Whether a class can be called that: not blank, not "nan", no blank at either end."""
    return bool(text) and text == text.strip() and text.casefold() != "nan"


def _name(row: dict[str, str], column: str, where: str) -> str:
    name = row[column]
    if not is_name(name):
        raise ValueError(f"{where}: {column} must be a name, got {name!r}")
    return name


def _flag(text: str, column: str, where: str) -> int:
    if not _is_number(text) or float(text) not in (0, 1):
        raise ValueError(f"{where}: {column} must be 0 or 1, got {text!r}")
    return int(float(text))


def _is_number(text: str) -> bool:
    """Whether it reads as a finite number; as people write one, without Python's underscores."""
    try:
        return "_" not in text and math.isfinite(float(text))
    except ValueError:
        return False


# ---------------------------------------------------------------- what else a row says

# A name that needs no second look: no empty part, no "." or "..", nothing that Windows reads otherwise.
_PLAIN = re.compile(r"(?!.*(?:^|/)\.{0,2}(?:/|$))[^\\:\0]+", re.DOTALL)


def inside(name: str, where: str) -> str:
    """The name in one spelling ("./a.png" is "a.png"); refuses one that leads out of the folder."""
    if _PLAIN.fullmatch(name):
        return name
    pure = PurePosixPath(name)
    for rules in (pure, PureWindowsPath(name)):  # by either system's rules: data sets travel
        if rules.is_absolute() or rules.drive or ".." in rules.parts or "\0" in name or not pure.parts:
            raise ValueError(f"{where}: file must be a path inside the folder, got {name!r}")
    return str(pure)


def _lesion(row: dict[str, str], where: str) -> list[float]:
    texts = [row.get(column) or "nan" for column in LESION]
    try:
        values = [float(text) for text in texts]
    except ValueError:
        values = [-1.0]
    if any(value < 0 or value > 1 for value in values):  # NaN is neither
        raise ValueError(f"{where}: x, y and radius must be numbers from 0 to 1, or empty; got {texts}")
    return values


def _one_of(text: str, allowed: tuple[int, ...], column: str, where: str) -> int:
    if text not in map(str, allowed):
        raise ValueError(f"{where}: {column} must be one of {allowed}, got {text!r}")
    return int(text)
