"""Figures -> PNG bytes with alt text: what notebooks and several panels draw. Nothing is left open."""

import base64
import html
import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch

from .checks import check_choice, check_guess
from .memory import Outcome, PeakMeter, megabytes

# Okabe and Ito's colours, told apart by colour-blind eyes. In grey some are alike, so that hatches and line
# styles tell parts apart as well. Of a text on white, only BLUE and GREY stand out (4.5 to 1).
BLUE, ORANGE, GREEN, RED, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#767676"
SKY, YELLOW = "#56b4e9", "#f0e442"


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


def guess_in_words(guess: float | None, truth: float, unit: str = "", close: float = 1.15) -> str:
    """How a guess compares with what came out, as a sentence; "" without a guess.

    Args:
        guess, truth: two numbers of the same unit.
        unit: what to write after the guess, such as " MB".
        close: up to how many times too low or high a guess is called close.

    Raises:
        TypeError: the guess is no finite number.

    Example:
        >>> guess_in_words(40, 188.7, " MB")
        'Your guess, 40 MB: 4.7 times too low.'
    """
    if check_guess(guess) is None:
        return ""
    said = f"Your guess, {guess:g}{unit}"
    if guess == truth:
        return f"{said}: right."
    if guess <= 0 or truth <= 0:
        return f"{said}: too {'low' if guess < truth else 'high'}."
    times, way = (truth / guess, "low") if guess < truth else (guess / truth, "high")
    if times <= close:
        return f"{said}: close."
    return f"{said}: {times:.{1 if times < 10 else 0}f} times too {way}."


def bars(
    sizes: Mapping[str, float],
    *,
    limit: float | None = None,
    guess: float | None = None,
    log: tuple[float, float] | None = None,
) -> Picture:
    """Horizontal bars of memory; those past the limit are red and hatched.

    Args:
        sizes: what -> bytes, from top to bottom.
        limit: bytes, a last bar in grey; None for none.
        guess: the learner's guess of the last of `sizes`, in MB, which is answered in words; None for none.
        log: least and most bytes of an axis on which each mark is ten times the one before, the same for
            every picture, so that pictures can be compared; None for an axis that fits the bars.

    Returns:
        The picture; its alt text lists all figures.
    """
    words = guess_in_words(guess, list(sizes.values())[-1] / 1e6, " MB")
    past = [limit is not None and size > limit for size in sizes.values()]
    colours = [RED if p else BLUE for p in past]
    if limit is not None:
        sizes, colours = {**sizes, "limit": limit}, [*colours, GREY]
    figure, axes = new_figure(height=0.9 + 0.45 * len(sizes) + 0.25 * bool(words))
    drawn = axes.barh(list(sizes), [size / 1e6 for size in sizes.values()], color=colours, height=0.6)
    for bar, over in zip(drawn, past, strict=False):
        bar.set(hatch="//" if over else "", edgecolor="white")
    if limit is not None:
        drawn[-1].set(hatch="..", edgecolor="white")
    axes.bar_label(drawn, [megabytes(size) for size in sizes.values()], padding=4)
    axes.invert_yaxis()
    axes.set_xlabel("MB")
    axes.margins(x=0.15)
    if log:
        label = "MB; each figure is ten times the last"
        axes.set(xscale="log", xlim=(log[0] / 1e6, log[1] / 1e6), xlabel=label)
        axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(words, loc="left", fontsize=11, fontweight="bold")
    said = "; ".join(f"{name}: {megabytes(size)}" for name, size in sizes.items())
    return Picture(figure, f"Bars. {said}. {words}".rstrip())


