import io
import os
import pickle
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from course_utils.images import ImageError, load_image, load_mask


def save(path, array_or_image, **options):
    image = array_or_image if isinstance(array_or_image, Image.Image) else Image.fromarray(array_or_image)
    image.save(path, **options)
    return path


GREY = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)


def test_shape_dtype_and_values(tmp_path):
    path = save(tmp_path / "g.png", GREY)
    grey = load_image(path)
    assert grey.shape == (12, 20, 1) and grey.dtype == np.float32
    np.testing.assert_array_equal(grey[..., 0], GREY)
    assert load_image(path, dtype="uint8").dtype == np.uint8
    rgb = load_image(path, (6, 10), "rgb")
    assert rgb.shape == (6, 10, 3) and (rgb[..., 0] == rgb[..., 2]).all()


def test_downsizing_is_antialiased_where_keras_is_not(tmp_path):
    import keras  # here: no other test of this file needs it

    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)  # its mean is 127.5
    path = save(tmp_path / "c.png", checks)
    ours = load_image(path, (16, 16))
    keras_own = keras.utils.img_to_array(
        keras.utils.load_img(path, color_mode="grayscale", target_size=(16, 16))
    )
    assert np.abs(ours - 127.5).max() < 20 and np.abs(keras_own - 127.5).min() > 120


def test_aspect_is_a_choice(tmp_path):
    path = save(tmp_path / "w.png", np.full((10, 40), 200, np.uint8))
    assert (load_image(path, (20, 20)) == 200).all()
    padded = load_image(path, (20, 20), aspect="pad")[..., 0]
    assert (padded[:7] == 0).all() and (padded[-7:] == 0).all() and (padded[8:12] == 200).all()
    sides = np.zeros((10, 40), np.uint8)
    sides[:, :14] = sides[:, -14:] = 255  # cut away, both: crop keeps the middle
    assert load_image(save(tmp_path / "s.png", sides), (20, 20), aspect="crop").max() == 0
    checks = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    for aspect in ("pad", "crop"):  # antialiased too
        assert (
            np.abs(load_image(save(tmp_path / "k.png", checks), (16, 16), aspect=aspect) - 127.5).max() < 20
        )
    needle = save(tmp_path / "n.png", np.full((1, 5000), 255, np.uint8))
    assert load_image(needle, (64, 64), aspect="pad").max() == 255  # thin, not gone


def test_16_bit_is_divided_by_257_never_clipped(tmp_path):
    deep = np.array([[0, 257, 32768, 65535]], np.uint16)
    expected = np.array([[0, 1, 32768 / 257, 255]], np.float32)
    for name in ("d.png", "d.tif", "d.pgm"):
        path = save(tmp_path / name, deep)
        np.testing.assert_allclose(load_image(path)[..., 0], expected, rtol=1e-6, err_msg=name)
    save(tmp_path / "t.png", deep, transparency=65535)
    assert load_image(tmp_path / "t.png")[0, 3, 0] == 0  # 16-bit transparency lies on black as well
    path = tmp_path / "d.png"
    assert list(load_image(path, dtype="uint8").ravel()) == [0, 1, 128, 255]
    assert load_image(path, (2, 2), "rgb").shape == (2, 2, 3)
    assert load_image(path, (2, 2), "rgb").max() <= 255


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_lie_on_black(tmp_path, mode):
    rgba = np.full((4, 4, 4), 255, np.uint8)
    rgba[:2, :, 3] = 0  # white, but not to be seen
    image = Image.fromarray(rgba).convert(mode if mode != "P" else "RGBA")
    if mode == "P":
        image = image.quantize(4)
    array = load_image(save(tmp_path / "a.png", image))[..., 0]
    assert (array[:2] == 0).all() and (array[2:] == 255).all()


TURNED = {3: np.rot90(GREY, 2), 6: np.rot90(GREY, -1), 8: np.rot90(GREY), 5: GREY.T, 2: GREY[:, ::-1]}


