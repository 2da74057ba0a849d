"""One file -> one array. Every error names the file."""

import contextlib
import io
import os
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from .checks import check_choice, check_size

# 8192 x 8192: larger than any radiograph we met, small enough (67 MB in grey) that a crafted file of a
# few kilobytes cannot ask for the whole machine. The header tells the size before a pixel is decoded.
MAX_PIXELS = 2**26

COLOR_MODES = {"grayscale": "L", "rgb": "RGB"}
ASPECTS = ("stretch", "pad", "crop")
DTYPES = ("float32", "uint8")


class ImageError(ValueError):
    """A file that cannot be used as an image. The message names the file and the reason.

    One plain message, so that it survives pickling: an exception that does not makes Keras' worker
    processes hang for ever (measured with Keras 3.15).

    Example:
        >>> load_image("gone.png")
        Traceback (most recent call last):
        course_utils.images.ImageError: gone.png: no such file
    """


def load_image(
    file: str | os.PathLike | bytes | BinaryIO,
    target_size: tuple[int, int] | None = None,
    color_mode: str = "grayscale",
    *,
    aspect: str = "stretch",
    dtype: str = "float32",
) -> np.ndarray:
    """Reads one image file into an array of its own.

    Downsizing is antialiased: every source pixel counts, where `keras.utils.load_img` picks the nearest
    one and can lose what is small. Rotation noted in EXIF is applied. Transparent pixels are laid on
    black. 16-bit grey is divided by 257, so that 65535 becomes 255 and nothing is clipped.

    Args:
        file: a path, the file's bytes, or a binary file that is open (it is left open, and read from its
            beginning if it can seek). PNG, JPEG or whatever else Pillow reads; of several frames the first.
        target_size: (height, width) in pixels; None keeps the file's own size.
        color_mode: "grayscale" (1 channel) or "rgb" (3 channels).
        aspect: what to do when the proportions differ. "stretch" ignores them, "pad" keeps the whole
            picture and fills with black, "crop" fills the target and cuts what stands out.
        dtype: "float32", or "uint8" (a quarter of the memory; 16-bit values are rounded).

    Returns:
        Array (height, width, channels) of `dtype`, values 0 to 255.

    Raises:
        ImageError: the file is missing, no image, cut short, larger than `MAX_PIXELS`, has 32-bit pixels,
            whose range no file states, or is damaged where the format can tell (JPEG often cannot).
        TypeError, ValueError: an argument is not as described; the message names it.

    Example:
        >>> load_image("chest.png", (256, 256)).shape
        (256, 256, 1)
    """
    check_choice("color_mode", color_mode, COLOR_MODES)
    check_choice("aspect", aspect, ASPECTS)
    dtype = dtype_name(dtype)
    target_size = None if target_size is None else check_size("target_size", target_size)
    array = _read(file, lambda image: _to_array(image, target_size, COLOR_MODES[color_mode], aspect))
    if array.dtype != dtype:
        array = (array.round() if dtype == "uint8" else array).astype(dtype)
    return array[..., np.newaxis] if array.ndim == 2 else array


def load_mask(
    file: str | os.PathLike | bytes | BinaryIO,
    target_size: tuple[int, int] | None = None,
    *,
    aspect: str = "stretch",
) -> np.ndarray:
    """Reads a file whose pixels are names of classes, not shades: never mixed, never rescaled.

    Args:
        file: as for `load_image`; 8-bit grey (the values as they are), with a palette (its numbers, not its
            colours), or of one bit (0 and 1). Of grey PNGs with 2 or 4 bits Pillow spreads the values over
            0 to 255.
        target_size, aspect: as for `load_image`; the nearest pixel is taken, and "pad" fills with 0.

    Returns:
        uint8 array (height, width, 1).

    Raises:
        ImageError, TypeError, ValueError: as for `load_image`. Colours, more than 8 bits, JPEG: refused.

    Example:
        >>> np.unique(load_mask("lung.png", (256, 256)))  # the classes
        array([0, 1], dtype=uint8)
    """
    check_choice("aspect", aspect, ASPECTS)
    target_size = None if target_size is None else check_size("target_size", target_size)

    def to_array(image: Image.Image) -> np.ndarray:
        if image.mode not in ("1", "L", "P"):
            raise ImageError(f"a mask has one 8-bit number a pixel, this file has mode {image.mode}")
        if image.format == "JPEG":
            raise ImageError("JPEG alters values; save masks as PNG")
        values = Image.fromarray(np.array(ImageOps.exif_transpose(image), np.uint8))
        if target_size is not None:
            values = _resize(values, (target_size[1], target_size[0]), aspect, Image.Resampling.NEAREST)
        return np.array(values)

    return _read(file, to_array)[..., np.newaxis]


