"""Every exercise at its edges: untouched, each plausible mistake with its own hint, right."""

import inspect
import math
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pkgutil import iter_modules

import cloudpickle
import cv2
import keras
import numpy as np
import pytest
from PIL import Image

from course_utils import exercises, image_size, load_image
from course_utils.exercises import core, ex00, ex01, ex02, ex03, ex04, ex05
from course_utils.exercises.core import Exercise
from tests.running import cells, definition

N00, N01 = "00_start_here.ipynb", "01_basic_sequence.ipynb"
N02, N03, N04 = "02_augmentation.ipynb", "03_normalisation.ipynb", "04_memory_budget.ipynb"
N05 = "05_loading_speed.ipynb"


def numbers(length, item):
    class Answer(ex01.NumberSequence):
        __len__, __getitem__ = length, item

    return Answer


def right_length(self):
    return -(-len(self.numbers) // self.batch_size)


def right_item(self, idx):
    return self.numbers[idx * self.batch_size : (idx + 1) * self.batch_size]


def basic():
    return definition(N01, "BasicSequence", np=np, keras=keras, load_image=load_image)


def reordering(method):
    return type("Shuffled", (basic(),), {"on_epoch_end": method})


def assigning(make):
    def on_epoch_end(self):
        self.order = make(self.order)

    return reordering(on_epoch_end)


def labels_alone(self):
    self.labels = np.random.permutation(self.labels)


def images(base=None, **methods):
    """The solution of the last exercise of 01, on Keras' own class, with other methods in it."""
    own = {name: thing for name, thing in vars(ex01.MySequence).items() if name[:2] == "__"}

    def __init__(self, image_paths, labels, batch_size, target_size, **kwargs):
        keras.utils.PyDataset.__init__(self, **kwargs)
        self.image_paths, self.labels = image_paths, labels
        self.batch_size, self.target_size = batch_size, target_size

    parts = {"__init__": __init__, "__len__": own["__len__"], "__getitem__": own["__getitem__"]}
    return type("Answer", (base or keras.utils.PyDataset,), parts | methods)


def read(self, chosen, mode="rgb"):
    return np.stack([load_image(path, self.target_size, mode) for path in self.image_paths[chosen]])


def cut(self, idx):
    return slice(idx * self.batch_size, (idx + 1) * self.batch_size)


def forgetful(self, image_paths, labels, batch_size, target_size):
    self.image_paths, self.labels = image_paths, labels
    self.batch_size, self.target_size = batch_size, target_size


def hoarding(self, image_paths, labels, batch_size, target_size):
    keras.utils.PyDataset.__init__(self)
    forgetful(self, image_paths, labels, batch_size, target_size)
    self.pixels = read(self, slice(None))


def keeping(self, idx):
    batch = read(self, cut(self, idx)), np.array(self.labels[cut(self, idx)])
    self.__dict__.setdefault("kept", []).append(batch)
    return batch


def caching(self, idx):
    store = self.__dict__.setdefault("cache", {})
    if idx not in store:
        store[idx] = read(self, cut(self, idx)), np.array(self.labels[cut(self, idx)])
    return store[idx]


def by_pillow(self, idx):
    opened = [Image.open(path).resize(self.target_size) for path in self.image_paths[cut(self, idx)]]
    return np.stack([np.asarray(image, "float32") for image in opened]), self.labels[cut(self, idx)]


def early_labels(self, idx):
    return read(self, cut(self, idx)), np.array(self.labels[: len(self.labels[cut(self, idx)])])


def warped(image, mask, matrix, how=cv2.INTER_LINEAR, mask_how=cv2.INTER_NEAREST, mask_matrix=None):
    def one(array, matrix, how):
        middle = np.array([31.5, 31.5])
        affine = np.column_stack([matrix, middle - matrix @ middle])
        flags = {"flags": how | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REFLECT}
        return cv2.warpAffine(array, affine, (64, 64), **flags)

    return one(image, matrix, how), one(mask, matrix if mask_matrix is None else mask_matrix, mask_how)


def put_before(*layers):
    return lambda model: keras.Sequential([keras.layers.Input(model.input_shape[1:]), *layers, model])


Rescaling, SOME = keras.layers.Rescaling, np.array([[0.9, -0.3], [0.3, 0.9]])
EIGHT = np.zeros(8, int)  # the labels of batch 0
NEEDED, FIT = ex00.BYTES_NEEDED, ex00.IMAGES_THAT_FIT
NUMBERS, ORDER, IMAGES = ex01.NUMBER_SEQUENCE, ex01.ON_EPOCH_END, ex01.IMAGE_SEQUENCE
MIRROR, BOTH, UNIT, CARRY = ex02.MIRROR, ex02.WARP_BOTH, ex03.TO_UNIT, ex03.CARRY

MISTAKES = [
    (NEEDED, lambda n, h, w, c, b: 29_000_000, "which five numbers do?"),  # the files' sizes, summed
    (NEEDED, lambda n, h, w, c, b: n * h * w * c, "how many does a float32 number take?"),
    (NEEDED, lambda n, h, w, c, b: h * w * c * b, "How many images is that enough for?"),
    (NEEDED, lambda n, h, w, c, b: n * h * w * b, "missing, or twice"),
    (NEEDED, lambda n, h, w, c, b: n * h * h * c * b, "missing, or twice"),
    (NEEDED, lambda n, h, w, c, b: n * (h + w) * c * b, "or not multiplied?"),
    (NEEDED, lambda n, h, w, c, b: n * h * w * c * b / 8, "39,845,888; 318,767,104 were due"),
    (NEEDED, lambda n, h, w, c, b: n * h * w * c * b / 1, "is the right number, as a float"),
    (NEEDED, lambda n, h, w, c, b: n * h * w * c * b / 1e6, "whole number"),
    (NEEDED, lambda n, h, w, c, b: f"{n} MB", "whole number"),
    (NEEDED, lambda n: n, "raised TypeError"),
    (NEEDED, lambda n, h, w, c, b: None, "gives nothing back"),
    (FIT, lambda m, h, w, c, b: m / (h * w * c * b), "Can a part of an image be loaded?"),
    (FIT, lambda m, h, w, c, b: -(-m // (h * w * c * b)), "Which way to round?"),
    (FIT, lambda m, h, w, c, b: m * h * w * c * b, "should more of them fit, or fewer?"),
    (FIT, lambda m, h, w, c, b: m // (h * w * b), "how do you get there?"),
    (FIT, lambda m, h, w, c, b: m * 1e9 // (h * w * c * b), "1,907 fit"),
    (FIT, lambda m, h, w, c, b: round(m / (h * w * c * b)), "Which way to round?"),
    (NUMBERS, numbers(lambda self: len(self.numbers) // self.batch_size, right_item), "4 never come"),
    (NUMBERS, numbers(lambda self: len(self.numbers) // self.batch_size + 1, right_item), "Batch 3 is empty"),
    (NUMBERS, numbers(lambda self: np.ceil(len(self.numbers) / self.batch_size), right_item),
     "which function makes a whole number of it?"),
    (NUMBERS, numbers(right_length, lambda self, idx: self.numbers[idx * 32 : (idx + 1) * 32]),
     "Batch 4 is empty: from where to where does its slice go?"),
    (NUMBERS, numbers(right_length, lambda self, idx: right_item(self, idx - 1)), "from where to where"),
    (NUMBERS, numbers(lambda self: 10**12, right_item), "yours makes 1,000,000,000,000; 4 were due"),
    (NUMBERS, numbers(right_length, lambda self, idx: self.numbers[idx : idx + self.batch_size]),
     "Batch 1 begins at 1; 32 was due"),
    (NUMBERS, numbers(right_length, lambda self, idx: self.numbers[idx * self.batch_size :]),
     "batch holds 100"),
    (NUMBERS, numbers(lambda self: len(self.numbers), right_item), "is empty"),
    (NUMBERS, numbers(lambda self: 1, lambda self, idx: self.numbers), "One batch holds 100"),
    (NUMBERS, numbers(right_length, lambda self, idx: right_item(self, len(self) - 1 - idx)), "in the order"),
    (NUMBERS, numbers(right_length, lambda self, idx: None), "__getitem__ gives nothing back"),
    (NUMBERS, numbers(right_length, lambda self, idx: self.numbers[idx]), "A batch is a slice"),
    (NUMBERS, numbers(right_length, lambda self, idx: right_item(self, idx)[:-1]), "last number of batch 0"),
    (NUMBERS, numbers(right_length, lambda self, idx: right_item(self, idx) + 90), "the numbers are 0 to 99"),
    (NUMBERS, numbers(right_length, lambda self, idx: "batch"), "Batch 0 is the single"),
    (NUMBERS, numbers(right_length, lambda self, idx: [["a"]]), "A batch is a row of numbers"),
    (NUMBERS, numbers(right_length, lambda self, idx: 1 / 0), "__getitem__ raised ZeroDivisionError in line"),
    (NUMBERS, numbers(right_length, lambda self, idx: self.numbers[[100]]), "__getitem__ raised IndexError"),
    (ORDER, assigning(lambda order: np.random.choice(order, len(order))), "others come twice"),
    (ORDER, assigning(lambda order: order[::-1]), "Backwards"),
    (ORDER, assigning(lambda order: np.random.default_rng(0).permutation(100)), "have the same order"),
    (ORDER, assigning(lambda order: np.random.permutation(order)[:32]), "int64 of shape (32,); 100 whole"),
    (ORDER, assigning(lambda order: np.random.permutation(order) / 1), "100 whole numbers were due"),
    (ORDER, reordering(lambda self: np.random.permutation(self.order)), "where does it go?"),
    (ORDER, reordering(labels_alone), "pictures and labels part"),
    (ORDER, assigning(lambda order: np.random.default_rng.permutation(order)), "brackets and all?"),
    (ORDER, assigning(np.random.shuffle), "`shuffle` works in place and returns nothing"),
    (ORDER, reordering(lambda self: self.ordr), "raised AttributeError"),
    (IMAGES, images(object), "what does it inherit from?"),
    (IMAGES, images(__init__=forgetful), "super().__init__(**kwargs)"),
    (IMAGES, images(__init__=hoarding), "When should a picture be read?"),
    (IMAGES, images(__len__=lambda self: len(self.image_paths) // self.batch_size), "6 never come"),
    (IMAGES, images(__len__=lambda self: np.ceil(len(self.labels) / self.batch_size)), "a length is an int"),
    (IMAGES, images(__getitem__=lambda self, idx: read(self, cut(self, idx))), "a tuple"),
    (IMAGES, images(__getitem__=early_labels), "Are both cut at the same places?"),
    (IMAGES, images(__getitem__=lambda self, idx: (read(self, cut(self, idx)), self.labels[cut(self, idx)])),
     "The labels of batch 0 are a list"),
    (IMAGES, images(__getitem__=keeping), "What keeps the pictures?"),
    (IMAGES, images(__getitem__=caching), "What keeps the pictures?"),
    (IMAGES, images(__getitem__=by_pillow), "Pillow's `resize` wants the width first"),
    (IMAGES, images(__getitem__=lambda self, idx: (read(self, cut(self, idx)) * 0.004, EIGHT)),
     "0 to 255 were due"),
    (IMAGES, images(__getitem__=lambda self, idx: (np.arange(8), read(self, cut(self, idx)))),
     "the labels it seems: which comes first?"),
    (IMAGES, images(__len__=lambda self: len(self.labels)), "makes 30; 4 were due. Batches, or pictures?"),
    (IMAGES, images(__getitem__=lambda self, idx: (read(self, cut(self, idx), "grayscale"), EIGHT)),
     "(8, 48, 64, 1); (8, 48, 64, 3) was due"),
    (IMAGES, images(__getitem__=lambda self, idx: (list(read(self, cut(self, idx))), EIGHT)),
     "one array was due"),
    (IMAGES, images(__getitem__=lambda self, idx: (read(self, cut(self, idx)).astype(float), None)),
     "float64; float32 was due"),
    (IMAGES, images(__getitem__=lambda self, idx: (read(self, cut(self, idx)), np.array(self.labels))),
     "Which labels belong to them?"),
    (IMAGES, images(__getitem__=lambda self, idx: (read(self, slice(None))[cut(self, idx)],
                                                   np.array(self.labels[cut(self, idx)]))),
     "How many pictures does"),
    (MIRROR, lambda images, side: (images[:, ::-1], -side), "upside down. The axes are"),
    (MIRROR, lambda images, side: (images[::-1], -side), "changes the order of the pictures"),
    (MIRROR, lambda images, side: (images[:, ::-1, ::-1], -side), "by 180 degrees"),
    (MIRROR, lambda images, side: ([image[:, ::-1] for image in images], -side), "one array was due"),
    (MIRROR, lambda images, side: (images, -side), "leaves the pictures as they are"),
    (MIRROR, lambda images, side: (images[:, :, ::-1], side), "left half (-1); your label says 1"),
    (MIRROR, lambda images, side: (images[:, :, ::-1], side[::-1]), "changed places among the pictures"),
    (MIRROR, lambda images, side: (-side, images[:, :, ::-1]), "You return the labels first"),
    (MIRROR, lambda images, side: (255 - images, -side), "Only places should change"),
    (MIRROR, lambda images, side: (images[:, :, ::-1], 1 - side), "your label says 0"),
    (MIRROR, lambda images, side: images[:, :, ::-1], "one ndarray; two things"),
    (MIRROR, lambda images, side: (images[..., ::-1], -side), "leaves the pictures as they are"),
    (MIRROR, lambda images, side: (np.flip(images), -side), "reverses everything"),
    (MIRROR, lambda images, side: (images[:, :, ::-1], np.multiply(side, -1, out=side)),
     "changes the arrays"),
    (MIRROR, lambda images, side: (np.swapaxes(images, 1, 2), -side), "became (3, 6, 4, 1)"),
    (MIRROR, lambda images, side: None, "gives nothing back"),
    (BOTH, lambda image, mask, matrix: (warped(image, mask, matrix)[0], mask), "stays where it was"),
    (BOTH, lambda image, mask, matrix: (image, warped(image, mask, matrix)[1]), "Your image stays"),
    (BOTH, lambda image, mask, matrix: warped(image, mask, matrix, mask_how=cv2.INTER_LINEAR),
     "nobody has drawn"),
    (BOTH, lambda image, mask, matrix: warped(image, mask, matrix, how=cv2.INTER_NEAREST),
     "edges are jagged"),
    (BOTH, lambda image, mask, matrix: warped(image, mask, matrix, mask_matrix=np.linalg.inv(matrix)),
     "Did both get the same matrix?"),
    (BOTH, lambda image, mask, matrix: warped(image, mask, matrix)[::-1], "You return the mask first"),
    (BOTH, lambda image, mask, matrix: warped(image, mask, SOME), "Which matrix do you use?"),
    (BOTH, lambda image, mask, matrix: (warped(image, mask, matrix)[0], warped(mask, mask, matrix)[0] > 0),
     "True and False now"),
    (BOTH, lambda image, mask, matrix: (warped(image, mask, matrix)[0],
                                        2 * (warped(mask, mask, matrix)[0] > 1).astype(np.uint8)),
     "tell different stories"),
    (BOTH, lambda image, mask, matrix: warped(image, mask, matrix, mask_matrix=matrix.T), "Did both get"),
    (BOTH, lambda image, mask, matrix: warped(image, matrix, mask), "is that what it gets?"),
    (BOTH, lambda image, mask, matrix: warped(image, mask, matrix)[0], "two things were due: (image, mask)"),
    (UNIT, lambda batch: batch / 255.0, "8 bytes a pixel, 8 times"),
    (UNIT, lambda batch: batch / 255, "as float64"),
    (UNIT, lambda batch: batch / np.float32(batch.max()), "A darker batch, 0 to 127, becomes 0 to 1 too"),
    (UNIT, lambda batch: (batch - 128) / 128, "what does 3 - 10 give there?"),
    (UNIT, lambda batch: batch.astype(np.float32) / 256, "largest grey that a file can hold"),
    (UNIT, lambda batch: batch.astype(np.float32) / 254, "into 0 to 1.004"),
    (UNIT, lambda batch: np.clip(batch, 0, 1).astype(np.float32), "Grey 100 becomes 1;"),
    (UNIT, lambda batch: batch // 255, "Whole numbers from 0 to 1 are few"),
    (UNIT, lambda batch: batch.astype(np.float16) / np.float16(255), "as float16"),
    (UNIT, lambda batch: batch.astype(np.float32), "0 to 255, as float32"),
    (UNIT, lambda batch: (batch.astype(np.float32) / 255) ** 2, "Grey 100 becomes"),
    (UNIT, lambda batch: np.sqrt(batch.astype(np.float32) / 255), "Grey 100 becomes"),
    (UNIT, lambda batch: 1 - batch / np.float32(255), "Dark has become bright"),
    (UNIT, lambda batch: batch.astype(np.float32) / 127.5 - 1, "Its middle is 0"),
    (UNIT, lambda batch: batch, "the range you were given"),
    (UNIT, lambda batch: batch.ravel() / 255, "became (256,)"),
    (UNIT, lambda batch: batch.astype(str), "float32 was due"),
    (UNIT, lambda batch: None, "gives nothing back"),
    (CARRY, lambda model: model, "What stands before it?"),
    (CARRY, lambda model: Rescaling(1 / 255), "a model was due"),
    (CARRY, put_before(keras.layers.Lambda(lambda x: x / 255)), "`load_model` refuses it"),
    (CARRY, put_before(keras.layers.Flatten(), keras.layers.Reshape((4, 4, 1))), "Where is the division?"),
    (CARRY, put_before(Rescaling(255)), "which number divides?"),
    (CARRY, put_before(Rescaling(1 / 127.5, -1)), "trained on 0 to 1"),
    (CARRY, put_before(Rescaling(1 / 256)), "By what is each grey multiplied"),
    (CARRY, lambda model: keras.Sequential([model, Rescaling(1 / 255)]), "divides the answers"),
    (CARRY, lambda model: None, "gives nothing back"),
    (CARRY, lambda model: keras.Sequential(keras.layers.Input((4, 4, 1)), Rescaling(1 / 255), model),
     "keras.Sequential takes one list"),
    (CARRY, lambda model: keras.Sequential([keras.layers.Input(model.input_shape), Rescaling(1), model]),
     "raised ValueError in line"),
    (CARRY, lambda model: keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten()]),
     "or those of the notebook?"),
    (CARRY, lambda model: put_before(Rescaling(1 / 255))(keras.models.clone_model(model)),
     "is the given model in it, weights and all?"),
]  # fmt: skip


@pytest.mark.parametrize(
    "exercise, answer, said", MISTAKES, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_mistake_meets_its_own_hint(exercise, answer, said):
    verdict = exercise.judge(answer)
    assert verdict.status == "wrong" and said in verdict.text, verdict.text


def without_the_check(paths):
    return np.array([load_image(path, (64, 64)) for path in paths])


def larger_than_64(paths):
    return np.array([load_image(path, (64, 64)) for path in paths if min(image_size(path)) > 64])


def only_the_height(paths):
    return np.array([load_image(path, (64, 64)) for path in paths if image_size(path)[0] >= 64])


def once_for_the_size(paths):
    images = []
    for path in paths:
        if min(load_image(path).shape[:2]) >= 64:
            images.append(load_image(path, (64, 64)))
    return np.array(images)


def by_the_nearest_pixel(paths):
    large = (Image.open(path) for path in paths if min(image_size(path)) >= 64)
    near = [np.asarray(image.resize((64, 64), Image.Resampling.NEAREST)) for image in large]
    return np.array(near, np.float32)[..., None]


class Remembers:
    def __init__(self):
        self.kept = {}

    def __call__(self, paths):
        new = [path for path in paths if path not in self.kept]
        self.kept |= {
            path: load_image(path, (64, 64)) for path in new if min(load_image(path).shape[:2]) >= 64
        }
        return np.array([self.kept[path] for path in paths if path in self.kept])


class OneBuffer:
    def __init__(self):
        self.buffer = np.empty((7, 64, 64, 1), np.float32)

    def __call__(self, paths):
        self.buffer[:] = ex05.faster(paths)
        return self.buffer


@pytest.mark.parametrize(
    "answer, said",
    [
        (without_the_check, "9 of 9 pictures come back; before, it was 7: all that have at least 64"),
        (larger_than_64, "6 of 9 pictures come back"),
        (only_the_height, "8 of 9 pictures come back"),
        (once_for_the_size, "times as fast as before; twice was due"),
        (by_the_nearest_pixel, "Some of your pixels differ from those before, by up to"),
        (Remembers(), "it keeps them, and with the folder its memory grows"),
        (OneBuffer(), "Your second batch is written over the first"),
        (lambda paths: list(ex05.faster(paths)), "Your pictures are a list"),
        (lambda paths: ex05.faster(paths)[..., 0], "Your batch has shape (7, 64, 64)"),
        (lambda paths: np.float32(1), "Your function returns float32"),
        (lambda paths: np.array(1.0), "Your batch has shape ()"),
        (lambda paths: np.float64(ex05.faster(paths)), "dtype float64"),
        (lambda paths: "done", "returns str"),
        (lambda paths: None, "gives nothing back"),
        (lambda paths: paths.shape, "raised AttributeError"),
    ],
)
def test_a_loader_is_answered_by_what_it_does(answer, said):
    verdict = ex05.TWICE_AS_FAST.judge(answer)
    assert verdict.status == "wrong" and said in verdict.text, verdict.text


def in_threads(paths):
    with ThreadPoolExecutor() as pool:
        keep = [path for path in paths if min(image_size(path)) >= 64]
        return np.array(list(pool.map(lambda path: load_image(path, (64, 64)), keep)))


@pytest.mark.parametrize("answer", (ex05.faster, in_threads))
def test_a_loader_that_decodes_once_is_twice_as_fast(answer):
    verdict = ex05.TWICE_AS_FAST.judge(answer)
    assert verdict.status == "right", verdict.text
    # How much of the processors' time threads cost is for the machine to say.
    assert answer is in_threads or verdict.text.endswith("by less work.")


def test_threads_that_do_the_same_work_are_not_praised_for_less(monkeypatch):
    """Four times as fast by the clock, no faster by what the processors did."""
    spent = {True: np.array([4.0, 4.0]), False: np.array([1.0, 4.0])}
    monkeypatch.setattr(ex05, "_seconds", lambda function, paths: spent[function is ex05.slow])
    assert "the cores share the work" in ex05._twice(ex05.faster)


def test_the_loader_of_05_is_the_slow_one(capsys):
    stub = definition(N05, "load_pictures", np=np, load_image=load_image)
    verdict = ex05.TWICE_AS_FAST.judge(stub)
    assert verdict.status == "not yet" and "still the slow one" in verdict.text
    assert "ex05.TWICE_AS_FAST.check(load_pictures)" in "".join(cell.source for cell in cells(N05, "code"))
    ex05.TWICE_AS_FAST.solution()
    space = {"np": np, "load_image": load_image, "image_size": image_size}
    exec(capsys.readouterr().out, space)
    assert ex05.TWICE_AS_FAST.judge(space["faster"]).status == "right"


def setting(**changes):
    return ex04.GIVEN | changes


@pytest.mark.parametrize(
    "answer, said",
    [
        ("uint8", "Where are the four settings, by name?"),
        (setting(batch_size=16), "Your batches hold 16 images. That is another training"),
        (setting(dtype="float16"), "serves no 'float16'"),
        (setting(queue=2), "differ in queue"),
        ({"batch_size": 64, "dtype": "uint8", "workers": 2}, "differ in max_queue_size"),
        (setting(workers=1), "With workers=1 there is no queue: that fits. But"),
        (setting(max_queue_size=0), "without a bound"),
        (setting(max_queue_size=-1), "Keras would refuse it: max_queue_size must be a whole number"),
        (setting(max_queue_size="2"), "Keras would refuse it: max_queue_size"),
    ],
)
def test_a_setting_is_answered_by_what_it_does(answer, said):
    verdict = ex04.SETTINGS_THAT_FIT.judge(answer)
    assert verdict.status == "wrong" and said in verdict.text, verdict.text


def test_settings_are_judged_by_a_run(capsys):
    """Untouched, too long a queue, and right: the last two train in a child."""
    exercise = ex04.SETTINGS_THAT_FIT
    exercise.check(dict(ex04.GIVEN))
    assert capsys.readouterr().out.startswith("Not yet. ")
    died = exercise.judge(setting(max_queue_size=9))
    assert died.status == "wrong" and "over a limit of 500 MB. About 13 batches of 17 MB" in died.text
    exercise.solution()
    space = {}
    exec(capsys.readouterr().out, space)
    exercise.check(space["settings_that_fit"]())
    assert capsys.readouterr().out.startswith("Right. It ran, in a child of its own: ")


def test_the_settings_of_04_are_the_given_ones():
    assert "ex04.SETTINGS_THAT_FIT.check(my_settings)" in "".join(cell.source for cell in cells(N04, "code"))
    [stub] = [cell.source for cell in cells(N04, "code") if "my_settings = {" in cell.source]
    space = {}
    exec(stub.split("ex04.SETTINGS")[0].replace("from course_utils.exercises import ex04", ""), space)
    assert space["my_settings"] == ex04.GIVEN


def faulty(**faults):
    """The solution, on Keras' own class, with faults in it: methods, or wrappers of them."""
    space = {"load_image": load_image, "math": math, "np": np, "PyDataset": keras.utils.PyDataset}
    exec(inspect.getsource(ex04.MySequence), space)
    return type("MySequence", (space["MySequence"],), faults)


def without_super(self, paths, labels, batch_size, **options):
    self.paths, self.labels = np.array(paths), np.array(labels)
    self.batch_size, self.order = batch_size, np.arange(len(paths))


def with_pixels(self, paths, labels, batch_size, **options):
    super(type(self), self).__init__(paths, labels, batch_size, **options)
    self.images = np.stack([load_image(path, (256, 256)) for path in paths])


def in_float64(self, idx):
    images, labels = super(type(self), self).__getitem__(idx)
    return images.astype(np.float64), labels


def in_one_buffer(self, idx):
    images, labels = super(type(self), self).__getitem__(idx)
    if not hasattr(self, "batch"):
        self.batch = np.empty((16, 256, 256, 1), np.float32)
    self.batch[: len(images)] = images
    return self.batch[: len(images)], labels


def labels_only(self):
    np.random.shuffle(self.labels)


def as_bytes(self, paths, labels, batch_size, **options):
    super(type(self), self).__init__(paths, labels, batch_size, **options)
    self.pix = [load_image(path, (256, 256)).astype(np.uint8) for path in paths]


def without_options(self, paths, labels, batch_size, **options):
    super(type(self), self).__init__(paths, labels, batch_size)


def labels_turned(self, paths, labels, batch_size, **options):
    super(type(self), self).__init__(paths, labels[::-1], batch_size, **options)


def the_first_twice(self, idx):
    images, labels = super(type(self), self).__getitem__(idx)
    images[0], labels[0] = images[1], labels[1]
    return images, labels


def one_is_missing(self, idx):
    if idx == 2:
        raise ValueError("cannot read 33.png")
    return super(type(self), self).__getitem__(idx)


@pytest.mark.parametrize(
    "faults, said",
    [
        ({"__init__": without_super}, "Which call does the constructor"),
        ({"__init__": with_pixels}, "What is small enough to keep"),
        ({"__init__": as_bytes}, "What is small enough to keep"),
        ({"__len__": lambda self: len(self.paths) // self.batch_size}, "How many batches do 50 pictures"),
        ({"__getitem__": in_float64}, "Which line makes numbers of eight bytes?"),
        ({"__getitem__": in_one_buffer}, "in whose memory?"),
        ({"on_epoch_end": labels_only}, "What has to move when a label moves?"),
    ],
)
def test_one_fault_left_is_met_with_what_was_seen_and_a_question(faults, said):
    verdict = ex04.SIX_FAULTS.judge(faulty(**faults))
    assert verdict.status == "wrong" and said in verdict.text, verdict.text
    assert verdict.text.startswith("1 of six faults is left. ")


@pytest.mark.parametrize(
    "answer, said",
    [
        (faulty(__getitem__=one_is_missing), "Batch 2 raised ValueError: cannot read 33.png"),
        (faulty(__getitem__=lambda self, idx: None), "Batch 0 came as None."),
        (faulty(__init__=without_options), "yours has workers=1. What does `super().__init__` have to"),
        (faulty(__init__=labels_turned), "50 of 50 pictures come with a label that is not theirs."),
        (faulty(__getitem__=the_first_twice), "In 50 rows 46 of 50 pictures came."),
        (faulty(on_epoch_end=lambda self: None), "What was `on_epoch_end` there for?"),
        (faulty()([""], [0], 1), "That is an object made of your class."),
        (lambda paths: None, "Your class raised TypeError"),
        (lambda *arguments: [1], "The check cannot make sense of what your code returns"),
        (lambda *arguments: None, "Your class gives nothing back"),
    ],
)
def test_another_fault_is_named_too(answer, said):
    verdict = ex04.SIX_FAULTS.judge(answer)
    assert verdict.status == "wrong" and said in verdict.text, verdict.text


def test_the_class_of_04_has_all_six_and_the_solution_none(capsys):
    given = definition(N04, "MySequence", np=np, keras=keras, load_image=load_image)
    verdict = ex04.SIX_FAULTS.judge(given)
    assert verdict.status == "not yet" and verdict.text.startswith("All six faults are there.")
    ex04.SIX_FAULTS.check(faulty())
    assert capsys.readouterr().out.startswith("Right. ")
    ex04.SIX_FAULTS.solution()
    assert "class MySequence(keras.utils.PyDataset):" in capsys.readouterr().out


EXERCISES = {
    "bytes_needed": (NEEDED, N00),
    "images_that_fit": (FIT, N00),
    "NumberSequence": (NUMBERS, N01),
    "Shuffled": (ORDER, N01),
    "MySequence": (IMAGES, N01),
    "mirror": (MIRROR, N02),
    "warp_both": (BOTH, N02),
    "to_unit": (UNIT, N03),
    "carry": (CARRY, N03),
}


def test_every_exercise_is_tried():
    """The answers of 04 are no functions, and in 05 their time counts: those three are tried above."""
    rooms = [import_module(f"{exercises.__name__}.{room.name}") for room in iter_modules(exercises.__path__)]
    made = {thing for room in rooms for thing in vars(room).values() if isinstance(thing, Exercise)}
    above = {ex04.SETTINGS_THAT_FIT, ex04.SIX_FAULTS, ex05.TWICE_AS_FAST}
    assert made == above | {exercise for exercise, _ in EXERCISES.values()}


@pytest.mark.parametrize("name", EXERCISES)
def test_stub_not_yet_solution_right_and_printed(name, capsys):
    exercise, notebook = EXERCISES[name]
    space = {"np": np, "keras": keras, "load_image": load_image, "BasicSequence": basic(), "cv2": cv2}
    space["warp"] = definition(N02, "warp", np=np, cv2=cv2)
    exercise.check(definition(notebook, name, **space))
    assert capsys.readouterr().out.startswith("Not yet. ")
    exercise.solution()
    exec(capsys.readouterr().out, space)  # what is printed is what works
    exercise.check(reordering(space["on_epoch_end"]) if name == "Shuffled" else space[name])
    assert capsys.readouterr().out.startswith("Right. ")
    for hint in (*exercise.hints, exercise.hints[-1]):
        exercise.hint()
        assert capsys.readouterr().out.strip() == hint


def test_half_done_is_not_yet():
    assert NUMBERS.judge(numbers(right_length, lambda self, idx: ...)).status == "not yet"
    assert NUMBERS.judge(numbers(lambda self: ..., right_item)).status == "not yet"
    assert IMAGES.judge(images(__getitem__=lambda self, idx: ...)).status == "not yet"


def test_the_strip_shows_holes_and_repeats():
    assert ex01.strip(6, [np.array([0, 1]), np.array([1, 2])]) == "  1 2 1 . . ."


@pytest.mark.parametrize(
    "exercise, answer",
    [
        (FIT, lambda m, h, w, c, b: int(m / (h * w * c * b))),
        (NUMBERS, numbers(lambda self: np.int64(right_length(self)),
                          lambda self, idx: list(right_item(self, idx)))),
        (ORDER, assigning(np.random.permutation)),
        (ORDER, reordering(lambda self: np.random.shuffle(self.order))),
        (MIRROR, lambda images, side: (np.flip(images, 2), side * -1)),
        (MIRROR, lambda images, side: [images[:, :, ::-1, :].copy(), 0 - side]),
        (CARRY, lambda model: keras.Sequential([Rescaling(1 / 255), model])),
        (BOTH, warped),
        (UNIT, lambda batch: batch * np.float32(1 / 255)),
        (UNIT, lambda batch: np.divide(batch, 255, dtype="float32")),
        (UNIT, lambda batch: (batch / 255.0).astype("float32")),
        (UNIT, lambda batch: Rescaling(1 / 255)(batch)),
        (CARRY, put_before(Rescaling(1 / 255.0))),
    ],
)  # fmt: skip
def test_other_right_answers_are_right(exercise, answer):
    verdict = exercise.judge(answer)
    assert verdict.status == "right", verdict.text


def test_a_right_answer_is_told_of_its_detour():
    assert "takes 12 times the batch" in UNIT.judge(lambda batch: (batch / 255).astype("float32")).text
    assert "On the way" not in UNIT.judge(ex03.to_unit).text
    assert "A second run will have others" in ORDER.judge(assigning(np.random.permutation)).text


def test_the_line_is_the_learners_own():
    code = "def bytes_needed(*numbers):\n    return helper(1)\n\n\n\ndef helper(x): return x / 0\n"
    space = {}
    exec(compile(code, "cell", "exec"), space)
    assert "ZeroDivisionError in line 6 of its cell" in NEEDED.judge(space["bytes_needed"]).text
    outside = NEEDED.judge(lambda *numbers: np.zeros(3).reshape(4)).text
    assert re.search(r"ValueError in line \d+ of its cell", outside)  # this file's line, not NumPy's


def test_an_error_of_the_check_itself_is_not_blamed_on_the_learner():
    def careless(answer):
        return core.ask(answer)[3]

    verdict = core.Exercise(careless, careless, ()).judge(lambda: [1, 2])
    assert verdict.status == "wrong" and "Your code raised" not in verdict.text
    assert "The check cannot make sense of what your code returns (IndexError" in verdict.text


@pytest.fixture
def by_value():
    """Answers travel as a notebook's do: else the child would import this file, and Keras."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def for_ever(*arguments):
    while True:
        pass


def all_memory(*arguments):
    return [bytearray(10**8) for _ in range(100)]


def leaving(*arguments):
    os._exit(3)


LOCK = threading.Lock()


@pytest.mark.parametrize(
    "exercise, answer, said",
    [
        (NEEDED, for_ever, "Is there a loop without an end?"),
        (CARRY, for_ever, "Is there a loop without an end?"),
        (NEEDED, all_memory, "wants more than 400 MB in line"),
        (NEEDED, leaving, "Your code ended the process"),
        (NUMBERS, numbers(lambda self: 10**12, right_item), "1,000,000,000,000"),
        (NEEDED, lambda *arguments, lock=LOCK: 1, "cannot leave the notebook"),
    ],
)
def test_whatever_the_learner_wrote_the_notebook_lives(exercise, answer, said, capsys, by_value):
    exercise.check(answer)
    assert said in capsys.readouterr().out
    for thread in threading.enumerate():
        if thread.name == "exercise":
            thread.join(20)  # it was told to stop, and does so between two lines of Python
            assert not thread.is_alive()


def test_a_check_takes_ten_seconds_at_most():
    assert core.SECONDS + 2 <= 10  # the rest is the end of the child


def test_what_the_learner_prints_is_seen(capsys, by_value):
    NEEDED.check(lambda n, h, w, c, b: print("n is", n) or n * h * w * c * b)
    assert capsys.readouterr().out.startswith("n is 76\n")


def test_a_class_of_keras_is_looked_at_without_keras(by_value):
    code = core.pack(images())
    assert b"course_utils.exercises.core" in code and b"py_dataset_adapter" not in code
