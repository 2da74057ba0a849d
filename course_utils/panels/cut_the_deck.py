"""*Cut the deck*, and the picture of it."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from ..order import cut
from ..plots import BLUE, GREEN, ORANGE, RED, SKY, YELLOW, Picture
from .panel import Panel, dropdown, number_and_slider

# In this order neighbours differ to colour-blind eyes too, and in grey: tests/test_seen_by_all.py.
BATCH_COLOURS = (BLUE, ORANGE, RED, SKY, GREEN, YELLOW)
COLUMNS = 25


class CutTheDeck(Panel):
    """*Cut the deck*: n samples in batches; who is in which batch, and who is in none."""

    title = "Cut the deck"

    def __init__(self):
        self.images = dropdown("Images", [5, 96, 100], 100)
        self.batch_size = dropdown("Batch size", [1, 7, 32, 96, 100, 128], 32)
        self.rule = dropdown("Number of batches", ["ceil", "floor", "floor + 1"], "ceil")
        self.index, self.slider, self._links = number_and_slider("Batch index", 0, 3, 0)
        super().__init__([[self.images, self.batch_size, self.rule], [self.index, self.slider]])

    def draw(self) -> tuple[str, Picture]:
        n, size, rule = self.images.value, self.batch_size.value, self.rule.value
        batches = cut(n, size, rule)
        last_index = max(len(batches) - 1, 0)
        if self.index.value > last_index:
            self.index.value = 0
        self.index.max = last_index
        chosen = self.index.value
        unseen = n - sum(map(len, batches))
        count = f"{len(batches)} batch" + ("es" if len(batches) != 1 else "")
        parts = [f"{n} images in {size}s, {rule}: {count}"]
        if not batches:
            parts.append("an epoch of nothing")
        elif not len(batches[-1]):
            parts.append("the last one is empty: fit stops with an error, or the model learns NaN")
        else:
            parts.append(f"the last holds {len(batches[-1])}")
        never = f"{unseen} images never seen, {n - unseen} to {n - 1}"
        parts.append(never if unseen else "every image seen once")
        if batches and len(batches[chosen]):
            members = batches[chosen]
            parts.append(f"batch {chosen} is images {members[0]} to {members[-1]}")
        sentence = "; ".join(parts) + "."
        return sentence, deck(n, batches, chosen, alt=f"{self.title}. {sentence}")


def deck(n: int, batches: Sequence[range], chosen: int, *, alt: str) -> Picture:
    """One cell a sample, coloured by batch; those in no batch are hatched, the chosen batch is framed."""
    rows = -(-n // COLUMNS)
    # Drawn anew at each move of the slider: two collections of cells instead of n patches, and no layout.
    figure = Figure(figsize=(7.5, 0.2 + 0.42 * rows))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-0.1, COLUMNS + 0.1), ylim=(rows + 0.2, -0.2))
    axes.set_axis_off()
    owner = np.full(n, -1)
    for b, batch in enumerate(batches):
        owner[batch.start : batch.stop] = b
    cells, seen, framed = _cells(n), owner >= 0, owner == chosen
    colours = [BATCH_COLOURS[b % len(BATCH_COLOURS)] for b in owner[seen]]
    axes.add_collection(
        PolyCollection(cells[seen], facecolors=colours, edgecolors="black",
                       linewidths=np.where(framed, 2.5, 0.5)[seen]),
        autolim=False,
    )  # fmt: skip
    axes.add_collection(
        # Hatched in a light grey, so that the number on it can be read.
        PolyCollection(cells[~seen], facecolors="white", edgecolors="#a0a0a0", hatch="////", linewidths=1),
        autolim=False,
    )
    for position, (x, y) in enumerate(cells.mean(axis=1)):
        # Of black and white the one that stands out more: at least 5 to 1 on each of the colours.
        dark = seen[position] and BATCH_COLOURS[owner[position] % len(BATCH_COLOURS)] == BLUE
        axes.text(x, y, position, ha="center", va="center", fontsize=8, color="white" if dark else "black",
                  fontweight="bold" if framed[position] else "normal")  # fmt: skip
    return Picture(figure, alt)


def _cells(n: int) -> np.ndarray:
    """The corners of n cells, row by row: an array (n, 4, 2)."""
    y, x = np.divmod(np.arange(n), COLUMNS)
    corners = np.array([(0.06, 0.08), (0.94, 0.08), (0.94, 0.92), (0.06, 0.92)])
    return np.stack([x, y], axis=1)[:, None] + corners
