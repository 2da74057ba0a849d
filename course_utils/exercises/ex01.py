"""Notebook 01: batches of the numbers 0 to 99, where the data is the index; a new order; then images."""

import operator
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..images import load_image
from .core import Exercise, PyDataset, ask, not_yet, wrong


class NumberSequence:
    def __init__(self, numbers, batch_size):
        self.numbers = numbers
        self.batch_size = batch_size

    def __len__(self):
        return int(np.ceil(len(self.numbers) / self.batch_size))

    def __getitem__(self, idx):
        start = idx * self.batch_size
        return self.numbers[start : start + self.batch_size]


def on_epoch_end(self):
    self.order = np.random.default_rng().permutation(self.order)


class MySequence(PyDataset):
    def __init__(self, image_paths, labels, batch_size, target_size, **kwargs):
        super().__init__(**kwargs)
        self.image_paths = image_paths
        self.labels = labels
        self.batch_size = batch_size
        self.target_size = target_size

    def __len__(self):
        return int(np.ceil(len(self.image_paths) / self.batch_size))

    def __getitem__(self, idx):
        chosen = slice(idx * self.batch_size, (idx + 1) * self.batch_size)
        images = [load_image(path, self.target_size, "rgb") for path in self.image_paths[chosen]]
        return np.stack(images), np.array(self.labels[chosen])


def strip(n: int, batches: list) -> str:
    """The numbers 0 to n - 1 as a strip of 25 a row: the number of batches each one is in, "." for none."""
    counts = np.zeros(n, int)
    for batch in batches:
        np.add.at(counts, np.asarray(batch, int), 1)
    signs = ["." if c == 0 else str(min(int(c), 9)) for c in counts]
    return "\n".join("  " + " ".join(signs[i : i + 25]) for i in range(0, n, 25))


# ---------------------------------------------------------------- numbers


