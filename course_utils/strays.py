"""What an interrupted `fit` leaves behind, and how it is ended: threads, worker processes, full queues.

Keras ends them with the epoch. An epoch that is cut short by Ctrl-C, by an exception in a callback, or by
`stop_training` in the middle of it, has no end. At default settings it is a generator that is left, and on
TensorFlow the interpreter cannot exit while that reads a batch (3 of 3 hung, Keras 3.15).

Keras is looked for among the modules that are there and never imported: where it is not, nothing can be left.
"""

import atexit
import contextlib
import gc
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from multiprocessing.pool import TERMINATE, Pool, ThreadPool
from types import FrameType, GeneratorType, ModuleType
from typing import Any

_ADAPTER = "keras.src.trainers.data_adapters.py_dataset_adapter"
_ONE_AT_A_TIME = threading.Lock()
_READERS = ("_finite_generator", "_infinite_generator")  # at default settings; what TensorFlow reads from


def stop_stray_workers(timeout: float = 10.0) -> int:
    """Ends what an interrupted `fit`, `evaluate` or `predict` has left running.

    For any Sequence and backend, also after a worker process was killed. Models stay as they are, and so do
    threads and processes that are not Keras'. Of the traceback that Python and notebooks keep, the variables
    of Keras and TensorFlow are forgotten, which hold batches; yours stay, for `%debug`. Also called when the
    interpreter exits, once this module or `course_utils.sequences` was imported.

    It cannot help while `fit` hangs, and `fit` hangs when a worker process is killed from outside: no further
    cell runs then. Restart the kernel.

    Args:
        timeout: seconds to wait for batches that are being read: a thread cannot be ended from outside.

    Returns:
        How many unfinished passes over a Sequence were ended; 0 where there was nothing to do.

    Raises:
        RuntimeError: `fit`, `evaluate` or `predict` is at work, in this thread or in another.
        TimeoutError: a batch was still being read at the end; call it again.

    Example:
        >>> stop_stray_workers()
        0
    """
    if not _ONE_AT_A_TIME.acquire(timeout=timeout):
        raise TimeoutError(
            f"another thread has been ending stray workers for {timeout:g} s: call it again later"
        )
    try:
        return _stop(timeout)
    finally:
        _ONE_AT_A_TIME.release()


def _stop(timeout: float) -> int:
    adapter = sys.modules.get(_ADAPTER)
    if adapter is None:
        return 0
    if _inside("fit", "evaluate", "predict"):
        raise RuntimeError("fit, evaluate or predict is at work: call stop_stray_workers when it has ended")
    deadline = time.monotonic() + timeout
    enqueuers, generators, pools = _left(adapter)
    ended, reads_by_itself = len(enqueuers) + len(generators), bool(generators)
    threads = [enqueuer.run_thread for enqueuer in enqueuers]
    wanted = set(adapter._DATA_POOLS)  # processes
    for enqueuer in enqueuers:
        wanted |= _emptied_out(enqueuer, pools, deadline)
    for pool in wanted:
        threads += _end_pool(pool)
    while generators or threads or _inside("get_index"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"a batch is still being read after {timeout:g} s: call it again later")
        time.sleep(0.001)
        generators = [generator for generator in generators if not _closed(generator)]
        threads = [thread for thread in threads if thread.is_alive()]
    for enqueuer in enqueuers:
        enqueuer.run_thread = adapter._SHARED_SEQUENCES[enqueuer.uid] = None
    del enqueuers, pools, wanted
    if _forget_tracebacks() or ended:
        gc.collect()
    if reads_by_itself:
        # A thread of TensorFlow's asks a closed generator once more, or is freed with its iterator. If the
        # interpreter exits meanwhile, it gets no answer, and the exit waits for it.
        time.sleep(0.2)
    return ended


