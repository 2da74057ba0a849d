"""Notebook 00: how many bytes will these images need?"""

from ..memory import megabytes
from .core import Exercise, Verdict


def bytes_needed(n, height, width, channels, bytes_each):
    return n * height * width * channels * bytes_each


def _judge(answer) -> Verdict:
    case = (76, 1024, 1024, 1, 4)
    got = answer(*case)
    if got is ...:
        return Verdict("not yet", "Your function returns dots so far: replace them, then run the cell.")
    if got is None:
        return Verdict("wrong", "Your function gives nothing back. Which word hands a result to the caller?")
    if not hasattr(got, "__index__"):
        return Verdict(
            "wrong", f"Your function returned {got!r}. Bytes are counted: can it be a whole number?"
        )
    n, height, width, channels, bytes_each = case
    did = f"For 76 grey X-rays of 1024 × 1024 as float32 yours says {megabytes(got)}."
    if got == n * height * width * channels:
        return Verdict("wrong", f"{did} That is one byte a pixel: how many does a float32 number take?")
    if got == height * width * channels * bytes_each:
        return Verdict("wrong", f"{did} How many images is that enough for?")
    if got == answer(760, 2048, 2048, 3, 8):
        return Verdict(
            "wrong",
            f"{did} For 760 colour X-rays of 2048 × 2048 it says {megabytes(got)} too. The size of the files "
            "does not know how many pixels come out: which five numbers do?",
        )
    tries = [case, (1, 2, 3, 5, 7), (640, 256, 256, 3, 8), (3, 1, 1, 1, 1)]
    for arguments in tries:
        got, expected = answer(*arguments), bytes_needed(*arguments)
        if got != expected:
            shape = "n={}, height={}, width={}, channels={}, bytes_each={}".format(*arguments)
            return Verdict(
                "wrong", f"With {shape} yours says {got}. Which of the five numbers is missing, or twice?"
            )
    return Verdict("right", f"{did} Five numbers, one product: nobody asked for the size of the files.")


EXERCISE = Exercise(
    _judge,
    bytes_needed,
    (
        "How many numbers does one grey picture of 2 × 3 pixels hold? And a colour one, with 3 channels?",
        "Numbers in one image: height * width * channels. Bytes: times bytes_each. Images: n.",
    ),
)
