"""From an opened file to numbers: what Pillow's plain way gives, in strips, with little memory."""

import io

import numpy as np
import pytest
from PIL import Image

from course_utils import ImageSequence, PeakMeter, decoding
from course_utils.images import load_image, load_image_into
from course_utils.sources import FileSource
from tests.running import fresh, least

H, W = 61, 83
Y, X = np.mgrid[:H, :W]
GRAIN = np.random.default_rng(0).normal(0, 12, (H, W))
GREY = (120 + 70 * np.sin(X / 9) + 40 * np.cos(Y / 5) + GRAIN).clip(0, 255).astype(np.uint8)
RGB = np.dstack([GREY, np.roll(GREY, 7, 1), 255 - GREY])
ALPHA = (X * 255 // W).astype(np.uint8)
DEEP = (GREY.astype(np.uint16) * 257 + np.arange(W, dtype=np.uint16)).clip(0, 65535).astype(np.uint16)
MODES = {
    "1": Image.fromarray(GREY).convert("1"),
    "L": Image.fromarray(GREY),
    "LA": Image.merge("LA", (Image.fromarray(GREY), Image.fromarray(ALPHA))),
    "P": Image.fromarray(RGB).quantize(50),
    "RGB": Image.fromarray(RGB),
    "RGBA": Image.fromarray(np.dstack([RGB, ALPHA])),
    "CMYK": Image.fromarray(RGB).convert("CMYK"),
    "YCbCr": Image.fromarray(RGB).convert("YCbCr"),
    "I;16": Image.fromarray(DEEP),
}
FORMATS = {
    "PNG": {}, "TIFF": {}, "TIFF lzw": {"compression": "tiff_lzw"}, "JPEG": {"quality": 95}, "BMP": {},
    "GIF": {}, "JPEG progressive": {"progressive": True}, "PPM": {}, "WEBP": {"lossless": True},
    "JPEG2000": {}, "TGA": {},
}  # fmt: skip


def encoded(image, kind):
    """A file's bytes; None where the format does not know the mode."""
    file = io.BytesIO()
    try:
        image.save(file, kind.split()[0], **FORMATS[kind])
    except (OSError, KeyError, ValueError):
        return None
    return file.getvalue()


def plainly(data, mode):
    """What Pillow makes of a file, step by step as its documentation has it, without strips."""
    with Image.open(io.BytesIO(data)) as image:
        if image.mode.startswith("I"):
            grey = np.array(image).astype(float) / 257
            return np.repeat(grey[..., np.newaxis], len(mode), -1)
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            image = Image.new("RGB", rgba.size)
            image.paste(rgba, mask=rgba.getchannel("A"))
        array = np.array(image.convert(mode)).astype(float)
        return array[..., np.newaxis] if array.ndim == 2 else array


TABLE = [
    pytest.param(data, id=f"{kind} {mode}")
    for kind in FORMATS
    for mode, image in MODES.items()
    if (data := encoded(image, kind)) is not None
]


def test_the_table_has_every_mode_and_format():
    named = [param.id for param in TABLE]
    assert len(named) >= 50
    assert {name.rsplit(" ", 1)[1] for name in named} == set(MODES)
    assert {name.rsplit(" ", 1)[0] for name in named} == set(FORMATS)


@pytest.mark.parametrize("strip", [None, 200])
@pytest.mark.parametrize("data", TABLE)
def test_every_mode_and_format_at_its_own_size(monkeypatch, data, strip):
    if strip:
        monkeypatch.setattr(decoding, "STRIP", strip)  # two rows at once
    for color_mode, mode in (("grayscale", "L"), ("rgb", "RGB")):
        expected = plainly(data, mode)
        for dtype in ("uint8", "float32"):
            found = load_image(data, color_mode=color_mode, dtype=dtype)
            assert found.shape == expected.shape and found.dtype == dtype
            assert np.abs(found - expected).max() <= (0.5 if dtype == "uint8" else 1e-4)


@pytest.mark.parametrize("aspect", ["stretch", "pad", "crop"])
@pytest.mark.parametrize("data", TABLE)
def test_strips_give_what_the_whole_gives(monkeypatch, data, aspect):
    for size in ((20, 20), (9, 50), (45, 60), (100, 90)):
        whole = load_image(data, size, "rgb", aspect=aspect)
        with monkeypatch.context() as patch:
            patch.setattr(decoding, "STRIP", 500)
            strips = load_image(data, size, "rgb", aspect=aspect)
        assert np.abs(whole - strips).max() <= 1


@pytest.mark.parametrize(
    "height, width", [(1, 300_000), (4, 100_000), (300_000, 1), (3000, 3000), (700, 90_000)]
)
@pytest.mark.parametrize("target", [(224, 224), (1, 1), (8, 500), (2000, 10)])
def test_strips_convert_no_row_many_times(height, width, target):
    width = min(width, 2**26 // height)
    box = (0, 0, width, height)
    strips = list(decoding._strips((width, height), target, box, ready=False))
    assert [top for top, *_ in strips] == [0, *(bottom for _, bottom, *_ in strips[:-1])]
    assert strips[-1][1] == target[0]
    assert sum(last - first for _, _, first, last, _ in strips) <= 4 * height + 4


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("name", ["png", "tif", "jpg", "deep"])
def test_turned_pictures_are_resized_as_upright_ones(turn, name):
    note = Image.Exif()
    note[0x0112] = turn
    image = Image.fromarray(DEEP if name == "deep" else GREY)
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG", "tif": "TIFF"}.get(name, "PNG"), exif=note)
    upright = load_image(file.getvalue())[..., 0]
    for aspect in ("stretch", "pad", "crop"):
        for size in ((30, 30), (24, 40), (14, 13)):
            again = io.BytesIO()
            Image.fromarray(upright.round().astype(np.uint8)).save(again, "PNG")
            wanted = load_image(again.getvalue(), size, aspect=aspect)
            # The two axes are rounded in another order; a JPEG may be decoded smaller.
            near = 3 if name == "jpg" else 1.5
            assert np.abs(load_image(file.getvalue(), size, aspect=aspect) - wanted).max() <= near


# ---------------------------------------------------------------- JPEG


def radiograph(side):
    """Smooth shades, sharp edges and grain."""
    rng, (y, x) = np.random.default_rng(1), np.mgrid[:side, :side]
    body = 110 + 60 * np.sin(x / 90) * np.cos(y / 70) + 40 * ((x - 300) ** 2 + (y - 500) ** 2 < 9000)
    return (body + rng.normal(0, 6, body.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("width, height", [(1024, 1024), (1000, 777), (333, 901)])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_is_decoded_smaller_and_looks_the_same(monkeypatch, width, height, mode):
    image = Image.fromarray(radiograph(1024)).resize((width, height)).convert(mode)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=90)
    for side in (32, 100, 224):
        for aspect in ("stretch", "pad", "crop"):
            found = load_image(file.getvalue(), (side, side), aspect=aspect)
            with monkeypatch.context() as patch:
                patch.setattr(decoding, "DRAFT", 10**6)  # never smaller
                wanted = load_image(file.getvalue(), (side, side), aspect=aspect)
            apart = np.abs(found - wanted)
            assert apart.mean() < 0.6 and (apart > 2).mean() < 0.03
    with Image.open(io.BytesIO(file.getvalue())) as opened:
        box = decoding._drafted(opened, (32, 32), 1)
        assert box[2] < width / 3.9 and min(opened.size) >= 2 * 32


def test_a_jpeg_is_never_decoded_smaller_than_twice_the_target():
    file = io.BytesIO()
    Image.fromarray(radiograph(512)).save(file, "JPEG", quality=95)
    for side, kept in ((512, 512), (256, 512), (129, 512), (128, 256), (65, 256), (64, 128), (1, 64)):
        with Image.open(io.BytesIO(file.getvalue())) as image:
            decoding._drafted(image, (side, side), 1)
            assert image.size == (kept, kept)
    np.testing.assert_array_equal(load_image(file.getvalue()), plainly(file.getvalue(), "L"))


# ---------------------------------------------------------------- straight into the batch


def test_an_image_is_written_into_what_is_there(tmp_path):
    (tmp_path / "g.png").write_bytes(encoded(MODES["RGB"], "PNG"))
    for color_mode, channels in (("grayscale", 1), ("rgb", 3)):
        for dtype in ("uint8", "float32"):
            batch = np.full((3, 20, 24, channels), 7, dtype)
            load_image_into(batch[1], tmp_path / "g.png", color_mode)
            wanted = load_image(tmp_path / "g.png", (20, 24), color_mode, dtype=dtype)
            np.testing.assert_array_equal(batch[1], wanted)
            assert (batch[[0, 2]] == 7).all()
    for wrong in (np.empty((4, 4), np.uint8), np.empty((4, 4), np.uint8), np.empty((0, 4, 1), np.uint8)):
        with pytest.raises(ValueError, match=r"place must be \(height, width, 1\) for grayscale"):
            load_image_into(wrong, tmp_path / "g.png")
    fixed = np.empty((4, 4, 1), np.uint8)
    fixed.flags.writeable = False
    for wrong in (None, [[[0]]], fixed):
        with pytest.raises(TypeError, match="place must be an array that can be written to"):
            load_image_into(wrong, tmp_path / "g.png")
    with pytest.raises(ValueError, match="dtype must be one of"):
        load_image_into(np.empty((4, 4, 1), np.int16), tmp_path / "g.png")
    with pytest.raises(ValueError, match="color_mode must be one of"):
        load_image_into(np.empty((4, 4, 1), np.uint8), tmp_path / "g.png", "bgr")


def test_whoever_changes_what_is_served_is_asked(tmp_path):
    paths = [tmp_path / f"{at}.png" for at in range(3)]
    for path in paths:
        path.write_bytes(encoded(MODES["L"], "PNG"))
    plain = ImageSequence(paths, None, 3, (20, 24))[0][0]

    class Darker(FileSource):
        def __getitem__(self, position):
            return super().__getitem__(position) / 2

    class Inverted(ImageSequence):
        def image_at(self, position, epoch):
            return 255 - super().image_at(position, epoch)

    darker = ImageSequence.from_source(Darker(paths, (20, 24)), None, 3)[0][0]
    np.testing.assert_array_equal(darker, plain / 2)
    np.testing.assert_array_equal(Inverted(paths, None, 3, (20, 24))[0][0], 255 - plain)
    patched = ImageSequence(paths, None, 3, (20, 24))
    patched.image_at = lambda position, epoch: np.full((20, 24, 1), position, np.float32)
    assert patched[0][0][:, 0, 0, 0].tolist() == [0, 1, 2]


# ---------------------------------------------------------------- memory

SIDE = 3000
FILES = {  # and the bytes that a pixel of the file may take; before there were strips 12, 13, 5, 2 and 12 did
    "16 bit": ("PNG", lambda grey: grey.astype(np.uint16) * 257, 4.5),
    "alpha": ("PNG", lambda grey: np.dstack([grey] * 4), 7),
    "jpeg": ("JPEG", lambda grey: np.dstack([grey] * 3), 1.5),
    "grey": ("PNG", lambda grey: grey, 4),
    "tiff": ("TIFF", lambda grey: grey.astype(np.uint16) * 257, 4.5),
}


def growth_of(data, size):
    file = io.BytesIO()
    Image.fromarray(np.zeros((300, 300), np.uint8)).save(file, "PNG")
    load_image(file.getvalue(), size, dtype="uint8")  # the libraries
    with PeakMeter(interval=0.002) as meter:
        load_image(data, size, dtype="uint8")
    return meter.growth


@pytest.mark.measured
@pytest.mark.parametrize("name", FILES)
def test_what_reading_one_file_takes(name):
    kind, make, most = FILES[name]
    file = io.BytesIO()
    Image.fromarray(make(radiograph(SIDE))).save(file, kind)
    least(lambda: fresh(growth_of, file.getvalue(), (256, 256)), below=most * SIDE**2)
