"""An opened image file -> numbers: decoded, laid on black, resized; by strips, to take little memory."""

import contextlib
import io
import math
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from . import png
from .formats import ORIENTATION, Directory, Page, no_range, unpacked
from .memory import room_for
from .resizing import resized

# By how the file lies: a view of the upright array in which it lies that way.
LYING = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array),
    7: lambda array: np.rot90(array, 2).swapaxes(0, 1),
    8: lambda array: np.rot90(array, -1),
}
# What Pillow's readers raise on broken notes (besides MemoryError, which is nobody's note's fault).
BROKEN = (ArithmeticError, AttributeError, EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError,
          struct.error)  # fmt: skip

# Bytes that a pixel takes while it is decoded, by Pillow's mode; 4 in all others. A plain PNG takes 3 a
# channel, a progressive JPEG 6 more (libjpeg keeps its coefficients, of the size in the file).
BYTES = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2}
PROGRESSIVE = 6
STRIP = 2**20  # pixels of the file that are converted at once
BLOCK = 2**17  # bytes of a file that Pillow decodes at once; 2**16 of its own took a JPEG 5 % longer
DRAFT = 2  # times the target's size: a JPEG is not decoded smaller than that


def is_deep(image: Image.Image, page: Page) -> bool:
    """Whether the grey has more than 8 bits.

    Raises:
        formats.PageError: it has a range that nobody knows.
    """
    # Pillow opens 16-bit PNG and TIFF as "I;16…", 16-bit PGM as "I", and would clip both at 255.
    if image.mode == "F" or (image.mode == "I" and image.format != "PPM"):
        raise no_range("32-bit float" if image.mode == "F" else "signed 32-bit")
    return page.size is not None or image.mode.startswith("I")


def orientation(image: Image.Image, page: Page) -> int:
    """How the picture lies, 1 to 8, as far as its notes can be read."""
    if page.orientation is not None:
        return page.orientation if page.orientation in LYING else 1
    if exif := image.info.get("exif"):
        with contextlib.suppress(*BROKEN):
            while exif.startswith(b"Exif\0\0"):  # some write it twice
                exif = exif[6:]
            found = Directory(io.BytesIO(exif)).first(ORIENTATION, 0)
            if found in LYING:
                return found
    if image.info.keys() & {"xmp", "XML:com.adobe.xmp", "Raw profile type exif"}:
        with contextlib.suppress(*BROKEN):
            found = Image.Image.getexif(image).get(ORIENTATION)  # PNG's own would decode the pixels
            return found if found in LYING else 1
    return 1


@contextlib.contextmanager
def decoded(image: Image.Image, page: Page, own: int) -> Iterator[Image.Image | np.ndarray]:
    """The opened file's pixels: of a plain PNG as an array, of any other file the image itself, loaded.

    Which way is taken is settled by the file's head. `own` are the pixels of the file, of which a JPEG may be
    about to give fewer. Holds the thread while large pictures that others decode leave too little memory.
    """
    plain = png.checked(page.stream) if image.format == "PNG" else None
    each = 3 * plain.shape[2] if plain else BYTES.get(image.mode, 4)
    kept = PROGRESSIVE * own * ("progressive" in image.info)
    with room_for(each * image.width * image.height + kept):
        if plain:
            yield png.pixels(plain)
        else:
            image.decodermaxblock = BLOCK
            image.load()
            yield image


def to_array(
    image: Image.Image,
    page: Page,
    target_size: tuple[int, int] | None,
    mode: str,
    aspect: str,
    place: np.ndarray | None,
    dtype: str,
) -> np.ndarray:
    """An opened image as an array (height, width, channels), values 0 to 255: `place`, or a new one.

    Args:
        image: opened, not loaded.
        page: what Pillow does not know of it.
        target_size, aspect: see `images.load_image`.
        mode: Pillow's, "L" or "RGB".
        place: where to write it; None with `target_size` None.
        dtype: of a new array.
    """
    deep, own = is_deep(image, page), image.width * image.height
    box = _drafted(image, target_size, orientation(image, page)) if target_size else None
    with decoded(image, page, own) as pixels:
        lies = orientation(image, page)  # notes may follow the pixels
        width, height = page.size or image.size
        if place is None:
            size = (width, height) if lies >= 5 else (height, width)
            place = np.empty((*(target_size or size), len(mode)), dtype)
        upright = place
        place, box = _fitted(place, box or (0, 0, width, height), aspect, lies)
        ready = _is_ready(pixels, deep, mode)
        for top, bottom, first, last, part in _strips((width, height), place.shape[:2], box, ready):
            strip = _converted(_cut(pixels, first, last), page, deep, mode)
            _write(place[top:bottom], resized(strip, (place.shape[1], bottom - top), part))
    return upright


def mask_to_array(
    image: Image.Image, page: Page, target_size: tuple[int, int] | None, aspect: str
) -> tuple[np.ndarray, tuple[int, int]]:
    """An opened file whose pixels are names, as uint8 (height, width, 1), and the file's own (height, width)
    upright. Of the pixels the nearest is taken; arguments as for `to_array`."""
    with decoded(image, page, image.width * image.height) as pixels:
        names = np.asarray(pixels, np.uint8)
        lies = orientation(image, page)  # notes may follow the pixels
        own = np.empty(names.shape[::-1] if lies >= 5 else names.shape, np.uint8)
        LYING.get(lies, lambda array: array)(own)[...] = names
    if target_size is None:
        return own[..., np.newaxis], own.shape
    place = np.empty((*target_size, 1), np.uint8)
    inner, box = _fitted(place, (0, 0, *own.shape[::-1]), aspect, 1)
    near = Image.fromarray(own).resize(inner.shape[1::-1], Image.Resampling.NEAREST, box)
    inner[..., 0] = np.asarray(near)
    return place, own.shape


