"""The notebooks and panels under the versions that Colab runs: ipywidgets 7.7.1, Keras 3.13, NumPy 2.1."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = "Scripts/python.exe" if os.name == "nt" else "bin/python"
PYTHON = ROOT / ".venv-colab" / SCRIPTS
pytestmark = pytest.mark.skipif(
    not PYTHON.exists() and not os.environ.get("CI"),
    reason="no .venv-colab; the README, Tests, says how to make it",
)


def run_there(*arguments, **variables):
    done = subprocess.run(
        [PYTHON, "-m", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        # The course is found by its path, as on Colab, where it is cloned and not installed.
        env={k: v for k, v in os.environ.items() if k != "COURSE_DATA"}
        | {"PYTHONPATH": str(ROOT), **variables},
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-1000:]
    return done.stdout


PYTEST = ("pytest", "-q", "-p", "no:cacheprovider")


def test_the_versions_are_colabs():
    code = "from importlib.metadata import version; print(version('ipywidgets'), version('keras'))"
    done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["7.7.1", "3.13.2"]


def test_panels():
    assert " passed" in run_there(*PYTEST, "tests/test_widgets.py", "-k", "redraws or shows_as")


def test_notebooks_on_a_messy_folder_of_ones_own(messy):
    """Both at once, for the time it takes: every mode, odd sizes and names, one broken file left out.

    Their outputs differ from the stored ones, which belong to the made pictures; every claim must hold.
    """
    report = run_there("data_scripts.index_folder", str(messy), "--patient", r"patient (\d+)", "--force")
    assert "no finding/cut short.png: not a readable image" in report
    lax = ("-o", "addopts=", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=180")
    assert " passed" in run_there(*PYTEST, *lax, "notebooks", MESSY_DATA=str(messy / "labels.csv"))
