"""Memory: the limit in force, what is taken, its peak, and a function in a child that may take so much.

All figures are bytes; a megabyte (MB) is 10**6 bytes. Nothing here needs NumPy or Keras.
"""

from .limit import MemoryLimit, memory_free, memory_limit
from .limited import Outcome, run_limited
from .meter import MEMORY_KIND, PeakMeter, give_back, megabytes, memory_now, memory_with_files
from .turns import room_for

__all__ = [
    "MEMORY_KIND",
    "MemoryLimit",
    "Outcome",
    "PeakMeter",
    "give_back",
    "megabytes",
    "memory_free",
    "memory_limit",
    "memory_now",
    "memory_with_files",
    "room_for",
    "run_limited",
]