def _drafted(image: Image.Image, target_size: tuple[int, int], lies: int) -> tuple | None:
    """Lets libjpeg decode at a half, a quarter or an eighth; the box that the picture then fills."""
    if image.format not in ("JPEG", "MPO"):
        return None
    height, width = target_size[::-1] if lies >= 5 else target_size
    draft = image.draft(None, (DRAFT * width, DRAFT * height))
    return draft and draft[1]


def _fitted(place: np.ndarray, box: tuple, aspect: str, lies: int) -> tuple[np.ndarray, tuple]:
    """The part of the upright array that the picture fills, as a view in which it lies as in the file; and
    which box of the file goes there."""
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    if aspect == "pad":
        # Not ImageOps.pad, which lets a very narrow picture vanish.
        sides = (width, height) if lies >= 5 else (height, width)
        scale = min(room / side for room, side in zip(place.shape, sides, strict=False))
        inner = [max(1, round(side * scale)) for side in sides]
        corner = [(room - side) // 2 for room, side in zip(place.shape, inner, strict=False)]
        place[...] = 0
        place = place[corner[0] : corner[0] + inner[0], corner[1] : corner[1] + inner[1]]
    place = LYING.get(lies, lambda array: array)(place)
    if aspect == "crop":
        wanted = place.shape[1] / place.shape[0]
        kept_width, kept_height = min(width, wanted * height), min(height, width / wanted)
        left, top = left + (width - kept_width) / 2, top + (height - kept_height) / 2
        box = left, top, left + kept_width, top + kept_height
    return place, box


def _strips(size: tuple[int, int], shape: tuple[int, int], box: tuple, ready: bool) -> Iterator[tuple]:
    """How to fill an array of `shape` from a box of a picture of `size`: rows top to bottom of the array,
    rows first to last of the picture, and the box of these that goes there. One strip if the picture is
    small, or is resized and needs no conversion."""
    (width, height), (rows, columns) = size, shape
    scale = (box[3] - box[1]) / rows
    same = (columns, rows) == size and box == (0, 0, *size)
    # Rows of the picture that count beyond those of the strip, which is made no smaller than that.
    reach = 0 if same else max(scale, 1) + 1
    at_once = width * height <= STRIP or (ready and not same)
    step = rows if at_once else max(1, int(STRIP / width / scale), math.ceil(reach / scale))
    for top in range(0, rows, step):
        bottom = min(top + step, rows)
        upper, lower = box[1] + top * scale, box[1] + bottom * scale
        first, last = max(0, math.floor(upper - reach)), min(height, math.ceil(lower + reach))
        yield top, bottom, first, last, (box[0], upper - first, box[2], min(lower, last) - first)


def _is_ready(pixels: Image.Image | np.ndarray, deep: bool, mode: str) -> bool:
    """Whether the pixels need no conversion."""
    if isinstance(pixels, np.ndarray):
        return pixels.ndim == 2 or mode == "RGB"
    return pixels.mode in ("L", mode) and not deep and not pixels.has_transparency_data


def _cut(pixels: Image.Image | np.ndarray, first: int, last: int) -> Image.Image | np.ndarray:
    if isinstance(pixels, np.ndarray):
        return pixels[first:last]
    return pixels if (first, last) == (0, pixels.height) else pixels.crop((0, first, pixels.width, last))


def _converted(strip, page: Page, deep: bool, mode: str) -> Image.Image | np.ndarray:
    """Rows of the file in one of the modes that can be resized and written: L, RGB, F."""
    if isinstance(strip, np.ndarray):
        if strip.ndim == 2 or mode == "RGB":
            return strip
        strip = Image.fromarray(strip)
    if deep:
        return _shades(strip, page)
    if strip.mode == "P" and strip.palette is None:
        strip = strip.copy()  # Pillow forgets the palette of some ICNS, and a copy has it
    if strip.has_transparency_data:
        rgba = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
        strip = Image.new("RGB", rgba.size)
        strip.paste(rgba, mask=rgba.getchannel("A"))
    if strip.mode == "LAB":
        strip = strip.convert("RGB")
    return strip if strip.mode in ("L", mode) else strip.convert(mode)


def _shades(strip: Image.Image, page: Page) -> np.ndarray:
    """Grey of more than 8 bits as float32, 0 to 255."""
    values, most = np.asarray(strip), 2**page.bits - 1
    if page.size is not None:
        values = unpacked(values.reshape(len(values), -1, (page.tile * page.bits + 7) // 8), page)
    if page.inverted:
        values = most - values
    shades = values.astype(np.float32)
    unseen = strip.info.get("transparency")
    if isinstance(unseen, int):  # the one grey that a 16-bit PNG calls transparent
        shades[values == unseen] = 0
    # The quotient of 16 bits and the product of fewer are exact enough that the largest value becomes 255.
    return np.divide(shades, 257, out=shades) if page.bits == 16 else shades * np.float32(255) / most


def _write(place: np.ndarray, values: np.ndarray) -> None:
    """Grey goes into every channel; what is no whole number is rounded where whole ones are wanted."""
    if place.dtype == np.uint8 and values.dtype != np.uint8:
        values = values.round()
    place[...] = values[..., np.newaxis] if values.ndim == 2 else values
