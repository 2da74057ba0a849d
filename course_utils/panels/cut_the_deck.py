"""*Cut the deck*, and the picture of it."""

from collections.abc import Sequence

from matplotlib.patches import Rectangle

from ..order import cut
from ..plots import BLUE, GREEN, ORANGE, PINK, RED, SKY, Picture, new_figure
from .panel import Panel, dropdown, number_and_slider

BATCH_COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, RED)


class CutTheDeck(Panel):
    """*Cut the deck*: n samples in batches; who is in which batch, and who is in none."""

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
            self.index.value = 0  # calls draw again; this call goes on with the same result
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
        parts.append(f"{unseen} images never seen" if unseen else "every image seen once")
        if batches and len(batches[chosen]):
            members = batches[chosen]
            parts.append(f"batch {chosen} is images {members[0]} to {members[-1]}")
        sentence = "; ".join(parts) + "."
        return sentence, deck(n, batches, chosen, alt=f"Cut the deck. {sentence}")


def deck(n: int, batches: Sequence[range], chosen: int, *, alt: str) -> Picture:
    """One cell a sample, coloured by batch; those in no batch are hatched, the chosen batch is framed."""
    columns = 25
    rows = -(-n // columns)
    figure, axes = new_figure(height=0.7 + 0.42 * rows)
    owner = {position: b for b, batch in enumerate(batches) for position in batch}
    for position in range(n):
        b = owner.get(position)
        framed = b == chosen
        axes.add_patch(
            _cell(position % columns, position // columns, BATCH_COLOURS[b % 6] if b is not None else "white",
                  "" if b is not None else "////", 2.5 if framed else 0.5)
        )  # fmt: skip
        axes.text(position % columns + 0.5, position // columns + 0.5, position, ha="center", va="center",
                  fontsize=7, fontweight="bold" if framed else "normal",
                  bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.9})  # fmt: skip
    axes.set(xlim=(-0.1, columns + 0.1), ylim=(rows + 0.1, -0.1), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return Picture(figure, alt)


def _cell(x, y, colour, hatch, width):
    return Rectangle((x + 0.04, y + 0.06), 0.92, 0.88, facecolor=colour, hatch=hatch, edgecolor="black",
                     linewidth=width)  # fmt: skip
