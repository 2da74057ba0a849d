"""Every fault is found in the smallest class that has it, and not in the same class without it."""

import functools
import gc
import math
import multiprocessing
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import types
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from course_utils.checkup import FAULTS, Report, check
from course_utils.sequences import (
    AugmentingImageSequence,
    ImageSequence,
    PreprocessingImageSequence,
)

FORK = getattr(os, "fork", None)
THREADS, PROCESSES = {"workers": 4}, {"workers": 2, "use_multiprocessing": True}


class Good(keras.utils.PyDataset):
    """24 images of one grey each, three classes, shuffled anew in every epoch, in batches of 5."""

    n, size = 24, 5

    def __init__(self, **options):
        super().__init__(**options)
        self.epoch = 0
        self.labels = np.arange(self.n) % 3
        self.shuffle()

    def shuffle(self):
        self.order = np.random.default_rng((0, self.epoch)).permutation(self.n)

    def on_epoch_end(self):
        self.epoch += 1
        self.shuffle()

    def __len__(self):
        return math.ceil(self.n / self.size)

    def where(self, index):
        return self.order[index * self.size : (index + 1) * self.size]

    def images(self, where):
        return np.stack([np.full((8, 8, 1), i / 24, np.float32) for i in where])

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        where = self.where(index)
        return self.images(where), self.labels[where]


class Still(Good):
    """The same, as for evaluation."""

    def shuffle(self):
        self.order = np.arange(self.n)


CASES = []


def case(code, level="error", make=(), fixed=Good, fixed_make=None, method=None, **arguments):
    """Registers a class that has the fault `code`."""

    def register(faulty):
        fixed_options = make if fixed_make is None else fixed_make
        CASES.append(
            pytest.param(code, level, faulty, dict(make), fixed, dict(fixed_options), method, arguments,
                         id=f"{code}-{len(CASES)}")
        )  # fmt: skip
        return faulty

    return register


# ---------------------------------------------------------------- the class and its batches


@case("base-constructor")
class NoBase(Good):
    def __init__(self):
        self.epoch = 0
        self.labels = np.arange(self.n) % 3
        self.shuffle()


@case("no-length")
class NoLength(keras.utils.PyDataset):
    def __init__(self):
        super().__init__()

    def __getitem__(self, index):
        return Good()[index]


