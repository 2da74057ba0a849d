"""Constants that do not depend on the batch, and statistics that need one batch at a time."""

import keras
import numpy as np
import pytest
from PIL import Image

from course_utils.normalisation import Standardize, mean_and_deviation, to_unit_range


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_unit_range_by_a_constant_as_float32(dtype):
    greys = np.arange(256, dtype=dtype).reshape(1, 16, 16, 1)
    before = greys.copy()
    unit = to_unit_range(greys)
    assert unit.dtype == np.float32 and unit.shape == greys.shape
    assert unit.min() == 0 and unit.max() == 1
    np.testing.assert_array_equal(unit.ravel(), np.arange(256, dtype=np.float32) / np.float32(255))
    np.testing.assert_array_equal(greys, before)
    assert to_unit_range(greys // 2).max() == np.float32(127) / np.float32(255)  # not the batch's maximum


def test_what_notebook_03_says_of_the_usual_class(tmp_path):
    """`load_img`, `img_to_array`, then `/ 255.0`: float32 all the way; only whole numbers become float64."""
    path = tmp_path / "chest.png"
    Image.fromarray(np.full((8, 8), 200, np.uint8)).save(path)
    picture = keras.utils.img_to_array(keras.utils.load_img(path, color_mode="grayscale"))
    assert picture.dtype == (picture / 255.0).dtype == np.float32
    assert (picture.astype(np.uint8) / 255.0).dtype == np.float64


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_streamed_statistics_are_those_of_the_whole(dtype, channels):
    images = np.random.default_rng(0).integers(0, 256, (100, 9, 7, channels)).astype(dtype)
    mean, deviation = mean_and_deviation(images[i : i + 32] for i in range(0, 100, 32))  # 32, 32, 32, 4
    assert mean.shape == deviation.shape == (channels,) and mean.dtype == np.float64
    np.testing.assert_allclose(mean, images.mean((0, 1, 2), dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(deviation, images.std((0, 1, 2), dtype=np.float64), rtol=1e-12)


def test_digits_survive_a_small_deviation_on_a_large_mean():
    values = (1e6 + np.random.default_rng(0).normal(0, 0.1, (50, 4, 4, 1))).astype(np.float64)
    _, deviation = mean_and_deviation([values[:30], values[30:]])
    assert deviation[0] == pytest.approx(values.std(), rel=1e-6)


def test_they_come_from_a_sequence_and_fit_keras_layer(numbered):
    import keras

    from course_utils import ImageSequence

    sequence = ImageSequence(numbered, np.zeros(100), 32, (8, 8))
    mean, deviation = mean_and_deviation(sequence)
    assert mean[0] == pytest.approx(49.5) and deviation[0] == pytest.approx(np.arange(100).std())
    layer = keras.layers.Normalization(mean=mean, variance=deviation**2)
    images = sequence[1][0]
    np.testing.assert_allclose(Standardize(mean, deviation)(images), np.asarray(layer(images)), atol=1e-5)


def test_standardised_values_are_float32_of_mean_0_and_deviation_1():
    images = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3)).astype(np.uint8)
    out = Standardize(*mean_and_deviation([images]))(images)
    assert out.dtype == np.float32 and out.shape == images.shape
    np.testing.assert_allclose(out.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(out.std((0, 1, 2)), 1, atol=1e-5)


def test_no_batch_and_no_number_are_named(numbered):
    from course_utils import AugmentingImageSequence

    with pytest.raises(ValueError, match="at least one batch"):
        mean_and_deviation([])
    for wrong in (np.zeros((2, 3, 3)), np.zeros((0, 3, 3, 1)), np.zeros((2, 3, 3, 3)), [1.0], "ab"):
        with pytest.raises(ValueError, match="batch 1: expected images"):
            mean_and_deviation([np.zeros((2, 3, 3, 1)), wrong])
    with pytest.raises(ValueError, match="does not augment"):
        mean_and_deviation(AugmentingImageSequence(numbered, np.zeros(100), 32, (8, 8)))
    with pytest.raises(ValueError, match="batch 1: expected finite values"):
        mean_and_deviation([np.zeros((2, 3, 3, 1)), np.full((2, 3, 3, 1), np.nan)])


@pytest.mark.parametrize(
    "mean, deviation, said",
    [
        (0, 0, "deviation must be above 0"),
        (0, [1, -1, 1], "deviation"),
        (float("inf"), 1, "mean must be finite"),
        ("grey", 1, "mean"),
        (np.zeros((2, 2)), 1, "mean"),
        ("1", 1, "mean"),
        (True, 1, "mean"),
        ([], 1, "mean"),
        (0, 1e-50, "deviation"),
    ],
)
def test_wrong_figures_are_named(mean, deviation, said):
    with pytest.raises(ValueError, match=said):
        Standardize(mean, deviation)


def test_adapt_after_the_first_predict_changes_nothing_until_compiled_anew():
    """Notebook 03 says so; Keras 3.15, `Normalization.finalize_state` makes constants that are traced."""
    import keras

    layer = keras.layers.Normalization(axis=None)
    model = keras.Sequential([keras.Input((1,)), layer])
    grey = np.array([[200.0]], "float32")
    before = model.predict(grey, verbose=0)
    layer.adapt(np.arange(256, dtype="float32").reshape(-1, 1))
    np.testing.assert_array_equal(model.predict(grey, verbose=0), before)
    model.compile()
    assert model.predict(grey, verbose=0)[0, 0] == pytest.approx((200 - 127.5) / 73.9, abs=1e-2)
