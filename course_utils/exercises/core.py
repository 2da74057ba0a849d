"""What an exercise is: an object that looks at the learner's answer and says what it did.

The learner's code runs in a child process that may take so long and so much memory, and no more: an endless
loop ends there, and the notebook lives on.
"""

import contextlib
import ctypes
import inspect
import io
import re
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import cloudpickle

from ..memory import Outcome, megabytes, run_limited

SECONDS, ALLOWANCE = 8, 400_000_000  # what the learner's code may take


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        status: "not yet" (the stub is untouched), "wrong" or "right".
        text: first what the learner's code did, then a question; or praise.
    """

    status: str
    text: str


class Found(Exception):
    """Raised by a check, at any depth, with the verdict that ends it."""

    def __init__(self, verdict: Verdict):
        super().__init__(verdict.text)
        self.verdict = verdict


def wrong(text: str) -> NoReturn:
    """Ends the check: the answer is wrong, and this is what it did."""
    raise Found(Verdict("wrong", text))


def not_yet(text: str) -> NoReturn:
    """Ends the check: there is nothing to look at so far."""
    raise Found(Verdict("not yet", text))


def ask(
    function: Callable,
    *arguments: Any,
    name: str = "Your function",
    empty: bool = False,
    then: str = "What does each name there hold?",
) -> Any:
    """What the learner's code returns; the check ends if it raises, or returns dots or nothing.

    Args:
        function: the learner's.
        arguments: its arguments.
        name: what to call it.
        empty: whether None is an answer.
        then: the question that follows an error of the learner's.
    """
    try:
        got = function(*arguments)
    except MemoryError as error:
        wrong(f"{name} wants more than {megabytes(ALLOWANCE)}{_line(function, error)}. What does it hold?")
    except Exception as error:
        wrong(f"{name} raised {type(error).__name__}{_line(function, error)}: {_words(error)}. {then}")
    if _has_dots(got):
        not_yet(f"{name} returns dots so far: replace them, and run it again.")
    if got is None and not empty:
        wrong(f"{name} gives nothing back. Which word hands a result to the caller?")
    return got


def _has_dots(got: Any) -> bool:
    return got is ... or (isinstance(got, (tuple, list)) and any(part is ... for part in got))


def _line(function: Callable, error: Exception) -> str:
    """Where in the learner's cell it happened: " in line 3 of its cell", or "" where no cell was reached."""
    code = getattr(
        getattr(function, "__init__", None) if isinstance(function, type) else function, "__code__", None
    )
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if code and frame.filename == code.co_filename]
    return f" in line {own[-1].lineno} of its cell" if own else ""


def _words(error: Exception) -> str:
    """What an error says: its first line, for libraries dump pages, without colours and full stop."""
    line = re.sub(r"\x1b\[\d*m", "", str(error)).strip().split("\n")[0]
    return (line if len(line) <= 200 else f"{line[:200]}…").rstrip(".")


