"""What a `fit` will take at its peak, reckoned from its settings and from what its model was weighed at."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from ..checks import check_choice
from ..images import DTYPES
from ..memory import MemoryLimit, megabytes, memory_limit, memory_now
from .settings import Settings, array_bytes, settings_of

# Binder ends a server that passes "2G" (mybinder.org-deploy, August 2026); we take the smaller reading.
BINDER = MemoryLimit(2 * 10**9, "Binder")
# JupyterLab's server and a kernel that holds no TensorFlow, which live under the same limit there:
# tests/browser weighs both.
BINDER_RESERVE = 250 * 10**6

# What a forked worker adds, and the first of them, by writing to pages that it shared with its parent.
WORKER_BYTES, FORKING_BYTES = 15 * 10**6, 20 * 10**6
# From the second epoch on workers are forked from a parent that has trained, and so much of what its model
# takes is there twice.
MODEL_COPIED = 0.9
# At the most: Python's collector writes to every page of the parent, and each worker holds batches while
# none has arrived: one made, one pickled, half of the next.
COLLECTED_BYTES, BATCHES_IN_A_WORKER = 100 * 10**6, 2.5
# The same model, weighed twice, differed by a tenth, with the order in which TensorFlow's threads ran. Rather
# too much than too little: over the grid of tests/benchmarks/memory_budget.py predictions are 8 % high.
MODEL_IN_A_RUN = 1.08
# How far a peak may go beyond what is expected: this times the growth, two largest tensors more, for
# TensorFlow's threads run in no fixed order, and some bytes for the heaps of threads.
PLAY, TENSORS_OF_PLAY, BYTES_OF_PLAY = 1.1, 2, 16 * 10**6

Limit = str | float | MemoryLimit | None  # what `Forecast.verdict` takes


@dataclass(frozen=True)
class ModelCost:
    """What a model takes in `fit`, besides its batches: a line through two batch sizes.

    Attributes:
        image_shape, dtype: of the images that it was weighed on.
        base: what a process holds that has trained one tiny model: Python, Keras, TensorFlow.
        fixed: weights, gradients, optimizer, and whatever else does not depend on the batch.
        per_image: activations and their gradients, an image.
        tensor_per_image: the largest layer's output, an image.
        largest_weight: the largest array of weights.

    Example:
        >>> cost = ModelCost((256, 256, 1), "float32", 290e6, 10e6, 3e6, 1e6, 4e3)
        >>> round(cost.of(Settings(32, (256, 256, 1))))
        114480000
    """

    image_shape: tuple[int, ...]
    dtype: str
    base: float
    fixed: float
    per_image: float
    tensor_per_image: float
    largest_weight: float

    def fits(self, settings: Settings) -> bool:
        """Whether it was weighed on images of that shape. Else it is scaled with their numbers."""
        return tuple(settings.image_shape) == tuple(self.image_shape)

    def _scale(self, settings: Settings) -> float:
        return math.prod(settings.image_shape) / math.prod(self.image_shape)

    def of(self, settings: Settings) -> float:
        """What the model takes with these settings.

        For images of another size than it was weighed on, activations are scaled with the number of their
        numbers. Weights that grow with the image (`Flatten`, then `Dense`) are not.
        """
        growth = self.fixed + self.per_image * self._scale(settings) * settings.batch_size
        growth *= MODEL_IN_A_RUN
        if self.dtype == "float32" != settings.dtype:  # the model makes float32 of them
            growth += array_bytes((settings.batch_size, *settings.image_shape))
        return growth

    def largest_tensor(self, settings: Settings) -> float:
        output = self.tensor_per_image * self._scale(settings) * settings.batch_size
        return max(output, self.largest_weight)


def batches_alive(settings: Settings, *, full: bool = True) -> int:
    """How many batches are in memory at once.

    With a queue, the Sequence has `max_queue_size + 2` out, however many workers there are: those in the
    queue, the one that waits for a place there, the one in training. TensorFlow copies the last, and for a
    moment holds the copy before it as well. Without a queue, three: in the making, waiting, in training.
    Training that waits for its data keeps its queue empty: then each worker makes one, beside the two in
    training.

    Args:
        settings: see `Settings`.
        full: whether the queue fills.

    Example:
        >>> batches_alive(Settings(32, (256, 256, 1), workers=4, max_queue_size=10))
        14
        >>> batches_alive(Settings(32, (256, 256, 1), workers=4), full=False)
        6
    """
    if not settings.has_queue:
        return 3 if full else 2
    length = settings.length or math.inf
    queued = settings.max_queue_size or math.inf
    return int(min(queued + 2, length) + 2 if full else min(settings.workers, length) + 2)


def _data(settings: Settings, model: float, full: bool) -> dict[str, float]:
    """The parts that come from the data, its workers included."""
    parts = {"batches": batches_alive(settings, full=full) * settings.batch_bytes}
    if settings.forks:
        forked = FORKING_BYTES + settings.workers * WORKER_BYTES
        parts["worker processes"] = forked + MODEL_COPIED * model * full
    if settings.making:
        parts["making of batches"] = max(1, settings.workers) * settings.making
    return parts


@dataclass(frozen=True)
class Verdict:
    """Whether a run fits.

    Attributes:
        answer: "fits", "does not fit" or "too close to call: rehearse it".
        text: the same with its figures, in a sentence or two.
    """

    answer: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Forecast:
    """The peak of a `fit`, predicted.

    Attributes:
        settings, cost: what it was reckoned from; `cost` is None if the model was not weighed.
        parts: what -> bytes, for a queue that fills.
        lowest: the peak if the queue stays empty, since training waits for its data.
        total: the peak with a full queue: the sum of `parts`.
        highest: the peak with all the play that was measured.
    """

    settings: Settings
    cost: ModelCost | None
    parts: dict[str, float]
    lowest: float
    total: float
    highest: float

    @property
    def growth(self) -> float:
        """What `fit` adds to a process that has trained a tiny model before."""
        return self.total - next(iter(self.parts.values()))

    @property
    def largest(self) -> str:
        """The part of the growth that takes most."""
        return max(list(self.parts)[1:], key=self.parts.get)

    def verdict(self, limit: Limit = None, *, reserve: float | None = None) -> Verdict:
        """Whether the run fits under a limit.

        Args:
            limit: bytes, a `MemoryLimit`, or "binder"; None asks `memory_limit()`.
            reserve: bytes of the limit that others take: a server, another kernel. None keeps 250 MB for
                JupyterLab on Binder, and none elsewhere.

        Example:
            >>> forecast = predict(None, batch_size=32, image_shape=(256, 256, 1), base=300e6)
            >>> forecast.verdict("binder").answer
            'fits'
        """
        limit, reserve = _as_limit(limit, reserve)
        left = limit.bytes - reserve
        if self.highest <= left:
            answer = "fits"
        elif self.total - 0.1 * self.growth > left:
            answer = "does not fit"
        else:
            answer = "too close to call: rehearse it"
        under = f"{megabytes(limit.bytes)} ({limit.source})"
        if reserve:
            under += f", less {megabytes(reserve)} for what else runs there"
        text = (
            f"{answer[0].upper()}{answer[1:]}. About {megabytes(self.total)} at the peak, "
            f"{megabytes(self.highest)} at the most, under {under}."
        )
        if answer == "does not fit" and self.lowest <= left:
            text += f" Only with a queue that stays empty it would: {megabytes(self.lowest)}."
        if self.cost is None:
            text += " The model's own part is not counted."
        return Verdict(answer, text)

    def advice(self, limit: Limit = None, *, reserve: float | None = None) -> list[str]:
        """What to change first, each change tried by the same rules.

        On top what costs nothing; then what reads more slowly, or trains otherwise. Of each, first what saves
        most.

        Args:
            limit, reserve: as for `verdict`.

        Returns:
            Sentences such as "max_queue_size 10 → 2 saves 134 MB: fits"; none for what saves under 1 MB, or
            under 2 % of what `fit` adds.

        Example:
            >>> settings = dict(batch_size=32, image_shape=(256, 256, 1), workers=2)
            >>> predict(None, **settings, base=300e6).advice("binder")[0]
            'dtype float32 → uint8 saves 88 MB: fits'
        """
        base, tried = self.total - self.growth, []
        for words, price, changed in _changes(self.settings):
            other = _forecast(self.cost, changed, base)
            saved, answer = self.total - other.total, other.verdict(limit, reserve=reserve).answer
            if saved >= max(1e6, 0.02 * self.growth):
                tried.append((bool(price), -saved, f"{words} saves {megabytes(saved)}{price}: {answer}"))
        return [said for *_, said in sorted(tried)]

    def __str__(self) -> str:
        lines = [f"{megabytes(size):>8}  {name}" for name, size in self.parts.items()]
        lines += [f"{megabytes(self.total):>8}  at the peak; the largest part that fit adds: {self.largest}"]
        return "\n".join(lines)


def _changes(settings: Settings) -> Iterator[tuple[str, str, Settings]]:
    """What one might change, what it costs in words, and what the settings are then."""
    queue, workers = settings.max_queue_size, settings.workers
    if settings.has_queue and (queue > 2 or queue == 0):
        yield f"max_queue_size {queue} → 2", "", replace(settings, max_queue_size=2)
    if settings.dtype != "uint8":
        yield f"dtype {settings.dtype} → uint8", "", replace(settings, dtype="uint8")
    if settings.forks:
        yield "processes → threads", "", replace(settings, use_multiprocessing=False)
    if workers > 1:
        alone = replace(settings, workers=1, use_multiprocessing=False)
        yield f"workers {workers} → 1", " and reads one batch at a time", alone
    if settings.batch_size > 1:
        half = settings.batch_size // 2
        words = f"batch_size {settings.batch_size} → {half}"
        yield words, " and is another training", replace(settings, batch_size=half)


def _as_limit(limit: Limit, reserve: float | None) -> tuple[MemoryLimit, float]:
    """The limit, and what others take of it, from what `Forecast.verdict` is given."""
    if isinstance(limit, str):
        check_choice("limit", limit, ("binder",))
        return BINDER, BINDER_RESERVE if reserve is None else reserve
    if limit is None:
        limit = memory_limit()
    elif not isinstance(limit, MemoryLimit):
        limit = MemoryLimit(limit, "given")
    return limit, reserve or 0


def predict(
    cost: ModelCost | None, sequence: Any = None, *, base: float | None = None, **settings: Any
) -> Forecast:
    """The peak of a `fit` before it runs. Arithmetic, apart from the first batch, fetched from a Sequence.

    Args:
        cost: what the model takes, from `weigh_model`. None reckons the data's part alone.
        sequence: the Sequence or its `Settings`; else give `settings` by name. `image_shape` and `dtype` are
            then the cost's, unless you say otherwise.
        base: bytes that the process holds before `fit`; None takes the cost's, or without one this process'.
        settings: see `Settings`. The dtype is what the Sequence serves, "float32" or "uint8".

    Returns:
        The Forecast. Not counted are validation data (it has a queue of its own while it runs), what a GPU
        holds, and, with settings by name, what `__getitem__` takes for a moment: give the Sequence.

    Raises:
        TypeError: neither a Sequence nor settings, or both.
        ValueError: a setting is out of range.

    Example:
        >>> cost = ModelCost((256, 256, 1), "float32", 290e6, 10e6, 3e6, 1e6, 4e3)
        >>> print(predict(cost, batch_size=32, workers=2))
          290 MB  Python and Keras
          117 MB  batches
          114 MB  model
          522 MB  at the peak; the largest part that fit adds: batches
    """
    if (sequence is None) == (not settings):
        raise TypeError(
            "predict takes a Sequence or its settings by name (batch_size=32, ...), one of the two"
        )
    if sequence is None:
        if cost is not None:
            settings = {"image_shape": cost.image_shape, "dtype": cost.dtype} | settings
        sequence = Settings(**settings)
        check_choice("dtype", sequence.dtype, DTYPES)
    elif not isinstance(sequence, Settings):
        sequence = settings_of(sequence)
    if base is None:
        base = memory_now() if cost is None else cost.base
    return _forecast(cost, sequence, base)


def _forecast(cost: ModelCost | None, settings: Settings, base: float) -> Forecast:
    """The Forecast for these settings; see `predict`."""
    model = 0 if cost is None else cost.of(settings)
    name = "this process" if cost is None else "Python and Keras"
    parts = {name: base, **_data(settings, model, full=True)}
    if cost is not None:
        parts["model"] = model
    total = sum(parts.values())
    lowest = base + model + sum(_data(settings, model, full=False).values())
    play = BYTES_OF_PLAY + (0 if cost is None else TENSORS_OF_PLAY * cost.largest_tensor(settings))
    if settings.forks:
        play += COLLECTED_BYTES + settings.workers * BATCHES_IN_A_WORKER * settings.batch_bytes
    return Forecast(settings, cost, parts, lowest, total, base + PLAY * (total - base) + play)
