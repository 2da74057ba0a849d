"""What is said of waiting, where it is known: readers and models that sleep."""

import time

import keras
import numpy as np
import pytest

from course_utils import Waiting, measure_waiting

READ = TRAIN = 0.03


class Sleepy(keras.utils.PyDataset):
    """Batches that take their time."""

    def __init__(self, seconds, batches=8, **options):
        super().__init__(**options)
        self.seconds, self.batches, self.epochs = seconds, batches, 0

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        time.sleep(self.seconds)
        return np.ones((2, 1), np.float32), np.ones(2, np.float32)

    def on_epoch_end(self):
        self.epochs += 1


@pytest.fixture
def model():
    """A model whose steps take their time, outside of Python's lock."""

    class Slow(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, batch):
            return self.dense(batch)

        def train_step(self, data):
            time.sleep(TRAIN)
            return super().train_step(data)

    model = Slow()
    model.compile("sgd", "mse", run_eagerly=True)
    return model


@pytest.mark.measured
@pytest.mark.parametrize("read, least, most", ((0, 0, 0.2), (4 * TRAIN, 0.5, 0.9)))
def test_the_share_is_what_training_waits(model, read, least, most):
    waiting = measure_waiting(model, Sleepy(read), batches=4, rounds=3)
    assert waiting.read >= read and waiting.train >= TRAIN
    assert least <= waiting.share <= most


def test_the_sequence_stays_in_its_epoch(model):
    sequence = Sleepy(0)
    measure_waiting(model, sequence, batches=2, rounds=1)
    assert sequence.epochs == 0


@pytest.mark.parametrize("options", ({"batches": 9}, {"batches": 0}, {"rounds": 0}, {"rounds": 1.5}))
def test_wrong_arguments_are_named(model, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        measure_waiting(model, Sleepy(0), **options)


def test_in_words():
    assert str(Waiting(0.0304, 0.05, 0.06, 1 / 6)) == (
        "A batch takes 30.4 ms to read, 50 ms to train on, 60 ms together: training waits 17 % of the time."
    )
