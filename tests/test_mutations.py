"""The tests' own test: ImageSequence is broken on purpose, in a copy, and the suite must go red."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MUTATIONS = {
    "last batch dropped": ("return math.ceil(", "return math.floor("),
    "labels shifted": ("return images, self.labels[positions]", "return images, self.labels[positions - 1]"),
    "labels shuffled apart": ("self.labels[positions]", "np.random.permutation(self.labels)[positions]"),
    "same order every epoch": ("self.seed, value, shuffle", "self.seed, 0, shuffle"),
    "one buffer reused": ("images = np.empty(", "images = self.__dict__.setdefault('buffer', None)\n"
                          "        if images is None or len(images) != len(positions):\n"
                          "            images = self.buffer = np.empty("),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_suite_notices(tmp_path, name):
    for folder in ("course_utils", "data_scripts", "tests"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "screenshots")
        )
    for file in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    module = tmp_path / "course_utils/sequences.py"
    before, after = MUTATIONS[name]
    source = module.read_text(encoding="utf-8")
    assert before in source, "the line to break is gone: name another"
    module.write_text(source.replace(before, after, 1), encoding="utf-8")
    chosen = "len_is or labels_keep or differs_every or new_memory"
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-p",
            "no:cacheprovider",
            "tests/test_sequences.py",
            "-k",
            chosen,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout[-3000:]
