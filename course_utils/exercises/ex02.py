"""Notebook 02: mirror a batch of chests, and keep the label true that says left or right."""

import numpy as np

from .core import Exercise, Verdict


def mirror(images, side):
    return images[:, :, ::-1], -side


# Three 4 x 6 pictures with a bright spot where the label says: right half, left half, none.
SPOTS = ((1, 4), (2, 1), None)
SIDE = np.array([1, -1, 0], np.int8)


def _batch() -> np.ndarray:
    images = np.zeros((3, 4, 6, 1), np.uint8)
    for image, spot in zip(images, SPOTS, strict=True):
        image[0, 0] = 90  # a mark in one corner, so that every way of turning is another picture
        if spot:
            image[spot] = 250
    return images


def half(image: np.ndarray) -> int:
    """The half that the bright spot of a picture is in: -1 left, 1 right, 0 no spot."""
    columns = np.flatnonzero(image.max(axis=(0, 2)) == 250)
    return 0 if not len(columns) else (1 if columns[0] >= image.shape[1] / 2 else -1)


def _judge(answer) -> Verdict:
    images, side = _batch(), SIDE.copy()
    got = answer(images, side)
    if got is ...:
        return Verdict(
            "not yet", "Your function returns dots so far: replace them, then run both cells again."
        )
    if got is None:
        return Verdict("wrong", "Your function gives nothing back. Which word hands a result to the caller?")
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        return Verdict(
            "wrong", f"Your function returns one {type(got).__name__}. Two things have to change places."
        )
    if any(part is ... for part in got):
        return Verdict("not yet", "One of the two results is dots so far.")
    if not np.array_equal(images, _batch()) or not np.array_equal(side, SIDE):
        return Verdict(
            "wrong",
            "Your function changes the arrays that it is given: the caller's own batch is another one "
            "afterwards. How can it return new ones?",
        )
    pictures, labels = np.asarray(got[0]), np.asarray(got[1])
    if labels.shape == images.shape:
        return Verdict("wrong", "You return the labels first: the pictures first, then the labels.")
    if pictures.shape != images.shape:
        return Verdict(
            "wrong", f"A batch of shape {images.shape} became {pictures.shape}. Which axis is which?"
        )
    ways = {
        "leaves the pictures as they are (an axis of length one, read backwards, is itself)": images,
        "turns the pictures upside down": images[:, ::-1],
        "turns the pictures by 180 degrees": images[:, ::-1, ::-1],
        "changes the order of the pictures in the batch": images[::-1],
        "reverses everything, the order of the pictures too": images[::-1, ::-1, ::-1],
    }
    for what, way in ways.items():
        if np.array_equal(pictures, way):
            return Verdict(
                "wrong",
                f"Yours {what}. The axes are (picture, height, width, channel): which one is left to right?",
            )
    if not np.array_equal(pictures, images[:, :, ::-1]):
        return Verdict(
            "wrong",
            "The grey values of your pictures are not where the mirror puts them. Only places should change: "
            "which?",
        )
    if labels.shape != SIDE.shape:
        return Verdict("wrong", f"Three labels became an array of shape {labels.shape}.")
    if np.array_equal(labels, SIDE[::-1]) or np.array_equal(labels, -SIDE[::-1]):
        return Verdict(
            "wrong",
            "Your labels changed places among the pictures; each belongs to its own. What must change: the "
            "order, or the sign?",
        )
    for n, name in enumerate(("first", "second", "third")):
        where = half(pictures[n])
        if labels[n] != where:
            words = {-1: "in the left half", 1: "in the right half", 0: "nowhere"}
            return Verdict(
                "wrong",
                f"The spot of the {name} picture now lies {words[where]} ({where}); your label says "
                f"{labels[n]}. The labels are -1, 0 and 1: what turns -1 into 1, and leaves 0 alone?",
            )
    return Verdict("right", "The pictures changed sides, and so did their labels. Nothing else moved.")


EXERCISE = Exercise(
    _judge,
    mirror,
    (
        "images[:, ::-1] reads the second axis backwards. The axes are (picture, height, width, channel).",
        "Left to right is the width, the third axis: images[:, :, ::-1].",
        "A lesion on the left (-1) is on the right (1) in the mirror, and none stays none: -side.",
    ),
)
