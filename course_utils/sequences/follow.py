"""`FollowEpoch`: a Sequence follows the epoch that Keras counts."""

import keras


class FollowEpoch(keras.callbacks.Callback):
    """Sets a Sequence's `epoch` to Keras' own whenever a training epoch begins.

    For `fit(initial_epoch=...)` and for training that goes on after an interruption
    (`keras.callbacks.BackupAndRestore`): Keras does not tell a Sequence of either, which would then serve the
    orders and augmentations of its first epochs once more. Keras calls it before the first batch of an epoch
    is read, whatever the number of workers, threads or processes.

    Args:
        sequences: those that `fit` trains on.

    Raises:
        TypeError: there is none, or one has no `epoch`.

    Example:
        >>> training = ImageSequence(paths, labels, 32, (64, 64), shuffle=True)
        >>> follow = FollowEpoch(training)
        >>> history = model.fit(training, initial_epoch=3, epochs=5, shuffle=False, callbacks=[follow])
        >>> training.epoch  # 3 and 4 are done
        5
    """

    def __init__(self, *sequences):
        super().__init__()
        if not sequences:
            raise TypeError("expected at least one Sequence, got none")
        for sequence in sequences:
            if not isinstance(getattr(sequence, "epoch", None), int):  # a class has a property there
                raise TypeError(f"expected Sequences with an epoch, got {sequence!r:.80}")
        self.sequences = sequences

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Called by Keras."""
        for sequence in self.sequences:
            sequence.epoch = epoch
