"""Let a memory overflow happen where it harms nothing: in a child process.

`run_limited` runs a function in a fresh interpreter that may take so many bytes and no more: the child dies,
the notebook lives on.
"""

import contextlib
import os
import pickle
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import psutil

from ..checks import check_positive
from .meter import INTERVAL, MEMORY_KIND, WINDOWS, Sampler, megabytes, paid_sample

# Whether the kernel is asked to refuse what goes past an allowance. Else, and where it turns out not to, this
# process watches the child.
KERNEL_REFUSES = not WINDOWS

_GRACE = 3.0  # seconds that a child which has sent its value gets to leave by itself

# An allocation that fails may leave a library waiting for ever, without a word: TensorFlow was seen to build
# a graph and wait for a lock that such a failure had left shut. So near its limit, a child that uses less
# than this share of one core for so many seconds, its own children included, has hung.
PATIENCE, QUIET = 20.0, 0.02

# How a failed allocation reads once a library has turned it into an error of its own: NumPy, C++, TensorFlow,
# oneDNN (dnnl_out_of_memory is 1), Pillow, the C library, Python's threads. A GPU's memory is another matter:
# no limit here reaches it.
_MEMORY_TEXT = re.compile(
    r"MemoryError|bad_alloc|RESOURCE_EXHAUSTED|ResourceExhausted|\bOOM\b|(?i:out of memory)"
    r"|Status: 1, message: could not"
    r"|Cannot allocate memory|can't start new thread|pthread_create"
)
# ... and how C++ (TensorFlow's log, the standard library) begins its last line.
_FATAL_TEXT = re.compile(r"^F\d{4} |^terminate called")
_GPU_TEXT = re.compile(r"GPU_\d+_bfc|CUDA_ERROR_OUT_OF_MEMORY|device:GPU")


@dataclass(frozen=True)
class Outcome:
    """What became of a function in a child process.

    Attributes:
        ended: "finished", "limit" (by the memory limit), "error", "timeout" or "stopped".
        reason: how it ended, in one sentence.
        value: what the function returned; None unless it finished.
        error: the error's last line and the child's traceback, or what its standard error stream says.
        stdout: what the child printed (the last megabyte of it).
        allowance: bytes that the child might take on top of its baseline; None for as many as there are.
        baseline: bytes taken by the child when the function, its arguments and `imports` were loaded.
        peak: the most bytes taken by the child and its own children.
        seconds, bytes: the curve; seconds since the function began, bytes taken.
        kind: what is counted: "PSS without files" (Linux), "PSS" (older kernels), "USS" or "RSS".

    Example:
        >>> outcome = run_limited(sum, [1, 2, 3])
        >>> outcome.ended, outcome.value
        ('finished', 6)
    """

    ended: str
    reason: str
    value: Any = field(default=None, repr=False)
    error: str = field(default="", repr=False)
    stdout: str = field(default="", repr=False)
    allowance: int | None = None
    baseline: int = 0
    peak: int = 0
    seconds: list[float] = field(default_factory=list, repr=False)
    bytes: list[int] = field(default_factory=list, repr=False)
    kind: str = MEMORY_KIND

    @property
    def growth(self) -> int:
        """peak - baseline, never negative."""
        return self.peak - self.baseline


