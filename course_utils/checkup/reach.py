"""What a Sequence holds, at any depth: in attributes, containers, closures, caches, globals of its module."""

import contextlib
import dis
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
import time
import types
import weakref
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

_ATOMS, _FILES = (str, int, float, complex, bool, type(None)), (bytes, bytearray)
# Whole worlds of their own, that a Sequence only refers to; and what is another thing in each thread.
_WORLDS = (types.ModuleType, type, weakref.ref, types.FrameType, keras.Layer, threading.local)
_LIBRARIES = ("tensorflow.", "jax", "keras.")
_CODE = (types.FunctionType, property, staticmethod, classmethod)  # looked at as it is called: _functions
_MOST, _SECONDS = 50_000, 1.0  # things looked at, and for how long
_CACHE, _LINK = type(functools.lru_cache(len)), "_lru_list_elem"

# What a Sequence's names tell of operations that TensorFlow or JAX would run.
_OPERATIONS = re.compile(r"(tensorflow|jax|jaxlib)\.|keras\.(.+\.)?(layers|ops|random|models)\b")
_NOT_FOR_BATCHES = {"__init__", "on_epoch_begin", "on_epoch_end", "__getstate__", "__setstate__", "__del__"}


def _is(thing: Any, kinds: Any) -> bool:
    """As isinstance, which asks a thing for its `__class__`, and that may raise."""
    return issubclass(type(thing), kinds)


def reachable(sequence) -> Iterator[tuple[str, Any]]:
    """All that a Sequence holds, each once, with the name of the attribute or global that leads to it.

    It reads no property and asks no object of somebody's: what overrides `__getattr__` or `__iter__` may
    raise, take for ever, or load a file. After a second, or 50,000 things, the rest is left out.
    """
    todo, known = deque([("", sequence), *_module_values(sequence)]), set()
    deadline = time.monotonic() + _SECONDS
    while todo and len(known) < _MOST and time.monotonic() < deadline:
        name, thing = todo.popleft()
        if id(thing) in known:
            continue
        known.add(id(thing))
        if thing is not sequence:
            yield name, thing
        for key, child in itertools.islice(_children(thing), _MOST - min(_MOST, len(todo))):
            if not _is(child, _ATOMS):
                todo.append((name or f"self.{key}", child))


def _children(thing: Any) -> Iterable[tuple[str, Any]]:
    """What a thing holds itself, with a name where it has one."""
    kind = type(thing)
    if issubclass(kind, (*_ATOMS, *_FILES, *_WORLDS)) or kind.__module__.startswith(_LIBRARIES):
        return []
    if issubclass(kind, np.ndarray):
        inside = thing.flat if thing.dtype.kind == "O" else ()
        return (("", value) for value in itertools.chain([thing.base], inside))
    if issubclass(kind, dict):
        # What is kept under the number of this process, or of the one it was forked from, is no other's.
        own = (os.getpid(), os.getppid())
        items = list(itertools.islice(dict.items(thing), _MOST))
        return [("", value) for key, value in items if not (type(key) is int and key in own)]
    for plain in (list, tuple, set, frozenset, deque):
        if issubclass(kind, plain):
            few = list(itertools.islice(plain.__iter__(thing), _MOST))
            # A million paths are atoms all: the first tells.
            return [] if few and _is(few[0], _ATOMS) else [("", value) for value in few]
    if kind is functools.partial:
        return [("", value) for value in (thing.func, *thing.args, *thing.keywords.values())]
    if kind is types.MethodType:
        return [("", thing.__self__), ("", thing.__func__)]
    if kind is types.FunctionType:
        cells = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
        inside = (*cells, *(thing.__defaults__ or ()), vars(thing).get("__wrapped__"))
        return [("", value) for value in inside]
    if kind is _CACHE or kind.__name__ == _LINK:
        return [("", value) for value in gc.get_referents(thing)]
    return own_attributes(thing).items()


def own_attributes(thing: Any) -> dict[str, Any]:
    """Attributes of the object itself, by name, those in slots too; read without its help."""
    found = {}
    for base in type(thing).__mro__:
        for name, slot in vars(base).items():
            if _is(slot, types.MemberDescriptorType):
                with contextlib.suppress(AttributeError):  # nothing in it
                    found[name] = slot.__get__(thing)
    with contextlib.suppress(AttributeError):
        found |= object.__getattribute__(thing, "__dict__")
    return found


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
        for value in own_attributes(sequence).values()
        if _is(value, keras.utils.PyDataset) or type(value).__module__ == home
    ]
    todo, known = [method for owner in owners for method in _methods(owner)], set()
    for thing in todo:
        function = thing
        if _is(thing, property):
            function = thing.fget
        elif _is(thing, (staticmethod, classmethod)):
            function = thing.__func__
        if not _is(function, types.FunctionType):
            continue
        function = inspect.unwrap(function)
        if _is(function, types.FunctionType) and function not in known:
            known.add(function)
            yield function
            named = _named_values(function).values()
            todo += [v for v in named if _is(v, types.FunctionType) and v.__module__ == home]


def _methods(owner: type) -> Iterator[Any]:
    """What a class defines; of its bases what it does not override, or calls by `super()`."""
    hidden = set(_NOT_FOR_BATCHES)
    for base in owner.__mro__:
        if base.__module__.startswith(("keras.", "builtins")):
            continue
        for name, method in vars(base).items():
            if name not in hidden:
                yield method
        goes_on = {name for name, method in vars(base).items() if "super" in _names_in(method)}
        hidden |= vars(base).keys() - goes_on


