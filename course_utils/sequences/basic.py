"""`ImageSequence`: batches of images for `fit`, `evaluate` and `predict`, read when they are asked for."""

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Self

import keras
import numpy as np

from ..checks import check_flag, check_whole
from ..images import MAX_PIXELS, ImageError
from ..order import epoch_order
from ..sources import FileSource, MaskSource, Pack, Source, array_fault, check_source, is_source
from ..strays import ignore_interrupts_in_workers
from ..threads import for_each
from . import callers
from .rows import fill_row, own

# How image files are read, which a source settles by itself.
FILE_OPTIONS = ("target_size", "color_mode", "dtype", "aspect", "check_files", "max_pixels")


class ImageSequence(keras.utils.PyDataset):
    """Image files as batches; only the batches in flight are in memory.

    A batch is a pure function of (seed, epoch, index): the same whatever the number of workers, whether
    they are threads or processes, and however often it is asked for. Keras' own shuffling permutes
    batches, not samples, by a seed that is not ours: train with `shuffle=True` here and
    `fit(..., shuffle=False)` there. Leave `steps_per_epoch` out: with it Keras carries batches over from one
    epoch to the next. For a shorter epoch give fewer paths.

    Args:
        image_paths: list or array of paths. Kept as a compact array; no picture is kept. For anything but
            image files see `from_source`.
        labels: one entry a path, (n,) or (n, k), numbers or booleans; their dtype is kept. None with `masks`.
            None without `masks` serves the images alone, for `predict`.
        batch_size: samples a batch, at least 1. The last batch holds what is left over.
        target_size: (height, width) in pixels.
        color_mode: "grayscale" or "rgb".
        shuffle: whether every epoch visits the samples in a new order. False by default, so that
            predictions come in the order of the labels.
        seed: 0 or more.
        dtype: "float32" or "uint8"; values are 0 to 255 either way.
        aspect: "stretch", "pad" or "crop", see `images.load_image`.
        check_files, max_pixels: see `sources.FileSource`.
        sample_weight: one finite number a path, how much its loss counts; served as the third element of a
            batch. Keras takes no `class_weight` beside it.
        masks: for segmentation, a list of paths of mask files, one an image: they are served in the place of
            labels, uint8 (batch, height, width, 1), see `images.load_mask`. They go through whatever
            changes the place of a pixel, and through nothing that changes its value. A file must have its
            picture's height and width: only a pixel or two is stretched. `class_weight` is for labels: `fit`
            with masks and `class_weight` is refused. Or a `Source` of masks, of the images' height and width.
        mask_values: the grey values that the mask files hold, in the order of their classes: (0, 255) makes
            classes 0 and 1 of the usual black and white masks. Other values are then an error. None serves
            the values as they are.
        workers, use_multiprocessing, max_queue_size: Keras' own (keras.io, PyDataset). The images of one
            batch are decoded on all cores whatever they say.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it and what was expected.
        FileNotFoundError: files are missing.

    Example:
        >>> training = ImageSequence(paths, labels, 32, (64, 64), shuffle=True)
        >>> history = model.fit(training, epochs=3, shuffle=False)

    A subclass with a second input follows a shuffled batch by `positions`:
        >>> class WithAges(ImageSequence):
        ...     def __init__(self, *arguments, ages, **options):
        ...         super().__init__(*arguments, **options)
        ...         self.ages = np.asarray(ages, np.float32)
        ...     def __getitem__(self, index):
        ...         images, *rest = super().__getitem__(index)
        ...         return ({"image": images, "age": self.ages[self.positions(index)]}, *rest)
        >>> sequence = WithAges(paths, labels, 32, (64, 64), shuffle=True, ages=ages)
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
        max_pixels: int = MAX_PIXELS,
        sample_weight=None,
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
        reading = {"aspect": aspect, "check_files": check_files, "max_pixels": max_pixels}
        if not is_source(image_paths):
            self.source: Source = FileSource(
                image_paths, target_size, color_mode=color_mode, dtype=dtype, **reading
            )
        elif target_size is None:  # as `from_source` calls
            self.source = image_paths
        else:
            raise TypeError("image_paths must be a list of paths; for a source there is from_source")
        self.dtype = np.dtype(self.source.dtype)
        self._n = n = len(self.source)  # once: a source that grows later must not move what is in a batch
        if labels is not None and masks is not None:
            raise ValueError("expected labels, or labels=None and masks; got both")
        if labels is None and masks is None and sample_weight is not None:
            raise ValueError("sample_weight weighs the loss of labels or masks; got neither")
        self.labels = None if labels is None else _numbers("labels", labels, (n,), (n, "k"))
        self.sample_weight = None if sample_weight is None else _numbers("sample_weight", sample_weight, (n,))
        self.masks = _mask_source(masks, self.source, mask_values, reading)
        self.epoch = 0
        self._warned = False

    @classmethod
    def from_source(cls, source: Source, labels, batch_size: int, **options) -> Self:
        """The same Sequence over any `Source`: .npy files, a database, a scanner's own format.

        Number of channels, height, width and dtype are the source's.

        Args:
            source: a `Source`; its first array is read, to see that it is what the source says.
            labels, batch_size: as for the class.
            options: the class's other arguments, by name, those of a subclass of yours included; but not
                those that say how image files are read: `target_size`, `color_mode`, `dtype`, `aspect`,
                `check_files`, `max_pixels`. A subclass gets the source in the place of `image_paths`, and
                None in that of `target_size`.

        Raises:
            TypeError, ValueError: `source` is none (see `sources.check_source`); or as for the class.

        Example:
            >>> files = FileSource(paths, (64, 64), color_mode="rgb")
            >>> sequence = ImageSequence.from_source(files, labels, 32, shuffle=True)
        """
        if unfit := [name for name in FILE_OPTIONS if name in options]:
            raise TypeError(f"from_source takes no {', '.join(unfit)}: a source's arrays are what they are")
        return cls(check_source("source", source), labels, batch_size, None, **options)

    def __len__(self) -> int:
        """Number of batches in an epoch.

        Raises:
            ValueError: `fit` asks, and was given a `class_weight` with masks.
        """
        if self.masks is not None and callers.class_weight_given():  # Keras asks before it reads a batch
            raise ValueError(
                "class_weight is for labels, and this Sequence serves masks: weigh the classes in the loss"
            )
        return math.ceil(self._n / self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, ...]:
        """One batch of the present epoch.

        Args:
            index: which batch, 0 to len(self) - 1.

        Returns:
            Images (batch, height, width, channels); then labels (batch,) or (batch, k), or masks, unless
            there are neither; then the sample weights (batch,) where there are some. New arrays.

        Raises:
            IndexError: there is no such batch.
            images.ImageError: an image cannot be used; the message names it and the batch.
        """
        ignore_interrupts_in_workers()
        epoch, positions = self._batch(index)
        images = np.empty((len(positions), *self.source.shape), self.dtype)
        masks = (
            None if self.masks is None else np.empty((len(positions), *self.masks.shape), self.masks.dtype)
        )

        read_into = self._straight()

        def fill(slot: int) -> None:
            position = int(positions[slot])
            if read_into:
                read_into(images[slot], position, epoch)
            else:
                fill_row(images[slot], self.image_at, self.source, position, epoch)
            if masks is not None:
                fill_row(masks[slot], self.mask_at, self.masks, position, epoch, "mask ")

        slots = range(len(positions))
        if self._is_plain() and masks is None and isinstance(self.source, Pack):
            slots = self.source.read_cached(images, positions)
        try:
            for_each(fill, slots)
        except ImageError as error:
            raise ImageError(f"batch {index}, {error}") from error
        labels = None if self.labels is None else self.labels[positions]
        weights = None if self.sample_weight is None else self.sample_weight[positions]
        return tuple(part for part in (images, labels, masks, weights) if part is not None)

    def _straight(self) -> Callable[[np.ndarray, int, int], None] | None:
        """What writes an image into its row: where all on the way is ours, so that nothing is to be looked
        at, nor copied. None where somebody's own method or source has a part in it."""
        if not self._is_plain():
            return None
        return lambda place, position, epoch: self.source.read_into(place, position)

    def _is_plain(self) -> bool:
        """Whether what is served is what a source of ours reads."""
        return self._serves_by(ImageSequence)

    def _serves_by(self, kind: type) -> bool:
        method = getattr(self.image_at, "__func__", None)
        return method is kind.image_at and type(self.source) in (FileSource, Pack)

    def _batch(self, index: int) -> tuple[int, np.ndarray]:
        """The present epoch, and who is in one of its batches."""
        index = operator.index(index)
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index}: this sequence has batches 0 to {len(self) - 1}")
        epoch, order = self._epoch_and_order  # read once: another thread may end the epoch meanwhile
        return epoch, order[index * self.batch_size : (index + 1) * self.batch_size]

    def positions(self, index: int) -> np.ndarray:
        """Who is in a batch of the present epoch: positions in the full list, in the order of the rows.

        Args:
            index: which batch, 0 to len(self) - 1.

        Returns:
            A new int64 array (batch,).

        Raises:
            IndexError: there is no such batch.

        Example:
            >>> sequence = ImageSequence(paths, labels, 10, (64, 64), shuffle=True)
            >>> np.array_equal(labels[sequence.positions(3)], sequence[3][1])
            True
        """
        return self._batch(index)[1].copy()

    def rng(self, position: int, epoch: int) -> np.random.Generator:
        """Random numbers for one image in one epoch: for a subclass's own `image_at`.

        They are the same whoever asks, in which batch, thread or process, and are none of those that shuffle
        or augment. Each call begins anew.

        Example:
            >>> class Noisy(ImageSequence):
            ...     def image_at(self, position, epoch):
            ...         noise = self.rng(position, epoch).standard_normal(self.source.shape, np.float32)
            ...         return super().image_at(position, epoch) + 5 * noise
            >>> images, _ = Noisy(paths, labels, 32, (64, 64))[0]
        """
        # The 2 keeps them apart from those that shuffle (order.py) and augment (augmentation.py).
        key = check_whole("epoch", epoch, 0), check_whole("position", position, 0)
        return np.random.default_rng((self.seed, *key, 2))

    def image_at(self, position: int, epoch: int) -> np.ndarray:
        """The image at a position of the full list, as it is in this epoch. Subclasses change it here.

        It must be a function of its arguments alone, and may be called from several threads at once. For
        random numbers see `rng`.
        """
        return own(self.source, position)

    def mask_at(self, position: int, epoch: int) -> np.ndarray:
        """The mask that belongs to `image_at(position, epoch)`."""
        return own(self.masks, position)

    @property
    def epoch(self) -> int:
        """The epoch whose batches are served, 0 first: the number that Keras calls `epoch`.

        It moves on when a training epoch ends, or `on_epoch_end` is called by hand. `evaluate` and
        `predict` leave it alone. Keras does not tell a Sequence of `fit(initial_epoch=5)`, nor of training
        that `BackupAndRestore` goes on with: pass `fit` a `FollowEpoch`, or set 5 here. A warning says so.
        """
        return self._epoch_and_order[0]

    @epoch.setter
    def epoch(self, value: int) -> None:
        value = check_whole("epoch", value, 0)
        # One tuple, replaced whole: a worker thread never sees the order of another epoch.
        self._epoch_and_order = (
            value,
            epoch_order(self._n, self.seed, value, shuffle=self.shuffle),
        )

    def on_epoch_begin(self) -> None:
        """Warns, once, of what `fit`, `evaluate` or `predict` may not mean. Called by Keras."""
        method, epoch = callers.method()
        if method in ("evaluate", "predict") and self.shuffle:
            self._warn(
                f"{method} on a Sequence with shuffle=True: its batches, and so the predictions, are not in "
                "the list's order. Make one with shuffle=False"
            )
        elif method in ("fit", "evaluate") and self.labels is None and self.masks is None:
            self._warn(f"{method} on a Sequence without labels: only a loss of the model's own can use it")
        elif callers.steps() not in (None, len(self)) and (self.workers > 1 or self.use_multiprocessing):
            self._warn(
                f"{callers.steps()} steps of {len(self)} batches, with {self.workers} workers: Keras begins "
                "each epoch again at batch 0, after what was left over (21 of 100 batches were ever seen). "
                "Leave steps_per_epoch or validation_steps out, or give fewer paths"
            )
        elif epoch is not None and epoch > self.epoch:
            self._warn(
                f"Keras is at epoch {epoch}, this Sequence at {self.epoch}: it serves that epoch's order and "
                "augmentations. Pass fit(..., callbacks=[FollowEpoch(sequence)]), or set sequence.epoch"
            )

    def _warn(self, text: str) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(text, RuntimeWarning, stacklevel=3)

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch. Called by Keras."""
        # Keras also calls it once before the first epoch of every `fit` (`EpochIterator.reset`) and around
        # `evaluate` and `predict`, and passes nothing that tells these apart.
        if callers.method()[0] in ("", "fit"):
            self.epoch += 1


def check_function(name: str, function: Callable, source: Source, dtype) -> None:
    """Tries a function of an image: on the first of a source, or, for files, on all greys from 0 to 255.

    Raises:
        ValueError: it fails, or returns another array than one of the image's shape, that dtype and finite
            values.
    """
    if isinstance(source, FileSource):
        image = np.linspace(0, 255, math.prod(source.shape)).reshape(source.shape).astype(source.dtype)
        tried = "a picture of all greys from 0 to 255"
    else:
        image, tried = own(source, 0), f"the first image of the source, {source.name(0)}"
    try:
        fault = array_fault(function(image), source.shape, np.dtype(dtype))
    except Exception as error:
        raise ValueError(f"{name} failed on {tried}: {type(error).__name__}: {error}") from error
    if fault:
        raise ValueError(f"{name} was tried on {tried}: {fault}")


def _mask_source(masks, images: Source, values, reading: dict) -> Source | None:
    """Mask files as a source, or a source of masks, that fits the images; None for None."""
    if values is not None and (masks is None or is_source(masks)):
        raise ValueError("mask_values is for masks that are files")
    if masks is None:
        return None
    if is_source(masks):
        source = check_source("masks", masks)
    else:
        files = images if isinstance(images, FileSource) else None
        source = MaskSource(masks, images.shape[:2], values=values, images=files, **reading)
    if len(source) != len(images):
        raise ValueError(f"masks must have one entry an image: {len(source)} for {len(images)}")
    if source.shape[:2] != images.shape[:2]:
        raise ValueError(f"masks must have the images' height and width {images.shape[:2]}: {source.shape}")
    return source


def _numbers(name: str, values, *shapes: tuple) -> np.ndarray:
    """The values as an array of our own of one of the shapes ("k" is any length), dtype kept."""
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        raise ValueError(f"{name} must not be masked: a hidden value would be trained on")
    try:
        array = np.array(values)
    except ValueError as error:
        raise ValueError(f"{name} must have as many entries in every row ({error})") from None
    if array.dtype.kind in "UST" or any(isinstance(value, str) for value in array.flat[:1]):
        raise TypeError(
            f"{name} must be numbers, got text such as {str(array.flat[0])!r}. Number them: "
            f"classes, {name} = np.unique({name}, return_inverse=True)"
        )
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"{name} must be numbers of at most 64 bits or booleans, got dtype {array.dtype}")
    if array.size == 0 or array.ndim > len(shapes) or array.shape[:1] != shapes[0]:
        wanted = " or ".join(str(shape).replace("'", "") for shape in shapes)
        raise ValueError(f"{name} must have shape {wanted}, one entry an image; got {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = int(np.argwhere(~np.isfinite(array))[0][0])
        raise ValueError(f"{name} must be finite; the one at position {first} is {array[first]}")
    return array
