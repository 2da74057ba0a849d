import numpy as np
import pytest

from course_utils.order import epoch_order
from tests.running import run


def test_every_position_once_in_an_order_that_depends_on_seed_and_epoch():
    orders = {(s, e): tuple(epoch_order(100, s, e)) for s in range(3) for e in range(3)}
    assert all(sorted(order) == list(range(100)) for order in orders.values())
    assert len(set(orders.values())) == 9  # (0, 1) and (1, 0) among them


def test_another_process_gets_the_same_order():
    code = "from course_utils.order import epoch_order; print(*epoch_order(50, 7, 3))"
    assert [int(p) for p in run("-c", code).stdout.split()] == list(epoch_order(50, 7, 3))


@pytest.mark.parametrize("world", [1, 2, 3, 7])
@pytest.mark.parametrize("shuffle", [True, False])
def test_readers_share_the_epoch_without_overlap(world, shuffle):
    shares = [epoch_order(20, 1, 4, rank, world, shuffle=shuffle) for rank in range(world)]
    assert sorted(np.concatenate(shares)) == list(range(20))


def test_without_shuffling_the_order_is_the_lists():
    assert list(epoch_order(5, 0, 3, shuffle=False)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "arguments, named",
    [
        ((-1, 0, 0), "n"),
        ((5, -1, 0), "seed"),
        ((5, 0, -1), "epoch"),
        ((5, 0, 0, 2, 2), "rank"),
        ((2.5, 0, 0), "n"),
        ((5, None, 0), "seed"),
        ((5, 0, 0, 1.0, 2), "rank"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, named):
    with pytest.raises(ValueError, match=named):
        epoch_order(*arguments)
