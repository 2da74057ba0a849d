"""What a notebook defines, against the mirror in course_utils that the rest of the course imports."""

import math

import cv2
import keras
import numpy as np
import pytest

from course_utils import (
    AugmentingImageSequence,
    ImageSequence,
    PreprocessingImageSequence,
    head,
    load_image,
    make_model,
    read_labels,
)
from course_utils.augmentation import Augmentation, tilt_of
from course_utils.exercises import ex04
from tests import running


def definition(notebook, name, **names):
    return running.definition(notebook, name, np=np, cv2=cv2, keras=keras, load_image=load_image, **names)


@pytest.fixture
def taught():
    basic = definition("01_basic_sequence.ipynb", "BasicSequence")
    return definition("01_basic_sequence.ipynb", "ImageSequence", BasicSequence=basic)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [7, 32, 100, 128])
def test_the_class_of_notebook_01_and_its_mirror_give_the_same_batches(numbered, taught, shuffle, batch_size):
    arguments = ([str(path) for path in numbered], np.arange(100), batch_size, (8, 8))
    mine, theirs = taught(*arguments, shuffle=shuffle), ImageSequence(*arguments, shuffle=shuffle)
    for _ in range(3):
        assert len(mine) == len(theirs)
        for idx in range(len(mine)):
            for a, b in zip(mine[idx], theirs[idx], strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)
        mine.on_epoch_end(), theirs.on_epoch_end()


def test_the_class_of_notebook_01_trains_with_keras_arguments(numbered, taught):
    sequence = taught([str(p) for p in numbered], np.arange(100), 32, (8, 8), shuffle=True, workers=2)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(sequence, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 2


@pytest.mark.parametrize("n_classes, channels", [(2, 1), (5, 3)])
def test_the_model_of_notebook_01_is_the_packages(n_classes, channels):
    taught, shape = definition("01_basic_sequence.ipynb", "make_model"), (64, 64, channels)
    models = []
    for make in (taught, make_model):
        keras.utils.set_random_seed(0)
        models.append(make(shape, head(n_classes)[0]))
    images = np.random.default_rng(0).integers(0, 256, (4, *shape)).astype(np.float32)
    mine, theirs = (np.asarray(model(images)) for model in models)
    np.testing.assert_array_equal(mine, theirs)
    scaled = np.asarray(models[0](images / 255))
    np.testing.assert_allclose(scaled, mine, atol=1e-2)  # its first layer takes any range


def test_what_notebook_01_says_of_weights():
    layers = keras.layers
    usual = [layers.Input((256, 256, 1)), layers.Conv2D(32, 3), layers.Flatten(), layers.Dense(1)]
    assert 2.0e6 < keras.Sequential(usual).count_params() < 2.1e6
    assert 23e3 < make_model((64, 64, 1), head(2)[0]).count_params() < 24.5e3


def test_the_model_of_notebook_04_is_the_one_of_its_exercise():
    taught = definition("04_memory_budget.ipynb", "build_model")
    mine, theirs = (build((64, 64, 1)) for build in (taught, ex04.build_model))
    as_made = [
        [(type(layer), layer.get_config() | {"name": ""}) for layer in model.layers]
        for model in (mine, theirs)
    ]
    assert as_made[0] == as_made[1] and mine.loss == theirs.loss


@pytest.fixture
def augmenting():
    notebook = "02_augmentation.ipynb"
    make_matrix = definition(notebook, "make_matrix")
    draw = definition(notebook, "draw", make_matrix=make_matrix)
    warp = definition(notebook, "warp")
    return definition(notebook, "AugmentingImageSequence", ImageSequence=ImageSequence, draw=draw, warp=warp)


@pytest.mark.parametrize("strength", [0.15, 1.0])
def test_the_class_of_notebook_02_and_its_mirror_give_the_same_pictures(xrays, augmenting, strength):
    data = read_labels(xrays).split("train").head(40)
    arguments, options = (data.paths, data.labels, 16, (48, 64)), {"strength": strength, "shuffle": True}
    mine, theirs = augmenting(*arguments, **options), AugmentingImageSequence(*arguments, **options)
    for _ in range(2):
        for idx in range(len(mine)):
            a, b = mine[idx], theirs[idx]
            assert a[0].dtype == b[0].dtype == np.float32
            np.testing.assert_allclose(a[0], b[0], atol=0.05)  # one pads, the other lets OpenCV reflect
            np.testing.assert_array_equal(a[1], b[1])
        mine.on_epoch_end(), theirs.on_epoch_end()
    plain = augmenting(*arguments, augment=False)
    np.testing.assert_array_equal(plain[0][0], ImageSequence(*arguments)[0][0])


def test_the_draws_of_notebook_02_are_the_packages(augmenting):
    make_matrix = definition("02_augmentation.ipynb", "make_matrix")
    draw = definition("02_augmentation.ipynb", "draw", make_matrix=make_matrix)
    for position in range(20):
        transform = Augmentation(0.7).draw(5, 1, position)
        np.testing.assert_allclose(draw(5, 1, position, 0.7).ravel(), transform.linear(), atol=1e-12)
        assert tilt_of(draw(5, 1, position, 0.7)) == pytest.approx(transform.tilt)


def test_what_notebook_02_says_of_gentle_turns():
    """Strength 0.15 turns by 11° at most."""
    turns = [abs(math.degrees(Augmentation(0.15).draw(0, 0, position).angle)) for position in range(2000)]
    assert 10 < max(turns) <= 0.15 * 0.2 * 360 < 11


def test_the_class_of_notebook_03_and_its_mirror_give_the_same_batches(xrays):
    notebook = "03_normalisation.ipynb"
    to_unit_range = definition(notebook, "to_unit_range")
    names = {"AugmentingImageSequence": AugmentingImageSequence, "to_unit_range": to_unit_range}
    taught = definition(notebook, "PreprocessingImageSequence", **names)
    data = read_labels(xrays).split("train").head(40)
    arguments = (data.paths, data.labels, 16, (48, 64))
    mine, theirs = taught(*arguments, shuffle=True), PreprocessingImageSequence(*arguments, shuffle=True)
    for idx in range(len(mine)):
        np.testing.assert_array_equal(mine[idx][0], theirs[idx][0])
        assert mine[idx][0].dtype == theirs[idx][0].dtype == np.float32
