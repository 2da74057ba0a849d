"""The notebooks and panels under the versions that Colab runs: ipywidgets 7.7.1, Keras 3.13, NumPy 2.1."""

import os
import shutil
import subprocess

import pytest

from .running import NOTEBOOKS, ROOT, cells, run

SCRIPTS = "Scripts/python.exe" if os.name == "nt" else "bin/python"
PYTHON = ROOT / ".venv-colab" / SCRIPTS
pytestmark = [
    pytest.mark.colab,
    pytest.mark.skipif(
        not PYTHON.exists() and not os.environ.get("CI"),
        reason="no .venv-colab; CONTRIBUTING.md says how to make it",
    ),
]


def run_there(*arguments, cwd=ROOT, **variables):
    # The course is found by its path, as on Colab, where it is cloned and not installed.
    env = {"PYTHONPATH": str(ROOT), "COURSE_DATA": "", **variables}
    return run(*arguments, python=PYTHON, env=env, cwd=cwd, timeout=600).stdout


PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider")


def test_the_versions_are_colabs():
    code = "from importlib.metadata import version; print(version('ipywidgets'), version('keras'))"
    assert run_there("-c", code).split() == ["7.7.1", "3.13.2"]


def test_panels():
    assert " passed" in run_there(*PYTEST, "tests/test_panels.py")


@pytest.fixture
def set_up(tmp_path):
    """Runs the notebooks' first cell as on Colab: the course's address and folder are what is passed."""
    (source,) = {cells(path, "code")[0].source for path in NOTEBOOKS}
    code = """
import sys, types
from IPython.core.interactiveshell import InteractiveShell

sys.modules["google"] = sys.modules["google.colab"] = types.ModuleType("google.colab")
shell = InteractiveShell.instance()
ran = shell.run_cell({cell!r})
ran = ran.success and shell.run_cell("import course_utils, data_scripts; print(course_utils.__file__)")
"""

    def run_cell(address, folder):
        cell = source.replace("/content/course", str(folder))
        assert cell.count('"https://github.com/') == 1
        cell = cell.replace(f'"{address_in(source)}"', f'"{address}"')
        return run_there("-c", code.format(cell=cell), PYTHONPATH="", cwd=tmp_path)

    return run_cell


def address_in(source):
    return source.split('address = "')[1].split('"')[0]


def test_the_set_up_cell_fetches_the_course_once(set_up, tmp_path):
    git = ("git", "-c", "user.name=a", "-c", "user.email=b", "-C", str(tmp_path / "home"))
    for name in ("course_utils", "data_scripts"):
        shutil.copytree(ROOT / name, tmp_path / "home" / name)
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "all")):
        subprocess.run([*git, *command], check=True)
    for _ in range(2):  # run twice, it does not complain
        said = set_up((tmp_path / "home").as_uri(), tmp_path / "course")
        assert said.split() == [str(tmp_path / "course/course_utils/__init__.py")]


def test_the_set_up_cell_says_what_to_do_where_there_is_no_course(set_up, tmp_path):
    said = set_up((tmp_path / "nowhere").as_uri(), tmp_path / "course")
    assert f"No course at file://{tmp_path}/nowhere: put its own address" in said
    assert not (tmp_path / "course").exists()


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
