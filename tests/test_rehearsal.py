"""Models weighed and runs rehearsed in children; a prediction held against what a `fit` takes."""

import threading

import cloudpickle
import numpy as np
import psutil
import pytest

from course_utils import ImageSequence
from course_utils.budget import Settings, TrainingFailed, children, predict, rehearse, weigh_model
from course_utils.memory import Outcome
from tests.benchmarks import memory_budget
from tests.running import fresh, least

SHAPE = (64, 64, 1)


@pytest.fixture(autouse=True)
def by_value():
    """What a cell or a test defines travels as a notebook's functions do."""
    modules = (__import__(__name__, fromlist=["x"]), memory_budget)
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    yield
    for module in modules:
        cloudpickle.unregister_pickle_by_value(module)


def build_model(image_shape):
    import keras

    layers = [keras.Input(image_shape), keras.layers.Conv2D(8, 3), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([*layers, keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


class Grey(ImageSequence):
    """Pictures that no disk holds; the third of its batches can be broken."""

    broken = False

    def __getitem__(self, index):
        if self.broken and index == 2:
            raise ValueError("batch 2 cannot be read")
        return super().__getitem__(index)


def grey(paths, **options):
    return Grey(
        [str(path) for path in paths], np.arange(len(paths)) % 3, 8, (64, 64), shuffle=True, **options
    )


# ---------------------------------------------------------------- a rehearsal


def test_a_rehearsal_trains_and_leaves_no_trace(numbered):
    sequence = grey(numbered, workers=2, max_queue_size=3)
    sequence.epoch = 5
    before = set(psutil.Process().children(recursive=True))
    rehearsal = rehearse(build_model, sequence, fit_options={"class_weight": {0: 1, 1: 2, 2: 1}})
    assert rehearsal.fits and rehearsal.queue_filled and rehearsal.batches == 8
    assert sequence.epoch == 5 and set(psutil.Process().children(recursive=True)) <= before
    assert list(rehearsal.parts) == ["Python and Keras", "batches", "model and workers"]
    assert sum(rehearsal.parts.values()) == rehearsal.peak
    assert rehearsal.parts["batches"] == 7 * sum(array.nbytes for array in sequence[0])
    assert rehearsal.outcome.bytes and 0 < rehearsal.growth < 200e6
    assert "at the peak: Python and Keras" in str(rehearsal)


def test_a_rehearsal_that_dies_of_its_allowance_is_an_answer(numbered):
    def large():
        paths = [str(path) for path in numbered] * 8
        return ImageSequence(paths, np.zeros(800), 32, (512, 512), workers=2)

    rehearsal = rehearse(build_model, large, allowance=200e6)
    assert not rehearsal.fits and rehearsal.outcome.ended == "limit"
    assert str(rehearsal).startswith("Died of its allowance of 200 MB: ")
    assert list(rehearsal.parts) == ["Python and Keras", "fit"]


def test_what_fails_for_another_reason_is_an_error_that_names_it(numbered):
    sequence = grey(numbered)
    sequence.broken = True
    with pytest.raises(TrainingFailed, match="batch 2 cannot be read"):
        rehearse(build_model, sequence)


def not_compiled():
    import keras

    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(1)])


def test_a_model_that_cannot_be_trained_is_named(numbered):
    with pytest.raises(TrainingFailed, match=r"weighing the model on 16 images: (.|\n)*compile"):
        weigh_model(not_compiled, SHAPE)


def test_what_cannot_be_sent_says_what_to_do(tmp_path, numbered):
    with open(tmp_path / "log", "w") as file:
        for call in (
            lambda: rehearse(build_model, lambda: file),
            lambda: weigh_model(lambda shape: file, SHAPE),
        ):
            with pytest.raises(TypeError, match="give a function that makes the model or the Sequence"):
                call()


def test_a_rehearsal_can_be_stopped(numbered):
    stop = threading.Event()
    stop.set()
    with pytest.raises(TrainingFailed, match="stopped on request"):
        rehearse(build_model, grey(numbered), stop=stop)


# ---------------------------------------------------------------- a model weighed


def weighed(monkeypatch, growth_of, free=10**12):
    """`weigh_model` where a child of n images grows by `growth_of(n)`; what it was asked, what it found."""
    asked = []

    def child(function, job, arguments, **options):
        settings = arguments[1]
        asked.append(settings.batch_size)
        told = {"tensor_per_image": 0, "largest_weight": 7}
        growth = growth_of(settings.batch_size) + 5 * settings.batch_bytes  # a queue of 1, and four
        return Outcome(
            "finished", "finished", told, baseline=300 + len(asked), peak=300 + len(asked) + growth
        )

    monkeypatch.setattr(children, "run_limited", child)
    monkeypatch.setattr(children, "memory_free", lambda: free)
    said = []
    return weigh_model(build_model, SHAPE, progress=said.append), asked, said


def test_the_line_goes_through_both_batches_without_the_pictures(monkeypatch):
    cost, asked, said = weighed(monkeypatch, lambda n: 5_000_000 + 30_000 * n)
    assert asked == [16, 64] and (cost.fixed, cost.per_image) == (5e6, 3e4)
    assert cost.base == 301 and cost.tensor_per_image == 3e4 and cost.largest_weight == 7
    assert said == [
        "weighing the model: 1 of 2, batches of 16",
        "weighing the model: 2 of 2, batches of 64",
    ]


def test_where_little_memory_is_free_smaller_batches_are_weighed(monkeypatch):
    cost, asked, _ = weighed(monkeypatch, lambda n: 5_000_000 + 30_000 * n, free=41_000_000)
    assert asked == [16, 4] and (cost.fixed, cost.per_image) == (5e6, 3e4)


def test_a_model_whose_peak_does_not_grow_costs_nothing_an_image(monkeypatch):
    cost, *_ = weighed(monkeypatch, lambda n: 5_000_000 - 10 * n)
    assert cost.per_image == 0 and cost.fixed > 4.9e6


@pytest.mark.parametrize(
    "function, got",
    [
        (lambda: "nothing", "nothing"),
        (lambda shape: shape, SHAPE),
        (lambda shape=(8, 8, 1): shape, (8, 8, 1)),
    ],
)
def test_a_model_is_built_from_a_shape_or_from_nothing(function, got):
    from course_utils.budget import _child

    assert _child.called_with(function, SHAPE) == got


# ---------------------------------------------------------------- what a Sequence has out


def count_alive(settings):
    """For each (workers, queue): the most batches made and not used up, with training slower than loading."""
    import time

    import keras

    class Counting(keras.utils.PyDataset):
        made = 0

        def __len__(self):
            return 20

        def __getitem__(self, index):
            self.made += 1
            return np.zeros((8, 4), np.float32), np.zeros(8, np.float32)

    def most(workers, queue):
        sequence, alive = Counting(workers=workers, max_queue_size=queue), []

        def look(step, logs):
            before = -1
            while step < 3 and before < sequence.made:
                before = sequence.made
                time.sleep(0.3)
            alive.append(sequence.made - 2 - step)  # Keras reads two first, to learn their shape

        look = keras.callbacks.LambdaCallback(on_train_batch_end=look)
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(sequence, shuffle=False, verbose=0, callbacks=[look])
        return max(alive)

    return [most(*each) for each in settings]


def test_a_sequence_has_the_queue_and_two_out_whatever_the_workers():
    settings = [(2, 10), (4, 10), (2, 2), (4, 1)]
    assert fresh(count_alive, settings, imports=("keras",)) == [queue + 2 for _, queue in settings]


# ---------------------------------------------------------------- predicted against measured

THREE = [
    ("course", 32, 128, "float32", 2, False, 10, "full"),
    ("course", 64, 128, "uint8", 1, False, 10, "full"),
    ("course", 16, 128, "uint8", 4, False, 20, "full"),
]


@pytest.mark.measured
def test_three_runs_take_what_was_predicted(monkeypatch, xrays):
    """oneDNN's threads make peaks jump; the fine table, with them, is tests/benchmarks/memory_budget.py."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    from course_utils import read_labels

    paths = [str(path) for path in read_labels(xrays).paths]
    cost = weigh_model(memory_budget.functions(paths, THREE[0])[0], (128, 128, 1))
    for setting in THREE:
        model_of, sequence_of = memory_budget.functions(paths, setting)
        _, size, side, dtype, workers, processes, queue, _ = setting
        options = {"workers": workers, "use_multiprocessing": processes, "max_queue_size": queue}
        forecast = predict(cost, Settings(size, (side, side, 1), dtype, **options))
        highest = forecast.highest - cost.base
        growth = least(lambda m=model_of, s=sequence_of: memory_budget.measure(m, s).growth, below=highest)
        assert 0.75 < growth / forecast.growth < 1 / 0.75, setting


def test_the_benchmark_has_its_grid():
    assert len(memory_budget.GRID) >= 24 and len({row[0] for row in memory_budget.GRID}) >= 4
    for column, values in ((5, {True, False}), (7, {"full", "starved"}), (3, {"float32", "uint8"})):
        assert {row[column] for row in memory_budget.GRID} == values
