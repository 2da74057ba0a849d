"""Groups that stay together, and splits of many classes."""

import random
import time
from collections import Counter

import pytest

from data_scripts._splits import SHARES, copies_to_leave_out, draw, join, split_all
from tests.running import least


def test_copies_join_their_patients_and_through_these_others():
    patients = ["a", "a", "b", "b", "c", "d", "e"]
    digests = [b"1", b"2", b"2", b"3", b"3", b"4", b"5"]  # a and b share picture 2, b and c picture 3
    groups = join(patients, digests)
    assert len(set(groups[:5])) == 1 and len(set(groups)) == 3
    assert join(list("abc"), [b"1", b"2", b"3"]) == list("abc")


def test_many_classes_of_any_size_get_every_split():
    rng = random.Random(1)
    for seed in range(200):
        classes = [f"class {i}" for i in range(rng.randint(2, 12))]
        groups = {f"{name} {i}": {name: rng.choice([1, 3, 40])}
                  for name in classes for i in range(rng.choice([3, 4, 30]))}  # fmt: skip
        chosen = draw(groups, SHARES, seed)
        have = {split: Counter() for split in SHARES}
        for group, split in chosen.items():
            have[split].update(groups[group])
        assert all(have[split][name] for split in SHARES for name in classes)


def test_shares_hold_in_every_class():
    groups = {f"{name}{i}": {name: 1} for name, n in (("a", 1000), ("b", 100), ("c", 50)) for i in range(n)}
    have = Counter((split, *groups[group]) for group, split in draw(groups, SHARES, 0).items())
    for name, n in (("a", 1000), ("b", 100), ("c", 50)):
        assert {split: have[split, name] / n for split in SHARES} == pytest.approx(SHARES, abs=0.01)


def test_copies_leave_train_first_and_validation_next():
    names, splits = list("abcdef"), ["train", "validation", "test", "train", "train", "validation"]
    out = copies_to_leave_out(names, splits, [b"1", b"1", b"1", b"2", b"2", b"3"])
    assert out == {"a": "a copy of c, which is in test", "b": "a copy of c, which is in test"}


def test_a_class_too_small_to_be_split_is_named():
    with pytest.raises(ValueError, match="'b' has 2 .*Leave a class out"):
        split_all(list("12345"), list("aaabb"), [""] * 5, 0)


def seconds_to_draw(n):
    groups = {f"patient {i}": {f"class {i % 5}": 1 + i % 3} for i in range(n)}
    start = time.perf_counter()
    draw(groups, SHARES, 0)
    return time.perf_counter() - start


@pytest.mark.measured
def test_the_time_to_draw_grows_in_step_with_the_groups():
    least(lambda: seconds_to_draw(80_000) / seconds_to_draw(20_000), below=9)  # quadratic would be 16
