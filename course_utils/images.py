"""One file -> one array. Every error names the file."""

import contextlib
import errno
import io
import os
import stat
import time
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from .checks import check_choice, check_size, check_whole
from .decoding import BROKEN, is_deep, mask_to_array, orientation, to_array
from .formats import Page, PageError, is_irreversible, kind_of, notes_follow, page_of

# 8192 x 8192: larger than any radiograph we met, small enough (67 MB in grey) that a crafted file of a
# few kilobytes cannot ask for the whole machine. The header tells the size before a pixel is decoded.
MAX_PIXELS = 2**26

COLOR_MODES = {"grayscale": "L", "rgb": "RGB"}
ASPECTS = ("stretch", "pad", "crop")
DTYPES = ("float32", "uint8")

# Troubles of a drive that may be over in a moment; not every system knows them all.
PASSING = {getattr(errno, name, None) for name in (
    "EIO", "ESTALE", "ETIMEDOUT", "EREMOTEIO", "EAGAIN", "EBUSY", "ENOLINK", "ECOMM", "EPROTO", "ENOTCONN",
    "ECONNRESET", "ECONNABORTED", "ENETDOWN", "ENETRESET", "ENETUNREACH", "EHOSTDOWN", "EHOSTUNREACH",
)}  # fmt: skip
BUFFER = 2**16  # bytes; whatever is read of a small file, the drive is asked once
PAUSES = (0.05, 0.2)  # seconds before the second and the third try
# A seek to where a broken file points raises these: the file's fault.
NOT_THE_DRIVE = (errno.EINVAL, errno.EOVERFLOW)

