"""Checks of arguments: each returns the value as it is to be used, or raises an error that names it.

No library is needed here, so that a room as light as the memory meters can use them.
"""

import math
import numbers
import operator
from collections.abc import Collection


def check_whole(name: str, value, least: int, most: int | None = None) -> int:
    """`value` as an int; ValueError unless it is a whole number from `least` to `most`, or without end."""
    try:
        whole = None if isinstance(value, bool) else operator.index(value)  # refuses NumPy's booleans itself
    except TypeError:
        whole = None
    if whole is None or whole < least or (most is not None and whole > most):
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {span}, got {value!r}")
    return whole


def check_between(name: str, value, most: float) -> None:
    """ValueError unless `value` is a number from 0 to `most`."""
    if not _is_number(value) or not 0 <= value <= most:  # NaN is not
        raise ValueError(f"{name} must be a number from 0 to {most:g}, got {value!r}")


def check_positive(name: str, value, unit: str) -> float:
    """`value` itself; ValueError unless it is a finite number above 0, of that unit."""
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f"{name} must be a positive number of {unit}, not {value!r}")
    return value


def check_guess(value) -> float | None:
    """`my_guess`, as a learner writes it into a cell: TypeError unless it is None or a finite number."""
    if value is not None and not (_is_number(value) and math.isfinite(value)):
        raise TypeError(f"my_guess must be a plain number such as 100, not {value!r}")
    return value


def check_flag(name: str, value) -> bool:
    """`value` as a bool; ValueError unless it is True or False, Python's or NumPy's."""
    if not isinstance(value, bool) and _numpy_kind(value) != "b":
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(name: str, value, allowed: Collection[str]) -> str:
    """`value` itself; ValueError, which lists the choices, unless it is one of them."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}; got {value!r}")
    return value


def check_size(name: str, value) -> tuple[int, int]:
    """(height, width) as ints; ValueError unless they are two whole numbers of at least 1."""
    try:
        if isinstance(value, (set, dict)):  # whose order is nobody's
            raise TypeError
        height, width = (check_whole("side", side, 1) for side in tuple(value))
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} must be (height, width), two whole numbers of at least 1; got {value!r}"
        ) from None
    return height, width


def _is_number(value) -> bool:
    # NumPy registers its numbers as Python's kinds of numbers, and timedelta64 among the whole ones.
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and _numpy_kind(value) in "iuf"


def _numpy_kind(value) -> str:
    """NumPy's letter for the kind of a scalar of its own ("b", "i", "u", "f", "m", ...); "f" for all else."""
    return value.dtype.kind if getattr(value, "shape", None) == () and hasattr(value, "dtype") else "f"
