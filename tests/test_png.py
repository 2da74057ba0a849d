"""PNG: the fast way gives what Pillow gives, nothing damaged is served, and nothing is said on stderr."""

import io
import os
import struct
import threading
import zlib

import numpy as np
import pytest
from PIL import Image

from course_utils import PeakMeter, png
from course_utils.images import ImageError, load_image, load_mask
from tests.running import fresh, least

RNG = np.random.default_rng(0)
GREY = (np.add.outer(np.arange(90), np.arange(70)) % 200 + RNG.integers(0, 50, (90, 70))).astype(np.uint8)
RGB = np.dstack([GREY, GREY[::-1], 255 - GREY])


def saved(array_or_image, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    return file.getvalue()


def chunk(name, body=b""):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def by_hand(rows, width, height, color=0, *, bits=8, interlace=0, pieces=1, more=b"", end=True, packed=None):
    """A PNG of filtered rows, its pixels in so many IDAT chunks; every checksum is right."""
    packed = zlib.compress(rows) if packed is None else packed
    cuts = np.linspace(0, len(packed), pieces + 1).astype(int)
    data = b"".join(chunk(b"IDAT", packed[a:b]) for a, b in zip(cuts, cuts[1:], strict=False))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, interlace))
    return png.SIGNATURE + head + more + data + (chunk(b"IEND") if end else b"")


def filtered(pixels, kind):
    """Rows as PNG filters them (www.w3.org/TR/png, 9.2), all by the same filter."""
    height, step = len(pixels), pixels.size // (pixels.shape[0] * pixels.shape[1])
    flat = np.pad(pixels.reshape(height, -1).astype(int), ((1, 0), (step, 0)))
    here, left, above, corner = flat[1:, step:], flat[1:, :-step], flat[:-1, step:], flat[:-1, :-step]
    guess = left + above - corner
    near = np.abs([guess - left, guess - above, guess - corner])
    paeth = np.choose(near.argmin(0), [left, above, corner])  # the first of equals, as the standard wants
    from_it = [0, left, above, (left + above) // 2, paeth][kind]
    rows = np.insert(((here - from_it) % 256).astype(np.uint8), 0, kind, axis=1)
    return rows.tobytes()


def is_plain(data):
    return png.checked(io.BytesIO(data)) is not None


@pytest.fixture(params=["isal", "zlib"])
def inflater(request, monkeypatch):
    """Both: where ISA-L is missing, as on Colab, Python's own does it."""
    if request.param == "zlib":
        monkeypatch.setattr(png, "zlib", zlib)
    return request.param


# ---------------------------------------------------------------- the same pixels


@pytest.mark.parametrize(
    "pixels", [GREY, RGB, GREY[:1, :1], GREY[:1], GREY[:, :1], RGB[:, :1]], ids=str.__class__
)
def test_the_pixels_are_pillows(inflater, pixels):
    color = 2 if pixels.ndim == 3 else 0
    for kind in range(5):
        for pieces in (1, 3, 40):
            rows = filtered(np.ascontiguousarray(pixels), kind)
            data = by_hand(rows, pixels.shape[1], pixels.shape[0], color, pieces=pieces)
            assert is_plain(data)
            np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
            np.testing.assert_array_equal(png.pixels(png.checked(io.BytesIO(data))), pixels)
    for level in (0, 1, 6, 9):
        data = saved(pixels, compress_level=level)
        np.testing.assert_array_equal(png.pixels(png.checked(io.BytesIO(data))), pixels)


def test_rows_longer_than_a_block(inflater):
    wide = RNG.integers(0, 256, (3, 200_000), np.uint8)
    np.testing.assert_array_equal(load_image(saved(wide))[..., 0], wide)


def test_the_way_is_chosen_by_the_head():
    noted = {"exif": Image.Exif()}
    noted["exif"][0x0112] = 6
    transparent = saved(GREY, transparency=3)
    frames = saved(GREY, save_all=True, append_images=[Image.fromarray(GREY[::-1])])
    interlaced = by_hand(filtered(GREY[:1, :1], 0), 1, 1, interlace=1)
    behind = saved(GREY)[:-12] + chunk(b"tEXt", b"Comment\0none") + saved(GREY)[-12:]
    large = by_hand(b"", 5000, 5000)
    long = by_hand(filtered(np.zeros((1, 2_000_000), np.uint8), 0), 2_000_000, 1)
    for data in (saved(GREY), saved(RGB), saved(GREY, **noted), saved(GREY, dpi=(72, 72))):
        assert is_plain(data)
    others = [GREY.astype(np.uint16), np.dstack([RGB, GREY]), Image.fromarray(RGB).quantize(9)]
    others += [Image.fromarray(GREY).convert(mode) for mode in ("1", "LA")]
    for data in (transparent, frames, interlaced, behind, large, long, *map(saved, others)):
        assert not is_plain(data)


def test_what_lies_around_the_pixels_changes_none(capfd):
    """Colour notes, suggested palettes, unknown chunks: OpenCV does not get to see them."""
    notes = [chunk(b"gAMA", struct.pack(">I", 100_000)), chunk(b"sBIT", bytes([5])), chunk(b"npRI", b"own"),
             chunk(b"cHRM", bytes(32)), chunk(b"sRGB", b"\0"), chunk(b"bKGD", bytes([0, 9]))]  # fmt: skip
    data = by_hand(filtered(GREY, 4), 70, 90, more=b"".join(notes), end=False) + chunk(b"IEND") + b"behind"
    assert is_plain(data)
    np.testing.assert_array_equal(load_image(data)[..., 0], GREY)
    assert capfd.readouterr() == ("", "")


def test_the_stream_stays_where_it_was_and_opencv_starts_no_thread():
    stream, before = io.BytesIO(saved(GREY)), threading.active_count()
    stream.seek(41)
    tasks = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
    png.pixels(png.checked(stream))
    assert stream.tell() == 41 and threading.active_count() == before
    if tasks:  # a thread would not survive the fork of Keras' workers
        assert len(os.listdir("/proc/self/task")) <= tasks


# ---------------------------------------------------------------- damage


KINDS = {
    "grey": GREY,
    "rgb": RGB,
    "16 bit": GREY.astype(np.uint16) * 257,
    "rgba": np.dstack([RGB, GREY]),
    "palette": Image.fromarray(RGB).quantize(16),
}


@pytest.mark.parametrize("kind", KINDS)
def test_of_200_with_one_bit_changed_none_is_served_wrong(capfd, kind):
    data, rng = saved(KINDS[kind]), np.random.default_rng(1)
    refused = 0
    for bit in rng.choice(8 * len(data), 200, replace=False):
        broken = bytearray(data)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ImageError):
            load_image(bytes(broken), color_mode="rgb")
        refused += 1
    assert refused == 200 and capfd.readouterr() == ("", "")
    np.testing.assert_array_equal(load_image(data), load_image(data))


