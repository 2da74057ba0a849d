"""What Binder, Codespaces and GitHub Actions are told, as far as it can be held to the rest from here.

`python -m tests.benchmarks.binder` takes Binder's steps and runs the notebooks under its limit.
"""

import json
import os
import re
import subprocess
import tomllib

import pytest

from conftest import made_flowers, made_labels

from .running import ROOT, run
from .test_project import PROJECT, pins

BINDER, WORKFLOWS = ROOT / ".binder", ROOT / ".github/workflows"


def lines(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line and line[0] != "#"]


def test_binder_installs_the_list_of_pyproject_with_the_smaller_tensorflow():
    constraints, tensorflow, *others = lines(BINDER / "requirements.txt")
    assert (BINDER / constraints.removeprefix("-c ")).resolve() == ROOT / "constraints.txt"
    assert tensorflow == f"tensorflow-cpu=={pins(ROOT / 'constraints.txt')['tensorflow']}"
    assert others == [line for line in PROJECT["dependencies"] if not line.startswith("tensorflow")]
    assert lines(BINDER / "runtime.txt") == ["python-3.12"]  # the one form that repo2docker reads


@pytest.mark.skipif(os.name == "nt", reason="Binder's scripts are bash's")
class TestBinder:
    def test_build_installs_the_project_alone_and_draws_the_pictures(self, tmp_path):
        for name in ("pip", "python"):  # in the place of the real ones: they say what they were asked
            (tmp_path / name).write_text('#!/bin/bash\necho "$PWD" "$(basename "$0")" "$@"\n')
            (tmp_path / name).chmod(0o755)
        env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        done = subprocess.run(
            [BINDER / "postBuild"], cwd="/", env=env, capture_output=True, text=True, check=True
        )
        first, second = done.stdout.splitlines()
        assert first == f"{ROOT} pip install --no-cache-dir --no-deps -e ."
        code = second.removeprefix(f"{ROOT} python -c ")
        labels, flowers = map(str, (made_labels(), made_flowers()))
        env = {"COURSE_DATA": labels, "COURSE_FLOWERS": flowers}
        assert run("-c", code, env=env).stdout.split() == [labels, f"{flowers}/images"]

    @pytest.mark.parametrize("told, shown", [({}, "2000000000"), ({"MEM_LIMIT": "123"}, "123")])
    def test_start_tells_the_memory_meter_the_limit(self, told, shown):
        env = {name: value for name, value in os.environ.items() if name != "MEM_LIMIT"} | told
        command = [BINDER / "start", "bash", "-c", 'echo "$MEM_LIMIT $0"', "a b"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        assert done.stdout == f"{shown} a b\n"


def test_codespaces_takes_the_readmes_first_command():
    text = (ROOT / ".devcontainer/devcontainer.json").read_text(encoding="utf-8")
    told = json.loads(re.sub(r"^//.*", "", text, flags=re.MULTILINE))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    install = re.search(r"```bash\n(.+) && \.venv/bin/jupyter lab", readme)[1]
    assert told["updateContentCommand"].startswith(install)
    assert told["updateContentCommand"].endswith(" && .venv/bin/python -m data_scripts.make_dataset")
    for name in told["customizations"]["codespaces"]["openFiles"]:
        assert (ROOT / name).is_file()


@pytest.mark.parametrize(
    "schema, files",
    [
        ("github-workflows", sorted(WORKFLOWS.glob("*.yml"))),
        ("citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_files_for_github_have_the_form_that_it_expects(schema, files, tmp_path):
    check = ("-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}")
    assert files and "ok" in run(*check, *files).stdout
    wrong = tmp_path / files[0].name
    wrong.write_text(
        files[0].read_text(encoding="utf-8").replace("runs-on:", "runs:").replace("title:", "t:")
    )
    assert run(*check, wrong, fails=True).returncode == 1


def test_actions_run_commands_that_there_are():
    told = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS.glob("*.yml"))
    marks = re.search(r"-m ('not [^']+')", (ROOT / ".ci/run").read_text(encoding="utf-8"))[1]
    assert f"pytest -m {marks}".replace("'", '"') in told and "- run: .ci/run\n" in told
    assert "python -m tests --ignore=tests/test_colab.py\n" in told
    bounds = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "requires-python"
    ]
    assert bounds == ">=3.11,<3.14" and told.count('python: ["3.11", "3.12", "3.13"]') == 2


def test_the_citation_names_the_version():
    assert f"\nversion: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