def ignore_interrupts_in_workers() -> None:
    """In a worker process of Keras' ignores SIGINT; elsewhere nothing. Called by our Sequences, every batch.

    Ctrl-C and Jupyter's stop button send SIGINT to all processes of a group. A worker that dies of it leaves
    a batch that never comes, and `fit` waits for that for ever (4 of 4 in a kernel): the parent alone is to
    hear it. Where workers are forked they have ignored it from their first moment.
    """
    if multiprocessing.current_process().name.startswith("Keras_worker_"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _ignore_interrupts_if_forked_by_keras() -> None:
    # A Sequence is first heard of when its first batch is made, and a worker can be interrupted before that.
    keras_forks = ("_run", _ADAPTER)
    frames = _frames(sys._getframe())
    if keras_forks in ((frame.f_code.co_name, frame.f_globals.get("__name__")) for frame in frames):
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _left(adapter: ModuleType) -> tuple[list, list, list]:
    """Enqueuers that run, generators that have begun, and all pools, of this process."""
    # By type(): isinstance would ask objects that are none of our business for their __class__.
    kinds = (adapter.PyDatasetEnqueuer, GeneratorType, Pool)
    things = [thing for thing in gc.get_objects() if issubclass(type(thing), kinds)]
    # `run_thread`, not `running`: a stop() of Keras' own that was interrupted has cleared the latter.
    enqueuers = [thing for thing in things if getattr(thing, "run_thread", None)]
    generators = [
        thing
        for thing in things
        if isinstance(thing, GeneratorType)
        and thing.gi_frame is not None
        and thing.gi_frame.f_globals is vars(adapter)
        and thing.gi_code.co_name in _READERS
    ]
    return enqueuers, generators, [thing for thing in things if isinstance(thing, Pool)]


def _emptied_out(enqueuer: Any, pools: list[Pool], deadline: float) -> set[Pool]:
    """Makes an enqueuer's thread end, and empties its queues; the pools that its results were to come from.

    Not its own `stop()`: that waits for every batch, and one of a killed worker never comes.
    """
    enqueuer.running, waited_for = False, []
    while enqueuer.run_thread.is_alive() and time.monotonic() < deadline:
        waited_for += _emptied(enqueuer.future_queue)
        enqueuer.run_thread.join(0.01)  # it waited for room in the queue
    waited_for += _emptied(enqueuer.future_queue)
    _emptied(enqueuer.ready_queue)
    caches = {id(getattr(result, "_cache", None)) for result in waited_for}
    return {pool for pool in pools if id(getattr(pool, "_cache", 0)) in caches}


def _end_pool(pool: Pool) -> list:
    """Ends a pool of Keras' without waiting for it; returns the threads and processes that go with it.

    `pool.terminate()` waits for ever for a lock that a killed process held, and gives up when the thread that
    receives results has died, as it does of an exception that cannot be unpickled.
    """
    handlers = (pool._worker_handler, pool._task_handler, pool._result_handler)
    parts = [*handlers, *pool._pool]
    if isinstance(pool, ThreadPool):
        pool.terminate()
    else:
        pool._terminate.cancel()  # it would be called at exit
        for thing in (pool, *handlers):
            thing._state = TERMINATE
        pool._change_notifier.put(None)
        pool._worker_handler.join(1)  # or it would replace the processes
        for process in pool._pool:
            process.kill()
            process.join(1)
        pool._outqueue._writer.close()  # no writer is left: the thread that receives results ends
        if (lock := pool._outqueue._wlock) is not None:  # None on Windows
            lock.acquire(timeout=0.5)  # whoever held it is dead, and the thread that sends tasks waits for it
            lock.release()
    for result in list(pool._cache.values()):  # who still waits for a batch hears that none will come
        with contextlib.suppress(KeyError):  # it came meanwhile
            result._set(0, (False, RuntimeError("stopped: stop_stray_workers was called")))
    return parts


def _emptied(waiting: queue.Queue) -> list:
    """What was in the queue."""
    found = []
    with contextlib.suppress(queue.Empty):
        while True:
            found.append(waiting.get_nowait())
    return found


def _closed(generator: GeneratorType) -> bool:
    try:
        generator.close()
    except ValueError:  # "generator already executing": a batch is being read
        return False
    return True


def _frames(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _inside(*functions: str) -> bool:
    """Whether a thread is inside one of these functions of Keras."""
    return any(
        frame.f_code.co_name in functions and frame.f_globals.get("__name__", "").startswith("keras.src.")
        for innermost in sys._current_frames().values()
        for frame in _frames(innermost)
    )


def _forget_tracebacks() -> int:
    """Of the errors that Python keeps, the variables of Keras and TensorFlow; the number of their frames."""
    forgotten, seen = 0, set()
    todo = [getattr(sys, name, None) for name in ("last_exc", "last_value")]
    while todo:
        error = todo.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        todo += [error.__cause__, error.__context__]
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if frame.f_globals.get("__name__", "").startswith(("keras.", "tensorflow.")):
                with contextlib.suppress(RuntimeError):  # still running
                    frame.clear()
                    forgotten += 1
    return forgotten


@atexit.register
def at_exit() -> None:
    # A fit that another thread is in the middle of is not ours to stop; neither is a batch that never comes.
    with contextlib.suppress(RuntimeError, TimeoutError):
        stop_stray_workers()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_ignore_interrupts_if_forked_by_keras)
