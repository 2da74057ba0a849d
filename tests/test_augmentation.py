"""One warp against Keras' three layers, and draws that are the same whoever asks."""

import dataclasses
import math

import numpy as np
import pytest

from course_utils import PeakMeter
from course_utils.augmentation import Augmentation, Transform, warp
from tests.running import fresh, least

HEIGHT, WIDTH = 96, 80


@pytest.fixture(scope="module")
def image():
    """Grain all over: whatever reads a pixel in a wrong place is far off."""
    grain = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 1))
    return grain.astype(np.float32)


@pytest.fixture(scope="module")
def smooth():
    """No detail: reading it twice between pixels, as Keras does, blurs next to nothing."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (127.5 + 127.5 * np.sin(x / 12) * np.cos(y / 14 + 1)).astype(np.float32)[..., np.newaxis]


def by_keras(layer, images, *arguments, **options):
    """What a layer of Keras makes of a batch. Imported here: most tests of this room need no Keras."""
    import keras

    return np.asarray(getattr(keras.layers, layer)(*arguments, **options)(images, training=True))


def keras_rotate(image, angle):
    turns = angle / (2 * math.pi)  # from as much to as much: nothing is left to chance
    return by_keras("RandomRotation", image[np.newaxis], (turns, turns))[0]


def keras_zoom(image, height_zoom, width_zoom):
    height, width = height_zoom - 1, width_zoom - 1
    return by_keras("RandomZoom", image[np.newaxis], (height, height), (width, width))[0]


# The same parameters as Keras, the same pixels


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("angle", [0.3, -1.2, 1.25, 3.0])
def test_rotation_is_keras_rotation(image, dtype, angle):
    mine = warp(image.astype(dtype), Transform(angle=angle))
    assert mine.dtype == dtype
    assert np.abs(mine - keras_rotate(image, angle)).max() < 1


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("zooms", [(0.8, 1.2), (1.2, 0.9), (1.4, 1.4)])
def test_zoom_is_keras_zoom(image, dtype, zooms):
    mine = warp(image.astype(dtype), Transform(height_zoom=zooms[0], width_zoom=zooms[1]))
    assert np.abs(mine - keras_zoom(image, *zooms)).max() < 1


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_flips_are_exact_and_the_default_does_nothing(image, dtype):
    image = image.astype(dtype)
    np.testing.assert_array_equal(warp(image, Transform()), image)
    np.testing.assert_array_equal(warp(image, Transform(horizontal_flip=True)), image[:, ::-1])
    np.testing.assert_array_equal(warp(image, Transform(vertical_flip=True)), image[::-1])


def test_keras_flips_the_same_way(image):
    for mode, axis in (("horizontal", 1), ("vertical", 0)):
        batch = np.repeat(image[np.newaxis], 16, axis=0)
        flipped = by_keras("RandomFlip", batch, mode, seed=3)
        changed = [f for f in flipped if not np.array_equal(f, image)]
        assert changed and all(np.array_equal(f, np.flip(image, axis)) for f in changed)


@pytest.mark.parametrize(
    "transform", [Transform(True, False, 0.7, 0.9, 1.15), Transform(False, True, -1.1, 0.85, 0.8)]
)
def test_composed_it_is_the_three_layers_where_they_read_inside_the_picture(smooth, transform):
    flipped = smooth[:: -1 if transform.vertical_flip else 1, :: -1 if transform.horizontal_flip else 1]
    theirs = keras_zoom(keras_rotate(flipped, transform.angle), transform.height_zoom, transform.width_zoom)
    y, x = np.mgrid[:HEIGHT, :WIDTH] - np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])[:, None, None]
    between = x * transform.width_zoom, y * transform.height_zoom  # where the zoom reads the rotated picture
    a, b, c, d = transform.linear()
    source = a * x + b * y, c * x + d * y
    inside = np.logical_and.reduce(
        [np.abs(u) < WIDTH / 2 - 2 for u in (between[0], source[0])]
        + [np.abs(v) < HEIGHT / 2 - 2 for v in (between[1], source[1])]
    )
    assert inside.mean() > 0.3
    assert np.abs(warp(smooth, transform) - theirs)[inside].max() < 1


def test_keras_one_layer_for_both_flips_only_turns():
    four = np.arange(4, dtype="float32").reshape(1, 2, 2, 1)
    many = np.repeat(four, 300, axis=0)
    theirs = by_keras("RandomFlip", many, "horizontal_and_vertical", seed=0).reshape(-1, 4)
    assert {tuple(kind) for kind in theirs} == {(0, 1, 2, 3), (3, 2, 1, 0)}


def test_each_flip_is_drawn_by_itself():
    draws = [Augmentation().draw(0, 0, position) for position in range(300)]
    counts = np.bincount([2 * t.horizontal_flip + t.vertical_flip for t in draws], minlength=4)
    assert counts.min() > 45


# Beyond the edge


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("channels", [1, 3])
def test_constant_fills_with_its_value(dtype, channels):
    white = np.full((20, 30, channels), 200, dtype)
    shrunk = Transform(height_zoom=1.4, width_zoom=1.4)
    filled = warp(white, shrunk, fill_mode="constant", fill_value=17)
    assert filled.shape == white.shape and filled.dtype == dtype
    assert (filled[0, 0] == 17).all() and (filled[10, 15] == 200).all()
    assert (warp(white, shrunk) == 200).all()  # reflected, there is no edge


def test_nearest_makes_no_new_values(image):
    classes = np.where(image > 127, 7, 2).astype(np.uint8)
    assert set(np.unique(warp(classes, Transform(angle=0.4), nearest=True))) == {2, 7}


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 50, 3), (50, 1, 1), (7, 300, 1)])
def test_any_shape_keeps_its_shape(shape):
    flat = np.full(shape, 9, np.float32)
    for position in range(20):
        moved = Augmentation().apply(flat, Augmentation().draw(0, 0, position))
        assert moved.shape == shape
        np.testing.assert_allclose(moved, 9, atol=1e-4)


@pytest.mark.parametrize("channels", (1, 2, 3, 4, 5, 9))
@pytest.mark.parametrize("side", ((20, 30), (1, 30), (20, 1), (1, 1)))
@pytest.mark.parametrize("options", ({}, {"fill_mode": "constant"}, {"nearest": True}))
def test_what_is_written_into_an_array_is_what_is_returned(side, channels, options):
    grain = np.random.default_rng(0).integers(0, 256, (*side, channels))
    for dtype in ("uint8", "float32"):
        image, out = grain.astype(dtype), np.full((*side, channels), 7, dtype)
        transform = Transform(angle=0.3, width_zoom=0.9)
        assert warp(image, transform, out=out, **options) is out
        np.testing.assert_array_equal(out, warp(image, transform, **options))


def test_an_array_that_does_not_fit_takes_no_result(image):
    for out in (image[:, :-1].copy(), image.astype(np.float64), np.repeat(image, 2, axis=1)[:, ::2]):
        with pytest.raises(ValueError, match="out must be in one piece"):
            warp(image, Transform(), out=out)


def test_the_image_given_is_left_alone(image):
    before = image.copy()
    turned = warp(image, Transform())
    turned[:] = 0
    np.testing.assert_array_equal(image, before)


# Draws


def test_the_same_three_numbers_the_same_draw_any_other_another():
    augmentation = Augmentation()
    keys = [(s, e, p) for s in range(3) for e in range(3) for p in range(20)] + [(2**70, 1, 2), (0, 0, 2**40)]
    draws = [augmentation.draw(*key) for key in keys]
    assert draws == [Augmentation().draw(*key) for key in keys]
    assert len({t.angle for t in draws}) == len(keys)


def test_draws_fill_their_range_and_no_more():
    draws = [Augmentation().draw(4, 0, position) for position in range(2000)]
    for values, low, high in (
        ([t.angle for t in draws], -0.4 * math.pi, 0.4 * math.pi),
        ([t.height_zoom for t in draws], 0.8, 1.2),
        ([t.width_zoom for t in draws], 0.8, 1.2),
    ):
        counts, _ = np.histogram(values, 10, (low, high))
        assert counts.sum() == 2000 and counts.min() > 140
    assert abs(np.corrcoef([t.height_zoom for t in draws], [t.width_zoom for t in draws])[0, 1]) < 0.1


def test_strength_scales_the_same_draw_and_flips_stay():
    full, half, none = (Augmentation(s).draw(1, 2, 3) for s in (1.0, 0.5, 0.0))
    assert half.angle == pytest.approx(full.angle / 2)
    assert half.height_zoom - 1 == pytest.approx((full.height_zoom - 1) / 2)
    assert (none.angle, none.height_zoom, none.width_zoom) == (0, 1, 1)
    assert full.horizontal_flip == half.horizontal_flip == none.horizontal_flip
    still = Augmentation(0.0, horizontal_flip=False, vertical_flip=False)
    assert all(still.draw(0, 0, position) == Transform() for position in range(50))
    unflipped = Augmentation(horizontal_flip=False).draw(1, 2, 3)
    assert unflipped == dataclasses.replace(full, horizontal_flip=False)


def test_where_a_point_goes_and_which_way_is_up(image):
    marked = np.zeros_like(image)
    marked[20:23, 60:63] = 255
    middle = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2])
    for position in range(30):
        transform = Augmentation().draw(0, 0, position)
        expected = middle + transform.moved(*([61, 21] - middle))
        if not (4 < expected[0] < WIDTH - 5 and 4 < expected[1] < HEIGHT - 5):
            continue
        moved = warp(marked, transform, fill_mode="constant")[..., 0]
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        found = np.array([(x * moved).sum(), (y * moved).sum()]) / moved.sum()
        np.testing.assert_allclose(found, expected, atol=0.1)
    assert Transform().tilt == 0 and Transform(vertical_flip=True).tilt == 180
    assert Transform(angle=math.radians(-30)).tilt == pytest.approx(30)


@pytest.mark.parametrize(
    "options, said",
    [
        ({"strength": -0.1}, "strength must be a number from 0 to 2"),
        ({"strength": float("nan")}, "strength"),
        ({"strength": "1"}, "strength"),
        ({"strength": True}, "strength"),
        ({"strength": 3}, "strength"),
        ({"strength": np.complex128(0.5)}, "strength"),
        ({"strength": np.timedelta64(0, "s")}, "strength"),
        ({"rotation": 0.6}, "rotation must be a number from 0 to 0.5"),
        ({"zoom": 1}, "zoom must be a number from 0 to 0.4"),
        ({"horizontal_flip": 1}, "horizontal_flip must be True or False"),
        ({"vertical_flip": "yes"}, "vertical_flip must be True or False"),
        ({"fill_mode": "wrap"}, "fill_mode must be one of 'reflect', 'constant'"),
        ({"fill_value": 256}, "fill_value must be a number from 0 to 255"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(options, said):
    with pytest.raises(ValueError, match=said):
        Augmentation(**options)


def test_a_key_is_three_whole_numbers():
    for key, name in (((-1, 0, 0), "seed"), ((0, 0.5, 0), "epoch"), ((0, 0, None), "position")):
        with pytest.raises(ValueError, match=f"{name} must be a whole number"):
            Augmentation().draw(*key)


def test_warp_and_transform_refuse_what_they_cannot_do(image):
    for wrong in (image[..., 0], image[:0], image.astype(np.float64), image.astype(int)):
        with pytest.raises(ValueError, match="image must be"):
            warp(wrong, Transform(angle=0.3))
    with pytest.raises(ValueError, match="fill_mode must be one of"):
        warp(image, Transform(), fill_mode="wrap")
    for wrong in ({"angle": math.nan}, {"height_zoom": 0.0}, {"width_zoom": math.inf}):
        with pytest.raises(ValueError, match="expected a finite angle"):
            Transform(**wrong)


@pytest.mark.measured
def test_a_long_strip_does_not_become_a_huge_square():
    def growth():
        strip = np.random.default_rng(0).random((20_000, 1, 1), np.float32)
        with PeakMeter() as meter:
            assert warp(strip, Transform(angle=1.2)).shape == strip.shape
        return meter.growth

    least(lambda: fresh(growth, imports=("cv2",)), below=50e6)  # 20,000 x 20,000 float32 would be 1.6 GB


def test_for_turning_and_zooming_it_does_not_matter_when_the_division_comes(image):
    """Notebook 03's closing box; with a fill value it would."""
    transform = Augmentation().draw(0, 0, 5)
    divided_last, divided_first = warp(image, transform) / 255, warp(image / np.float32(255), transform)
    np.testing.assert_allclose(divided_last, divided_first, atol=1e-5)