def _names_in(method: Any) -> tuple[str, ...]:
    return method.__code__.co_names if _is(method, types.FunctionType) else ()


def _named_values(function: types.FunctionType) -> dict[str, Any]:
    """The globals and modules that a function's code names."""
    return {
        name: function.__globals__.get(name, sys.modules.get(name)) for name in _globals(function.__code__)
    }


def _globals(code: types.CodeType) -> Iterator[str]:
    """Names of globals and of imported modules; not of attributes, which may be called the same."""
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "IMPORT_NAME"):
            yield step.argval
    for constant in code.co_consts:
        if _is(constant, types.CodeType):
            yield from _globals(constant)


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if _is(constant, types.CodeType):
            yield from _names(constant)


def _module_values(sequence) -> Iterator[tuple[str, Any]]:
    """Class attributes, and the globals that its methods name: a cache may be there."""
    for base in type(sequence).__mro__:
        if not base.__module__.startswith(("keras.", "builtins")):
            for name, value in list(vars(base).items()):
                if not name.startswith("__") and not _is(value, _CODE):
                    yield f"{base.__name__}.{name}", value
    for function in _functions(sequence):
        yield from _named_values(function).items()
        yield function.__name__, function


def operations(sequence) -> list[str]:
    """What runs TensorFlow, JAX or Keras when a batch is made, as far as names tell."""
    inside = list(reachable(sequence))
    found = [name for name, value in inside if _is(value, keras.Layer)]
    mine = [value for _, value in inside if _is(value, types.FunctionType)]
    for function in [*_functions(sequence), *mine]:
        names = set(_names(function.__code__))
        found += [n for n, value in _named_values(function).items() if _runs_operations(value, names)]
    return list(dict.fromkeys(found))


def _runs_operations(value: Any, names: set[str]) -> bool:
    # Of a whole package the names beside it tell; keras.utils and tf.io.gfile are no harm.
    if _is(value, types.ModuleType) and value.__name__ in ("keras", "tensorflow", "jax"):
        harmless = value.__name__ == "keras" or names & {"keras", "gfile"}
        return bool(names & {"layers", "ops"}) or not harmless
    if _is(value, keras.Layer):
        return True
    home = value.__name__ if _is(value, types.ModuleType) else _home(value)
    return bool(_OPERATIONS.match(f"{home}."))


def _home(value: Any) -> str:
    """The module of a class or function; of an object, of its class."""
    named = value if _is(value, (type, types.FunctionType, types.BuiltinFunctionType)) else type(value)
    return str(getattr(named, "__module__", ""))


def held(sequence) -> dict[str, tuple[int, int]]:
    """Bytes and numbers in arrays, pictures and contents of files, under the name that leads to them."""
    sizes, known = defaultdict(lambda: (0, 0)), set()
    for name, value in reachable(sequence):
        while _is(value, np.ndarray) and _is(value.base, np.ndarray):  # a view: of its owner
            value = value.base
        if id(value) in known:
            continue
        known.add(id(value))
        size, numbers = _size(value)
        sizes[name] = (sizes[name][0] + size, sizes[name][1] + numbers)
    return {name: size for name, size in sizes.items() if size[0]}


def _size(value: Any) -> tuple[int, int]:
    """Bytes, and how many numbers they are."""
    if _is(value, np.ndarray) and not _is(value, np.memmap):
        return value.nbytes, value.size
    if type(value).__module__.startswith("PIL.") and hasattr(value, "getbands"):
        return (math.prod(value.size) * len(value.getbands()),) * 2
    if _is(value, (bytes, bytearray)):
        return (len(value),) * 2
    return 0, 0


def can_be_copied(sequence, most: int) -> bool:
    """Whether a copy of it takes less than so many bytes, files that are mapped included; and whether the
    copy can die: what has a `__del__` may delete what the original needs."""
    inside = [sequence, *(value for _, value in reachable(sequence))]
    arrays = {id(value): value.nbytes for value in inside if _is(value, np.ndarray)}
    return sum(arrays.values()) < most and not any(_has_an_end(value) for value in inside)


def _has_an_end(value: Any) -> bool:
    return hasattr(type(value), "__del__") or _is(value, weakref.finalize)


def arrays(sequence) -> dict[int, np.ndarray]:
    """Its arrays that can be written to, by their identity."""
    found = (value for _, value in reachable(sequence) if _is(value, np.ndarray))
    return {id(array): array for array in found if array.flags.writeable and array.dtype.kind != "O"}


def random_states(sequence) -> list[tuple[str, Any]]:
    """Its random generators."""
    kinds = (np.random.Generator, np.random.RandomState, random.Random)
    return [(name, value) for name, value in reachable(sequence) if _is(value, kinds)]


def open_files(sequence) -> list[str]:
    """Names that lead to files and connections that are open, with their kind."""
    found = []
    for name, value in reachable(sequence):
        if _is_open(value):
            found.append(f"{name} ({type(value).__name__})")
    return list(dict.fromkeys(found))


def _is_open(value: Any) -> bool:
    if _is(value, zipfile.ZipFile):
        value = value.fp
    if _is(value, io.IOBase) and not _is(value, (io.BytesIO, io.StringIO)):
        return not value.closed and value.readable() and value is not sys.stdin
    if _is(value, sqlite3.Connection):
        return True
    return type(value).__module__.startswith("h5py.") and type(value).__name__ == "File"
