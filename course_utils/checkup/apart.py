"""Where the probe runs: in a forked child that is killed in time, or in a thread that is left alone."""

import contextlib
import copy
import gc
import math
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections import defaultdict

import numpy as np

from .probe import Probe
from .reach import can_be_copied

_COPIED = 100_000_000  # bytes; a larger Sequence is not copied for a thread
_BUSY = 0.5  # of its time: who waits for a lock or a thread takes none


def watch(sequence, seconds: float, operations: bool) -> dict[str, list]:
    """All that was seen in `seconds` at most.

    Args:
        sequence: stays as it is.
        seconds: the most it may take.
        operations: whether it calls TensorFlow, JAX or Keras, whose threads do not survive a fork.
    """
    began = time.monotonic()
    # macOS can fork, but its own libraries then end the child.
    if hasattr(os, "fork") and sys.platform != "darwin" and not operations:
        seen = _in_fork(sequence, 0.7 * seconds)
        # The rest is for a second try: the fork itself may be why it hangs.
        # Not where it has computed all the time: a thread that does so without end would hold up this one.
        if not seen["stuck"] or not seen["at"][-1] or seen["busy"]:
            return seen
    return _in_thread(sequence, max(0.1, seconds - (time.monotonic() - began) - 0.2))


def _collect(reader, seen: dict[str, list], seconds: float) -> None:
    """Takes what the probe sends until it is done, its time is over, or it is no more."""
    deadline = time.monotonic() + seconds
    try:
        while reader.poll(max(0.0, deadline - time.monotonic())):
            name, value = reader.recv()
            if name == "done":
                return
            seen[name].append(value)
        seen["stuck"] = [True]
    except EOFError:
        ended = (seen["at"][-1] or "What followed", "ended the process, without an exception", True)
        seen["raised"].append(ended)


def _run(sequence, seconds: float, writer, whole: bool) -> None:
    home = os.getpid()

    def send(*message) -> None:
        if os.getpid() != home:  # the Sequence has forked: two would speak at once
            os._exit(0)
        writer.send(message)

    probe = Probe(sequence, seconds, send)
    try:
        probe.run(whole)
    except Exception as error:  # something stranger than the probe knows: keep what was seen
        probe.send("skipped", f"The check-up stopped early ({type(error).__name__}: {error}).")
    probe.send("done", None)


def _in_fork(sequence, seconds: float) -> dict[str, list]:
    reader, writer = multiprocessing.Pipe(duplex=False)
    with reader, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python and JAX warn of forks beside threads: see `watch`
        child = os.fork()
        if not child:
            _child(sequence, seconds, writer)
        writer.close()
        seen = defaultdict(list, at=["__len__"], how=["a copy of this process"])
        try:
            _collect(reader, seen, seconds)
        finally:
            # Its own children too; by its number as well, in case it did not get to make the group.
            for end in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    end(child, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):  # who ignores SIGCHLD has nobody to wait for
                usage = os.wait4(child, 0)[2]
                if usage.ru_utime > _BUSY * seconds:
                    seen["busy"] = [True]
    return seen


def _child(sequence, seconds: float, writer) -> None:
    """All that the child does. It leaves by os._exit: nothing of the parent's is run or flushed."""
    try:
        # To collect TensorFlow's iterators here would wait for threads that did not survive the fork.
        gc.freeze()
        os.setsid()
        signal.alarm(math.ceil(seconds) + 5)  # ends it, should the parent be killed
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nowhere, number)
        sys.stdin, sys.stdout, sys.stderr = (open(os.devnull, mode) for mode in "rww")
        _run(sequence, seconds, writer, True)
    finally:
        os._exit(0)


def _in_thread(sequence, seconds: float) -> dict[str, list]:
    reader, writer = multiprocessing.Pipe(duplex=False)

    def work() -> None:
        mine, whole = sequence, False
        with contextlib.suppress(Exception):  # what cannot be copied
            if can_be_copied(sequence, _COPIED):
                mine, whole = copy.deepcopy(sequence), True
        with contextlib.suppress(OSError):  # time is over, and nobody listens any more
            _run(mine, seconds, writer, whole)

    states = random.getstate(), np.random.get_state()
    seen = defaultdict(list, at=["__len__"], how=["a thread"])
    with reader:
        threading.Thread(target=work, daemon=True, name="checkup").start()
        _collect(reader, seen, seconds)
    random.setstate(states[0])
    np.random.set_state(states[1])
    return seen
