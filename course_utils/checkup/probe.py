"""Lets a Sequence work: takes batches, again, with other random states, from other threads, a new epoch.

What it sees goes to the caller message by message, so that a hang loses only what would have followed.
"""

import contextlib
import hashlib
import itertools
import math
import os
import pickle
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .batches import Batch, describe
from .reach import arrays, held, open_files

_THREADS = 4
_FINGERPRINTED = 200_000_000  # bytes of arrays that are looked at twice
_OTHER_SEED = 10_000


class Probe:
    """Takes batches of a Sequence and sends what it sees.

    Args:
        sequence: it is changed: epochs end, caches fill.
        seconds: how long it may take; asked between two batches.
        send: a function of a name and a value.
    """

    def __init__(self, sequence, seconds: float, send: Callable):
        self.sequence, self.send = sequence, send
        self.seconds, self.began, self.slowest = seconds, time.monotonic(), 0.0

    def run(self, whole: bool) -> None:
        """All of it; `whole` says whether an epoch may end."""
        length, first, kept = self.look("first", 0.5, 0)
        self.send("length", length)
        if not length or not first:
            return
        unsteady = self.again(first)
        # Held through all the fetches: whoever uses its memory again has done so by now.
        if kept and describe(0, *kept).content != first[0].content:
            self.send("reused", True)
        self.past_the_end(length)
        self.send("held", held(self.sequence))  # only now are its caches full
        self.send("open", open_files(self.sequence))
        self.from_threads(first, not unsteady)
        self.pickled()
        if not whole:
            self.send("skipped", "on_epoch_end was not called: the Sequence could not be copied.")
            return
        self.next_epoch(length, first.get(0) if not unsteady else None)

    def has_time(self, share: float) -> bool:
        return time.monotonic() - self.began + self.slowest < share * self.seconds

    def call(self, at: str, function: Callable):
        """What the function returns; an exception is sent, and None returned."""
        self.send("at", at)
        began = time.monotonic()
        try:
            return function()
        except BaseException as error:
            self.send("raised", (at, f"raised {_words(error)}", _travels(error)))
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.send("at", None)  # what takes long from here on is not the Sequence

    def fetch(self, index: int, numpy_seed: int = 0, python_seed: int = 0) -> tuple | None:
        """A batch, boxed, with the global random states set; None when it raised."""

        def get():
            np.random.seed((index + numpy_seed) % 2**32)
            random.seed(index + python_seed)
            return (self.sequence[index],)

        return self.call(f"Batch {index}", get)

    def look(self, name: str, share: float, seed: int) -> tuple[float, dict[int, Batch], tuple | None]:
        """Fetches every batch, the telling ones first; batch 0 is returned as it came, too."""
        length = self.call("__len__", lambda: _length(self.sequence)) or 0
        many = 8 if length == math.inf else length
        telling = dict.fromkeys(index for index in (0, 1, many // 2, many - 1) if 0 <= index < many)
        rest = (index for index in range(many) if index not in telling)
        kept, batches, raised = None, {}, 0
        for place, index in enumerate(itertools.chain(telling, rest)):
            if place and not self.has_time(share if place >= 4 else 0.9) or raised == 3:
                self.send("skipped", f"Stopped after {place} batches{' of another epoch' if seed else ''}.")
                break
            got = self.fetch(index, seed, seed)
            if got and (batch := self.described(index, *got)):
                batches[index] = batch
                self.send(name, batch)
                kept = got if index == 0 else kept
            raised += index not in batches
        return length, batches, kept

    def described(self, index: int, batch) -> Batch | None:
        try:
            return describe(index, batch)
        except Exception as error:
            self.send("raised", (f"Batch {index}", f"cannot be read: {_words(error)}", True))
            return None

    def differs(self, old: Batch, *seeds: int) -> bool:
        got = self.fetch(old.index, *seeds)
        return bool(got) and describe(old.index, *got).content != old.content

    def again(self, first: dict[int, Batch]) -> list[tuple[int, str]]:
        """Which batches come back different, and why: "numpy" or "random", for the global states; "itself"
        where nothing was changed; "drift" where reading changes an array that the Sequence holds."""
        ways = {"itself": (0, 0), "numpy": (1, 0), "random": (0, 1)}
        tries = ((index, who) for index in list(first)[:4] for who in ways if self.has_time(0.7))
        unsteady = [(index, who) for index, who in tries if self.differs(first[index], *ways[who])]
        if any(who == "itself" for _, who in unsteady) and self.has_time(0.7):
            unsteady += self.drifts(list(first)[0])
        self.send("unsteady", unsteady)
        return unsteady

    def drifts(self, index: int) -> list[tuple[int, str]]:
        """Whether one batch read over and over changes what the Sequence holds."""
        before = _fingerprints(self.sequence)
        for _ in range(2):
            self.fetch(index)
        after = _fingerprints(self.sequence)
        changed = any(after.get(key, print_) != print_ for key, print_ in before.items())
        return [(index, "drift")] if changed else []

    def past_the_end(self, length: float) -> None:
        if length < math.inf and self.has_time(0.75):
            with contextlib.suppress(Exception):
                self.send("tail", len(describe(length, self.sequence[length]).rows("x")))

    def from_threads(self, first: dict[int, Batch], steady: bool) -> None:
        """One other thread asks first, then several at once."""
        indices = list(first)[:_THREADS]
        if not self.has_time(0.75):
            return
        self.send("at", "A batch for another thread")
        with ThreadPoolExecutor(1) as pool:
            error = pool.submit(self._asked, indices[0]).exception()
        if error is not None:
            self.send("thread", f"Batch {indices[0]}, asked for by another thread, raised {_words(error)}.")
        elif steady and self.has_time(0.75):
            self.send("at", "Batches for several threads")
            with ThreadPoolExecutor(_THREADS) as pool:
                jobs = [(index, pool.submit(self._asked, index)) for index in indices * 3]
            wrong = {index for index, job in jobs if job.exception() or job.result() != first[index].content}
            if wrong:
                self.send("races", sorted(wrong))
        self.send("at", None)

    def _asked(self, index: int) -> tuple:
        return describe(index, self.sequence[index]).content

    def pickled(self) -> None:
        if not getattr(self.sequence, "_use_multiprocessing", False):
            return
        try:
            with open(os.devnull, "wb") as nowhere:
                pickle.Pickler(nowhere, pickle.HIGHEST_PROTOCOL).dump(self.sequence)
        except Exception as error:
            self.send("unpicklable", f"{type(error).__name__}: {error}"[:200])

    def next_epoch(self, length: float, steady: Batch | None) -> None:
        if steady and hasattr(self.sequence, "on_epoch_begin") and self.has_time(0.75):
            self.call("on_epoch_begin", self.sequence.on_epoch_begin)
            self.send("begins", self.differs(steady))
        if hasattr(self.sequence, "on_epoch_end") and length < math.inf and self.has_time(0.8):
            self.call("on_epoch_end", self.sequence.on_epoch_end)
            # Another seed: samples drawn at random in __getitem__ must not look like the same ones again.
            self.look("later", 0.85, _OTHER_SEED)


def _length(sequence) -> float:
    """Number of batches; infinity for an endless Sequence."""
    length = sequence.num_batches if hasattr(type(sequence), "num_batches") else len(sequence)
    return math.inf if length is None else max(0, int(length))


def _words(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:300]
    except Exception:
        return f"{type(error).__name__}, whose message cannot be read"


def _travels(error: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return False
    return True


def _fingerprints(sequence) -> dict[int, bytes]:
    """A short name for the content of each array that it holds, and could write to."""
    prints, total = {}, 0
    for key, array in arrays(sequence).items():
        total += array.nbytes
        if total < _FINGERPRINTED:
            prints[key] = hashlib.blake2b(array.tobytes(), digest_size=8).digest()
    return prints
