"""`AugmentingImageSequence`: images are changed anew in every epoch, as they are read."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..augmentation import Augmentation, Augmenter, check_augmenter, check_warped, warp
from ..checks import check_flag
from ..images import MAX_PIXELS
from ..scratch import scratch
from .basic import ImageSequence, check_function


class AugmentingImageSequence(ImageSequence):
    """An `ImageSequence` whose images are flipped, turned and zoomed anew in every epoch, as they are read.

    Nothing is stored. What happens to an image depends on the seed, the epoch and its position in the full
    list: not on batch size, order, workers, threads or processes. Masks go through the same transform.
    For validation and prediction pass `augment=False`. Labels are left alone: switch off whatever would make
    one false, as `horizontal_flip` does a label that says left or right.

    Args:
        image_paths, labels, batch_size, target_size: as for `ImageSequence`.
        augment: False serves what `ImageSequence` serves.
        augmentation: what to do in the place of flips, rotation and zoom: any object with
            `draw(seed, epoch, position)` and `apply(image, draw)`, see `augmentation.Augmenter`.
        strength, horizontal_flip, vertical_flip, rotation, zoom, fill_mode, fill_value: as for
            `augmentation.Augmentation`; with an augmentation of your own they are out of place.
        color_mode, shuffle, seed, dtype, aspect, check_files, max_pixels, sample_weight, masks, mask_values,
            workers, use_multiprocessing, max_queue_size: as for `ImageSequence`.

    Raises:
        TypeError, ValueError, FileNotFoundError: as for `ImageSequence`; or `augmentation` is no such object,
            or fails on an image.

    Example:
        >>> chests = {"horizontal_flip": False, "vertical_flip": False, "strength": 0.15}
        >>> training = AugmentingImageSequence(paths, labels, 32, (64, 64), shuffle=True, **chests)
        >>> history = model.fit(training, epochs=3, shuffle=False)
    """

    def __init__(
        self,
        image_paths,
        labels,
        batch_size: int,
        target_size: tuple[int, int],
        augment: bool = True,
        *,
        augmentation: Augmenter | None = None,
        strength: float = 1.0,
        horizontal_flip: bool = True,
        vertical_flip: bool = True,
        rotation: float = 0.2,
        zoom: float = 0.2,
        fill_mode: str = "reflect",
        fill_value: float = 0.0,
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
            image_paths,
            labels,
            batch_size,
            target_size,
            color_mode=color_mode,
            shuffle=shuffle,
            seed=seed,
            dtype=dtype,
            aspect=aspect,
            check_files=check_files,
            max_pixels=max_pixels,
            sample_weight=sample_weight,
            masks=masks,
            mask_values=mask_values,
            workers=workers,
            use_multiprocessing=use_multiprocessing,
            max_queue_size=max_queue_size,
        )
        self.augment = check_flag("augment", augment)
        ours = Augmentation(strength, horizontal_flip, vertical_flip, rotation, zoom, fill_mode, fill_value)
        if augmentation is not None and ours != Augmentation():
            raise ValueError("expected an augmentation or strength, flips and the like; got both")
        self.augmentation = ours if augmentation is None else augmentation
        check_augmenter(self.augmentation, with_masks=self.masks is not None)
        if self.augment:
            self._try_augmentation()

    def _try_augmentation(self) -> None:
        """Fails now, not in the first batch."""
        if isinstance(self.augmentation, Augmentation):
            check_warped("source.dtype", self.source.dtype)
        change = partial(self._augmented, epoch=0, position=0)
        check_function("augmentation", change, self.source, self.dtype)
        if self.masks is None:
            return
        if isinstance(self.augmentation, Augmentation):
            check_warped("masks.dtype", self.masks.dtype)
        change = partial(self._augmented_mask, epoch=0, position=0)
        check_function("augmentation.apply_to_mask", change, self.masks, self.masks.dtype)

    def _drawn(self, epoch: int, position: int) -> Any:
        return self.augmentation.draw(self.seed, epoch, position)

    def _augmented(self, image: np.ndarray, epoch: int, position: int) -> np.ndarray:
        return self.augmentation.apply(image, self._drawn(epoch, position))

    def _augmented_mask(self, mask: np.ndarray, epoch: int, position: int) -> np.ndarray:
        return self.augmentation.apply_to_mask(mask, self._drawn(epoch, position))

    def _is_plain(self) -> bool:
        return super()._is_plain() or (not self.augment and self._serves_by(AugmentingImageSequence))

    def _straight(self) -> Callable[[np.ndarray, int, int], None] | None:
        ours = type(self.augmentation) is Augmentation and self._serves_by(AugmentingImageSequence)
        return self._augment_into if self.augment and ours else super()._straight()

    def _augment_into(self, place: np.ndarray, position: int, epoch: int) -> None:
        """What `image_at` gives, without new memory for what is read and for what is made of it."""
        image = scratch("image", place.shape, place.dtype)
        self.source.read_into(image, position)
        how = self.augmentation
        drawn = self._drawn(epoch, position)
        warp(image, drawn, fill_mode=how.fill_mode, fill_value=how.fill_value, out=place)

    def image_at(self, position: int, epoch: int) -> np.ndarray:
        """The image, changed as its position and the epoch say."""
        image = super().image_at(position, epoch)
        return self._augmented(image, epoch, position) if self.augment else image

    def mask_at(self, position: int, epoch: int) -> np.ndarray:
        """The mask, changed as its image is."""
        mask = super().mask_at(position, epoch)
        return self._augmented_mask(mask, epoch, position) if self.augment else mask
