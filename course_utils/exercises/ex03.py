"""Notebook 03: grey values 0 to 255 to the range 0 to 1, before the model and inside it."""

import tracemalloc
from typing import Any

import numpy as np

from .core import Exercise, ask, wrong


def to_unit(batch):
    return batch.astype(np.float32) / 255


def carry(model):
    import keras

    shape = model.input_shape[1:]
    return keras.Sequential([keras.layers.Input(shape), keras.layers.Rescaling(1 / 255), model])


# ---------------------------------------------------------------- a batch


def _to_unit(answer) -> str:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    batch = ramp.copy()
    got = np.asarray(ask(answer, batch))
    if not np.array_equal(batch, ramp):
        wrong(
            "Your function changes the batch that it is given: called twice, it divides twice. "
            "How can it return a new array?"
        )
    if got.shape != ramp.shape:
        wrong(
            f"A batch of shape {ramp.shape} became {got.shape}; the shape should stay. What did you return?"
        )
    if got.dtype.kind not in "iuf":
        wrong(f"Your numbers are {got.dtype}; float32 was due. What did you return?")
    did = f"Yours turns the greys 0 to 255 into {got.min():.4g} to {got.max():.4g}, as {got.dtype}."
    _range(got, did)
    if not np.allclose(got, ramp / 255, atol=2e-3):
        wrong(
            f"{did} Grey 100 becomes {got.flat[100]:.4g}; 100 / 255 = 0.3922 was due. What is done to it "
            "besides?"
        )
    of_dark = float(np.asarray(ask(answer, ramp // 2)).max())
    if abs(of_dark - 1) < 1e-3:
        wrong(
            f"{did} A darker batch, 0 to 127, becomes 0 to {of_dark:.3g} too; 0 to 0.498 was due: the same "
            "grey is another number in another batch. Which number is the same for every batch?"
        )
    if got.dtype != np.float32:
        times = got.itemsize
        wrong(
            f"{did} That is {times} bytes a pixel, {times} times the batch you were given; 4 were due. "
            "Which dtype do networks use, and where can you ask for it?"
        )
    return f"{did} One constant, so the same grey is the same number in every batch.{_on_the_way(answer)}"


def _range(got: np.ndarray, did: str) -> None:
    """Whether 256 greys, from dark to bright, became numbers from 0 to 1 in that order."""
    low, high = float(got.min()), float(got.max())
    if got.dtype.kind in "iu":
        if high > 1:
            wrong(f"{did} That is the range you were given; 0 to 1 was due. What do you divide by?")
        wrong(f"{did} Whole numbers from 0 to 1 are few. Which kind of number has fractions?")
    steps = np.diff(got.astype(float).ravel())
    if (steps <= 0).all():
        wrong(f"{did} Dark has become bright, and bright dark. What should 0 become?")
    if (steps < 0).any():
        at = int(np.argmin(steps))
        wrong(
            f"{did} It climbs, then falls: grey {at} becomes {got.flat[at]:.3g}, grey {at + 1} "
            f"{got.flat[at + 1]:.3g}. "
            "uint8 has no numbers below 0 and none above 255: what does 3 - 10 give there?"
        )
    if low < -0.1:
        wrong(f"{did} Its middle is 0; the task asks for 0 to 1. Is a subtraction needed?")
    if abs(high - 1) > 1e-3 or abs(low) > 1e-3:
        wrong(f"{did} 0 to 1 was due. Which constant is the largest grey that a file can hold?")


def _on_the_way(answer) -> str:
    """A sentence about what a right answer takes while it works, where that is much."""
    batch = np.zeros(10**6, np.uint8)
    tracemalloc.start()
    try:
        ask(answer, batch)
        times = tracemalloc.get_traced_memory()[1] / batch.nbytes
    finally:
        tracemalloc.stop()
    if times < 10:  # two float32 arrays are 8
        return ""
    return (
        f" On the way, though, yours takes {times:.0f} times the batch: a float64 array, eight times as "
        "large, before it becomes float32. Convert first, then divide, and it is never made."
    )


# ---------------------------------------------------------------- a model


def _carry(answer) -> str:
    import keras

    keras.utils.set_random_seed(1)
    layers = [keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(3, 2), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(3, bias_initializer="ones"))
    model = keras.Sequential(layers)
    greys = np.linspace(0, 255, 32, dtype=np.float32).reshape(2, 4, 4, 1)
    due = np.asarray(model(greys / 255))
    once = (
        "keras.Sequential takes one list: the Input of one picture's shape, what divides, the model. Does it?"
    )
    carrying = ask(answer, model, then=once)
    if carrying is model:
        wrong("You return the model as it was given; it wants 0 to 1. What stands before it?")
    if not isinstance(carrying, keras.Model):
        wrong(
            f"You return a {type(carrying).__name__}; a model was due. What does `keras.Sequential([...])` "
            "take?"
        )
    if any(isinstance(layer, keras.layers.Lambda) for layer in carrying.layers):
        wrong(
            "A Lambda layer is Python code, and `load_model` refuses it in a stranger's file. Which layer "
            "of Keras multiplies by a number?"
        )
    takes = getattr(carrying, "input_shape", model.input_shape)  # none so far, without an Input
    if takes != model.input_shape:
        wrong(
            f"Your model takes {takes}, the given one {model.input_shape}. Did you use the "
            "model and the shape that you are given, or those of the notebook?"
        )
    _answers(np.asarray(ask(carrying, greys, name="Your model")), due, greys, model)
    return (
        "It takes greys as they come and gives the answers of the model that wants 0 to 1. Nobody has to "
        "know."
    )


def _answers(got: np.ndarray, due: np.ndarray, greys: np.ndarray, model: Any) -> None:
    """Whether the answers are those of the model that is given the range 0 to 1."""
    if got.shape != due.shape:
        wrong(f"Your model answers with {got.shape}; {due.shape} was due. Does the given model come last?")
    did = f"For one picture your model says {got.flat[0]:.4g}; {due.flat[0]:.4g} was due."
    if np.allclose(got, np.asarray(model(greys)), rtol=1e-3):
        wrong(f"{did} That is what the given model says of 0 to 255. Where is the division?")
    if np.allclose(got, np.asarray(model(greys * 255)), rtol=1e-3):
        wrong(f"{did} It multiplies by 255. `Rescaling` takes what to multiply by: which number divides?")
    if np.allclose(got, np.asarray(model(greys)) / 255, rtol=1e-3):
        wrong(f"{did} It divides the answers, not the picture. Which comes first?")
    if np.allclose(got, np.asarray(model(greys / 127.5 - 1)), rtol=1e-3):
        wrong(f"{did} It makes -1 to 1; the given model was trained on 0 to 1. Which two numbers change?")
    if not np.allclose(got, due, atol=1e-4):
        wrong(
            f"{did} By what is each grey multiplied on its way in? And is the given model in it, weights "
            "and all?"
        )


TO_UNIT = Exercise(
    _to_unit,
    to_unit,
    (
        "The greys of a file are 0 to 255, whatever the batch. What do you divide by?",
        "uint8 divided by a Python float gives float64, 8 bytes a number. Ask for float32 first: "
        "batch.astype(…).",
        "batch.astype(np.float32) / 255",
    ),
    needs_keras=True,  # some will call a layer
)
CARRY = Exercise(
    _carry,
    carry,
    (
        "A model can be a layer of another: keras.Sequential([this, that, model]).",
        "keras.layers.Rescaling(1 / 255) multiplies every number by 1 / 255.",
        "keras.Sequential([keras.layers.Input(model.input_shape[1:]), keras.layers.Rescaling(1 / 255), "
        "model])",
    ),
    needs_keras=True,
)
