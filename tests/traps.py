"""Programs that walk into Keras' traps, each in its smallest form, and beside it one of our Sequences.

`python -m tests.traps facts|hangs|jax` prints what it saw as a line of JSON. TensorFlow takes seconds to
start, so one process does many traps; those that end in waiting for ever do so in threads, side by side.
"""

import gc
import json
import multiprocessing
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import weakref
import zlib

import keras
import numpy as np
from PIL import Image

from course_utils import AugmentingImageSequence, ImageSequence, PreprocessingImageSequence

THREADS, PROCESSES = {"workers": 2}, {"workers": 2, "use_multiprocessing": True}
PATIENCE = 6  # seconds without an end that count as a hang; a control that does not hang takes one or two


class Odd(Exception):
    """Pickles, and does not unpickle: it wants two arguments and passes one on."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def misbehave(how: str) -> None:
    """What one batch does: "none" is returned, "odd" raised, and "killed" is as the kernel kills."""
    if how == "odd":
        raise Odd(1, 2)
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


class Bare(keras.utils.PyDataset):
    """Batches of two images that hold their own number, or what `value(self, index)` says: what people
    write, and nothing around it. Batch `at` misbehaves."""

    def __init__(self, length: int, side: int = 8, *, value=None, seconds=0.005, at=-1, does="", **options):
        super().__init__(**options)
        self.length, self.side, self.value, self.seconds, self.made = length, side, value, seconds, 0
        self.at, self.does = at, does

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        self.made += 1
        time.sleep(self.seconds)
        if index == self.at:
            return misbehave(self.does)
        value = index if self.value is None else self.value(self, index)
        return np.full((2, self.side, self.side, 1), value, np.float32), np.zeros((2, 1), np.float32)


def small_model(shape: tuple):
    """A model that is trained in no time."""
    layers = keras.layers
    model = keras.Sequential([keras.Input(shape), layers.GlobalAveragePooling2D(), layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


class Watching(keras.Model):
    """A model that hands every batch to a function instead of learning."""

    note = None

    def train_step(self, data):
        self.note(*(part.numpy() for part in data))
        return {"loss": 0.0}


class Validating(Watching):
    """The same with batches of validation."""

    def test_step(self, data):
        return super().train_step(data)

    def train_step(self, data):
        return {"loss": 0.0}


def watch(note, sequence, model=None, shuffle=False, **options) -> None:
    model = model or Watching()
    model.note = note
    model.compile("sgd", run_eagerly=True)
    model.fit(sequence, shuffle=shuffle, verbose=0, **options)


def met(sequence, pause: float = 0.0, **options) -> list[list[float]]:
    """The first value of each batch that a model meets, epoch by epoch."""
    epochs = []
    new = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: epochs.append([]))

    def note(x, y):
        epochs[-1].append(round(float(x.flat[0]), 6))
        time.sleep(pause)

    watch(note, sequence, callbacks=[new], **options)
    return epochs


def met_in_validation(sequence, **options) -> list[list[int]]:
    epochs = []
    new = keras.callbacks.LambdaCallback(on_test_begin=lambda *_: epochs.append([]))

    def note(x, y):
        epochs[-1].append(int(x.flat[0]))
        time.sleep(0.05)  # the readers get ahead, as they do of any model that computes something

    watch(note, Bare(2), Validating(), validation_data=sequence, callbacks=[new], **options)
    return epochs


def until(condition, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(condition())


def pictures(count: int = 100) -> list[str]:
    """Files of 8 x 8 pixels: left the number, right 100 more, so that a flip shows."""
    folder = tempfile.mkdtemp()
    paths = [os.path.join(folder, f"{number:03}.png") for number in range(count)]
    for number, path in enumerate(paths):
        values = np.full((8, 8), number, np.uint8)
        values[:, 4:] += 100
        Image.fromarray(values).save(path)
    return paths


def ours(cls=ImageSequence, n: int = 100, batch_size: int = 1, labels=None, **options):
    labels = np.zeros(n) if labels is None else labels
    return cls(pictures(n), labels, batch_size, (8, 8), **options)


# ---------------------------------------------------------------- traps that show in figures


def t6() -> dict:
    """Goes first: what a first `clear_session` does not free, no later one does."""
    model, dense = small_model((8, 8, 1)), keras.layers.Dense

    def alive(clear: bool) -> list[int]:
        references = []
        for _ in range(5):
            sequence = Bare(2)
            references.append(weakref.ref(sequence))
            model.fit(sequence, verbose=0)
            del sequence
            if clear:
                keras.backend.clear_session()
        gc.collect()
        return sum(reference() is not None for reference in references)

    seen = {"naive": alive(False), "names": [dense(1).name]}
    seen["cleared"] = alive(True)
    seen["names"].append(dense(1).name)
    return seen | {"ours, bytes an image": len(pickle.dumps(ours())) / 100}


def t1() -> dict:
    draw = lambda self, index: np.random.rand()  # noqa: E731
    one = {"workers": 1, "use_multiprocessing": True}  # so that the order of draws is the order of batches

    def sums(**options):
        found, sequence = [], ours(AugmentingImageSequence, 64, 8, shuffle=True, **options)
        watch(lambda x, y: found.append(zlib.crc32(x.tobytes())), sequence, epochs=3)
        return found

    return {
        "one": met(Bare(8, value=draw, **one), epochs=3),
        "two": met(Bare(8, value=draw, **PROCESSES), epochs=3),
        "threads": met(Bare(8, value=draw), epochs=3),
        "ours": sums(),
        "ours, two": sums(**PROCESSES),
    }


def t2() -> dict:
    seen = {}
    for name, new in {"naive": lambda **o: Bare(100, seconds=0, **o), "ours": ours}.items():
        for workers in (1, 2):
            epochs = met(new(workers=workers), epochs=10, steps_per_epoch=10)
            seen[f"{name} {workers}"] = len({value for epoch in epochs for value in epoch})
    return seen


def t3() -> dict:
    makers = {"naive": lambda **o: Bare(100, seconds=0, **o), "ours": ours}
    return {
        f"{name} {workers}": met_in_validation(new(workers=workers), epochs=3, validation_steps=5)
        for name, new in makers.items()
        for workers in (1, 2)
    }


def t4() -> dict:
    class Hook(Bare):
        state = -1

        def on_epoch_begin(self):
            time.sleep(0.5)  # the workers' time to read on a busy machine
            self.state += 1

    class Epoch(ImageSequence):
        def image_at(self, position, epoch):
            return np.full((8, 8, 1), epoch, np.float32)

    state = lambda self, index: self.state  # noqa: E731
    return {
        "naive 1": met(Hook(4, value=state), epochs=3),
        "naive 2": met(Hook(4, value=state, **THREADS), epochs=3),
        "ours 2": met(ours(Epoch, 4, **THREADS), epochs=3),
    }


def t5() -> dict:
    """64 samples of 8 classes, sorted; fit shuffles. Of 24 batches: the classes in one; sets of samples."""
    labels = np.repeat(np.arange(8), 8)

    class Sorted(Bare):
        def __getitem__(self, index):
            rows = slice(8 * index, 8 * index + 8)
            return np.arange(64.0, dtype="float32")[rows, None], labels[rows, None]

    def batches(sequence):
        classes, sets = [], set()

        def note(x, y):
            classes.append(len(set(y.flat)))
            sets.add(frozenset(x.reshape(len(x), -1)[:, 0]))

        watch(note, sequence, epochs=3, shuffle=True)
        return {"least": min(classes), "most": max(classes), "sets": len(sets)}

    return {
        "naive": batches(Sorted(8)),
        "ours": batches(ours(n=64, batch_size=8, labels=labels, shuffle=True)),
        "ours, unshuffled": batches(ours(n=64, batch_size=8, labels=labels)),
    }


def t7() -> dict:
    class Changing(Bare):
        def __getitem__(self, index):
            value, kind = (200, np.uint8) if index < 2 else (0.7, np.float32)
            return np.full((2, 8, 8, 1), value, kind), np.zeros((2, 1))

    class ChangingOurs(ImageSequence):
        def image_at(self, position, epoch):
            image = super().image_at(position, epoch)
            return image if position < 2 else image.astype(np.float64)

    try:
        said = str(met(ours(ChangingOurs, 4)))
    except Exception as error:
        said = str(error)
    return {"naive": met(Changing(4))[0], "ours": said}


def t8() -> dict:
    layer = keras.layers.Normalization(axis=None)
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile("sgd", "mse")
    x = np.arange(4.0)[:, None] + 10
    seen = [model.predict(x, verbose=0)[0, 0]]
    layer.adapt(x)
    seen.append(model.predict(x, verbose=0)[0, 0])
    model.compile("sgd", "mse")
    seen.append(model.predict(x, verbose=0)[0, 0])
    return {"before, adapted, compiled": [round(float(value), 2) for value in seen]}


def t9() -> dict:
    unit = ours(PreprocessingImageSequence, 64, 64, augment=False)[0][0]
    seen = {"ours": [float(unit.min()), float(unit.max())]}
    for name, options in {"default": {}, "unit": {"value_range": (0, 1)}}.items():
        brightness = keras.layers.RandomBrightness(0.3, seed=0, **options)
        posterised = keras.layers.RandomPosterization(4, **options)
        seen[name] = [float(np.max(layer(unit, training=True))) for layer in (brightness, posterised)]
    return seen


def t12() -> dict:
    buffer = np.zeros((2, 8, 8, 1), np.float32)

    class Reused(Bare):
        def __getitem__(self, index):
            buffer[:] = index
            return buffer, np.zeros((2, 1))

    def right(sequence):
        (values,) = met(sequence, pause=0.02)
        return sum(value == index for index, value in enumerate(values))

    return {
        "naive": right(Reused(20, **THREADS)),
        "new each time": right(Bare(20, seconds=0, **THREADS)),
        "ours": right(ours(n=20, **THREADS)),
    }


def t13() -> dict:
    """How many batches have been made when the third is trained on, and nothing more happens."""

    def ahead(size: int) -> int:
        sequence, seen = Bare(60, seconds=0, max_queue_size=size, **THREADS), []

        def wait(batch, logs):
            if batch == 2:
                until(lambda: sequence.made >= 62, 1.0 if size else 20)
                seen.append(sequence.made - 2)  # without the two that Keras looks at first

        look = keras.callbacks.LambdaCallback(on_train_batch_end=wait)
        small_model((8, 8, 1)).fit(sequence, verbose=0, callbacks=[look])
        return seen[0]

    try:
        said = str(ours(max_queue_size=0))
    except ValueError as error:
        said = str(error)
    return {"naive 0": ahead(0), "naive 2": ahead(2), "ours": said}


def facts() -> dict:
    return {trap.__name__: trap() for trap in (t6, t1, t2, t3, t4, t5, t7, t8, t9, t12, t13)}


# ---------------------------------------------------------------- traps that end in waiting for ever


def hangs() -> dict:
    """T10 in children, T11 in threads, all at once; what has not ended in time hangs."""
    layer = keras.layers.RandomRotation(0.1)
    layer(np.zeros((1, 256, 256, 3), np.float32), training=True)  # once in the parent, before the fork

    def turn(side: int) -> None:
        layer(np.zeros((1, side, side, 3), np.float32), training=True)

    def turn_ours() -> None:
        AugmentingImageSequence(pictures(4), np.zeros(4), 4, (256, 256))[0]

    fork = multiprocessing.get_context("fork").Process
    children = {
        "T10 64": fork(target=turn, args=(64,)),
        "T10 256": fork(target=turn, args=(256,)),
        "T10 ours": fork(target=turn_ours),
    }
    for child in children.values():
        child.start()

    class BadOurs(ImageSequence):
        does = ""

        def image_at(self, position, epoch):
            return misbehave(self.does) if position == 4 else super().image_at(position, epoch)

    def bad_ours(does, **options):
        sequence = ours(BadOurs, 8, **options)
        sequence.does = does
        return sequence

    seen = {}

    def fit(name, sequence):
        try:
            small_model((8, 8, 1)).fit(sequence, shuffle=False, verbose=0)
            seen[name] = "ended"
        except Exception as error:
            seen[name] = str(error)

    # First and alone: Keras numbers its queues, and the first two at once would both be number 0.
    began = time.monotonic()
    fit("T11 control", Bare(8, **PROCESSES))
    cases = {
        "T11 none": Bare(8, at=4, does="none", **THREADS),
        "T11 odd": Bare(8, at=4, does="odd", **PROCESSES),
        "T11 killed": Bare(8, at=4, does="killed", **PROCESSES),
        "T11 ours none": bad_ours("none", **THREADS),
        "T11 ours odd": bad_ours("odd", **PROCESSES),
        "T11 ours killed": bad_ours("killed", **PROCESSES),
    }
    threading.excepthook = lambda arguments: None  # of the thread that dies of what it cannot unpickle
    for case in cases.items():
        threading.Thread(target=fit, args=case, daemon=True).start()
    until(lambda: {"T11 ours none", "T11 ours odd"} <= seen.keys(), 60)
    until(lambda: children["T10 64"].exitcode == children["T10 ours"].exitcode == 0, 60)
    time.sleep(max(PATIENCE, time.monotonic() - began))
    ends = {name: "ended" if child.exitcode == 0 else "hangs" for name, child in children.items()}
    return dict.fromkeys(cases, "hangs") | seen | ends


# ---------------------------------------------------------------- one more, on JAX


def jax() -> dict:
    """What reaches the model in two epochs, built and unbuilt."""
    from course_utils.checkup import check

    class Noting(keras.Sequential):
        def train_step(self, state, data):
            self.met[-1].append(int(np.asarray(data[0]).flat[0]))
            return super().train_step(state, data)

    def epochs(sequence, state: str) -> list[list[int]]:
        first = [] if state == "unbuilt" else [keras.Input((8, 8, 1))]
        model = Noting([*first, keras.layers.Flatten(), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        if state == "tried":
            model.test_on_batch(*sequence[0])
        model.met = []
        begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: model.met.append([]))
        model.fit(sequence, epochs=2, shuffle=False, verbose=0, callbacks=[begin])
        return model.met

    seen = {}
    for name, new in {
        "naive": lambda **o: Bare(24, seconds=0, **o),
        "ours": lambda **o: ours(n=24, **o),
    }.items():
        seen[f"{name}, 1, built"] = epochs(new(), "built")
        for state in ("unbuilt", "built", "tried"):
            seen[f"{name}, 2, {state}"] = epochs(new(**THREADS), state)
    late = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    return seen | {"codes": [f.code for f in check(ours(n=40, **THREADS), model=late).findings]}


if __name__ == "__main__":
    if sys.platform == "linux":
        multiprocessing.set_start_method("fork")  # the traps are Linux', until Python 3.14
    print(json.dumps(globals()[sys.argv[1]]()), flush=True)
    for stray in multiprocessing.active_children():
        stray.kill()
    os._exit(0)  # hanging threads or not
