"""A folder of pictures as people have it: which files to open, whose class and whose split they are."""

import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from course_utils.dataset import in_order, inside

LITTER = ("thumbs.db", "desktop.ini", "__macosx")  # left by Windows and macOS, besides names with a dot
PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
# What usually lies beside pictures and is none to learn a class from: "masks", "lung_masks", "mask images",
# but not "with_mask", which shows faces.
BESIDE = re.compile(
    r"(mask|gt|seg|masks?[ _-].*"
    r"|(.*[ _-])?(masks|annotations?|ground[ _-]?truths?|segmentations?)([ _-].*)?)",
    re.IGNORECASE,
)
LEADS_OUT = "a link that leads out of the folder"
MASK_OF = re.compile(r"(.+?)[ _-](?:masks?|seg|segmentation|annotation|gt)(?:[ _-]?\d+)?", re.IGNORECASE)


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name relative to the folder, or its last part, fits one of the shell's patterns."""
    return any(fnmatchcase(name, p) or fnmatchcase(name.rpartition("/")[2], p) for p in patterns)


def check_used(unmatched: Sequence[str]) -> None:
    """ValueError if patterns match nothing: what they should leave out would be learnt from."""
    if unmatched:
        raise ValueError(f"no file or folder matches what is to be left out: {listed(unmatched)}")


def listed(names: Iterable[str]) -> str:
    """For a message: the names as Python writes them, the first ten of many."""
    names = list(names)
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return (", ".join(map(repr, names[:10])) or "none") + more


def part_of(folder: str) -> str:
    """The split that a folder's name stands for ("train", "Test_set", "seg_val"), "" if none or several."""
    found = {PARTS[word] for word in re.split(r"[ _-]", folder.casefold()) if word in PARTS}
    return found.pop() if len(found) == 1 else ""