LOSSY_TIFF = {"jpeg", "tiff_jpeg", "webp", "tiff_sgilog", "tiff_sgilog24"}


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
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Reads one image file into an array of its own.

    Smaller or larger pictures are made by one filter, antialiased: the triangle of `resizing.resized`. Every
    source pixel counts, where `keras.utils.load_img` picks the nearest one and can lose what is small.
    Rotation noted in EXIF is applied if it can be read; what else EXIF holds is ignored. Transparent pixels
    are laid on black. 16-bit grey is divided by 257, so that 65535 becomes 255 and nothing is clipped; grey
    TIFF of 9 to 15 bits is scaled by its own largest value.

    Plain PNGs (8 bits, grey or RGB, not interlaced, up to 17 MB of pixels) are decoded by ISA-L and OpenCV,
    all else by Pillow; the file's head decides, and the pixels are the same. Of any PNG all checksums are
    looked at: one changed bit is an error. JPEG has none, and may serve damage as a picture. A JPEG is
    decoded at a half, a quarter or an eighth as long as that is at least twice the target: of radiographs of
    1024 x 1024 a hundredth of the pixels then differ by more than one grey level at 256 x 256, where there is
    lettering by up to 14.

    Reading takes memory for a moment, in bytes a pixel of the file: plain PNG 3 a channel; other grey 1, of
    16 bits 2; all else 4; and 14 MB for what is converted by strips. A progressive JPEG takes 6 more, one
    that is decoded smaller that much less. Threads that need 17 MB or more take turns where all together
    would need more than half of what is free (`memory.room_for`).

    Args:
        file: a path, the file's bytes, or a binary file that is open (it is left open, and read from its
            beginning if it can seek). PNG, JPEG or whatever else Pillow reads; of several frames the first,
            of a TIFF the first page that does not call itself a thumbnail or a mask (the largest if all do).
        target_size: (height, width) in pixels; None keeps the file's own size.
        color_mode: "grayscale" (1 channel) or "rgb" (3 channels).
        aspect: what to do when the proportions differ. "stretch" ignores them, "pad" keeps the whole
            picture and fills with black, "crop" fills the target and cuts what stands out.
        dtype: "float32", or "uint8" (a quarter of the memory; 16-bit values are rounded).
        max_pixels: the most pixels that the file may have. Above `PIL.Image.MAX_IMAGE_PIXELS` that is
            raised as well, for the whole process.

    Returns:
        Array (height, width, channels) of `dtype`, values 0 to 255.

    Raises:
        ImageError: the file is missing, no image, cut short, larger than `max_pixels`, has signed, float or
            32-bit pixels, whose range no file states, or more bands than grey or colours and transparency,
            or is damaged where the format can tell. Or the drive cannot read it, after two more tries where
            the trouble may pass; then the message says so.
        TypeError, ValueError: an argument is not as described; the message names it.

    Example:
        >>> load_image("chest.png", (256, 256)).shape
        (256, 256, 1)
    """
    target_size = None if target_size is None else check_size("target_size", target_size)
    return _image(file, target_size, None, color_mode, aspect, dtype, max_pixels)


def load_image_into(
    place: np.ndarray,
    file,
    color_mode: str = "grayscale",
    *,
    aspect: str = "stretch",
    max_pixels: int = MAX_PIXELS,
) -> None:
    """What `load_image` returns, written into an array that is there: a batch's row needs no copy.

    Args:
        place: (height, width, channels) of float32 or uint8; its height and width are the target's. After an
            error its contents mean nothing.
        file, color_mode, aspect, max_pixels: as for `load_image`.

    Raises:
        ImageError, TypeError, ValueError: as for `load_image`; or `place` is no such array.

    Example:
        >>> batch = np.empty((32, 64, 64, 1), np.uint8)
        >>> load_image_into(batch[0], "chest.png")
    """
    if not isinstance(place, np.ndarray) or not place.flags.writeable:
        raise TypeError(f"place must be an array that can be written to, got {type(place).__name__}")
    channels = len(COLOR_MODES.get(color_mode, ""))
    if channels and (place.ndim != 3 or place.shape[2] != channels or 0 in place.shape):
        raise ValueError(f"place must be (height, width, {channels}) for {color_mode}, got {place.shape}")
    _image(file, place.shape[:2], place, color_mode, aspect, place.dtype, max_pixels)


def _image(file, target_size, place, color_mode: str, aspect: str, dtype, max_pixels: int) -> np.ndarray:
    mode = COLOR_MODES[check_choice("color_mode", color_mode, COLOR_MODES)]
    options = target_size, mode, check_choice("aspect", aspect, ASPECTS), place, dtype_name(dtype)
    return _read(file, max_pixels, lambda image, page: to_array(image, page, *options))


def image_size(
    file: str | os.PathLike | bytes | BinaryIO, *, max_pixels: int = MAX_PIXELS
) -> tuple[int, int]:
    """The size in which `load_image` finds a picture: upright, of the page that it reads. Decodes no pixel.

    Args:
        file, max_pixels: as for `load_image`.

    Returns:
        (height, width) in pixels.

    Raises:
        ImageError, TypeError, ValueError: as for `load_image`, as far as the file's head tells.

    Example:
        >>> image_size("chest.png")
        (64, 64)
    """

    def size(image: Image.Image, page: Page) -> tuple[int, int]:
        is_deep(image, page)
        if image.format == "PNG" and notes_follow(page.stream):  # rare, and Pillow reads them last
            image.load()
        width, height = page.size or image.size
        return (width, height) if orientation(image, page) >= 5 else (height, width)

    return _read(file, max_pixels, size)


def load_mask(
    file: str | os.PathLike | bytes | BinaryIO,
    target_size: tuple[int, int] | None = None,
    *,
    aspect: str = "stretch",
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Reads a file whose pixels are names of classes, not shades: never mixed, never rescaled.

    Args:
        file: as for `load_image`; 8-bit grey (the values as they are), with a palette (its numbers, not its
            colours), or of one bit (0 and 1). Of grey PNGs with 2 or 4 bits Pillow spreads the values over
            0 to 255.
        target_size, aspect: as for `load_image`; the nearest pixel is taken, and "pad" fills with 0.
        max_pixels: as for `load_image`.

    Returns:
        uint8 array (height, width, 1).

    Raises:
        ImageError, TypeError, ValueError: as for `load_image`. Colours, more than 8 bits, and whatever was
            saved lossily: refused (JPEG, also inside TIFF; WebP, AVIF and JPEG 2000 unless lossless).

    Example:
        >>> np.unique(load_mask("lung.png", (256, 256)))  # the classes
        array([0, 1], dtype=uint8)
    """
    return mask_and_size(file, target_size, aspect=aspect, max_pixels=max_pixels)[0]


def mask_and_size(
    file, target_size: tuple[int, int] | None, *, aspect: str, max_pixels: int
) -> tuple[np.ndarray, tuple[int, int]]:
    """What `load_mask` returns, and the file's own (height, width) upright: of one reading."""
    check_choice("aspect", aspect, ASPECTS)
    target_size = None if target_size is None else check_size("target_size", target_size)

    def read(image: Image.Image, page: Page) -> tuple[np.ndarray, tuple[int, int]]:
        if _is_lossy(image, page.stream):
            kind = {"JPEG": "JPEG", "MPO": "JPEG"}.get(image.format, f"lossy {image.format}")
            raise ImageError(f"{kind} alters values; save masks as PNG")
        if page.size or image.mode not in ("1", "L", "P"):
            found = f"{page.bits} bits" if page.size else f"mode {image.mode}"
            raise ImageError(f"a mask has one 8-bit number a pixel, this file has {found}")
        return mask_to_array(image, page, target_size, aspect)

    return _read(file, max_pixels, read)


