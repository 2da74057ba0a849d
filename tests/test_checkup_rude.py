"""The check-up among people's odd objects: it ends in time, raises nothing, blames no one who is right."""

import collections
import os
import re
import signal
import sys
import time

import keras
import numpy as np
import pytest

from course_utils import ImageSequence
from course_utils.checkup import check

from .test_checkup import PROCESSES, THREADS, Good, Still, codes


class AttributeDict(dict):
    """As half the web writes it: a missing attribute is a KeyError."""

    def __getattr__(self, name):
        return self[name]


class Endless:
    """Every attribute is there, and it is itself."""

    def __getattr__(self, name):
        return self


class Lying:
    @property
    def __class__(self):
        raise RuntimeError("who wants to know?")


class SlowTable(collections.abc.Mapping):
    """Reads a file for every value."""

    def __getitem__(self, key):
        time.sleep(0.2)
        return np.ones((1000, 1000))

    def __iter__(self):
        return iter(range(100))

    def __len__(self):
        return 100


class Closed(list):
    def __iter__(self):
        raise ValueError("closed")


class Slotted:
    __slots__ = ("unset",)

    def __getattr__(self, name):
        raise KeyError(name)


ODD = {
    "dict": AttributeDict(a=1),
    "endless": Endless(),
    "lying": Lying(),
    "slow table": SlowTable(),
    "closed": Closed([1]),
    "slotted": Slotted(),
    "itself": [],
    "many": [[(i, j) for j in range(3000)] for i in range(300)],
    "generator": (i for i in range(3)),
}
ODD["itself"].append(ODD["itself"])


@pytest.mark.parametrize("name", ODD)
def test_odd_things_that_it_holds_are_no_fault(name):
    class Odd(Good):
        beside = ODD[name]

        def images(self, where):
            return super().images(where) + 0 * bool(self.beside is None)

    sequence = Odd(**THREADS)
    sequence.thing = ODD[name]
    began = time.monotonic()
    report = check(sequence, seconds=10)
    assert not report.findings and time.monotonic() - began < 8, report
    codes(report)


def test_a_sequence_that_has_every_attribute_is_looked_at():
    class Everything(Good):
        def __getattr__(self, name):
            raise KeyError(name)

    assert not codes(check(Everything()))


class Opens:
    """A source that opens its file once for each process."""

    shape, dtype = (8, 8, 1), "float32"

    def __init__(self, path):
        self.path, self.files = path, {}

    def __len__(self):
        return 40

    def __getitem__(self, position):
        file = self.files.setdefault(os.getpid(), open(self.path, "rb"))
        return np.full(self.shape, file.fileno() * 0 + position, np.float32)

    def name(self, position):
        return f"row {position}"

    def __getstate__(self):
        return {"path": self.path, "files": {}}


def test_who_opens_for_each_process_shares_nothing(tmp_path):
    (tmp_path / "rows").write_bytes(b"0")
    source = Opens(tmp_path / "rows")
    sequence = ImageSequence.from_source(source, np.arange(40) % 2, 8, shuffle=True, **PROCESSES)
    assert list(source.files) == [os.getpid()]  # opened here, before the fork
    assert not codes(check(sequence))


augment = keras.Sequential([keras.layers.RandomFlip()])  # a global that is called like an attribute below


class Named(Good):
    augment = True

    def images(self, where):
        return super().images(where) * (1 if self.augment else 0)


class Turned(Good):
    def images(self, where):
        return np.asarray(keras.ops.flip(super().images(where), 1))


class Overridden(Turned):
    def images(self, where):
        return Good.images(self, where)


@pytest.mark.parametrize("cls", [Named, Overridden])
def test_a_name_or_a_base_that_is_not_used_is_no_operation(cls):
    assert not codes(check(cls(**PROCESSES)))


class Twice(Good):
    """Each image is there twice, with a label of its own; a batch takes a moment."""

    def images(self, where):
        time.sleep(0.2)
        return super().images(where // 2)


def test_what_was_not_looked_at_is_not_guessed_at():
    report = check(Twice(), seconds=1)
    assert "Stopped after" in str(report) and not report.errors, report


@pytest.mark.parametrize("seed", range(40))
def test_few_batches_of_one_class_may_be_chance(seed):
    class Few(Good):
        n, size = 16, 2

        def shuffle(self):
            self.labels = np.array([1, 1] + [0] * 14)
            self.order = np.random.default_rng((seed, self.epoch)).permutation(self.n)

    assert "one-class-batches" not in codes(check(Few()))


@pytest.mark.parametrize(
    "batch, code",
    [((), "not-a-tuple"), (([[1, 2], [3]],), "not-a-tuple"), ((ODD["itself"],), "raises")],
    ids=["nothing", "ragged", "itself"],
)
def test_odd_batches_are_found(batch, code):
    class Odd(Good):
        def __getitem__(self, index):
            return batch

    assert code in [finding.code for finding in check(Odd()).errors]


def test_labels_that_are_text_are_looked_at():
    class Text(Still):
        def __getitem__(self, index):
            images, labels = super().__getitem__(index)
            return images, np.array([f"class {label}" for label in labels], dtype=object)

    assert set(codes(check(Text()))) == {"batch-shuffle-only"}


@pytest.mark.parametrize("length", [-3, sys.maxsize])
def test_odd_lengths(length):
    class Long(Good):
        num_batches = length

        def __len__(self):
            return max(0, length)

        def where(self, index):
            return np.arange(self.size) + index % 19

    report = check(Long(), seconds=1)
    assert [finding.code for finding in report.errors] == (["length-zero"] if length < 0 else []), report


def test_one_that_computes_for_ever_and_holds_the_lock_ends_in_time():
    class Computes(Good):
        def __getitem__(self, index):
            return re.match(r"(a+)+$", "a" * 50 + "b")

    began = time.monotonic()
    report = check(Computes(), seconds=2)
    assert report.errors[0].code == "stuck" and time.monotonic() - began < 8


def test_a_parent_that_ignores_its_children_gets_a_report():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert not codes(check(Good()))
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_one_that_forks_speaks_once():
    class Forks(Good):
        def __getitem__(self, index):
            if index == 2:
                os.fork()
            return super().__getitem__(index)

    report = check(Forks())
    assert "Looked at 5 of 5 batches" in str(report) and not report.errors


def test_a_copy_that_would_delete_what_the_original_needs_is_not_made(tmp_path):
    class Cleans(Turned):
        def __init__(self, folder):
            super().__init__()
            self.folder = folder

        def __del__(self):
            self.folder.rmdir()

    (tmp_path / "mine").mkdir()
    sequence = Cleans(tmp_path / "mine")
    report = check(sequence)
    assert (tmp_path / "mine").exists() and "in a thread" in str(report)
    assert "on_epoch_end was not called" in str(report)


def test_mapped_files_are_not_copied(tmp_path):
    class Mapped(Turned):
        def __init__(self):
            super().__init__()
            self.map = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=(200, 1000, 1000))

    report = check(Mapped())
    assert "on_epoch_end was not called" in str(report) and "holds-data" not in codes(report)


@pytest.mark.parametrize("seconds", [1e10, float("nan"), -1])
def test_no_time_and_too_much_are_refused(seconds):
    with pytest.raises(ValueError, match="seconds must be a number above 0 and at most 86400"):
        check(Good(), seconds=seconds)
