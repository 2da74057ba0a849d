"""Figures -> PNG bytes with alt text: what notebooks and several panels draw. Nothing is left open."""

import base64
import html
import io
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .checks import check_guess
from .memory import Outcome, PeakMeter, megabytes

# Okabe and Ito's colours, told apart by colour-blind eyes; each is paired with a label or a hatch.
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#767676"
PINK, SKY = "#cc79a7", "#56b4e9"


class Picture:
    """A figure as a notebook shows it: a PNG that carries its alt text.

    Attributes:
        png: the bytes of the picture.
        alt: what it shows, in words, figures included. nbval compares it, the pixels it does not.
    """

    def __init__(self, figure: Figure, alt: str):
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=110, facecolor="white")  # readable on a dark theme too
        self.png, self.alt = buffer.getvalue(), alt

    @property
    def base64(self) -> str:
        return base64.b64encode(self.png).decode("ascii")

    @property
    def html(self) -> str:
        """An <img> element; the alt text is escaped."""
        # JupyterLab gives an image/png output no alt text, so the picture goes out as HTML as well.
        return (
            f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{self.base64}" '
            'style="max-width: 100%">'
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/plain": self.alt, "image/png": self.base64, "text/html": self.html}


def draw_image(axes, image: np.ndarray) -> None:
    """Draws an image (height, width) or (height, width, 1 or 3), values 0 to 255: grey, or in its colours."""
    image = np.squeeze(image, axis=-1) if image.shape[2:] == (1,) else image
    # Matplotlib takes colours as whole numbers to 255, or as floats to 1.
    axes.imshow(np.clip(image, 0, 255).astype(np.uint8), cmap="gray", vmin=0, vmax=255)


def new_figure(width: float = 7.5, height: float = 2.6):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def bars(sizes: Mapping[str, float], *, limit=None, guess: float | None = None, unit: float = 1) -> Picture:
    """Horizontal bars of memory; those past the limit are red and hatched.

    Args:
        sizes: what -> bytes, from top to bottom.
        limit: bytes, a last bar in grey; None for none.
        guess: the learner's guess, a dashed line; None for none.
        unit: bytes that one unit of the guess means.

    Returns:
        The picture; its alt text lists all figures.
    """
    guess = None if check_guess(guess) is None else guess * unit
    past = [limit is not None and size > limit for size in sizes.values()]
    colours = [RED if p else BLUE for p in past]
    if limit is not None:
        sizes, colours = {**sizes, "limit": limit}, [*colours, GREY]
    figure, axes = new_figure(height=0.9 + 0.45 * len(sizes))
    drawn = axes.barh(list(sizes), [size / 1e6 for size in sizes.values()], color=colours, height=0.6)
    for bar, over in zip(drawn, past, strict=False):
        bar.set(hatch="//" if over else "", edgecolor="white")
    clear = {"facecolor": "white", "edgecolor": "none", "pad": 1}  # where the guess's line would cross it
    axes.bar_label(drawn, [megabytes(size) for size in sizes.values()], padding=4, bbox=clear, zorder=3)
    said = [f"{name}: {megabytes(size)}" for name, size in sizes.items()]
    if guess is not None:
        axes.axvline(guess / 1e6, color="black", linestyle="--")
        axes.annotate(f"your guess: {megabytes(guess)}", (guess / 1e6, 1), (4, 0), va="bottom",
                      xycoords=("data", "axes fraction"), textcoords="offset points")  # fmt: skip
        said.append(f"your guess: {megabytes(guess)}")
    axes.invert_yaxis()
    axes.set_xlabel("MB")
    axes.margins(x=0.15)
    return Picture(figure, f"Bars. {'; '.join(said)}.")


def curves(
    runs: Mapping[str, PeakMeter | Outcome], *, limit: float, guess: float | None = None, unit: float = 1
) -> Picture:
    """Memory over time, a line a run; a run that died at its limit ends in a cross.

    Args:
        runs: name -> what was measured, by a meter or in a child.
        limit: the allowance in bytes above the start, drawn as a line.
        guess: the learner's guess above the start, a dashed line; None for none.
        unit: bytes that one unit of the guess means.

    Returns:
        The picture; its alt text says how high each run went and how it ended.
    """
    guess = None if check_guess(guess) is None else guess * unit
    figure, axes = new_figure(height=3.2)
    said = []
    for (name, run), colour, style in zip(runs.items(), (RED, BLUE, GREEN), ("-", "-", "--"), strict=False):
        died = getattr(run, "ended", "finished") == "limit"
        sizes = (np.array(run.bytes) - run.baseline) / 1e6
        last = int(sizes.argmax()) if died else len(sizes) - 1  # what follows is the child giving it back
        axes.plot(run.seconds[: last + 1], sizes[: last + 1], style, color=colour, linewidth=2.2)
        if died:
            axes.plot(run.seconds[last], sizes[last], "x", color=colour, markersize=12, markeredgewidth=3)
        axes.annotate(f"{name}{', killed' if died else ''}", (run.seconds[last], sizes[last]), (10, -14),
                      textcoords="offset points", color=colour, fontweight="bold")  # fmt: skip
        said.append(
            f"{name} climbs to {megabytes(run.growth)} and is killed" if died else
            f"{name} stays below {megabytes(run.growth)} for {run.seconds[-1]:.1f} s"
        )  # fmt: skip
    axes.axhline(limit / 1e6, color="black", linewidth=1.5)
    axes.annotate(f"allowance: {megabytes(limit)}", (1, limit / 1e6), xycoords=("axes fraction", "data"),
                  ha="right", va="bottom")  # fmt: skip
    if guess is not None:
        axes.axhline(guess / 1e6, color="black", linestyle="--")
        axes.annotate(f"your guess: {megabytes(guess)}", (0, guess / 1e6), (4, 2), va="bottom",
                      xycoords=("axes fraction", "data"), textcoords="offset points")  # fmt: skip
        said.append(f"your guess: {megabytes(guess)}")
    axes.margins(x=0.3, y=0.15)
    axes.set(xlabel="seconds", ylabel="MB above the start", xlim=(0, None), ylim=(0, None))
    return Picture(figure, f"Memory over time. {'; '.join(said)}; allowance: {megabytes(limit)}.")


def gallery(images: Sequence[np.ndarray], titles: Sequence[str], *, alt: str, caption: str = "") -> Picture:
    """Pictures in a row, each with its title.

    Args:
        images: arrays (height, width) or (height, width, 1 or 3), values 0 to 255.
        titles: one a picture.
        alt: what they show, in words.
        caption: one line below them.
    """
    figure = Figure(figsize=(1.9 * len(images), 2.4), layout="constrained")
    for axes, image, title in zip(
        np.atleast_1d(figure.subplots(1, len(images))), images, titles, strict=True
    ):
        draw_image(axes, image)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    if caption:
        figure.supxlabel(caption, fontsize=9)
    return Picture(figure, alt)


def turned(
    images: Sequence[np.ndarray],
    tilts: Sequence[float],
    *,
    upright: float,
    guess: float | None = None,
    caption: str = "",
) -> Picture:
    """Pictures in a row from the least to the most tilted; those that stand upright are framed.

    Args:
        images: arrays (height, width, 1 or 3), values 0 to 255.
        tilts: one a picture, degrees from upright, 0 to 180.
        upright: the most degrees that still count as upright.
        guess: the learner's guess how many stand upright, a dashed line after so many; None for none.
        caption: one line below them.
    """
    check_guess(guess)
    if guess is not None and not 0 <= guess <= len(images):
        raise ValueError(f"my_guess must be 0 to {len(images)}, the number of pictures; got {guess:g}")
    order, n = np.argsort(tilts, kind="stable"), len(images)
    figure = Figure(figsize=(1.25 * n, 2.0), layout="constrained")
    for axes, which in zip(figure.subplots(1, n), order, strict=True):
        draw_image(axes, images[which])
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{tilts[which]:.0f}°", fontsize=10)
        stands = tilts[which] <= upright
        axes.spines[:].set(color=GREEN if stands else "white", linewidth=4)
    count = sum(tilt <= upright for tilt in tilts)
    said = f"{count} of {n} stand within {upright:g}° of upright"
    if guess is not None:
        said += f"; your guess: {guess:g}"
        across = min(max(guess / n, 0.005), 0.995)
        figure.add_artist(Line2D([across, across], [0.1, 1], color="black", linestyle="--", linewidth=2))
    figure.supxlabel(f"{said}. {caption}", fontsize=9)
    degrees = ", ".join(f"{tilts[which]:.0f}" for which in order)
    return Picture(figure, f"{n} pictures, tilted by {degrees} degrees. {said}.")
