"""What a `fit` takes, found out in child processes: a model is weighed, a run is rehearsed."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..checks import check_choice
from ..images import DTYPES
from ..memory import Outcome, megabytes, memory_free, run_limited
from .arithmetic import ModelCost, batches_alive
from .settings import Settings

# What a child loads before its memory counts.
WARM_UP = ("course_utils.budget._warm_up", "course_utils.budget._child")
FEW, MANY = 16, 64  # images a batch; the line goes through what both take


class TrainingFailed(RuntimeError):
    """The child could not train the model; the message says why."""


def weigh_model(
    build_model: Callable[..., Any],
    image_shape: tuple[int, ...],
    dtype: str = "float32",
    *,
    label_shape: tuple[int, ...] | None = None,
    progress: Callable[[str], None] | None = None,
    timeout: float = 180,
    stop: threading.Event | None = None,
) -> ModelCost:
    """What a model takes in `fit`, whatever the batch size: two children train it for twelve steps each.

    One trains on batches of 16, the other on batches of 64. If 64 might take more than
    half of the memory that is free, they take 4 and 16. A child takes about 7 seconds, most of it TensorFlow.

    Args:
        build_model: a function of `image_shape`, or without arguments, that returns a compiled model of one
            input. It runs in the child and imports there what it needs.
        image_shape: (height, width, channels).
        dtype: of the images that the Sequence will serve, "float32" or "uint8".
        label_shape: of one image's label; None takes the model's output, a whole number for losses that are
            called sparse.
        progress: called with a few words before each child, such as `print`.
        timeout: seconds for each child.
        stop: an event that, once set, ends the child.

    Raises:
        TrainingFailed: the model cannot be built, or not trained.
        TypeError: `build_model` cannot be sent to a child; the message says what to do.

    Example:
        >>> cost = weigh_model(build_model, (64, 64, 1))
        >>> predict(cost, batch_size=32).verdict("binder").answer
        'fits'
    """
    check_choice("dtype", dtype, DTYPES)
    sizes, weighed = [FEW, MANY], {}
    for at in (0, 1):
        if at and weighed[FEW].growth * MANY / FEW > memory_free() / 2:
            sizes[1] = FEW // 4
        if progress:
            progress(f"weighing the model: {at + 1} of 2, batches of {sizes[at]}")
        settings = _weighing(sizes[at], image_shape, dtype)
        arguments = build_model, settings, label_shape
        weighed[sizes[at]] = _in_child("weigh", arguments, timeout=timeout, stop=stop)
        if weighed[sizes[at]].ended != "finished":
            raise TrainingFailed(f"weighing the model on {sizes[at]} images: {_why(weighed[sizes[at]])}")
    few, many = sorted(weighed)
    low, high = (weighed[n].growth - _data_of(_weighing(n, image_shape, dtype)) for n in (few, many))
    per_image = max(0.0, (high - low) / (many - few))
    told = weighed[many].value
    return ModelCost(
        image_shape=tuple(image_shape),
        dtype=dtype,
        base=min(outcome.baseline for outcome in weighed.values()),
        fixed=max(0.0, low - few * per_image),
        per_image=per_image,
        tensor_per_image=told["tensor_per_image"] or per_image,
        largest_weight=told["largest_weight"],
    )


def _weighing(batch_size: int, image_shape: tuple[int, ...], dtype: str) -> Settings:
    """How a model is weighed: through a queue, as loaders make TensorFlow's threads wait for a core."""
    return Settings(batch_size, tuple(image_shape), dtype, workers=2, max_queue_size=1)


def _data_of(settings: Settings) -> int:
    return batches_alive(settings) * settings.batch_bytes


@dataclass(frozen=True)
class Rehearsal:
    """What a `fit` on the first batches took.

    Attributes:
        outcome: of the child: how it `ended` ("finished", or "limit" by its allowance), and its curve.
        parts: what -> bytes at the peak, as far as it can be told apart; of a run that died, what it had.
        queue_filled: whether the queue was full, as it is when training is slower than loading.
        batches: how many batches of the Sequence each of two epochs had.
    """

    outcome: Outcome
    parts: dict[str, int]
    queue_filled: bool
    batches: int

    @property
    def fits(self) -> bool:
        """Whether it came to its end."""
        return self.outcome.ended == "finished"

    @property
    def peak(self) -> int:
        """The most bytes taken by the process that trained, workers included."""
        return self.outcome.peak

    @property
    def growth(self) -> int:
        """What `fit` added to a process that had trained a tiny model before."""
        return self.outcome.growth

    def __str__(self) -> str:
        if not self.fits:
            return (
                f"Died of its allowance of {megabytes(self.outcome.allowance)}: {self.outcome.reason}."
                if self.outcome.allowance else f"Died: {self.outcome.reason}."
            )  # fmt: skip
        parts = ", ".join(f"{name} {megabytes(size)}" for name, size in self.parts.items())
        return f"{megabytes(self.peak)} at the peak: {parts}."


def rehearse(
    build_model: Callable[..., Any],
    sequence: Any,
    *,
    allowance: float | None = None,
    fit_options: Mapping[str, Any] = MappingProxyType({}),
    timeout: float = 180,
    stop: threading.Event | None = None,
) -> Rehearsal:
    """Trains in a child, for real, on the first batches of a Sequence, with the queue filled on purpose.

    Two epochs of as many batches as fill the queue, and five more; training is held back after the first ones
    until the queue is full. Your Sequence here moves to no other epoch, and no process is left.

    Args:
        build_model: as for `weigh_model`; it gets the shape of one image, or nothing.
        sequence: a Sequence, or a function without arguments that makes one in the child. Either may be
            defined in a cell.
        allowance: bytes that the `fit` may add; None for as many as there are. See `run_limited`, which
            counts a little more than is used.
        fit_options: more arguments of `fit`, such as `class_weight` or `validation_data`.
        timeout: seconds for the child.
        stop: an event that, once set, ends the child.

    Returns:
        The Rehearsal. One that died of its allowance is an answer, no error.

    Raises:
        TrainingFailed: the child failed for another reason: an error in the model or the Sequence, the time
            limit, or `stop`.
        TypeError: the Sequence or the function cannot be sent to a child; the message says what to do.

    Example:
        >>> rehearsal = rehearse(build_model, ImageSequence(paths, labels, 16, (64, 64)))
        >>> rehearsal.fits
        True
    """
    arguments = build_model, sequence, dict(fit_options)
    outcome = _in_child("rehearse", arguments, allowance=allowance, timeout=timeout, stop=stop)
    if outcome.ended not in ("finished", "limit"):
        raise TrainingFailed(f"the rehearsal: {_why(outcome)}")
    told = outcome.value or {"data": 0, "queue_filled": False, "batches": 0}
    parts = {"Python and Keras": outcome.baseline}
    if told["data"]:
        parts["batches"] = told["data"]
    parts["model and workers" if told["data"] else "fit"] = max(0, outcome.peak - sum(parts.values()))
    return Rehearsal(outcome, parts, told["queue_filled"], told["batches"])


def _in_child(job: str, arguments: tuple, **options: Any) -> Outcome:
    try:
        return run_limited(_call, job, arguments, imports=WARM_UP, **options)
    except TypeError as error:
        raise TypeError(
            f"{error}. A model, an open file or a database cannot travel: give a function that makes the "
            "model or the Sequence, and let it open there what it needs"
        ) from error


def _call(job: str, arguments: tuple) -> Any:
    from . import _child

    return getattr(_child, job)(*arguments)


def _why(outcome: Outcome) -> str:
    return f"{outcome.reason}\n{outcome.error}".strip()
