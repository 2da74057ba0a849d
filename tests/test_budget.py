"""What is reckoned is what NumPy takes."""

import numpy as np
import pytest

from course_utils.budget import BATCHES_ALIVE, array_bytes, images_in_fit


@pytest.mark.parametrize("dtype", ["uint8", np.float32, "float64", bool])
@pytest.mark.parametrize("shape", [(), (0, 4), (3, 5, 7, 2)])
def test_an_arrays_bytes_are_its_own(shape, dtype):
    assert array_bytes(shape, dtype) == np.zeros(shape, dtype).nbytes


def test_the_images_of_a_fit_are_the_batches_alive_and_what_is_held_already():
    need = images_in_fit(32, (256, 128, 3), "uint8", base=10**8)
    assert need.batch == np.zeros((32, 256, 128, 3), np.uint8).nbytes
    assert need.alive == BATCHES_ALIVE * need.batch and need.total == 10**8 + need.alive
    assert images_in_fit(1, (8, 8, 1)).batch == 8 * 8 * 4  # float32, as the Sequences serve
