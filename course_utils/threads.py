"""The threads that decode images: one small pool a process, made on first use."""

import collections
import gc
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait

_pools: dict[int, tuple[ThreadPoolExecutor, int]] = {}
_DECODER = "decoder"


def for_each(function: Callable[[int], None], slots: Iterable[int]) -> None:
    """Calls the function for each slot, on the threads that decode; if calls fail, the first slot's error is
    raised.

    Pillow and OpenCV release Python's lock, so they use the cores. An image that is made from another
    Sequence's batch is read in place: a decoder that waits for decoders could wait for ever.
    """
    if not (slots := tuple(slots)):
        return
    left, failed = iter(slots), {}  # one for all: a task a thread costs less than one a slot

    def work() -> None:
        while not failed and (slot := next(left, None)) is not None:
            try:
                function(slot)
            except BaseException as error:
                failed[slot] = error

    if threading.current_thread().name.startswith(_DECODER):
        work()
    else:
        pool, threads = _decoders()
        try:
            wait([pool.submit(work) for _ in range(threads)])
        finally:
            collections.deque(left, 0)  # nothing, unless we were interrupted: then the rest is left undone
    try:
        if failed:
            raise failed[min(failed)]
    finally:
        failed.clear()  # an error holds this frame, and would hold itself


def _decoders() -> tuple[ThreadPoolExecutor, int]:
    """The pool of this process, and how many threads it has.

    Keyed on the process: Keras fetches two batches before it forks its workers, and a pool of threads does
    not survive a fork (the worker would wait for ever). `setdefault` needs no lock, which could be held
    at the moment of a fork; a pool that loses the race has no threads yet.
    """
    process = os.getpid()
    if process not in _pools:
        if _pools:
            # A forked worker. An interrupted fit leaves garbage that holds TensorFlow's iterators; to collect
            # it here waits for TensorFlow's threads, which did not survive the fork (a measured hang).
            gc.freeze()
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        threads = min(cores, 8)
        _pools.setdefault(process, (ThreadPoolExecutor(threads, thread_name_prefix=_DECODER), threads))
    return _pools[process]