def _length(sequence: Any, n: int, size: int) -> int:
    """What `__len__` says, a whole number; the check ends where it is none, or beyond all reason."""
    got, due = ask(sequence.__len__, name="__len__"), -(-n // size)
    try:
        count = operator.index(got)
    except TypeError:
        wrong(
            f"__len__ returns {got!r}, a {type(got).__name__}; a length is an int, here {due}. `np.ceil` "
            "rounds up and still gives a float: which function makes a whole number of it?"
        )
    if not 0 <= count <= n + 1:
        wrong(
            f"{n} numbers in batches of {size}: yours makes {count:,}; {due} were due. What do you divide "
            "by what?"
        )
    return count


def _batch(sequence: Any, idx: int, n: int) -> np.ndarray:
    got = ask(sequence.__getitem__, idx, name="__getitem__")
    batch = np.asarray(got)
    if batch.ndim == 0:
        wrong(f"Batch {idx} is the single number {got}. A batch is a slice: from where to where?")
    if batch.ndim != 1 or (batch.size and batch.dtype.kind not in "iu"):
        wrong(f"Batch {idx} is {got!r:.200}. A batch is a row of numbers: which of `self.numbers`?")
    if batch.size and not 0 <= batch.min() <= batch.max() < n:
        wrong(f"Batch {idx} holds {batch.max()}; the numbers are 0 to {n - 1}. Which of `self.numbers`?")
    return batch


def _number_sequence(answer) -> str:
    for n, size in ((100, 32), (96, 32), (5, 7), (100, 1), (100, 128)):
        sequence = ask(answer, np.arange(n), size, name="__init__")
        count, due = _length(sequence, n, size), -(-n // size)
        _batch(sequence, 0, n)
        did = f"{n} numbers in batches of {size}: yours makes {count}; {due} are due."
        batches = [_batch(sequence, idx, n) for idx in range(count)]
        empty = [i for i, batch in enumerate(batches) if batch.size == 0]
        if empty and count > due:
            wrong(f"{did} Batch {empty[0]} is empty. Where did the extra one come from?")
        if empty:
            wrong(f"{did} Batch {empty[0]} is empty: from where to where does its slice go?")
        _served(did, n, size, batches)
    return "100 numbers in 32s: four batches, the last one holds 4, and nobody is left out."


def _served(did: str, n: int, size: int, batches: list[np.ndarray]) -> None:
    """Whether the batches serve 0 to n - 1, each once and in order."""
    seen = np.concatenate(batches) if batches else np.array([], int)
    picture = f"{did} How often each number is served, a dot for never:\n{strip(n, batches)}\n"
    missing, twice = n - len(np.unique(seen)), len(seen) - len(np.unique(seen))
    largest = max(map(len, batches), default=0)
    if largest > size:
        wrong(f"{picture}One batch holds {largest}. How many may it hold?")
    if twice and len(batches) > 1:
        wrong(
            f"{picture}{twice} come again. Batch 1 begins at {batches[1][0]}; {size} was due. What is idx 1 "
            "times?"
        )
    if missing and len(batches) == -(-n // size):
        wrong(
            f"{picture}{missing} never come. Which is the last number of batch 0, and which the first of "
            "batch 1? A slice stops before its end."
        )
    if missing:
        wrong(f"{picture}{missing} never come. What does a whole-number division forget?")
    if not np.array_equal(seen, np.arange(n)):
        wrong(f"{did} They come in the order {seen[:8]}…; 0, 1, 2, … was due. Which comes first?")


# ---------------------------------------------------------------- a new order


def _on_epoch_end(answer: type) -> str:
    def run() -> list[np.ndarray]:
        """The order of four epochs."""
        sequence = ask(
            answer, [f"{i}.png" for i in range(100)], np.arange(100) % 2, 32, (8, 8), name="__init__"
        )
        return [sequence.order.copy(), *(_next_order(sequence) for _ in range(3))]

    orders = run()
    for epoch, (old, new) in enumerate(zip(orders, orders[1:], strict=False)):
        lost = 100 - len(np.intersect1d(new, np.arange(100)))
        if lost:
            wrong(
                f"{lost} of 100 images are gone, and others come twice. Which method moves each exactly once?"
            )
        if np.array_equal(old, new):
            wrong(
                f"Epoch {epoch} and epoch {epoch + 1} have the same order: {new[:4]}…. What stays the same "
                "each time?"
            )
        if np.array_equal(new, old[::-1]):
            wrong("Backwards: a folder sorted by class stays sorted. What has chance to do here?")
    if not np.array_equal(orders[1], run()[1]):
        return (
            "Every epoch has another order, and nobody is lost. A second run will have others again: to "
            "repeat one, make the generator from a seed. Ours, below, does."
        )
    return "Every epoch has another order, nobody is lost, and a second run repeats the first."


def _next_order(sequence: Any) -> np.ndarray:
    kept = {name: np.array(getattr(sequence, name)) for name in ("image_paths", "labels", "order")}
    then = "A generator comes from a call, `np.random.default_rng()`: is it called, brackets and all?"
    ask(sequence.on_epoch_end, name="on_epoch_end", empty=True, then=then)
    for moved, other in (("labels", "image_paths"), ("image_paths", "labels")):
        if not np.array_equal(getattr(sequence, moved), kept[moved]):
            wrong(
                f"Your method moves `self.{moved}`; unless `self.{other}` moves along, pictures and labels "
                "part. Which one array says who comes when?"
            )
    if sequence.order is None:
        wrong(
            "`self.order` has become None: `shuffle` works in place and returns nothing. Which method "
            "returns a new array?"
        )
    new = np.array(sequence.order)
    if np.array_equal(new, kept["order"]) and np.array_equal(new, np.arange(100)):
        if not sequence.on_epoch_end.__code__.co_names:
            not_yet("on_epoch_end does nothing so far: replace the dots, and run the cell again.")
        wrong("`self.order` is as it was. `permutation` returns a new array: where does it go?")
    if new.shape != (100,) or new.dtype.kind not in "iu":
        wrong(f"`self.order` has become {new.dtype} of shape {new.shape}; 100 whole numbers were due.")
    return new


# ---------------------------------------------------------------- images

SHAPE, PICTURES, SIZE = (48, 64, 3), 30, 8
BYTES = 48 * 64 * 3 * 4  # of one picture as float32


def _write(folder: Path) -> tuple[list[Path], list[int]]:
    """Pictures whose colour is their number, of several sizes, in five classes."""
    paths, labels = [], []
    for number in range(PICTURES):
        pixels = np.full((40 + number, 60, 3), (number, 100 + number, 200), np.uint8)
        paths.append(folder / f"{number:02}.ppm")  # a header and the plain pixels
        paths[-1].write_bytes(b"P6 60 %d 255\n" % len(pixels) + pixels.tobytes())
        labels.append(number * 5 // PICTURES)
    return paths, labels


def _taken(function: Callable, *arguments: Any, name: str) -> tuple[Any, int, int]:
    """What the learner's code returned, the bytes that it holds more than before, and those at its peak."""
    tracemalloc.start()
    try:
        got = ask(function, *arguments, name=name)
        return got, *tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


def _image_sequence(answer) -> str:
    if not any(base.__name__ == "PyDataset" for base in getattr(answer, "__mro__", ())):
        wrong("`fit` would not know your class: what does it inherit from?")
    with tempfile.TemporaryDirectory() as folder:
        paths, labels = _write(Path(folder))
        load_image(paths[0], SHAPE[:2], "rgb")  # what a first call loads is not the learner's
        sequence = _made(answer, paths, labels)
        count, due = _length(sequence, PICTURES, SIZE), -(-PICTURES // SIZE)
        if count > due:
            wrong(
                f"{PICTURES} pictures in batches of {SIZE}: yours makes {count}; {due} were due. Batches, "
                "or pictures?"
            )
        images = [_images(sequence, idx, labels) for idx in range(count)]
        served = [[round(float(image[..., 0].mean())) for image in batch] for batch in images]
        did = (
            f"{PICTURES} pictures in batches of {SIZE}: yours makes {count}; {-(-PICTURES // SIZE)} are due."
        )
        _served(did, PICTURES, SIZE, [np.array(batch, int) for batch in served])
        _lean(_made(answer, paths, labels), count)
    return (
        "Names are held, pixels come when they are asked for, and each label stays with its picture. Train "
        "it."
    )


def _made(answer: type, paths: list, labels: list) -> Any:
    sequence, held, peak = _taken(lambda: answer(paths, labels, SIZE, SHAPE[:2]), name="__init__")
    if vars(sequence).keys() <= {"workers", "use_multiprocessing", "max_queue_size"}:
        not_yet("__init__ keeps nothing so far: what will the other two methods need?")
    if not {"workers", "_workers"} & vars(sequence).keys():
        wrong("__init__ does not call `super().__init__(**kwargs)`, where Keras keeps its own settings.")
    if max(held, peak) > PICTURES * BYTES / 2:
        wrong(
            f"__init__ takes {max(held, peak):,} bytes: the pixels of all {PICTURES} pictures are "
            f"{PICTURES * BYTES:,}. When should a picture be read?"
        )
    return sequence


def _images(sequence: Any, idx: int, labels: list) -> np.ndarray:
    """The images of a batch; the check ends where it is not images and labels that belong together."""
    got = ask(sequence.__getitem__, idx, name="__getitem__")
    if not isinstance(got, tuple) or len(got) != 2:
        wrong(f"Batch {idx} is one {type(got).__name__}. `fit` wants two things, (images, labels): a tuple.")
    images, own = got
    first, last = idx * SIZE, min((idx + 1) * SIZE, PICTURES)
    due = (last - first, *SHAPE)
    if not isinstance(images, np.ndarray):
        wrong(
            f"The images of batch {idx} are a {type(images).__name__}; one array was due. What does "
            "`np.stack` do?"
        )
    if images.ndim == 1:
        wrong(
            f"Batch {idx} begins with an array of shape {images.shape}, the labels it seems: which comes "
            "first?"
        )
    if images.shape[1:] == (SHAPE[1], SHAPE[0], SHAPE[2]):
        wrong(
            f"The images of batch {idx} have the shape {images.shape}; {due} was due. Pillow's `resize` "
            "wants the width first: what does target_size begin with?"
        )
    if images.shape[1:] != SHAPE or len(images) == 0:
        wrong(
            f"The images of batch {idx} have the shape {images.shape}; {due} was due. Size, channels: which "
            "is off?"
        )
    if images.dtype not in (np.float32, np.uint8):
        wrong(
            f"The images of batch {idx} are {images.dtype}; float32 was due, half as large. Where does it "
            "change?"
        )
    if not isinstance(own, np.ndarray):
        wrong(
            f"The labels of batch {idx} are a {type(own).__name__}; `fit` wants an array. What does "
            "`np.array` do?"
        )
    if images.max() <= 1:
        wrong(
            f"Your values end at {images.max():.2f}; 0 to 255 were due. (Dividing has a notebook of its "
            "own, 03.) Where?"
        )
    numbers = images[..., 0].mean(axis=(1, 2)).round().astype(int)
    if own.shape != (len(images),):
        wrong(
            f"{len(images)} images in batch {idx}, and labels of shape {own.shape}. Which labels belong to "
            "them?"
        )
    if 0 <= numbers.min() <= numbers.max() < PICTURES and not np.array_equal(own, np.array(labels)[numbers]):
        wrong(
            f"Batch {idx} is pictures {numbers.tolist()}, whose labels are "
            f"{np.array(labels)[numbers].tolist()}; yours are {own.tolist()}. Are both cut at the same "
            "places?"
        )
    return images


def _lean(sequence: Any, count: int) -> None:
    """Whether a new sequence reads one batch at a time, and keeps none."""
    _, _, peak = _taken(sequence.__getitem__, 0, name="__getitem__")
    if peak > 3.2 * SIZE * BYTES:
        wrong(
            f"One batch takes {SIZE * BYTES:,} bytes; while yours makes it, {peak:,} are taken. How many "
            "pictures does __getitem__ read?"
        )
    _, held, _ = _taken(lambda: [len(sequence[idx]) for idx in range(1, count)], name="__getitem__")
    if held > SIZE * BYTES:
        wrong(f"After an epoch {held:,} bytes are still held, more than a batch. What keeps the pictures?")


NUMBER_SEQUENCE = Exercise(
    _number_sequence,
    NumberSequence,
    (
        "Deal 100 cards to tables of 32. How many tables does it take? How many cards lie on the last one?",
        "Batch 0 begins at 0, batch 1 at 32, batch 2 at 64: begin = idx * self.batch_size. A slice may run "
        "past the end: numbers[96:128] holds what there is.",
        "Round up: int(np.ceil(len(self.numbers) / self.batch_size)).",
    ),
)
ON_EPOCH_END = Exercise(
    _on_epoch_end,
    on_epoch_end,
    (
        "`self.order` says which image comes when; BasicSequence reads it for every batch.",
        "`np.random.default_rng()` makes a generator; its method `permutation(order)` returns a new array "
        "with the same members in another order.",
        "self.order = np.random.default_rng().permutation(self.order)",
    ),
)
IMAGE_SEQUENCE = Exercise(
    _image_sequence,
    MySequence,
    (
        "__init__ keeps its arguments; __len__ is the one of the numbers; __getitem__ cuts paths and "
        "labels alike.",
        'load_image(path, self.target_size, "rgb") reads one; np.stack makes one array of a list of them.',
        "return np.stack(images), np.array(self.labels[start:end])",
    ),
)
