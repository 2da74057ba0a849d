"""Notebook 02: mirror a batch of chests, and keep the label true; warp a picture, and keep its mask true."""

from typing import Any

import numpy as np

from ..augmentation import warp
from .core import Exercise, ask, wrong


def mirror(images, side):
    return images[:, :, ::-1], -side


def warp_both(image, mask, matrix):
    return warp(image, matrix), warp(mask, matrix, nearest=True)


# ---------------------------------------------------------------- a batch in the mirror

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


def _two(got: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(got, (tuple, list)) or len(got) != 2:
        wrong(f"Your function returns one {type(got).__name__}; two things were due: {what}.")
    return np.asarray(got[0]), np.asarray(got[1])


def _unharmed(given: tuple[np.ndarray, ...], copies: tuple[np.ndarray, ...]) -> None:
    if not all(map(np.array_equal, given, copies)):
        wrong(
            "Your function changes the arrays that it is given: the caller's own data are others afterwards. "
            "How can it return new ones?"
        )


def _mirror(answer) -> str:
    images, side = _batch(), SIDE.copy()
    got = ask(answer, images, side)
    pictures, labels = _two(got, "(images, side)")
    _unharmed((images, side), (_batch(), SIDE))
    if isinstance(got[0], list):
        wrong("Your pictures are a list; one array was due, as it was given. Which index does it in one go?")
    if labels.shape == images.shape:
        wrong("You return the labels first: the pictures first, then the labels.")
    if pictures.shape != images.shape:
        wrong(f"A batch of shape {images.shape} became {pictures.shape}. Which axis is which?")
    ways = {
        "leaves the pictures as they are": images,
        "turns the pictures upside down": images[:, ::-1],
        "turns the pictures by 180 degrees": images[:, ::-1, ::-1],
        "changes the order of the pictures in the batch": images[::-1],
        "reverses everything, the order of the pictures too": images[::-1, ::-1, ::-1],
    }
    for what, way in ways.items():
        if np.array_equal(pictures, way):
            wrong(
                f"Yours {what}. The axes are (picture, height, width, channel): which one is read "
                "backwards, and which one is left to right?"
            )
    if not np.array_equal(pictures, images[:, :, ::-1]):
        wrong(
            "The grey values of your pictures are not where the mirror puts them. Only places should change: "
            "which?"
        )
    _sides(labels)
    return "The pictures changed sides, and so did their labels. Nothing else moved."


def _sides(labels: np.ndarray) -> None:
    """Whether the labels say where the spots lie in the mirror."""
    if labels.shape != SIDE.shape:
        wrong(f"Three labels became an array of shape {labels.shape}.")
    if np.array_equal(labels, SIDE[::-1]) or np.array_equal(labels, -SIDE[::-1]):
        wrong(
            "Your labels changed places among the pictures; each belongs to its own. What must change: the "
            "order, or the sign?"
        )
    mirrored = _batch()[:, :, ::-1]
    for image, label, name in zip(mirrored, labels, ("first", "second", "third"), strict=True):
        if label != (where := half(image)):
            words = {-1: "in the left half", 1: "in the right half", 0: "nowhere"}
            wrong(
                f"The spot of the {name} picture now lies {words[where]} ({where}); your label says "
                f"{label}. The labels are -1, 0 and 1: what turns -1 into 1, and leaves 0 alone?"
            )


# ---------------------------------------------------------------- a picture and its mask


def _picture_and_mask() -> tuple[np.ndarray, np.ndarray]:
    """Two ellipses off the middle, greys 200 and 120 on 50, and their mask: classes 2 and 6, else 0."""
    y, x = np.mgrid[:64, :64]
    inside = ((x - 40) / 14) ** 2 + ((y - 24) / 9) ** 2 < 1
    beside = ((x - 20) / 8) ** 2 + ((y - 44) / 10) ** 2 < 1
    mask = (2 * inside + 6 * beside).astype(np.uint8)[..., None]
    return np.choose(mask // 2, (50, 200, 0, 120)).astype(np.float32), mask


def _warp_both(answer) -> str:
    given = _picture_and_mask()
    cos, sin = np.cos(0.6), np.sin(0.6)
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.1, 0.9])
    image, mask = _two(_warped(answer, *given, matrix), "(image, mask)")
    picture, classes = _picture_and_mask()
    _unharmed(given, (picture, classes))
    if mask.dtype == bool:
        wrong("Your mask is True and False now; it held the names 0, 2 and 6. How do the names stay?")
    for name, got in (("image", image), ("mask", mask)):
        if got.shape not in (picture.shape, picture.shape[:2]):
            wrong(f"Your {name} has become {got.shape}; {picture.shape} was due.")
    if np.isin(image, (0, 2, 6)).all():
        wrong("You return the mask first: the image first, then its mask.")
    if np.array_equal(image.ravel(), picture.ravel()):
        wrong("Your image stays as it was. Which function reads it along the matrix?")
    if np.array_equal(mask.ravel(), classes.ravel()):
        wrong(
            "Your image turns and your mask stays where it was: now it marks something else. What moves it?"
        )
    if strange := sorted(set(np.unique(mask).round(2)) - {0, 2, 6}):
        wrong(
            f"Your mask now holds {strange[0]:g}, a class that nobody has drawn: there were 0, 2 and 6. A "
            "value between two classes comes from mixing pixels: which way of reading takes one of them as "
            "it is?"
        )
    if np.isin(image, (50, 120, 200)).all():
        wrong(
            "Your image is read by the nearest pixel too, so its edges are jagged. Only names of classes "
            "must not be mixed; greys may. Which of the two needs `nearest`?"
        )
    apart = np.mean((image.ravel() > 160) != (mask.ravel() == 2))
    if apart > 0.015:
        wrong(
            f"In {apart:.1%} of the pixels your mask and your image tell different stories; 1 % at most was "
            "due. Did both get the same matrix?"
        )
    if np.array_equal(image, _two(_warped(answer, *given, np.eye(2)), "(image, mask)")[0]):
        wrong("With another matrix the same image comes out. Which matrix do you use?")
    return "Image and mask took the same way, and the mask holds no class that nobody drew."


def _warped(answer, image: np.ndarray, mask: np.ndarray, matrix: np.ndarray) -> Any:
    return ask(
        answer, image, mask, matrix, then="`warp` takes an array, then the matrix: is that what it gets?"
    )


MIRROR = Exercise(
    _mirror,
    mirror,
    (
        "images[:, ::-1] reads the second axis backwards. The axes are (picture, height, width, channel).",
        "Left to right is the width, the third axis: images[:, :, ::-1].",
        "A lesion on the left (-1) is on the right (1) in the mirror, and none stays none: -side.",
    ),
)
WARP_BOTH = Exercise(
    _warp_both,
    warp_both,
    (
        "Both take the same way: the same function, the same matrix.",
        "Between class 0 and class 2 there is no class 1. warp(…, nearest=True) takes one pixel as it is.",
        "return warp(image, matrix), warp(mask, matrix, nearest=True)",
    ),
)
