"""What a Sequence holds, at any depth: in attributes, containers, closures, caches, globals of its module."""

import functools
import gc
import inspect
import io
import itertools
import math
import os
import random
import re
import sqlite3
import sys
import threading
import types
import weakref
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

_ATOMS = (str, int, float, complex, bool, type(None), bytes, bytearray)
# Whole worlds of their own, that a Sequence only refers to; and what is another thing in each thread.
_WORLDS = (types.ModuleType, type, weakref.ref, types.FrameType, keras.Layer, threading.local)
_LIBRARIES = ("tensorflow.", "jax", "keras.")
_MOST = 50_000  # things looked at
_CACHE, _LINK = type(functools.lru_cache(len)), "_lru_list_elem"

# What a Sequence's names tell of operations that TensorFlow or JAX would run.
_OPERATIONS = re.compile(r"(tensorflow|jax|jaxlib)\.|keras\.(.+\.)?(layers|ops|random|models)\b")
_NOT_FOR_BATCHES = {"__init__", "on_epoch_begin", "on_epoch_end", "__getstate__", "__setstate__", "__del__"}


def reachable(sequence) -> Iterator[tuple[str, Any]]:
    """All that a Sequence holds, each once, with the name of the attribute or global that leads to it."""
    todo, known = deque([("", sequence)]), set()
    for name, value in _module_values(sequence):
        todo.append((name, value))
    while todo and len(known) < _MOST:
        name, thing = todo.popleft()
        if id(thing) in known:
            continue
        known.add(id(thing))
        if thing is not sequence:
            yield name, thing
        for key, child in _children(thing):
            if not isinstance(child, _ATOMS[:-2]):
                todo.append((name or f"self.{key}", child))


def _children(thing: Any) -> Iterable[tuple[str, Any]]:
    """What a thing holds itself, with a name where it has one."""
    if isinstance(thing, (*_ATOMS, *_WORLDS)) or type(thing).__module__.startswith(_LIBRARIES):
        return []
    if isinstance(thing, np.ndarray):
        inside = thing.flat if thing.dtype.kind == "O" else ()
        return [("", thing.base), *(("", value) for value in inside)]
    if isinstance(thing, Mapping):
        # What is kept under the number of this process is no other's.
        return [("", value) for key, value in list(thing.items()) if key != os.getpid()]
    if isinstance(thing, (list, tuple, set, frozenset, deque)):
        few = list(itertools.islice(thing, _MOST))
        # A million paths are atoms all: the first tells.
        return [] if few and isinstance(few[0], _ATOMS[:-2]) else [("", value) for value in few]
    if isinstance(thing, functools.partial):
        return [("", value) for value in (thing.func, *thing.args, *thing.keywords.values())]
    if isinstance(thing, types.MethodType):
        return [("", thing.__self__), ("", thing.__func__)]
    if isinstance(thing, types.FunctionType):
        cells = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
        return [
            ("", value)
            for value in (*cells, *(thing.__defaults__ or ()), getattr(thing, "__wrapped__", None))
        ]
    if isinstance(thing, _CACHE) or type(thing).__name__ == _LINK:
        return [("", value) for value in gc.get_referents(thing)]
    return _attributes(thing)


def _attributes(thing: Any) -> list[tuple[str, Any]]:
    slots = [name for base in type(thing).__mro__ for name in _slots(base)]
    named = {name: getattr(thing, name) for name in slots if hasattr(thing, name)}
    return list((named | dict(getattr(thing, "__dict__", {}))).items())


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _functions(sequence) -> Iterator[types.FunctionType]:
    """What runs when a batch is made: its methods, those of its helpers, and functions that they name."""
    home = type(sequence).__module__
    owners = [type(sequence)] + [
        type(value)
        for _, value in _attributes(sequence)
        if isinstance(value, keras.utils.PyDataset) or type(value).__module__ == home
    ]
    bases = [base for owner in owners for base in owner.__mro__ if not base.__module__.startswith("keras.")]
    todo = [m for base in bases for name, m in vars(base).items() if name not in _NOT_FOR_BATCHES]
    known = set()
    for function in todo:
        function = inspect.unwrap(getattr(function, "fget", None) or getattr(function, "__func__", function))
        if isinstance(function, types.FunctionType) and function not in known:
            known.add(function)
            yield function
            todo += [
                value
                for value in _named_values(function).values()
                if getattr(value, "__module__", "") == home
            ]


