"""Notebook 00: how many bytes will these images need, and how many images fit?"""

from typing import Any

from ..memory import megabytes
from .core import Exercise, ask, wrong


def bytes_needed(n, height, width, channels, bytes_each):
    return n * height * width * channels * bytes_each


def images_that_fit(memory, height, width, channels, bytes_each):
    return memory // (height * width * channels * bytes_each)


def _whole(got: Any, expected: int, what: str) -> int:
    if isinstance(got, float) and got == expected:
        wrong(
            f"{got!r} is the right number, as a float: {what.lower()} are counted. Which division keeps "
            "whole numbers?"
        )
    if not hasattr(got, "__index__") and not (isinstance(got, float) and got.is_integer()):
        wrong(
            f"Your function returned {got!r}. {what} are counted: can it be a whole number? ({expected:,} "
            "here.)"
        )
    return int(got)


def _bytes_needed(answer) -> str:
    case = (76, 1024, 1024, 1, 4)
    got = _whole(ask(answer, *case), bytes_needed(*case), "Bytes")
    n, height, width, channels, bytes_each = case
    did = f"For 76 grey X-rays of 1024 × 1024 as float32 yours says {megabytes(got)}"
    if got != bytes_needed(*case):
        did += f"; {megabytes(bytes_needed(*case))} were due"
    if got == n * height * width * channels:
        wrong(f"{did}. That is one byte a pixel: how many does a float32 number take?")
    if got == height * width * channels * bytes_each:
        wrong(f"{did}. How many images is that enough for?")
    if got == ask(answer, 760, 2048, 2048, 3, 8):
        wrong(
            f"{did}. For 760 colour X-rays of 2048 × 2048 it says {megabytes(got)} too. The size of the "
            "files does not know how many pixels come out: which five numbers do?"
        )
    for arguments in (case, (1, 2, 3, 5, 7), (640, 256, 256, 3, 8), (3, 1, 1, 1, 1)):
        expected = bytes_needed(*arguments)
        if (got := _whole(ask(answer, *arguments), expected, "Bytes")) != expected:
            shape = "n={}, height={}, width={}, channels={}, bytes_each={}".format(*arguments)
            wrong(
                f"With {shape} yours says {got:,}; {expected:,} were due. Which of the five numbers is "
                "missing, or twice, or not multiplied?"
            )
    return f"{did}. Five numbers, one product: nobody asked for the size of the files."


def _images_that_fit(answer) -> str:
    case = (8 * 10**9, 1024, 1024, 1, 4)
    due = images_that_fit(*case)
    did = "For 8 GB and grey X-rays of 1024 × 1024 as float32 yours says"
    got = ask(answer, *case)
    if isinstance(got, float) and not got.is_integer():
        wrong(f"{did} {got:,.2f}. Can a part of an image be loaded? {due:,} fit.")
    got = _whole(got, due, "Images")
    if got == case[0] * 1024 * 1024 * 4:
        wrong(f"{did} {got:,}. {due:,} fit. Larger images: should more of them fit, or fewer?")
    for arguments in (case, (100, 2, 3, 1, 1), (96, 2, 3, 1, 4), (10, 2, 2, 3, 1), (10**9, 256, 200, 3, 4)):
        due = images_that_fit(*arguments)
        if (got := _whole(ask(answer, *arguments), due, "Images")) != due:
            shape = "memory={:,}, height={}, width={}, channels={}, bytes_each={}".format(*arguments)
            one = bytes_needed(1, *arguments[1:])
            if got == due + 1:
                wrong(
                    f"With {shape} yours says {got:,}: that many take {got * one:,} bytes. Which way to "
                    "round?"
                )
            wrong(
                f"With {shape} yours says {got:,}; {due:,} fit. One image takes {one:,} bytes: how do you "
                "get there?"
            )
    return f"{did} {images_that_fit(*case):,}. A folder may hold a million; now you know where it stops."


BYTES_NEEDED = Exercise(
    _bytes_needed,
    bytes_needed,
    (
        "How many numbers does one grey picture of 2 × 3 pixels hold? And a colour one, with 3 channels?",
        "Numbers in one image: height * width * channels. Bytes: times bytes_each. Images: n.",
    ),
)
IMAGES_THAT_FIT = Exercise(
    _images_that_fit,
    images_that_fit,
    (
        "How many bytes does one image take? How often do they go into the memory?",
        "`//` divides and drops what is left over: memory // bytes_of_one_image.",
    ),
)
