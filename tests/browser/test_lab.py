"""The panels in a real browser: run what they need, move their controls, see other pixels.

Each test opens its notebook anew, so that each runs alone. Whole notebooks are nbval's; one of them is run
here too, by JupyterLab's own command.
"""

import re

import numpy as np
import pytest
from PIL import Image

from course_utils import read_labels
from course_utils.budget.arithmetic import BINDER_RESERVE
from course_utils.memory import megabytes, memory_now
from tests.running import ROOT

from . import MARKS, labdrive
from .conftest import MEMORY_SHOWN
from .looking import picture, show, show_in_other_lights, shows

pytestmark = MARKS
SETUP = "google.colab"  # what the first cell of every notebook contains


def test_a_blank_or_another_picture_is_not_the_one_looked_for():
    wanted, other = np.random.default_rng(0).integers(0, 256, (2, 30, 40))
    page, box = Image.new("L", (200, 100), 255), {"x": 20.5, "y": 10.5, "width": 80, "height": 60}
    assert not shows(page, box, wanted)
    page.paste(Image.fromarray(wanted.astype(np.uint8)).resize((80, 60)), (20, 10))
    assert shows(page, box, wanted) and not shows(page, box, other)
    assert shows(page, box | {"x": 19.4, "y": 9.5}, wanted)  # drawn a pixel beside it, as browsers round
    assert not shows(page, box | {"y": 40}, wanted)  # half of it scrolled out of sight


def test_00_runs_from_top_to_bottom_and_its_bars_are_there(page, xrays):
    page.open("00_start_here.ipynb")
    assert labdrive.run_all(page)
    assert picture(page, r"^Bars\. on disk: .*in memory \(float32\): .*limit: ").std() > 10
    show(page, r"^Bars\. on disk: .*float32", "00_bars")
    small, large = (megabytes(len(read_labels(xrays)) * side * side * 4) for side in (256, 512))
    before = picture(page, f"in memory: {small}")
    page.get_by_role("combobox", name="Image height and width").select_option("512")
    after = picture(page, f"in memory: {large}")
    assert before.shape != after.shape or np.abs(before - after).mean() > 0.5
    show(page, f"in memory: {large}", "00_panel")
    show_in_other_lights(page, f"in memory: {large}", "00_panel")


def test_01_cut_the_deck_by_keyboard_by_choice_and_from_the_kernel(page):
    page.open("01_basic_sequence.ipynb")
    assert labdrive.run_cells(page, SETUP, "CutTheDeck()")
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
    show_in_other_lights(page, "4 images never seen", "01_cut_the_deck")
    calls = int(labdrive.kernel_says(page, "print(deck.calls)"))
    labdrive.kernel_says(page, "deck.batch_size.value = 128")
    picture(page, "an epoch of nothing")
    assert int(labdrive.kernel_says(page, "print(deck.calls)")) == calls + 1  # index 2 is gone, too


def test_01_will_it_fit_changes_with_the_batch(page):
    page.open("01_basic_sequence.ipynb")
    show(page, "^Memory over time", "01_memory")  # as stored
    assert labdrive.run_cells(page, SETUP, "labels_csv = ensure()", "WillItFit(")
    before = picture(page, r"^Will it fit\? 32 images of 256")
    page.get_by_role("combobox", name="Batch size").last.select_option("512")
    after = picture(page, r"^Will it fit\? 512 images of 256")
    assert before.shape != after.shape or np.abs(before - after).mean() > 0.5
    show(page, r"^Will it fit\? 512", "01_will_it_fit")
    show_in_other_lights(page, r"^Will it fit\? 512", "01_will_it_fit")


def test_02_strength_mirror_epoch_and_batch_size(page):
    page.open("02_augmentation.ipynb")
    show(page, r"^8 pictures, tilted by", "02_tumbling")  # as stored
    assert labdrive.run_cells(page, SETUP, "labels_csv = ensure()", "with quiet():", "IsItStillTrue(train")
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
    counts = r" of (\d+) pictures with a lesion, \1 stand .* in \1\. Shown: image 0, batch 0"
    true = picture(page, "never mirrored, never upside down.*" + counts)
    show(page, "never mirrored, never upside down", "02_still_true")
    show_in_other_lights(page, "never mirrored, never upside down", "02_still_true")
    page.get_by_role("combobox", name="Batch size").select_option("32")
    moved = picture(page, "never mirrored, never upside down.*batches of 32")
    np.testing.assert_array_equal(true[60:], moved[60:])  # the titles say another batch, the pictures stay
    assert np.abs(true[:60] - moved[:60]).max() > 50
    page.get_by_role("spinbutton", name="Epoch").fill("1")
    page.keyboard.press("Enter")
    assert np.abs(picture(page, "never upside down, epoch 1, batches of 32")[60:] - moved[60:]).mean() > 0.5


def test_03_normaliser_batch_size_strength_and_fill(page):
    page.open("03_normalisation.ipynb")
    show(page, r"^Bars\. as the file has it", "03_bars")  # as stored
    assert labdrive.run_cells(
        page, SETUP, "train = read_labels(", "with quiet():", "SamePictureSameNumbers(train"
    )
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
    show_in_other_lights(page, "strength 1, black beyond the edge", "03_black")


