"""What Pillow does not tell of a file, or tells wrongly, read from its bytes: above all of a TIFF."""

import contextlib
import struct
import zlib
from typing import Any, BinaryIO, NamedTuple

import numpy as np

ORIENTATION = 0x0112
# Of a TIFF page Pillow gets to see only what says how its pixels lie: one wrong tag elsewhere stops it.
LAYOUT = {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332,
          338, 339, 347, *range(512, 522), 529, 530, 531, 532}  # fmt: skip
WHOLE = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}  # numbers' types
BANDS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3}  # photometric interpretation: bands without extra ones
UNRANGED = {2: "signed {}-bit", 3: "{}-bit float", 5: "complex {}-bit", 6: "complex {}-bit"}
KEPT = LAYOUT | {254, 255, ORIENTATION}
MOST_TAGS, MOST_PAGES = 2**12, 2**6  # of a directory, of a file: far above any that we met
MOST_IN_A_TILE = 2**26  # pixels, which are allotted whole however small the picture is
EXACT = {1, 5, 8, 32773, 32946, 34925, 50000}  # compressions that give back the bytes, whatever they are


class PageError(ValueError):
    """A page whose pixels cannot be brought to 0 to 255; the message says why."""


class Page(NamedTuple):
    """The page of a file that Pillow is given, and what Pillow does not know of it."""

    stream: Any
    formats: list[str] | None = None
    plain: bool = False  # Pillow may well read the file as it is
    orientation: int | None = None  # as a TIFF says; None: look into the EXIF
    bits: int = 16  # of a deep sample
    inverted: bool = False  # a deep sample's 0 is white
    size: tuple[int, int] | None = None  # (width, height), where Pillow takes packed samples for bytes
    tile: int = 0  # samples of such a row that end on a whole byte


class _Patched:
    """A binary file with other bytes in some places; nothing is copied but what Pillow reads."""

    def __init__(self, stream: BinaryIO, patches: dict[int, bytes]):
        self.stream, self.patches = stream, patches
        self.seek, self.tell = stream.seek, stream.tell

    def __repr__(self) -> str:
        return repr(self.stream)

    def read(self, size: int = -1) -> bytes:
        start = self.tell()
        data = bytearray(self.stream.read(size))
        for at, patch in self.patches.items():
            low, high = max(at, start), min(at + len(patch), start + len(data))
            if low < high:
                data[low - start : high - start] = patch[low - at : high - at]
        return bytes(data)


