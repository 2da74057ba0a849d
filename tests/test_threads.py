"""The decoders: every slot once, the first error, and nothing left running."""

import os
import threading
import time

import pytest

from course_utils.memory import room_for, turns
from course_utils.threads import for_each


def test_every_slot_is_done_once_by_decoders():
    done, names = [], set()
    for n in (0, 1, 2, 100):
        done.clear()
        for_each(lambda slot: (done.append(slot), names.add(threading.current_thread().name)), range(n))
        assert sorted(done) == list(range(n))
    assert all(name.startswith("decoder") for name in names)


def test_the_first_slots_error_is_raised_whichever_comes_first():
    def fails(slot):
        if slot == 3:
            time.sleep(0.02)  # 4 fails before it
        if slot in (3, 4, 9):
            raise ValueError(f"slot {slot}")

    for _ in range(5):
        with pytest.raises(ValueError, match="slot 3"):
            for_each(fails, range(20))


def test_what_failed_is_let_go():
    import gc
    import weakref

    class Large:
        pass

    def fails(slot):
        large = Large()
        seen.append(weakref.ref(large))
        raise ValueError("broken")

    seen = []
    gc.disable()
    try:
        with pytest.raises(ValueError, match="broken"):
            for_each(fails, range(4))
        assert seen and not any(each() for each in seen)  # no cycle holds the frame
    finally:
        gc.enable()


def test_a_decoder_that_needs_decoders_does_it_itself():
    inner = []
    for_each(lambda outer: for_each(lambda slot: inner.append((outer, slot)), range(3)), range(8))
    assert sorted(inner) == [(outer, slot) for outer in range(8) for slot in range(3)]


# ---------------------------------------------------------------- turns


def inside_at_once(needed, expected, threads=8):
    """How many threads are let in before one goes, once as many as expected are."""
    inside, go = [], threading.Event()

    def work():
        with room_for(needed):
            inside.append(needed)
            go.wait(60)

    working = [threading.Thread(target=work) for _ in range(threads)]
    for each in working:
        each.start()
    end = time.monotonic() + 60
    while len(inside) < expected and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.1)  # for one too many
    found = len(inside)
    go.set()
    for each in working:
        each.join(60)
    assert len(inside) == threads  # in the end all had their turn
    return found


@pytest.mark.parametrize("taken", [True, False], ids=["taken at once", "not taken yet"])
def test_large_pictures_take_turns_where_memory_is_short(monkeypatch, taken):
    """What was promised is part of what is free until it is taken."""
    for free, needed, expected in (
        (2_000_000_000, 20_000_000, 8),
        (2_000_000_000, 300_000_000, 3 if taken else 5),
        (100_000_000, 300_000_000, 1),  # one always gets in
        (0, 1_000_000, 8),  # small ones are not asked
    ):
        promised = lambda: turns._turns[os.getpid()].promised if taken else 0  # noqa: E731
        monkeypatch.setattr(turns, "memory_free", lambda free=free, promised=promised: free - promised())
        assert inside_at_once(needed, expected) == expected


def test_an_error_inside_lets_the_next_one_in(monkeypatch):
    monkeypatch.setattr(turns, "memory_free", lambda: 0)
    for _ in range(3):
        with pytest.raises(ValueError), room_for(10**9):
            raise ValueError
    with room_for(10**9):
        pass