def run_limited(
    function: Callable[..., Any],
    /,
    *args: Any,
    allowance: float | None = None,
    timeout: float = 120,
    imports: Iterable[str] = (),
    stop: threading.Event | None = None,
    **kwargs: Any,
) -> Outcome:
    """Run `function(*args, **kwargs)` in a fresh Python process that may take `allowance` more bytes.

    The child is a new interpreter, not a copy of this one: it holds what the function needs and nothing else.
    The function may be defined in a notebook's cell. It takes along the globals that it names, by value; so
    name no large array there. The child ends, with all its own children, before this call does.

    On Linux the kernel refuses what goes past the allowance (RLIMIT_DATA, man 2 getrlimit), and Python raises
    MemoryError, or TensorFlow aborts. The kernel counts private memory that is mapped, touched or not (an
    `np.empty`, the 8 MB stack of a thread), in each process by itself. So the first `fit` of a tiny model
    takes 130 to 220 MB of an allowance, and grows by about 40 MB. Such a child may use two cores only, for
    thread pools grow with the cores.

    Libraries do not always survive a refusal: a child that has more than half of its allowance, or has said
    that it lacks memory, and then does nothing for 20 seconds, has hung, and is ended.

    Elsewhere, this process watches what the child and its children use, and ends them when it passes the
    allowance; what they take between two looks can then go beyond it.

    Args:
        function: any callable that cloudpickle can send.
        args, kwargs: its arguments. `allowance`, `timeout`, `imports` and `stop` cannot be among the names.
        allowance: bytes on top of what the child holds once all is loaded; None sets no limit. Below 10 MB,
            the child may have too little to say what happened.
        timeout: seconds for the whole call, the child's start and imports included.
        imports: modules to load before the allowance counts, for what the function imports only when it runs.
        stop: an event that another thread may set, to end the child before its time.

    Returns:
        The Outcome. An error in the child is no error here: look at `ended`.

    Raises:
        TypeError: `function` is not callable, or it or its arguments cannot be pickled.
        ValueError: `allowance` or `timeout` is not a positive number, or the allowance less than 1 byte.

    Example:
        >>> run_limited(np.ones, 10**8, allowance=50e6).ended  # 800 MB
        'limit'
    """
    if not callable(function):
        raise TypeError(f"function must be callable, not {function!r}")
    if allowance is not None:
        if check_positive("allowance", allowance, "bytes") < 1:
            raise ValueError(f"allowance must be at least 1 byte, got {allowance}")
        allowance = int(allowance)
    timeout = check_positive("timeout", timeout, "seconds")
    try:
        payload = cloudpickle.dumps((function, args, kwargs))
    except Exception as error:
        name = getattr(function, "__qualname__", repr(function))
        raise TypeError(f"{name} or its arguments cannot be sent to a child process: {error}") from error
    call = {
        "payload": payload,
        "imports": (imports,) if isinstance(imports, str) else tuple(imports),
        "parent": os.getpid(),
        "allowance": allowance if KERNEL_REFUSES else None,
    }
    # Files, not pipes: nothing blocks when they fill up, and what a killed child wrote stays.
    with tempfile.TemporaryDirectory(prefix="course-child-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        package = str(Path(__file__).resolve().parents[2])
        (folder / "path").write_bytes(pickle.dumps([*filter(_is_text, sys.path), package]))
        (folder / "call").write_bytes(pickle.dumps(call))
        with open(folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
            process = subprocess.Popen(
                # Unbuffered (-u), so that what was printed survives an abort.
                [sys.executable, "-u", "-c", _BOOT, name],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, "PYTHONIOENCODING": "utf-8"},
                start_new_session=True,  # its own process group: ended as a whole, and no Ctrl-C of ours
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
            try:
                cut, sampler = _follow(process, folder, allowance, timeout, stop)
            finally:
                _end(process)
        return _outcome(folder, process.returncode, cut, sampler, allowance, timeout)


# The parent's search path first: from then on, the child imports what the parent would.
_BOOT = """
import pickle, sys
with open(sys.argv[1] + "/path", "rb") as file:
    sys.path[:] = pickle.load(file)
from course_utils.memory._child import main
main(sys.argv[1])
"""


def _is_text(entry: object) -> bool:
    return isinstance(entry, str)


def _unpickle(path: Path) -> Any:
    return pickle.loads(path.read_bytes()) if path.exists() else None


def _follow(
    process: subprocess.Popen,
    folder: Path,
    allowance: int | None,
    timeout: float,
    stop: threading.Event | None,
) -> tuple[str | None, Sampler | None]:
    """Sample the child until it ends; say what cuts it short, or None.

    That is "allowance", "hung", "stop" or "timeout".
    """
    deadline = time.monotonic() + timeout
    sampler, watch, pause = None, False, INTERVAL
    idle = _Idle(process.pid)
    report = folder / "report"
    while process.poll() is None:
        if sampler is None and (ready := _unpickle(folder / "ready")):
            sampler = Sampler(ready["pid"], ready["first"])
            watch = allowance is not None and not ready["limited"]
        if sampler and not report.exists():
            count = len(sampler.samples)
            pause = max(INTERVAL, paid_sample(sampler.sample))
            # Not the function's: taken while the child sent its value, or of a child that is no more.
            if report.exists() or sampler.samples[-1].own == 0:
                del sampler.samples[count:]
            elif watch and sampler.peak - sampler.baseline > allowance:
                return "allowance", sampler
        if (folder / "value").exists():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
            break
        if stop and stop.is_set():
            return "stop", sampler
        if sampler and allowance is not None and idle.long_enough():
            if _near(sampler, allowance) or out_of_memory(_tail(folder / "stderr", 10**6)):
                return "hung", sampler
        left = deadline - time.monotonic()
        if left <= 0:
            return "timeout", sampler
        time.sleep(min(pause, left))
    if sampler is None and (ready := _unpickle(folder / "ready")):  # it ended between two looks
        sampler = Sampler(ready["pid"], ready["first"])
    return None, sampler


class _Idle:
    """Whether a process and its children have used next to no processor time for as long as `PATIENCE`."""

    def __init__(self, pid: int):
        self.pid, self.since, self.used, self.next = pid, time.monotonic(), 0.0, 0.0

    def long_enough(self) -> bool:
        now = time.monotonic()
        if now < self.next:  # a look costs more than a sample
            return False
        self.next = now + 1.0
        used = self._used()
        if abs(used - self.used) > QUIET * (now - self.since):  # less, where a child of it has ended
            self.since, self.used = now, used
        return now - self.since > PATIENCE

    def _used(self) -> float:
        used = 0.0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(self.pid)
            for member in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    used += sum(member.cpu_times()[:2])
        return used


def _near(sampler: Sampler, allowance: int) -> bool:
    """Whether the child had more than half of its allowance mapped, by its samples."""
    return max(sample.data for sample in sampler.samples) - sampler.samples[0].data > allowance / 2


def _end(process: subprocess.Popen) -> None:
    """End the child and all its children, whatever state they are in."""
    family = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    if not WINDOWS:
        # Reaches the children of a child that is gone already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
    process.kill()
    process.wait()


def _tail(path: Path, size: int) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - size))
        return file.read().decode(errors="replace").replace("\r\n", "\n")


