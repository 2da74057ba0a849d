"""What README, CONTRIBUTING and the glossary say can be typed, followed and found."""

import math
import os
import re
import tomllib

import keras
import numpy as np
import pytest
from PIL import Image

from course_utils import ImageSequence, load_image
from data_scripts.index_folder import index

from . import commands
from .conftest import write_flowers
from .running import NOTEBOOKS, ROOT, cells

PAGES = (*commands.PAGES, "CHANGELOG.md", "notebooks/glossary.md")
TEXTS = {page: (ROOT / page).read_text(encoding="utf-8") for page in PAGES}
MEASURED = TEXTS["tests/benchmarks/README.md"]


# ---------------------------------------------------------------- commands


def test_every_command_is_run_by_somebody():
    told = {command for page in commands.PAGES for command in commands.told(page)}
    not_tried = {command for command in told if command.startswith(commands.NOT_TRIED)}
    run = commands.QUICK | commands.TESTED.keys() | commands.SLOW | commands.IN_CI | {commands.THIS}
    assert told - not_tried == run
    for command in not_tried - {"sudo apt-get install chromium"}:  # which .ci/run does, as root
        details = re.search(r"<details><summary>.+?not tried.+?</details>", TEXTS["README.md"], re.DOTALL)
        assert command in details[0]


def test_ci_runs_what_is_said_to_be_run_there():
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8").replace(".venv-313/", ".venv/")
    assert all(command in ci for command in commands.IN_CI)
    assert "apt-get install -y --no-install-recommends chromium" in ci


@pytest.mark.parametrize("command, test", commands.TESTED.items())
def test_a_command_is_in_the_test_that_is_said_to_run_it(command, test):
    assert re.search(rf"\b{command.split('.')[-1]}\b", (ROOT / test).read_text("utf-8"))


@pytest.mark.skipif(os.name == "nt", reason="they are written for a POSIX shell")
@pytest.mark.parametrize("command", sorted(commands.QUICK))
def test_a_command_runs_as_it_is_written(command):
    with commands.copied() as copy:
        if command.startswith("COURSE_DATA"):
            index(copy.parent / "folder")
        commands.run(command, copy)
        if "index_folder" in command:
            head, first, *_ = (copy.parent / "folder/labels.csv").read_text("utf-8").splitlines()
            assert head == "file,label,split,class,patient" and first.endswith(",00000000")
        if "strip" in command:
            assert len(list(copy.parent.glob("class/*.ipynb"))) == len(NOTEBOOKS)


@pytest.mark.skipif(os.name == "nt", reason="they are written for a POSIX shell")
@pytest.mark.parametrize("command", [".venv/bin/python nowhere.py", "jupyter lab --no-such-option"])
def test_a_command_that_fails_is_seen(command):
    with (
        commands.copied() as copy,
        pytest.raises(AssertionError, match="nowhere.py ended with 2|no-such-option ended with"),
    ):
        commands.run(command, copy)