def _read(file, max_pixels: int, use: Callable[[Image.Image, Page], Any]) -> Any:
    """What `use` makes of the opened file; whatever goes wrong is an ImageError that names it."""
    name = _name_of(file)
    max_pixels = check_whole("max_pixels", max_pixels, 1)
    _set_pillow(max_pixels)
    for pause in (*PAUSES, None):
        try:
            with _opened(file) as stream:
                return _used(stream, name, max_pixels, use)
        except MemoryError:
            raise  # not the file's fault
        except (ImageError, PageError) as error:
            raise ImageError(f"{name}: {error}") from None
        except Exception as error:  # Pillow's readers raise nearly anything on a broken file
            code = error.errno if isinstance(error, OSError) else None
            if code is None or code in NOT_THE_DRIVE:
                raise ImageError(f"{name}: not a readable image ({error})") from error
            if pause is None or code not in PASSING or not isinstance(file, (str, os.PathLike)):
                why = f"cannot be read ({os.strerror(code)}): the image is not at fault"
                raise ImageError(f"{name}: {why}") from error
        time.sleep(pause)


def _set_pillow(max_pixels: int) -> None:
    """What Pillow keeps for the whole process. Without a lock: every thread sets the same, at worst twice."""
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        warnings.warn(
            "PIL.ImageFile.LOAD_TRUNCATED_IMAGES was True, which lets half a file pass for a picture, the "
            "rest of it black or grey. It is set to False, so that such a file is an ImageError",
            RuntimeWarning,
            stacklevel=4,
        )
    if Image.MAX_IMAGE_PIXELS is not None and Image.MAX_IMAGE_PIXELS < max_pixels:
        Image.MAX_IMAGE_PIXELS = max_pixels  # neither its warning nor its error below our bound


def _used(stream: BinaryIO, name: str, max_pixels: int, use: Callable) -> Any:
    page = page_of(stream)
    if page.plain:  # nearly every TIFF; where only a wrong tag stops Pillow, it gets those that it needs
        stream.seek(0)
        with contextlib.suppress(*BROKEN):
            return _by_pillow(page._replace(stream=stream), name, max_pixels, use)
        page.stream.seek(0)
    return _by_pillow(page, name, max_pixels, use)


def _by_pillow(page: Page, name: str, max_pixels: int, use: Callable) -> Any:
    allowed = f"more than the {max_pixels:,} that max_pixels allows"
    if page.size and page.size[0] * page.size[1] <= max_pixels:
        _set_pillow(2 * page.size[0] * page.size[1])  # which takes bytes for pixels there
    try:
        with Image.open(page.stream, formats=page.formats) as image:
            width, height = page.size or image.size
            # Of packed samples, whose bytes are fewer than two a pixel, a false tile must not ask for more.
            if max(width * height, image.width * image.height // 2) > max_pixels:
                raise ImageError(f"{width} x {height} pixels, {allowed}")
            return use(image, page)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{allowed} ({error})") from None
    except UnidentifiedImageError:
        if kind := kind_of(page.stream, name):
            raise ImageError(f"{kind}, or write a source (course_utils.Source)") from None
        raise UnidentifiedImageError("in no format that Pillow knows") from None  # its own names an object


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
        try:
            file.seek(0)
        except (AttributeError, io.UnsupportedOperation):
            return io.BytesIO(file.read())
        return contextlib.nullcontext(file)
    try:
        mode = os.stat(file).st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        raise ImageError("no such file") from None
    if not stat.S_ISREG(mode):  # to open a FIFO would wait for ever
        raise ImageError("not a regular file")
    # By file, not by name: by name Pillow maps an uncompressed TIFF, and misreads one to be turned.
    return open(file, "rb", BUFFER)


def _is_lossy(image: Image.Image, stream: BinaryIO) -> bool:
    """Whether the way in which the file was saved alters values."""
    if image.format == "TIFF":
        return image.info.get("compression") in LOSSY_TIFF
    if image.format not in ("WEBP", "JPEG2000"):
        return image.format in ("JPEG", "MPO", "AVIF", "HEIF")
    here = stream.tell()
    stream.seek(0)
    data = stream.read()
    stream.seek(here)
    return b"VP8 " in data if image.format == "WEBP" else is_irreversible(data)


def dtype_name(dtype) -> str:
    """The name of a dtype that images can have, however it is written; ValueError for any other."""
    try:
        name = np.dtype(dtype).name
    except TypeError:
        name = dtype
    return check_choice("dtype", name, DTYPES)
