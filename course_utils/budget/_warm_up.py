"""Trains a tiny model while it is imported, and brings what reads images: what any `fit` on images needs, and
the first of a process once for all, belongs to the base that `children` counts from."""

import gc

import keras
import numpy as np

from .. import sequences  # noqa: F401
from ..memory import give_back


class Tiny(keras.utils.PyDataset):
    """Two batches of nothing. On a PyDataset: only then does TensorFlow tell the C library to give freed
    memory back at once, without which peaks vary by 100 MB."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int):
        return np.zeros((8, 4), np.float32), np.zeros(8, np.float32)


def _train_something_tiny() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(Tiny(), verbose=0)
    del model
    gc.collect()
    give_back()


_train_something_tiny()
