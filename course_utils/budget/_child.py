"""The other side of `children`: what trains there."""

import inspect
import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from ..sequences.callers import enqueuer
from .arithmetic import batches_alive
from .settings import Settings, array_bytes, settings_of

STEPS = 12  # of a model that is weighed: its peak differs from step to step, with the order of its threads
PATIENCE = 30.0  # seconds for a queue to fill


def called_with(build_model: Callable[..., Any], image_shape: tuple[int, ...]) -> Any:
    """The model, from a function that takes the image's shape or nothing."""
    needed = [
        each
        for each in inspect.signature(build_model).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    return build_model(image_shape) if needed else build_model()


class Alike(keras.utils.PyDataset):
    """Batches made anew, through the shortest queue that there is."""

    def __init__(self, settings: Settings, label_shape: tuple[int, ...]):
        super().__init__(workers=settings.workers, max_queue_size=settings.max_queue_size)
        self.settings, self.label_shape = settings, label_shape

    def __len__(self) -> int:
        return STEPS

    def __getitem__(self, index: int):
        n = self.settings.batch_size
        images = np.full((n, *self.settings.image_shape), index % 2, self.settings.dtype)
        return images, np.zeros((n, *self.label_shape), np.float32)


def weigh(build_model, settings: Settings, label_shape) -> dict[str, float]:
    """Trains the model for a moment; returns what its largest tensors take."""
    model = called_with(build_model, settings.image_shape)
    label_shape = _label_shape(model) if label_shape is None else label_shape
    model.fit(Alike(settings, label_shape), shuffle=False, verbose=0)
    weights = [array_bytes(weight.shape, weight.dtype) for weight in model.weights]
    return {"tensor_per_image": _largest_output(model), "largest_weight": max(weights, default=0)}


def _label_shape(model: Any) -> tuple[int, ...]:
    shape = tuple(model.output_shape[1:])
    loss = model.loss if isinstance(model.loss, str) else type(model.loss).__name__
    return shape[:-1] if "sparse" in loss.lower() else shape


def _largest_output(model: Any) -> float:
    """Bytes an image of the largest layer's output; 0 where the model does not tell."""
    try:
        shapes = [tensor.shape[1:] for layer in _layers(model) for tensor in keras.tree.flatten(layer.output)]
        return max(4 * math.prod(shape) for shape in shapes)
    except (AttributeError, TypeError, ValueError):  # a model of a class of its own, or of any size
        return 0


def _layers(model: Any) -> list[Any]:
    inner = getattr(model, "layers", [])
    return [deep for layer in inner for deep in _layers(layer)] or [model]


class First(keras.utils.PyDataset):
    """The first batches of a Sequence, with its workers and its queue."""

    def __init__(self, sequence: Any, length: int):
        super().__init__(sequence.workers, sequence.use_multiprocessing, sequence.max_queue_size)
        self.sequence, self.length, self.asked = sequence, length, 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int):
        self.asked += 1
        return self.sequence[index]

    def on_epoch_begin(self) -> None:
        self.sequence.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.sequence.on_epoch_end()


class HoldBack(keras.callbacks.Callback):
    """Waits, after the first two batches of an epoch, until the queue is full."""

    def __init__(self, sequence: First):
        super().__init__()
        self.sequence, self.filled = sequence, False

    def on_train_batch_end(self, batch: int, logs=None) -> None:
        if batch > 1:
            return
        # Not by a look through all objects: that writes to every page which forked workers share.
        queue = enqueuer()
        is_full = self._nobody_reads if queue is None else lambda: _full(queue)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if is_full():
                self.filled = True
                return
            time.sleep(0.02)

    def _nobody_reads(self) -> bool:
        """Without a queue TensorFlow reads ahead, as far as it likes: until nothing is asked for any more."""
        before, start = self.sequence.asked, time.monotonic()
        while time.monotonic() - start < 0.3:
            time.sleep(0.02)
        return self.sequence.asked == before


def _full(queue: Any) -> bool:
    """Whether Keras' enqueuer has all made that it has room for, or has made all there is."""
    waiting = queue.future_queue
    return not queue.run_thread.is_alive() or (
        waiting.full() and all(future.ready() for future in tuple(waiting.queue))
    )


def rehearse(build_model, sequence, fit_options: dict[str, Any]) -> dict[str, Any]:
    """Trains on the first batches; returns what is known of the data's part."""
    if not isinstance(sequence, keras.utils.PyDataset) and callable(sequence):
        sequence = sequence()
    settings = settings_of(sequence)
    length = min(settings.length or math.inf, 5 + (settings.max_queue_size if settings.has_queue else 3))
    first = First(sequence, int(length))
    model = called_with(build_model, settings.image_shape)
    hold = HoldBack(first)
    callbacks = [*fit_options.pop("callbacks", []), hold]
    model.fit(first, epochs=2, shuffle=False, verbose=0, callbacks=callbacks, **fit_options)
    alive = batches_alive(replace(settings, length=int(length)))
    return {"data": alive * settings.batch_bytes, "queue_filled": hold.filled, "batches": int(length)}
