"""The commands that README, CONTRIBUTING and `tests/benchmarks/README.md` tell a reader to type.

    .venv/bin/python -m tests.commands [WORD ...]

runs those that are too slow for a test, or those of them that contain one of the words, in a copy of the
project; about an hour and a half for all. `tests/test_readme.py` runs the quick ones, and holds this list to
the pages.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "tests/benchmarks/README.md")

# Run by tests/test_readme.py.
QUICK = {
    "COURSE_DATA=/path/to/folder/labels.csv .venv/bin/jupyter lab notebooks/00_start_here.ipynb",
    ".venv/bin/jupyter lab --ResourceUseDisplay.mem_limit=2000000000",
    ".venv/bin/jupyter lab notebooks",
    ".venv/bin/python -m data_scripts.index_folder /path/to/folder --patient '(\\d{8})_'",
    ".venv/bin/python -m data_scripts.make_dataset --help",
    ".venv/bin/python -m data_scripts.make_flowers --help",
    ".venv/bin/python tests/notebooks/strip.py FOLDER",
    ".venv/bin/ruff check . && .venv/bin/ruff format .",
}
# Run by another test, in a place made for it.
TESTED = {
    ".venv/bin/python -m data_scripts.fetch_dataset": "tests/test_fetch_dataset.py",
    "python3 -m tests.address": "tests/test_address.py",
}
# Run by this program.
SLOW = {
    "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e . && .venv/bin/jupyter lab "
    "notebooks/00_start_here.ipynb",
    "pip install /path/to/this/clone",
    "uv venv && uv pip install -c constraints.txt -e . && uv run --no-sync jupyter lab "
    "notebooks/00_start_here.ipynb",
    "uv venv && uv pip install -c constraints.txt -e '.[test]' && uv run --no-sync python -m tests",
    "python3.13 -m venv .venv-colab && .venv-colab/bin/pip install -c tests/colab/constraints.txt "
    "-r tests/colab/requirements.txt",
    ".venv/bin/pytest -q tests/test_panels.py tests/test_exercises.py",
    ".venv/bin/pytest -q notebooks/03_normalisation.ipynb",
    ".venv/bin/pytest -q tests/notebooks/test_stored.py tests/test_readme.py",
    ".venv/bin/pytest -s tests/browser/test_journey.py",
    ".venv/bin/python -m tests.company .venv/bin/pytest -q tests/test_memory.py",
    ".venv/bin/python tests/notebooks/store.py 05_loading_speed.ipynb",
    ".venv/bin/python -m tests.benchmarks.binder",
    ".venv/bin/python -m tests.benchmarks.pictures",
    ".venv/bin/python tests/benchmarks/augmentation_helps.py",
    ".venv/bin/python tests/benchmarks/filters.py",
    ".venv/bin/python tests/benchmarks/loading.py [FOLDER]",
    ".venv/bin/python tests/benchmarks/many_files.py",
    ".venv/bin/python tests/benchmarks/memory_budget.py",
}
# A line of .ci/run: as it stands, or with another environment's Python.
IN_CI = {
    "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]' "
    "&& .venv/bin/python -m tests",
    ".venv/bin/python -m tests",
    ".venv/bin/pytest -n 2 --dist loadfile -m 'not (measured or browser or colab or mutation)' tests",
}
THIS = ".venv/bin/python -m tests.commands"
# What begins so needs another system, or a program that is not installed here; the README says: not tried.
NOT_TRIED = ("py -3", "conda ", "sudo ")

STARTS = (".venv", "python3", "COURSE_DATA=", "pip ", "uv ", *NOT_TRIED)


def told(page: str) -> list[str]:
    """The commands on a page: in blocks for a shell, and in the text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:bash|powershell)\n(.+?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("  # ")[0] for block in blocks for line in block.splitlines()]
    prose = re.sub(r"^```.+?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return lines + [
        code for code in re.findall(r"`([^`\n]+)`", prose) if code.startswith(STARTS) and " " in code
    ]


@contextlib.contextmanager
def copied(history: bool = False) -> Iterator[Path]:
    """A copy of the project, with its git history if wanted, beside a folder of pictures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        copy = Path(name, "project")
        ignored = [".venv*", "data", ".pytest_cache", "__pycache__", "screenshots"]
        ignored += [] if history else [".git"]
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*ignored))
        (copy / ".venv").symlink_to(sys.prefix)
        for number in range(24):
            path = Path(name, "folder", "ab"[number % 2], f"{number // 4:08}_{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            values = np.random.default_rng(number).integers(0, 256, (64, 64))
            Image.fromarray(values.astype(np.uint8)).save(path)
        yield copy


def run(command: str, copy: Path, timeout: float = 180) -> None:
    """Runs a command in the copy as a reader would; one that opens JupyterLab, until it serves its page.

    Raises:
        AssertionError: it failed, or was not done after so many seconds; the message is what it said.
    """
    for written, meant in {
        "/path/to/folder": f"{copy.parent}/folder",
        "/path/to/this/clone": str(copy),
        "[FOLDER]": "",
        "FOLDER": f"{copy.parent}/class",
    }.items():
        command = command.replace(written, meant)
    if "-m venv .venv " in command or command.startswith(("pip ", "uv ")):
        (copy / ".venv").unlink()  # the link to ours: a bare environment in its place
    if command.startswith("pip "):
        command = f"python3 -m venv .venv && .venv/bin/{command} && .venv/bin/python -c 'import course_utils'"
    settings = Path(copy.parent, "settings")
    settings.mkdir(exist_ok=True)
    config = '{"ServerApp": {"allow_root": true, "open_browser": false}}'  # CI is root, and has no browser
    (settings / "jupyter_server_config.json").write_text(config)
    env = os.environ | {"JUPYTER_CONFIG_DIR": str(settings)}
    opens, said = "jupyter lab" in command, ""
    pipes = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    with subprocess.Popen(command, shell=True, cwd=copy, env=env, start_new_session=True, **pipes) as process:
        watch = threading.Timer(timeout, _kill, [process])
        watch.start()
        try:
            for line in process.stdout:
                said += line
                if opens and re.search(r"http://\S+/lab(?:/tree/\S+)?\?token=", line):
                    return
            done = process.wait()
        finally:
            watch.cancel()
            _kill(process)
    assert done == 0 and not opens, f"{command} ended with {done}:\n{said[-5000:]}"


def _kill(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def main(words: list[str]) -> int:
    failed = []
    for command in sorted(SLOW):
        if words and not any(word in command for word in words):
            continue
        begin = time.monotonic()
        print(command, flush=True)
        with copied(history=True) as copy:
            try:
                run(command, copy, timeout=3600)
            except AssertionError as error:
                failed.append(command)
                print(error)
        print(f"  {'failed' if command in failed else 'ran'}, {time.monotonic() - begin:.0f} s", flush=True)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
