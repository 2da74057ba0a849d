"""What a Sequence learns by looking who calls: restarts, shuffled predictions, class weights with masks."""

import warnings

import keras
import numpy as np
import pytest
from PIL import Image

from course_utils import FollowEpoch, ImageSequence

from .test_augmented_sequences import MODES, in_every_mode

# A training of four epochs, interrupted as its third begins, then gone on with; each image shows its epoch.
PROGRAM = """
import json, sys, tempfile, numpy as np, keras
from course_utils import FollowEpoch, ImageSequence
paths, modes = json.load(sys.stdin)
met = []

class Epochs(ImageSequence):
    def image_at(self, position, epoch):
        return np.full((8, 8, 1), epoch, np.float32)

class Model(keras.Model):
    def train_step(self, *arguments):
        met.extend(int(image[0, 0, 0]) for image in np.asarray(arguments[-1][0]))
        logs = {"loss": 0.0}
        return logs if len(arguments) == 1 else (logs, arguments[0])

class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt

pixels = keras.Input((8, 8, 1))
results = {}
for name, options in modes.items():
    results[name] = []
    with tempfile.TemporaryDirectory() as folder:
        for callbacks in ([Stop()], []):
            sequence = Epochs(paths, np.zeros(len(paths)), target_size=(8, 8), **{"batch_size": 5} | options)
            model = Model(pixels, keras.layers.Flatten()(pixels))
            model.compile("sgd", run_eagerly=True)
            backup = keras.callbacks.BackupAndRestore(folder)
            met.clear()
            try:
                model.fit(sequence, epochs=4, shuffle=False, verbose=0,
                          callbacks=[backup, FollowEpoch(sequence), *callbacks])
            except KeyboardInterrupt:
                pass
            results[name].append([met.count(epoch) for epoch in range(5)])
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def epochs(numbered):
    return in_every_mode(PROGRAM, numbered[:20])


@pytest.mark.parametrize("mode", MODES)
def test_after_a_restart_a_followed_sequence_serves_the_epochs_that_were_missing(epochs, mode):
    assert epochs[mode] == [[20, 20, 0, 0, 0], [0, 0, 20, 20, 0]]


def model():
    layers = [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)]
    made = keras.Sequential(layers)
    made.compile("sgd", "mse")
    return made


def said(function, *arguments, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments, verbose=0, **options)
    return [str(each.message) for each in caught if each.category is RuntimeWarning]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_epoch_that_keras_did_not_tell_of_is_warned_of_once(numbered, workers):
    def new():
        return ImageSequence(numbered, np.zeros(100), 32, (8, 8), shuffle=True, workers=workers)

    behind, later, followed = new(), new(), new()
    (warning,) = said(model().fit, behind, initial_epoch=3, epochs=5, shuffle=False)
    assert warning.startswith("Keras is at epoch 3, this Sequence at 0") and "FollowEpoch" in warning
    assert not said(model().fit, followed, initial_epoch=3, epochs=5, callbacks=[FollowEpoch(followed)])
    assert followed.epoch == 5
    assert not said(model().fit, later, epochs=2) and not said(model().fit, later, epochs=1)


def test_only_what_has_an_epoch_can_follow():
    with pytest.raises(TypeError, match="expected Sequences with an epoch, got 3"):
        FollowEpoch(3)
    with pytest.raises(TypeError, match="expected Sequences with an epoch, got <class"):
        FollowEpoch(ImageSequence)
    with pytest.raises(TypeError, match="expected at least one Sequence"):
        FollowEpoch()


def test_fit_without_labels_is_warned_of(numbered):
    with pytest.warns(RuntimeWarning, match="fit on a Sequence without labels"), pytest.raises(ValueError):
        model().fit(ImageSequence(numbered, None, 32, (8, 8)), verbose=0)


@pytest.mark.parametrize("method", ["predict", "evaluate"])
def test_a_shuffled_sequence_warns_once_that_predictions_are_out_of_order(numbered, method):
    shuffled, plain = (
        ImageSequence(numbered, np.zeros(100), 32, (8, 8), shuffle=shuffle) for shuffle in (True, False)
    )
    trained = model()
    (warning,) = said(getattr(trained, method), shuffled)
    assert warning.startswith(f"{method} on a Sequence with shuffle=True") and "shuffle=False" in warning
    assert not said(getattr(trained, method), shuffled) and not said(getattr(trained, method), plain)


@pytest.mark.parametrize("workers", [1, 2])
def test_class_weight_with_masks_is_refused_in_words(numbered, tmp_path, workers):
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "mask.png")
    masks = [tmp_path / "mask.png"] * 100
    sequence = ImageSequence(numbered, None, 32, (8, 8), masks=masks, workers=workers)
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 1)]
    trained = keras.Sequential(layers)
    trained.compile("sgd", "mse")
    with pytest.raises(ValueError, match="class_weight is for labels, and this Sequence serves masks"):
        trained.fit(sequence, class_weight={0: 1.0, 1: 2.0}, verbose=0, shuffle=False)
    trained.fit(sequence, verbose=0, shuffle=False)
    assert len(sequence) == 4
