"""Rules about the class: its settings, how its calls end, what it holds, what goes to `fit` beside it."""

import math
import multiprocessing
import os
import sys

import keras

from ..memory import megabytes
from .batches import Leaf
from .case import Case, Said, settings
from .reach import own_attributes

_MUCH = 3_000_000  # bytes held that are worth a word


def of_the_class(case: Case) -> Said:
    cls, many = type(case.sequence), f"and it has {case.workers} workers."
    built = "_workers" in own_attributes(case.sequence)
    orphan = isinstance(case.sequence, keras.utils.PyDataset) and not built
    yield "base-constructor", orphan and f"{cls.__name__} never reaches the constructor of PyDataset."
    yield "queue-unbounded", case.queue < 1 and f"max_queue_size is {case.queue}."
    begin = getattr(cls, "on_epoch_begin", None)  # Keras' own does nothing
    own = case.enqueuer and begin not in (None, getattr(keras.utils.PyDataset, "on_epoch_begin", None))
    stale = "error" if any(case.seen["begins"]) else "warning"  # it changed batch 0
    said = own and f"{cls.__name__} has an on_epoch_begin, {many}"
    yield "on-epoch-begin", said and not _ours(begin) and said, stale
    kinds = {leaf.kind for b in case.first for leaf in b.leaves} & {"tensorflow", "jaxlib", "jax"}
    names = ", ".join(dict.fromkeys([*case.operations, *kinds]))
    code = "tensorflow-in-workers" if case.processes else "keras-per-image"
    yield code, names and f"Its batches are made with {names}{f', {many}' if case.processes else '.'}"


def _ours(function) -> bool:
    """Of the course's Sequences: it warns, and changes nothing."""
    return getattr(function, "__module__", "").startswith("course_utils.sequences.")


def of_processes_and_threads(case: Case) -> Said:
    cls = type(case.sequence)
    start = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    level = "warning" if start == "fork" else "error"
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    in_file = cls.__module__ != "__main__" or os.path.exists(file)
    yield "notebook-class", case.processes and not in_file and f"{cls.__name__} is in a notebook.", level
    yield "does-not-pickle", " ".join(case.seen["unpicklable"]), level
    open_files = sum(case.seen["open"], [])
    yield "shared-handle", case.processes and open_files and f"Open: {', '.join(open_files)}."
    yield "thread-bound", not case.processes and " ".join(case.seen["thread"])
    races = case.workers > 1 and not case.processes and sum(case.seen["races"], [])
    yield "not-thread-safe", races and f"Read by several threads at once, batches {races} came out different."


def of_how_it_ends(case: Case) -> Said:
    own = getattr(type(case.sequence), "__getitem__", None) is not keras.utils.PyDataset.__getitem__
    yield "no-getitem", not own and f"{type(case.sequence).__name__} has no __getitem__ of its own."
    for at, text, travels in case.seen["raised"] if own else ():
        missing = at == "__len__" and ("NotImplementedError" in text or "TypeError" in text)
        yield "no-length" if missing else "raises", f"{at} {text}."
        lost = case.processes and not travels
        yield "unpicklable-exception", lost and f"{at} {text}, which cannot be pickled and unpickled."
    yield "length-zero", case.length == 0 and not case.seen["raised"] and "It has 0 batches."
    yield "stuck", case.seen["stuck"] and case.at and f"{case.at} had not come back when the time was over."


def of_what_it_holds(case: Case) -> Said:
    leaves = [leaf for b in case.first for leaf in b.leaves if leaf.part == "x"]
    whole = max(1, case.length / max(1, len(case.first)) if case.length < math.inf else 1)
    epoch, numbers = (whole * sum(sizes) for sizes in ([leaf.nbytes for leaf in leaves], _counts(leaves)))
    for name, (size, held) in sum((list(found.items()) for found in case.seen["held"]), []):
        # Numbers, not bytes: pixels held as uint8 are the same pixels.
        much = size > _MUCH and held >= 0.5 * numbers > 0
        yield "holds-data", much and f"{name} holds {megabytes(size)}, an epoch serves {megabytes(epoch)}."


def _counts(leaves: list[Leaf]) -> list[int]:
    return [math.prod(leaf.shape) for leaf in leaves]


def of_fit_arguments(case: Case) -> Said:
    given = {name: value for name, value in case.fit_args.items() if value is not None}
    steps, validation = given.get("steps_per_epoch", case.length), given.get("validation_data")
    cut = case.enqueuer and 0 < case.length < math.inf and steps != case.length
    yield "steps-per-epoch", cut and f"{steps} of {case.length} batches, with {case.workers} workers."
    workers, processes, _ = settings(validation)
    part = "validation_steps" in given and (workers > 1 or processes)
    yield "validation-steps", part and f"validation_steps is given, and its Sequence has {workers} workers."
    weights = ["class_weight"] if any(b.parts == 3 for b in case.first) else []
    split = ["validation_split"] if given.get("validation_split") else []  # its default is 0
    codes = dict.fromkeys(("workers", "use_multiprocessing", "max_queue_size"), "moved-argument")
    codes |= dict.fromkeys(("y", "sample_weight", *weights, *split), "refused-argument")
    for name in codes.keys() & given:
        yield codes[name], f"{name} is passed to fit."
    yield "ignored-batch-size", "batch_size" in given and "batch_size is passed to fit."


RULES = (of_the_class, of_processes_and_threads, of_how_it_ends, of_what_it_holds, of_fit_arguments)
