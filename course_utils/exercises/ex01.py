"""Notebook 01: `__len__` and `__getitem__` on the numbers 0 to 99, where the data is the index."""

import numpy as np

from .core import Exercise, Verdict


class NumberSequence:
    def __init__(self, numbers, batch_size):
        self.numbers = numbers
        self.batch_size = batch_size

    def __len__(self):
        return int(np.ceil(len(self.numbers) / self.batch_size))

    def __getitem__(self, idx):
        start = idx * self.batch_size
        return self.numbers[start : start + self.batch_size]


def strip(n: int, batches: list) -> str:
    """The numbers 0 to n - 1 as a strip of 25 a row: the number of batches each one is in, "." for none."""
    counts = np.zeros(n, int)
    for batch in batches:
        np.add.at(counts, np.asarray(batch, int), 1)
    signs = ["." if c == 0 else str(min(int(c), 9)) for c in counts]
    return "\n".join("  " + " ".join(signs[i : i + 25]) for i in range(0, n, 25))


def _judge(answer) -> Verdict:
    trial = answer(np.arange(100), 32)
    for method, got in (("__len__", trial.__len__()), ("__getitem__", trial.__getitem__(0))):
        if got is ...:
            return Verdict(
                "not yet", f"{method} returns dots so far: replace them, then run both cells again."
            )
        if got is None:
            return Verdict("wrong", f"{method} gives nothing back: is there a `return`?")
        if method == "__getitem__" and np.ndim(got) == 0:
            return Verdict(
                "wrong", f"Batch 0 is the single number {got}. A batch is a slice: from where to where?"
            )
    for n, size in ((100, 32), (96, 32), (5, 7), (100, 1), (100, 128)):
        sequence = answer(np.arange(n), size)
        count = len(sequence)
        batches = [np.asarray(sequence[i]) for i in range(count)]
        did = f"{n} numbers in batches of {size}: yours makes {count}."
        empty = [i for i, batch in enumerate(batches) if batch.size == 0]
        if empty:
            return Verdict("wrong", f"{did} Batch {empty[0]} is empty. Where did the extra one come from?")
        seen = np.concatenate(batches) if batches else np.array([], int)
        picture = f"{did} How often each number is served, a dot for never:\n{strip(n, batches)}\n"
        missing, twice = n - len(np.unique(seen)), len(seen) - len(np.unique(seen))
        largest = max(map(len, batches), default=0)
        if largest > size:
            return Verdict("wrong", f"{picture}One batch holds {largest}. How many may it hold?")
        if twice:
            return Verdict(
                "wrong",
                f"{picture}{twice} come again. Batch 1 begins at {batches[1][0]}: where should it begin?",
            )
        if missing and count == -(-n // size):
            return Verdict(
                "wrong",
                f"{picture}{missing} never come. Which is the last number of batch 0, and which the first of "
                "batch 1? A slice stops before its end.",
            )
        if missing:
            return Verdict(
                "wrong", f"{picture}{missing} never come. What does a whole-number division forget?"
            )
        if not np.array_equal(seen, np.arange(n)):
            return Verdict("wrong", f"{did} They come in the order {seen[:8]}… Which comes first?")
    return Verdict("right", "100 numbers in 32s: four batches, the last one holds 4, and nobody is left out.")


EXERCISE = Exercise(
    _judge,
    NumberSequence,
    (
        "Deal 100 cards to tables of 32. How many tables does it take? How many cards lie on the last one?",
        "Batch 0 begins at 0, batch 1 at 32, batch 2 at 64: begin = idx * self.batch_size. A slice may run "
        "past the end: numbers[96:128] holds what there is.",
        "Round up: int(np.ceil(len(self.numbers) / self.batch_size)).",
    ),
)