def _read(file, to_array: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    """What `to_array` makes of the opened file; whatever goes wrong is an ImageError that names it."""
    name = _name_of(file)
    try:
        with _opened(file) as stream, Image.open(stream) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                raise ImageError(f"{width} x {height} pixels, more than the {MAX_PIXELS:,} allowed")
            return to_array(image)
    except MemoryError:
        raise  # not the file's fault
    except ImageError as error:
        raise ImageError(f"{name}: {error}") from None
    except Exception as error:  # Pillow's readers raise nearly anything on a broken file
        raise ImageError(f"{name}: not a readable image ({error})") from error


def _name_of(file) -> str:
    """What to call the file in an error message; TypeError for what is none."""
    if isinstance(file, (str, os.PathLike)):
        return os.fspath(file)
    if isinstance(file, (bytes, bytearray, memoryview)):
        return f"image of {len(file):,} bytes"
    if hasattr(file, "read") and not isinstance(file, io.TextIOBase):
        return str(getattr(file, "name", type(file).__name__))
    raise TypeError(f"file must be a path, bytes or a file opened in binary mode, got {file!r:.80}")


def _opened(file):
    """The file as a context that gives a binary stream; a caller's own stream stays open."""
    if isinstance(file, (bytes, bytearray, memoryview)):
        return io.BytesIO(file)
    if hasattr(file, "read"):
        return contextlib.nullcontext(file)
    if not os.path.isfile(file):  # to open a FIFO would wait for ever
        raise ImageError("not a regular file" if os.path.exists(file) else "no such file")
    # By file, not by name: by name Pillow maps an uncompressed TIFF, and misreads one to be turned.
    return open(file, "rb")


def _to_array(image: Image.Image, target_size, mode: str, aspect: str) -> np.ndarray:
    # Pillow opens 16-bit PNG and TIFF as "I;16…", 16-bit PGM as "I", and would clip both at 255.
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")
    if image.mode in ("I", "F") and not deep:
        raise ImageError("32-bit pixels have no stated range; save it as 8-bit or 16-bit first")
    unseen = image.info.get("transparency")
    image = ImageOps.exif_transpose(image)
    if deep:
        values = np.array(image)
        if isinstance(unseen, int):  # the one grey that a 16-bit PNG calls transparent
            values[values == unseen] = 0
        image = Image.fromarray(values.astype(np.float32) / 257)
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size)
        image.paste(rgba, mask=rgba.getchannel("A"))
    if not deep:
        image = image.convert(mode)
    if target_size is not None:
        image = _resize(image, (target_size[1], target_size[0]), aspect)
    array = np.array(image)
    if deep and mode == "RGB":
        array = np.repeat(array[..., np.newaxis], 3, axis=-1)
    return array


def _resize(
    image: Image.Image, size: tuple[int, int], aspect: str, by=Image.Resampling.BILINEAR
) -> Image.Image:
    if image.size == size:
        return image
    if aspect == "pad":
        # Not ImageOps.pad, which lets a very narrow picture vanish.
        scale = min(size[0] / image.width, size[1] / image.height)
        inner = tuple(max(1, round(side * scale)) for side in image.size)
        padded = Image.new(image.mode, size)
        corner = ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2)
        padded.paste(image.resize(inner, by), corner)
        return padded
    if aspect == "crop":
        return ImageOps.fit(image, size, by)
    return image.resize(size, by)  # Pillow's filters widen when they shrink


def dtype_name(dtype) -> str:
    """The name of a dtype that images can have, however it is written; ValueError for any other."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = dtype
    return check_choice("dtype", name, DTYPES)
