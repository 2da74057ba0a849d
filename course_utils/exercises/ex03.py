"""Notebook 03: grey values 0 to 255 to the range 0 to 1."""

import numpy as np

from .core import Exercise, Verdict


def to_unit(batch):
    return batch.astype(np.float32) / 255


def _judge(answer) -> Verdict:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    dark = ramp // 2
    batch = ramp.copy()
    got = answer(batch)
    if got is ...:
        return Verdict(
            "not yet", "Your function returns dots so far: replace them, then run both cells again."
        )
    if got is None:
        return Verdict("wrong", "Your function gives nothing back. Which word hands a result to the caller?")
    if not np.array_equal(batch, ramp):
        return Verdict(
            "wrong", "Your function changes the batch that it is given: called twice, it divides twice. "
            "How can it return a new array?",
        )  # fmt: skip
    got = np.asarray(got)
    if got.shape != ramp.shape:
        return Verdict("wrong", f"A batch of shape {ramp.shape} became {got.shape}.")
    low, high = float(got.min()), float(got.max())
    did = f"Yours turns the greys 0 to 255 into {low:.3g} to {high:.3g}, as {got.dtype}."
    if got.dtype.kind in "iu":
        if high > 1:
            return Verdict("wrong", f"{did} That is the range you were given. What do you divide by?")
        return Verdict(
            "wrong", f"{did} Whole numbers from 0 to 1 are few. Which kind of number has fractions?"
        )
    steps = np.diff(got.astype(float).ravel())
    if (steps <= 0).all():
        return Verdict("wrong", f"{did} Dark has become bright, and bright dark. What should 0 become?")
    if (steps < 0).any():
        at = int(np.argmin(steps))
        return Verdict(
            "wrong",
            f"{did} It climbs, then falls: grey {at} becomes {got.flat[at]:.3g}, "
            f"grey {at + 1} {got.flat[at + 1]:.3g}. "
            "uint8 has no numbers below 0 and none above 255: what does 3 - 10 give there?",
        )
    if low < -0.1:
        return Verdict("wrong", f"{did} Its middle is 0; the task asks for 0 to 1. Is a subtraction needed?")
    if abs(high - 1) > 1e-3 or abs(low) > 1e-3:
        return Verdict("wrong", f"{did} Which constant is the largest grey that a file can hold?")
    of_dark = float(np.asarray(answer(dark.copy())).max())
    if abs(of_dark - 1) < 1e-3:
        return Verdict(
            "wrong",
            f"{did} A darker batch, 0 to 127, becomes 0 to {of_dark:.3g} too: the same grey is another "
            "number in another batch. Which number is the same for every batch?",
        )
    if got.dtype != np.float32:
        times = got.itemsize
        return Verdict(
            "wrong",
            f"{did} That is {times} bytes a pixel, {times} times the batch you were given. "
            "Which dtype do networks use, and where can you ask for it?",
        )
    if not np.allclose(got, ramp / 255, atol=1e-5):
        return Verdict("wrong", f"{did} Grey 100 becomes {got.flat[100]:.4g}: expected 100 / 255 = 0.3922.")
    return Verdict("right", f"{did} One constant, so the same grey is the same number in every batch.")


EXERCISE = Exercise(
    _judge,
    to_unit,
    (
        "The greys of a file are 0 to 255, whatever the batch. What do you divide by?",
        "uint8 divided by a Python float gives float64, 8 bytes a number. Ask for float32 first: "
        "batch.astype(…).",
        "batch.astype(np.float32) / 255",
    ),
)