def times(
    took: Mapping[str, float], unit: str = "ms an image", *, share: str = "", guess: float | None = None
) -> Picture:
    """Horizontal bars of time.

    Args:
        took: what -> seconds, from top to bottom.
        unit: of what is written at the bars, thousandths of `took`.
        share: one of `took`, whose part of the whole is said above the bars, in per cent.
        guess: the learner's guess of that, which is answered in words; None for none.
    """
    words = ""
    if share:
        per_cent = 100 * took[share] / sum(took.values())
        words = f"{share}: {per_cent:.0f} % of the whole. {guess_in_words(guess, per_cent, ' %')}".rstrip()
    figure, axes = new_figure(height=0.9 + 0.4 * len(took) + 0.25 * bool(words))
    colours = [ORANGE if name == share else BLUE for name in took]
    drawn = axes.barh(list(took), [1000 * seconds for seconds in took.values()], color=colours, height=0.6)
    written = [f"{ms:.0f}" if ms >= 10 else f"{ms:.2g}" for ms in (1000 * s for s in took.values())]
    axes.bar_label(drawn, written, padding=4)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.margins(x=0.12)
    axes.set_title(words, loc="left", fontsize=11, fontweight="bold")
    said = "; ".join(f"{name}: {ms} {unit}" for name, ms in zip(took, written, strict=True))
    return Picture(figure, f"Bars of time. {said}. {words}".rstrip())


def tiles(numbers: Sequence[float]) -> Picture:
    """A row of tiles, one a number: blue where it is the first of its kind, orange and hatched where it has
    been there before."""
    figure, axes = new_figure(height=1.6)
    for at, number in enumerate(numbers):
        again = number in numbers[:at]
        colour, hatch, ink = (ORANGE, "//", "black") if again else (BLUE, "", "white")
        axes.bar(at, 0.9, width=0.9, color=colour, hatch=hatch, edgecolor="white")
        axes.text(at, 0.45, f"{number:.2f}"[1:], ha="center", va="center", fontsize=8, color=ink)
    axes.set_axis_off()
    new = len(set(numbers))
    said = f"{new} of {len(numbers)} are new (blue), {len(numbers) - new} were there before (orange)."
    axes.set_title(said, loc="left", fontsize=11, fontweight="bold")
    return Picture(figure, f"{len(numbers)} tiles, one a number. {said}")


def stacked(
    parts: Mapping[str, float],
    limits: Mapping[str, float],
    *,
    alt: str,
    guess: float | None = None,
    measured: float | None = None,
) -> Picture:
    """One bar of stacked parts against one or two limits; a limit off the scale is named at the edge.

    Args:
        parts: what -> bytes, from left to right.
        limits: name -> bytes.
        alt: what it shows, in words; the figures of parts and limits are added.
        guess: the learner's guess of their sum, in MB, which is answered in words; None for none.
        measured: bytes, drawn as a dot; None for none.
    """
    total = sum(parts.values())
    words = guess_in_words(guess, total / 1e6, " MB")
    figure, axes = new_figure(height=2.6)
    right = max(total, measured or 0, min(limits.values())) * 1.15
    left = 0.0
    looks = zip((GREY, BLUE, GREEN, SKY, ORANGE), ("", "//", "..", "xx", "\\\\"), strict=True)
    for (name, size), (colour, hatch) in zip(parts.items(), looks, strict=False):
        axes.barh([0], [size / 1e6], left=left, color=colour, hatch=hatch, edgecolor="white", height=0.5,
                  label=f"{name}: {megabytes(size)}")  # fmt: skip
        left += size / 1e6
    for (name, limit), style in zip(limits.items(), ("-", "--"), strict=False):
        off = "" if limit <= right else " (off the scale)"
        axes.axvline(limit / 1e6, color=RED, linewidth=2.5, linestyle=style,
                     label=f"{name}: {megabytes(limit)}{off}")  # fmt: skip
    if measured is not None:
        axes.plot([measured / 1e6], [0], "o", color="black", markersize=11, markeredgecolor="white",
                  linestyle="", label=f"rehearsed: {megabytes(measured)}")  # fmt: skip
    axes.set(xlim=(0, right / 1e6), ylim=(-0.4, 0.4), yticks=[], xlabel="MB")
    axes.set_title(words, loc="left", fontsize=11, fontweight="bold")
    legend = figure.legend(loc="outside lower center", ncols=2, frameon=False)
    said = "; ".join(text.get_text() for text in legend.get_texts())
    return Picture(figure, f"{alt} {words}".rstrip() + f" The bar: {said}.")


