"""Is training waiting for data? Reading alone, training alone, and both together, in turns."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import keras

from .checks import check_whole


class Waiting(NamedTuple):
    """What a batch takes, in seconds, and the share of training that is spent waiting.

    Attributes:
        read: to read it, with nothing else going on.
        train: to train on it, when it is in memory already.
        together: of `fit` on the Sequence.
        share: of `together` that is more than `train`, 0 to 1: at most so much would better loading save.

    Example:
        >>> print(Waiting(read=0.030, train=0.050, together=0.060, share=1 / 6))
        A batch takes 30 ms to read, 50 ms to train on, 60 ms together: training waits 17 % of the time.
    """

    read: float
    train: float
    together: float
    share: float

    def __str__(self) -> str:
        read, train, together = (f"{1000 * seconds:.3g} ms" for seconds in self[:3])
        return (
            f"A batch takes {read} to read, {train} to train on, {together} together: "
            f"training waits {self.share:.0%} of the time.".replace("%", " %")
        )


class _First(keras.utils.PyDataset):
    """The first batches of a Sequence."""

    def __init__(self, sequence, batches: int):
        options = {name: getattr(sequence, name) for name in ("workers", "use_multiprocessing")}
        super().__init__(**options, max_queue_size=sequence.max_queue_size)
        self.sequence, self.batches = sequence, batches

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int):
        return self.sequence[index]


class _Again(keras.utils.PyDataset):
    """One batch, again and again: nothing is to be read."""

    def __init__(self, batch, batches: int):
        super().__init__()
        self.batch, self.batches = batch, batches

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int):
        return self.batch


def measure_waiting(
    model: keras.Model, sequence: keras.utils.PyDataset, batches: int = 16, rounds: int = 5
) -> Waiting:
    """Reads, trains, and does both, in turns, on the first batches of a Sequence of anybody's.

    Whatever else the machine does falls on all three; the figures are medians. Loading and training share
    the cores, so that even a loader that never lets training wait makes it slower where there are few.

    Args:
        model: compiled. It is trained: give it one whose weights you do not need.
        sequence: any `keras.utils.PyDataset`. Its epoch stays what it is.
        batches: of it, in each epoch that is measured.
        rounds: of which there is one more, to warm up.

    Raises:
        ValueError: `batches` or `rounds` is no whole number of at least 1, or the Sequence has fewer batches.

    Example:
        >>> sequence = ImageSequence(paths, labels, 8, (64, 64))
        >>> 0 <= measure_waiting(model, sequence, batches=4, rounds=1).share <= 1
        True
    """
    check_whole("rounds", rounds, 1)
    check_whole("batches", batches, 1)
    if batches > len(sequence):
        raise ValueError(f"batches must be at most those of the Sequence, {len(sequence)}; got {batches}")
    still, moving = _Again(sequence[0], batches), _First(sequence, batches)

    def read() -> None:
        for index in range(batches):
            sequence[index]

    measures = (lambda: _seconds(read), lambda: _epoch(model, still), lambda: _epoch(model, moving))
    turns = [[measure() / batches for measure in measures] for _ in range(rounds + 1)][1:]
    shares = [max(0.0, 1 - train / together) for _, train, together in turns]
    return Waiting(*map(statistics.median, zip(*turns, strict=True)), statistics.median(shares))


def _seconds(function: Callable[[], None]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _epoch(model: keras.Model, sequence: keras.utils.PyDataset) -> float:
    """Seconds of a second epoch: the first of every `fit` also reads two batches more."""
    begins, ends = [], []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda *_: begins.append(time.perf_counter()),
        on_epoch_end=lambda *_: ends.append(time.perf_counter()),
    )
    model.fit(sequence, epochs=2, shuffle=False, verbose=0, callbacks=[clock])
    return ends[1] - begins[1]
