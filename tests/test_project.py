"""The project's own files agree with each other and with what the README says."""

import re
import tomllib
from collections import Counter

from tests.__main__ import PARTS
from tests.running import NOTEBOOKS, ROOT, answer, cells, run

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMED = {"tensorflow", "numpy", "pillow", "jupyterlab", "ipywidgets", "matplotlib", "nbval"}


def name_of(requirement):
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower()


def pins(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_environment_yml_installs_the_list_of_pyproject():
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    items = [line.split("#")[0].strip().removeprefix("- ") for line in lines if line.strip().startswith("- ")]
    assert "python=3.12" in items
    pip = items[items.index("pip:") + 1 :]
    assert pip[:2] == ["-c constraints.txt", "-e ."] and pip[2:] == PROJECT["dependencies"]


def test_the_named_packages_are_required_and_used():
    assert {name_of(r) for r in PROJECT["dependencies"]} >= NAMED
    sources = [
        *ROOT.glob("course_utils/**/*.py"),
        *ROOT.glob("data_scripts/*.py"),
        *ROOT.glob("notebooks/*.ipynb"),
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    for module in ("tensorflow", "numpy", "PIL", "ipywidgets", "matplotlib"):
        assert re.search(rf"(?:import|from) {module}\b", text), module


def test_every_requirement_is_pinned_without_addresses():
    pinned = pins(ROOT / "constraints.txt")
    extras = PROJECT["optional-dependencies"]["test"]
    assert {name_of(r) for r in PROJECT["dependencies"] + extras} <= set(pinned)
    for name in ("constraints.txt", "tests/colab/constraints.txt"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert "://" not in text and "@" not in text


def test_lower_bounds_are_what_colab_runs():
    colab = pins(ROOT / "tests/colab/constraints.txt")
    for requirement in PROJECT["dependencies"]:
        name, least = requirement.split(">=")
        have = colab.get(name) or (colab["tensorflow-cpu"] if name == "tensorflow" else None)
        if have:
            assert [int(p) for p in have.split(".")[:2]] >= [int(p) for p in least.split(".")[:2]], name


def test_ci_runs_the_readmes_test_command():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    open_command, test_command = re.search(r"```bash\n(.+)\n(.+)\n```", readme).groups()
    assert "jupyter lab notebooks/00_start_here.ipynb" in open_command and test_command.endswith(" -m tests")
    for command in (open_command, test_command):
        assert command.startswith("python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e ")
    assert test_command in (ROOT / ".ci/run").read_text(encoding="utf-8").splitlines()


def test_every_package_is_installed():
    """An editable install finds packages that are not listed; any other does not."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for name in ("course_utils", "data_scripts")
        for path in (ROOT / name).rglob("__init__.py")
    }
    assert set(listed["packages"]) == found


COLLECT = """
import json, pytest, sys

class Kept:
    def pytest_collection_finish(self, session):
        self.names = [item.nodeid for item in session.items]

collected = []
for part in json.load(sys.stdin):
    kept = Kept()
    pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", *part, "-n", "0"], plugins=[kept])
    collected.append(kept.names)
print(json.dumps(collected))
"""


def test_the_parts_of_the_suite_add_up_to_the_whole_and_hold_every_cell_of_every_notebook():
    """Against a green run that ran nothing."""
    whole, *parts = answer(COLLECT, [[], *PARTS.values()], env={"KERAS_BACKEND": "numpy"})
    assert all(parts) and sorted(sum(parts, [])) == sorted(whole)
    run_as = Counter(name.split("::")[0] for name in whole)
    for path in NOTEBOOKS:
        assert run_as[f"notebooks/{path.name}"] == len(cells(path, "code")) > 0
    files = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/test_*.py")}
    assert set(run_as) == files | {f"notebooks/{path.name}" for path in NOTEBOOKS}


def test_ruff_is_content():
    for command in (["check"], ["format", "--check"]):
        run("-m", "ruff", *command, ".")
