"""How much memory there is: the smallest limit in force."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import psutil

from .meter import memory_now

try:
    import resource
except ImportError:  # Windows
    resource = None


@dataclass(frozen=True)
class MemoryLimit:
    """The smallest memory limit in force: `bytes`, and `source`, the name of who sets it."""

    bytes: int
    source: str


def memory_limit(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> MemoryLimit:
    """The smallest of the limits that hold for this process.

    Looks at the control groups of a container or a job (man 7 cgroups; `memory.max` in version 2,
    `memory.limit_in_bytes` in version 1) and all groups around them, at the process's own limits (man 2
    getrlimit) and at the machine's memory. A file that is missing or unreadable sets no limit.

    Args:
        proc: where the proc file system is mounted.
        cgroups: where the control groups are mounted.

    Example:
        >>> limit = memory_limit()
        >>> limit.bytes > 0, limit.source
        (True, '...')
    """
    limits = [MemoryLimit(psutil.virtual_memory().total, "machine")]
    limits += _cgroup_limits(proc, cgroups)
    for name, source in (("RLIMIT_AS", "address-space limit"), ("RLIMIT_DATA", "data limit")):
        if hasattr(resource, name):
            soft, _ = resource.getrlimit(getattr(resource, name))
            if soft != resource.RLIM_INFINITY:
                limits.append(MemoryLimit(soft, f"{source} ({name})"))
    return min(limits, key=lambda limit: limit.bytes)


def memory_free() -> int:
    """Bytes that this process could still take: what the machine has left, or its limit leaves it.

    Other processes under the same limit, such as JupyterLab's server, are not seen.

    Example:
        >>> 0 <= memory_free() <= memory_limit().bytes
        True
    """
    return max(0, min(psutil.virtual_memory().available, memory_limit().bytes - memory_now()))


def _cgroup_limits(proc: Path, cgroups: Path) -> Iterator[MemoryLimit]:
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        _, controllers, path = ([*line.split(":", 2), "", ""])[:3]
        if controllers == "":
            mounts, file, source = ("", "unified"), "memory.max", "cgroup v2"
        elif "memory" in controllers.split(","):
            mounts, file, source = ("memory", controllers), "memory.limit_in_bytes", "cgroup v1"
        else:
            continue
        groups = PurePosixPath(path).parts[1:]
        if ".." in groups:  # outside this cgroup namespace: only its root can be seen
            groups = ()
        # A container often sees the host's path here but only its own group mounted, at the root; so a folder
        # that does not exist says nothing, and the root is always looked at.
        for mount in mounts:
            for depth in range(len(groups) + 1):
                with contextlib.suppress(OSError, ValueError):  # "max" is no number, and no limit
                    limit = int(cgroups.joinpath(mount, *groups[:depth], file).read_text())
                    if limit > 0:
                        yield MemoryLimit(limit, source)
