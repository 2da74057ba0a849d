"""The Sequences: batches of images for `fit`, `evaluate` and `predict`, read when they are asked for."""

import math
import operator
import os
import sys
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from .images import ImageError
from .order import check_whole, epoch_order
from .sources import FileSource


class ImageSequence(keras.utils.PyDataset):
    """Image files as batches; only the batches in flight are in memory.

    A batch is a pure function of (seed, epoch, index): the same whatever the number of workers, whether
    they are threads or processes, and however often it is asked for. Keras' own shuffling permutes
    batches, not samples, by a seed that is not ours: train with `shuffle=True` here and
    `fit(..., shuffle=False)` there. Leave `steps_per_epoch` out: with it Keras carries batches over from one
    epoch to the next. For a shorter epoch give fewer paths.

    Args:
        image_paths: list or array of paths. Kept as a compact array; no picture is kept.
        labels: one entry a path, (n,) or (n, k), numbers or booleans; their dtype is kept.
        batch_size: samples a batch, at least 1. The last batch holds what is left over.
        target_size: (height, width) in pixels.
        color_mode: "grayscale" or "rgb".
        shuffle: whether every epoch visits the samples in a new order. False by default, so that
            predictions come in the order of the labels.
        seed: 0 or more.
        dtype: "float32" or "uint8"; values are 0 to 255 either way.
        aspect: "stretch", "pad" or "crop", see `images.load_image`.
        check_files: see `sources.FileSource`.
        workers, use_multiprocessing, max_queue_size: Keras' own (keras.io, PyDataset). The images of one
            batch are decoded on all cores whatever they say.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it and what was expected.
        FileNotFoundError: files are missing.
    """

    def __init__(
        self,
        image_paths,
        labels,
        batch_size: int,
        target_size: tuple[int, int],
        *,
        color_mode: str = "grayscale",
        shuffle: bool = False,
        seed: int = 0,
        dtype: str = "float32",
        aspect: str = "stretch",
        check_files: bool | None = None,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        super().__init__(
            workers=check_whole("workers", workers, 0),
            use_multiprocessing=_flag("use_multiprocessing", use_multiprocessing),
            # Keras takes 0 for "unbounded": the whole data set in memory (60 of 60 batches, measured).
            max_queue_size=check_whole("max_queue_size", max_queue_size, 1),
        )
        self.batch_size = check_whole("batch_size", batch_size, 1)
        self.seed = check_whole("seed", seed, 0)
        self.shuffle = _flag("shuffle", shuffle)
        self.source = FileSource(
            image_paths,
            target_size,
            color_mode=color_mode,
            aspect=aspect,
            dtype=dtype,
            check_files=check_files,
        )
        self.labels = _as_labels(labels, len(self.source))
        self.epoch = 0

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch of the present epoch.

        Args:
            index: which batch, 0 to len(self) - 1.

        Returns:
            Images (batch, height, width, channels) and labels (batch,) or (batch, k); new arrays.

        Raises:
            IndexError: there is no such batch.
            images.ImageError: a file cannot be used; the message names the batch and the file.
        """
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index}: this sequence has batches 0 to {len(self) - 1}")
        epoch, order = self._epoch_and_order  # read once: another thread may end the epoch meanwhile
        positions = order[index * self.batch_size : (index + 1) * self.batch_size]
        images = np.empty((len(positions), *self.source.shape), self.source.dtype)

        def fill(slot: int) -> None:
            images[slot] = self._checked_image(int(positions[slot]), epoch)

        try:
            _for_each(fill, range(len(positions)))
        except ImageError as error:
            raise ImageError(f"batch {index}, {error}") from error
        return images, self.labels[positions]

    def _checked_image(self, position: int, epoch: int) -> np.ndarray:
        """The image, or an ImageError that names it: whatever a source or a subclass does wrong."""
        name = self.source.name(position)
        try:
            image = self._image(position, epoch)
        except (ImageError, MemoryError):
            raise
        except Exception as error:
            raise ImageError(f"{name}: {type(error).__name__}: {error}") from error
        # NumPy would broadcast another shape, cast another dtype and turn None into NaN, all silently.
        shape, dtype = getattr(image, "shape", None), getattr(image, "dtype", None)
        if shape != self.source.shape or dtype != self.source.dtype:
            raise ImageError(
                f"{name}: expected an array of shape {self.source.shape} and dtype {self.source.dtype}, "
                f"got {type(image).__name__} of shape {shape} and dtype {dtype}"
            )
        return image

    def _image(self, position: int, epoch: int) -> np.ndarray:
        """The image at a position of the full list, as it is in this epoch. Subclasses change it here."""
        return self.source.read(position)

    @property
    def epoch(self) -> int:
        """The epoch whose batches are served, 0 first: the number that Keras calls `epoch`.

        It moves on when a training epoch ends, or `on_epoch_end` is called by hand. `evaluate` and
        `predict` leave it alone. Keras does not tell a Sequence of `fit(initial_epoch=5)`: set 5 here too.
        """
        return self._epoch_and_order[0]

    @epoch.setter
    def epoch(self, value: int) -> None:
        value = check_whole("epoch", value, 0)
        # One tuple, replaced whole: a worker thread never sees the order of another epoch.
        self._epoch_and_order = (
            value,
            epoch_order(len(self.source), self.seed, value, shuffle=self.shuffle),
        )

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch. Called by Keras."""
        if not _outside_a_training_epoch():
            self.epoch += 1


def _outside_a_training_epoch() -> bool:
    """Whether Keras calls `on_epoch_end` for something else than the end of a training epoch.

    It does so once before the first epoch of every `fit` (`EpochIterator.reset`) and around `evaluate`
    and `predict`, and passes nothing that tells these apart (Keras 3.13 to 3.15), so we look who calls.
    Should Keras rename its methods, epochs would still differ; only their numbers would be others, and
    tests/test_sequences.py would say so.
    """
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("keras.src."):
            if frame.f_code.co_name in ("reset", "evaluate", "predict"):
                return True
            if frame.f_code.co_name == "fit":
                return False
        frame = frame.f_back
    return False


_pools: dict[int, ThreadPoolExecutor] = {}
_DECODER = "decoder"


def _for_each(function: Callable[[int], None], slots: Iterable[int]) -> None:
    """Calls the function for each slot, on the threads that decode.

    Pillow releases Python's lock, so they use the cores. An image that is made from another Sequence's batch
    is read in place: a decoder that waits for decoders could wait for ever.
    """
    inside = threading.current_thread().name.startswith(_DECODER)
    list((map if inside else _decoders().map)(function, slots))


def _decoders() -> ThreadPoolExecutor:
    """The pool of this process.

    Keyed on the process: Keras fetches two batches before it forks its workers, and a pool of threads does
    not survive a fork (the worker would wait for ever). `setdefault` needs no lock, which could be held
    at the moment of a fork; a pool that loses the race has no threads yet.
    """
    process = os.getpid()
    if process not in _pools:
        affinity = getattr(os, "sched_getaffinity", None)
        cores = len(affinity(0)) if affinity else os.cpu_count() or 1
        _pools.setdefault(process, ThreadPoolExecutor(min(cores, 8), thread_name_prefix=_DECODER))
    return _pools[process]


def _as_labels(labels, n: int) -> np.ndarray:
    """The labels as an array of our own, dtype kept."""
    if isinstance(labels, np.ma.MaskedArray) and labels.mask.any():
        raise ValueError("labels must not be masked: a hidden value would be trained on")
    try:
        labels = np.array(labels)
    except ValueError as error:
        raise ValueError(f"labels must have as many entries in every row ({error})") from None
    if labels.dtype.kind not in "biuf" or labels.dtype.itemsize > 8:
        raise TypeError(f"labels must be numbers of at most 64 bits or booleans, got dtype {labels.dtype}")
    if labels.ndim not in (1, 2) or len(labels) != n or labels.size == 0:
        raise ValueError(f"labels must have shape ({n},) or ({n}, k), one entry a path; got {labels.shape}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        first = int(np.argwhere(~np.isfinite(labels))[0][0])
        raise ValueError(f"labels must be finite; the one at position {first} is {labels[first]}")
    return labels


def _flag(name: str, value) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)
