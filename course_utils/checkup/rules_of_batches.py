"""Rules about batches: what is in them, what comes back when they are asked for again, who is with whom."""

import math
from collections import Counter

import numpy as np

from ..memory import megabytes
from .batches import Batch
from .case import Case, Said
from .reach import own_attributes

_FEW = 16  # samples: with fewer than this, what looks like an order may be chance
_AT_LEAST = 4  # where not all was looked at: a copy with another label may be among the rest
_CHANCE = 0.001
_STRAY = 0.02  # of the samples; copies of one image may have labels of their own


def of_batches(case: Case) -> Said:
    none = [f"Batch {b.index} came as None." for b in case.first if b.kind == "NoneType"]
    yield "none-batch", none and none[0]
    batches = [b for b in case.first + case.later if b.kind != "NoneType"]
    frozen = [[leaf.shape[1:] for leaf in b.leaves] for b in batches if b.index in (0, 1)][:2]
    ranks = [len(leaf.shape) for leaf in batches[0].leaves] if batches else []
    for b in batches:
        name = f"Batch {b.index}"
        now = [len(leaf.shape) for leaf in b.leaves]
        lost = len(now) == len(ranks) and now != ranks
        was = f"batch {batches[0].index} of {ranks}"
        yield "shape-changes", lost and f"{name} has arrays of {now} axes, {was}."
        if not lost:
            yield from _of_a_batch(name, b)
        now = [leaf.shape[1:] for leaf in b.leaves]
        # Where batches 0 and 1 differ, Keras leaves the shape free.
        changes = frozen and now != frozen[0] == frozen[-1]
        yield "shape-changes", changes and f"{name} holds samples of {now}, the first batches of {frozen[0]}."
        now, was = ([leaf.dtype for leaf in batch.leaves] for batch in (b, batches[0]))
        changes = now != was and len(now) == len(was)
        yield "dtype-changes", changes and f"{name} came as {now}, batch {batches[0].index} as {was}."


def _of_a_batch(name: str, b: Batch) -> Said:
    arrays = [leaf for leaf in b.leaves if leaf.shape]
    bare = [f"{leaf.kind} in its part {leaf.part}" for leaf in b.leaves if not leaf.shape]
    # A dict, or a tuple of one, may be meant for a train_step of one's own.
    odd = bare or b.kind not in ("tuple", "list", "dict") or not 0 < b.parts <= 3
    yield "not-a-tuple", odd and f"{name} came as {', '.join([b.kind, *bare])}, in {b.parts} parts."
    sizes = {leaf.shape[0] for leaf in arrays}
    yield "empty-batch", 0 in sizes and f"{name} came with 0 samples."
    yield "label-count", len(sizes) > 1 and f"{name} has parts of {sizes} samples."
    for leaf in arrays:
        double = leaf.part == "x" and leaf.dtype == "float64"
        which = f" ({leaf.name})" if leaf.name else ""
        size = f"{megabytes(leaf.nbytes)}, as float32 half of it"
        yield "float64", double and f"The inputs{which} of {name.lower()} are float64: {size}."
        what = {"x": "inputs", "y": "labels", "w": "weights"}[leaf.part]
        yield "not-finite", not leaf.finite and f"{name} holds NaN or infinity in its {what}{which}."


def of_randomness(case: Case) -> Said:
    if case.seen["reused"]:  # that alone makes batches differ
        yield "buffer-reused", "Batch 0 had other content after other batches had been fetched."
        return
    drifts = [index for index, who in case.unsteady if who == "drift"]
    if drifts:
        yield "changed-in-place", f"Reading batch {drifts[0]} again changed an array that it comes from."
        return
    alone = {index for index, who in case.unsteady if who == "itself"}  # whatever state was changed
    for index, who in case.unsteady:
        said = f"Batch {index}, asked for again in the same epoch, came back different"
        yield "changes-in-evaluation", not case.train and f"{said}."
        if index not in alone:
            # Python seeds its own anew in a fork, NumPy does not.
            level = "error" if case.processes and who == "numpy" else "warning"
            yield "global-random", f"Batch {index} depends on the global random state ({who}).", level
        # One stream in one thread repeats with its seed; what draws without a seed never does.
        elif case.enqueuer or not case.draws:
            level = "error" if case.processes and case.draws else "warning"
            yield "own-random-state", f"{said}, with the global random state set back.", level


