"""One filter for all: Pillow's triangle, whoever computes it."""

import numpy as np
import pytest
from PIL import Image

from course_utils.resizing import FACTORS, WORTH_IT, resized

RNG = np.random.default_rng(0)
SIZE = 840, 600  # width and height, whole multiples of every factor up to 6 but 9


def grain(*channels):
    return RNG.integers(0, 256, (SIZE[1], SIZE[0], *channels), np.uint8)


def pillows(values, size, box=None):
    return np.asarray(Image.fromarray(values).resize(size, Image.Resampling.BILINEAR, box)).astype(float)


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "rgb"])
@pytest.mark.parametrize("down", FACTORS)
@pytest.mark.parametrize("across", FACTORS)
def test_whole_factors_give_pillows_result_to_one_grey_level(down, across, channels):
    width, height = SIZE[0] // across, SIZE[1] // down
    checks = (np.indices(SIZE[::-1]).sum(0) % 2 * 255).astype(np.uint8)
    checks = np.repeat(checks[..., np.newaxis], 3, -1) if channels else checks
    white = np.full((SIZE[1], SIZE[0], *channels), 255, np.uint8)
    for values in (
        grain(*channels),
        checks,
        white,
        np.where(grain(*channels) > 200, 255, 0).astype(np.uint8),
    ):
        values = np.ascontiguousarray(values[: height * down, : width * across])
        assert values.shape[0] * values.shape[1] >= WORTH_IT
        found = resized(values, (width, height), (0, 0, *values.shape[1::-1]))
        assert found.dtype == np.uint8 and found.flags.writeable
        assert np.abs(found - pillows(values, (width, height))).max() <= 1
    assert (resized(white, SIZE, (0, 0, *SIZE)) == 255).all()


@pytest.mark.parametrize("size", [(256, 256), (100, 90), (840, 300), (420, 600), (1000, 700), (84, 60)])
def test_everything_else_is_pillows_own(size):
    values = grain()
    for box in ((0, 0, *SIZE), (3.5, 0, 700.25, 599)):
        np.testing.assert_array_equal(resized(values, size, box), pillows(values, size, box))
        shades = values.astype(np.float32)
        np.testing.assert_array_equal(resized(shades, size, box), pillows(shades, size, box))
    assert np.shares_memory(resized(values, SIZE, (0, 0, *SIZE)), values)  # nothing to do


def test_a_row_or_a_column_of_pixels():
    for height, width, size in ((2, 2**17, (2**16, 1)), (2**17, 2, (1, 2**16)), (6, 60_000, (30_000, 1))):
        white = np.full((height, width), 255, np.uint8)
        assert (resized(white, size, (0, 0, width, height)) == 255).all()


# What a filter is for, at a quarter of the size, where OpenCV computes it, and near it, where Pillow does.
SIDES = [256, 250]


def small(picture, side):
    return resized(picture, (side, side), (0, 0, 1024, 1024)).astype(float)


@pytest.mark.parametrize("side", SIDES)
def test_a_fine_grating_does_not_come_back_as_coarse_stripes(side):
    y, x = np.mgrid[:1024, :1024]
    for period in (2.3, 3, 3.3, 4.6):
        grating = (
            (127.5 + 100 * np.sin(2 * np.pi * (0.955 * x + 0.296 * y) / period)).round().astype(np.uint8)
        )
        left = small(grating, side)[8:-8, 8:-8].std() / (100 / 2**0.5)
        assert left < 0.04, period
        nearest = grating[:: 1024 // side, :: 1024 // side].std() / (100 / 2**0.5)
        assert nearest > 0.9  # what `load_img` makes of it


@pytest.mark.parametrize("side", SIDES)
def test_an_edge_stays_an_edge_and_a_small_lesion_is_seen(side):
    y, x = np.mgrid[:1024, :1024]
    edge = small(np.where(x + 0.13 * y > 570, 200, 50).astype(np.uint8), side)
    assert edge.min() == 50 and edge.max() == 200  # nothing overshoots
    between = ((edge > 60) & (edge < 190)).sum(1)
    assert np.median(between) <= 2
    lesion = np.where((x - 511.3) ** 2 + (y - 498.6) ** 2 < 9, 160, 100).astype(np.uint8)
    assert small(lesion, side).max() > 125
