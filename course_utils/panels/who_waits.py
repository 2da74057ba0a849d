"""*Who waits?*, of notebook 05: how fast batches are read, and how fast a model trains on them."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..plots import BLUE, ORANGE, Picture, new_figure
from ..sources import Source
from .panel import Panel, dropdown, number_and_slider

LOOK = 64  # images that are read, and trained on, for one picture


class WhoWaits(Panel):
    """*Who waits?*: images a second, read and augmented, and trained on.

    Both are measured anew with every change, one after the other, so that neither takes the other's cores.

    Args:
        sources: what to call them -> sources of the same images.
        labels: one an image.
        model: a compiled Keras model that takes the images. It is trained.
    """

    title = "Who waits?"

    def __init__(self, sources: Mapping[str, Source], labels: np.ndarray, model: Any):
        self.sources, self.labels, self.model = dict(sources), np.asarray(labels), model
        self.source = dropdown("Pictures from", list(self.sources), next(iter(self.sources)))
        self.batch_size = dropdown("Batch size", [4, 16, 64], 16)
        self.strength, self.slider, self._links = number_and_slider(
            "Augmentation strength", 0.0, 1.0, 0.0, 0.1
        )
        super().__init__([[self.source, self.batch_size], [self.strength, self.slider]])

    def draw(self) -> tuple[str, Picture]:
        from ..sequences import AugmentingImageSequence  # here: other panels need no Keras

        source, n = self.sources[self.source.value], self.batch_size.value
        sequence = AugmentingImageSequence.from_source(
            source, self.labels, n, augment=self.strength.value > 0, strength=self.strength.value,
            horizontal_flip=False, vertical_flip=False, shuffle=True,
        )  # fmt: skip
        turns, (images, labels) = max(1, LOOK // n), sequence[0]

        def read_one(turn: int) -> int:
            return len(sequence[turn % len(sequence)][0])

        def train_one(turn: int) -> int:
            self.model.train_on_batch(images, labels)
            return len(images)

        read, trained = _images_a_second(read_one, turns), _images_a_second(train_one, turns)
        times = max(read, trained) / min(read, trained)
        who = "Training waits for data" if read < trained else "Data waits for training"
        sentence = (
            f"From {self.source.value}, batches of {n}, strength {self.strength.value:g}: {read:,.0f} images "
            f"a second are read, {trained:,.0f} trained on. {who}: the faster is "
            f"{times:.{1 if times < 10 else 0}f} times as fast."
        )
        return sentence, _two_bars(read, trained, alt=f"{self.title} {sentence}")


def _images_a_second(step: Callable[[int], int], turns: int) -> float:
    """Of steps that each return how many images they had: a last batch may be smaller."""
    step(0)  # warms up: a model compiles for every new size of batch
    begin = time.perf_counter()
    images = sum(step(turn) for turn in range(turns))
    return images / (time.perf_counter() - begin)


def _two_bars(read: float, trained: float, *, alt: str) -> Picture:
    figure, axes = new_figure(height=1.9)
    bars = axes.barh(["read", "trained on"], [read, trained], color=[BLUE, ORANGE], height=0.6)
    bars[1].set_hatch("//")
    axes.bar_label(bars, [f"{value:,.0f}" for value in (read, trained)], padding=4)
    axes.invert_yaxis()
    axes.set(xscale="log", xlabel="images a second; each mark is ten times the one before")
    # The same scale in every picture, unless a machine is faster than any we know: bars can be compared.
    axes.set_xlim(10, 10 ** max(6, math.ceil(math.log10(max(read, trained)))))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    return Picture(figure, alt)
