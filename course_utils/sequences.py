"""The Sequences: batches of images for `fit`, `evaluate` and `predict`, read when they are asked for."""

import math
import operator
import sys
from collections.abc import Callable, Sequence

import keras
import numpy as np

from .augmentation import Augmentation, warp
from .checks import check_flag, check_whole
from .images import ImageError
from .normalisation import to_unit_range
from .order import epoch_order
from .sources import FileSource, MaskSource
from .threads import for_each


class ImageSequence(keras.utils.PyDataset):
    """Image files as batches; only the batches in flight are in memory.

    A batch is a pure function of (seed, epoch, index): the same whatever the number of workers, whether
    they are threads or processes, and however often it is asked for. Keras' own shuffling permutes
    batches, not samples, by a seed that is not ours: train with `shuffle=True` here and
    `fit(..., shuffle=False)` there. Leave `steps_per_epoch` out: with it Keras carries batches over from one
    epoch to the next. For a shorter epoch give fewer paths.

    Args:
        image_paths: list or array of paths. Kept as a compact array; no picture is kept.
        labels: one entry a path, (n,) or (n, k), numbers or booleans; their dtype is kept. None with `masks`.
        batch_size: samples a batch, at least 1. The last batch holds what is left over.
        target_size: (height, width) in pixels.
        color_mode: "grayscale" or "rgb".
        shuffle: whether every epoch visits the samples in a new order. False by default, so that
            predictions come in the order of the labels.
        seed: 0 or more.
        dtype: "float32" or "uint8"; values are 0 to 255 either way.
        aspect: "stretch", "pad" or "crop", see `images.load_image`.
        check_files: see `sources.FileSource`.
        masks: for segmentation, a list of paths of mask files, one an image: they are served in the place of
            labels, uint8 (batch, height, width, 1), see `images.load_mask`. They go through whatever
            changes the place of a pixel, and through nothing that changes its value. `class_weight` is for
            labels: Keras refuses it with masks.
        mask_values: the grey values that the mask files hold, in the order of their classes: (0, 255) makes
            classes 0 and 1 of the usual black and white masks. Other values are then an error. None serves
            the values as they are.
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
        masks=None,
        mask_values: Sequence[int] | None = None,
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        super().__init__(
            workers=check_whole("workers", workers, 0),
            use_multiprocessing=check_flag("use_multiprocessing", use_multiprocessing),
            # Keras takes 0 for "unbounded": the whole data set in memory (60 of 60 batches, measured).
            max_queue_size=check_whole("max_queue_size", max_queue_size, 1),
        )
        self.batch_size = check_whole("batch_size", batch_size, 1)
        self.seed = check_whole("seed", seed, 0)
        self.shuffle = check_flag("shuffle", shuffle)
        self.source = FileSource(
            image_paths,
            target_size,
            color_mode=color_mode,
            aspect=aspect,
            dtype=dtype,
            check_files=check_files,
        )
        if (labels is None) == (masks is None):
            raise ValueError(
                "expected labels, or labels=None and masks; got " + ("neither", "both")[labels is not None]
            )
        self.labels = None if labels is None else _as_labels(labels, len(self.source))
        self.masks = None
        if masks is not None:
            self.masks = MaskSource(
                masks, target_size, aspect=aspect, values=mask_values, check_files=check_files
            )
            if len(self.masks) != len(self.source):
                raise ValueError(
                    f"masks must have one entry a path: {len(self.masks)} for {len(self.source)}"
                )
        self.epoch = 0

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.source) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """One batch of the present epoch.

        Args:
            index: which batch, 0 to len(self) - 1.

        Returns:
            Images (batch, height, width, channels) and labels (batch,) or (batch, k), or masks; new arrays.

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
        targets = (
            self.labels[positions]
            if self.masks is None
            else np.empty((len(positions), *self.masks.shape), np.uint8)
        )

        def fill(slot: int) -> None:
            position = int(positions[slot])
            images[slot] = _checked(self.image_at, self.source, position, epoch)
            if self.masks is not None:
                targets[slot] = _checked(self.mask_at, self.masks, position, epoch)

        try:
            for_each(fill, range(len(positions)))
        except ImageError as error:
            raise ImageError(f"batch {index}, {error}") from error
        return images, targets

    def image_at(self, position: int, epoch: int) -> np.ndarray:
        """The image at a position of the full list, as it is in this epoch. Subclasses change it here.

        It must be a function of its arguments alone, and may be called from several threads at once.
        """
        return self.source.read(position)

    def mask_at(self, position: int, epoch: int) -> np.ndarray:
        """The mask that belongs to `image_at(position, epoch)`."""
        return self.masks.read(position)

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


