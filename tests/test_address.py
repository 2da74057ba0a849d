"""`python -m tests.address`: one address in every place, taken from where origin is."""

import contextlib
import re
import subprocess

import pytest

from tests import address

from .running import NOTEBOOKS, ROOT, cells, run

# Each link that a host opens the course by, in a project whose address is a/b.
FILES = {
    "pyproject.toml": '[project]\nname = "x"\n[project.urls]\nRepository = "https://github.com/a/b"\n',
    "README.md": "[x](https://mybinder.org/v2/gh/a/b/HEAD) [y](https://colab.research.google.com/github/a/b/blob/m)"
    " [z](https://codespaces.new/a/b) but github.com/a/b-more and github.com/c/d stay,"
    " github.com/a/b.github.io too; https://github.com/a/b."
    " git clone https://GitHub.com/a/b.git",
    "notebooks/é.ipynb": 'address = "https://github.com/a/b"\r\n',
    "picture.png": b"\x89PNG\r\n\x1a\n\xff",
}


@pytest.fixture
def project(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (tmp_path / "gone.md").write_text("https://github.com/a/b-more")
    with contextlib.suppress(OSError):  # Windows lets not everybody make one
        (tmp_path / "link").symlink_to("notebooks")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    (tmp_path / "not_tracked").write_text("https://github.com/a/b")
    return tmp_path


def git(folder, *arguments):
    subprocess.run(["git", "-C", folder, *arguments], check=True)


def text(project):
    return "\n".join((project / name).read_bytes().decode("utf-8", "replace") for name in FILES)


def test_every_place_follows_and_nothing_else_changes(project):
    before = text(project)
    assert sorted(address.stamp("Ada-L/keras.course", project)) == sorted(set(FILES) - {"picture.png"})
    assert address.told(project) == "Ada-L/keras.course"
    after = text(project)
    assert after.count("/Ada-L/keras.course") == before.count("/a/b") - 2 == 7
    assert all(f"github.com/{other}" in after for other in ("a/b-more", "c/d", "a/b.github.io"))
    assert "keras.course. git clone https://GitHub.com/Ada-L/keras.course.git" in after
    assert (project / "not_tracked").read_text() == "https://github.com/a/b"
    assert address.stamp("Ada-L/keras.course", project) == []
    (project / "gone.md").unlink()  # tracked, and deleted; tracked, and a link
    address.stamp("a/b", project)  # and back
    assert text(project) == before


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/ada/larger.memory",
        "https://github.com/ada/larger.memory.git",
        "https://ada:secret@github.com/ada/larger.memory.git",
        "https://github.com/ada/larger.memory/",
        "git@github.com:ada/larger.memory.git",
        "ssh://git@github.com/ada/larger.memory.git",
        "ssh://git@ssh.github.com:443/ada/larger.memory.git",
        "org-123@github.com:ada/larger.memory.git",
        "github.com:ada/larger.memory",
        "http://www.GitHub.com/ada/larger.memory",
    ],
)
def test_origin_is_read_in_all_its_forms(project, url):
    git(project, "remote", "add", "origin", url)
    assert address.origin(project) == "ada/larger.memory"


@pytest.mark.parametrize(
    "url", ["", "/srv/ada/course", "https://example.org/ada/course", "git@github.com:ada"]
)
def test_an_origin_elsewhere_is_said_and_nothing_written(project, url):
    if url:
        git(project, "remote", "add", "origin", url)
    with pytest.raises(SystemExit, match=f"origin is {re.escape(url or 'not set')}.*--to OWNER/REPO"):
        address.origin(project)


def test_a_password_is_not_shown(project):
    git(project, "remote", "add", "origin", "https://oauth2:secret@gitlab.example/ada/x.git")
    with pytest.raises(SystemExit, match="origin is https://gitlab.example/ada/x.git, not"):
        address.origin(project)


@pytest.mark.parametrize(
    "wrong", ["ada", "https://github.com/ada/course", "a/b/c", "a b/c", "", "a/b.git", "a/..", "./b"]
)
def test_an_address_of_another_form_is_refused(project, wrong):
    before = text(project)
    with pytest.raises(SystemExit, match="form OWNER/REPO"):
        address.stamp(wrong, project)
    assert text(project) == before


def test_this_project_names_one_address_everywhere():
    told = address.told()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert re.findall(address.BADGES + r"([\w-]+/[\w.-]+)", readme) == [told] * 3
    for path in NOTEBOOKS:
        assert f'address = "https://github.com/{told}"' in cells(path, "code")[0].source
    assert f"repository-code: https://github.com/{told}\n" in (ROOT / "CITATION.cff").read_text()
    unset = re.compile(address.PLACES + "OWNER/REPO")
    named = [
        path.name for path in address.tracked() if unset.search(path.read_bytes().decode("utf-8", "replace"))
    ]
    assert told == "OWNER/REPO" or named == []


def test_it_needs_nothing_installed():
    assert "--to OWNER/REPO" in run("-S", "-m", "tests.address", "--help").stdout  # -S: no packages