def test_a_mask_with_one_bit_changed_is_refused():
    data = saved((GREY > 100).astype(np.uint8))
    for at in range(8 * 41, 8 * len(data), 53):
        broken = bytearray(data)
        broken[at // 8] ^= 1 << at % 8
        with pytest.raises(ImageError):
            load_mask(bytes(broken))


def test_damage_that_the_chunks_checksums_do_not_tell(inflater, capfd):
    """Written so by a program, or by somebody who means it."""
    rows = filtered(GREY, 1)
    packed = zlib.compress(rows)
    swapped = bytearray(packed)
    swapped[len(packed) // 2] ^= 4
    bad_filter = bytearray(rows)
    bad_filter[71 * 5] = 7
    for said, broken in {
        "cut short: 3,000 of 6,390 bytes": by_hand(rows[:3000], 70, 90),
        "filtered in a way that PNG does not have": by_hand(bytes(bad_filter), 70, 90),
        "not a readable image": by_hand(b"", 70, 90, packed=bytes(swapped)),
        "not a readable image (": by_hand(b"", 70, 90, packed=packed[:-4] + bytes(4)),  # their own checksum
        "cut short: 0 of": by_hand(b"", 70, 90, packed=b""),
        "chunk 'IDAT' is damaged or cut short": by_hand(rows, 70, 90)[:-30],
    }.items():
        assert said.startswith("chunk") or is_plain(broken)
        with pytest.raises(ImageError) as error:
            load_image(broken)
        assert said in str(error.value)
    two = by_hand(rows, 70, 90, more=chunk(b"IHDR", struct.pack(">IIBBBBB", 70, 50, 8, 0, 0, 0, 0)))
    with pytest.raises(ImageError):
        load_mask(two)
    padded = by_hand(rows, 70, 90, end=False) + bytes(20)
    with pytest.raises(ImageError) as error:
        load_image(padded)
    assert str(error.value).isprintable()
    assert capfd.readouterr() == ("", "")
    # More than the picture needs, and an end without an end, were always served.
    np.testing.assert_array_equal(load_image(by_hand(rows + b"more", 70, 90))[..., 0], GREY)
    np.testing.assert_array_equal(load_image(by_hand(rows, 70, 90, end=False))[..., 0], GREY)


def growth_of(data):
    load_image(saved(GREY))
    with PeakMeter(interval=0.002) as meter:
        try:
            load_image(data)
        except ImageError:
            pass
    return meter.growth


def bomb():
    """Half a megabyte that inflates to half a gigabyte, in the place of 90 rows."""
    return by_hand(b"", 70, 90, packed=zlib.compress(bytes(2**29)))


def far_end(path):
    """A picture, and behind its end a gigabyte of nothing; then one whose chunk claims two."""
    path.write_bytes(saved(GREY))
    os.truncate(path, 2**30)
    liar = path.with_name("liar.png")
    liar.write_bytes(saved(GREY)[:33] + struct.pack(">I", 2**31 - 1) + b"IDAT" + bytes(99))
    return path, liar


@pytest.mark.measured
def test_neither_a_bomb_nor_a_false_length_takes_memory(tmp_path):
    for data in (bomb(), *far_end(tmp_path / "far.png")):
        least(lambda data=data: fresh(growth_of, data), below=30e6)