class AugmentingImageSequence(ImageSequence):
    """An `ImageSequence` whose images are flipped, turned and zoomed anew in every epoch, as they are read.

    Nothing is stored. What happens to an image depends on the seed, the epoch and its position in the full
    list: not on batch size, order, workers, threads or processes. Masks go through the same transform.
    For validation and prediction pass `augment=False`. Labels are left alone: switch off whatever would make
    one false, as `horizontal_flip` does a label that says left or right.

    Args:
        image_paths, labels, batch_size, target_size, **options: as for `ImageSequence`.
        augment: False serves what `ImageSequence` serves.
        strength, horizontal_flip, vertical_flip, rotation, zoom, fill_mode, fill_value: as for
            `augmentation.Augmentation`.

    Raises:
        TypeError, ValueError, FileNotFoundError: as for `ImageSequence`.
    """

    def __init__(
        self,
        image_paths,
        labels,
        batch_size: int,
        target_size: tuple[int, int],
        augment: bool = True,
        *,
        strength: float = 1.0,
        horizontal_flip: bool = True,
        vertical_flip: bool = True,
        rotation: float = 0.2,
        zoom: float = 0.2,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
        **options,
    ):
        super().__init__(image_paths, labels, batch_size, target_size, **options)
        self.augment = check_flag("augment", augment)
        self.augmentation = Augmentation(
            strength, horizontal_flip, vertical_flip, rotation, zoom, fill_mode, fill_value
        )

    def image_at(self, position: int, epoch: int) -> np.ndarray:
        """The image, transformed as its position and the epoch say."""
        image = super().image_at(position, epoch)
        if not self.augment:
            return image
        return self.augmentation.apply(image, self.augmentation.draw(self.seed, epoch, position))

    def mask_at(self, position: int, epoch: int) -> np.ndarray:
        """The mask under the image's own transform, by nearest pixel; beyond the edge as the image, or 0."""
        mask = super().mask_at(position, epoch)
        if not self.augment:
            return mask
        transform = self.augmentation.draw(self.seed, epoch, position)
        return warp(mask, transform, fill_mode=self.augmentation.fill_mode, nearest=True)


class PreprocessingImageSequence(AugmentingImageSequence):
    """An `AugmentingImageSequence` whose values are normalised last: [0, 1] unless you say otherwise.

    For a quarter of the memory in the queue, and a saved model that takes pictures as they come, use
    `AugmentingImageSequence(..., dtype="uint8")` and put the normalisation into the model.

    Args:
        image_paths, labels, batch_size, target_size, augment, **options: as for `AugmentingImageSequence`.
        normalise: a function of one image (height, width, channels), float32, 0 to 255, that returns a
            float32 array of its shape; or None to leave the values. It sees one image at a time, so that no
            image's numbers depend on its neighbours. For processes it must be defined in a module.

    Raises:
        TypeError, ValueError, FileNotFoundError: as for `ImageSequence`; or `normalise` is no such function.
    """

    def __init__(
        self,
        image_paths,
        labels,
        batch_size: int,
        target_size: tuple[int, int],
        augment: bool = True,
        *,
        normalise: Callable[[np.ndarray], np.ndarray] | None = to_unit_range,
        **options,
    ):
        super().__init__(image_paths, labels, batch_size, target_size, augment, **options)
        if self.source.dtype != "float32":
            raise ValueError(f"dtype must be 'float32', as normalised values are; got {self.source.dtype!r}")
        self.normalise = normalise
        if normalise is not None:
            self._try_normalise()

    def _try_normalise(self) -> None:
        ramp = np.linspace(0, 255, math.prod(self.source.shape), dtype=np.float32).reshape(self.source.shape)
        try:
            got = self.normalise(ramp)
        except Exception as error:
            raise ValueError(f"normalise failed on an image: {type(error).__name__}: {error}") from error
        shape, dtype = getattr(got, "shape", None), getattr(got, "dtype", None)
        if shape != self.source.shape or dtype != np.float32:
            raise ValueError(
                f"normalise must return a float32 array of shape {self.source.shape}, got "
                f"{type(got).__name__} of shape {shape} and dtype {dtype}"
            )
        if not np.isfinite(got).all():
            raise ValueError("normalise must return finite values: greys from 0 to 255 gave NaN or infinity")

    def image_at(self, position: int, epoch: int) -> np.ndarray:
        """The image, transformed, then normalised."""
        image = super().image_at(position, epoch)
        return image if self.normalise is None else self.normalise(image)


def _checked(method: Callable, source: FileSource, position: int, epoch: int) -> np.ndarray:
    """The array, or an ImageError that names it: whatever a source or a subclass does wrong."""
    name = source.name(position)
    try:
        array = method(position, epoch)
    except (ImageError, MemoryError):
        raise
    except Exception as error:
        raise ImageError(f"{name}: {type(error).__name__}: {error}") from error
    # NumPy would broadcast another shape, cast another dtype and turn None into NaN, all silently.
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape != source.shape or dtype != source.dtype:
        raise ImageError(
            f"{name}: expected an array of shape {source.shape} and dtype {source.dtype}, "
            f"got {type(array).__name__} of shape {shape} and dtype {dtype}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():  # one NaN, and every weight is NaN
        raise ImageError(f"{name}: expected finite values, got NaN or infinity")
    return array


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
