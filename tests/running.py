"""What the tests share: a Python of its own, a measurement in one, and the cells of a notebook."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle

from course_utils import run_limited

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

# ---------------------------------------------------------------- a Python of its own


def start(*arguments: str, python: Path | str = sys.executable, cwd: Path = ROOT, env=(), **options):
    """Starts `python ARGUMENTS`, its streams as pipes of text; `env` comes on top of this process's own."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    command = [python, *map(str, arguments)]
    return subprocess.Popen(command, cwd=cwd, env=os.environ | dict(env), text=True, **pipes | options)


def run(*arguments: str, message: str = "", timeout: float = 180, fails: bool = False, **options):
    """Runs `python ARGUMENTS` to its end and returns what became of it; an exit code but 0 is an error."""
    with start(*arguments, **options) as process:
        try:
            out, err = process.communicate(message, timeout)
        except BaseException:
            process.kill()
            raise
    assert fails or process.returncode == 0, f"{out[-5000:]}\n{err[-3000:]}"
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def answer(code: str, message: Any = (), **options) -> Any:
    """Runs a program that gets the message as JSON and prints its answer as JSON, in its last line."""
    return json.loads(run("-c", code, message=json.dumps(message), **options).stdout.splitlines()[-1])


# ---------------------------------------------------------------- measuring


def fresh(function: Callable, /, *args: Any, imports=(), **kwargs: Any) -> Any:
    """What the function returns in an interpreter that has done nothing else: no used heap, no threads."""
    # It travels as a notebook's functions do: else the child would import the tests, and pytest, to find it.
    cloudpickle.register_pickle_by_value(sys.modules[function.__module__])
    outcome = run_limited(function, *args, imports=imports, **kwargs)
    assert outcome.ended == "finished", f"{outcome.reason}\n{outcome.error}"
    return outcome.value


def least(measure: Callable[[], float], below: float) -> float:
    """The least of up to three measurements, which has to lie below the bound; all are printed.

    For an upper bound on what a busy machine can only make larger. What is exact is never tried again.
    """
    values = []
    while len(values) < 3 and not (values and values[-1] < below):
        values.append(measure())
    print(f"measured {', '.join(f'{value:.4g}' for value in values)}; the bound is {below:.4g}")
    assert min(values) < below, values
    return min(values)


# ---------------------------------------------------------------- notebooks


def cells(name: str | Path, kind: str = "") -> list:
    """The cells of a notebook, named as in `notebooks/`: all, or those of one kind ("code", "markdown")."""
    import nbformat  # takes a second, which most tests need not pay

    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    return [cell for cell in notebook.cells if kind in cell.cell_type]


def definition(notebook: str, name: str, **space: Any) -> Any:
    """The class or function `name` as the notebook defines it last; `space` holds the names that it needs."""
    nodes = [
        node
        for cell in cells(notebook, "code")
        if f" {name}(" in cell.source or f" {name}:" in cell.source
        for node in ast.parse(cell.source).body
        if getattr(node, "name", None) == name
    ]
    assert nodes, f"{notebook} defines no {name}"
    exec(compile(ast.Module(nodes[-1:], []), notebook, "exec"), space)
    return space[name]
