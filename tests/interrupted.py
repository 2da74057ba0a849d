"""A program whose `fit` is interrupted, over and over: `python -m tests.interrupted MODE 'WHAT HOW' ...`.

It prints what it saw as a line of JSON. It runs in a process group of its own: without the cure some would
hang for ever. Who starts it gives it a time-out.
"""

import atexit
import gc
import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import threading
import time
import traceback
from multiprocessing.pool import ThreadPool

import keras
import numpy as np
from keras.src.trainers.data_adapters.py_dataset_adapter import OrderedEnqueuer
from PIL import Image

from course_utils import ImageSequence, stop_stray_workers, strays
from tests.traps import Bare, small_model

MODES = {
    "default": {},
    "threads": {"workers": 2},
    "processes": {"workers": 2, "use_multiprocessing": True},
}
CALLBACKS = ("exception", "KeyboardInterrupt", "stop_training")


class Interrupt(keras.callbacks.Callback):
    """Cuts an epoch short after its third batch."""

    def __init__(self, how: str):
        super().__init__()
        self.how = how

    def on_train_batch_end(self, batch, logs=None):
        if batch == 2:
            if self.how == "exception":
                raise RuntimeError("from a callback")
            if self.how == "KeyboardInterrupt":
                raise KeyboardInterrupt
            self.model.stop_training = True


class Press(keras.callbacks.Callback):
    """Ctrl-C, or Jupyter's stop button: SIGINT to the process group, some time after training has begun.

    Of a thousand one was not heard: what an interrupt meets in a `__del__`, or in C that clears errors, is
    ignored. Whoever sees training go on presses again, and so does this.
    """

    def __init__(self, after: float, again: float = 10):
        super().__init__()
        self.waits, self.heard = itertools.chain([after], itertools.repeat(again)), threading.Event()
        self.presses = 0
        self.finger = threading.Thread(target=self.press)

    def on_train_begin(self, logs=None):
        self.finger.start()

    def press(self):
        while not self.heard.wait(next(self.waits)):
            self.presses += 1
            os.killpg(0, signal.SIGINT)

    def lift(self):
        self.heard.set()
        self.finger.join()


def paths(count: int) -> list[str]:
    folder = tempfile.mkdtemp()
    names = [os.path.join(folder, f"{number}.png") for number in range(count)]
    for name in names:
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(name)
    return names


class Slow(ImageSequence):
    """One of ours, on a slow disk."""

    seconds, made = 0.02, 0

    def image_at(self, position, epoch):
        self.made += 1
        time.sleep(self.seconds)
        return super().image_at(position, epoch)


def interrupted(model, sequence, callback) -> str:
    """Fits until the interrupt, and keeps the error as an interpreter and a notebook do."""
    try:
        model.fit(sequence, epochs=50, shuffle=False, verbose=0, callbacks=[callback])
    except (RuntimeError, KeyboardInterrupt) as error:
        sys.last_value, sys.last_traceback = error, error.__traceback__
        return type(error).__name__
    finally:
        if isinstance(callback, Press):
            callback.lift()
    return "stopped"


def running(sequence) -> list[int]:
    """Threads, child processes, what waits in queues of Keras, and whether batches are still being made.

    Not counted are our decoders, and TensorFlow's threads that have run Python once: both stay for the next.
    """
    kept = threading._DummyThread
    threads = [
        thread
        for thread in threading.enumerate()
        if not isinstance(thread, kept) and not thread.name.startswith("decoder")
    ]
    made = sequence.made
    time.sleep(0.1)
    enqueuers = [thing for thing in gc.get_objects() if type(thing) is OrderedEnqueuer]
    waiting = sum(each.ready_queue.qsize() + each.future_queue.qsize() for each in enqueuers)
    return [len(threads), len(multiprocessing.active_children()), waiting, sequence.made - made]


def ten(how: str, options: dict) -> dict:
    """Ten interrupted fits in a row; after each the cure, and what is left then. At last a fit that ends."""
    model, files, chance = small_model((8, 8, 1)), paths(120), random.Random(1)
    warm = Slow(files, np.zeros(120), 8, (8, 8), **options)
    model.fit(warm, verbose=0)
    before, seen, unheard = running(warm), [], 0
    for number in range(10):
        if how == "callback":
            sequence = Bare(400, 8, **options)
            interrupt = Interrupt(CALLBACKS[number % 3])
        else:
            sequence = Slow(files, np.zeros(120), 1, (8, 8), **options)
            interrupt = Press(chance.uniform(0, 1))
        ended = interrupted(model, sequence, interrupt)
        count = stop_stray_workers()
        unheard += getattr(interrupt, "presses", 1) - 1
        left = [now - then for now, then in zip(running(sequence), before, strict=True)]
        seen.append([ended, count, left])
    steps = len(model.fit(Bare(20, 8, **options), verbose=0).history["loss"])
    return {"each": seen, "unheard": unheard, "again": stop_stray_workers(), "fits afterwards": steps}


