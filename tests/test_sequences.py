"""The contract of ImageSequence, a test a sentence."""

import inspect
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

from course_utils.images import ImageError
from course_utils.sequences import AugmentingImageSequence, ImageSequence, PreprocessingImageSequence
from tests.running import answer, fresh, least

N = 100
LABELS = np.arange(N)  # the label is the index, as is every pixel


def sequence(paths, labels=LABELS, batch_size=32, **options):
    return ImageSequence(paths, labels, batch_size, (8, 8), **options)


def seen(batch):
    """Who is in a batch, by the pixels."""
    return batch[0][:, 0, 0, 0].astype(int).tolist()


def epoch_of(seq):
    return [who for index in range(len(seq)) for who in seen(seq[index])]


def tiny_model():
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


# Shapes, dtypes, the last batch


def test_the_documents_call_works_unchanged(numbered):
    image_paths = [str(path) for path in numbered]
    seq = ImageSequence(image_paths, [0, 1] * 50, 32, (4, 4))
    images, labels = seq[0]
    assert images.shape == (32, 4, 4, 1) and images.dtype == np.float32
    assert labels.shape == (32,) and labels.dtype.kind == "i"
    names = list(inspect.signature(ImageSequence).parameters)
    assert names[:4] == ["image_paths", "labels", "batch_size", "target_size"]


@pytest.mark.parametrize(
    "batch_size, batches, last", [(1, 100, 1), (32, 4, 4), (50, 2, 50), (99, 2, 1), (128, 1, 100)]
)
def test_len_is_in_batches_and_the_last_batch_is_kept(numbered, batch_size, batches, last):
    seq = sequence(numbered, batch_size=batch_size)
    assert len(seq) == batches and len(seq[batches - 1][0]) == last
    assert epoch_of(seq) == list(range(N))


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("color_mode, channels", [("grayscale", 1), ("rgb", 3)])
def test_images_have_the_dtype_the_range_and_the_channels_asked_for(numbered, dtype, color_mode, channels):
    images, _ = sequence(numbered, dtype=dtype, color_mode=color_mode)[2]
    assert images.shape == (32, 8, 8, channels) and images.dtype == dtype
    assert images.min() == 64 and images.max() == 95  # 0 to 255, not 0 to 1


@pytest.mark.parametrize(
    "labels",
    [
        np.arange(N, dtype=np.int8),
        np.arange(N) % 2 == 0,
        np.random.default_rng(0).random(N).astype(np.float32),
        np.eye(N, 5, dtype=np.float32),
    ],
    ids=lambda labels: f"{labels.dtype}{labels.shape}",
)
def test_labels_keep_their_dtype_and_stay_with_their_images(numbered, labels):
    seq = sequence(numbered, labels, shuffle=True)
    for batch in seq:
        assert batch[1].dtype == labels.dtype
        np.testing.assert_array_equal(batch[1], labels[seen(batch)])


@pytest.mark.parametrize("index", [4, 100, -1])
def test_an_index_past_the_end_is_an_error(numbered, index):
    with pytest.raises(IndexError, match=f"batch {index}: this sequence has batches 0 to 3"):
        sequence(numbered)[index]


def test_every_batch_is_new_memory(numbered):
    seq = sequence(numbered)
    first, again = seq[0], seq[0]
    first[0][:], first[1][:] = -1, -1
    assert seen(again) == list(range(32)) == again[1].tolist() and seen(seq[0]) == list(range(32))


def test_what_the_caller_does_to_their_arrays_later_changes_no_batch(numbered):
    labels, paths = LABELS.copy(), np.array([str(p) for p in numbered], np.dtypes.StringDType())
    seq = sequence(paths, labels)
    labels[:], paths[0] = -1, paths[50]
    assert seen(seq[0]) == list(range(32)) == seq[0][1].tolist()


def test_an_image_of_a_subclass_is_checked_never_cast_never_broadcast(numbered):
    def answer(value):
        class Own(ImageSequence):
            def image_at(self, position, epoch):
                if isinstance(value, Exception):
                    raise value
                return value

        return Own(numbered, LABELS, 32, (8, 8))

    rude = [None, np.zeros((1, 8, 1), np.float32), np.zeros((8, 8, 1)), [[0.0]], KeyError("gone")]
    for value in rude:
        with pytest.raises(ImageError, match=r"batch 1, .*\.png: (expected an array of shape|KeyError)"):
            answer(value)[1]


def test_an_image_knows_its_position_in_the_full_list_and_its_epoch(numbered):
    class Own(ImageSequence):
        def image_at(self, position, epoch):
            return np.full((8, 8, 1), 1000 * epoch + position, np.float32)

    seq = Own(numbered, LABELS, 7, (8, 8), shuffle=True)
    seq.epoch = 3
    for batch in seq:
        np.testing.assert_array_equal(seen(batch), 3000 + batch[1])