def curves(
    runs: Mapping[str, PeakMeter | Outcome], *, limit: float, guess: float | None = None, unit: float = 1
) -> Picture:
    """Memory over time, a line a run; a run that died at its limit ends in a cross.

    Args:
        runs: name -> what was measured, by a meter or in a child.
        limit: the allowance in bytes above the start, drawn as a line.
        guess: the learner's guess, how many times `unit` the last run takes, which is answered in words;
            None for none.
        unit: bytes.

    Returns:
        The picture; its alt text says how high each run went and how it ended.
    """
    words = ""
    if guess is not None:
        times = list(runs.values())[-1].growth / max(unit, 1)  # measured, a unit may be nothing
        words = f"{guess_in_words(guess, times, ' times', close=1.5)} It is {times:.1f}."
    figure, axes = new_figure(height=3.2)
    said = []
    for (name, run), colour, style in zip(runs.items(), (RED, BLUE, GREEN), ("-.", "-", "--"), strict=False):
        died = getattr(run, "ended", "finished") == "limit"
        sizes = (np.array(run.bytes) - run.baseline) / 1e6
        last = int(sizes.argmax()) if died else len(sizes) - 1  # what follows is the child giving it back
        axes.plot(run.seconds[: last + 1], sizes[: last + 1], style, color=colour, linewidth=2.2)
        if died:
            axes.plot(run.seconds[last], sizes[last], "x", color=colour, markersize=12, markeredgewidth=3)
        axes.annotate(f"{name}{', killed' if died else ''}", (run.seconds[last], sizes[last]), (10, -14),
                      textcoords="offset points", fontweight="bold")  # fmt: skip
        said.append(
            f"{name} climbs to {megabytes(run.growth)} and is killed" if died else
            f"{name} stays below {megabytes(run.growth)} for {run.seconds[-1]:.1f} s"
        )  # fmt: skip
    axes.axhline(limit / 1e6, color="black", linewidth=1.5)
    axes.annotate(f"allowance: {megabytes(limit)}", (1, limit / 1e6), xycoords=("axes fraction", "data"),
                  ha="right", va="bottom")  # fmt: skip
    axes.margins(x=0.3, y=0.15)
    axes.set_title(words, loc="left", fontsize=11, fontweight="bold")
    axes.set(xlabel="seconds", ylabel="MB above the start", xlim=(0, None), ylim=(0, None))
    alt = f"Memory over time. {'; '.join(said)}; allowance: {megabytes(limit)}. {words}"
    return Picture(figure, alt.rstrip())


def gallery(
    images: Sequence[np.ndarray], titles: Sequence[str], *, alt: str = "", caption: str = ""
) -> Picture:
    """Pictures in a row, each with its title.

    Args:
        images: arrays (height, width) or (height, width, 1 or 3), values 0 to 255.
        titles: one a picture.
        alt: what they show, in words; else their titles and the caption.
        caption: one line below them.
    """
    figure = Figure(figsize=(max(1.9 * len(images), 5), 2.5), layout="constrained")
    for axes, image, title in zip(
        np.atleast_1d(figure.subplots(1, len(images))), images, titles, strict=True
    ):
        draw_image(axes, image)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    if caption:
        figure.supxlabel(caption, fontsize=9)
    return Picture(figure, alt or f"{len(images)} pictures in a row: {', '.join(titles)}. {caption}".rstrip())


