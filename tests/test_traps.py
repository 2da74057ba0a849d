"""Keras' traps: that each is there, how our Sequences stand to it, and where the check-up sees it.

TRAPS is the table. When a new Keras mends one, its test fails with the sentence that says what to drop. T14
and T15 are in test_strays.py.
"""

import json
import os
import re
import signal
import subprocess
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import keras
import numpy as np
import pytest

from course_utils import ImageSequence
from course_utils.checkup import FAULTS, check

from .running import ROOT, cells, start
from .traps import PROCESSES, THREADS, Bare, small_model

OBJECT, DRY_RUN = "from the object", "in a dry run"
ARGUMENTS, NEVER = "with model or fit arguments", "not before it happens"


class Trap(NamedTuple):
    """One row: what happens; how our Sequences stand to it; where the check-up sees it, and as what."""

    what: str
    ours: Literal["immune", "harmless", "warned", "cured", "not immune"]
    seen: str
    code: str = ""


TRAPS = {
    "T1": Trap("processes draw the same numbers, anew every epoch", "immune", DRY_RUN, "global-random"),
    "T2": Trap("steps_per_epoch with workers: batches never seen", "warned", ARGUMENTS, "steps-per-epoch"),
    "T3": Trap("validation_steps with workers: other batches", "warned", ARGUMENTS, "validation-steps"),
    "T4": Trap("workers start before on_epoch_begin has run", "immune", OBJECT, "on-epoch-begin"),
    "T5": Trap("fit(shuffle=True) shuffles batches only", "warned", DRY_RUN, "one-class-batches"),
    "T6": Trap("every Sequence given to fit stays in memory", "harmless", OBJECT, "holds-data"),
    "T7": Trap("batches 0 and 1 force their dtype on others", "immune", DRY_RUN, "dtype-changes"),
    "T8": Trap("Normalization.adapt after predict: no effect", "warned", ARGUMENTS, "not-adapted"),
    "T9": Trap("layers that expect 0 to 255, on [0, 1]", "warned", ARGUMENTS, "value-range"),
    "T10": Trap("a Keras layer in a forked worker hangs", "immune", OBJECT, "tensorflow-in-workers"),
    "T11 none": Trap("a batch that is None hangs fit", "immune", DRY_RUN, "none-batch"),
    "T11 odd": Trap("an error that does not unpickle hangs fit", "immune", DRY_RUN, "unpicklable-exception"),
    "T11 killed": Trap("a killed worker process hangs fit", "not immune", NEVER),
    "T12": Trap("a buffer used again changes queued batches", "immune", DRY_RUN, "buffer-reused"),
    "T13": Trap("max_queue_size=0 means no limit", "immune", OBJECT, "queue-unbounded"),
    "T14": Trap("an interrupted fit leaves threads, processes", "cured", NEVER),
    "T15": Trap("after one the interpreter may not exit", "cured", NEVER),
    "T16": Trap("JAX with workers: the first fit loses batches", "warned", ARGUMENTS, "jax-builds-late"),
}
PROGRAMS = {"hangs": {}, "facts": {}, "jax": {"KERAS_BACKEND": "jax"}}


