"""What a folder, or a table, says of each picture; and what opening it shows."""

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from course_utils import ImageError, load_image, read_labels
from course_utils.dataset import is_name
from course_utils.sources import has_color

from ._tree import LEADS_OUT, Tree, check_used, listed, matches

AT_ONCE = 1_000  # pictures given to the threads that open them: a future each for a million would be a GB


@dataclass(frozen=True)
class Pictures:
    """What is known of each picture.

    Attributes:
        names: relative to the folder, sorted.
        classes, splits: one a picture; splits are all "" where none is given.
        patients: one a picture, or None.
        all_classes: the names of the classes, by label.
        bad: what is left out, each with the reason.
        first_bad: the first such file of a class.
    """

    names: list[str]
    classes: list[str]
    splits: list[str]
    patients: list[str] | None
    all_classes: list[str]
    bad: dict[str, str]
    first_bad: dict[str, str] = field(default_factory=dict)

    @property
    def given(self) -> bool:
        """Whether a split is given."""
        return "" not in self.splits

    def without(self, bad: Mapping[str, str]) -> "Pictures":
        """The others; these are bad too."""
        stay = [at for at, name in enumerate(self.names) if name not in bad]
        columns = {name: getattr(self, name) for name in ("names", "classes", "splits", "patients")}
        chosen = {name: values and [values[at] for at in stay] for name, values in columns.items()}
        first = dict(self.first_bad)
        for name, of in zip(self.names, self.classes, strict=True):
            if name in bad:
                first.setdefault(of, name)
        return replace(self, **chosen, bad=self.bad | bad, first_bad=first)

    def check(self) -> None:
        """ValueError if a class has no picture, or none to learn from."""
        of = {name for name, split in zip(self.classes, self.splits, strict=True) if split in ("", "train")}
        for name in self.all_classes:
            if name not in of:
                inside = (file for file in sorted(self.bad) if name in file.split("/"))
                first = self.first_bad.get(name) or next(inside, None)
                why = f"the first bad file is {first!r}: {self.bad[first]}" if first else "it holds no file"
                if name in self.classes:
                    why = "all that are left are in validation and test" + f"; {why}" * bool(first)
                to = " to train on" if name in self.classes else ""
                raise ValueError(f"class {name!r} has no good picture{to}; {why}")

    def search(self, pattern: re.Pattern) -> list[str]:
        """Each file's patient, found in its name; ValueError if one has none."""
        found = [pattern.search(name) for name in self.names]
        # An optional group that took no part in the match is None: no patient either.
        ids = [match and match[1 if pattern.groups else 0] for match in found]
        if missing := [name for name, patient in zip(self.names, ids, strict=True) if patient is None]:
            raise ValueError(
                f"the patient pattern {pattern.pattern!r} is not found in {len(missing)} of {len(ids)} good "
                f"files, the first of them {missing[0]!r}"
            )
        ids = [patient.strip() for patient in ids]  # as labels.csv is read
        if "" in ids:
            raise ValueError(
                f"the patient pattern {pattern.pattern!r} finds an empty name in "
                f"{self.names[ids.index('')]!r}"
            )
        return ids


def from_folders(
    folder: Path, exclude: Sequence[str], keep: Sequence[str], level: int | None, redraw: bool
) -> Pictures:
    """Sub-folders are the classes; ValueError if they contradict each other."""
    tree = Tree(folder, exclude)
    tree.ask(keep)
    layout = tree.layout(level, redraw)
    if wrong := [name for name in layout.classes if not is_name(name)]:
        raise ValueError(f"a class cannot be called {wrong[0]!r}: rename the folder")
    if len(layout.classes) < 2:
        inner = [name.partition("/")[0] for name in tree.folders if name.count("/") == 1]
        lower = f"; is {inner[0]!r} the folder to index?" if inner and not layout.depth else ""
        raise ValueError(f"two or more class folders are needed, found {listed(layout.classes)}{lower}")
    names = [name for name in tree.files if layout.in_a_class(name)]
    bad = tree.bad | {name: "in no class folder" for name in tree.files if not layout.in_a_class(name)}
    classes, splits = list(map(layout.class_of, names)), list(map(layout.split_of, names))
    return Pictures(names, classes, splits, None, layout.classes, bad)


def from_table(
    folder: Path,
    table: str | os.PathLike,
    columns: Mapping[str, str | Sequence[str]],
    suffix: str,
    exclude: Sequence[str],
    redraw: bool,
) -> Pictures:
    """A table says which picture is what; ValueError as `read_labels` raises it, or if `columns` is wrong."""
    if not {"file", "class"} <= set(columns) <= {"file", "class", "patient", "split"}:
        raise ValueError(f"columns must name file and class, and may name patient and split; got {columns}")
    classes = columns["class"]
    options = {"file": columns["file"], "patient": columns.get("patient")}
    options["classes"] = classes.split(",") if isinstance(classes, str) and "," in classes else classes
    options["split"] = None if redraw else columns.get("split")
    data = read_labels(table, folder=folder, suffix=suffix, **options)
    start = len(str(folder)) + 1
    files = [path[start:].replace(os.sep, "/") for path in data.paths.tolist()]
    check_used([pattern for pattern in exclude if not any(_left_out(name, [pattern]) for name in files)])
    order = sorted(
        (at for at, name in enumerate(files) if not _left_out(name, exclude)), key=files.__getitem__
    )
    return Pictures(
        names=[files[at] for at in order],
        classes=[data.classes[data.labels[at]] for at in order],
        splits=[str(data.splits[at]) if options["split"] else "" for at in order],
        patients=[str(data.patients[at]) for at in order] if options["patient"] else None,
        all_classes=list(data.classes),
        bad={},
    )


def _left_out(name: str, exclude: Sequence[str]) -> bool:
    """Whether a pattern fits the file or a folder that it lies in."""
    steps = name.split("/")
    return any(matches("/".join(steps[: n + 1]), exclude) for n in range(len(steps)))


class Look(NamedTuple):
    """What opening a file has shown: why it cannot be used, "" if it can; its checksum; whether in colour."""

    reason: str
    digest: bytes = b""
    color: bool = False


def _look(folder: Path, max_pixels: int, name: str) -> Look:
    """Opens a picture whole, and lets go of it."""
    path = folder / name
    if not Path(os.path.realpath(path)).is_relative_to(folder):
        return Look(LEADS_OUT)
    try:
        image = load_image(path, color_mode="rgb", dtype="uint8", max_pixels=max_pixels)
        with open(path, "rb") as file:
            return Look("", hashlib.file_digest(file, "sha256").digest(), has_color(image))
    except ImageError as error:
        if os.path.isfile(path) and not os.path.getsize(path):
            return Look("an empty file")
        return Look(str(error).removeprefix(f"{path}: ").replace(str(path), name))
    except OSError as error:  # it went away meanwhile
        return Look(f"cannot be read ({error.strerror})")


def open_all(
    folder: Path, names: list[str], max_pixels: int, bar: Callable[..., Iterable]
) -> dict[str, Look]:
    """What each file is; `bar` wraps an iterable to show how far it is."""
    pool = ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1))  # Pillow decodes outside the GIL
    look = partial(_look, folder, max_pixels)

    def looks() -> Iterator[Look]:
        for start in range(0, len(names), AT_ONCE):
            yield from pool.map(look, names[start : start + AT_ONCE])

    try:
        return dict(zip(names, bar(looks(), total=len(names), desc="opening"), strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