def turned(
    images: Iterable[np.ndarray],
    tilts: Iterable[float],
    *,
    upright: float = 10,
    guess: float | None = None,
    caption: str = "",
) -> Picture:
    """Pictures in a row from the least to the most tilted; those that stand upright are framed.

    Args:
        images: arrays (height, width, 1 or 3), values 0 to 255.
        tilts: one a picture, degrees from upright, 0 to 180.
        upright: the most degrees that still count as upright.
        guess: the learner's guess how many stand upright, which is answered in words; None for none.
        caption: one line below them.
    """
    images, tilts = list(images), list(tilts)
    if check_guess(guess) is not None and not 0 <= guess <= len(images):
        raise ValueError(f"my_guess must be 0 to {len(images)}, the number of pictures; got {guess:g}")
    order, n = np.argsort(tilts, kind="stable"), len(images)
    rows = -(-n // 4)
    figure = Figure(figsize=(7.5, 2.1 * rows + 0.4), layout="constrained")
    places = figure.subplots(rows, 4, squeeze=False).ravel()
    for axes in places[n:]:
        axes.set_axis_off()
    for axes, which in zip(places, order, strict=False):
        draw_image(axes, images[which])
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"{tilts[which]:.0f}°", fontsize=10)
        stands = tilts[which] <= upright
        axes.spines[:].set(color=GREEN if stands else "white", linewidth=4)
    count = sum(tilt <= upright for tilt in tilts)
    said = f"{count} of {n} stand within {upright:g}° of upright."
    if guess is not None:
        said += f" Your guess, {guess:g}: " + ("right." if guess == count else f"it is {count}.")
    figure.supxlabel(f"{said} {caption}", fontsize=9)
    degrees = ", ".join(f"{tilts[which]:.0f}" for which in order)
    return Picture(figure, f"{n} pictures, tilted by {degrees} degrees. {said}")


WAY = {
    "folder": "many files,\none name each",
    "Sequence": "reads one batch\nwhen asked",
    "queue": "a few batches\nwait",
    "model": "learns from\none batch",
}


def way(here: str) -> Picture:
    """The way of a batch from the folder to the model, with the part in question marked.

    Args:
        here: "folder", "Sequence", "queue" or "model".
    """
    check_choice("here", here, WAY)
    figure, axes = new_figure(height=1.5)
    for at, (name, what) in enumerate(WAY.items()):
        marked = name == here
        box = {"boxstyle": "round,pad=0.6", "facecolor": BLUE if marked else "#f2f2f2", "edgecolor": BLUE}
        look = {"color": "white", "fontweight": "bold"} if marked else {"color": "black"}
        axes.text(at, 0, f"{name}\n{what}", ha="center", va="center", fontsize=10, bbox=box, **look)
        if at:
            arrow = {"arrowstyle": "-|>", "linewidth": 2}
            axes.annotate("", (at - 0.36, 0), (at - 0.64, 0), arrowprops=arrow)
    axes.set(xlim=(-0.5, len(WAY) - 0.5), ylim=(-1, 1))
    axes.set_axis_off()
    said = "; ".join(f"{name}, {what}" for name, what in WAY.items()).replace("\n", " ")
    return Picture(figure, f"The way of a batch: {said}. Marked: {here}.")


def read_from(
    old: np.ndarray, new: np.ndarray, places: Sequence[tuple[tuple[float, float], tuple[float, float]]]
) -> Picture:
    """Two pictures, and for some pixels of the new one an arrow to the place in the old one where it is read.

    Args:
        old, new: arrays (height, width, 1 or 3), values 0 to 255.
        places: for each arrow (x, y) in the new picture and (x, y) in the old one, in pixels from the middle.
    """
    figure = Figure(figsize=(7.5, 3.4), layout="constrained")
    right, left = figure.subplots(1, 2)
    height, width = old.shape[:2]
    for axes, image, title in ((right, new, "new picture"), (left, old, "old picture")):
        draw_image(axes, image)
        axes.set_title(title, fontsize=11)
        axes.set(xticks=[], yticks=[])
    for start, end in places:
        a, b = ((x + (width - 1) / 2, y + (height - 1) / 2) for x, y in (start, end))
        arrow = ConnectionPatch(a, b, "data", "data", axesA=right, axesB=left, arrowstyle="-|>", color=ORANGE,
                                linewidth=2.5, mutation_scale=16)  # fmt: skip
        figure.add_artist(arrow)
        right.plot(*a, "s", color=ORANGE, markeredgecolor="black")
    said = "; ".join(f"({a:.0f}, {b:.0f}) from ({c:.0f}, {d:.0f})" for (a, b), (c, d) in places)
    return Picture(
        figure, f"Where the new picture's pixels are read in the old one, from the middle: {said}."
    )
