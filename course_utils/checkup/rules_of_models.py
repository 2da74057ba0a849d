"""Rules about the model that the Sequence is for: shapes, ranges, labels against outputs and loss."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from .batches import Leaf
from .case import Case, Said

_SPARSE, _ROWS = (
    "sparse_categorical_crossentropy",
    ("categorical_crossentropy", "categorical_focal_crossentropy"),
)
_SOMEBODYS = "a loss of somebody's own"
_BINARY = ("binary_crossentropy", "binary_focal_crossentropy")


def of_first_steps(case: Case) -> Said:
    """On JAX, Keras builds what is not built from batches of the queue."""
    model = case.model
    if keras.backend.backend() != "jax" or not case.enqueuer:
        return
    parts = ("_compile_loss", "_compile_metrics") if case.train else ()
    late = [model, *(getattr(model, name, None) for name in parts)]
    compiled = model and (model.compiled or not case.train)
    ready = compiled and all(part is None or part.built for part in late)
    said = f"{'The model has run no step' if model else 'This is JAX'}, and {case.workers} workers fetch."
    yield "jax-builds-late", not ready and said, "error" if model else "warning"


def of_inputs(case: Case) -> Said:
    for leaf, tensor in _inputs(case):
        # Keras adds and takes away a last axis of 1.
        got, takes = (
            tuple(s[:-1] if s[-1:] == (1,) else s) for s in (leaf.shape[1:], tuple(tensor.shape[1:]))
        )
        fits = len(got) == len(takes) and all(b in (None, a) for a, b in zip(got, takes, strict=True))
        which = f" of {leaf.name}" if leaf.name else ""
        yield "input-shape", not fits and f"The samples{which} are {got}, the model takes {takes}."
    by_input = {id(tensor): leaf for leaf, tensor in _inputs(case)}
    for layer in layers_of(case.model):
        if isinstance(layer, keras.layers.Embedding) and (leaf := by_input.get(id(_input_of(layer)))):
            low, high = case.lows_and_highs(leaf.part, leaf.name)
            outside = high >= layer.input_dim or low < 0
            said = f"{layer.name} has {layer.input_dim} entries, and gets indices {low:.0f} to {high:.0f}."
            yield "index-range", outside and said


def _input_of(layer) -> Any:
    try:
        return layer.input
    except (AttributeError, ValueError):  # not called, or called twice
        return None


def _inputs(case: Case) -> list[tuple[Leaf, Any]]:
    """Each input of the batches with the input of the model that it goes to, as far as that is known."""
    leaves = [leaf for b in case.first[:1] for leaf in b.leaves if leaf.part == "x" and leaf.shape]
    model = case.model
    tensors = list(getattr(model, "inputs", None) or ()) if getattr(model, "built", False) else []
    return list(_matched(leaves, {tensor.name: tensor for tensor in tensors}))


def _matched(leaves: list[Leaf], named: dict[str, Any]) -> Iterator[tuple[Leaf, Any]]:
    """By name if all have one, else by place."""
    if len(leaves) != len(named):
        return
    if all(leaf.name in named for leaf in leaves):
        yield from ((leaf, named[leaf.name]) for leaf in leaves)
    elif len(leaves) == 1 or all(leaf.name.isdigit() for leaf in leaves):
        yield from zip(leaves, named.values(), strict=True)


class Head(NamedTuple):
    """An output of the model, and what is known of it."""

    name: str
    shape: tuple
    loss: str  # in Keras' spelling, such as "mean_squared_error"; "" if the model is not compiled
    activation: str  # of its layer; "" if not known
    ignored: float | None = None  # a class that the loss leaves out


def of_labels(case: Case) -> Said:
    leaves = [leaf for b in case.first[:1] for leaf in b.leaves if leaf.part == "y" and leaf.shape]
    for leaf, head in _matched(leaves, {head.name: head for head in _heads(case.model)}):
        low, high = case.lows_and_highs("y", leaf.name)
        which = f"labels ({leaf.name})" if leaf.name else "labels"
        range_ = f"The {which} run from {low:.4g} to {high:.4g}"
        if head.loss == _SPARSE or (not head.loss and head.activation == "softmax" and leaf.whole):
            yield from _of_classes(leaf, head, which, range_, low, high)
        elif head.loss != _SOMEBODYS:
            yield from _of_rows(leaf, head, which, range_, low, high)


def _of_classes(leaf: Leaf, head: Head, which: str, range_: str, low: float, high: float) -> Said:
    """Labels that are numbers of classes."""
    units = head.shape[-1]
    if len(leaf.shape) == len(head.shape) and leaf.shape[-1] == units > 1:
        said = f"The {which} are rows of {units} numbers, and {head.loss} takes one number."
        yield "label-shape", head.loss and said
        return
    outside = low < 0 or high >= units
    said = f"{range_}; the {units} outputs are classes 0 to {units - 1}."
    yield "label-range", head.ignored is None and outside and said
    yield (
        "label-range",
        not leaf.whole and f"The {which} are no whole numbers, and {head.loss} takes classes.",
    )


def _of_rows(leaf: Leaf, head: Head, which: str, range_: str, low: float, high: float) -> Said:
    """Labels that are compared with outputs one by one."""
    units, last = head.shape[-1], leaf.shape[-1] if leaf.shape[1:] else 1
    fits = last == units or (last == 1 and len(leaf.shape) == len(head.shape) - 1 and units in (None, 1))
    each = f"The {which} are {last} number{'s' * (last > 1)} a sample, the model's output {units}"
    yield "label-shape", head.loss and not fits and f"{each}; the loss is {head.loss}."
    unit = head.loss in (*_BINARY, *_ROWS) or (not head.loss and head.activation == "sigmoid")
    classes = (
        f"{high + 1:.0f} classes want as many outputs." if leaf.whole and 0 <= low and 1 < high < 100 else ""
    )
    said = f"{range_}; {head.loss or head.activation} takes 0 to 1. {classes}".rstrip()
    yield "label-range", fits and unit and (low < 0 or high > 1) and said


def _heads(model) -> list[Head]:
    """The outputs of a model that is built, by name."""
    tensors = list(getattr(model, "outputs", None) or ()) if getattr(model, "built", False) else []
    names = list(getattr(model, "output_names", None) or ())
    names = names if len(names) == len(tensors) else [tensor.name for tensor in tensors]
    losses = _losses(model, names)
    makers = {id(_output_of(layer)): layer for layer in layers_of(model)}
    heads = []
    for name, tensor in zip(names, tensors, strict=True):
        activation = getattr(makers.get(id(tensor)), "activation", None)
        loss = losses.get(name)
        heads.append(
            Head(
                name,
                tuple(tensor.shape),
                "" if loss is None else _spelled(loss),
                getattr(activation, "__name__", ""),
                getattr(loss, "ignore_class", None),
            )
        )
    return heads


def _output_of(layer) -> Any:
    try:
        return layer.output
    except (AttributeError, ValueError):
        return None


def _losses(model, names: list[str]) -> dict[str, Any]:
    """The loss of each output, as it was given to `compile`."""
    loss = getattr(model, "loss", None) if getattr(model, "compiled", False) else None
    if isinstance(loss, dict):
        return loss
    many = list(loss) if isinstance(loss, (list, tuple)) else [loss] * len(names)
    return dict(zip(names, many, strict=False))


def _spelled(loss) -> str:
    try:
        found = keras.losses.get(loss)
    except (TypeError, ValueError):
        return _SOMEBODYS
    found = getattr(found, "fn", found)
    home = getattr(found, "__module__", "") or ""
    return getattr(found, "__name__", _SOMEBODYS) if home.startswith("keras.") else _SOMEBODYS


def layers_of(model) -> Iterator:
    """The layers and operations, from the input on, those of nested models in their places."""
    for layer in getattr(model, "operations", None) or getattr(model, "layers", None) or ():
        yield layer
        yield from layers_of(layer)


def of_ranges(case: Case) -> Said:
    images = [leaf for b in case.first for leaf in b.leaves if leaf.part == "x" and len(leaf.shape) > 3]
    top = data = max((leaf.high for leaf in images), default=math.nan)
    if images and data <= 1.5 and not images[0].dtype.startswith("float"):
        top = math.nan  # dark pictures of whole numbers, perhaps
    scaled, own = case.model is None, set(map(id, getattr(case.model, "layers", None) or ()))
    for layer in layers_of(case.model):  # top: the largest value that comes to it, if that is known
        kind, limits = type(layer).__name__, getattr(layer, "value_range", None) or (0, 0)
        fooled = limits[1] > 2 and 0 < top <= 1.5
        yield "value-range", fooled and f"{layer.name} expects {limits}, and gets {top:.3g} at most."
        if isinstance(layer, keras.layers.Rescaling):
            scale = float(np.max(layer.scale))
            twice = top <= 1.5 and scale < 0.05
            yield "range-rescaled-twice", twice and f"{layer.name} scales by {scale:.3g}, and gets {top:.3g}."
            top, scaled = top * scale + float(np.max(layer.offset)), True
        elif "Normalization" in kind or kind in ("TrueDivide", "Divide", "Multiply", "Subtract", "Lambda"):
            top, scaled = math.nan, True
        unset = kind == "Normalization" and layer.input_mean is None and not np.any(layer.get_weights()[:1])
        # Inside somebody's model it may be one without its weights.
        yield "not-adapted", unset and f"{layer.name} has mean 0.", "error" if id(layer) in own else "warning"
    bright = data > 50 and not scaled
    yield "range-not-scaled", bright and f"The images reach {data:.3g}, and the model does not rescale them."


RULES_OF_MODELS = (of_first_steps, of_inputs, of_labels, of_ranges)