@case("no-getitem")
class Misspelled(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitm__(self, index):
        return Good()[index]


@case("raises")
class LengthRaises(Good):
    def __len__(self):
        return maths.ceil(5)  # noqa: F821


@case("length-zero")
class Empty(Good):
    n = 0


@case("raises")
class Raises(Good):
    def __getitem__(self, index):
        if index == 3:
            raise ValueError("cannot read lesion.png")
        return super().__getitem__(index)


class TwoArguments(Exception):
    def __init__(self, name, reason):
        super().__init__(f"{name}: {reason}")


@case("unpicklable-exception", make=PROCESSES)
class RaisesTwo(Good):
    def __getitem__(self, index):
        if index == 3:
            raise TwoArguments("a.png", "broken")
        return super().__getitem__(index)


@case("none-batch", make=THREADS)
class ServesNone(Good):
    def __getitem__(self, index):
        return None if index == 4 else super().__getitem__(index)


@case("empty-batch")
class OneTooMany(Good):
    def __len__(self):
        return 6

    def images(self, where):
        return super().images(where) if len(where) else np.zeros((0, 8, 8, 1), np.float32)


@case("stuck", seconds=1)
class Hangs(Good):
    def __getitem__(self, index):
        if index == 2:
            time.sleep(600)
        return super().__getitem__(index)


@case("not-a-tuple")
class Bare(Good):
    def __getitem__(self, index):
        return super().__getitem__(index)[0]


@case("not-a-tuple")
class Objects(Good):
    """Images of several sizes, in an array of arrays."""

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        ragged = np.empty(len(labels), object)
        ragged[:] = [image[: 4 + number] for number, image in enumerate(images)]
        return ragged, labels


@case("not-a-tuple")
@case("not-a-tuple", role="evaluate", fixed=Still)
class NoneLabels(Still):
    def __getitem__(self, index):
        return super().__getitem__(index)[0], None


@case("not-a-tuple")
class ListLabels(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, labels.tolist()


@case("not-a-tuple")
class Four(Good):
    def __getitem__(self, index):
        return (*super().__getitem__(index), 1, 2)


@case("label-count")
class TwoInputs(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return {"a": images, "b": images[1:]}, labels


@case("label-count")
class ShortLabels(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, labels[:-1]


class Floor(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.names = [f"{i}.png" for i in range(self.n)]

    def __len__(self):
        return self.n // self.size


class FloorShuffled(Floor):
    pass


class FloorSlices(Floor):
    def __getitem__(self, index):
        where = self.where(index)
        return self.images(where), self.labels[where]


class StillFloorSlices(FloorSlices):
    shuffle = Still.shuffle


case("dropped-tail", "warning")(FloorSlices)
case("dropped-tail", fixed=Still, role="evaluate")(StillFloorSlices)


@case("float64", "warning")
class Float64(Good):
    def images(self, where):
        return super().images(where).astype(np.float64)


@case("dtype-changes")
class Uint8Then(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return (images if index > 1 else (images * 255).astype(np.uint8)), labels


@case("shape-changes")
class ManySizes(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return (images[:, :6] if index == 3 else images), labels


@case("buffer-reused", make=THREADS)
class Buffer(Good):
    def images(self, where):
        self.__dict__.setdefault("buffer", np.empty((5, 8, 8, 1), np.float32))
        self.buffer[: len(where)] = super().images(where)
        return self.buffer[: len(where)]


class InMemory(Good):
    """Batches are views of what it holds: that alone is no fault."""

    def __init__(self, **options):
        super().__init__(**options)
        self.pictures = np.arange(24, dtype=np.float32)[:, None, None, None] * np.ones(
            (1, 8, 8, 1), np.float32
        )

    def __getitem__(self, index):
        part = slice(index * self.size, (index + 1) * self.size)
        return self.pictures[part], self.labels[part]


@case("buffer-reused", fixed=InMemory)
class InPlace(InMemory):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        images /= 255
        return images, labels


@case("not-finite")
class Missing(Good):
    def images(self, where):
        images = super().images(where)
        images[-1, 0, 0, 0] = np.nan
        return images


@case("labels-leave-images")
class LabelsStay(Good):
    def __getitem__(self, index):
        return super().__getitem__(index)[0], self.labels[index * self.size : (index + 1) * self.size]


@case("one-class-batches")
class SortedFiles(Still):
    size = 6

    def __init__(self):
        super().__init__()
        self.labels = np.arange(self.n) // 6


@case("one-class-batches")
class SortedOneHot(SortedFiles):
    def __init__(self):
        super().__init__()
        self.labels = np.eye(4, dtype=np.float32)[self.labels]


@case("batch-shuffle-only", "warning")
class NeverShuffled(Still):
    pass


@case("batch-shuffle-only", "warning")
class AugmentedNeverShuffled(Still):
    def images(self, where):
        draws = [np.random.default_rng((self.epoch, int(i))).random() for i in where]
        return super().images(where) + np.reshape(draws, (-1, 1, 1, 1)).astype(np.float32)


case("order-changes", fixed=Still, role="evaluate")(Good)


class Augmented(Good):
    """As it should be: a function of the seed, the epoch and the sample."""

    def images(self, where):
        draws = [np.random.default_rng((0, self.epoch, int(i))).random() for i in where]
        return super().images(where) + np.reshape(draws, (-1, 1, 1, 1)).astype(np.float32)


class StillAugmented(Augmented):
    shuffle = Still.shuffle


case("changes-in-evaluation", fixed=Still, role="evaluate")(StillAugmented)


@case("global-random", "warning", fixed=Augmented)
@case("global-random", "error", PROCESSES, fixed=Augmented)
class GlobalRandom(Good):
    def images(self, where):
        return super().images(where) + np.float32(np.random.rand())


@case("global-random", "warning", fixed=Augmented)
@case("global-random", "warning", PROCESSES, fixed=Augmented)  # Python seeds it anew in every process
class PythonRandom(Good):
    def images(self, where):
        return super().images(where) + np.float32(random.random())


@case("own-random-state", "warning", THREADS, fixed=Augmented)
@case("own-random-state", "error", PROCESSES, fixed=Augmented)
class OwnRandom(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.rng = np.random.default_rng(0)

    def images(self, where):
        return super().images(where) + np.float32(self.rng.random())


@case("own-random-state", "warning", fixed=Augmented)
@case("own-random-state", "warning", PROCESSES, fixed=Augmented)
class Unseeded(Good):
    def images(self, where):
        return super().images(where) + np.float32(np.random.default_rng().random())


RNG = np.random.default_rng(0)


@case("own-random-state", "error", PROCESSES, fixed=Augmented)
class ModuleRandom(Good):
    def images(self, where):
        return super().images(where) + np.float32(RNG.random())


@case("changes-in-evaluation", fixed=Still, role="evaluate")
class RandomStill(Still):
    def images(self, where):
        return super().images(where) + np.float32(np.random.rand())


# ---------------------------------------------------------------- what it holds


@case("holds-data", "warning")
class Holds(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.pictures = [np.ones((800, 800, 1), np.float32) for _ in range(5)]


@case("holds-data", "warning")
class HoldsBytes(Good):
    """The same pixels in a quarter of the bytes, which is served as float32."""

    def __init__(self, **options):
        super().__init__(**options)
        self.pictures = np.ones((24, 400, 400, 1), np.uint8)

    def images(self, where):
        return self.pictures[where].astype(np.float32) + super().images(where)[:, :1, :1]


@case("holds-data", "warning")
class Caches(Good):
    cache = None

    def __getitem__(self, index):
        self.cache = self.cache or {}
        self.cache.setdefault(index, Image.new("RGB", (1000, 1000)))
        return super().__getitem__(index)


def an_archive():
    """The path of a ZIP file."""
    path = Path(os.environ["CHECKUP_FOLDER"]) / f"{os.getpid()}.zip"
    zipfile.ZipFile(path, "w").close()
    return path


class OnMemmap(Good):
    def __init__(self, path=None, **options):
        super().__init__(**options)
        self.path = path
        if path is None:
            self.path = Path(os.environ["CHECKUP_FOLDER"]) / "pixels.raw"
        np.full((24, 8, 8, 1), 0.5, np.float32).tofile(self.path)
        self.map = np.memmap(self.path, np.float32, "r", shape=(24, 8, 8, 1))

    def images(self, where):
        return super().images(where) + np.array(self.map[where])


PICTURES = {}


@case("holds-data", "warning")
class GlobalCache(Good):
    """Kept beside the class."""

    def images(self, where):
        PICTURES.setdefault("all", np.ones((2000, 2000), np.float32))
        return super().images(where)


def remembering():
    """A reader that keeps all that it has read: in a closure, and in a cache of functools."""
    known = {}

    @functools.lru_cache(maxsize=4)
    def read(number):
        known.setdefault(number, np.ones((1500, 1000), np.float32))
        return np.ones((1000, 1000), np.float32)

    return read


@case("holds-data", "warning")
class ReadsThrough(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.helper = types.SimpleNamespace(read=remembering())

    def images(self, where):
        for number in where:
            self.helper.read(int(number) % 4)
        return super().images(where)


class Turns:
    """An augmentation of somebody's, with a state of its own."""

    def __init__(self):
        self.steps = [types.SimpleNamespace(chance=random.Random(1))]

    def __call__(self, images):
        return images + np.float32(self.steps[0].chance.random())


@case("own-random-state", "error", PROCESSES, fixed=Augmented)
class NestedRandom(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.augment = Turns()

    def images(self, where):
        return self.augment(super().images(where))


class PerProcess(Good):
    """Opens the archive once for each process, and each thread has its own."""

    def images(self, where):
        self.__dict__.setdefault("open", {})
        if os.getpid() not in self.open:
            self.open[os.getpid()] = zipfile.ZipFile(an_archive())
        return super().images(where)


@case("shared-handle", make=PROCESSES, fixed=PerProcess)
class OneArchive(Good):
    """Opened by the first batch, and dropped where the object travels."""

    archive = None

    def images(self, where):
        self.archive = self.archive or zipfile.ZipFile(an_archive())
        return super().images(where)

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "archive"}


class PerThread(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.mine = threading.local()

    def images(self, where):
        if not hasattr(self.mine, "base"):
            self.mine.base = sqlite3.connect(":memory:")
        self.mine.base.execute("select 1")
        return super().images(where)


@case("thread-bound", make=THREADS, fixed=PerThread)
@case("thread-bound", fixed=PerThread)
class OneConnection(Good):
    base = None

    def images(self, where):
        self.base = self.base or sqlite3.connect(":memory:")
        self.base.execute("select 1")
        return super().images(where)


@case("not-thread-safe", make=THREADS)
class Remembers(Good):
    """Where it is stands in the object: another thread moves it."""

    def where(self, index):
        self.at = super().where(index)
        time.sleep(0.01)
        return self.at


@case("changed-in-place", fixed=Still)
class Drifts(Good):
    """A cache whose content is scaled where it lies."""

    def __init__(self, **options):
        super().__init__(**options)
        self.cached = functools.lru_cache(None)(self.read)

    @staticmethod
    def read(number):
        return np.full((8, 8, 1), 1 + number, np.float32)

    def images(self, where):
        images = [self.cached(int(number)) for number in where]
        for image in images:
            image *= 0.9
        return np.stack(images)


@case("served-twice", "warning", fixed=Still, role="evaluate")
class FillsUp(Still):
    """The last batch is filled up with samples of the one before."""

    def where(self, index):
        return self.order[min(index * self.size, self.n - self.size) :][: self.size]


@case("does-not-pickle", "warning", PROCESSES, method="fork")
@case("does-not-pickle", "error", PROCESSES, method="spawn")
class Lambda(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.function = lambda image: image


def flip(images):
    return keras.ops.convert_to_numpy(keras.ops.flip(images, 1))


@case("keras-per-image", "warning")
@case("tensorflow-in-workers", "error", PROCESSES, seconds=4)
class KerasOps(Good):
    def images(self, where):
        return flip(super().images(where))


class Flips:
    def __call__(self, images):
        return np.asarray(keras.ops.flip(images, 1))


@case("tensorflow-in-workers", "error", PROCESSES, seconds=4)
class HelperOps(Good):
    """The helper is an object, and another one calls it."""

    def __init__(self, **options):
        super().__init__(**options)
        self.flips = Flips()

    def images(self, where):
        return self.flips(super().images(where))


@case("keras-per-image", "warning")
class KerasLayer(Good):
    def __init__(self, **options):
        super().__init__(**options)
        self.layer = keras.layers.RandomFlip("horizontal", seed=0)

    def images(self, where):
        return keras.ops.convert_to_numpy(self.layer(super().images(where)))


@case("queue-unbounded", "warning", {"max_queue_size": 0}, fixed_make={"max_queue_size": 1})
@case("queue-unbounded", "warning", {**THREADS, "max_queue_size": 0}, fixed_make=THREADS)
class Queue(Good):
    pass


@case("on-epoch-begin", make=THREADS)
class Begins(Good):
    def on_epoch_begin(self):
        self.epoch += 1
        self.shuffle()


class BeginsHarmlessly(Good):
    def on_epoch_begin(self):
        self.begun = True


# ---------------------------------------------------------------- what goes to fit, and the model


def arguments(code, level, make=None, **wrong):
    """A case in which only what is passed to fit is wrong."""
    case(code, level, make or {}, fit_args=wrong)(Good)


arguments("steps-per-epoch", "error", THREADS, steps_per_epoch=2)
arguments("validation-steps", "error", validation_data=Good(workers=2), validation_steps=2)
arguments("moved-argument", "error", workers=4)
arguments("moved-argument", "error", use_multiprocessing=True)
arguments("refused-argument", "error", y=np.zeros(3))
arguments("refused-argument", "error", validation_split=0.1)
arguments("ignored-batch-size", "warning", batch_size=32)


class Weighted(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, labels, np.ones(len(labels), np.float32)


case("refused-argument", fit_args={"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}})(Weighted)


class Bright(Good):
    """0 to 255."""

    def images(self, where):
        return super().images(where) * 255


def model(*layers, shape=(8, 8, 1)):
    layers = [keras.Input(shape), *layers, keras.layers.Flatten(), keras.layers.Dense(3)]
    return keras.Sequential(layers)


L = keras.layers
case("input-shape", fixed=Good, model=model(shape=(9, 9, 1)))(Good)
case("range-rescaled-twice", fixed=Bright, model=model(L.Rescaling(1 / 255)))(Good)
case("range-not-scaled", "warning", fixed=Good, model=model())(Bright)
NESTED = keras.Sequential([keras.Input((8, 8, 1)), L.Pipeline([L.RandomBrightness(0.2)])])
case("value-range", fixed=Bright, model=model(NESTED))(Good)
case("value-range", fixed=None, model=model(L.Rescaling(1 / 255), L.RandomContrast(0.2)))(Bright)
case("not-adapted", fixed=None, model=model(L.Normalization()))(Good)
FITTED = model(L.Normalization(mean=0.5, variance=0.1))


# ---------------------------------------------------------------- labels against outputs and loss


def ends_in(units, activation=None, loss=None):
    layers = [keras.Input((8, 8, 1)), L.Flatten(), L.Dense(units, activation)]
    built = keras.Sequential(layers)
    if loss:
        built.compile("sgd", loss)
    return built


class OneHot(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, np.eye(3, dtype=np.float32)[labels]


class FromOne(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, labels + 1


class Halves(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, labels / np.float32(2)


class Masks(Good):
    """A mask of 0 and 255 for each image."""

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, np.uint8(255 * (images > 0.5))


class Tokens(Good):
    def images(self, where):
        return np.stack([np.full(4, i, np.int32) for i in where])


LOGITS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
SPARSE, ROWS = "sparse_categorical_crossentropy", keras.losses.CategoricalCrossentropy(from_logits=True)
MASKED = keras.Sequential([keras.Input((8, 8, 1)), L.Conv2D(1, 3, padding="same", activation="sigmoid")])
MASKED.compile("sgd", "binary_crossentropy")


def embeds(entries):
    return keras.Sequential(
        [keras.Input((4,), dtype="int32"), L.Embedding(entries, 2), L.Flatten(), L.Dense(3)]
    )


case("label-range", fixed=Halves, model=ends_in(1, "sigmoid", "binary_crossentropy"))(Good)  # three classes
case("label-range", fixed=Halves, model=ends_in(1, "sigmoid"))(Good)  # not compiled
case("label-range", fixed=Good, model=ends_in(3, "softmax", SPARSE))(FromOne)
case("label-range", fixed=Good, model=ends_in(3, "softmax"))(FromOne)
case(
    "label-range",
    fixed=Good,
    model=ends_in(3, None, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
)(Halves)
case("label-range", fixed=None, model=MASKED)(Masks)
case("label-shape", fixed=OneHot, model=ends_in(3, "softmax", "categorical_crossentropy"))(Good)
case("label-shape", fixed=OneHot, model=ends_in(3, None, ROWS))(Good)
case("label-shape", fixed=Good, model=ends_in(3, "softmax", SPARSE))(OneHot)
case("label-shape", fixed=Good, model=ends_in(1, None, "mse"))(OneHot)
case("index-range", fixed=None, model=embeds(23))(Tokens)


# ---------------------------------------------------------------- the tests


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CHECKUP_FOLDER", str(tmp_path))


def codes(report):
    assert not any("stopped early" in said for said in report.looked), report
    return {finding.code: finding.level for finding in report.findings}


@pytest.mark.parametrize("code, level, faulty, make, fixed, fixed_make, method, arguments", CASES)
def test_a_fault_is_found_and_not_where_it_is_mended(
    monkeypatch, code, level, faulty, make, fixed, fixed_make, method, arguments
):
    if method:
        monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: method)
    report = check(faulty(**make), **arguments)
    assert codes(report).get(code) == level, report
    if "fit_args" in arguments and faulty is Good:
        arguments = arguments | {"fit_args": {}}
    if code == "input-shape":
        arguments = arguments | {"model": model()}
    if faulty is Weighted:
        fixed = Good
    if fixed is not None:
        arguments = {name: value for name, value in arguments.items() if value and name != "seconds"}
        if arguments.get("fit_args"):
            mended = check(fixed(**fixed_make), **arguments)
        else:
            arguments.pop("fit_args", None)
            mended = check_once(fixed, tuple(fixed_make.items()), method, tuple(arguments.items()))
        assert code not in codes(mended), mended
        assert not mended.errors and "Looked at 0" not in str(mended)


@functools.cache
def check_once(cls, make, method, arguments):
    """Most right classes are the same one."""
    return check(cls(**dict(make)), **dict(arguments))


def test_every_code_has_a_case():
    without = set(FAULTS) - {parameters.values[0] for parameters in CASES}
    assert without == {"notebook-class", "jax-builds-late"}, "these two are tested in processes of their own"


# Right ones


LABELS = np.arange(100) % 2


@pytest.mark.parametrize("options", [THREADS, PROCESSES], ids=["threads", "processes"])
@pytest.mark.parametrize("role", ["train", "evaluate"])
@pytest.mark.parametrize("cls", [ImageSequence, AugmentingImageSequence, PreprocessingImageSequence])
def test_ours_have_no_errors(numbered, cls, role, options):
    train = role == "train"
    options = options if cls is ImageSequence else {"augment": train, **options}
    report = check(cls(numbered, LABELS, 8, (8, 8), shuffle=train, **options), role=role)
    assert not codes(report), report


class Documented(keras.utils.PyDataset):
    """The example of Keras' documentation, in its shape."""

    def __init__(self, x_set, y_set, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y = x_set, y_set
        self.batch_size = batch_size

    def __len__(self):
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, idx):
        low = idx * self.batch_size
        high = min(low + self.batch_size, len(self.x))
        batch_x, batch_y = self.x[low:high], self.y[low:high]
        images = [
            keras.utils.img_to_array(keras.utils.load_img(name, target_size=(8, 8))) for name in batch_x
        ]
        return np.array(images), keras.utils.to_categorical(batch_y, 2)


class Endless(Good):
    """Draws its samples anew for each index; has no end."""

    num_batches = None

    def __getitem__(self, index):
        where = np.random.default_rng((0, index)).integers(0, self.n, self.size)
        return self.images(where), self.labels[where]


class Dicts(Good):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return {"image": images, "age": np.float32(labels)}, {"class": labels}, np.ones(len(labels))


class AnyIndex(Good):
    """Its data are computed: any index gets an answer."""

    def __getitem__(self, index):
        where = 5 * index + np.arange(5)
        return self.images(where), where % 3

    def __len__(self):
        return 4

    def shuffle(self):
        pass


class Wraps(Good):
    """Takes any index."""

    def __getitem__(self, index):
        return super().__getitem__(index % len(self))


class Pool(Good):
    """Threads of its own, which do not survive a fork."""

    def __init__(self, **options):
        from concurrent.futures import ThreadPoolExecutor

        super().__init__(**options)
        self.pool = ThreadPoolExecutor(1)
        self.pool.submit(int).result()

    def images(self, where):
        return self.pool.submit(super().images, where).result()


class Pairs(Good):
    """Contrastive: whether two images are of one class; the pairs are drawn anew in every epoch."""

    def __getitem__(self, index):
        where = super().where(index)
        others = np.random.default_rng((2, self.epoch, index)).integers(0, self.n, len(where))
        pairs = {"left": self.images(where // 2), "right": self.images(others)}
        return pairs, np.float32(self.labels[where // 2] == self.labels[others])


class Ducks:
    """No PyDataset, but near enough to be examined."""

    def __len__(self):
        return 5

    __getitem__ = Good.__getitem__
    n, size, order, labels = 24, 5, np.random.default_rng(0).permutation(24), np.arange(24) % 3
    where, images = Good.where, Good.images


FOREIGN = {
    "documented": lambda paths: Documented([str(p) for p in paths], LABELS, 8),
    "documented, processes": lambda paths: Documented([str(p) for p in paths], LABELS, 8, **PROCESSES),
    "in memory": lambda paths: InMemory(**THREADS),
    "endless": lambda paths: Endless(),
    "pairs": lambda paths: Pairs(),
    "memmap": lambda paths: OnMemmap(**PROCESSES),
    "dicts": lambda paths: Dicts(),
    "weights": lambda paths: Weighted(**THREADS),
    "augmented": lambda paths: Augmented(**PROCESSES),
    "drops the last on purpose": lambda paths: FloorShuffled(),
    "takes any index": lambda paths: Wraps(),
    "answers any index": lambda paths: AnyIndex(),
    "pool": lambda paths: Pool(),
    "archive for each process": lambda paths: PerProcess(**PROCESSES),
    "duck": lambda paths: Ducks(),
    "still": lambda paths: Still(),
    "on_epoch_begin": lambda paths: BeginsHarmlessly(**THREADS),
    "still, processes": lambda paths: Still(**PROCESSES),
}
EVALUATES = ("documented", "in memory", "memmap", "still", "duck", "still, processes", "endless")


@pytest.mark.parametrize("name", FOREIGN)
def test_right_ones_of_others_have_no_errors(numbered, name):
    for role in ["train"] + ["evaluate"] * name.startswith(EVALUATES):
        sequence = FOREIGN[name](numbered)
        if role == "evaluate" and name == "memmap":
            sequence.order = np.arange(24)
            sequence.shuffle = lambda: None
        report = check(sequence, role=role, seconds=2 if name == "pool" else 20)
        assert not [f for f in report.errors if f.code != "does-not-pickle"], report
        codes(report)


class Void(Good):
    """Class 255 is nobody's."""

    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        return images, np.where(labels == 2, 255, labels)


def test_a_model_that_fits_has_no_findings():
    ignoring = keras.losses.SparseCategoricalCrossentropy(ignore_class=255)
    assert not codes(check(Void(), model=ends_in(2, "softmax", ignoring)))
    assert "label-range" in codes(check(Void(), model=ends_in(2, "softmax", SPARSE)))
    assert not codes(check(Tokens(), model=embeds(24)))
    assert not codes(check(Good(), model=FITTED))
    assert not codes(check(Bright(), model=model(L.RandomBrightness(0.2), L.Rescaling(1 / 255))))
    assert not codes(check(Good(), model=keras.Sequential([L.Flatten(), L.Dense(3)])))  # not built


# What it leaves alone, and how it ends


def test_nothing_of_the_learners_moves():
    sequence = Good()
    order = sequence.order.copy()
    states = random.getstate(), np.random.get_state()
    for maker in (GlobalRandom, KerasLayer):  # one is looked at in a fork, the other in a thread
        before = maker()
        check(before)
        assert before.epoch == 0 and (before.order == order).all()
    assert random.getstate() == states[0]
    assert all(np.array_equal(old, new) for old, new in zip(states[1], np.random.get_state(), strict=True))
    check(sequence)
    assert sequence.epoch == 0 and (sequence.order == order).all()
    with pytest.warns(UserWarning, match="super"):  # Keras' own warning is still to come: nothing was set
        check(unborn := NoBase())
        unborn.workers  # noqa: B018


def children():
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="looks in /proc")
@pytest.mark.parametrize("options", [{}, PROCESSES])
def test_a_hang_ends_in_time_and_leaves_no_child(options):
    before, began = children(), time.monotonic()
    report = check(Hangs(**options), seconds=1)
    assert time.monotonic() - began < 10 and children() == before
    assert report.errors[0].code == "stuck"
    assert "Batch 2" in str(report)


def test_a_hang_in_a_thread_ends_in_time(monkeypatch):
    monkeypatch.delattr(os, "fork")
    began = time.monotonic()
    report = check(Hangs(), seconds=1)
    assert time.monotonic() - began < 10
    assert "Batch 2" in str(report) and "in a thread" in str(report)


def test_a_thread_finds_what_a_fork_finds(monkeypatch):
    monkeypatch.delattr(os, "fork")
    for cls in (Good, Buffer, LabelsStay, Uint8Then, Raises, GlobalRandom, FloorSlices):
        with monkeypatch.context() as forked:
            forked.setattr(os, "fork", FORK, raising=False)
            expected = check(cls())
        assert codes(check(cls())) == codes(expected), cls


def test_what_cannot_be_copied_keeps_its_epoch_in_a_thread(monkeypatch):
    monkeypatch.delattr(os, "fork")
    sequence = Good()
    sequence.lock = threading.Lock()
    report = check(sequence)
    assert sequence.epoch == 0 and "on_epoch_end was not called" in str(report)


def test_a_slow_one_is_looked_at_in_part_and_is_no_error():
    class Slow(Good):
        def __getitem__(self, index):
            time.sleep(0.3)
            return super().__getitem__(index)

    began = time.monotonic()
    report = check(Slow(), seconds=2)
    assert time.monotonic() - began < 10
    assert not report.errors and "Stopped after" in str(report)


def test_a_death_is_told():
    class Dies(Good):
        def __getitem__(self, index):
            os._exit(3) if index == 2 else None
            return super().__getitem__(index)

    report = check(Dies())
    assert codes(report) == {"raises": "error"} and "Batch 2 ended the process" in str(report)


class Unreadable(Exception):
    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize(
    "error, said", [(Unreadable, "cannot be read"), (KeyboardInterrupt, "KeyboardInterrupt")]
)
def test_whatever_is_raised_is_told(error, said):
    class Rude(Good):
        def __getitem__(self, index):
            raise error

    report = check(Rude())
    assert codes(report)["raises"] == "error" and f"Batch 0 raised {error.__name__}" in str(report)
    assert said in report.errors[0].seen


def test_a_length_of_a_thousand_million_takes_no_memory():
    class Long(Good):
        def __len__(self):
            return 10**9

        def where(self, index):
            return np.arange(self.size) + index % 19

    report = check(Long(), seconds=1)
    assert not report.errors and "of 1000000000 batches" in str(report) and "Stopped after" in str(report)


def test_what_the_check_up_itself_takes_is_no_fault(monkeypatch):
    """A batch of 400 MB takes seconds to look at."""
    monkeypatch.setattr("course_utils.checkup.probe.describe", lambda *batch: time.sleep(100))
    report = check(Good(), seconds=1)
    assert not report.findings and "Time was over before all was looked at" in str(report)


def test_what_the_parent_left_to_collect_is_not_collected_in_the_fork():
    parent = os.getpid()

    class Left:
        def __init__(self):
            self.me = self

        def __del__(self):  # TensorFlow's iterators wait here for ever
            if os.getpid() != parent:
                os._exit(3)

    class Collects(Good):
        def __getitem__(self, index):
            gc.collect()
            return super().__getitem__(index)

    gc.disable()
    try:
        Left()
        assert not check(Collects()).errors
    finally:
        gc.enable()


def test_the_assertion_names_the_findings():
    with pytest.raises(AssertionError, match="ERROR not-finite: Batch 0 holds NaN"):
        assert not check(Missing()).errors


def test_the_page_is_escaped_and_says_its_levels():
    class Rude(Good):
        def __getitem__(self, index):
            raise ValueError("<script>alert(1)</script>")

    report = check(Rude())
    bundle = report._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"] and "&lt;script&gt;" in bundle["text/html"]
    assert "<strong>Error</strong>" in bundle["text/html"] and bundle["text/plain"] == str(report)


def test_figures_are_said():
    class Big(Float64):
        def images(self, where):
            return np.zeros((8, 256, 256, 1))

        def __getitem__(self, index):
            return self.images(None), np.zeros(8)

        def __len__(self):
            return 2

    found = next(f for f in check(Big()).warnings if f.code == "float64")
    assert found.seen == "The inputs of batch 0 are float64: 4.2 MB, as float32 half of it."


@pytest.mark.parametrize("thing", [[1, 2], np.zeros(3), Good, "abc", 3, iter([1]), {}])
def test_what_is_no_sequence_is_refused(thing):
    with pytest.raises(TypeError, match="expected a keras.utils.PyDataset"):
        check(thing)


WRONG = [{"role": "fit"}, {"seconds": 0}, {"seconds": "1"}, {"fit_args": [1]}, {"model": Good()}]


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        check(Good(), **wrong)


@pytest.mark.parametrize("options", [{"workers": None}, {"max_queue_size": "10"}])
def test_settings_that_are_no_numbers_are_refused(options):
    with pytest.raises(TypeError, match=f"{next(iter(options))} of a Sequence must be a whole number"):
        check(Good(**options))


NOTEBOOK = """
    import multiprocessing, sys
    import keras, numpy as np
    from course_utils.checkup import check

    class Mine(keras.utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.full((4, 8, 8, 1), index, np.float32), np.arange(4)

    print([f.code for f in check(Mine(workers=2, use_multiprocessing=True)).findings])
    multiprocessing.set_start_method("spawn")
    print([f.code for f in check(Mine(workers=2, use_multiprocessing=True)).errors])
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"])
    print([f.code for f in check(Mine(workers=2), model=model).errors])
    if keras.backend.backend() == "jax":
        model.test_on_batch(*Mine()[0])
    print([f.code for f in check(Mine(workers=2), model=model).errors])
    print("tensorflow" in sys.modules)
"""


def test_a_notebook_and_the_other_backends():
    """As in a notebook: the class is in __main__, which has no file."""
    if not os.environ.get("CI"):
        pytest.importorskip("jax", reason="JAX is not installed, and Keras' NumPy backend imports it as well")
    backends = ["numpy", "jax"]
    env = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    pipes = {"text": True} | dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    folder, command = Path(__file__).parents[1], [sys.executable, "-"]
    runs = [subprocess.Popen(command, env=env | {"KERAS_BACKEND": b}, cwd=folder, **pipes) for b in backends]
    for done in runs:  # they have their input at once, and run side by side
        done.stdin.write(textwrap.dedent(NOTEBOOK))
        done.stdin.close()
        done.stdin = None
    for backend, done in zip(backends, runs, strict=True):
        printed, complaints = done.communicate(timeout=60)
        assert done.returncode == 0 and not complaints, complaints
        here, spawned, fresh, tried, tensorflow = map(eval, printed.splitlines())
        late = ["jax-builds-late"] * (backend == "jax")
        assert set(here) == {"notebook-class", "batch-shuffle-only", *late}
        assert spawned == ["notebook-class"] and tensorflow is False
        assert fresh == late and not tried


def test_a_report_is_always_true():
    assert Report(()) and isinstance(check(Good()), Report)