@dataclass
class Tree:
    """What lies below a folder. Names are relative to it, with forward slashes.

    A file or a folder that links lead to is read once: under its own name, if that is in the tree.

    Attributes:
        root: the folder, resolved.
        exclude: patterns of what is left out without a word.
        files: the files worth opening, sorted.
        folders: all folders, sorted.
        bad: what is bad without being opened, each with the reason.
    """

    root: Path
    exclude: Sequence[str] = ()
    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    bad: dict[str, str] = field(default_factory=dict)

    def __post_init__(self):
        self._links: list[str] = []
        self._unmatched = set(self.exclude)
        self._seen = {""}  # real places, relative to the root, of all that is in the lists
        self._walk("", "")
        while self._links:
            links, self._links = sorted(self._links), []
            for name in links:
                self._follow(name)
        self.files.sort()
        self.folders.sort()

    def _walk(self, prefix: str, real: str) -> None:
        """All below a folder that is called `prefix` and lies at `real`: both end with a slash, or are ""."""
        todo = [(prefix, real)]
        while todo:
            prefix, real = todo.pop()
            try:
                entries = list(os.scandir(self.root / real))
            except OSError as error:
                if not prefix:
                    raise
                self.bad[prefix[:-1]] = f"the folder cannot be read ({error.strerror})"
                continue
            for entry in entries:
                name, place = prefix + entry.name, real + entry.name
                if entry.name.startswith(".") or entry.name.casefold() in LITTER or name == "labels.csv":
                    continue
                if fit := [pattern for pattern in self.exclude if matches(name, [pattern])]:
                    self._unmatched.difference_update(fit)
                    continue
                if entry.is_symlink() or getattr(entry, "is_junction", bool)():  # from Python 3.12 on
                    self._links.append(name)
                elif not entry.is_dir(follow_symlinks=False):
                    self._add(name, place)
                elif self._new(name, place):
                    self.folders.append(name)
                    todo.append((f"{name}/", f"{place}/"))

    def _follow(self, name: str) -> None:
        """Takes up what a link leads to."""
        target = Path(os.path.realpath(self.root / name))
        try:
            os.stat(self.root / name)
        except OSError as error:
            gone = isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP
            self.bad[name] = "no such file" if gone else f"cannot be read ({error.strerror})"
            return
        if not target.is_relative_to(self.root):
            self.bad[name] = LEADS_OUT
        elif not target.is_dir():
            self._add(name, target.relative_to(self.root).as_posix())
        elif self._new(name, place := "/".join(target.relative_to(self.root).parts)):
            self.folders.append(name)
            self._walk(f"{name}/", f"{place}/")

    def _add(self, name: str, place: str) -> None:
        if "/" not in name:
            self.bad[name] = "in no class folder"
        elif reason := _unlistable(name):
            self.bad[name] = reason
        elif self._new(name, place):
            self.files.append(name)

    def _new(self, name: str, place: str) -> bool:
        """Whether nothing else has led there."""
        if place in self._seen:
            self.bad[name] = f"a link to {place or 'the folder itself'}, which is read already"
            return False
        self._seen.add(place)
        return True

    def ask(self, keep: Sequence[str]) -> None:
        """ValueError if something looks as if it were no picture to learn from, unless `keep` names it."""
        check_used(sorted(self._unmatched))
        filled = {file[:at] for file in self.files for at, letter in enumerate(file) if letter == "/"}
        beside = [
            folder
            for folder in self.folders
            if BESIDE.fullmatch(folder.rpartition("/")[2]) and folder in filled and not matches(folder, keep)
        ]
        if beside:
            name = beside[0].rpartition("/")[2]
            raise ValueError(
                f"folders that usually hold no picture of a class: {listed(beside)}. Leave them out with "
                f"--exclude {name!r}, or say with --keep {name!r} that they belong (in Python exclude= and "
                "keep=)"
            )
        stems = {os.path.splitext(name)[0] for name in self.files}
        masks = [
            name
            for name in self.files
            if (found := MASK_OF.fullmatch(os.path.splitext(name)[0])) and found[1] in stems
        ]
        if masks := [name for name in masks if not matches(name, keep)]:
            raise ValueError(
                f"{len(masks)} files are named as masks of the pictures beside them, the first "
                f"{masks[0]!r}. Leave them out with a pattern such as --exclude '*_mask*', or say with "
                "--keep '*' that they are pictures (in Python exclude= and keep=)"
            )

    def layout(self, level: int | None, redraw: bool) -> "Layout":
        """Which folders are the classes, and whether those above them are a split.

        Args:
            level: 1 if the folders at the top are the classes, 2 if those below them are; None finds out.
            redraw: whether to leave a given split alone.

        Raises:
            ValueError: the folders contradict each other, or may mean two things; the message lists them.
        """
        if away := [name for name in self.bad if "/" not in name and self.bad[name] == LEADS_OUT]:
            raise ValueError(f"{listed(away)}: {LEADS_OUT}. Leave it out with --exclude (in Python exclude=)")
        tops = [name for name in self.folders if "/" not in name]
        below: dict[str, list[str]] = {top: [] for top in tops}
        for top, _, name in (folder.partition("/") for folder in self.folders):
            if name and "/" not in name:
                below[top].append(name)
        parts = {top: part for top in tops if (part := part_of(top))}
        split = "train" in parts.values() and (len(set(parts.values())) > 1 or len(tops) == 1)
        if level == 2 or (level is None and split):
            return self._parts(tops, parts if split else {}, below, redraw)
        if level is None:
            self._check_level(tops, below, redraw)
        return Layout(in_order(tops), 0, {})

    def _check_level(self, tops: list[str], below: dict[str, list[str]], redraw: bool) -> None:
        """ValueError if the folders below could be the classes, or a split."""
        inner = below[tops[0]] if tops else []
        if len(tops) < 2 or len(inner) < 2 or any(names != inner for names in below.values()):
            return
        split = all(map(part_of, inner))
        # Many folders below few are more likely patients.
        if (split or any(map(part_of, tops)) or len(inner) <= len(tops)) and not (split and redraw):
            raise ValueError(
                f"{listed(tops)} hold the same folders, {listed(inner)}. Which are the classes? Say "
                "--level 1 for the upper, --level 2 for the lower ones (in Python level=). A split is "
                "taken from folders above the classes that are called train, val and test"
            )

    def _parts(
        self, tops: list[str], parts: dict[str, str], below: dict[str, list[str]], redraw: bool
    ) -> "Layout":
        """The classes are below the top: of the parts of a split, or of whatever `parts` does not name."""
        classes = in_order(set().union(*below.values()))
        if not parts:
            return Layout(classes, 1, {})
        if others := [top for top in tops if top not in parts]:
            raise ValueError(
                f"{listed(parts)} look like a split, and beside them lie {listed(others)}: leave out what is "
                "no part of it with --exclude (in Python exclude=), or say --level 1 if all are classes"
            )
        if any(found != below[tops[0]] for found in below.values()):
            holds = "; ".join(f"{top} has {listed(found)}" for top, found in below.items())
            raise ValueError(
                f"the parts of the split hold different class folders: {holds}. Rename them, or leave a "
                "part or a class out with --exclude (in Python exclude=)"
            )
        return Layout(classes, 1, parts if len(set(parts.values())) > 1 and not redraw else {})


@dataclass(frozen=True)
class Layout:
    """Where a file's name says its class, and its split.

    Attributes:
        classes: the class folders' names, in the order of their labels.
        depth: which part of a file's name is its class.
        parts: the split that each folder above the classes stands for; empty if none is given.
    """

    classes: list[str]
    depth: int
    parts: dict[str, str]

    def class_of(self, name: str) -> str:
        return name.split("/")[self.depth]

    def split_of(self, name: str) -> str:
        """ "" if the folders give no split."""
        return self.parts.get(name.partition("/")[0], "")

    def in_a_class(self, name: str) -> bool:
        return name.count("/") > self.depth


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
