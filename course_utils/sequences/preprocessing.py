"""`PreprocessingImageSequence`: images are changed as they are read, then their values normalised."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from ..augmentation import Augmenter
from ..images import MAX_PIXELS
from ..normalisation import to_unit_range
from .augmenting import AugmentingImageSequence
from .basic import check_function


class PreprocessingImageSequence(AugmentingImageSequence):
    """An `AugmentingImageSequence` whose values are normalised last: [0, 1] unless you say otherwise.

    For a quarter of the memory in the queue, and a saved model that takes pictures as they come, use
    `AugmentingImageSequence(..., dtype="uint8")` and put the normalisation into the model.

    Args:
        image_paths, labels, batch_size, target_size, augment: as for `AugmentingImageSequence`.
        normalize: a function of one image (height, width, channels), float32, 0 to 255, that returns a
            float32 array of its shape; or None to leave the values. It sees one image at a time, so that no
            image's numbers depend on its neighbours. For processes that are spawned (macOS, Windows) it must
            be defined in a module. A source of your own may hold another dtype and other values: then it is
            a function of these.
        dtype: "float32", as normalised values are.
        augmentation, strength, horizontal_flip, vertical_flip, rotation, zoom, fill_mode, fill_value,
            color_mode, shuffle, seed, aspect, check_files, max_pixels, sample_weight, masks, mask_values,
            workers, use_multiprocessing, max_queue_size: as for `AugmentingImageSequence`.

    Raises:
        TypeError, ValueError, FileNotFoundError: as for `AugmentingImageSequence`; or `normalize` is no such
            function.

    Example:
        >>> training = PreprocessingImageSequence(paths[8:], labels[8:], 32, (64, 64), shuffle=True)
        >>> validation = PreprocessingImageSequence(paths[:8], labels[:8], 8, (64, 64), augment=False)
        >>> history = model.fit(training, validation_data=validation, epochs=3, shuffle=False)
    """

    def __init__(
        self,
        image_paths,
        labels,
        batch_size: int,
        target_size: tuple[int, int],
        augment: bool = True,
        *,
        normalize: Callable[[np.ndarray], np.ndarray] | None = to_unit_range,
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
            augment,
            augmentation=augmentation,
            strength=strength,
            horizontal_flip=horizontal_flip,
            vertical_flip=vertical_flip,
            rotation=rotation,
            zoom=zoom,
            fill_mode=fill_mode,
            fill_value=fill_value,
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
        if target_size is not None and self.dtype != np.float32:
            raise ValueError(f"dtype must be 'float32', as normalised values are; got {dtype!r}")
        self.normalize = normalize
        if normalize is not None:
            if isinstance(normalize, keras.Layer):
                raise ValueError(
                    f"normalize must be a function of a NumPy array; {normalize.name} is a Keras layer. Put "
                    "it into the model, after its Input"
                )
            if not callable(normalize):
                raise TypeError(f"normalize must be a function of an image or None, got {normalize!r}")
            check_function("normalize", normalize, self.source, np.float32)
            self.dtype = np.dtype(np.float32)

    def image_at(self, position: int, epoch: int) -> np.ndarray:
        """The image, changed as its position and the epoch say, then normalised."""
        image = super().image_at(position, epoch)
        return image if self.normalize is None else self.normalize(image)