def test_a_sequence_may_read_another_ones_batch(numbered):
    """Decoders that wait for decoders would wait for ever."""
    other = sequence(numbered, batch_size=8)

    class Mixed(ImageSequence):
        def image_at(self, position, epoch):
            return other[position // 8][0][position % 8]

    done = []
    thread = threading.Thread(
        target=lambda: done.append(seen(Mixed(numbered, LABELS, 32, (8, 8))[0])), daemon=True
    )
    thread.start()
    thread.join(30)
    assert done == [list(range(32))]


# Order


def test_unshuffled_by_default_so_that_predictions_match_the_labels_twice(numbered):
    seq = sequence(numbered, batch_size=7)
    model = tiny_model()
    model.set_weights([np.full((64, 1), 1 / 64), np.zeros(1)])  # predicts the mean pixel: the index
    for _ in range(2):
        np.testing.assert_allclose(model.predict(seq, verbose=0)[:, 0], LABELS, rtol=1e-4)


@pytest.mark.parametrize("workers", [1, 2])
def test_without_labels_images_are_served_alone_for_predict(numbered, workers):
    seq = sequence(numbered, labels=None, workers=workers)
    assert [len(batch) for batch in seq] == [1] * 4 and epoch_of(seq) == list(range(N))
    model = tiny_model()
    model.set_weights([np.full((64, 1), 1 / 64), np.zeros(1)])  # predicts the mean pixel: the index
    np.testing.assert_allclose(model.predict(seq, verbose=0)[:, 0], LABELS, rtol=1e-4)


def test_shuffling_moves_samples_between_batches_and_differs_every_epoch(numbered):
    seq = sequence(numbered, shuffle=True)
    orders = []
    for epoch in range(3):
        assert seq.epoch == epoch
        orders.append(epoch_of(seq))
        assert sorted(orders[-1]) == list(range(N))
        seq.on_epoch_end()
    first_batches = {frozenset(order[:32]) for order in orders}
    assert len(first_batches) == 3 and frozenset(range(32)) not in first_batches


def test_another_seed_another_order_another_batch_size_the_same_order(numbered):
    a, b, c = (
        epoch_of(sequence(numbered, shuffle=True, seed=s, batch_size=n))
        for s, n in ((1, 32), (2, 32), (1, 7))
    )
    assert a != b and a == c


# Epochs

LIFE = """
import json, sys, numpy as np, keras
from course_utils.sequences import AugmentingImageSequence, ImageSequence, PreprocessingImageSequence
paths = json.load(sys.stdin)
trace = []
class Watched(ImageSequence):
    def on_epoch_end(self):
        super().on_epoch_end()
        trace.append(self.epoch)
def new(**options):
    return Watched(paths, np.arange(100), 32, (8, 8), shuffle=True, **options)
model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
model.compile("sgd", "mse")
results = {"backend": keras.backend.backend()}
for workers in (1, 3):
    seq, validation = new(workers=workers), new(workers=workers)
    trace.clear()
    model.fit(seq, epochs=3, shuffle=False, verbose=0)
    results[f"fit {workers}"] = list(trace)
    model.evaluate(seq, verbose=0); model.predict(seq, verbose=0)
    results[f"evaluated {workers}"] = seq.epoch
    model.fit(seq, validation_data=validation, epochs=5, initial_epoch=3, shuffle=False, verbose=0)
    results[f"again {workers}"] = [seq.epoch, validation.epoch]
print(json.dumps(results))
"""


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_epochs_count_as_keras_counts_and_evaluate_moves_nothing(numbered, backend):
    if backend == "jax" and not os.environ.get("CI"):
        pytest.importorskip("jax", reason="JAX is not installed; pip install '.[test]' brings it")
    results = answer(LIFE, [str(path) for path in numbered], env={"KERAS_BACKEND": backend})
    assert results["backend"] == backend
    for workers in (1, 3):
        assert results[f"fit {workers}"] == [0, 1, 2, 3]  # once before the first epoch, once after each
        assert results[f"evaluated {workers}"] == 3
        assert results[f"again {workers}"] == [5, 0]


def test_a_function_of_ones_own_called_evaluate_is_not_keras(numbered):
    seq = sequence(numbered, shuffle=True)

    def evaluate():
        tiny_model().fit(seq, epochs=2, shuffle=False, verbose=0)
        seq.on_epoch_end()

    evaluate()
    assert seq.epoch == 3


def test_threads_that_read_while_epochs_end_get_whole_batches(numbered):
    seq = sequence(numbered, shuffle=True, batch_size=N)
    orders = []
    for epoch in range(20):
        seq.epoch = epoch
        orders.append(seen(seq[0]))
    seq.epoch = 0
    with ThreadPoolExecutor(3) as pool:
        batches = pool.map(lambda _: seq[0], range(60))
        for _ in range(19):
            seq.on_epoch_end()
        for images, labels in batches:
            assert seen((images, labels)) in orders and seen((images, labels)) == labels.tolist()


def test_a_resumed_run_sees_what_the_whole_run_would_have_seen(numbered):
    def met_by(seq, **options):
        met = []

        class Model(keras.Model):
            def train_step(self, data):
                met.extend(data[0][:, 0, 0, 0].numpy().astype(int).tolist())
                return {"loss": 0.0}

        model = Model()
        model.compile("sgd", run_eagerly=True)
        model.fit(seq, shuffle=False, verbose=0, **options)
        return met

    whole = met_by(sequence(numbered, shuffle=True), epochs=4)
    resumed = sequence(numbered, shuffle=True)
    resumed.epoch = 2
    assert met_by(resumed, initial_epoch=2, epochs=4) == whole[2 * N :]


def test_class_weight_works(numbered):
    seq = sequence(numbered, np.arange(N) % 2)
    history = tiny_model().fit(seq, class_weight={0: 0.0, 1: 0.0}, shuffle=False, verbose=0)
    assert history.history["loss"] == [0.0]


# Errors


@pytest.mark.parametrize(
    "change, said",
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, got 0"),
        ({"batch_size": 2.5}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"target_size": 256}, "target_size must be"),
        ({"target_size": (0, 4)}, "target_size must be"),
        ({"target_size": (4, 4, 1)}, "target_size must be"),
        ({"target_size": (0, 8, 8)}, "target_size must be"),
        ({"target_size": (8.5, 8)}, "target_size must be"),
        ({"target_size": (True, True)}, "target_size must be"),
        ({"target_size": (float("inf"), 8)}, "target_size must be"),
        ({"target_size": None}, "target_size must be"),
        ({"color_mode": "gray"}, "color_mode must be one of"),
        ({"dtype": "float64"}, "dtype must be one of"),
        ({"aspect": "fit"}, "aspect must be one of"),
        ({"seed": -1}, "seed"),
        ({"seed": None}, "seed"),
        (
            {"labels": np.arange(99)},
            r"labels must have shape \(100,\) or \(100, k\), one entry an image; got",
        ),
        (
            {"labels": ["cat"] * 100},
            r"labels must be numbers, got text such as 'cat'. Number them: classes, ",
        ),
        ({"labels": np.array(["cat"] * 100, object)}, "labels must be numbers, got text such as 'cat'"),
        ({"labels": np.array(["a", 1.5] * 50, object)}, "labels must be numbers, got text such as 'a'"),
        ({"labels": np.array(["cat"] * 100, np.dtypes.StringDType())}, "got text such as 'cat'"),
        ({"labels": None, "sample_weight": np.ones(100)}, "sample_weight weighs the loss of labels or masks"),
        ({"labels": [[1], [1, 2]] * 50}, "labels must have as many entries in every row"),
        ({"labels": np.ma.masked_equal(LABELS, 7)}, "labels must not be masked"),
        ({"labels": np.zeros((100, 0))}, "labels must have shape"),
        ({"labels": [None] * 100}, "labels must be numbers"),
        ({"shuffle": "False"}, "shuffle must be True or False"),
        ({"use_multiprocessing": "no"}, "use_multiprocessing must be True or False"),
        ({"check_files": "no"}, "check_files must be"),
        ({"labels": np.full(100, np.nan)}, "labels must be finite; the one at position 0"),
        ({"labels": np.zeros((100, 2, 2))}, "labels must have shape"),
        ({"image_paths": []}, "image_paths must be a list of at least one path"),
        ({"image_paths": "images/one.png"}, "image_paths must be a list of paths, got str"),
        ({"image_paths": {"a.png", "b.png"}}, "image_paths must be a list of paths, got set"),
        ({"image_paths": None}, "image_paths must be a list of paths, got NoneType"),
        ({"image_paths": ["a.png", None]}, "image_paths must hold str.* at position 1 is None"),
        ({"image_paths": [b"a.png"]}, "image_paths must hold str or pathlib.Path"),
        ({"image_paths": [["a.png"], ["b.png"]]}, "image_paths must hold str.* at position 0"),
        ({"image_paths": np.array([["a.png"], ["b.png"]])}, "image_paths must hold str.* at position 0"),
        ({"image_paths": np.array([["a.png"]], np.dtypes.StringDType())}, "image_paths must be a list"),
        ({"image_paths": ["a\udc80.png"]}, "image_paths: the name at position 0 is not valid Unicode"),
        ({"max_queue_size": 0}, "max_queue_size"),
        ({"workers": -1}, "workers"),
    ],
)
def test_wrong_arguments_fail_on_construction(numbered, change, said):
    arguments = {"image_paths": numbered, "labels": LABELS, "batch_size": 32, "target_size": (8, 8)} | change
    with pytest.raises((ValueError, TypeError), match=said):
        ImageSequence(**arguments)


