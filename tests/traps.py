"""What the programs that walk into Keras' traps share: the smallest Sequence, and models that look."""

import os
import signal
import time

import keras
import numpy as np


class Odd(Exception):
    """Pickles, and does not unpickle: it wants two arguments and passes one on."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def misbehave(how: str) -> None:
    """What one batch does: "none" is returned, "odd" raised, and "killed" is as the kernel kills."""
    if how == "odd":
        raise Odd(1, 2)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


class Bare(keras.utils.PyDataset):
    """Batches of two images that hold their own number: what people write, and nothing around it."""

    def __init__(self, length: int, side: int = 8, *, seconds=0.005, at: int = -1, does: str = "", **options):
        super().__init__(**options)
        self.length, self.side, self.seconds, self.made = length, side, seconds, 0
        self.at, self.does = at, does

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.made += 1
        time.sleep(self.seconds)
        if index == self.at:
            return misbehave(self.does)
        return np.full((2, self.side, self.side, 1), index, np.float32), np.zeros((2, 1), np.float32)


def small_model(shape: tuple):
    """A model that is trained in no time."""
    layers = keras.layers
    model = keras.Sequential([keras.Input(shape), layers.GlobalAveragePooling2D(), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model
