"""What is reckoned is what NumPy and Keras take; and bad input fails at once, with its name."""

import math
from dataclasses import replace

import keras
import numpy as np
import pytest

from course_utils import AugmentingImageSequence, ImageSequence
from course_utils.budget import (
    BINDER,
    ModelCost,
    Settings,
    array_bytes,
    batches_alive,
    predict,
    settings_of,
)
from course_utils.memory import MemoryLimit

SHAPE = (256, 128, 3)
COST = ModelCost(
    SHAPE, "float32", base=300e6, fixed=10e6, per_image=2e6, tensor_per_image=5e5, largest_weight=4e6
)
PLAIN = Settings(32, SHAPE)
BATCH = 32 * 256 * 128 * 3 * 4
MODEL = 1.08 * 74e6


@pytest.mark.parametrize("dtype", ["uint8", np.float32, "float64", bool])
@pytest.mark.parametrize("shape", [(), (0, 4), (3, 5, 7, 2)])
def test_an_arrays_bytes_are_its_own(shape, dtype):
    assert array_bytes(shape, dtype) == np.zeros(shape, dtype).nbytes


@pytest.mark.parametrize(
    "change, full, starved",
    [
        ({}, 3, 2),
        ({"workers": 0}, 3, 2),
        ({"workers": 0, "use_multiprocessing": True}, 3, 2),  # Keras makes no queue for it
        ({"max_queue_size": 40}, 3, 2),  # nor looks at its length
        ({"workers": 2}, 14, 4),
        ({"workers": 4}, 14, 6),
        ({"workers": 2, "max_queue_size": 1}, 5, 4),
        ({"workers": 1, "use_multiprocessing": True}, 14, 3),
        ({"workers": 2, "length": 5}, 7, 4),  # more than there are, no queue can hold
        ({"workers": 4, "max_queue_size": 0, "length": 60}, 62, 6),
    ],
)
def test_batches_alive_are_the_queue_and_four_whatever_the_workers(change, full, starved):
    settings = replace(PLAIN, **change)
    assert batches_alive(settings) == full and batches_alive(settings, full=False) == starved


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1"),
        ({"batch_size": 8.0}, "batch_size"),
        ({"workers": -1}, "workers"),
        ({"use_multiprocessing": "no"}, "use_multiprocessing must be True or False"),
        ({"max_queue_size": -1}, "max_queue_size"),
        ({"workers": 2, "max_queue_size": 0}, "sets no bound to the queue"),
        ({"image_shape": (64, 0, 1)}, "image_shape"),
        ({"dtype": "float31"}, "dtype must be the name of a NumPy dtype"),
        ({"length": 0}, "length"),
        ({"making": -1}, "making"),
    ],
)
def test_a_setting_that_cannot_be_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PLAIN, **change)


def test_the_parts_are_sums_that_anyone_can_check():
    forecast = predict(COST, batch_size=32, workers=2)
    assert forecast.settings == replace(PLAIN, workers=2)
    assert forecast.parts == pytest.approx({"Python and Keras": 300e6, "batches": 14 * BATCH, "model": MODEL})
    assert forecast.total == pytest.approx(300e6 + MODEL + 14 * BATCH)
    assert forecast.growth == pytest.approx(MODEL + 14 * BATCH)
    assert forecast.lowest == pytest.approx(300e6 + MODEL + 4 * BATCH)
    assert forecast.highest == pytest.approx(300e6 + 1.1 * forecast.growth + 2 * 32 * 5e5 + 16e6)
    assert forecast.largest == "batches" and predict(COST, batch_size=32).largest == "model"
    heavy = replace(COST, largest_weight=1e9)
    assert predict(heavy, batch_size=32).highest == pytest.approx(
        predict(COST, batch_size=32).highest + 2e9 - 32e6
    )
    assert "176 MB  batches" in str(forecast) and "the largest part that fit adds: batches" in str(forecast)


