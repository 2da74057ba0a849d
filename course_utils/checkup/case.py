"""What the rules look at: the arguments of `check`, and what was seen."""

import numbers
from collections.abc import Iterator

import numpy as np

from .apart import watch
from .batches import Batch
from .reach import operations, own_attributes, random_states

# What a rule yields: a code, a sentence (or something false: not seen), a level where it is not the usual.
Said = Iterator[tuple]


class Case:
    """One Sequence under examination.

    Attributes:
        workers, processes, queue, enqueuer: its settings; whether Keras reads it through a queue.
        operations: names of what runs TensorFlow, JAX or Keras in it.
        seen: what the probe sent, by name.
        length, at: number of batches, -1 if unknown; what had not come back.
        first, later: batches of this epoch and of the next.
        whole, size: whether each batch was looked at; samples in the largest.
    """

    def __init__(self, sequence, model, fit_args: dict, role: str, seconds: float):
        self.sequence, self.model, self.train, self.fit_args = sequence, model, role == "train", fit_args
        self.workers, self.processes, self.queue = settings(sequence)
        self.enqueuer = self.workers > 1 or self.processes
        self.operations = operations(sequence)
        self.draws = bool(random_states(sequence))
        self.seen = watch(sequence, seconds, bool(self.operations))
        self.at, self.length = self.seen["at"][-1], (self.seen["length"] or [-1])[-1]
        self.first: list[Batch] = self.seen["first"]
        self.later: list[Batch] = self.seen["later"]
        self.unsteady: list[tuple[int, str]] = sum(self.seen["unsteady"], [])
        self.whole = len(self.first) == self.length  # whether each batch was looked at
        self.size = max((len(batch.rows("x")) for batch in self.first), default=0)

    def lows_and_highs(self, part: str, name: str) -> tuple[float, float]:
        """The least and the largest value of one leaf in this epoch."""
        leaves = [leaf for b in self.first for leaf in b.leaves if (leaf.part, leaf.name) == (part, name)]
        lows, highs = [leaf.low for leaf in leaves], [leaf.high for leaf in leaves]
        return float(np.nanmin(lows, initial=np.inf)), float(np.nanmax(highs, initial=-np.inf))


def settings(sequence) -> tuple[int, bool, int]:
    """Workers, processes or not, queue; as Keras stores them: its properties would warn, and set what a
    missing super().__init__ did not.

    Raises:
        TypeError: one of them is no number.
    """
    own = own_attributes(sequence)
    workers, queue = own.get("_workers", 1), own.get("_max_queue_size", 10)
    for name, value in {"workers": workers, "max_queue_size": queue}.items():
        if not isinstance(value, numbers.Integral):
            raise TypeError(f"{name} of a Sequence must be a whole number, got {value!r}")
    return workers, workers > 0 and bool(own.get("_use_multiprocessing")), queue
