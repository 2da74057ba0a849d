"""After an interrupted `fit`, `stop_stray_workers` ends all that Keras leaves running; else it stays."""

import functools
import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from course_utils import stop_stray_workers

from .running import answer, start

MODES = ("default", "threads", "processes")
CASES = (
    [(mode, "ten", how) for mode in MODES for how in ("SIGINT", "callback")]
    + [("default", "leaves", how) for how in ("nothing", "call", "atexit")]
    + [(mode, "without", "-") for mode in ("threads", "processes")]
    + [("processes", "dead", how) for how in ("killed", "odd")]
    + [(mode, "patience", "-") for mode in ("default", "threads")]
    + [("threads", "others", "-")]
)
STAYS = ("default", "leaves", "nothing")


def program(mode: str, what: str, how: str) -> dict:
    """What a program saw, in a process group of its own: all of it is ended when its time is over."""
    command = ("-m", "tests.interrupted", mode, what, how)
    with start(*command, env={"TF_CPP_MIN_LOG_LEVEL": "3"}, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=20 if (mode, what, how) == STAYS else 120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
    last = json.loads(out.splitlines()[-1]) if out.strip() else {"err": err[-3000:]}
    return {"code": process.returncode} | last


@pytest.fixture(scope="module")
def saw():
    """A function: what one of the programs saw. They start together, three at a time."""
    with ThreadPoolExecutor(3) as pool:
        futures = {case: pool.submit(program, *case) for case in CASES}
        yield functools.cache(lambda *case: futures[case].result())


@pytest.mark.parametrize("how", ["callback", "SIGINT"])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_of_ten_interrupted_fits_in_a_row(saw, mode, how):
    """By a callback; by SIGINT to the process group at ten random moments. The traceback is kept."""
    seen = saw(mode, "ten", how)
    ways = {"callback": ["RuntimeError", "KeyboardInterrupt", "stopped"], "SIGINT": ["KeyboardInterrupt"]}
    assert seen["each"] == [[way, 1, [0, 0, 0, 0]] for way in (ways[how] * 10)[:10]]
    assert (seen["again"], seen["fits afterwards"], seen["code"]) == (0, 1, 0)


@pytest.mark.parametrize("mode, least", [("threads", [12, 0, 20]), ("processes", [9, 6, 20])])
def test_without_it_threads_processes_and_batches_stay(saw, mode, least):
    """Three interrupted fits, `clear_session` called, garbage collected, a second waited."""
    seen = saw(mode, "without", "-")
    assert all(have >= want for have, want in zip(seen["left"], least, strict=False)), seen
    assert seen["ended"] == 3


def test_without_it_the_interpreter_cannot_exit(saw):
    """Default settings, a slow batch: it has printed its last line, and is still there much later."""
    seen = saw(*STAYS)
    assert seen == {"code": -signal.SIGKILL, "ended": 0}, "it exits by itself now: README is wrong"


@pytest.mark.parametrize("how, ended", [("call", 1), ("atexit", 0)])
def test_with_it_the_interpreter_exits(saw, how, ended):
    assert saw("default", "leaves", how) == {"code": 0, "ended": ended}


@pytest.mark.parametrize("how", ["killed", "odd"])
def test_a_dead_worker_or_result_thread_is_not_waited_for(saw, how):
    assert saw("processes", "dead", how) == {"code": 0, "ended": 1, "left": [0, 0, 0, 0], "fits": 1}


@pytest.mark.parametrize("mode", ["default", "threads"])
def test_it_waits_for_a_batch_no_longer_than_it_is_told_and_then_no_other_begins(saw, mode):
    seen = saw(mode, "patience", "-")
    assert seen["said"] == "a batch is still being read after 0.01 s: call it again later"
    assert (seen["begun"], seen["code"]) == (0, 0)


def test_what_is_not_keras_own_goes_on(saw):
    """Pools, a thread, a Sequence being iterated over; a fit at work; a learner's variables for `%debug`."""
    seen = saw("threads", "others", "-")
    assert seen["own"] == [[1, 2], [1, 2], True, 4]
    assert len(seen["refused"]) == 8 and "fit, evaluate or predict is at work" in seen["refused"][0]
    assert (seen["trained"], seen["ended"], seen["code"]) == (1, 1, 0)
    assert seen["kept"] == {"mine": True, "keras's": 0}


def test_it_does_nothing_where_there_is_nothing_to_do():
    assert stop_stray_workers() == 0
    lonely = "from course_utils.strays import stop_stray_workers as s; import sys"
    assert answer(f"{lonely}; print([s(), int('keras' in sys.modules)])") == [0, 0]