def out_of_memory(text: str) -> str | None:
    """The words that tell of a failed allocation of main memory, if any."""
    found = _MEMORY_TEXT.search(text)
    return found.group() if found and not _GPU_TEXT.search(text) else None


def _last_words(stderr: str) -> str:
    """Twenty lines, from the last fatal one on: a stack trace may follow it."""
    lines = stderr.splitlines()
    fatal = [at for at, line in enumerate(lines) if _FATAL_TEXT.search(line)]
    start = fatal[-1] if fatal else -20
    return "\n".join(lines[start:][:20])


def _outcome(
    folder: Path,
    code: int,
    cut: str | None,
    sampler: Sampler | None,
    allowance: int | None,
    timeout: float,
) -> Outcome:
    report = _unpickle(folder / "report") or {}
    stderr = _last_words(_tail(folder / "stderr", 10**6))
    value, error = None, report.get("error", "") or stderr
    if cut == "allowance":
        ended, reason = "limit", f"the child grew past its allowance of {megabytes(allowance)} and was ended"
    elif cut == "stop":
        ended, reason = "stopped", "stopped on request"
    elif cut == "hung" or cut == "timeout" and allowance is not None and out_of_memory(stderr):
        ended, reason = "limit", "ended by the memory limit: it hung, and was ended"
    elif cut == "timeout":
        ended, reason = "timeout", f"not done after {timeout:g} s, and ended"
    elif not report:
        ended, reason = _death(code, allowance, stderr, sampler)
    else:
        ended, reason = report["ended"], report["reason"]
        if ended == "finished":
            error = ""
            try:
                value = pickle.loads((folder / "value").read_bytes())
            except Exception as failure:
                ended, error = "error", f"{type(failure).__name__}: {failure}"
                reason = "the function finished, but its value could not be sent back"
    if sampler:
        sampler.samples += report.get("samples", ())
        seconds, sizes = sampler.curve()
        figures = {"baseline": sampler.baseline, "peak": sampler.peak, "seconds": seconds, "bytes": sizes}
    else:
        figures = {}
    stdout = _tail(folder / "stdout", 10**6)
    return Outcome(ended, reason, value, error, stdout, allowance, **figures)


def _death(code: int, allowance: int | None, stderr: str, sampler: Sampler | None) -> tuple[str, str]:
    """What a child that died without a word died of: `ended` and `reason`."""
    if code >= 0:
        # Windows NTSTATUS values; abort() ends with the third, or with 3.
        name = {0xC0000017: "NO_MEMORY", 0xC000012D: "COMMITMENT_LIMIT", 0xC0000409: "abort", 3: "abort"}.get(
            code
        )
        if not WINDOWS or name is None:
            return "error", f"the child left without a result (exit code {code})"
    else:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if said := out_of_memory(stderr):
        return "limit", f"ended by the memory limit: {name} after {said}"
    if allowance is not None and name in ("SIGABRT", "SIGKILL", "abort", "NO_MEMORY", "COMMITMENT_LIMIT"):
        return "limit", f"ended by the memory limit: {name}"
    if allowance is not None and sampler and name in ("SIGSEGV", "SIGBUS"):
        # C code that does not check whether it was given the memory that it asked for; or plainly a bug.
        if _near(sampler, allowance):
            return "limit", f"ended by {name}: probably by the memory limit, for it was near it"
    if name in ("SIGKILL", "NO_MEMORY", "COMMITMENT_LIMIT"):
        return "limit", f"ended by {name}: probably by the machine, which was out of memory"
    return "error", f"the child was ended by {name}"
