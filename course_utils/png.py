"""PNG, strictly: every chunk's checksum is looked at, and plain pictures are decoded at full speed.

A grey radiograph of 1024 x 1024 takes Pillow 8.9 ms (1.9 of them zlib-ng, to inflate it) and OpenCV 7.5 (3.0
of them an old zlib). ISA-L inflates it in 1.2 ms, and OpenCV makes pixels of that in 4.2.
"""

import itertools
import struct
from typing import BinaryIO, NamedTuple

import cv2
import numpy as np

try:
    from isal import isal_zlib as zlib  # the same functions, two and a half times as fast
except ImportError:  # Colab has none
    import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3}  # of the colour types that are plain: grey and RGB
FLAGS = {1: cv2.IMREAD_GRAYSCALE, 3: cv2.IMREAD_COLOR_RGB}
# What is no plain picture any more: transparency, and several frames.
RICHER = {b"tRNS", b"acTL"}
NOTES = {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}
MOST_SIDE = 10**6  # OpenCV's libpng refuses more, on stderr
# Bytes of pixels. OpenCV has them three times for a moment, Pillow once: 50 MB are what full speed may cost.
MOST_BYTES = 2**24
PIECE = 2**20  # bytes read at once, however many a chunk claims
BLOCK = 2**16 - 1  # the most bytes in a block that is not compressed


class Plain(NamedTuple):
    """A picture of 8 bits, grey or RGB, not interlaced, not too large; still compressed."""

    header: bytes  # the body of IHDR
    packed: list[bytes]  # what the IDAT chunks hold

    @property
    def shape(self) -> tuple[int, int, int]:
        width, height = struct.unpack_from(">II", self.header)
        return height, width, CHANNELS[self.header[9]]


def checked(stream: BinaryIO) -> Plain | None:
    """The plain picture in a PNG; None for any other PNG, which Pillow may then decode.

    Where the stream is does not change.

    Raises:
        ValueError: a chunk is cut short, or its checksum is wrong. Pillow stops before the last.

    Example:
        >>> with open("chest.png", "rb") as stream:
        ...     checked(stream).shape
        (64, 64, 1)
    """
    here = stream.tell()
    stream.seek(len(SIGNATURE))
    header, packed, kept, plain, behind, name = b"", [], 0, False, False, b""
    while name != b"IEND" and len(head := stream.read(8)) == 8:
        name, left = bytes(head[4:]), int.from_bytes(head[:4], "big")
        behind = behind or name == b"IDAT"
        if name in RICHER or (name in NOTES and behind):  # notes behind the pixels are left to Pillow
            plain = False
        checksum = zlib.crc32(name)
        while left and (piece := stream.read(min(left, PIECE))):
            left -= len(piece)
            checksum = zlib.crc32(piece, checksum)
            if name == b"IHDR":
                if header:
                    raise ValueError("it has two heads")
                header, plain = bytes(piece), _is_plain(piece)
            elif name == b"IDAT" and plain and kept < 2 * MOST_BYTES:  # no picture needs more
                packed.append(piece)
                kept += len(piece)
        if left or stream.read(4) != checksum.to_bytes(4, "big"):
            raise ValueError(f"its chunk {str(name)[1:]} is damaged or cut short")
    stream.seek(here)
    return Plain(header, packed) if plain else None


def _is_plain(header: bytes) -> bool:
    if len(header) != 13:
        return False
    width, height, bits, color, *methods = struct.unpack(">IIBBBBB", header)
    fits = width * height * CHANNELS.get(color, 0) in range(1, MOST_BYTES) and max(width, height) <= MOST_SIDE
    return fits and bits == 8 and methods == [0, 0, 0]


def pixels(picture: Plain) -> np.ndarray:
    """The pixels of a plain picture, which is used up: its bytes are let go as soon as they are inflated.

    Returns:
        New uint8 array, (height, width) of a grey picture, (height, width, 3) of one in RGB.

    Raises:
        ValueError, zlib.error, isal.isal_zlib.error: they are fewer than the header says, damaged, or not
            what their own checksum says. OpenCV's libpng would write that to stderr; it gets nothing that it
            could complain of.
        MemoryError: there is too little.

    Example:
        >>> with open("chest.png", "rb") as stream:
        ...     pixels(checked(stream)).shape
        (64, 64)
    """
    height, width, channels = picture.shape
    row = 1 + width * channels
    packed = b"".join(picture.packed)
    picture.packed.clear()
    raw = _inflated(packed, height * row)
    del packed
    if np.frombuffer(raw, np.uint8)[::row].max() > 4:
        raise ValueError("its rows are filtered in a way that PNG does not have")
    stored = np.frombuffer(_stored(picture.header, raw), np.uint8)
    del raw
    found = cv2.imdecode(stored, FLAGS[channels])
    if found is None:  # all the rest was looked at
        raise MemoryError(f"OpenCV could not decode a PNG of {width} x {height} pixels")
    return found


def _inflated(packed: bytes, size: int) -> bytes:
    """So many bytes and no more: a few kilobytes can hold gigabytes."""
    inflater = zlib.decompressobj()
    raw = inflater.decompress(packed, size)
    if len(raw) < size:
        raise ValueError(f"its pixels are cut short: {len(raw):,} of {size:,} bytes")
    if not inflater.eof:
        inflater.decompress(inflater.unconsumed_tail, 1)  # the checksum stands behind them
    return raw


def _stored(header: bytes, raw: bytes) -> bytes:
    """The same picture as a PNG that is not compressed: blocks as they are, see RFC 1951, 3.2.4."""
    body, view = [b"\x78\x01"], memoryview(raw)
    for at in range(0, len(raw), BLOCK):
        block = view[at : at + BLOCK]
        body += [struct.pack("<BHH", at + BLOCK >= len(raw), len(block), len(block) ^ BLOCK), block]
    body.append(zlib.adler32(raw).to_bytes(4, "big"))
    chunks = _chunk(b"IHDR", header), _chunk(b"IDAT", *body), _chunk(b"IEND")
    return b"".join([SIGNATURE, *itertools.chain(*chunks)])  # copied once: 0.1 ms of 1024 x 1024, zlib 1.5


def _chunk(name: bytes, *parts: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
    checksum = zlib.crc32(name)
    for part in parts:
        checksum = zlib.crc32(part, checksum)
    return sum(map(len, parts)).to_bytes(4, "big"), name, *parts, checksum.to_bytes(4, "big")
