"""Memory that is used again: by the same thread only, and within bounds."""

import threading

import numpy as np

from course_utils.scratch import KEPT, scratch


def test_a_thread_uses_its_own_again():
    first = scratch("a", (10, 20, 3), "float32")
    first[:] = 1
    assert np.shares_memory(first, scratch("a", (5, 5), "uint8"))
    assert not np.shares_memory(first, scratch("b", (10, 20, 3), "float32"))
    others = []
    thread = threading.Thread(target=lambda: others.append(scratch("a", (10, 20, 3), "float32")))
    thread.start(), thread.join()
    assert not np.shares_memory(first, others[0])


def test_shapes_and_dtypes_are_as_asked_for():
    for shape, dtype in (((3, 4), "uint8"), ((300, 400, 3), "float32"), ((7,), "float64"), ((0, 3), "int16")):
        array = scratch("c", shape, dtype)
        assert array.shape == shape and array.dtype == dtype and array.flags.c_contiguous


def test_what_is_large_is_not_kept():
    large = scratch("d", (KEPT + 1,), "uint8")
    assert not np.shares_memory(large, scratch("d", (KEPT + 1,), "uint8"))
