"""Notebook 05: the same pictures, in half the time."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..images import image_size, load_image
from .core import Exercise, ask, not_yet, wrong

SIDE, SMALLEST = 768, 64
ROUNDS, TWICE = 4, 1.9  # each counts by its quickest round; twice, less what a busy machine may hide
LESS_WORK = 1.6  # times: where threads decode each picture twice, the processors spare less, measured


def slow(paths):
    images = []
    for path in paths:
        if load_image(path).shape[0] >= 64 and load_image(path).shape[1] >= 64:
            images.append(load_image(path, (64, 64)))
    return np.array(images)


def faster(paths):
    images = []
    for path in paths:
        if min(image_size(path)) >= 64:
            images.append(load_image(path, (64, 64)))
    return np.array(images)


def _pictures(folder: Path, seed: int) -> list[str]:
    """Six large pictures, one as small as may be, and two that are too small, in one direction each."""
    large = [(SIDE, SIDE)] * 3
    waves = np.add.outer(np.sin(np.arange(SIDE) / 9), np.cos(np.arange(SIDE) / 7))
    pixels = 120 + 40 * waves + np.random.default_rng(seed).normal(0, 12, (SIDE, SIDE))
    pixels = np.clip(pixels, 0, 255).astype(np.uint8)
    paths = []
    for at, (height, width) in enumerate([*large, (40, 200), (SMALLEST, SMALLEST), *large, (200, 40)]):
        paths.append(str(folder / f"{seed}-{at}.png"))
        Image.fromarray(np.roll(pixels, 99 * at)[:height, :width]).save(paths[-1], compress_level=1)
    return paths


def _is_untouched(answer: Callable) -> bool:
    """Whether it is the slow one still, by the names and numbers in it, however the notebook compiled it."""

    def parts(function: Callable) -> list:
        code = getattr(function, "__code__", None)
        return [getattr(code, part, None) for part in ("co_names", "co_varnames", "co_consts")]

    return parts(answer) == parts(slow)


def _same_pixels(got: Any, paths: list[str]) -> None:
    expected = slow(paths)
    if isinstance(got, list):
        wrong("Your pictures are a list; one array was due, as before. Which function makes one of it?")
    if not isinstance(got, np.ndarray):
        wrong(f"Your function returns {type(got).__name__}; an array was due, as before. What goes back?")
    if got.ndim and len(got) != len(expected):
        wrong(
            f"{len(got)} of {len(paths)} pictures come back; before, it was {len(expected)}: all that have "
            f"at least {SMALLEST} pixels both ways. What does yours compare, and how?"
        )
    if got.shape != expected.shape or got.dtype != expected.dtype:
        wrong(
            f"Your batch has shape {got.shape} and dtype {got.dtype}; before it was {expected.shape} and "
            f"{expected.dtype}. Which line changes that?"
        )
    if not np.array_equal(got, expected):
        apart = np.abs(got.astype(float) - expected).max()
        wrong(
            f"Some of your pixels differ from those before, by up to {apart:.0f} of 255. Another way of "
            "making pictures smaller makes other pictures. What else takes time?"
        )


def _seconds(function: Callable, paths: list[str]) -> np.ndarray:
    """By the clock, and of the processors' time: threads save the one, a busy machine spares the other."""
    clock, processors = time.perf_counter(), time.process_time()
    function(paths)
    return np.array([time.perf_counter() - clock, time.process_time() - processors])


def _twice(answer: Callable) -> str:
    if _is_untouched(answer):
        not_yet("Your loader is still the slow one. Change it, and run both cells again.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first, second = _pictures(folder, 0), _pictures(folder, 1)
        got = ask(answer, list(first))
        _same_pixels(got, first)
        kept = got.copy()
        _same_pixels(ask(answer, list(second)), second)
        if not np.array_equal(got, kept):
            wrong(
                "Your second batch is written over the first, which the model may still be reading. Where is "
                "a new array made?"
            )
        rounds = []
        for turn in range(ROUNDS):
            new = _pictures(folder, 2 + turn)  # that nobody has seen before
            rounds.append([_seconds(function, new) for function in (slow, answer, answer)])
    before, now, again = np.maximum(np.min(rounds, axis=0), 1e-9)
    times = before / now
    best = times.max()
    if best < TWICE <= (before / again).max() / 2:
        wrong(
            "Pictures that it has seen before come at once: it keeps them, and with the folder its memory "
            f"grows. New ones come {best:.1f} times as fast as before. Where does their time go?"
        )
    if best < TWICE:
        wrong(
            f"The same pixels, {best:.1f} times as fast as before; twice was due. How often does yours "
            "decode a picture, and what for?"
        )
    if times[1] < LESS_WORK:
        return (
            f"The same pixels, {best:.1f} times as fast: the cores share the work. Is there less of it, too? "
            "Count how often yours decodes a picture."
        )
    return f"The same pixels, {best:.1f} times as fast, by less work."


TWICE_AS_FAST = Exercise(
    _twice,
    faster,
    (
        "Count how often a file is opened: each load_image opens it, and decodes all of it.",
        "The size stands in the first bytes of a file: image_size(path) reads no more than them.",
        "if min(image_size(path)) >= 64: images.append(load_image(path, (64, 64)))",
    ),
)