def program(name: str) -> dict:
    """What one of the programs in traps.py saw. Its children end with it."""
    # Without a pool of threads inside TensorFlow, as on a single core, T10 would not be there to see.
    env = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_NUM_INTRAOP_THREADS": "2"} | PROGRAMS[name]
    with start("-m", "tests.traps", name, env=env, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=150)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def saw():
    """A function: what a program saw. They start together, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        futures = {name: pool.submit(program, name) for name in PROGRAMS}
        yield lambda name: futures[name].result()


@pytest.fixture
def facts(saw):
    return saw("facts")


def still_a_trap(name: str, condition: bool) -> None:
    """Fails in plain words: versions are pinned, so it can only happen on an upgrade."""
    if not condition:
        trap = TRAPS[name]
        warning = f" and the fault {trap.code}" if trap.code else ""
        pytest.fail(f"Keras {keras.__version__} no longer does {name} ({trap.what}): drop the row{warning}")


def test_the_table_is_whole():
    assert list(dict.fromkeys(name.split()[0] for name in TRAPS)) == [f"T{n}" for n in range(1, 17)]
    assert {trap.seen for trap in TRAPS.values()} == {OBJECT, DRY_RUN, ARGUMENTS, NEVER}
    assert all((trap.code in FAULTS) == (trap.seen != NEVER) for trap in TRAPS.values())


def test_the_readme_names_every_trap_and_how_ours_stand_to_it():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = [line for line in readme.splitlines() if line.startswith("|") and re.search(r"\bT\d+\b", line)]
    for name, trap in TRAPS.items():
        said = [row.split("|")[5] for row in rows if re.search(rf"\b{name.split()[0]}\b", row)]
        assert said and any(re.search(rf"\b{trap.ours}\b", row) for row in said), name


def test_the_readme_points_at_sections_that_are_there():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"lists {len(FAULTS)} faults" in readme
    places = re.findall(r"\[\d\d\]\(notebooks/(\S+?)\), \*(.+?)\*", readme)
    assert len(places) >= 10
    for notebook, section in places:
        assert any(
            f"## {section}" in cell.source or f"**{section}" in cell.source for cell in cells(notebook)
        )


def test_t1_processes_share_their_random_numbers(facts):
    first, second, third = facts["t1"]["one"]
    still_a_trap("T1", first == second == third)
    drawn = {value for epoch in facts["t1"]["two"] for value in epoch}
    still_a_trap("T1", len(drawn) <= 8 < 24)
    assert len({value for epoch in facts["t1"]["threads"] for value in epoch}) == 24
    ours = facts["t1"]["ours"]
    assert ours == facts["t1"]["ours, two"] and len(set(ours)) == len(ours) == 24


def test_t2_steps_per_epoch_leaves_most_batches_out(facts):
    still_a_trap("T2", facts["t2"]["naive 2"] < 50)
    assert facts["t2"]["naive 1"] == facts["t2"]["ours 1"] == 100
    assert facts["t2"]["ours 2"] < 50  # ours too: hence the warning


def test_t3_validation_steps_takes_other_batches_every_epoch(facts):
    same = [[0, 1, 2, 3, 4]] * 3
    # On a quiet machine [0-4], [5-9], [10-14]; how far the readers got ahead is the machine's affair.
    still_a_trap("T3", facts["t3"]["naive 2"] != same)
    assert facts["t3"]["naive 1"] == facts["t3"]["ours 1"] == same
    assert facts["t3"]["ours 2"] != same  # ours too: hence the warning


@pytest.mark.parametrize("options", [THREADS, PROCESSES], ids=["threads", "processes"])
def test_t2_t3_ours_warn_by_themselves(numbered, options):
    def sequence(**options):
        return ImageSequence(numbered, np.zeros(100), 10, (8, 8), **options)

    model = small_model((8, 8, 1))
    with pytest.warns(RuntimeWarning, match="2 steps of 10 batches, with 2 workers"):
        model.fit(sequence(**options), steps_per_epoch=2, shuffle=False, verbose=0)
    with pytest.warns(RuntimeWarning, match="3 steps of 10 batches"):
        validation = {"validation_data": sequence(**options), "validation_steps": 3}
        model.fit(sequence(), shuffle=False, verbose=0, **validation)
    with warnings.catch_warnings():  # right ones
        warnings.simplefilter("error", RuntimeWarning)
        model.fit(sequence(**options), steps_per_epoch=10, verbose=0, validation_data=sequence(**options))
        model.fit(sequence(), steps_per_epoch=2, verbose=0, validation_data=sequence(), validation_steps=2)


def test_t4_on_epoch_begin_comes_too_late(facts):
    right = [[0] * 4, [1] * 4, [2] * 4]
    still_a_trap("T4", facts["t4"]["naive 2"] != right and facts["t4"]["naive 2"][0][0] == -1)
    assert facts["t4"]["naive 1"] == right == facts["t4"]["ours 2"]


def test_t5_keras_shuffles_batches(facts):
    """64 samples of 8 classes, sorted; 3 epochs of 8 batches."""
    still_a_trap("T5", facts["t5"]["naive"] == {"least": 1, "most": 1, "sets": 8})
    ours = facts["t5"]["ours"]
    assert ours["least"] >= 3 and ours["sets"] == 24
    assert facts["t5"]["ours, unshuffled"] == facts["t5"]["naive"]  # without shuffle=True ours too


def test_t6_sequences_given_to_fit_stay(facts):
    still_a_trap("T6", facts["t6"]["naive"] == 5)
    assert facts["t6"]["cleared"] <= 1  # clear_session after each fit cures it, and numbers layers anew
    before, after = facts["t6"]["names"]
    assert before.startswith("dense_") and after == "dense"
    assert facts["t6"]["ours, bytes an image"] < 200  # harmless: names stay, no pixels


def test_t7_later_batches_are_cast(facts):
    still_a_trap("T7", facts["t7"]["naive"] == [200, 200, 0, 0])
    assert "002.png: expected an array of shape (8, 8, 1) and dtype float32" in facts["t7"]["ours"]


def test_t8_adapt_after_predict_is_ignored(facts):
    before, adapted, compiled = facts["t8"]["before, adapted, compiled"]
    still_a_trap("T8", before == adapted == 10)
    assert compiled == pytest.approx(-1.34, abs=0.01)


def test_t9_layers_expect_255(facts):
    low, high = facts["t9"]["ours"]
    assert low == 0 and 0.5 < high <= 1  # PreprocessingImageSequence serves [0, 1]: hence the warning
    brightness, posterised = facts["t9"]["default"]
    still_a_trap("T9", brightness > 2 and posterised == 0)
    brightness, posterised = facts["t9"]["unit"]
    assert brightness <= 1 and 0.3 < posterised <= 1


def test_t10_a_layer_in_a_forked_worker_hangs(saw):
    assert saw("hangs")["T10 64"] == saw("hangs")["T10 ours"] == "ended"
    still_a_trap("T10", saw("hangs")["T10 256"] == "hangs")


@pytest.mark.parametrize("case, said", [("none", "got NoneType"), ("odd", "Odd: 1 2")])
def test_t11_what_hangs_fit(saw, case, said):
    assert saw("hangs")["T11 control"] == "ended"
    still_a_trap(f"T11 {case}", saw("hangs")[f"T11 {case}"] == "hangs")
    ours = saw("hangs")[f"T11 ours {case}"]
    assert re.search(r"batch 4, \S*004\.png: ", ours) and said in ours


def test_t11_a_killed_worker_hangs_fit(saw):
    still_a_trap("T11 killed", saw("hangs")["T11 killed"] == "hangs")
    assert saw("hangs")["T11 ours killed"] == "hangs"  # in threads, the default, nothing can be killed


def test_t12_a_reused_buffer(facts):
    still_a_trap("T12", facts["t12"]["naive"] <= 10)
    assert facts["t12"]["new each time"] == facts["t12"]["ours"] == 20


def test_t13_a_queue_of_0_has_no_limit(facts):
    """What has been made when the third batch of 60 has been trained on."""
    still_a_trap("T13", facts["t13"]["naive 0"] == 60)
    assert facts["t13"]["naive 2"] <= 2 + 2 + 3
    assert facts["t13"]["ours"] == "max_queue_size must be a whole number of at least 1, got 0"


def test_t16_on_jax_the_first_fit_loses_batches(saw):
    """The batch from which Keras builds is taken from the queue, and what the workers had read by then is
    served before batch 0. So it is for any model that was compiled and has not run yet."""
    seen, whole = saw("jax"), list(range(24))
    for who in ("naive", "ours"):
        for state in ("unbuilt", "built"):
            first, second = seen[f"{who}, 2, {state}"]
            still_a_trap("T16", first[0] == 1 and len(first) == 24 and len(set(first)) < 24)
            still_a_trap("T16", second != whole)
        assert seen[f"{who}, 1, built"] == [whole, whole]
        assert seen[f"{who}, 2, tried"] == [whole, whole]  # the cure: model.test_on_batch(*sequence[0])


# What the check-up says


class Begins(Bare):
    def on_epoch_begin(self):
        self.length = 4


class Sorted(Bare):
    def __getitem__(self, index):
        images, _ = super().__getitem__(index)
        return np.repeat(images, 2, axis=0), np.full(4, index % 4)


class Holds(Bare):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.pixels = np.zeros((1000, 64, 64, 3), np.float32)


class Changes(Bare):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images if index < 2 else images.astype(np.float64), labels


class Layered(Bare):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.layer = keras.layers.RandomRotation(0.1)

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return np.asarray(self.layer(images, training=True)), labels


class Reuses(Bare):
    buffer = np.empty((2, 8, 8, 1), np.float32)

    def __getitem__(self, index):
        self.buffer[:], labels = super().__getitem__(index)
        return self.buffer, labels


def ends_with(*layers):
    pool, dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)
    return keras.Sequential([keras.Input((8, 8, 1)), *layers, pool, dense])


def unit(self, index):
    return index / 8


VALIDATED = {"validation_data": Bare(8, **THREADS), "validation_steps": 2}
ASKED = {
    "T1": lambda: (Bare(8, value=lambda self, index: np.random.rand(), **PROCESSES), {}),
    "T2": lambda: (Bare(8, **THREADS), {"fit_args": {"steps_per_epoch": 2}}),
    "T3": lambda: (Bare(8), {"fit_args": VALIDATED}),
    "T4": lambda: (Begins(4, **THREADS), {}),
    "T5": lambda: (Sorted(8), {}),
    "T6": lambda: (Holds(4), {}),
    "T7": lambda: (Changes(8), {}),
    "T8": lambda: (Bare(8), {"model": ends_with(keras.layers.Normalization())}),
    "T9": lambda: (Bare(8, value=unit), {"model": ends_with(keras.layers.RandomBrightness(0.3))}),
    "T10": lambda: (Layered(8, **PROCESSES), {}),
    "T11 none": lambda: (Bare(8, at=4, does="none", **THREADS), {}),
    "T11 odd": lambda: (Bare(8, at=4, does="odd", **PROCESSES), {}),
    "T12": lambda: (Reuses(8, **THREADS), {}),
    "T13": lambda: (Bare(8, workers=2, max_queue_size=0), {}),
}


@pytest.mark.parametrize("name", [name for name, trap in TRAPS.items() if trap.code])
def test_the_check_up_sees_it(saw, name):
    if name == "T16":  # in a process of its own, on JAX
        assert TRAPS[name].code in saw("jax")["codes"]
        return
    sequence, options = ASKED[name]()
    report = check(sequence, **options)
    assert TRAPS[name].code in [finding.code for finding in report.findings], report


def test_the_check_up_sees_none_where_none_is():
    codes = {trap.code for trap in TRAPS.values()}
    report = check(Bare(8, **THREADS), model=small_model((8, 8, 1)))
    assert not codes & {finding.code for finding in report.findings}, report
