"""The notebooks as Binder serves them, under 2 GB: do all run to their end, and what do they hold?

    .venv/bin/python -m tests.benchmarks.binder

Takes Binder's steps without Docker: in a bare environment under Python 3.12 the requirements and `postBuild`
of `.binder/`, in a clone of the last commit; then JupyterLab by `.binder/start`, and in a browser one
notebook after the other, each with *Run All Cells* and its kernel shut down, as its last line asks. Server,
kernel and children stand under one limit together: a control group where you may make one (root), else
`ulimit -d`, which counts each process by itself. Exits with 1 if a cell fails, or if more than 1.6 GB were
held, libraries included.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from course_utils.memory import megabytes, memory_now, memory_with_files
from tests.browser import labdrive
from tests.running import NOTEBOOKS, ROOT

LIMIT, MOST = 2 * 10**9, 1_600_000_000
SCREENSHOT = ROOT / "tests/browser/screenshots/binder.png"


def python312() -> str:
    prefix = ""
    if shutil.which("pyenv"):
        prefix = subprocess.run(["pyenv", "prefix", "3.12"], capture_output=True, text=True).stdout.strip()
    for python in (f"{prefix}/bin/python3.12", "python3.12"):
        if shutil.which(python) and subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return python
    sys.exit("Binder's image has Python 3.12: there is none here.")


def build(folder: Path) -> tuple[Path, dict[str, str]]:
    """Binder's steps: the project in `folder`, and the variables that the environment's PATH needs."""
    project, venv = folder / "course", folder / "venv"
    subprocess.run(["git", "clone", "-q", "--depth", "1", ROOT.as_uri(), project], check=True)
    subprocess.run([python312(), "-m", "venv", venv], check=True)
    variables = {"PATH": f"{venv}/bin:{os.environ['PATH']}", "COURSE_DATA": "", "COURSE_FLOWERS": ""}
    env = os.environ | variables
    install = ["pip", "install", "-q", "--no-cache-dir", "-r", ".binder/requirements.txt"]
    for command in (install, [project / ".binder/postBuild"]):
        subprocess.run(command, cwd=project, env=env, check=True)
    return project, variables


@contextlib.contextmanager
def limited() -> Iterator[tuple[str, ...]]:
    """What to put before a command, so that it and all that it starts stand under the limit."""
    for folder, file in (("memory", "memory.limit_in_bytes"), ("", "memory.max")):
        group = Path("/sys/fs/cgroup", folder, "course_as_on_binder")
        with contextlib.suppress(OSError):
            group.mkdir(exist_ok=True)
            (group / file).write_text(str(LIMIT))
            print(f"The limit: {megabytes(LIMIT)} for all of it, by {group}")
            try:
                yield "sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(group)
            finally:
                group.rmdir()
            return
    print(f"The limit: {megabytes(LIMIT)} for each process, by ulimit -d")
    yield "sh", "-c", f'ulimit -d {LIMIT // 1024} && exec "$@"', "sh"


class Peak(threading.Thread):
    """The most that a process and its children hold while this runs: what the system cannot take back, and
    with their libraries' pages, as JupyterLab's meter counts."""

    def __init__(self, pid: int):
        super().__init__(daemon=True)
        self.pid, self.held, self.with_files, self.over = pid, 0, 0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.05):
            self.held = max(self.held, memory_now(self.pid))
            self.with_files = max(self.with_files, memory_with_files(self.pid))

    def __enter__(self) -> "Peak":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.over.set()
        self.join()


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, limited() as prefix:
        project, variables = build(Path(folder))
        command = (*prefix, project / ".binder/start", "jupyter", "lab")
        server = labdrive.lab(project, command=command, **variables)
        with server as (address, token, pid), labdrive.browser_page() as page:
            rows = [visit(page, address, token, pid, path.name) for path in NOTEBOOKS]
    return 0 if all(rows) else 1


def visit(page, address: str, token: str, pid: int, name: str) -> bool:
    """One notebook, from opening it to its kernel's end; whether all went well."""
    with Peak(pid) as peak:
        labdrive.open_notebook(page, address, token, f"notebooks/{name}")
        if name == NOTEBOOKS[0].name:
            SCREENSHOT.parent.mkdir(exist_ok=True)
            page.screenshot(path=SCREENSHOT)
            print("JupyterLab's meter:", labdrive.memory_meter(page))
        start = time.monotonic()
        ran = labdrive.run_all(page)
        seconds = time.monotonic() - start
        labdrive.shut_down(page)
    told = "ran to its end" if ran else "FAILED"
    peaks = f"{megabytes(peak.held)} at the peak, {megabytes(peak.with_files)} with libraries"
    print(f"{name}: {told}, {seconds:.0f} s, {peaks}", flush=True)
    return ran and peak.with_files <= MOST


if __name__ == "__main__":
    sys.exit(main())