@pytest.mark.parametrize("kind", [ImageSequence, AugmentingImageSequence, PreprocessingImageSequence])
def test_a_large_picture_has_a_way_in(numbered, kind):
    with pytest.raises(ImageError, match="batch 0.*8 x 8 pixels, more than the 63 that max_pixels allows"):
        kind(numbered, LABELS, 32, (8, 8), max_pixels=63)[0]
    assert len(kind(numbered, LABELS, 32, (8, 8), max_pixels=64)[0][0]) == 32
    with pytest.raises(ValueError, match="max_pixels must be a whole number of at least 1"):
        kind(numbered, LABELS, 32, (8, 8), max_pixels=0)


def test_missing_files_are_found_on_construction(numbered):
    with pytest.raises(
        FileNotFoundError, match="1 of the 100 files looked at are missing.*position 40.*no.png"
    ):
        sequence([*numbered[:40], "no.png", *numbered[41:]])
    many = list(numbered) * 101
    many[5] = "no.png"  # between two of the 1,000 looked at in a list this long
    labels = np.zeros(len(many))
    ImageSequence(many, labels, 32, (8, 8))
    ImageSequence(["no.png"], [0], 32, (8, 8), check_files=False)
    with pytest.raises(FileNotFoundError, match="position 5"):
        ImageSequence(many, labels, 32, (8, 8), check_files=True)


