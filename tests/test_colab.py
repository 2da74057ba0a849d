"""The notebooks and panels under the versions that Colab runs: ipywidgets 7.7.1, Keras 3.13, NumPy 2.1."""

import os

import pytest

from .running import ROOT, run

SCRIPTS = "Scripts/python.exe" if os.name == "nt" else "bin/python"
PYTHON = ROOT / ".venv-colab" / SCRIPTS
pytestmark = [
    pytest.mark.colab,
    pytest.mark.skipif(
        not PYTHON.exists() and not os.environ.get("CI"),
        reason="no .venv-colab; the README, Tests, says how to make it",
    ),
]


def run_there(*arguments, **variables):
    # The course is found by its path, as on Colab, where it is cloned and not installed.
    env = {"PYTHONPATH": str(ROOT), "COURSE_DATA": "", **variables}
    return run(*arguments, python=PYTHON, env=env, timeout=600).stdout


PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_the_versions_are_colabs():
    code = "from importlib.metadata import version; print(version('ipywidgets'), version('keras'))"
    assert run_there("-c", code).split() == ["7.7.1", "3.13.2"]


def test_panels():
    assert " passed" in run_there(*PYTEST, "tests/test_panels.py", "-k", "redraws or shows_as")


def test_notebooks_on_a_messy_folder_of_ones_own(messy):
    """Both at once, for the time it takes: every mode, odd sizes and names, one broken file left out.

    Their outputs differ from the stored ones, which belong to the made pictures; every claim must hold.
    """
    report = run_there(
        "-m", "data_scripts.index_folder", str(messy), "--patient", r"patient (\d+)", "--force"
    )
    assert "no finding/cut short.png: not a readable image" in report
    lax = ("-o", "addopts=", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=180")
    assert " passed" in run_there(*PYTEST, *lax, "notebooks", MESSY_DATA=str(messy / "labels.csv"))
