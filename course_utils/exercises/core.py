"""What an exercise is: an object that looks at the learner's answer and says what it did."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Attributes:
        status: "not yet" (the stub is untouched), "wrong" or "right".
        text: first what the learner's code did, then a question; or praise.
    """

    status: str
    text: str


class Exercise:
    """One task with its check, its hints and its solution.

    Args:
        judge: looks at an answer and returns a `Verdict`. It may raise: the learner's code is called.
        solution: the tested function or class that solves it.
        hints: from gentle to plain.
    """

    def __init__(self, judge: Callable[[object], Verdict], solution: Callable, hints: tuple[str, ...]):
        self._judge, self._solution, self.hints = judge, solution, hints
        self._next = 0

    def judge(self, answer: object) -> Verdict:
        """The verdict on an answer; an exception in the learner's code is a wrong answer that says so."""
        try:
            return self._judge(answer)
        except Exception as error:
            return Verdict("wrong", f"Your code raised {type(error).__name__}: {error}")

    def check(self, answer: object) -> None:
        """Prints the verdict. Never raises, so that Run All goes on."""
        verdict = self.judge(answer)
        print(
            {"not yet": "Not yet. ", "wrong": "Not quite. ", "right": "Right. "}[verdict.status]
            + verdict.text
        )

    def hint(self) -> None:
        """Prints the next hint; after the last one, the last again."""
        print(self.hints[self._next])
        self._next = min(self._next + 1, len(self.hints) - 1)

    def solution(self) -> None:
        """Prints the source of the solution, which the course's tests run."""
        print(inspect.getsource(self._solution).rstrip())
