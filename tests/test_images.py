import pickle
import struct
import zlib

import keras
import numpy as np
import pytest
from PIL import Image

from course_utils.images import ImageError, load_image


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
    left = np.zeros((10, 40), np.uint8)
    left[:, :10] = 255
    assert load_image(save(tmp_path / "l.png", left), (20, 20), aspect="crop").max() == 0


def test_16_bit_is_divided_by_257_never_clipped(tmp_path):
    deep = np.array([[0, 257, 32768, 65535]], np.uint16)
    expected = np.array([[0, 1, 32768 / 257, 255]], np.float32)
    for name in ("d.png", "d.tif", "d.pgm"):
        path = save(tmp_path / name, deep)
        np.testing.assert_allclose(load_image(path)[..., 0], expected, rtol=1e-6, err_msg=name)
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


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me 90 degrees clockwise to show me"
    path = save(tmp_path / "e.png", GREY, exif=exif)
    np.testing.assert_array_equal(load_image(path)[..., 0], np.rot90(GREY, -1))


@pytest.mark.parametrize("mode", ["1", "CMYK", "YCbCr"])
def test_other_modes(tmp_path, mode):
    path = save(tmp_path / "m.tif", Image.new("RGB", (4, 4), (255, 255, 255)).convert(mode))
    assert load_image(path).shape == (4, 4, 1) and load_image(path).min() > 250


def png_header(width, height):
    """A PNG of a few bytes that claims to be huge."""
    body = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = b"IHDR" + body
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


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
    save(folder / "jpeg.jpg", GREY)
    (folder / "jpeg.jpg").write_bytes((folder / "jpeg.jpg").read_bytes()[:-120])
    return ["cut.png", "flipped.png", "empty.png", "text.png", "bomb.png", "large.png", "folder.png",
            "float.tif", "jpeg.jpg", "missing.png"]  # fmt: skip


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_rude_files_are_named_with_a_reason_and_the_error_can_be_pickled(tmp_path):
    for name in rude_files(tmp_path):
        with pytest.raises(ImageError) as error:
            load_image(tmp_path / name)
        assert name in str(error.value) and len(str(error.value)) > len(str(tmp_path / name)) + 10
        assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@pytest.mark.parametrize(
    "options, said",
    [({"color_mode": "rgba"}, "color_mode"), ({"aspect": "keep"}, "aspect"), ({"dtype": "float64"}, "dtype")],
)
def test_wrong_arguments_name_the_choices(tmp_path, options, said):
    with pytest.raises(ValueError, match=f"{said} must be one of"):
        load_image(save(tmp_path / "g.png", GREY), **options)


def test_every_call_returns_an_array_of_its_own(tmp_path):
    path = save(tmp_path / "g.png", GREY)
    first = load_image(path)
    first[:] = 0
    assert load_image(path).max() == GREY.max()
