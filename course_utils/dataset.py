"""labels.csv -> paths, labels, splits. Names and numbers only: no picture is opened here."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
from numpy.dtypes import StringDType

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """A list of images with what is known of each. All arrays have one entry an image.

    Attributes:
        folder: the folder that holds `labels.csv`.
        paths: StringDType array of absolute paths (about 100 MB a million; a list of Python strings
            costs more, and every worker process would copy it).
        labels: int64 array, 0 or 1.
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
        return self._take(slice(n))

    def _take(self, which: np.ndarray | slice) -> "Dataset":
        arrays = {f.name: getattr(self, f.name)[which] for f in fields(self) if f.name != "folder"}
        return replace(self, **arrays)


def read_labels(labels_csv: str | os.PathLike) -> Dataset:
    """Reads `labels.csv`: the columns `file,label` and, where known, `side,patient,split,x,y,radius`.

    Args:
        labels_csv: the file, or the folder that holds it. UTF-8. `file` is relative to that folder.

    Returns:
        The `Dataset`. Whether the images exist is not checked here: the Sequence does that.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, a row is wrong, a file name leaves the folder, a file is listed
            twice, or a patient is in two splits. The message names the file and the line.

    Example:
        >>> len(read_labels("labels.csv").head(4))
        4
    """
    labels_csv = Path(labels_csv)
    if labels_csv.is_dir():
        labels_csv = labels_csv / "labels.csv"
    if not labels_csv.is_file():
        raise FileNotFoundError(f"no labels.csv at {labels_csv}: expected a CSV file with file,label,split")
    folder = labels_csv.resolve().parent
    try:
        with labels_csv.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_rows(csv.DictReader(file), labels_csv))
    except (UnicodeError, csv.Error) as error:
        raise ValueError(f"{labels_csv} is not a CSV file in UTF-8 ({error})") from None
    if not rows:
        raise ValueError(f"{labels_csv} lists no image")
    names, labels, sides, patients, splits, lesions = zip(*rows, strict=True)
    text = StringDType()
    return Dataset(
        folder=folder,
        paths=np.array([str(folder / name) for name in names], dtype=text),
        labels=np.array(labels, dtype=np.int64),
        sides=np.array(sides, dtype=np.int8),
        patients=np.array(patients, dtype=text),
        splits=np.array(splits, dtype=text),
        lesions=np.array(lesions, dtype=np.float32),
    )


def _rows(table: csv.DictReader, labels_csv: Path) -> Iterator[tuple]:
    """File, label, side, patient, split and (x, y, radius) of each row, checked."""
    columns = list(table.fieldnames or [])
    for column in ("file", "label"):
        if columns.count(column) != 1:
            raise ValueError(f"{labels_csv} must have one column {column!r}: it has {columns}")
    seen: set[str] = set()
    split_of: dict[str, str] = {}
    for row in table:
        where = f"{labels_csv}, line {table.line_num}"
        if None in row or None in row.values():
            raise ValueError(f"{where}: expected {len(columns)} values (is a comma unquoted?)")
        row = {column: text.strip() for column, text in row.items()}
        name = inside(row["file"], where)
        if name in seen:
            raise ValueError(f"{where}: {name!r} is listed twice")
        seen.add(name)
        label = _one_of(row["label"], (0, 1), "label", where)
        side = _one_of(row.get("side") or "0", (-1, 0, 1), "side", where)
        patient, split = row.get("patient") or "", row.get("split") or "train"
        if split not in SPLITS:
            raise ValueError(f"{where}: split must be one of {', '.join(SPLITS)}, got {split!r}")
        if patient and split_of.setdefault(patient, split) != split:
            raise ValueError(
                f"{where}: patient {patient!r} is in {split_of[patient]} and in {split}; "
                "a patient in two splits makes the validation score too good"
            )
        yield name, label, side, patient, split, _lesion(row, where)


def inside(name: str, where: str) -> str:
    """The name in one spelling ("./a.png" is "a.png"); refuses one that leads out of the folder."""
    pure = PurePosixPath(name)
    for rules in (pure, PureWindowsPath(name)):  # by either system's rules: data sets travel
        if rules.is_absolute() or rules.drive or ".." in rules.parts or "\0" in name or not pure.parts:
            raise ValueError(f"{where}: file must be a path inside the folder, got {name!r}")
    return str(pure)


def _lesion(row: dict[str, str], where: str) -> list[float]:
    texts = [row.get(column) or "nan" for column in ("x", "y", "radius")]
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
