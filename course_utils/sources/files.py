"""Image files and mask files as sources, one file a position."""

import operator
import os
from collections.abc import Mapping, Sequence, Set
from typing import SupportsIndex

import numpy as np
from numpy.dtypes import StringDType

from ..checks import check_choice, check_size, check_whole
from ..images import (
    ASPECTS,
    COLOR_MODES,
    MAX_PIXELS,
    ImageError,
    dtype_name,
    image_size,
    load_image,
    load_image_into,
    mask_and_size,
)

# A file that is missing should stop us before training, but a look at a million files takes minutes on a
# network drive: up to the first number all are looked at, above it the second number, spread evenly.
CHECK_ALL_UP_TO = 10_000
CHECK_SPREAD = 1_000
MAY_DIFFER = 2  # pixels between the heights or widths of a mask and its picture


class FileSource:
    """Image files, one a position; a `Source`.

    Args:
        paths: the files. Kept as a StringDType array: about 100 bytes a path of 90 characters.
        target_size: (height, width) in pixels.
        color_mode, aspect, dtype, max_pixels: as for `images.load_image`.
        check_files: True looks whether every file exists, False looks at none; None looks at all of up to
            10,000 and at 1,000 spread over a longer list.
        argument: what error messages call the list of paths.

    Raises:
        TypeError, ValueError: an argument is wrong; the message names it.
        FileNotFoundError: files are missing; the message counts them and names the first.

    Example:
        >>> FileSource(paths, (256, 256), color_mode="rgb")[1].shape
        (256, 256, 3)
    """

    def __init__(
        self,
        paths,
        target_size: tuple[int, int],
        *,
        color_mode: str = "grayscale",
        aspect: str = "stretch",
        dtype: str = "float32",
        max_pixels: int = MAX_PIXELS,
        check_files: bool | None = None,
        argument: str = "image_paths",
    ):
        check_choice("color_mode", color_mode, COLOR_MODES)
        check_choice("aspect", aspect, ASPECTS)
        self.argument, self.paths = argument, as_paths(paths, argument)
        self.target_size = check_size("target_size", target_size)
        self.color_mode, self.aspect, self.dtype = color_mode, aspect, dtype_name(dtype)
        self.max_pixels = check_whole("max_pixels", max_pixels, 1)
        self.shape = (*self.target_size, 1 if color_mode == "grayscale" else 3)
        self._check_files(positions_to_check(len(self), check_files))

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, position: int) -> str:
        """What to call this sample in an error message."""
        return str(self.paths[position])

    def __getitem__(self, position: SupportsIndex) -> np.ndarray:
        """The image at a position of the list: a new array of `shape` and `dtype`, values 0 to 255.

        Raises:
            IndexError: there is no such position.
            images.ImageError: the file cannot be used; the message names it.
        """
        path = self.name(operator.index(position))
        how = {"aspect": self.aspect, "dtype": self.dtype, "max_pixels": self.max_pixels}
        return load_image(path, self.target_size, self.color_mode, **how)

    def read_into(self, place: np.ndarray, position: SupportsIndex) -> None:
        """The image at a position, written into an array of `shape` and `dtype`: without a copy.

        Raises:
            IndexError, images.ImageError: as for `source[position]`.
        """
        path = self.name(operator.index(position))
        load_image_into(place, path, self.color_mode, aspect=self.aspect, max_pixels=self.max_pixels)

    def _check_files(self, positions: Sequence[int]) -> None:
        missing = [p for p in positions if not os.path.isfile(self.paths[p])]
        if missing:
            raise FileNotFoundError(
                f"{self.argument}: {len(missing)} of the {len(positions)} files looked at are missing, "
                f"the first at position {missing[0]}: {self.name(missing[0])}"
            )


