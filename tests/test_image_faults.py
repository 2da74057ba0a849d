"""Files that are legal and rude, as they come from scanners, satellites, clinics and network drives."""

import builtins
import contextlib
import errno
import gzip
import io
import os
import pickle
import struct
import warnings
import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFile

from course_utils import PeakMeter
from course_utils.images import ImageError, image_size, load_image, load_mask
from course_utils.sources import FileSource, MaskSource
from tests.running import fresh, least

GREY = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (32, 1))
MASK = np.zeros((32, 64), np.uint8)
MASK[8:24, 8:32] = 255


def tiff(*pages, order="<"):
    """A TIFF by hand; a page is its bytes and its tags (number: (type, values))."""
    size, code = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}, {1: "B", 3: "H", 4: "I"}
    body, link = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4)), 4
    for pixels, tags in pages:
        tags = {273: (4, (len(body),)), 279: (4, (len(pixels),))} | tags
        tags = {tag: value for tag, value in tags.items() if value}
        body += pixels + bytes(len(pixels) % 2)
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            raw = (
                values
                if isinstance(values, bytes)
                else struct.pack(f"{order}{len(values)}{code[kind]}", *values)
            )
            if len(raw) > 4:
                raw, far = struct.pack(order + "I", len(body)), raw
                body += far + bytes(len(far) % 2)
            count = len(values) // size[kind] if isinstance(values, bytes) else len(values)
            entries += struct.pack(order + "HHI", tag, kind, count) + raw.ljust(4, b"\0")
        body[link : link + 4] = struct.pack(order + "I", len(body))
        body += struct.pack(order + "H", len(tags)) + entries
        link = len(body)
        body += bytes(4)
    return bytes(body)


def tags(width, height, bits=8, photometric=1, **more):
    several = bits if isinstance(bits, tuple) else (bits,)
    return {
        256: (4, (width,)), 257: (4, (height,)), 258: (3, several), 259: (3, (1,)), 262: (3, (photometric,)),
        277: (3, (len(several),)), 278: (4, (height,)),
    } | {int(tag[1:]): value for tag, value in more.items()}  # fmt: skip


def packed(values, bits):
    """Rows of samples of so many bits, first bit first, each row ending on a whole byte."""
    ones = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(ones.astype(np.uint8).reshape(len(values), -1), axis=1).tobytes()


def saved(path, data):
    path.write_bytes(data) if isinstance(data, bytes) else Image.fromarray(data).save(path)
    return path


def refused(load, file, said):
    with pytest.raises(ImageError, match=said) as error:
        load(file)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    return error.value


