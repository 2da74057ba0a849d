"""Who in Keras calls us: Keras tells a Sequence neither which method runs nor which epoch it is in.

So we look at the frames of the call (Keras 3.13 to 3.15). Should Keras rename its methods, epochs would still
differ, only their numbers would be others, and what is a warning here would be none;
tests/test_sequences.py would say so.
"""

import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any


def _keras_frames() -> Iterator[FrameType]:
    """The frames of Keras' own code that led here, the innermost first."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith("keras.src."):
            yield frame
        frame = frame.f_back


def method() -> tuple[str, int | None]:
    """Which of a model's methods this is for, and the epoch that Keras counts; "" if none.

    Returns:
        "fit" and its epoch; "evaluate", "predict" or "reset" (called once before the first epoch) and None.
    """
    for frame in _keras_frames():
        name = frame.f_code.co_name
        if name == "fit":
            return name, frame.f_locals.get("epoch")
        if name in ("reset", "evaluate", "predict"):
            return name, None
    return "", None


def steps() -> int | None:
    """How many batches `fit` is to take an epoch, `evaluate` or `predict` at all; None for all there are."""
    for frame in _keras_frames():
        if frame.f_code.co_name in ("fit", "evaluate", "predict"):
            name = "steps_per_epoch" if frame.f_code.co_name == "fit" else "steps"
            return frame.f_locals.get(name)
    return None


def class_weight_given() -> bool:
    """Whether `fit` was given a `class_weight`."""
    owners = (frame.f_locals.get("self") for frame in _keras_frames())
    return any(getattr(owner, "class_weight", None) is not None for owner in owners)


def enqueuer() -> Any:
    """The queue that the `fit` reads from that called us; None if there is none."""
    for frame in _keras_frames():
        if adapter := getattr(frame.f_locals.get("epoch_iterator"), "data_adapter", None):
            return getattr(adapter, "enqueuer", None)
    return None
