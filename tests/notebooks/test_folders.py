"""The notebooks on folders of one's own: few pictures, or five classes in colour. Every cell runs, every
claim holds or is not made. (`tests/test_colab.py` runs them on a messy tree.)"""

import csv

import numpy as np
import pytest
from PIL import Image

from data_scripts.index_folder import index
from tests.conftest import write_flowers
from tests.running import NOTEBOOKS, cells, run


def few(folder, n):
    """So many pictures of two classes, grey, PNG and JPEG, no two of a size."""
    rng = np.random.default_rng(n)
    for i in range(n):
        place = folder / ("calm", "storm")[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        height, width = (int(side) for side in rng.integers(60, 400, 2))
        y, x = np.mgrid[:height, :width] / 400
        waves = 120 + 90 * np.sin(6 * x * (1 + i % 2) + rng.uniform(0, 6)) * np.cos(4 * y)
        pixels = np.clip(waves + rng.normal(0, 8, x.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.{('jpg', 'png', 'jpg')[i % 3]}")
    return folder


FOLDERS = {
    "6 pictures": lambda folder: few(folder / "few", 6),
    "20 pictures": lambda folder: few(folder / "few", 20),
    "five classes in colour": write_flowers,
}


# Of 04, which trains in children for most of a minute, the pictures' size is all that counts: the messy tree
# of `tests/test_colab.py` is enough for it. To 05 all folders of grey pictures are alike.
ELSEWHERE = {"04_memory_budget.ipynb": FOLDERS.keys(), "05_loading_speed.ipynb": {"20 pictures"}}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_notebooks_run_to_their_end(tmp_path, folder):
    made = index(FOLDERS[folder](tmp_path))
    paths = [path for path in NOTEBOOKS if folder not in ELSEWHERE.get(path.name, ())]
    lax = ("-o", "addopts=", "--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=180")
    variables = {"MESSY_DATA": str(made.labels_csv), "PYTEST_XDIST_WORKER": "", "PYTEST_ADDOPTS": ""}
    out = run("-m", "pytest", "-q", "-p", "no:cacheprovider", *lax, *paths, env=variables, timeout=500).stdout
    assert f"{sum(len(cells(path, 'code')) for path in paths)} passed" in out


def test_the_folders_are_what_they_are_called(tmp_path):
    made = index(write_flowers(tmp_path))
    with open(made.labels_csv, newline="") as file:
        assert len({row["class"] for row in csv.DictReader(file)}) == 5
    assert made.color == 60
