"""The other side of `limited.run_limited`: what its child process runs."""

import gc
import importlib
import io
import mmap
import os
import pickle
import re
import shutil
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

from .limited import out_of_memory
from .meter import WINDOWS, Sampler, kilobytes

try:
    import resource
except ImportError:  # Windows
    resource = None


_CORES = 2


def main(folder: str) -> None:
    """Do the call that is described in the folder, and leave its report and its value there."""
    call = _load(folder, "call")
    threading.Thread(target=_leave_with_parent, args=(call["parent"], folder), daemon=True).start()
    if resource:
        # An abort must not write a core file as large as the memory that it had.
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if call["allowance"] and hasattr(os, "sched_setaffinity"):
        # A pool with a thread per core takes its stacks (8 MB each) out of the allowance when it first
        # starts: on 64 cores that alone is 0.5 GB a pool, and TensorFlow has several. TensorFlow, OpenBLAS
        # and OpenMP count the cores that they may run on; with few, machines differ little in the verdict.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CORES])
    try:
        for name in call["imports"]:
            importlib.import_module(name)
        function, args, kwargs = pickle.loads(call.pop("payload"))
    except BaseException as error:
        _send(folder, "report", _failure(error, "before the function began"))
        return
    gc.collect()
    spare = bytearray(10**6)  # given back before anything is done about a MemoryError
    sampler = Sampler(os.getpid())
    before = _limit(call["allowance"])
    ready = {"pid": os.getpid(), "first": sampler.samples[0], "limited": before is not None}
    _send(folder, "ready", ready)
    value, failure = None, None
    try:
        value = function(*args, **kwargs)
    except BaseException as error:
        failure = error
    del spare
    if before:
        resource.setrlimit(resource.RLIMIT_DATA, before)
    sampler.sample()
    report = _failure(failure) if failure else {"ended": "finished", "reason": "finished"}
    _send(folder, "report", {**report, "samples": sampler.samples[1:]})
    _send_value(folder, value)


def _load(folder: str, name: str) -> dict[str, Any]:
    return pickle.loads(Path(folder, name).read_bytes())


def _send(folder: str, name: str, message: object) -> None:
    _write(folder, name, pickle.dumps(message))


def _write(folder: str, name: str, data: bytes) -> None:
    part = Path(folder, name + ".part")
    part.write_bytes(data)
    os.replace(part, Path(folder, name))  # whole or not at all, for a parent that looks at any moment


def _send_value(folder: str, value: object) -> None:
    """The last message: from here on, the parent waits no longer than for a child that leaves."""
    try:
        _write(folder, "value", cloudpickle.dumps(value))
    except Exception as error:
        failure = _failure(error)
        failure.update(ended="error", reason="the function finished, but its value could not be sent back")
        _send(folder, "report", {**_load(folder, "report"), **failure})
        _write(folder, "value", b"")


def _leave_with_parent(parent: int, folder: str) -> None:
    """When the parent was killed, tidy up for it and end this process, on POSIX with its children."""
    while True:
        time.sleep(0.5)
        try:
            # On Windows a venv's launcher may stand between, and the parent's number never changes.
            gone = not psutil.pid_exists(parent) if WINDOWS else os.getppid() != parent
        except MemoryError:
            continue
        if gone:
            shutil.rmtree(folder, ignore_errors=True)
            if not WINDOWS:
                os.killpg(0, 9)
            os._exit(1)


def _limit(allowance: int | None) -> tuple[int, int] | None:
    """Allow so many more bytes of private memory; return the limits from before, or None if it is no use."""
    if allowance is None or not hasattr(resource, "RLIMIT_DATA"):
        return None
    try:
        held = kilobytes("VmData", Path("/proc/self/status").read_bytes())["VmData"]
        soft, hard = before = resource.getrlimit(resource.RLIMIT_DATA)
        # The soft limit alone, so that it can be lifted again to report what happened.
        wanted = [limit for limit in (held + allowance, soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min(wanted), hard))
    except (KeyError, OSError, ValueError):
        return None
    # Some kernels take the limit and do not keep it (Linux before 4.7 looks at the heap alone): try it out.
    try:
        mmap.mmap(-1, allowance + 2**20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return before
    resource.setrlimit(resource.RLIMIT_DATA, before)
    return None


def _chain(error: BaseException | None, seen: set[int]) -> list[BaseException]:
    """The error, what caused it, what it came up in, and the members of a group."""
    if error is None or id(error) in seen:
        return []
    seen.add(id(error))
    related = (error.__cause__, error.__context__, *getattr(error, "exceptions", ()))
    return [error, *(link for other in related for link in _chain(other, seen))]


def _failure(error: BaseException, when: str = "") -> dict[str, Any]:
    """The report about an error: whether it was the memory limit, and the traceback from the function on."""
    chain = _chain(error, set())
    last = "".join(traceback.format_exception_only(error)).strip()
    words = io.StringIO()
    trace = error.__traceback__.tb_next if error.__traceback__ else None
    traceback.print_exception(type(error), error, trace, file=words)
    # A cell's code is kept in a file of this name, which means nothing to the reader.
    text = re.sub(r'File "[^"]*ipykernel_\d+[^"]*"', 'File "<notebook cell>"', words.getvalue())
    texts = [f"{type(link).__name__}: {link}" for link in chain]
    memory = any(isinstance(link, MemoryError) for link in chain) or any(map(out_of_memory, texts))
    name = type(error).__name__
    reason = f"ended by the memory limit: {name}" if memory else f"ended by {name}"
    reason = f"{reason} {when}".strip()
    return {"ended": "limit" if memory else "error", "reason": reason, "error": f"{last}\n\n{text}"}
