"""Four ways to make a picture smaller, and what they do to it: `python tests/benchmarks/filters.py`.

From 1024 x 1024 to 256 x 256, a whole factor, and to 224 x 224: how much is left of a fine grating (it should
vanish; what is left are false coarse stripes), how high a lesion of six pixels still stands, how far an edge
overshoots, the difference to the triangle on grain, and the time. What the course takes is `resized`.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from course_utils.resizing import resized  # noqa: E402

SIDE, ROUNDS = 1024, 15
Y, X = np.mgrid[:SIDE, :SIDE]
WAYS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "nearest": lambda picture, side: np.array(Image.fromarray(picture).resize((side, side), 0)),
    "OpenCV's area": lambda picture, side: cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA),
    "Pillow's triangle": lambda picture, side: np.array(Image.fromarray(picture).resize((side, side), 2)),
    "resized": lambda picture, side: resized(picture, (side, side), (0, 0, SIDE, SIDE)),
}


def grating(period: float) -> np.ndarray:
    wave = np.sin(2 * np.pi * (0.955 * X + 0.296 * Y) / period)
    return (127.5 + 100 * wave).round().astype(np.uint8)


def median_ms(function: Callable, *arguments) -> float:
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - start)
    return 1000 * float(np.median(seconds))


def main() -> None:
    cv2.setNumThreads(1)
    edge = np.where(X + 0.13 * Y > 570, 200, 50).astype(np.uint8)
    lesion = np.where((X - 511.3) ** 2 + (Y - 498.6) ** 2 < 9, 160, 100).astype(np.uint8)
    grain = np.random.default_rng(0).normal(128, 20, (SIDE, SIDE)).clip(0, 255).astype(np.uint8)
    for side in (256, 224):
        print(f"\n{SIDE} -> {side}        grating, period 2.3    3  4.6    lesion  edge  grain      ms")
        for name, way in WAYS.items():
            left = [way(grating(period), side)[8:-8, 8:-8].std() / (100 / 2**0.5) for period in (2.3, 3, 4.6)]
            small = way(edge, side).astype(int)
            over = max(small.max() - 200, 50 - small.min())
            apart = np.abs(way(grain, side).astype(int) - WAYS["Pillow's triangle"](grain, side)).mean()
            stripes = " ".join(f"{100 * part:3.0f}%" for part in left)
            stands = way(lesion, side).max() - 100
            ms = median_ms(way, grain, side)
            print(f"{name:<20} {stripes:>27} {stands:>9} {over:>5} {apart:>6.2f} {ms:>7.2f}")


if __name__ == "__main__":
    main()