@pytest.mark.parametrize("name", ["e.png", "e.tif", "deep.tif"])
@pytest.mark.parametrize("orientation", TURNED)
def test_exif_rotation_is_applied(tmp_path, name, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = GREY.astype(np.uint16) * 257 if name.startswith("deep") else GREY
    path = save(tmp_path / name, stored, exif=exif)
    np.testing.assert_array_equal(load_image(path)[..., 0], TURNED[orientation])


def test_the_first_frame_is_taken(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    frames[0].save(tmp_path / "f.tif", save_all=True, append_images=frames[1:])
    assert (load_image(tmp_path / "f.tif") == 10).all()


@pytest.mark.parametrize("mode", ["1", "CMYK", "YCbCr"])
def test_other_modes(tmp_path, mode):
    path = save(tmp_path / "m.tif", Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode))
    assert load_image(path).shape == (4, 4, 1) and load_image(path).min() > 250


def png_header(width, height):
    """A PNG of a few bytes that claims to be huge."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def rude_files(folder):
    good = save(folder / "good.png", (np.random.default_rng(0).random((64, 64)) * 255).astype(np.uint8))
    data = good.read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "flipped.png").write_bytes(data[:60] + bytes(50) + data[110:])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("not a picture")
    (folder / "bomb.png").write_bytes(png_header(30_000, 30_000))
    (folder / "large.png").write_bytes(png_header(9_000, 9_000))
    (folder / "folder.png").mkdir()
    save(folder / "float.tif", np.ones((4, 4), np.float32))
    save(folder / "whole.tif", np.full((4, 4), 70_000, np.int32))
    save(folder / "jpeg.jpg", GREY)
    (folder / "jpeg.jpg").write_bytes((folder / "jpeg.jpg").read_bytes()[:-120])
    return ["cut.png", "flipped.png", "empty.png", "text.png", "bomb.png", "large.png", "folder.png",
            "float.tif", "whole.tif", "jpeg.jpg", "missing.png"]  # fmt: skip


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_rude_files_are_named_with_a_reason_and_the_error_can_be_pickled(tmp_path):
    why = {
        "large.png": "9000 x 9000 pixels, more than the 67,108,864 that max_pixels allows",
        "bomb.png": "more than the 67,108,864 that max_pixels allows",
        "missing.png": "no such file",
        "folder.png": "not a regular file",
        "float.tif": "32-bit float pixels",
        "whole.tif": "signed 32-bit pixels",
        "fifo.png": "not a regular file",
    }
    names = rude_files(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "fifo.png")  # to open it would wait for ever
        names.append("fifo.png")
    for name in names:
        with pytest.raises(ImageError) as error:
            load_image(tmp_path / name)
        assert why.get(name, "not a readable image") in str(error.value)
        assert name in str(error.value) and len(str(error.value)) > len(str(tmp_path / name)) + 10
        assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"color_mode": "rgba"}, "color_mode must be one of"),
        ({"aspect": "keep"}, "aspect must be one of"),
        ({"dtype": "float64"}, "dtype must be one of"),
        ({"dtype": int}, "dtype must be one of"),
        ({"target_size": 4}, "target_size must be"),
        ({"target_size": (4, 4, 1)}, "target_size must be"),
        ({"target_size": (4.5, 4)}, "target_size must be"),
    ],
)
def test_wrong_arguments_name_the_choices(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        load_image(save(tmp_path / "g.png", GREY), **options)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "text.txt").write_text("words")
    with open(tmp_path / "text.txt") as text:
        for file in (None, 99, text, io.StringIO("words")):
            with pytest.raises(TypeError, match="file must be a path, bytes or a file opened in binary mode"):
                load_image(file)


@pytest.mark.parametrize("load", [load_image, load_mask])
def test_bytes_and_binary_files_give_what_their_path_gives(tmp_path, load):
    path = save(tmp_path / "g.png", GREY)
    data, expected = path.read_bytes(), load(path, (4, 4))
    for given in (data, bytearray(data), memoryview(data), io.BytesIO(data)):
        np.testing.assert_array_equal(load(given, (4, 4)), expected)
    with open(path, "rb") as file:
        file.seek(7)  # wherever the last reader stopped
        np.testing.assert_array_equal(load(file, (4, 4)), expected)
        np.testing.assert_array_equal(load(file, (4, 4)), expected)
        assert not file.closed


def test_broken_bytes_and_binary_files_are_named_too(tmp_path):
    path = save(tmp_path / "g.png", GREY)
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(ImageError, match="^image of 30 bytes: not a readable image"):
        load_image(path.read_bytes())
    with pytest.raises(ImageError, match="^image of 0 bytes: not a readable image"):
        load_image(b"")
    with pytest.raises(ImageError, match="^BytesIO: not a readable image"):
        load_image(io.BytesIO(b"words"))
    with open(path, "rb") as file, pytest.raises(ImageError, match=r"g\.png: not a readable image"):
        load_image(file)


def test_running_out_of_memory_is_not_blamed_on_the_file(tmp_path, monkeypatch):
    def no_memory(*_):
        raise MemoryError

    path = save(tmp_path / "g.png", GREY)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)  # as OpenCV says it
    with pytest.raises(MemoryError, match="could not decode a PNG of 20 x 12 pixels"):
        load_image(path)
    monkeypatch.setattr(Image.Image, "convert", no_memory)
    with pytest.raises(MemoryError):
        load_image(save(tmp_path / "g.tif", Image.new("RGB", (4, 4))))


def test_every_call_returns_an_array_of_its_own(tmp_path):
    path = save(tmp_path / "g.png", GREY)
    for dtype in ("uint8", np.float32):
        first = load_image(path, dtype=dtype)
        first[:] = 0
        assert load_image(path, dtype=dtype).max() == GREY.max()
