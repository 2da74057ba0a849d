"""Memory for a moment's work, which the same thread uses again: the system makes new memory page by page."""

import math
import threading

import numpy as np

KEPT = 2**22  # bytes that a thread keeps of each name, at most; what is larger is made anew each time
_kept = threading.local()


def scratch(name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
    """An array that is valid until the same thread asks for one of the same name again.

    Args:
        name: what it is for.
        shape, dtype: of the array; its content is what the last one left.

    Example:
        >>> first, second = scratch("rim", (20, 30), "float32"), scratch("rim", (10, 10), "uint8")
        >>> np.shares_memory(first, second)
        True
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size > KEPT:
        return np.empty(shape, dtype)
    buffer = getattr(_kept, name, None)
    if buffer is None or len(buffer) < size:
        buffer = np.empty(size, np.uint8)
        setattr(_kept, name, buffer)
    return buffer[:size].view(dtype).reshape(shape)
