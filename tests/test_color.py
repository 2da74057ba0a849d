"""Grey or in colour, by the pixels."""

import numpy as np
import pytest
from PIL import Image

from course_utils import ImageError, color_mode_of, load_image
from course_utils.sources import has_color

from .conftest import MODES, write_picture


@pytest.mark.parametrize("mode", MODES)
def test_a_grey_picture_is_grey_whatever_its_mode(tmp_path, mode):
    grain = np.random.default_rng(0).integers(0, 256, (40, 30)).astype(np.uint8)
    path = write_picture(tmp_path, mode, "grain", grain)
    assert not has_color(load_image(path, color_mode="rgb")) and color_mode_of([path]) == "grayscale"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_a_patch_of_one_colour_is_enough(tmp_path, suffix, channel):
    pixels = np.full((64, 64, 3), 90, np.uint8)
    pixels[16:32, 16:32, channel] = 160
    path = tmp_path / f"patch.{suffix}"
    Image.fromarray(pixels).save(path)
    assert has_color(load_image(path, color_mode="rgb", dtype="uint8")) and color_mode_of([path]) == "rgb"


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2)])
def test_tiny_pictures(size):
    assert not has_color(np.full((*size, 3), 7, np.uint8))
    assert has_color(np.broadcast_to(np.uint8([200, 20, 20]), (*size, 3)))


def test_half_of_the_pictures_decide(tmp_path):
    for name, pixels in (("grey", np.full((8, 8), 9, np.uint8)), ("red", np.uint8([[[250, 0, 0]] * 8] * 8))):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    grey, red = tmp_path / "grey.png", tmp_path / "red.png"
    assert color_mode_of([grey] * 50 + [red] * 50) == "rgb"
    assert color_mode_of([grey] * 60 + [red] * 40) == "grayscale"
    assert color_mode_of([grey, red]) == color_mode_of([red]) == "rgb"


def test_wrong_lists_are_named(tmp_path):
    with pytest.raises(ValueError, match="paths must be a list of at least one path"):
        color_mode_of([])
    with pytest.raises(TypeError, match="paths must be a list of paths, got str"):
        color_mode_of("a.png")
    with pytest.raises(ImageError, match="gone.png: no such file"):
        color_mode_of(["gone.png"])