def _named_values(function: types.FunctionType) -> dict[str, Any]:
    """The globals and modules that a function's code names."""
    return {name: function.__globals__.get(name, sys.modules.get(name)) for name in _names(function.__code__)}


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _module_values(sequence) -> Iterator[tuple[str, Any]]:
    """Class attributes, and the globals that its methods name: a cache may be there."""
    for base in type(sequence).__mro__:
        if not base.__module__.startswith(("keras.", "builtins")):
            for name, value in list(vars(base).items()):
                if not name.startswith("__"):
                    yield f"{base.__name__}.{name}", value
    for function in _functions(sequence):
        yield from _named_values(function).items()
        yield function.__name__, function


def operations(sequence) -> list[str]:
    """What runs TensorFlow, JAX or Keras when a batch is made, as far as names tell."""
    inside = list(reachable(sequence))
    found = [name for name, value in inside if isinstance(value, keras.Layer)]
    mine = [value for _, value in inside if isinstance(value, types.FunctionType)]
    for function in [*_functions(sequence), *mine]:
        values = _named_values(function)
        found += [name for name, value in values.items() if _runs_operations(value, set(values))]
    return list(dict.fromkeys(found))


def _runs_operations(value: Any, names: set[str]) -> bool:
    # Of a whole package the names beside it tell; keras.utils and tf.io.gfile are no harm.
    if isinstance(value, types.ModuleType) and value.__name__ in ("keras", "tensorflow", "jax"):
        harmless = value.__name__ == "keras" or names & {"keras", "gfile"}
        return bool(names & {"layers", "ops"}) or not harmless
    home = value.__name__ if isinstance(value, types.ModuleType) else getattr(value, "__module__", "")
    return isinstance(value, keras.Layer) or bool(_OPERATIONS.match(f"{home}."))


def held(sequence) -> dict[str, tuple[int, int]]:
    """Bytes and numbers in arrays, pictures and contents of files, under the name that leads to them."""
    sizes, known = defaultdict(lambda: (0, 0)), set()
    for name, value in reachable(sequence):
        while isinstance(getattr(value, "base", None), np.ndarray):  # a view: what counts is its owner
            value = value.base
        if id(value) in known:
            continue
        known.add(id(value))
        size, numbers = _size(value)
        sizes[name] = (sizes[name][0] + size, sizes[name][1] + numbers)
    return {name: size for name, size in sizes.items() if size[0]}


def _size(value: Any) -> tuple[int, int]:
    """Bytes, and how many numbers they are."""
    if isinstance(value, np.ndarray) and not isinstance(value, np.memmap):
        return value.nbytes, value.size
    if hasattr(value, "getbands"):  # Pillow
        return (math.prod(value.size) * len(value.getbands()),) * 2
    if isinstance(value, (bytes, bytearray)):
        return (len(value),) * 2
    return 0, 0


def arrays(sequence) -> dict[int, np.ndarray]:
    """Its arrays that can be written to, by their identity."""
    found = (value for _, value in reachable(sequence) if isinstance(value, np.ndarray))
    return {id(array): array for array in found if array.flags.writeable and array.dtype.kind != "O"}


def random_states(sequence) -> list[tuple[str, Any]]:
    """Its random generators."""
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return [(name, value) for name, value in reachable(sequence) if isinstance(value, kinds)]


def open_files(sequence) -> list[str]:
    """Names that lead to files and connections that are open, with their kind."""
    found = []
    for name, value in reachable(sequence):
        if _is_open(value):
            found.append(f"{name} ({type(value).__name__})")
    return list(dict.fromkeys(found))


def _is_open(value: Any) -> bool:
    if isinstance(value, zipfile.ZipFile):
        value = value.fp
    if isinstance(value, io.IOBase) and not isinstance(value, (io.BytesIO, io.StringIO)):
        return not value.closed and value.readable() and value is not sys.stdin
    if isinstance(value, sqlite3.Connection):
        return True
    return type(value).__module__.startswith("h5py.") and type(value).__name__ == "File"