class Exercise:
    """One task with its check, its hints and its solution.

    Args:
        inspect_answer: looks at an answer, by `ask`, and raises `Found` or returns praise. It is sent to a
            child process, so it belongs into a module.
        solution: the tested function or class that solves it.
        hints: from gentle to plain.
        needs_keras: whether answers build models. They are looked at in this process, which has Keras
            already, in a thread that may take so long; their memory is not limited.
        starts_children: whether answers are plain values that the check itself tries out in a child. They are
            looked at in this process.
    """

    def __init__(
        self,
        inspect_answer: Callable[[Any], str],
        solution: Callable,
        hints: tuple[str, ...],
        *,
        needs_keras: bool = False,
        starts_children: bool = False,
    ):
        self._inspect, self._solution, self.hints = inspect_answer, solution, hints
        self._next, self._guarded = 0, self._in_a_thread if needs_keras else self._in_a_child
        if starts_children:
            self._guarded = self.judge

    def judge(self, answer: Any) -> Verdict:
        """The verdict on an answer, found in this process and without a limit."""
        return _judge(self._inspect, answer)

    def check(self, answer: Any) -> None:
        """Prints the verdict. Never raises, so that Run All goes on."""
        verdict = self._guarded(answer)
        start = {"not yet": "Not yet. ", "wrong": "Not quite. ", "right": "Right. "}[verdict.status]
        print(start + verdict.text)

    def _in_a_child(self, answer: Any) -> Verdict:
        """The verdict, found in a process that may take so much time and memory."""
        try:
            packed = pack(answer)
        except Exception as error:
            return Verdict("wrong", f"Your code uses something that cannot leave the notebook: {error}")
        outcome = run_limited(_judge_packed, self._inspect, packed, allowance=ALLOWANCE, timeout=SECONDS)
        print(outcome.stdout, end="")  # what the learner's code printed
        return outcome.value or Verdict("wrong", _cut_short(outcome))

    def _in_a_thread(self, answer: Any) -> Verdict:
        """The verdict, found in a thread that may take so much time."""
        found = []

        def look() -> None:
            with contextlib.suppress(SystemExit):  # how it is told to stop
                found.append(self.judge(answer))

        thread = threading.Thread(target=look, name="exercise", daemon=True)
        thread.start()
        thread.join(SECONDS)
        if found:
            return found[0]
        # Raised between two lines of Python code: a loop without an end stops there.
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(SystemExit))
        return Verdict("wrong", _TOO_LONG)

    def hint(self) -> None:
        """Prints the next hint; after the last one, the last again."""
        print(self.hints[self._next])
        self._next = min(self._next + 1, len(self.hints) - 1)

    def solution(self) -> None:
        """Prints the source of the solution, which the course's tests run."""
        source = inspect.getsource(self._solution).rstrip()
        print(source.replace("(PyDataset)", "(keras.utils.PyDataset)"))  # a notebook has no stand-in


def _judge(inspect_answer: Callable[[Any], str], answer: Any) -> Verdict:
    try:
        return Verdict("right", inspect_answer(answer))
    except Found as found:
        return found.verdict
    except Exception as error:  # not the learner's code: `ask` calls that
        return Verdict(
            "wrong",
            f"The check cannot make sense of what your code returns ({type(error).__name__}: {error}). "
            "Is it what the task asks for?",
        )


def _judge_packed(inspect_answer: Callable[[Any], str], packed: bytes) -> Verdict:
    return _judge(inspect_answer, cloudpickle.loads(packed))


_TOO_LONG = (
    f"Your code was not done after {SECONDS} seconds, and was stopped. Is there a loop without an end?"
)


def _cut_short(outcome: Outcome) -> str:
    if outcome.ended == "timeout":
        return _TOO_LONG
    if outcome.ended == "limit":
        return f"Your code took more than {megabytes(ALLOWANCE)}, and was stopped. What does it hold?"
    return f"Your code ended the process that looked at it ({outcome.reason})."


class PyDataset:
    """Stands for `keras.utils.PyDataset` during a check: loading Keras would take the child ten seconds."""

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10):
        self.workers, self.use_multiprocessing = workers, use_multiprocessing
        self.max_queue_size = max_queue_size

    def on_epoch_begin(self) -> None:
        """Called by Keras."""

    def on_epoch_end(self) -> None:
        """Called by Keras."""


class _Pickler(cloudpickle.Pickler):
    def reducer_override(self, thing: Any) -> Any:
        if (
            isinstance(thing, type)
            and thing.__name__ == "PyDataset"
            and thing.__module__.startswith("keras.")
        ):
            return _stand_in, ()
        return super().reducer_override(thing)


def _stand_in() -> type:
    return PyDataset


def pack(answer: Any) -> bytes:
    """A learner's function or class as bytes, with `PyDataset` for Keras' own base class."""
    buffer = io.BytesIO()
    _Pickler(buffer).dump(answer)
    return buffer.getvalue()