class Early(Slow):
    """Each worker process is interrupted as it begins a batch: the first one before ours has seen it."""

    def __getitem__(self, index):
        if multiprocessing.current_process().name.startswith("Keras_worker_"):
            os.kill(os.getpid(), signal.SIGINT)
        return super().__getitem__(index)


def early(how: str, options: dict) -> dict:
    """How many epochs of such a Sequence come to their end."""
    sequence = Early(paths(20), np.zeros(20), 4, (8, 8), **options)
    return {"epochs": len(small_model((8, 8, 1)).fit(sequence, epochs=2, verbose=0).history["loss"])}


def without(how: str, options: dict) -> dict:
    """The same without the cure, by what else people try: what is left."""
    model = small_model((8, 8, 1))
    sequence = Bare(400, 8, **options)
    before = running(sequence)
    for number in range(3):
        interrupted(model, sequence, Interrupt(CALLBACKS[number % 3]))
    keras.backend.clear_session()
    gc.collect()
    time.sleep(1)
    left = [now - then for now, then in zip(running(sequence), before, strict=True)]
    return {"left": left, "ended": stop_stray_workers()}


def leaves(how: str, options: dict) -> dict:
    """A slow Sequence is interrupted, and the interpreter exits, cured by `how`: call, atexit, nothing.

    It exits in the middle of a batch: between two batches it might get away, and seldom, on a busy machine,
    it did.
    """
    sequence = Bare(10_000, 8, seconds=0.2, **options)
    interrupted(small_model((8, 8, 1)), sequence, Interrupt("stop_training"))
    sequence.seconds = 4
    made = sequence.made
    while sequence.made == made:
        time.sleep(0.01)
    if how == "nothing":
        atexit.unregister(strays.at_exit)
    return {"ended": stop_stray_workers() if how == "call" else 0}


def dead(how: str, options: dict) -> dict:
    """A worker process is killed, or sends back what does not unpickle; then the fit is cut short."""
    threading.excepthook = lambda arguments: None  # of the thread that dies of what it cannot unpickle
    model = small_model((8, 8, 1))
    sequence = Bare(400, 8, at=8, does=how, **options)
    model.fit(Bare(4, 8, **options), verbose=0)
    before = running(sequence)
    interrupted(model, sequence, Interrupt("exception"))
    time.sleep(0.5)  # until the eighth batch is asked for
    count = stop_stray_workers()
    left = [now - then for now, then in zip(running(sequence), before, strict=True)]
    return {"ended": count, "left": left, "fits": len(model.fit(Bare(4, 8, **options)).history["loss"])}


def patience(how: str, options: dict) -> dict:
    """A batch takes longer than one is ready to wait; once the cure has come to its end no other begins."""
    sequence = Bare(400, 8, seconds=0.5, **options)
    interrupted(small_model((8, 8, 1)), sequence, Interrupt("exception"))
    try:
        stop_stray_workers(timeout=0.01)
    except TimeoutError as error:
        said = str(error)
    count, made = stop_stray_workers(), sequence.made
    time.sleep(0.6)
    return {"said": said, "ended later": count, "begun": sequence.made - made}


def others(how: str, options: dict) -> dict:
    """What is not Keras' goes on; a fit at work is left alone; variables of the learner's are kept."""
    pools, stop = (ThreadPool(2), multiprocessing.Pool(2)), threading.Event()
    own = threading.Thread(target=stop.wait, daemon=True)
    own.start()
    iterator, refused = iter(Bare(5)), []
    next(iterator)

    def call(batch, logs):
        try:
            stop_stray_workers()
        except RuntimeError as error:
            refused.append(str(error))

    model = small_model((8, 8, 1))
    while_at_work = keras.callbacks.LambdaCallback(on_train_batch_end=call)
    losses = model.fit(Bare(8, **options), verbose=0, callbacks=[while_at_work]).history["loss"]
    interrupted(model, Bare(400, 8, **options), Interrupt("exception"))
    count = stop_stray_workers()
    frames = [frame.f_locals.keys() for frame, _ in traceback.walk_tb(sys.last_traceback)]
    kept = {"mine": "callback" in frames[0], "keras's": sum(map(len, frames[1:-1]))}
    seen = {"refused": refused, "trained": len(losses), "ended": count, "kept": kept}
    seen["own"] = [pool.map(abs, [-1, -2]) for pool in pools] + [own.is_alive(), len(list(iterator))]
    for pool in pools:
        pool.terminate()
    stop.set()
    return seen


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")  # what Linux does until Python 3.14
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job has it ignored
    mode, *parts = sys.argv[1:]
    seen = {part: globals()[part.split()[0]](part.split()[-1], MODES[mode]) for part in parts}
    print(json.dumps(seen), flush=True)