def build_model(image_shape=(256, 256, 1)):
    """A reader's, sent to a child with all that it names."""
    import keras

    layers = [keras.Input(image_shape), keras.layers.AveragePooling2D(16), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


build_model.__module__ = "__main__"  # so that it travels by value


def test_the_readmes_code_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_flowers(tmp_path).rename("photos")
    index(tmp_path / "photos")
    rng = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(rng.integers(0, 256, (64, 64)).astype(np.uint8)).save(f"{i}.png")
        np.save(f"{i}.npy", rng.random((64, 64, 5)).astype(np.float32))
    model, labels = build_model(), np.arange(40) % 2
    names = {
        "np": np,
        "math": math,
        "keras": keras,
        "load_image": load_image,
        "model": model,
        "build_model": build_model,
        "labels": labels,
        "__name__": "__main__",
    }
    blocks = re.findall(r"^```python\n(.+?)^```", TEXTS["README.md"], re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        suffix = "npy" if "Bands" in block else "png"
        names["paths"] = [f"{i}.{suffix}" for i in range(40)]
        exec(block, names)
        if "class BasicSequence" in block:
            mine = names["BasicSequence"](names["paths"], labels, 32)
            theirs = ImageSequence(names["paths"], labels, 32, (256, 256))
            assert len(mine) == len(theirs) == 2
            np.testing.assert_array_equal(mine[1][0], theirs[1][0])
        if "def test_my_sequence" in block:
            names["my_sequence"] = names["sequence"]
            names["test_my_sequence"]()
    assert names["sequence"][0][0].shape == (32, 256, 256, 1)
    assert "at the peak" in capsys.readouterr().out


# ---------------------------------------------------------------- links, pictures, figures


def anchors(text):
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", TEXTS[page])
    assert links or page == "CHANGELOG.md"
    for link in links:
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (ROOT / page).parent / name if name else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_are_there(page):
    named = re.findall(r"`((?:tests|course_utils|data_scripts|notebooks)/[\w/.]*)`", TEXTS[page])
    missing = {name for name in named if not (ROOT / name).exists()}
    assert all("NN" in name or "NAME" in name for name in missing), missing


def test_every_picture_is_shown_with_words_and_drawn_by_a_command():
    shown = {}
    for page in ("README.md", "tests/benchmarks/README.md"):
        for alt, link in re.findall(r"!\[([^\]]*)\]\(([^)]+\.png)\)", TEXTS[page]):
            shown[((ROOT / page).parent / link).resolve()] = alt
    assert set(shown) == set((ROOT / "notebooks/pictures").glob("*.png"))
    sources = [path.read_text("utf-8") for path in (ROOT / "tests/benchmarks").glob("*.py")]
    for path, alt in shown.items():
        assert len(alt) > 80
        assert any(path.name in source for source in sources), path.name


def test_every_section_of_figures_names_the_command_that_makes_them():
    sections = re.split(r"^## ", MEASURED, flags=re.MULTILINE)[1:]
    told = set(commands.told("tests/benchmarks/README.md"))
    for section in sections:
        assert any(command in section for command in told), section.splitlines()[0]
    for path in (ROOT / "tests/benchmarks").glob("[!_]*.py"):
        assert any(path.name in c or f"tests.benchmarks.{path.stem}" in c for c in told), path.name
    table = TEXTS["README.md"].split("## What was measured")[1].split("\n## ")[0]
    rows = [line.split("|") for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 5
    for row in rows:
        assert (ROOT / "tests/benchmarks" / row[3].strip(" `").split()[0]).is_file(), row


def test_the_changelog_has_this_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert re.search(r"^## (\S+?),? ", TEXTS["CHANGELOG.md"], re.MULTILINE)[1] == project["version"]


def test_the_course_table_has_every_notebook():
    assert re.findall(r"^\| \[\d\d .+?\]\(notebooks/(\S+)\)", TEXTS["README.md"], re.MULTILINE) == [
        path.name for path in NOTEBOOKS
    ]


# ---------------------------------------------------------------- the glossary

# In italics for another reason than being new.
STRESSED = {"and", "black", "children", "decoded", "its", "label", "measure", "more workers", "name", "new",
            "no bound", "process", "samples", "batches", "together", "training", "the pack"}  # fmt: skip


def prose():
    """(notebook, section, line) of all prose, in the order of the course, without the openings."""
    for path in NOTEBOOKS:
        section = ""
        for cell in cells(path, "markdown")[1:]:
            for line in cell.source.splitlines():
                section = line.lstrip("# ") if line.startswith("#") else section
                yield path.name, section, re.sub(r"\]\(.+?\)", "]", line)


PROSE = list(prose())


def entries():
    """(word, meaning, notebook, section) of each line of the glossary."""
    notebook = ""
    for line in TEXTS["notebooks/glossary.md"].splitlines():
        if line.startswith("## "):
            notebook = re.search(r"\((\S+\.ipynb)\)$", line)[1]
        elif line.startswith("|") and not line.startswith(("| word", "|---")):
            word, meaning, section = (part.strip() for part in line.strip("|").split("|"))
            yield word.strip("`"), meaning, notebook, section.strip("*")


ENTRIES = list(entries())


@pytest.mark.parametrize("word, meaning, notebook, section", ENTRIES, ids=[entry[0] for entry in ENTRIES])
def test_a_word_of_the_glossary_stands_where_it_is_first_used(word, meaning, notebook, section):
    pattern = re.compile(rf"(?<![\w.]){re.escape(word)}(?:e?s)?(?!\w)", re.IGNORECASE)
    first = next(((name, where) for name, where, line in PROSE if pattern.search(line)), None)
    assert first == (notebook, section)
    assert 3 <= len(meaning.split()) <= 30


def test_every_word_that_a_notebook_introduces_is_in_the_glossary():
    """New words are set in italics."""
    known = {word.lower() for word, *_ in ENTRIES} | STRESSED
    for notebook, section, line in PROSE:
        for word in re.findall(r"(?<![*\w])\*([a-z][a-z0-9 -]*)\*(?!\*)", line):
            assert word in known, f"{notebook}, {section}: {word} is new; explain it in glossary.md"


def test_the_glossary_follows_the_course():
    sections = list(dict.fromkeys((name, where) for name, where, _ in PROSE))
    places = [sections.index(entry[2:]) for entry in ENTRIES]
    assert places == sorted(places) and len({entry[0] for entry in ENTRIES}) == len(ENTRIES)
    titles = re.findall(r"^## \[(.+?)\]\((\S+)\)", TEXTS["notebooks/glossary.md"], re.MULTILINE)
    assert titles == [(title_of(name), name) for _, name in titles]


def title_of(name):
    return cells(name)[0].source.splitlines()[0].removeprefix("# ")
