"""How much memory is taken: now (`memory_now`), and at its peak (`PeakMeter`, `Sampler`)."""

import contextlib
import ctypes
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from ..checks import check_positive

try:
    import resource
except ImportError:  # Windows
    resource = None

WINDOWS = os.name == "nt"

# What a kind counts, as fields of /proc/PID/smaps_rollup (man 5 proc_pid_smaps). PSS divides each shared page
# among its users, so that the sum over a process and its workers counts it once. Pages of files are left out
# where that can be told: the kernel can take them back, and a process's share of a library grows by hundreds
# of megabytes when a stranger that used the same library ends.
ROLLUP_FIELDS = {"PSS without files": "Pss_Anon|Pss_Shmem|SwapPss", "PSS": "Pss|SwapPss"}


def kind_of(rollup: bytes) -> str:
    """The best kind that the text of a smaps_rollup allows; empty where the kernel gives none.

    Else USS, the pages that belong to the process alone, or RSS, its pages in RAM. Not USS on macOS: only
    root reads another process's there.
    """
    if b"Pss_Anon:" in rollup:
        return "PSS without files"
    return "PSS" if rollup else "USS" if WINDOWS else "RSS"


def _own_rollup() -> bytes:
    try:
        return Path("/proc/self/smaps_rollup").read_bytes()
    except OSError:
        return b""


MEMORY_KIND = kind_of(_own_rollup())
_KIND_WITH_FILES = "PSS" if MEMORY_KIND in ROLLUP_FIELDS else MEMORY_KIND

# psutil searches the whole process table for children; a kernel that lists them saves that.
_KERNEL_LISTS_CHILDREN = os.path.exists("/proc/thread-self/children")

# Pause after a sample: this many times the CPU time that the sample took. Reading PSS took 15 ms per GB in
# 4 KiB pages (0.1 ms per GB in huge ones), so the pause has to grow with the process; 7 keeps to 1/8 of one
# core.
_PAUSE_PER_COST = 7
INTERVAL = 0.01


def megabytes(number: float) -> str:
    """Bytes in words, MB being 10**6 and GB 10**9 bytes: "0.4 MB", "168 MB", "2.15 GB"."""
    if number >= 999.5e6:
        return f"{number / 1e9:.3g} GB"
    return f"{number / 1e6:.0f} MB" if number >= 9.95e6 else f"{number / 1e6:.1f} MB"


def memory_now(pid: int | None = None) -> int:
    """Bytes that a process (this one by default) and all its children have taken.

    `MEMORY_KIND` says what counts. On Linux that is what the kernel cannot take back: anonymous and shared
    memory and swap, each page divided among its users; the pages of files (libraries, `np.memmap`) are left
    out. 0 for a process that is gone.
    """
    return _sum(pid, MEMORY_KIND)


def memory_with_files(pid: int | None = None) -> int:
    """Bytes that a process and all its children hold in RAM or swap, their share of libraries included.

    To be compared with what JupyterLab's memory meter shows, and never with `memory_now`: a share of a file
    grows when another process that has it mapped ends. 0 for a process that is gone.
    """
    return _sum(pid, _KIND_WITH_FILES)


def _sum(pid: int | None, kind: str) -> int:
    return sum(_held(member, kind) for member in _tree(os.getpid() if pid is None else pid))


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def kilobytes(names: str, text: bytes) -> dict[str, int]:
    """The fields of a proc file that are given in "kB" (man 5 proc: units of 1024 bytes), as bytes."""
    found = re.findall(rf"^({names}):\s+(\d+) kB".encode(), text, re.MULTILINE)
    return {name.decode(): 1024 * int(size) for name, size in found}


def _held(pid: int, kind: str) -> int:
    """Bytes of that kind in one process; 0 once it is gone."""
    try:
        if kind in ROLLUP_FIELDS:
            return sum(kilobytes(ROLLUP_FIELDS[kind], _read(f"/proc/{pid}/smaps_rollup")).values())
        if kind == "USS":
            return psutil.Process(pid).memory_full_info().uss
    except (PermissionError, psutil.AccessDenied):
        pass  # another user's process: take its RSS
    except (OSError, psutil.Error):
        return 0
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.Error:
        return 0


def _tree(pid: int) -> list[int]:
    """The process, then its children and theirs."""
    pids = [pid]
    if not _KERNEL_LISTS_CHILDREN:
        with contextlib.suppress(psutil.Error):
            pids += [child.pid for child in psutil.Process(pid).children(recursive=True)]
        return pids
    for parent in pids:
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                with contextlib.suppress(OSError):  # a thread that has just ended
                    pids += map(int, _read(f"/proc/{parent}/task/{task}/children").split())
    return pids


class Sample(NamedTuple):
    seconds: float
    own: int  # bytes held by the process itself
    others: int  # ... and by its children
    high: int  # the most RSS that the process had since its record was reset; 0 where unknown
    shared: int  # the part of its RSS that is files and shared memory
    private: int  # the rest of its RSS, and what is swapped out
    data: int  # private memory that is mapped, touched or not; 0 where unknown