def test_a_broken_file_names_batch_and_file_and_the_error_can_be_pickled(numbered, tmp_path):
    bad = tmp_path / "cut.png"
    bad.write_bytes(numbered[0].read_bytes()[:40])
    seq = sequence([*numbered[:70], bad, *numbered[71:]])
    assert len(seq[0][0]) == 32
    with pytest.raises(ImageError, match=r"batch 2, .*cut\.png: not a readable image") as error:
        seq[2]
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    with pytest.raises(Exception, match=r"batch 2, .*cut\.png"):
        tiny_model().fit(seq, shuffle=False, verbose=0)


# Size


def test_a_pickled_copy_gives_the_same_batches(numbered):
    seq = sequence(numbered, shuffle=True, seed=3)
    seq.on_epoch_end()
    copy = pickle.loads(pickle.dumps(seq))
    assert copy.epoch == 1 and epoch_of(copy) == epoch_of(seq)


def a_million_paths():
    """The growth that they cost, their time against that of a sort, and a batch's against a small list's."""
    import time

    from course_utils import PeakMeter

    paths = [f"/data/chest/images/patient_{i // 10:07}/study_{i % 10}.png" for i in range(10**6)]
    labels = np.zeros(10**6, np.int64)
    start = time.perf_counter()
    sorted(range(10**6), key=lambda i: -i)
    yardstick = time.perf_counter() - start
    with PeakMeter() as meter:
        start = time.perf_counter()
        large = sequence(paths, labels, shuffle=True, check_files=False)
        large.on_epoch_end()
        seconds = time.perf_counter() - start
    small = sequence(paths[:1000], labels[:1000], shuffle=True, check_files=False)

    def cost(s):
        times = []
        for index in range(30):
            start = time.perf_counter()
            s[index]
            times.append(time.perf_counter() - start)
        return np.median(times)

    for each in (large, small):
        each.image_at = lambda position, epoch: np.zeros((8, 8, 1), np.float32)
    batches = np.median([cost(large) / cost(small) for _ in range(7)])
    return meter.growth, seconds / yardstick, float(batches)


@pytest.mark.measured
def test_a_million_paths_are_cheap_and_a_batch_costs_the_same():
    """In a child, so that nothing else counts. The list itself is the caller's and not counted."""
    # Below about a second: the yardstick, sorting a million numbers, takes 0.1 to 0.3.
    bounds = {"growth, bytes": 200e6, "seconds against a sort": 20, "a batch against a small list's": 3}

    def worst():
        figures = dict(zip(bounds, fresh(a_million_paths, imports=("keras",)), strict=True))
        print(figures)
        return max(figures[name] / bound for name, bound in bounds.items())

    least(worst, below=1)