def of_company(case: Case) -> Said:
    """Whether labels, weights and other inputs stay with their images from this epoch to the next."""
    for part, name in dict.fromkeys((leaf.part, leaf.name) for b in case.first for leaf in b.leaves):
        pairs = [_pairs(batches, part, name) for batches in (case.first, case.later)]
        known: dict[bytes, set] = {}  # a set: copies of an image may have labels of their own
        for image, partner in pairs[0]:
            known.setdefault(image, set()).add(partner)
        partners = {partner for _, partner in pairs[0]}
        # A partner that is new was augmented, perhaps; one that was another image's has changed places.
        met = [(image, partner) for image, partner in pairs[1] if image in known and partner in partners]
        again = [partner in known[image] for image, partner in met]
        lost = again.count(False)
        # Pairs may be made anew on purpose, if an image is in several of them.
        once = all(
            len(set(images)) == len(images) for images in ([image for image, _ in look] for look in pairs)
        )
        what = {"x": "inputs", "y": "labels", "w": "weights"}[part] + (f" ({name})" if name else "")
        said = f"After on_epoch_end {lost} of {len(again)} images came with {what} of others."
        level = "error" if part != "x" or once else "warning"
        least = max(_STRAY * len(again), 0 if case.whole else _AT_LEAST)
        yield "labels-leave-images", lost > least and said, level


def _pairs(batches: list[Batch], part: str, name: str) -> list[tuple[bytes, bytes]]:
    """Each sample's first input, and what came with it in that leaf; nothing for the first input itself."""
    pairs = []
    for b in batches:
        anchor = next((leaf for leaf in b.leaves if leaf.part == "x"), None)
        partner = next((leaf for leaf in b.leaves if (leaf.part, leaf.name) == (part, name)), None)
        if anchor is not None and partner is not None and anchor is not partner:
            pairs += zip(anchor.rows, partner.rows, strict=False)
    return pairs


def of_order(case: Case) -> Said:
    """Which samples meet in a batch, in this epoch and in the next."""
    images = [[image for b in look for image in b.rows("x")] for look in (case.first, case.later)]
    again = set(images[0]) & set(images[1])
    labels = [set(b.rows("y")) for b in case.first + case.later if len(b.rows("y")) > 1]
    several = len(set().union(*labels)) > 1 and len(images[0]) >= _FEW
    pure = case.train and several and all(len(classes) == 1 for classes in labels)
    pure = pure and _by_chance(case.first + case.later) < _CHANCE
    yield "one-class-batches", pure and f"Each of {len(labels)} batches holds one class; there are several."
    later = {b.index: b for b in case.later}
    both = [(old, later[old.index]) for old in case.first if old.rows("x") and old.index in later]
    # Augmented anew, images cannot be known again; then the labels tell, if there are enough of them.
    renewed = several and not again and all(old.rows("y") == new.rows("y") for old, new in both)
    fixed = renewed or all(sorted(old.rows("x")) == sorted(new.rows("x")) for old, new in both)
    stays = case.train and fixed and len(both) > 1 and case.size > 1
    yield "batch-shuffle-only", stays and f"{len(both)} batches hold the same samples after on_epoch_end."
    moved = not case.train and again and any(old.rows("x") != new.rows("x") for old, new in both)
    yield "order-changes", moved and "on_epoch_end puts other samples at the same places."
    changed = not case.train and renewed and len(both) > 1
    yield "changes-in-evaluation", changed and "The pixels of the same samples change from epoch to epoch."


def _by_chance(batches: list[Batch]) -> float:
    """How likely it is that all these batches hold one class each, if samples are drawn at random."""
    labels = [label for b in batches for label in b.rows("y")]
    shares = [count / len(labels) for count in Counter(labels).values()]
    sizes = [len(b.rows("y")) for b in batches]
    return math.prod(sum(share**size for share in shares) for size in sizes if size > 1)


def of_all_samples(case: Case) -> Said:
    """Whether an epoch serves each sample once, as far as can be told."""
    lost = sum(n for n in case.seen["tail"] if n < case.size)  # who serves any index serves full batches
    said = lost and f"{lost} samples come after the last of {case.length} batches."
    yield "dropped-tail", said, "warning" if case.train else "error"
    served = [row for b in case.first for row in b.rows("x", "y")]
    if case.whole and served and all(b.rows("x") for b in case.first):
        left = _never_served(case.sequence, len(served))
        yield "dropped-tail", left, "warning" if case.train else "error"
        twice = len(served) - len(set(served))
        said = f"{twice} of {len(served)} samples of an epoch have the content of another."
        yield "served-twice", not case.train and 0 < twice < 0.5 * len(served) and said


def _never_served(sequence, served: int) -> str:
    """The Sequence holds lists of one length, more than it serves, and none of what it serves."""
    sizes: dict[int, list[str]] = {}
    for name, value in own_attributes(sequence).items():
        kind = type(value)  # not isinstance, which asks a thing for its class
        if issubclass(kind, (list, tuple)) or (issubclass(kind, np.ndarray) and value.ndim):
            sizes.setdefault(len(value), []).append(f"self.{name}")
    most = [size for size, names in sizes.items() if len(names) > 1 and served < size < 2 * served]
    if not most or served in sizes:
        return ""
    return f"{' and '.join(sizes[most[0]][:2])} have {most[0]} entries, an epoch serves {served} samples."


RULES_OF_BATCHES = (of_batches, of_randomness, of_company, of_order, of_all_samples)
