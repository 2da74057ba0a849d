"""The tests' own tools: a measurement must be able to fail, and a suite that failed must not look green."""

import shutil
import subprocess

import nbformat
import pytest

from . import __main__ as suite
from . import running
from .running import ROOT, answer, fresh, least, run


def test_least_stops_at_the_first_below_and_fails_when_all_three_are_above(capsys):
    tries = iter([5.0, 3.0, 1.0, 0.0])
    assert least(lambda: next(tries), below=4) == 3.0
    assert capsys.readouterr().out == "measured 5, 3; the bound is 4\n"
    tries = iter([5.0, 3.0, 4.0, 0.0])
    with pytest.raises(AssertionError, match=r"\[5.0, 3.0, 4.0\]"):
        least(lambda: next(tries), below=2)
    assert next(tries) == 0.0


def test_a_program_that_fails_says_why_and_is_no_answer():
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run("-c", "1 / 0")
    assert run("-c", "1 / 0", fails=True).returncode == 1
    assert answer(
        "import json, sys; print('noise'); print(json.dumps(json.load(sys.stdin)[::-1]))", [1, 2]
    ) == [2, 1]
    with pytest.raises(subprocess.TimeoutExpired):
        run("-c", "import time; time.sleep(60)", timeout=0.5)


def test_a_fresh_interpreter_knows_neither_the_tests_nor_keras():
    def known() -> list[str]:
        import sys

        return [name for name in ("tests", "pytest", "keras") if name in sys.modules]

    assert fresh(known) == []
    with pytest.raises(AssertionError, match="ended by KeyError"):
        fresh(lambda: {}["nobody"])


@pytest.mark.parametrize("codes, said", [([0, 0], 0), ([1, 0], 1), ([0, 2], 2), ([-9, 0], -9), ([5, 1], 5)])
def test_the_suite_is_green_when_both_parts_are(monkeypatch, codes, said):
    commands = []

    def done(command):
        commands.append(command)
        return subprocess.CompletedProcess(command, codes[len(commands) - 1])

    monkeypatch.setattr(suite.subprocess, "run", done)
    assert suite.main(["-x"]) == said
    assert len(commands) == 2 and all(command[-1] == "-x" for command in commands)


def test_a_cell_that_takes_too_much_memory_fails(tmp_path):
    """conftest.py watches nbval's kernels."""
    greedy = "held = bytes(range(256)) * (800_000_000 // 256)"
    cells = [nbformat.v4.new_code_cell(code) for code in ("1 + 1", greedy)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "greedy.ipynb")
    shutil.copy(ROOT / "conftest.py", tmp_path)
    done = run(
        "-m", "pytest", "--nbval", "--nbval-current-env", cwd=tmp_path, env={"MESSY_DATA": "none"}, fails=True
    )
    assert done.returncode == 1 and "1 failed, 1 passed" in done.stdout
    assert "kernel and children took 8" in done.stdout


def test_a_definition_is_the_last_of_its_name_and_a_missing_one_is_named():
    taught = running.definition("01_basic_sequence.ipynb", "make_model")
    assert taught.__code__.co_varnames[:2] == ("shape", "last_layer")
    with pytest.raises(AssertionError, match="01_basic_sequence.ipynb defines no nothing"):
        running.definition("01_basic_sequence.ipynb", "nothing")
