"""The README's first two pictures, drawn anew: `python -m tests.benchmarks.pictures`.

*Two curves* trains twice in a child that may take so much more memory: once on all pictures in one array,
once on the same through `ImageSequence`. *Cut the deck* is the panel of notebook 01, in JupyterLab, in
Chromium. One minute on two cores. The other two pictures are drawn by what measures them, `loading.py` and
`memory_budget.py`.
"""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from course_utils import ImageSequence, load_image, plots, read_labels, run_limited
from course_utils.budget.children import WARM_UP
from course_utils.exercises.ex04 import build_model
from course_utils.memory import megabytes
from data_scripts import make_dataset

FOLDER = Path(__file__).parents[2] / "notebooks/pictures"
ALLOWANCE, COUNT, SIDE, EPOCHS = 400e6, 3000, 256, 2


def load_everything(paths: list[str], labels: np.ndarray) -> None:
    images = np.stack([load_image(path, (SIDE, SIDE)) for path in paths])
    build_model((SIDE, SIDE, 1)).fit(images, labels, batch_size=32, epochs=EPOCHS, verbose=0)


def through_a_sequence(paths: list[str], labels: np.ndarray) -> None:
    sequence = ImageSequence(paths, labels, 32, (SIDE, SIDE), shuffle=True)
    build_model((SIDE, SIDE, 1)).fit(sequence, epochs=EPOCHS, shuffle=False, verbose=0)


def two_curves() -> plots.Picture:
    paths = ([str(path) for path in read_labels(make_dataset.ensure()).paths] * COUNT)[:COUNT]
    runs = {
        name: run_limited(train, paths, np.zeros(COUNT), allowance=ALLOWANCE, imports=WARM_UP)
        for name, train in {"load everything": load_everything, "ImageSequence": through_a_sequence}.items()
    }
    for name, run in runs.items():
        print(f"{name}: {run.reason}, {megabytes(run.growth)} above the start")
    assert [run.ended for run in runs.values()] == ["limit", "finished"]
    assert runs["ImageSequence"].growth < ALLOWANCE / 4  # what the README says of the flat one
    return plots.curves(runs, limit=ALLOWANCE)


def cut_the_deck() -> Image.Image:
    """The panel as it stands in notebook 01, with the rule that drops images."""
    from tests.browser import labdrive

    root = FOLDER.parents[1]
    labels = {"COURSE_DATA": str(make_dataset.ensure())}
    with labdrive.lab(root, **labels) as (address, token, _), labdrive.browser_page() as page:
        labdrive.open_notebook(page, address, token, "notebooks/01_basic_sequence.ipynb")
        assert labdrive.run_cells(page, "google.colab", "CutTheDeck()")
        page.get_by_role("combobox", name="Number of batches").select_option("floor")
        image = page.get_by_role("img", name=re.compile("never seen")).last
        image.scroll_into_view_if_needed()
        panel = page.locator(".course-panel").last
        return Image.open(io.BytesIO(panel.screenshot()))


def main() -> None:
    (FOLDER / "two_curves.png").write_bytes(two_curves().png)
    cut_the_deck().quantize(64).save(FOLDER / "cut_the_deck.png", optimize=True)


if __name__ == "__main__":
    main()
