"""*Multiply the shape*: the same files, other numbers."""

import math

import numpy as np

from ..budget import array_bytes
from ..memory import MemoryLimit, megabytes, memory_limit
from ..plots import Picture, bars
from .panel import SIDES, Panel, dropdown


class MultiplyTheShape(Panel):
    """Same files, other numbers: what a folder takes on disk, and in memory by size, channels and dtype.

    Args:
        images: number of images.
        on_disk: bytes of their files together.
        side: height and width to begin with; 256 unless it is one of those offered.
        limit: the limit to draw; None asks `memory_limit()`.
        channels: number of channels to begin with, 1 for grey or 3 for colour.
    """

    title = "Multiply the shape"

    def __init__(
        self,
        images: int,
        on_disk: int,
        side: int = 256,
        limit: MemoryLimit | None = None,
        channels: int = 1,
    ):
        self.images, self.on_disk, self.limit = images, on_disk, limit or memory_limit()
        self.side = dropdown("Image height and width", SIDES, side if side in SIDES else 256)
        self.channels = dropdown("Channels", [("1, grey", 1), ("3, colour", 3)], channels)
        kinds = [("uint8, 1 byte", "uint8"), ("float32, 4 bytes", "float32"), ("float64, 8 bytes", "float64")]
        self.dtype = dropdown("Numbers", kinds, "float32")
        super().__init__([[self.side, self.channels, self.dtype]])

    def draw(self) -> tuple[str, Picture]:
        side, size = self.side.value, megabytes
        channels, each = self.channels.value, np.dtype(self.dtype.value).itemsize
        memory = array_bytes((self.images, side, side, channels), self.dtype.value)
        sentence = (
            f"{self.images} × {side} × {side} × {channels} × {each} bytes: "
            f"{size(self.on_disk)} on disk, {size(memory)} in memory. "
            f"The limit here is {size(self.limit.bytes)} ({self.limit.source})."
        )
        sizes = {"on disk": self.on_disk, "in memory": memory}
        return sentence, bars(sizes, limit=self.limit.bytes, log=self._axis())

    def _axis(self) -> tuple[float, float]:
        """Least and most bytes of an axis that shows every setting of the controls: two powers of ten."""
        sides, kinds = self.side.options, [kind for _, kind in self.dtype.options]
        channels = [number for _, number in self.channels.options]
        sizes = [self.on_disk, self.limit.bytes]
        for pick, kind in ((min, kinds[0]), (max, kinds[-1])):
            sizes.append(array_bytes((self.images, pick(sides), pick(sides), pick(channels)), kind))
        least = max(min(sizes) / 2, 1)  # half of it: a bar that begins at its own size would have no length
        return min(1e6, 10.0 ** math.floor(math.log10(least))), 10.0 ** math.ceil(math.log10(max(sizes)))
