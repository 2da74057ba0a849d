"""A learner's way from a fresh clone: notebook 00 opens, its pictures are drawn, 01's exercise is solved."""

import shutil
import time

import pytest

from tests.running import ROOT

from . import MARKS, labdrive
from .looking import audit, picture, show

pytestmark = MARKS


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """The course where nothing has been drawn yet."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("notebooks", "course_utils", "data_scripts"):
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", clone)
    return clone, {"PYTHONPATH": str(clone), "COURSE_DATA": "", "COURSE_FLOWERS": ""}


def test_four_clicks_from_opening_00_to_the_first_picture(page, opened):
    drawn = opened[0] / "data/xrays/labels.csv"
    assert not drawn.exists()
    begin = time.monotonic()
    page.open("00_start_here.ipynb")
    # As its first lines ask: the stored outputs give the answers away.
    choose(page, "Edit", "Clear Outputs of All Cells")
    page.locator(".jp-OutputArea-output img").first.wait_for(state="detached")
    choose(page, "Run", "Run All Cells")
    # The pictures are drawn, too.
    assert picture(page, r"^5 pictures in a row: label \d, label \d", timeout=300_000).std() > 10
    print(f"The first picture: {time.monotonic() - begin:.0f} s after the notebook was asked for.")
    assert drawn.exists()
    show(page, "^5 pictures in a row", "journey_first_picture")


def choose(page, menu, entry):
    """Two clicks: a menu, and what stands in it."""
    page.get_by_role("menuitem", name=menu, exact=True).click()
    page.locator(".lm-Menu-itemLabel", has_text=entry).get_by_text(entry, exact=True).click()


WRONG, RIGHT = (
    f"""class NumberSequence:
    def __init__(self, numbers, batch_size):
        self.numbers = numbers
        self.batch_size = batch_size

    def __len__(self):
        return {length}

    def __getitem__(self, idx):
        start = idx * self.batch_size
        return self.numbers[start : start + self.batch_size]
"""
    for length in ("len(self.numbers) // self.batch_size", "-(-len(self.numbers) // self.batch_size)")
)


def test_the_exercise_of_01_untouched_wrong_hinted_and_right(page):
    page.open("01_basic_sequence.ipynb")
    assert labdrive.run_cells(page, "google.colab", "labels_csv = ensure()")
    stub, check = (cell(page, text) for text in ("class NumberSequence", "NUMBER_SEQUENCE.check("))

    def answer(code):
        if code:
            stub.locator(".cm-content").click()
            page.keyboard.press("Control+a")
            page.keyboard.insert_text(code)
            page.keyboard.press("Control+Enter")
        else:
            assert labdrive.run_cells(page, "class NumberSequence")
        check.locator(".cm-content").click()
        page.keyboard.press("Control+Enter")

    def says(text):
        check.locator(".jp-OutputArea-output", has_text=text).wait_for(timeout=60_000)

    page.evaluate("jupyterapp.commands.execute('notebook:clear-all-cell-outputs')")
    answer("")
    says("Not yet. __len__ returns dots so far")
    answer(WRONG)
    says("4 never come. What does a whole-number division forget?")
    assert labdrive.kernel_says(page, "ex01.NUMBER_SEQUENCE.hint()").strip()
    answer(RIGHT)
    says("Right. 100 numbers in 32s: four batches")
    assert audit(page) == []


def cell(page, text):
    """The code cell that contains a text."""
    return page.locator(".jp-CodeCell", has=page.locator(".cm-content", has_text=text))
