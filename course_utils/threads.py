"""The threads that decode images: one small pool a process, made on first use."""

import gc
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

_pools: dict[int, ThreadPoolExecutor] = {}
_DECODER = "decoder"


def for_each(function: Callable[[int], None], slots: Iterable[int]) -> None:
    """Calls the function for each slot, on the threads that decode.

    Pillow releases Python's lock, so they use the cores. An image that is made from another Sequence's batch
    is read in place: a decoder that waits for decoders could wait for ever.
    """
    inside = threading.current_thread().name.startswith(_DECODER)
    list((map if inside else _decoders().map)(function, slots))


def _decoders() -> ThreadPoolExecutor:
    """The pool of this process.

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
        _pools.setdefault(process, ThreadPoolExecutor(min(cores, 8), thread_name_prefix=_DECODER))
    return _pools[process]
