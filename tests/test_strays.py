"""After an interrupted `fit`, `stop_stray_workers` ends all that Keras leaves running; else it stays."""

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from course_utils import stop_stray_workers

from .running import answer, start

MODES = ("default", "threads", "processes")
TEN = ("ten callback", "ten SIGINT")
PROGRAMS = [
    ("processes", "without -", *TEN, "dead killed", "dead odd"),
    ("threads", "without -", *TEN, "patience -", "others -"),
    ("default", *TEN, "patience -"),
    ("processes", "early -"),
    ("default", "leaves nothing"),
    ("default", "leaves call"),
    ("default", "leaves atexit"),
]


def program(mode: str, *parts: str) -> dict:
    """What a program saw, in a process group of its own: all of it is ended when its time is over."""
    command = ("-m", "tests.interrupted", mode, *parts)
    with start(*command, env={"TF_CPP_MIN_LOG_LEVEL": "3"}, start_new_session=True) as process:
        # Who is to hang has its time from its last line on, however long a busy machine took until then.
        said = process.stdout.readline() if parts == ("leaves nothing",) else ""
        try:
            out, err = process.communicate(timeout=15 if said else 150)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
    said += out
    assert said.strip(), err[-3000:]
    return json.loads(said.splitlines()[-1]) | {"code": process.returncode}


@pytest.fixture(scope="module")
def saw():
    """A function: what a program saw, and its exit code. They start together, three at a time."""
    with ThreadPoolExecutor(3) as pool:
        futures = {parts: pool.submit(program, *parts) for parts in PROGRAMS}

        def result(mode: str, part: str) -> dict:
            [parts] = [parts for parts in PROGRAMS if parts[0] == mode and part in parts]
            found = futures[parts].result()
            return found[part] | {"code": found["code"]}

        yield result


@pytest.mark.parametrize("how", ["callback", "SIGINT"])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_left_of_ten_interrupted_fits_in_a_row(saw, mode, how):
    """By a callback; by SIGINT to the process group at ten random moments. The traceback is kept."""
    seen = saw(mode, f"ten {how}")
    ways = {"callback": ["RuntimeError", "KeyboardInterrupt", "stopped"], "SIGINT": ["KeyboardInterrupt"]}
    assert [way for way, _, _ in seen["each"]] == (ways[how] * 10)[:10]
    assert [left for _, _, left in seen["each"]] == [[0, 0, 0, 0]] * 10
    assert seen["unheard"] <= 1  # a chance of Python's, not a habit of Keras' or ours
    ended = [count for _, count, _ in seen["each"]]
    # At a random moment, between two epochs for one, there may be nothing to end.
    assert set(ended) <= {0, 1} and sum(ended) >= (10 if how == "callback" else 5)
    assert (seen["again"], seen["fits afterwards"], seen["code"]) == (0, 1, 0)


def test_an_interrupt_before_its_first_batch_does_not_end_a_worker(saw):
    """Without `strays` it does, and `fit` waits for that batch for ever."""
    assert saw("processes", "early -") == {"code": 0, "epochs": 2}


@pytest.mark.parametrize("mode, least", [("threads", [18, 0, 30]), ("processes", [12, 6, 30])])
def test_without_it_threads_processes_and_batches_stay(saw, mode, least):
    """Three interrupted fits, `clear_session` called, garbage collected, a second waited."""
    seen = saw(mode, "without -")
    assert all(have >= want for have, want in zip(seen["left"], least, strict=False)), seen
    assert seen["ended"] == 3


def test_without_it_the_interpreter_cannot_exit(saw):
    """Default settings, a slow batch: it has printed its last line, and is still there much later."""
    seen = saw("default", "leaves nothing")
    assert seen == {"code": -signal.SIGKILL, "ended": 0}, "it exits by itself now: README is wrong"


@pytest.mark.parametrize("how, ended", [("call", 1), ("atexit", 0)])
def test_with_it_the_interpreter_exits(saw, how, ended):
    assert saw("default", f"leaves {how}") == {"code": 0, "ended": ended}


@pytest.mark.parametrize("how", ["killed", "odd"])
def test_a_dead_worker_or_result_thread_is_not_waited_for(saw, how):
    assert saw("processes", f"dead {how}") == {"code": 0, "ended": 1, "left": [0, 0, 0, 0], "fits": 1}


@pytest.mark.parametrize("mode", ["default", "threads"])
def test_it_waits_for_a_batch_no_longer_than_it_is_told_and_then_no_other_begins(saw, mode):
    seen = saw(mode, "patience -")
    assert seen["said"] == "a batch is still being read after 0.01 s: call it again later"
    assert (seen["begun"], seen["code"]) == (0, 0)


def test_what_is_not_keras_own_goes_on(saw):
    """Pools, a thread, a Sequence being iterated over; a fit at work; a learner's variables for `%debug`."""
    seen = saw("threads", "others -")
    assert seen["own"] == [[1, 2], [1, 2], True, 4]
    assert len(seen["refused"]) == 8 and "fit, evaluate or predict is at work" in seen["refused"][0]
    assert (seen["trained"], seen["ended"], seen["code"]) == (1, 1, 0)
    assert seen["kept"] == {"mine": True, "keras's": 0}


def test_it_does_nothing_where_there_is_nothing_to_do():
    assert stop_stray_workers() == 0
    lonely = "from course_utils.strays import stop_stray_workers as s; import sys"
    assert answer(f"{lonely}; print([s(), int('keras' in sys.modules)])") == [0, 0]
