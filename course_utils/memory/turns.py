"""Threads that each need much memory for a moment take turns where it would not suffice for all."""

import contextlib
import os
import threading
from collections.abc import Iterator

from .limit import memory_free

NOT_WORTH_ASKING = 2**24  # bytes; eight threads of that are 134 MB
SHARE = 0.5  # of what is free


class _Turns:
    """What the threads of one process have been promised."""

    def __init__(self):
        self.changed, self.promised = threading.Condition(), 0

    def suffices(self, needed: int) -> bool:
        # Part of what was promised is taken already, and so not free: this lies between the two.
        return not self.promised or self.promised + needed <= SHARE * (memory_free() + self.promised)


_turns: dict[int, _Turns] = {}  # keyed on the process: a lock that was held at a fork is never released


@contextlib.contextmanager
def room_for(needed: int) -> Iterator[None]:
    """Holds the thread until all that were let in before, and this one, need at most half of what is free.

    One thread is always let in. What it does inside must not wait for another that may be waiting here.

    Args:
        needed: bytes that the thread will take for a moment. Below 17 MB nobody waits.

    Example:
        >>> with room_for(100_000_000):
        ...     pass  # decode a large picture
    """
    if needed < NOT_WORTH_ASKING:
        yield
        return
    turns = _turns.setdefault(os.getpid(), _Turns())
    with turns.changed:
        turns.changed.wait_for(lambda: turns.suffices(needed))
        turns.promised += needed
    try:
        yield
    finally:
        with turns.changed:
            turns.promised -= needed
            turns.changed.notify_all()