# Depth


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("deflated", [False, True])
def test_grey_tiff_of_any_depth_goes_from_0_to_255(order, bits, photometric, deflated):
    most = 2**bits - 1
    values = np.array([[0, 1, most // 3, most - 1, most], [most, 5, 4, 3, 0]])
    layout = order + ("u2" if bits == 16 else "u1")
    pixels = values.astype(layout).tobytes() if bits in (8, 16) else packed(values, bits)
    if deflated:
        pixels = zlib.compress(pixels)
    more = {"_259": (3, (8,))} if deflated else {}
    expected = (values if photometric else most - values) * 255.0 / most
    for turn, wanted in ((1, expected), (6, np.rot90(expected, -1))):
        layout = tags(5, 2, bits, photometric, _274=(3, (turn,)), **more)
        data = tiff((pixels, layout), order=order)
        found = load_image(data)
        np.testing.assert_allclose(found[..., 0], wanted, rtol=1e-6)
        assert found.max() == 255 and image_size(data) == wanted.shape
    if bits > 8:
        refused(load_mask, data, "8-bit number a pixel")


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_packed_samples_in_tiles(bits):
    values = np.random.default_rng(0).integers(0, 2**bits, (16, 40))
    tiles = [packed(np.pad(values, ((0, 0), (0, 8)))[:, at : at + 16], bits) for at in (0, 16, 32)]
    at, octets = [8 + n * len(tiles[0]) for n in range(3)], [len(tiles[0])] * 3
    layout = tags(40, 16, bits, _322=(3, (16,)), _323=(3, (16,)), _324=(4, at), _325=(4, octets))
    data = tiff((b"".join(tiles), layout | {273: None, 279: None, 278: None}))
    np.testing.assert_allclose(load_image(data)[..., 0], values * 255.0 / (2**bits - 1), rtol=1e-6)


def test_samples_that_cannot_be_unpacked_are_named():
    refused(
        load_image, tiff((bytes(99), tags(4, 2, (12, 12, 12), 2))), "12 bits a sample; save it as 8 or 16 bit"
    )
    refused(load_image, tiff((bytes(99), tags(4, 2, 10, _317=(3, (2,))))), "10 bits a sample; save it as")
    refused(load_image, tiff((bytes(99), tags(4, 2, 24))), "24 bits a sample")
    refused(
        load_image, tiff((bytes(9), tags(4, 2, 10, _273=(4, (10**6,))))), "not a readable image"
    )  # cut short


@pytest.mark.parametrize(
    "bits, kind, said",
    [
        (8, 2, "signed 8-bit"),
        (16, 2, "signed 16-bit"),
        (32, 2, "signed 32-bit"),
        (32, 1, "unsigned 32-bit"),
        (16, 3, "16-bit float"),
        (32, 3, "32-bit float"),
        (64, 3, "64-bit float"),
    ],
)
def test_numbers_without_a_range_are_called_what_they_are(bits, kind, said):
    data = tiff((bytes(bits), tags(4, 2, bits, _339=(3, (kind,)))))
    for load in (load_image, load_mask, image_size):
        refused(
            load, data, f": {said} pixels have no stated range; save it as 8-bit or unsigned 16-bit first"
        )


# Pages and bands


@pytest.mark.parametrize("mark", [{"_254": (4, (1,))}, {"_254": (4, (4,))}, {"_255": (3, (2,))}])
def test_the_first_full_page_is_read(mark):
    small, full = (bytes([9] * 32), tags(8, 4, **mark)), (GREY.tobytes(), tags(64, 32))
    odd = (bytes(9), tags(4, 2, 5, **mark))  # which nobody could read
    for pages in ((small, full), (odd, small, full), (full, small)):
        assert image_size(tiff(*pages)) == (32, 64)
        np.testing.assert_array_equal(load_image(tiff(*pages))[..., 0], GREY)
        np.testing.assert_array_equal(load_mask(tiff(*pages))[..., 0], GREY)
    assert load_image(tiff(small, small)).shape == (4, 8, 1)  # no page is full
    large = GREY.tobytes(), tags(64, 32, **mark)
    np.testing.assert_array_equal(load_image(tiff(small, large, small))[..., 0], GREY)
    with pytest.raises(ImageError, match="64 x 32 pixels, more than the 100 that max_pixels allows"):
        load_image(tiff(small, full), max_pixels=100)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_chain_of_pages_that_is_broken_or_has_no_end():
    data = bytearray(tiff((bytes([9] * 32), tags(8, 4, _254=(4, (1,))))))
    for link in (struct.unpack("<I", data[4:8])[0], len(data) - 2, 2**32 - 1):
        data[-4:] = struct.pack("<I", link)
        assert load_image(bytes(data)).shape == (4, 8, 1)


@pytest.mark.parametrize(
    "bits, photometric, extra, bands",
    [
        ((8, 8), 1, (0,), 2),
        ((8,) * 4, 2, (0,), 4),
        ((8,) * 5, 2, (2, 0), 5),
        ((16,) * 4, 2, (0,), 4),
        ((8,) * 2, 3, (0,), 2),
        ((8,) * 5, 5, (0,), 5),
        ((16,) * 13, 1, (0,) * 12, 13),
    ],
)
@pytest.mark.parametrize("planar", [1, 2])
def test_more_bands_than_a_picture_has(bits, photometric, extra, bands, planar):
    more = {"_338": (3, extra)} if extra else {}
    data = tiff((bytes(999), tags(4, 2, bits, photometric, _284=(3, (planar,)), **more)))
    for load in (load_image, load_mask, image_size):
        refused(load, data, rf"the file has {bands} bands.*source \(course_utils\.Source\)")


@pytest.mark.parametrize("extra", [1, 2])
def test_real_transparency_is_no_extra_band(extra):
    pixels = bytes([200, 200, 200, 255] * 4 + [0 if extra == 1 else 200] * 3 + [0])
    found = load_image(tiff((pixels, tags(5, 1, (8,) * 4, 2, _338=(3, (extra,))))))[..., 0]
    assert found.tolist() == [[200, 200, 200, 200, 0]]
    grey = load_image(tiff((bytes([200, 255, 0, 0]), tags(2, 1, (8, 8), 1, _338=(3, (extra,))))))
    assert grey.ravel().tolist() == [200, 0]


@pytest.mark.parametrize("color_mode", ["grayscale", "rgb"])
def test_cielab(tmp_path, color_mode):
    Image.new("LAB", (8, 8), (128, 128, 128)).save(tmp_path / "lab.tif")
    assert np.unique(load_image(tmp_path / "lab.tif", color_mode=color_mode)).tolist() == [119]


@pytest.mark.parametrize("mode", ["La", "LA", "PA", "RGBa", "RGBX", "HSV", "CMYK", "YCbCr", "LAB", "I;16B"])
@pytest.mark.parametrize("color_mode", ["grayscale", "rgb"])
def test_every_mode_that_pillow_opens_is_served(monkeypatch, mode, color_mode):
    monkeypatch.setattr(Image, "open", lambda *_, **__: Image.new(mode, (3, 2)))
    assert load_image(b"whatever", color_mode=color_mode).shape == (
        2,
        3,
        1 if color_mode == "grayscale" else 3,
    )


# Notes


def exif(*entries, order="<"):
    """EXIF of raw entries (tag, type, count, four bytes)."""
    body = b"".join(struct.pack(order + "HHI4s", *entry) for entry in entries)
    head = b"II*\0\x08\0\0\0" if order == "<" else b"MM\0*\0\0\0\x08"
    return head + struct.pack(order + "H", len(entries)) + body + bytes(4)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_exif(kind, note):
    """GREY in a file that holds this EXIF."""
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    data = file.getvalue()
    if kind == "JPEG":
        note = b"Exif\0\0" + note
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:]
    if kind == "PNG":
        return data[:33] + chunk(b"eXIf", note) + data[33:]
    size = struct.pack("<I", 63)[:3] + struct.pack("<I", 31)[:3]
    body = b"VP8X" + struct.pack("<II", 10, 8) + size + data[12:]
    body += b"EXIF" + struct.pack("<I", len(note)) + note + bytes(len(note) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


ODD = (0x010E, 0x0111, 0x011A, 0x011B, 0x0128, 0x0132, 0x0201, 0x8769, 0x8825, 0x9286, 0x927C, 0xA005, 0xC4A5)


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, at opening
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_broken_exif_beside_the_orientation_is_ignored(kind):
    for tag in ODD:
        for type_ in (*range(15), 99):
            for count, value in ((1, b"\x2a\0\0\0"), (3, b"72\0\0"), (2**31, b"\xff\xff\xff\x7f")):
                note = exif((0x0112, 3, 1, b"\6\0\0\0"), (tag, type_, count, value))
                assert image_size(with_exif(kind, note)) == (64, 32), (tag, type_, count)
    np.testing.assert_allclose(load_image(with_exif(kind, note))[..., 0], np.rot90(GREY, -1), atol=3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_pixels_come_whatever_the_exif_is(kind):
    good = exif((0x0112, 3, 1, b"\6\0\0\0"))
    for note in (
        b"\xde\xad\xbe\xef",
        b"II",
        good[:9],
        good[:15],
        bytes(40),
        exif(),
        b"II*\0\xff\xff\xff\xff",
    ):
        assert (
            load_image(with_exif(kind, note)).shape == image_size(with_exif(kind, note)) + (1,) == (32, 64, 1)
        )


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("type_, code", [(1, "B"), (3, "H"), (4, "I"), (6, "b"), (8, "h"), (9, "i")])
def test_the_orientation_is_read_of_whatever_width(order, kind, type_, code):
    value = struct.pack(order + code, 6).ljust(4, b"\0")
    data = with_exif(kind, exif((0x0112, type_, 1, value), order=order))
    assert load_image(data).shape[:2] == image_size(data) == (64, 32)
    data = with_exif(kind, exif((0x0112, 2, 2, b"6\0\0\0"), order=order))  # text: not to be read
    assert load_image(data).shape[:2] == image_size(data) == (32, 64)


@pytest.mark.parametrize("order", "<>")
def test_a_tiff_with_broken_notes_is_turned_as_it_says(order):
    for type_ in (1, 3, 4):
        for tag in (270, 282, 283, 296, 305, 306, 315, 700, 33432, 34665, 34675, 34853):
            for odd in ((2, b"72\0"), (4, (2**31,) * 3), (1, bytes(9)), (3, (3,))):
                more = {"_274": (type_, (6,)), f"_{tag}": odd, "_296": (3, (3,))}
                data = tiff((GREY.tobytes(), tags(64, 32, **more)), order=order)
                assert image_size(data) == (64, 32), (type_, tag, odd)
                assert (load_image(data)[..., 0] == np.rot90(GREY, -1)).all(), (type_, tag, odd)


def test_a_png_with_several_notes():
    good, bad = exif((0x0112, 3, 1, b"\6\0\0\0")), b"\xde\xad\xbe\xef"
    data = with_exif("PNG", good)
    turned, upright = (64, 32), (32, 64)
    for first, second, wanted in ((good, bad, upright), (bad, good, turned)):  # Pillow keeps the last
        two = with_exif("PNG", first)
        two = two[: 33 + 12 + len(first)] + chunk(b"eXIf", second) + two[33 + 12 + len(first) :]
        assert load_image(two).shape[:2] == image_size(two) == wanted
    plain = with_exif("PNG", exif())
    behind = plain[:-12] + chunk(b"eXIf", good) + plain[-12:]  # behind the pixels
    assert load_image(behind).shape[:2] == load_mask(behind).shape[:2] == image_size(behind) == turned
    broken = bytearray(data)
    broken[-20] ^= 255  # in the pixels
    refused(load_image, bytes(broken), "not a readable image")


def test_the_head_is_enough_for_the_size(monkeypatch):
    data = [with_exif(kind, exif((0x0112, 3, 1, b"\6\0\0\0"))) for kind in ("JPEG", "PNG", "WEBP")]

    def decode(*_):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", decode)
    assert [image_size(one) for one in data] == [(64, 32)] * 3


# The drive


def test_a_real_trouble_of_the_drive_is_not_blamed_on_the_image():
    memory = Path("/proc/self/mem")
    if not memory.exists():
        pytest.skip("Linux has such a file")
    for load in (load_image, load_mask, image_size):
        error = refused(
            load,
            memory,
            r"^/proc/self/mem: cannot be read \(Input/output error\): the image is not at fault$",
        )
        assert error.__cause__.strerror == "Input/output error"


@pytest.mark.parametrize("code, tries", [("EIO", 3), ("ETIMEDOUT", 3), ("EACCES", 1), ("EMFILE", 1)])
@pytest.mark.parametrize("failures", [1, 2, 3])
def test_what_may_pass_is_tried_again(tmp_path, monkeypatch, code, tries, failures):
    path, left, opened = saved(tmp_path / "g.png", GREY), [failures], builtins.open

    def flaky(file, *arguments, **options):
        if Path(file) == path and left[0]:
            left[0] -= 1
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        return opened(file, *arguments, **options)

    monkeypatch.setattr(builtins, "open", flaky)
    if failures < tries:
        np.testing.assert_array_equal(load_image(path)[..., 0], GREY)
    else:
        refused(load_image, path, r"g\.png: cannot be read \(.+\): the image is not at fault")
    assert left[0] == max(0, failures - tries)


def test_a_file_server_that_forgot_a_file_is_no_missing_file(tmp_path, monkeypatch):
    def stale(*_, **__):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(os, "stat", stale)
    with pytest.raises(ImageError, match="the image is not at fault"):
        load_image(str(tmp_path / "g.png"))


def test_a_stream_is_not_tried_again():
    class Broken(io.BytesIO):
        tries = 0

        def read(self, *_):
            Broken.tries += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    refused(load_image, Broken(b"1"), "^Broken: cannot be read .*: the image is not at fault")
    assert Broken.tries == 1


def test_a_stream_that_cannot_seek(tmp_path):
    for data in (saved(tmp_path / "g.png", GREY).read_bytes(), tiff((GREY.tobytes(), tags(64, 32)))):
        pipe = SimpleNamespace(read=io.BytesIO(data).read)
        np.testing.assert_array_equal(load_image(pipe)[..., 0], GREY)


# Other kinds of files


def test_what_pillow_cannot_open_is_called_by_its_name(tmp_path):
    one, two = bytes(344) + b"n+1\0" + bytes(99), struct.pack("<I", 540) + b"n+2\0" + bytes(600)
    box = b"\0\0\0\x18ftyp"
    kinds = {
        "DICOM.*pydicom": [bytes(128) + b"DICM" + bytes(99)],
        "HEIC.*pillow-heif": [box + b"heic" + bytes(99), box + b"mif1" + bytes(99)],
        "AVIF.*pillow-heif": [box + b"avif" + bytes(99)],
        "NIfTI.*nibabel": [one, two, gzip.compress(one), gzip.compress(two), bytes(344) + b"ni1\0"],
    }
    for said, files in kinds.items():
        for data in files:
            for load in (load_image, load_mask, image_size):
                refused(load, saved(tmp_path / "x.bin", data), rf"x\.bin: .*{said}.*course_utils\.Source")
    for name in ("scan.nii", "scan.NII.GZ"):
        refused(load_image, saved(tmp_path / name, b"\x1f\x8bdamaged"), "NIfTI.*nibabel")
    refused(load_image, saved(tmp_path / "x.gz", b"\x1f\x8bdamaged"), "not a readable image")


def test_a_plugin_that_opens_it_is_used(tmp_path, monkeypatch):
    class Plugin(ImageFile.ImageFile):
        format = "MINE"

        def _open(self):
            self._size, self._mode, self.tile = (2, 1), "L", [("raw", (0, 0, 2, 1), 132, ("L", 0, 1))]

    monkeypatch.setattr(Image, "ID", [*Image.ID, "MINE"])
    monkeypatch.setitem(Image.OPEN, "MINE", (Plugin, lambda head: head == bytes(16)))
    data = bytes(128) + b"DICM" + bytes([5, 7])
    assert load_image(data).ravel().tolist() == [5, 7]


def test_files_cut_short_do_not_pass_when_somebody_allowed_it(tmp_path, monkeypatch):
    path = saved(tmp_path / "g.png", np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.warns(RuntimeWarning, match="LOAD_TRUNCATED_IMAGES was True") as said:
        refused(load_image, path, "not a readable image")
    assert len(said) == 1 and ImageFile.LOAD_TRUNCATED_IMAGES is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(load_image, path, "not a readable image")


# Size


def test_the_bound_can_be_moved(tmp_path):
    path = saved(tmp_path / "g.png", GREY)
    said = "64 x 32 pixels, more than the 2,047 that max_pixels allows"
    for load in (load_image, load_mask, image_size):
        with pytest.raises(ImageError, match=said):
            load(path, max_pixels=2047)
        load(path, max_pixels=2048)
        for wrong in (0, 1.5, True):
            with pytest.raises(ValueError, match="max_pixels must be a whole number of at least 1"):
                load(path, max_pixels=wrong)
    for source in (FileSource, MaskSource):
        with pytest.raises(ImageError, match=said):
            source([path], (8, 8), max_pixels=2047)[0]
        assert source([path], (8, 8), max_pixels=2048)[0].shape == (8, 8, 1)
        with pytest.raises(ValueError, match="max_pixels must be"):
            source([path], (8, 8), max_pixels=0)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["tile.png", "tile.tif"])
def test_a_satellite_tile_has_a_way_in(tmp_path, monkeypatch, name):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000_000)
    path = tmp_path / name
    Image.new("1", (11_000, 11_000), 1).save(
        path, **({} if name == "tile.png" else {"compression": "group4"})
    )
    assert image_size(path, max_pixels=121_000_000) == (11_000, 11_000)
    assert (load_image(path, (8, 8), max_pixels=121_000_000) == 255).all()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50_000_000)
    with pytest.raises(ImageError, match="more than the 1,000 that max_pixels allows"):
        load_image(path, max_pixels=1_000)  # Pillow itself refuses it


# Masks


def test_masks_saved_lossily_are_refused_whatever_they_are_called(tmp_path):
    mask, path = Image.fromarray(MASK).rotate(20), tmp_path / "m.png"
    ways = [
        ("JPEG", {}),
        ("TIFF", {"compression": "jpeg"}),
        ("MPO", {"save_all": True, "append_images": [mask]}),
        ("JPEG2000", {"irreversible": True}),
        ("JPEG2000", {"irreversible": True, "no_jp2": True}),
        ("WEBP", {"quality": 90}),
        ("WEBP", {"quality": 90, "exif": b"Exif\0\0" + exif()}),
        ("AVIF", {}),
    ]
    for kind, options in ways:
        if kind == "AVIF" and kind not in Image.SAVE and not Image.preinit() and kind not in Image.SAVE:
            continue
        mask.save(path, kind, **options)
        refused(load_mask, path, rf"m\.png: .*{kind.replace('MPO', 'JPEG')}.*save masks as PNG")
    for kind, options in (
        ("JPEG2000", {}),
        ("JPEG2000", {"no_jp2": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ):
        mask.save(path, kind, **options)
        np.testing.assert_array_equal(load_mask(path)[..., 0], np.array(mask))
    mask.save(path, "WEBP", lossless=True)  # exact, but Pillow opens it in colour
    refused(load_mask, path, "8-bit number a pixel")


def test_the_size_is_upright(tmp_path):
    for turn in range(1, 9):
        for name in ("t.png", "t.jpg", "t.tif"):
            note = Image.Exif()
            note[0x0112] = turn
            Image.fromarray(GREY).save(tmp_path / name, exif=note)
            size = image_size(tmp_path / name)
            assert size == load_image(tmp_path / name).shape[:2] == ((64, 32) if turn >= 5 else (32, 64))
    refused(image_size, tmp_path / "none.png", "no such file")


def test_a_mask_of_another_shape_than_its_picture(tmp_path):
    note = Image.Exif()
    note[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "p.jpg", exif=note)  # upright 64 x 32
    images = FileSource([tmp_path / "p.jpg"] * 3, (64, 32))
    lying = saved(tmp_path / "lying.png", MASK)
    good = saved(tmp_path / "good.png", np.ascontiguousarray(MASK.T))
    near = saved(tmp_path / "near.png", np.zeros((66, 30), np.uint8))
    masks = MaskSource([lying, good, near], (64, 32), images=images)
    with pytest.raises(ImageError) as error:
        masks[0]
    assert str(error.value) == (
        f"{lying}: the mask is 32 x 64 (height x width), its picture {tmp_path / 'p.jpg'} 64 x 32"
    )
    np.testing.assert_array_equal(masks[1][..., 0], MASK.T)
    assert masks[2].shape == (64, 32, 1)
    far = saved(tmp_path / "far.png", np.zeros((67, 32), np.uint8))
    with pytest.raises(ImageError, match=r"far\.png: the mask is 67 x 32"):
        MaskSource([far] * 3, (64, 32), images=images)[0]
    with pytest.raises(ValueError, match="masks must have one entry an image: 1 for 3"):
        MaskSource([good], (64, 32), images=images)
    with pytest.raises(TypeError, match="images must be a FileSource"):
        MaskSource([good], (64, 32), images=[good])


# ---------------------------------------------------------------- what other programs write


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_rgba_as_opencv_writes_it(tmp_path, dtype):
    scale = np.iinfo(dtype).max // 255
    pixels = np.full((4, 4, 4), (10, 20, 30, 255), dtype) * np.array(scale, dtype)
    cv2.imwrite(str(tmp_path / "a.tif"), pixels)
    np.testing.assert_array_equal(load_image(tmp_path / "a.tif", color_mode="rgb")[0, 0], [30, 20, 10])


def test_exif_that_is_called_so_twice(tmp_path):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=b"Exif\0\0" + exif.tobytes())
    assert load_image(tmp_path / "a.jpg").shape == (64, 32, 1) == (*image_size(tmp_path / "a.jpg"), 1)


def test_a_tiff_whose_xmp_alone_says_how_it_lies(tmp_path):
    note = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    Image.fromarray(GREY).save(tmp_path / "a.tif", tiffinfo={700: note})
    assert load_image(tmp_path / "a.tif").shape == (64, 32, 1) == (*image_size(tmp_path / "a.tif"), 1)


def test_a_long_row_of_12_bits(tmp_path):
    wide = 700_000
    packed = np.full((1, wide * 12 // 8), 255, np.uint8)
    (tmp_path / "a.tif").write_bytes(tiff((packed.tobytes(), tags(wide, 1, 12))))
    image = load_image(tmp_path / "a.tif")
    assert image.shape == (1, wide, 1) and (image == 255).all()


def test_a_stream_whose_seek_returns_nothing(tmp_path):
    class Plain(io.RawIOBase):
        def __init__(self, data):
            self.inner = io.BytesIO(data)

        def read(self, size=-1):
            return self.inner.read(size)

        def seek(self, *where):
            self.inner.seek(*where)

        def tell(self):
            return self.inner.tell()

    Image.fromarray(GREY).save(tmp_path / "a.png")
    assert image_size(Plain((tmp_path / "a.png").read_bytes())) == (32, 64)


# ---------------------------------------------------------------- crafted


def growth_of(path):
    """What the attempt to read it takes."""
    with PeakMeter() as meter, contextlib.suppress(ImageError):
        load_image(path, max_pixels=4096)
    return meter.growth


@pytest.mark.measured
def test_a_long_chain_of_thumbnails_takes_neither_memory_nor_time(tmp_path):
    """Overlapping directories of many tags, each of which names the next."""
    n, count = 300, 4_000
    step = 2 + 12 * count + 4
    body = bytearray(b"II*\0" + struct.pack("<I", 8) + bytes(step + 12 * n + 16))
    shared = b"".join(struct.pack("<HHII", tag, 4, 1, 1) for tag in (254, 256, 257))
    for at in range(8, 8 + 12 * n, 12):
        body[at : at + 2] = struct.pack("<H", count)
        body[at + step - 4 : at + step] = struct.pack("<I", at + 12)
    body[8 + 12 * n : 8 + 12 * n + len(shared)] = shared
    (tmp_path / "chain.tif").write_bytes(bytes(body))
    least(lambda: fresh(growth_of, tmp_path / "chain.tif", imports=("PIL.TiffImagePlugin",)), below=50e6)


def test_a_tile_far_larger_than_its_picture_is_refused(tmp_path):
    huge = tags(16, 16, t322=(4, (32768,)), t323=(4, (32768,)), t324=(4, (8,)), t325=(4, (4,)))
    (tmp_path / "a.tif").write_bytes(tiff((bytes(4), huge)))
    with pytest.raises(ImageError, match="a.tif: tiles of 32768 x 32768 pixels"):
        load_image(tmp_path / "a.tif", max_pixels=4096)


@pytest.mark.measured
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_an_ordinary_tiff_is_read_without_what_follows_it(tmp_path, compression):
    path = tmp_path / "a.tif"
    Image.fromarray(GREY).save(path, compression=compression)
    os.truncate(path, 2**28)
    np.testing.assert_array_equal(load_image(path)[..., 0], GREY)
    least(lambda: fresh(growth_of, path, imports=("PIL.TiffImagePlugin",)), below=50e6)
