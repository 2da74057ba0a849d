"""Who goes into which split: groups of pictures that must stay together, drawn to given shares."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from course_utils.dataset import SPLITS

SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}


def join(patients: Sequence[str], digests: Sequence[bytes]) -> list[str]:
    """A group for each picture: those of one patient are in one, and so are copies of one picture.

    Copies join their patients, and through these others: one picture to learn from and its copy in the exam
    would be no exam.

    Args:
        patients: one an image, not empty.
        digests: one an image: the same for the same bytes.

    Returns:
        One an image: the group's name, the first patient in it.
    """
    leader = {patient: patient for patient in patients}

    def find(patient: str) -> str:
        while leader[patient] != patient:
            leader[patient] = patient = leader[leader[patient]]  # halves the way for whoever comes next
        return patient

    first: dict[bytes, str] = {}
    for patient, digest in zip(patients, digests, strict=True):
        leader[find(patient)] = find(first.setdefault(digest, patient))
    return [find(patient) for patient in patients]


def draw(groups: Mapping[str, Mapping[str, int]], shares: Mapping[str, float], seed: int) -> dict[str, str]:
    """Each group's split.

    Every split first gets a group of each class, the rarest class first. Then the largest groups come first,
    each into the split where the pictures deviate least from the shares (chi-square, over its classes).

    Args:
        groups: how many pictures of each class a group has.
        shares: how much of each class a split is to have, adding up to 1.
        seed: another one gives other splits.

    Returns:
        group -> split: the same for the same arguments.
    """

    def order(group: str) -> tuple[int, bytes]:  # a hash: the same with every version of every library
        return -sum(groups[group].values()), hashlib.sha256(f"{seed} {group}".encode()).digest()

    totals, holders = Counter(), {}
    ordered = sorted(groups, key=order)
    for group in ordered:
        for label, n in groups[group].items():
            totals[label] += n
            holders.setdefault(label, []).append(group)
    have = {split: Counter() for split in shares}
    chosen: dict[str, str] = {}

    def cost(group: str, split: str) -> float:
        total = 0.0
        for label, n in groups[group].items():
            want, has = shares[split] * totals[label], have[split][label]
            total += ((has + n - want) ** 2 - (has - want) ** 2) / want
        return total

    def put(group: str, split: str) -> None:
        chosen[group] = split
        have[split].update(groups[group])

    for label in sorted(holders, key=lambda label: (len(holders[label]), label)):
        for split in shares:
            free = [group for group in holders[label] if group not in chosen]
            if free and not have[split][label]:
                put(min(free, key=lambda group: cost(group, split)), split)
    for group in ordered:
        if group not in chosen:
            put(group, min(shares, key=lambda split: cost(group, split)))
    return chosen


def copies_to_leave_out(
    names: Sequence[str], splits: Sequence[str], digests: Sequence[bytes]
) -> dict[str, str]:
    """The copies that a given split must lose so that none is in two of its parts: those in the exam stay."""
    exam_first = sorted(range(len(names)), key=lambda at: -SPLITS.index(splits[at]))  # sorted() is stable
    first: dict[bytes, int] = {}
    out = {}
    for at in exam_first:
        stays = first.setdefault(digests[at], at)
        if splits[stays] != splits[at]:
            out[names[at]] = f"a copy of {names[stays]}, which is in {splits[stays]}"
    return out


def check_patients(patients: Sequence[str], splits: Sequence[str]) -> None:
    """ValueError if a given split parts a patient."""
    split_of: dict[str, str] = {}
    pairs = ((who, split) for who, split in zip(patients, splits, strict=True) if who)
    torn = {patient for patient, split in pairs if split_of.setdefault(patient, split) != split}
    if torn:
        raise ValueError(
            f"{len(torn)} patients have pictures in two parts of the given split, the first {min(torn)!r}. "
            "Draw a new split with --redraw (in Python redraw=True); or, if the name means another patient "
            "in each part, do without patients"
        )


def split_all(groups: Sequence[str], classes: Sequence[str], given: Sequence[str], seed: int) -> list[str]:
    """Each picture's split: the given one, with validation drawn from train where it is missing; or drawn.

    Raises:
        ValueError: a class has fewer groups than there are splits to draw.
    """
    if "" in given:
        return _drawn(groups, classes, SHARES, seed)
    if "validation" in given:
        return list(given)
    both = SHARES["train"] + SHARES["validation"]
    shares = {split: SHARES[split] / both for split in ("train", "validation")}
    of = [at for at, split in enumerate(given) if split == "train"]
    new = _drawn([groups[at] for at in of], [classes[at] for at in of], shares, seed)
    splits = list(given)
    for at, split in zip(of, new, strict=True):
        splits[at] = split
    return splits


def _drawn(
    groups: Sequence[str], classes: Sequence[str], shares: Mapping[str, float], seed: int
) -> list[str]:
    counts: dict[str, Counter] = {}
    for group, name in zip(groups, classes, strict=True):
        counts.setdefault(group, Counter())[name] += 1
    holders = Counter(name for of in counts.values() for name in of)
    if few := [f"{name!r} has {n}" for name, n in sorted(holders.items()) if n < len(shares)]:
        raise ValueError(
            f"{', '.join(shares)} need at least {len(shares)} different pictures of each class, or patients, "
            f"one for each; {', '.join(few)} (copies count once, and join their patients). Leave a class out "
            "with --exclude (in Python exclude=)"
        )
    split_of = draw(counts, shares, seed)
    splits = [split_of[group] for group in groups]
    if lacking := {(split, name) for split in shares for name in holders} - set(
        zip(splits, classes, strict=True)
    ):
        split, name = min(lacking)
        raise ValueError(
            f"no {name!r} is left for {split}: too few patients, of too many classes each. Try another --seed"
        )
    return splits