def _high_water(pid: int) -> tuple[int, int, int, int]:
    """`high`, `shared`, `private` and `data` of a process, or zeros."""
    try:
        if sys.platform == "linux":
            kb = kilobytes("VmHWM|VmRSS|VmSwap|VmData|RssFile|RssShmem", _read(f"/proc/{pid}/status"))
            shared = kb.get("RssFile", 0) + kb.get("RssShmem", 0)
            private = kb.get("VmRSS", 0) - shared + kb.get("VmSwap", 0)
            return kb.get("VmHWM", 0), shared, private, kb.get("VmData", 0)
        info = psutil.Process(pid).memory_info()
        if WINDOWS:
            return info.peak_wset, 0, info.rss, 0
        if sys.platform == "darwin" and pid == os.getpid():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, info.rss, 0  # in bytes
    except (OSError, psutil.Error):
        pass
    return 0, 0, 0, 0


class Sampler:
    """The memory of one process and its children, sample by sample."""

    # Those that follow this very process: they share its one high-water mark.
    following_self: set["Sampler"] = set()

    def __init__(self, pid: int, first: Sample | None = None):
        self.pid = pid
        self.start = time.perf_counter()
        if pid == os.getpid():
            for other in tuple(self.following_self):
                other.sample()  # sees the mark that is about to be wiped out
            self.following_self.add(self)
            with contextlib.suppress(OSError):  # "5" resets the peak RSS (man 5 proc_pid_clear_refs)
                Path("/proc/self/clear_refs").write_text("5")
        self.samples = [first or self.take()]

    def take(self) -> Sample:
        own, *others = (_held(pid, MEMORY_KIND) for pid in _tree(self.pid))
        return Sample(time.perf_counter() - self.start, own, sum(others), *_high_water(self.pid))

    def sample(self) -> None:
        self.samples.append(self.take())

    @property
    def baseline(self) -> int:
        return self.samples[0].own + self.samples[0].others

    @property
    def peak(self) -> int:
        """The highest sample, or more where the high-water mark proves more.

        The mark counts RSS. Less the most that files and shared memory had of it, and less the private memory
        of the first sample, it is a lower bound for the growth of private memory: pages that another process
        has too, such as a library's, never inflate it. The children count with the least that they ever held.
        """
        first, samples = self.samples[0], tuple(self.samples)
        peak = max(sample.own + sample.others for sample in samples)
        high = max(sample.high for sample in samples)
        if high > first.high:  # else it may date from before the first sample
            private = high - max(sample.shared for sample in samples)
            others = min(sample.others for sample in samples)
            peak = max(peak, first.own - first.private + private + others)
        return peak

    def curve(self) -> tuple[list[float], list[int]]:
        samples = tuple(self.samples)
        return [sample.seconds for sample in samples], [sample.own + sample.others for sample in samples]


class PeakMeter:
    """How much memory a block of code takes at its peak, children included.

    Counted is what `memory_now` counts: no other process makes these figures move.

    What earlier code has freed, and the C library kept for itself, is given back to the system first (glibc
    only): a second measurement of the same block then finds what the first one found.

    A thread samples the memory. A peak too short for that, or in one long C call, is caught where the kernel
    keeps a high-water mark; a child's short peak is not. Meters may be nested.

    Attributes:
        baseline: bytes taken when the block began.
        peak: the most bytes taken; exceeds the curve where the high-water mark tells of more.
        growth: peak - baseline, never negative.
        seconds, bytes: the curve; seconds since the block began, bytes taken.
        kind: what is counted: "PSS without files" (Linux), "PSS" (older kernels), "USS" or "RSS".

    Args:
        interval: least pause between two samples, in seconds. It grows with the size of the process, to keep
            the sampling below about 1/8 of one core.

    Example:
        >>> with PeakMeter() as meter:
        ...     numbers = np.ones(10**7)
        >>> meter.growth > 75e6
        True
    """

    kind = MEMORY_KIND

    def __init__(self, interval: float = INTERVAL):
        self.interval = check_positive("interval", interval, "seconds")

    def __enter__(self) -> "PeakMeter":
        self._stop = threading.Event()
        give_back()
        self._sampler = Sampler(os.getpid())
        self._thread = threading.Thread(target=self._run, name="PeakMeter", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._stop.set()
            self._thread.join()
            self._sampler.sample()
        finally:
            self._sampler.following_self.discard(self._sampler)

    def _run(self) -> None:
        pause = self.interval
        while not self._stop.wait(pause):
            pause = max(self.interval, paid_sample(self._sampler.sample))

    @property
    def baseline(self) -> int:
        return self._sampler.baseline

    @property
    def peak(self) -> int:
        return self._sampler.peak

    @property
    def growth(self) -> int:
        return self.peak - self.baseline

    @property
    def seconds(self) -> list[float]:
        return self._sampler.curve()[0]

    @property
    def bytes(self) -> list[int]:
        return self._sampler.curve()[1]


def give_back() -> None:
    """Returns to the system what was freed and kept (man 3 malloc_trim). Without glibc nothing happens."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # Windows has no CDLL(None)
        ctypes.CDLL(None).malloc_trim(0)


def paid_sample(sample: Callable[[], object]) -> float:
    """Take a sample; return the pause, in seconds, that it has to be paid with."""
    before = time.thread_time()  # not the clock: waiting for the GIL costs nobody anything
    with contextlib.suppress(MemoryError, OSError, psutil.Error):  # a sample lost, not the measurement
        sample()
    return _PAUSE_PER_COST * (time.thread_time() - before)