def test_processes_cost_themselves_and_a_part_of_the_model_again():
    forecast = predict(COST, batch_size=32, workers=4, use_multiprocessing=True, max_queue_size=2)
    expected = 20e6 + 4 * 15e6 + 0.9 * MODEL
    assert forecast.parts["worker processes"] == pytest.approx(expected)
    play = 2 * 32 * 5e5 + 16e6 + 100e6 + 4 * 2.5 * BATCH
    assert forecast.highest == pytest.approx(300e6 + 1.1 * forecast.growth + play)
    assert "worker processes" not in predict(COST, batch_size=32, use_multiprocessing=True, workers=0).parts


def test_what_making_a_batch_takes_is_taken_by_each_worker():
    for workers, times in ((0, 1), (1, 1), (3, 3)):
        forecast = predict(COST, batch_size=32, workers=workers, making=9_000_000)
        assert forecast.parts["making of batches"] == times * 9_000_000
    assert "making of batches" not in predict(COST, batch_size=32).parts


def test_uint8_makes_batches_small_and_the_model_makes_floats_of_one():
    as_floats, as_bytes = (
        predict(COST, batch_size=32, workers=2, dtype=dtype) for dtype in ("float32", "uint8")
    )
    assert as_bytes.parts["batches"] * 4 == as_floats.parts["batches"]
    assert as_bytes.parts["model"] == pytest.approx(as_floats.parts["model"] + BATCH)
    weighed = replace(COST, dtype="uint8")  # such a model's cost holds the floats already
    assert predict(weighed, batch_size=32).parts["model"] == as_floats.parts["model"]


def test_another_size_is_scaled_with_its_pixels_and_says_so():
    larger = Settings(32, (512, 256, 3))
    assert (
        COST.of(larger) == pytest.approx(1.08 * (10e6 + 4 * 2e6 * 32))
        and COST.largest_tensor(larger) == 4 * 5e5 * 32
    )
    assert COST.fits(PLAIN) and not COST.fits(larger)


def test_without_a_model_the_datas_part_is_all_and_it_says_so():
    forecast = predict(None, batch_size=32, image_shape=SHAPE, base=5e8)
    assert forecast.parts == {"this process": 5e8, "batches": 3 * BATCH}
    assert forecast.verdict().text.endswith("The model's own part is not counted.")
    assert 10**7 < predict(None, batch_size=1, image_shape=(1, 1, 1)).parts["this process"] < 10**10


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({}, TypeError, "a Sequence or its settings by name"),
        ({"sequence": PLAIN, "batch_size": 3}, TypeError, "one of the two"),
        ({"batch_size": 3, "dtype": "int32"}, ValueError, "dtype must be one of 'float32', 'uint8'"),
        ({"batch_size": 3, "queue": 3}, TypeError, "queue"),
    ],
)
def test_what_predict_cannot_take(arguments, error, message):
    with pytest.raises(error, match=message):
        predict(COST, **arguments)


def test_a_verdict_leaves_room_for_play_on_both_sides():
    forecast = predict(COST, batch_size=32, workers=2)
    assert forecast.verdict(forecast.highest).answer == "fits"
    assert forecast.verdict(forecast.highest - 1).answer == "too close to call: rehearse it"
    surely = forecast.total - 0.1 * forecast.growth
    assert forecast.verdict(surely).answer == "too close to call: rehearse it"
    no = forecast.verdict(surely - 1)
    assert no.answer == "does not fit" and "Only with a queue that stays empty it would" in str(no)
    assert "stays empty" not in str(forecast.verdict(10**8))
    assert forecast.verdict(MemoryLimit(10**8, "somebody")).text.endswith("under 100 MB (somebody).")
    assert forecast.verdict(forecast.highest, reserve=1).answer != "fits"


def test_binder_is_two_gigabytes_less_its_server():
    base = BINDER.bytes - 250e6
    just = {"image_shape": (1, 1, 1), "batch_size": 1}
    assert predict(None, **just, base=base - 16.1e6).verdict("binder").answer == "fits"
    assert predict(None, **just, base=base - 15.9e6).verdict("binder").answer != "fits"
    text = predict(None, **just, base=1e9).verdict("binder").text
    assert "under 2 GB (Binder), less 250 MB for what else runs there" in text
    with pytest.raises(ValueError, match="limit must be one of 'binder'"):
        predict(None, **just).verdict("colab")


