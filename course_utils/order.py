"""Who reads what, and when: the order of an epoch, agreed upon without talking."""

import numpy as np

from .checks import check_choice, check_whole


def epoch_order(
    n: int, seed: int, epoch: int, rank: int = 0, world: int = 1, *, shuffle: bool = True
) -> np.ndarray:
    """The positions that one reader visits in one epoch, in order.

    A pure function of its arguments: every process that calls it with the same seed and epoch gets the
    same order, whichever process it is and however often it asks.

    Args:
        n: number of samples in the whole list, 0 or more.
        seed: 0 or more; another seed is another order.
        epoch: 0 or more; every epoch has an order of its own.
        rank: which reader this is, 0 to world - 1. Reader r takes every world-th position from r on.
        world: number of readers. Together they visit every position exactly once.
        shuffle: False keeps the list's own order.

    Returns:
        int64 array of positions in 0 .. n - 1.

    Raises:
        ValueError: an argument is out of range; the message names it.

    Example:
        >>> np.array_equal(epoch_order(6, seed=0, epoch=0), epoch_order(6, seed=0, epoch=1))
        False
        >>> epoch_order(6, 0, 0, rank=1, world=2, shuffle=False)
        array([1, 3, 5])
    """
    n, seed, epoch = check_whole("n", n, 0), check_whole("seed", seed, 0), check_whole("epoch", epoch, 0)
    world, rank = check_whole("world", world, 1), check_whole("rank", rank, 0)
    if rank >= world:
        raise ValueError(f"rank must be 0 to world - 1 = {world - 1}, got {rank}")
    if shuffle:
        # A seed sequence of two numbers, not seed + epoch: (1, 0) and (0, 1) must differ.
        order = np.random.default_rng((seed, epoch)).permutation(n)
    else:
        order = np.arange(n)
    return order[rank::world]


def cut(n: int, batch_size: int, rule: str = "ceil") -> list[range]:
    """Cuts n samples into batches, by the right rule or by one of the two common wrong ones.

    Args:
        n: number of samples.
        batch_size: samples a batch.
        rule: how many batches there are. "ceil" rounds up: every sample once. "floor" forgets what is left
            over. "floor + 1" adds an empty batch whenever nothing is left over.

    Returns:
        One range of positions a batch, in order; possibly empty.

    Raises:
        ValueError: there is no such rule, or a number is out of range; the message names it.

    Example:
        >>> cut(5, 2)
        [range(0, 2), range(2, 4), range(4, 5)]
    """
    n, batch_size = check_whole("n", n, 0), check_whole("batch_size", batch_size, 1)
    counts = {"ceil": -(-n // batch_size), "floor": n // batch_size, "floor + 1": n // batch_size + 1}
    check_choice("rule", rule, counts)
    return [range(min(i * batch_size, n), min((i + 1) * batch_size, n)) for i in range(counts[rule])]
