"""What the notebooks say of memory, measured in child processes. Ratios and bounds; never times."""

import numpy as np
import pytest

from course_utils import load_image, read_labels, run_limited
from tests.running import fresh, least

pytestmark = pytest.mark.measured


def load_everything(paths):
    return np.stack([load_image(path, (256, 256)) for path in paths]).shape


def train(paths, batch_size, side=256, ahead=0, **options):
    """The growth of a whole `fit`, after one tiny one: what is left is the data's.

    Default settings unless `options` say otherwise. After each batch, training waits until the next `ahead`
    batches have been made.
    """
    import time

    import keras

    from course_utils import ImageSequence, PeakMeter

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((side, side, 1)), layers.AveragePooling2D(64), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")

    class Counted(ImageSequence):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.made = set()

        def __getitem__(self, index):
            batch = super().__getitem__(index)
            self.made.add(index)
            return batch

    def fit(paths):
        sequence = Counted(paths, np.zeros(len(paths)), batch_size, (side, side), shuffle=True, **options)

        def wait(batch, logs):
            following = set(range(batch, len(sequence))[: 1 + ahead])
            deadline = time.monotonic() + 20
            while not following <= sequence.made:
                assert time.monotonic() < deadline, f"{ahead} batches ahead are never made"
                time.sleep(0.002)

        waiting = keras.callbacks.LambdaCallback(on_train_batch_end=wait)
        with PeakMeter() as meter:
            model.fit(sequence, shuffle=False, verbose=0, callbacks=[waiting])
        return meter.growth

    fit(paths[: 2 * batch_size])
    return fit(paths)


@pytest.fixture(scope="module")
def paths(xrays):
    return [str(path) for path in read_labels(xrays).paths]


def growth_of_fit(*args, **options):
    return fresh(train, *args, imports=("keras",), **options)


def test_loading_everything_grows_16_times_for_16_times_the_images(paths):
    def times():
        few, many = (run_limited(load_everything, (paths * 2)[:n]).growth for n in (64, 1024))
        return many / few

    assert 13 < least(times, below=17)


def test_training_from_a_sequence_is_flat(paths):
    """1 MB a batch, so that a batch more in TensorFlow's prefetch buffer is none of the folder's doing."""
    few = growth_of_fit((paths * 3)[:128], 16, side=128)
    least(lambda: growth_of_fit((paths * 3)[:2048], 16, side=128), below=max(1.05 * few, few + 10e6))


@pytest.mark.parametrize("ahead", [0, 1])
def test_at_default_settings_two_to_three_batches_are_alive(paths, ahead):
    """Whether training waits for data or data for training. 160 images of 256 x 256: 42 MB a batch."""
    batch = 160 * 256 * 256 * 4
    growth = least(lambda: growth_of_fit((paths * 2)[:1280], 160, ahead=ahead), below=3.3 * batch)
    assert growth > 1.5 * batch


def test_uint8_through_the_queue_takes_a_quarter(paths):
    """Notebook 03 computes it from the shapes; here a whole `fit` is weighed.

    Its queue of ten is full, and one batch more is in a worker's hands, whenever training goes on. The two
    batches of the tiny fit before it may have left room for two of these eleven.
    """
    batch = 32 * 256 * 256

    def growth(dtype):
        return growth_of_fit(paths[:576], 32, dtype=dtype, ahead=11, workers=2, max_queue_size=10)

    as_floats = least(lambda: growth("float32"), below=15 * 4 * batch)
    assert as_floats > 8.9 * 4 * batch
    # The batch in use is float32 in either case: the model casts it.
    least(lambda: growth("uint8"), below=min(15 * batch + 3 * 4 * batch, 0.45 * as_floats))
