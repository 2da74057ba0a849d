"""What the notebooks say of memory, measured in child processes. Ratios and bounds; never times."""

import numpy as np
import pytest

from course_utils import load_image, read_labels, run_limited


def load_everything(paths):
    return np.stack([load_image(path, (256, 256)) for path in paths]).shape


def train(paths, batch_size, side=256, pause=0.0, **options):
    """A whole `fit`, at the default settings unless `options` say otherwise, after one tiny one: the growth
    that is left is the data's."""
    import time

    import keras

    from course_utils import ImageSequence, PeakMeter

    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((side, side, 1)), layers.AveragePooling2D(64), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    slow = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(pause))

    def fit(paths):
        labels = np.zeros(len(paths))
        sequence = ImageSequence(paths, labels, batch_size, (side, side), shuffle=True, **options)
        with PeakMeter() as meter:
            model.fit(sequence, shuffle=False, verbose=0, callbacks=[slow])
        return meter.growth

    fit(paths[: 2 * batch_size])
    return fit(paths)


@pytest.fixture(scope="module")
def paths(xrays):
    return [str(path) for path in read_labels(xrays).paths]


def test_loading_everything_grows_16_times_for_16_times_the_images(paths):
    few, many = (run_limited(load_everything, (paths * 2)[:n]).growth for n in (64, 1024))
    assert 13 < many / few < 17


def test_training_from_a_sequence_is_flat(paths):
    """1 MB a batch, so that a batch more in TensorFlow's prefetch buffer is none of the folder's doing."""
    few, many = (
        run_limited(train, (paths * 12)[:n], 16, side=128, imports=("keras",)).value for n in (256, 4096)
    )
    assert many <= max(1.05 * few, few + 10e6)


@pytest.mark.parametrize("pause", [0.0, 0.5])
def test_at_default_settings_two_to_three_batches_are_alive(paths, pause):
    """Whether training waits for data or data for training. 160 images of 256 x 256: 42 MB a batch."""
    batch = 160 * 256 * 256 * 4
    growth = run_limited(train, (paths * 2)[:1280], 160, pause=pause, imports=("keras",)).value
    assert 1.5 * batch < growth < 3.3 * batch, growth / batch


def test_uint8_through_the_queue_takes_a_quarter(paths):
    """Notebook 03 computes it from the shapes; here a whole `fit` is weighed, its queue of ten kept full."""
    options = {"pause": 0.15, "workers": 2, "max_queue_size": 10, "imports": ("keras",)}
    as_bytes, as_floats = (
        run_limited(train, paths[:576], 32, dtype=dtype, **options).value for dtype in ("uint8", "float32")
    )
    batch = 32 * 256 * 256
    assert 11 * 4 * batch < as_floats < 15 * 4 * batch
    # The batch in use is float32 in either case: the model casts it.
    assert as_bytes < 15 * batch + 3 * 4 * batch and as_bytes < 0.45 * as_floats
