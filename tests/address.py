"""Writes the repository's address wherever the project names it: `python3 -m tests.address`.

It is GitHub's OWNER/REPO of `git remote get-url origin`, or what you name: `--to OWNER/REPO`. pyproject.toml
([project.urls]) is the one place that says it; links to Binder, Colab and Codespaces, the notebooks' set-up
cells and whatever else names it follow, in every file that git tracks. Run it once in a new home or a fork,
and commit. It needs nothing but Python and git.
"""

import argparse
import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = "tests/test_address.py"  # of addresses, which stay

# What an address follows, wherever one is written.
BADGES = r"(?:mybinder\.org/v2/gh|colab\.research\.google\.com/github|codespaces\.new)/"
PLACES = rf"((?:{BADGES}|github\.com/))"
REMOTE = re.compile(
    r"(?:\w+://)?(?:[^@/]+@)?(?:www\.|ssh\.)?github\.com(?::\d+)?[:/]([^/]+/[^/]+?)(?:\.git)?/?",
    re.IGNORECASE,
)
NAME = re.compile(r"[\w-]+/(?!\.{1,2}$)[\w.-]+(?<!\.git)", re.ASCII)


def told(root: Path = ROOT) -> str:
    """OWNER/REPO, as pyproject.toml has it."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].removeprefix("https://github.com/")


def origin(root: Path = ROOT) -> str:
    """OWNER/REPO of the remote called origin.

    Raises:
        SystemExit: there is none, or it is not on GitHub, where Colab and Codespaces look.
    """
    command = ["git", "remote", "get-url", "origin"]
    url = subprocess.run(command, cwd=root, capture_output=True, text=True).stdout.strip()
    if not (found := REMOTE.fullmatch(url)):
        shown = re.sub(r"//[^/]*@", "//", url) or "not set"  # a password may stand there
        raise SystemExit(
            f"origin is {shown}, not a repository on GitHub, where Colab and Codespaces look. "
            "Name one: python3 -m tests.address --to OWNER/REPO"
        )
    return found[1]


def tracked(root: Path = ROOT) -> list[Path]:
    """The files that git tracks here."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
    paths = (root / os.fsdecode(name) for name in names.split(b"\0") if name)
    return [path for path in paths if path.is_file() and not path.is_symlink()]


def stamp(address: str, root: Path = ROOT) -> list[str]:
    """Puts `address` in place of the old one; the files that changed.

    Raises:
        SystemExit: `address` is not of the form OWNER/REPO. Nothing is written.
    """
    if not NAME.fullmatch(address):
        raise SystemExit(f"An address has the form OWNER/REPO, and no .git at its end; got {address!r}.")
    # A longer name is another repository's; a full stop after this one is a sentence's.
    old = re.compile(PLACES + re.escape(told(root)) + r"(?![\w-]|\.(?!git\b)\w)", re.IGNORECASE)
    changed = []
    for path in tracked(root):
        name, text = path.relative_to(root).as_posix(), path.read_bytes().decode("utf-8", "surrogateescape")
        new = old.sub(rf"\g<1>{address}", text)
        if new != text and name != EXAMPLES:
            path.write_bytes(new.encode("utf-8", "surrogateescape"))
            changed.append(name)
    return changed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--to", metavar="OWNER/REPO", help="instead of where origin is")
    address = parser.parse_args().to or origin()
    print(*stamp(address) or ["nothing to change"], sep="\n")
    print(f"The address is https://github.com/{address}.")