def test_advice_is_tried_by_the_same_rules():
    forecast = predict(COST, batch_size=32, workers=2)
    names = [each.split(" saves ")[0] for each in forecast.advice("binder")]
    free = ["dtype float32 → uint8", "max_queue_size 10 → 2"]
    assert names == [*free, "workers 2 → 1", "batch_size 32 → 16"]  # first what costs nothing, then by size
    saved = predict(COST, batch_size=32, workers=2, max_queue_size=2)
    megabytes = round((forecast.total - saved.total) / 1e6)
    assert forecast.advice(saved.highest)[1] == f"max_queue_size 10 → 2 saves {megabytes} MB: fits"
    assert forecast.advice(saved.highest - 1)[1].endswith(": too close to call: rehearse it")
    assert forecast.advice()[3].endswith("MB and is another training: fits")
    processes = replace(forecast.settings, dtype="uint8", use_multiprocessing=True, max_queue_size=1)
    assert predict(COST, processes).advice()[0].startswith("processes → threads saves 1")
    alone = predict(COST, batch_size=1, dtype="uint8")
    assert alone.advice() == []  # nothing left to change
    heavy = predict(replace(COST, fixed=1e10), batch_size=32, workers=2)
    assert heavy.advice() == []  # 100 MB of 10 GB would not help


# ---------------------------------------------------------------- the settings of a Sequence


def test_a_sequences_settings_are_what_it_serves(numbered):
    paths = [str(path) for path in numbered]
    sequence = ImageSequence(
        paths, np.zeros((100, 3)), 32, (16, 24), workers=3, max_queue_size=4, dtype="uint8"
    )
    found = settings_of(sequence)
    assert replace(found, making=0) == Settings(32, (16, 24, 1), "uint8", 3, False, 4, 4, 24)
    assert found.batch_bytes == sum(array.nbytes for array in sequence[0])
    assert sequence.epoch == 0
    augmented = AugmentingImageSequence(paths, None, 10, (16, 24), masks=paths, sample_weight=np.ones(100))
    assert settings_of(augmented).batch_bytes == sum(array.nbytes for array in augmented[0])
    assert settings_of(augmented).dtype == "float32"


class Endless(keras.utils.PyDataset):
    """Two inputs by name, no labels, no end; counts what is asked for."""

    asked = 0
    num_batches = None

    def __getitem__(self, index):
        self.asked += 1
        return ({"image": np.zeros((5, 8, 8, 3)), "age": np.zeros(5, np.float32)}, None)


def test_anybodys_sequence_is_asked_for_its_first_batch():
    sequence = Endless(workers=2)
    found = settings_of(sequence)
    assert replace(found, making=0) == Settings(5, (8, 8, 3), "float64", 2, more_per_image=4)
    assert sequence.asked == 2 and found.length is None
    assert predict(COST, sequence).parts["batches"] == 14 * found.batch_bytes


def test_a_sequence_of_something_else_says_so():
    class Labels(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return np.zeros(3), np.zeros((3, 8, 8, 1))

    with pytest.raises(TypeError, match="must begin with images"):
        settings_of(Labels())


class Wasteful(keras.utils.PyDataset):
    """Makes float64 of everything before it gives float32."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        large = np.full((40, 256, 256, 1), 1.0)
        return (large * 2).astype(np.float32), np.zeros(40)


def test_what_getitem_takes_for_a_moment_is_measured():
    batch = 40 * 256 * 256 * 4
    making = settings_of(Wasteful()).making
    assert 3 * batch < making < 5 * batch  # two of float64 beside the one of float32


def test_figures_are_finite_for_a_model_without_weights():
    free = ModelCost(SHAPE, "float32", 300e6, 0, 0, 0, 0)
    assert math.isfinite(predict(free, batch_size=1).highest)