STOPPED = """
import faulthandler, keras, multiprocessing
faulthandler.dump_traceback_later(60, file=open({stacks!r}, "w"))  # tells where it hangs, if it does
from tests.interrupted import MODES, Slow, paths, running, small_model
from course_utils import stop_stray_workers

sequence = Slow(paths(120), [0] * 120, 1, (8, 8), **MODES[{mode!r}])
begun = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: print("step", step, flush=True))
small_model((8, 8, 1)).fit(sequence, epochs=50, shuffle=False, verbose=0, callbacks=[begun])
"""


def test_the_stop_button_leaves_nothing_that_is_not_ended(page, tmp_path):
    """JupyterLab's own button, which sends SIGINT to the kernel and its children; twice in each mode."""
    page.open("00_start_here.ipynb")
    labdrive.kernel_says(page, f"import sys; sys.path.insert(0, {str(ROOT)!r})")
    presses, stacks = [], tmp_path / "stacks.txt"
    stacks.touch()
    for mode in ("default", "threads", "processes") * 2:
        code = STOPPED.format(mode=mode, stacks=str(stacks))
        try:
            error, times = labdrive.stop_while_it_runs(page, code, "step 3")
        except labdrive.TimeoutError as late:
            said = page.evaluate("window.said")[-300:]
            raise AssertionError(f"{mode}: no third step; said {said!r}\n{stacks.read_text()}") from late
        assert error == "KeyboardInterrupt"
        presses.append(times)
        assert labdrive.kernel_says(page, "print(stop_stray_workers(), stop_stray_workers())") == "1 0\n"
        left = "print(len(multiprocessing.active_children()), running(sequence)[2:])"
        assert labdrive.kernel_says(page, left) == "0 [0, 0]\n"
    assert sum(presses) <= 7, presses  # one may go unheard by a chance of Python's


def test_04_settings_a_rehearsal_and_the_room_that_binder_leaves(page):
    page.open("04_memory_budget.ipynb")
    limit = labdrive.memory_meter(page).split()[-2]  # as it was told
    assert float(limit) == pytest.approx(MEMORY_SHOWN / 2**20, rel=0.01)
    show(page, r"^Predicted: ", "04_predicted")  # as stored
    cells = ("def build_model", "weigh_model(build_model", "def sequence_for", "WillItRun(")
    assert labdrive.run_cells(page, SETUP, "paths = [", *cells)
    first = picture(page, r"^Will it fit\? 32 images of 256 . 256, float32")
    page.get_by_role("combobox", name="Queue (max_queue_size)").select_option("2")
    page.get_by_role("combobox", name="Numbers").select_option("uint8")
    small = picture(page, r"^Will it fit\? 32 images of 256 . 256, uint8: 2\.1 MB a batch")
    assert first.shape != small.shape or np.abs(first - small).mean() > 0.5
    page.get_by_role("combobox", name="Threads or processes").select_option("processes")
    show(page, r"^Will it fit\? .*processes → threads", "04_will_it_run")
    page.get_by_role("combobox", name="Threads or processes").select_option("threads")
    rehearse = page.get_by_role("button", name="Rehearse")
    rehearse.press("Enter")
    page.get_by_role("status").filter(has_text="Rehearsing in a process of its own").wait_for()
    page.set_default_timeout(120_000)
    page.get_by_role("img", name=re.compile(r"Rehearsed: \d+ MB at the peak")).wait_for()
    page.set_default_timeout(30_000)
    assert rehearse.evaluate("it => it === document.activeElement")  # whoever pressed it is still there
    show(page, r"Rehearsed: \d+ MB at the peak", "04_rehearsed")
    show_in_other_lights(page, r"Rehearsed: \d+ MB at the peak", "04_rehearsed")
    page.get_by_role("combobox", name="Batch size").select_option("64")
    page.get_by_role("button", name="Rehearse").click()
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("status").filter(has_text="Stopped.").wait_for()
    # What JupyterLab's server and this kernel hold is what a verdict for Binder reserves.
    server = labdrive.kernel_says(page, "import os; print(os.getppid())")
    assert memory_now(int(server)) < BINDER_RESERVE


def test_05_files_or_the_pack_and_the_strength(page):
    page.open("05_loading_speed.ipynb")
    show(page, r"^24 tiles, one a number\. 12 of 24 are new", "05_tiles")  # as stored
    show(page, r"^Bars of time\. read: .* decode: \d+ % of the whole", "05_steps")
    data = ("labels_csv = ensure()", "TemporaryDirectory()", "def augmented", "side = 128")
    model = ("with quiet():", "last_layer, loss", "source = FileSource(", "pack = make_pack(")
    assert labdrive.run_cells(page, SETUP, *data, *model, "WhoWaits({")
    files = picture(page, r"^Who waits\? From the files, batches of 16, strength 0:")
    page.get_by_role("combobox", name="Pictures from").select_option("the pack")
    pack = picture(page, r"^Who waits\? From the pack, batches of 16, .* Data waits for training")
    assert np.abs(files - pack).mean() > 0.5
    strength = page.get_by_role("spinbutton", name="Augmentation strength")
    strength.fill("0.5")
    strength.press("Enter")
    page.get_by_role("combobox", name="Batch size").select_option("64")
    alt = r"^Who waits\? From the pack, batches of 64, strength 0\.5:"
    assert np.abs(picture(page, alt) - pack).mean() > 0.5
    show(page, alt, "05_who_waits")
    show_in_other_lights(page, alt, "05_who_waits")