class Directory:
    """One page of a TIFF, or EXIF, which is built alike; a broken entry spoils no other."""

    def __init__(self, stream: BinaryIO, at: int | None = None):
        stream.seek(0)
        head = stream.read(8)
        self.stream, self.order, self.big = stream, {b"II": "<", b"MM": ">"}[head[:2]], 43 in head[2:4]
        self.word, self.entry = self.order + "IQ"[self.big], self.order + ("HHI4s", "HHQ8s")[self.big]
        self.start = (4, 8)[self.big]
        self.at = self._number(self.word, self.start) if at is None else at
        size = struct.calcsize(self.entry)
        count = self._number(self.order + "HQ"[self.big], self.at)
        raw = stream.read(min(count, MOST_TAGS) * size)
        found = struct.iter_unpack(self.entry, raw[: len(raw) // size * size])
        self.entries = {tag: entry for tag, *entry in found if tag in KEPT}
        after = stream.read(struct.calcsize(self.word))
        whole = count <= MOST_TAGS and len(after) == struct.calcsize(self.word)
        self.next = struct.unpack(self.word, after)[0] if whole else 0

    def _number(self, code: str, at: int) -> int:
        self.stream.seek(at)
        return struct.unpack(code, self.stream.read(struct.calcsize(code)))[0]

    def numbers(self, tag: int) -> tuple[int, ...]:
        """A tag's whole numbers, of whatever width; none if it is missing or holds something else."""
        kind, count, value = self.entries.get(tag, (0, 0, b""))
        size = struct.calcsize(code := f"{self.order}{min(count, 2**12)}{WHOLE.get(kind, 'x')}")
        if size > len(value):
            self.stream.seek(struct.unpack(self.word, value)[0])
            value = self.stream.read(size)
        return struct.unpack(code, value[:size]) if size <= len(value) else ()

    def first(self, tag: int, default: int) -> int:
        return (*self.numbers(tag), default)[0]

    def patches(self, changes: dict[int, int]) -> dict[int, bytes]:
        """What makes a TIFF of this page alone, with other numbers for some tags."""
        width, long = struct.calcsize(self.word), self.order + "I"
        kept = {tag: entry for tag, entry in self.entries.items() if tag in LAYOUT}
        for tag in changes.keys() & kept.keys():
            kept[tag] = 4, 1, struct.pack(long, changes[tag]).ljust(width, b"\0")
        body = b"".join(struct.pack(self.entry, tag, *kept[tag]) for tag in sorted(kept))
        body = struct.pack(self.order + "HQ"[self.big], len(kept)) + body + bytes(width)
        return {self.start: struct.pack(self.word, self.at), self.at: body}


def page_of(stream: BinaryIO) -> Page:
    """The page to read: of a TIFF the first full one."""
    head = stream.read(4)
    stream.seek(0)
    if head[:2] not in (b"II", b"MM") or head[2:].strip(b"\0") not in (b"*", b"+"):
        return Page(stream)
    first = Directory(stream)
    page = _full_page(first)
    bits, photometric = max(page.numbers(258), default=1), page.first(262, 0)
    _check_samples(page, bits, photometric)
    facts = {"orientation": page.first(ORIENTATION, 0) or None, "bits": bits}
    changes, inverted = {}, photometric == 0 and bits > 8
    if inverted:
        changes[262] = 1  # Pillow turns 8 bits over, and more not always: none, then, but we
    if 8 < bits < 16:
        # Pillow reads the bytes, as if each were a pixel, and so undoes any compression and tiling.
        width, height = page.first(256, 0), page.first(257, 0)
        tile = page.first(322, width)
        octets = (tile * bits + 7) // 8
        changes |= {256: -(-width // tile) * octets, 258: 8, 322: octets}
        facts |= {"size": (width, height), "tile": tile}
    # Pillow would turn a page by itself, unless another tag is broken: then it leaves it, without a word.
    plain = page is first and not changes and page.first(ORIENTATION, 1) == 1
    return Page(_Patched(stream, page.patches(changes)), ["TIFF"], plain, inverted=inverted, **facts)


def _full_page(page: Directory) -> Directory:
    """The first page from this one on that calls itself neither thumbnail nor mask; if none, the largest."""
    seen, best = set(), page
    while page.first(254, 0) & 0b101 or page.first(255, 0) == 2:
        seen.add(page.at)
        best = max(best, page, key=_size_of)
        if page.next == 0 or page.next in seen or len(seen) == MOST_PAGES:
            break
        try:
            page = Directory(page.stream, page.next)
        except (struct.error, ValueError, OverflowError):  # the chain is broken
            break
        if 256 not in page.entries:  # nor is this a page
            break
    else:
        return page
    return best


def _size_of(page: Directory) -> tuple[bool, int]:
    """By which pages compare: a mask is less than any picture."""
    return not page.first(254, 0) & 4, page.first(256, 0) * page.first(257, 0)


def _check_samples(page: Directory, bits: int, photometric: int) -> None:
    """Raises PageError for pixels that cannot be brought to 0 to 255."""
    bands = page.first(277, 1)
    extra = bands - BANDS.get(photometric, bands)
    # 999 is Corel's transparency. OpenCV writes RGBA and does not say what the fourth band is.
    clear = extra == 1 and (page.first(338, 0) in (1, 2, 999) or (bands == 4 and 338 not in page.entries))
    if extra > 0 and not clear:
        raise PageError(
            f"the file has {bands} bands, more than grey or colours and transparency; for such files write "
            "a source (course_utils.Source)"
        )
    if page.first(322, 0) * page.first(323, 0) > MOST_IN_A_TILE:
        raise PageError(f"tiles of {page.first(322, 0)} x {page.first(323, 0)} pixels")
    unranged = [UNRANGED[kind] for kind in page.numbers(339) if kind in UNRANGED]
    if unranged or bits >= 32:
        raise no_range((unranged or ["unsigned {}-bit"])[0].format(bits))
    packed = bands == 1 and photometric in (0, 1) and page.first(259, 1) in EXACT and page.first(317, 1) == 1
    if bits not in (1, 2, 4, 8, 16) and not (packed and 8 < bits < 16):
        raise PageError(f"{bits} bits a sample; save it as 8 or 16 bit")


def no_range(what: str) -> PageError:
    return PageError(f"{what} pixels have no stated range; save it as 8-bit or unsigned 16-bit first")


def unpacked(rows: np.ndarray, page: Page) -> np.ndarray:
    """Samples of 9 to 15 bits from bytes (rows, tiles, bytes), first bit first."""
    first = np.arange(page.tile) * page.bits
    rows = np.pad(rows, ((0, 0), (0, 0), (0, 2))).astype(np.uint32)
    at = first // 8
    wide = rows[..., at] << 16 | rows[..., at + 1] << 8 | rows[..., at + 2]
    values = wide >> (24 - page.bits - first % 8).astype(np.uint32) & (2**page.bits - 1)
    return values.astype(np.uint16).reshape(len(rows), -1)[:, : page.size[0]]


def notes_follow(stream: BinaryIO) -> bool:
    """Whether a PNG has notes behind its pixels."""
    here, at, pixels, follow = stream.tell(), 8, False, False
    while not follow:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        pixels = pixels or head[4:] == b"IDAT"
        follow = pixels and head[4:] in (b"eXIf", b"iTXt", b"tEXt", b"zTXt")
        at += 12 + int.from_bytes(head[:4], "big")
    stream.seek(here)
    return follow


def is_irreversible(data: bytes) -> bool:
    """Whether JPEG 2000 was transformed by the 9-7 wavelet, as COD or COC in its head say (5-3 is exact)."""
    at = data.find(b"\xff\x4f\xff\x51") + 2  # also inside of a .jp2
    while at + 14 <= len(data) and data[at : at + 2] != b"\xff\x93":
        marker, length = struct.unpack_from(">HH", data, at)
        if (marker == 0xFF52 and data[at + 13] == 0) or (marker == 0xFF53 and data[at + 10] == 0):
            return True
        at += 2 + length
    return False


def kind_of(stream: BinaryIO, name: str) -> str:
    """What a file is that Pillow does not know, and what to convert it with; "" if we do not know either."""
    stream.seek(0)
    head = stream.read(4096)
    brand = head[8:12] if head[4:8] == b"ftyp" else b""
    if head[128:132] == b"DICM":
        return "a DICOM file, no picture to Pillow; convert it with pydicom"
    if brand in (b"avif", b"avis"):
        return "an AVIF picture, which Pillow cannot open; convert it with pillow-heif or pillow-avif-plugin"
    if brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"):
        return "a HEIC or HEIF picture, which Pillow cannot open; convert it with pillow-heif"
    with contextlib.suppress(zlib.error):
        head = zlib.decompressobj(31).decompress(head, 352) if head[:2] == b"\x1f\x8b" else head
    magic = head[344:348] in (b"n+1\0", b"ni1\0") or head[4:8] in (b"n+2\0", b"ni2\0")
    if magic or name.lower().endswith((".nii", ".nii.gz")):
        return "a NIfTI file, no picture to Pillow; convert it with nibabel"
    return ""