class MaskSource(FileSource):
    """Mask files, one a sample, read by `images.load_mask`: uint8, (height, width, 1).

    Args:
        paths, target_size, aspect, max_pixels, check_files: as for `FileSource`.
        values: the values that the files hold, in the order of their classes; None keeps them.
        images: the pictures that the masks belong to, one a mask; None compares none. A mask whose own
            height or width (upright) differs from its picture's by more than two pixels is an error; one
            or two, as some programs lose or add by rounding, are stretched.

    Raises:
        ValueError: `values` is not a list of different whole numbers from 0 to 255, or there are more or
            fewer masks than `images`.
        TypeError: `images` is no `FileSource`.

    Example:
        >>> MaskSource(masks, (256, 256), values=(0, 1))[1].shape
        (256, 256, 1)
    """

    def __init__(
        self,
        paths,
        target_size: tuple[int, int],
        *,
        aspect: str = "stretch",
        values: Sequence[int] | None = None,
        images: FileSource | None = None,
        max_pixels: int = MAX_PIXELS,
        check_files: bool | None = None,
    ):
        options = {"aspect": aspect, "max_pixels": max_pixels, "check_files": check_files}
        super().__init__(paths, target_size, dtype="uint8", argument="masks", **options)
        if not isinstance(images, (FileSource, type(None))):
            raise TypeError(f"images must be a FileSource or None, got {type(images).__name__}")
        if images is not None and len(images) != len(self):
            raise ValueError(f"masks must have one entry an image: {len(self)} for {len(images)}")
        self.images, self.classes = images, None
        if values is not None:
            given = np.asarray(values)
            if (
                given.dtype.kind not in "iu"
                or given.ndim != 1
                or not set(given.tolist()) <= set(range(256))
                or (len(set(given.tolist())) < len(given))
            ):
                raise ValueError(f"mask_values must be different whole numbers from 0 to 255, got {values!r}")
            self.classes = np.full(256, -1)
            self.classes[given] = range(len(given))

    def __getitem__(self, position: SupportsIndex) -> np.ndarray:
        """The mask at a position of the list, as classes.

        Raises:
            images.ImageError: the file cannot be used, has another shape than its picture, or holds other
                values than it should.
        """
        position = operator.index(position)
        path = self.name(position)
        mask, size = mask_and_size(path, self.target_size, aspect=self.aspect, max_pixels=self.max_pixels)
        if self.images is not None:
            self._check_shape(path, size, position)
        if self.classes is None:
            return mask
        classes = self.classes[mask]
        if (classes < 0).any():
            other = int(mask[classes < 0][0])
            raise ImageError(f"{path}: holds the value {other}, which is not in mask_values")
        return classes.astype(np.uint8)

    def _check_shape(self, path: str, size: tuple[int, int], position: int) -> None:
        picture = self.images.name(position)
        wanted = image_size(picture, max_pixels=self.images.max_pixels)
        if max(abs(own - other) for own, other in zip(size, wanted, strict=True)) > MAY_DIFFER:
            raise ImageError(
                f"{path}: the mask is {size[0]} x {size[1]} (height x width), "
                f"its picture {picture} {wanted[0]} x {wanted[1]}"
            )


def positions_to_check(n: int, check_files: bool | None) -> Sequence[int]:
    """At which of `n` files to look: see `FileSource`.

    Raises:
        ValueError: `check_files` is not None, True or False.
    """
    if check_files not in (None, True, False):
        raise ValueError(f"check_files must be None, True or False, got {check_files!r}")
    if check_files is None and n > CHECK_ALL_UP_TO:
        return spread(n, CHECK_SPREAD)
    return range(0 if check_files is not None and not check_files else n)


def spread(n: int, most: int) -> Sequence[int]:
    """Up to `most` positions of `n`, spread evenly, the first and the last among them."""
    return np.linspace(0, n - 1, min(n, most)).astype(int).tolist()


def as_paths(paths, argument: str) -> np.ndarray:
    """The paths as a compact array of our own: what the caller does to theirs later changes nothing here."""
    unordered = isinstance(paths, (Set, Mapping))  # their order is not the labels'
    if unordered or isinstance(paths, (str, bytes, os.PathLike)) or not hasattr(paths, "__iter__"):
        raise TypeError(f"{argument} must be a list of paths, got {type(paths).__name__}: {str(paths)[:80]}")
    if isinstance(paths, np.ndarray) and paths.dtype == StringDType():
        array = paths.copy()
    else:
        array = np.array([_as_path(path, at, argument) for at, path in enumerate(paths)], dtype=StringDType())
    if array.ndim != 1 or len(array) == 0:
        raise ValueError(f"{argument} must be a list of at least one path, got shape {array.shape}")
    return array


def _as_path(path, position: int, argument: str) -> str:
    name = os.fspath(path) if isinstance(path, os.PathLike) else path
    if not isinstance(name, str):
        raise TypeError(f"{argument} must hold str or pathlib.Path; at position {position} is {path!r:.80}")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{argument}: the name at position {position} is not valid Unicode: {name!r}"
        ) from None
    return name
