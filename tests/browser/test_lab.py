"""The course in a real browser: run every notebook, move the controls of its panels, see other pixels."""

import base64
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_utils import read_labels
from course_utils.memory import megabytes

ROOT = Path(__file__).parents[2]
SHOTS = Path(__file__).parent / "screenshots"

try:
    from . import labdrive
except ImportError:  # Playwright is in the "test" extra
    labdrive = None
missing = "Playwright" if labdrive is None else None if labdrive.chromium_path() else "Chromium"
pytestmark = pytest.mark.skipif(
    bool(missing) and not os.environ.get("CI"), reason=f"{missing} is not installed; see the README, Tests"
)


@pytest.fixture(scope="module")
def page(xrays):
    assert not missing, f"{missing} is missing, and in CI nothing is skipped"
    os.environ["COURSE_DATA"] = str(xrays)
    SHOTS.mkdir(exist_ok=True)
    with labdrive.lab(ROOT) as (address, token), labdrive.browser_page() as page:
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.open = lambda name: labdrive.open_notebook(page, address, token, f"notebooks/{name}")
        yield page


def picture(page, alt):
    """The pixels of the picture whose alt text matches; waits until it is there."""
    image = page.get_by_role("img", name=re.compile(alt)).last
    image.wait_for(timeout=20_000)
    data = base64.b64decode(image.get_attribute("src").split(",")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"), int)


def show(page, alt, name):
    page.get_by_role("img", name=re.compile(alt)).last.scroll_into_view_if_needed()
    page.screenshot(path=SHOTS / f"{name}.png")


def test_00_runs_from_top_to_bottom_and_its_bars_are_there(page, xrays):
    page.open("00_start_here.ipynb")
    ok, most = labdrive.run_all(page)
    assert ok and most < 1.2e9, most
    assert picture(page, r"^Bars\. on disk: .*in memory \(float32\): .*limit: ").std() > 10
    show(page, r"^Bars\. on disk: .*float32", "00_bars")
    small, large = (megabytes(len(read_labels(xrays)) * side * side * 4) for side in (256, 512))
    before = picture(page, f"in memory: {small}")
    page.get_by_role("combobox", name="Image height and width").select_option("512")
    after = picture(page, f"in memory: {large}")
    assert before.shape != after.shape or np.abs(before - after).mean() > 0.5
    show(page, f"in memory: {large}", "00_panel")
    labdrive.shut_down(page)


def test_01_cut_the_deck_by_keyboard_by_choice_and_from_the_kernel(page):
    page.open("01_basic_sequence.ipynb")
    ok, most = labdrive.run_all(page)
    assert ok and most < 1.2e9, most
    before = picture(page, "batch 0 is images 0 to 31")
    assert before.std() > 10
    page.get_by_role("spinbutton", name="Batch index").focus()
    page.keyboard.press("ArrowUp")
    after = picture(page, "batch 1 is images 32 to 63")
    assert before.shape == after.shape and np.abs(before - after).mean() > 0.5
    slider = page.get_by_role("slider").first
    assert slider.get_attribute("aria-valuenow") in ("1", "1.0")
    slider.focus()
    page.keyboard.press("ArrowRight")
    picture(page, "batch 2 is images 64 to 95")
    page.get_by_role("combobox", name="Number of batches").select_option("floor")
    picture(page, "3 batches; the last holds 32; 4 images never seen")
    show(page, "4 images never seen", "01_cut_the_deck")
    calls = int(labdrive.kernel_says(page, "print(deck.calls)"))
    labdrive.kernel_says(page, "deck.batch_size.value = 128")
    picture(page, "an epoch of nothing")
    assert int(labdrive.kernel_says(page, "print(deck.calls)")) == calls + 2  # index 2 is gone: drawn anew


def test_01_will_it_fit_changes_with_the_batch(page):
    before = picture(page, r"^Will it fit\? 32 images of 256")
    page.get_by_role("combobox", name="Batch size").last.select_option("512")
    after = picture(page, r"^Will it fit\? 512 images of 256")
    assert before.shape != after.shape or np.abs(before - after).mean() > 0.5
    show(page, r"^Will it fit\? 512", "01_will_it_fit")
    show(page, "^Memory over time", "01_memory")
    assert page.problems == []
    labdrive.shut_down(page)


def test_02_strength_mirror_epoch_and_batch_size(page):
    page.open("02_augmentation.ipynb")
    ok, most = labdrive.run_all(page)
    assert ok and most < 1.2e9, most
    show(page, r"^8 pictures, tilted by", "02_tumbling")
    first = picture(page, r"^Is it still true\? Strength 1, mirrored or not.*epoch 0, batches of 4")
    assert first.std() > 10
    strength = page.get_by_role("spinbutton", name="Augmentation strength")
    strength.fill("0.1")
    strength.press("Enter")
    weak = picture(page, r"^Is it still true\? Strength 0\.1, mirrored or not")
    assert np.abs(first - weak).mean() > 0.5
    assert page.get_by_role("slider").first.get_attribute("aria-valuenow") == "0.1"
    page.get_by_role("checkbox", name="Mirror left and right").uncheck()
    page.get_by_role("checkbox", name="Turn upside down").uncheck()
    true = picture(page, r"never mirrored, never upside down.* (\d+) of \1; the lesion .* \1 of \1\.$")
    show(page, "never mirrored, never upside down", "02_still_true")
    page.get_by_role("combobox", name="Batch size").select_option("32")
    moved = picture(page, "never mirrored, never upside down.*batches of 32")
    np.testing.assert_array_equal(true[60:], moved[60:])  # the titles say another batch, the pictures stay
    assert np.abs(true[:60] - moved[:60]).max() > 50
    page.get_by_role("spinbutton", name="Epoch").fill("1")
    page.keyboard.press("Enter")
    assert np.abs(picture(page, "never upside down, epoch 1, batches of 32")[60:] - moved[60:]).mean() > 0.5
    labdrive.shut_down(page)


def test_03_normaliser_batch_size_strength_and_fill(page):
    page.open("03_normalisation.ipynb")
    ok, most = labdrive.run_all(page)
    assert ok and most < 1.2e9, most
    assert picture(page, r"^Bars\. as the file has it").std() > 10
    same = picture(page, r"^Same picture, same numbers\? x . 255, batches of 4, strength 0, reflect")
    page.get_by_role("combobox", name="Normaliser").select_option("x / batch max")
    four = picture(page, r"numbers\? x . batch max, batches of 4.*Same picture, other numbers\.$")
    assert np.abs(same - four).mean() > 0.5
    show(page, r"x . batch max, batches of 4", "03_same_numbers")
    page.get_by_role("combobox", name="Batch size").select_option("1")
    one = picture(page, r"x . batch max, batches of 1, .*no neighbours\.$")
    assert np.abs(four - one).mean() > 0.5
    page.get_by_role("combobox", name="Beyond the edge").select_option("black")
    strength = page.get_by_role("spinbutton", name="Augmentation strength")
    strength.fill("1")
    strength.press("Enter")
    turned = picture(
        page, r"batches of 1, strength 1, black beyond the edge.* (\d{1,2})% of its pixels are black"
    )
    assert np.abs(turned - one).mean() > 0.5
    show(page, "strength 1, black beyond the edge", "03_black")
    assert page.problems == []
    labdrive.shut_down(page)
