"""`check`: the arguments, the rules one after another, the report."""

import math

import keras
import numpy as np

from .case import Case
from .faults import FAULTS
from .report import Finding, Report
from .rules import RULES
from .rules_of_batches import RULES_OF_BATCHES
from .rules_of_models import RULES_OF_MODELS

_A_DAY = 86_400


def check(sequence, *, model=None, fit_args: dict | None = None, role="train", seconds=20.0) -> Report:
    """Examines any Sequence without training: takes batches, looks at the class, says what would go wrong.

    On Linux it happens in a forked copy of this process that is ended in time: epoch, order and random state
    of yours stay as they are. Elsewhere, and for a Sequence that calls TensorFlow (whose threads do not
    survive a fork) or hangs in the fork, it happens in a thread, on a copy of the Sequence if it can be
    copied; a thread that hangs cannot be ended. What your code does to the world outside (files, the place in
    a file that it holds open, the working directory) it does here, too.

    Args:
        sequence: a `keras.utils.PyDataset` (`Sequence`), or any object with `__getitem__` and `__len__` or
            `num_batches`.
        model: the `keras.Model` it is for: shapes, ranges of values and labels are compared with its layers,
            outputs and loss.
        fit_args: what is passed to `model.fit` besides, such as {"steps_per_epoch": 100}.
        role: "train", or "evaluate" for a Sequence that serves `evaluate` and `predict`.
        seconds: how long it may take, at most. Half of it may go to fetching every batch once; the first,
            second, middle and last are fetched first.

    Returns:
        The Report; a Sequence that raises or hangs is a finding in it. The faults it knows are `FAULTS`.

    Raises:
        TypeError: `sequence` is not a Sequence, or its workers or queue are no numbers; `model` is not a
            Keras model; `fit_args` is not a dict.
        ValueError: `role` or `seconds` is wrong.

    Example:
        >>> sequence = ImageSequence(paths, labels, 8, (64, 64), shuffle=True)
        >>> check(sequence)
        Errors: 0, warnings: 0. Looked at 5 of 5 batches, in a copy of this process.
        >>> assert not check(sequence, role="train").errors  # as a test
    """
    _check_arguments(sequence, model, fit_args, role, seconds)
    case = Case(sequence, model, fit_args or {}, role, seconds)
    found, looked = {}, case.seen["skipped"]
    for rule in (*RULES, *RULES_OF_BATCHES, *RULES_OF_MODELS):
        try:
            for code, said, *level in rule(case):
                if said and code not in found:
                    fault = FAULTS[code]
                    found[code] = Finding(*(level or [fault.level]), code, said, fault.why, fault.fix)
        except Exception as error:  # something stranger than the rule knows: keep what the others find
            looked.append(f"{rule.__name__} stopped early ({type(error).__name__}: {error}).")
    if case.seen["stuck"] and case.at is None:
        looked.append("Time was over before all was looked at.")
    of = f" of {case.length}" if 0 <= case.length < math.inf else ""
    looked.insert(0, f"Looked at {len(case.first)}{of} batches, in {case.seen['how'][0]}.")
    findings = sorted(found.values(), key=lambda finding: finding.level)
    return Report(tuple(findings), tuple(dict.fromkeys(looked)))


def _check_arguments(sequence, model, fit_args, role, seconds) -> None:
    container = isinstance(sequence, (type, list, tuple, dict, str, bytes, np.ndarray))
    sized = hasattr(type(sequence), "__len__") or hasattr(type(sequence), "num_batches")
    if container or not (sized and hasattr(type(sequence), "__getitem__")):
        raise TypeError(f"expected a keras.utils.PyDataset (Sequence) object, got {sequence!r:.80}")
    if role not in ("train", "evaluate"):
        raise ValueError(f'role must be "train" or "evaluate", got {role!r}')
    if not isinstance(seconds, (int, float)) or not 0 < seconds <= _A_DAY:
        raise ValueError(f"seconds must be a number above 0 and at most {_A_DAY}, got {seconds!r}")
    if not isinstance(fit_args, (dict, type(None))):
        raise TypeError(f"fit_args must be a dict of fit's arguments, got {fit_args!r:.80}")
    if not isinstance(model, (keras.Model, type(None))):
        raise TypeError(f"model must be a keras.Model, got {model!r:.80}")
