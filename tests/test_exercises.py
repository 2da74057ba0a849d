"""Every exercise at its edges: untouched, each plausible mistake with its own hint, right."""

import ast
from pathlib import Path

import nbformat
import numpy as np
import pytest

from course_utils.exercises import ex00, ex01

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def stub(notebook, name):
    """The stub as the notebook ships it."""
    for cell in nbformat.read(NOTEBOOKS / notebook, as_version=4).cells:
        if cell.cell_type == "code" and (f"class {name}" in cell.source or f"def {name}" in cell.source):
            space = {}
            nodes = [node for node in ast.parse(cell.source).body if getattr(node, "name", None) == name]
            exec(compile(ast.Module(nodes, []), notebook, "exec"), space)
            return space[name]
    raise AssertionError(f"{notebook} has no {name}")


def numbers(length, item):
    class Answer(ex01.NumberSequence):
        __len__, __getitem__ = length, item

    return Answer


def right_length(self):
    return -(-len(self.numbers) // self.batch_size)


def right_item(self, idx):
    return self.numbers[idx * self.batch_size : (idx + 1) * self.batch_size]


MISTAKES = [
    (ex00, lambda n, h, w, c, b: 29_000_000, "which five numbers do?"),  # the files' sizes, summed
    (ex00, lambda n, h, w, c, b: n * h * w * c, "how many does a float32 number take?"),
    (ex00, lambda n, h, w, c, b: h * w * c * b, "How many images is that enough for?"),
    (ex00, lambda n, h, w, c, b: n * h * w * b, "missing, or twice"),
    (ex00, lambda n, h, w, c, b: n * h * h * c * b, "missing, or twice"),
    (ex00, lambda n, h, w, c, b: n * h * w * c * b / 1e6, "whole number"),
    (ex00, lambda n, h, w, c, b: f"{n} MB", "whole number"),
    (ex00, lambda n: n, "raised TypeError"),
    (ex01, numbers(lambda self: len(self.numbers) // self.batch_size, right_item), "4 never come"),
    (ex01, numbers(lambda self: len(self.numbers) // self.batch_size + 1, right_item), "Batch 3 is empty"),
    (
        ex01,
        numbers(right_length, lambda self, idx: self.numbers[idx : idx + self.batch_size]),
        "Batch 1 begins at 1: where should it begin?",
    ),
    (ex01, numbers(right_length, lambda self, idx: self.numbers[idx * self.batch_size :]), "batch holds 100"),
    (ex01, numbers(lambda self: len(self.numbers), right_item), "is empty"),
    (ex01, numbers(lambda self: 1, lambda self, idx: self.numbers), "One batch holds 100"),
    (ex01, numbers(right_length, lambda self, idx: right_item(self, len(self) - 1 - idx)), "in the order"),
    (ex00, lambda n, h, w, c, b: None, "gives nothing back"),
    (ex01, numbers(right_length, lambda self, idx: None), "__getitem__ gives nothing back"),
    (ex01, numbers(right_length, lambda self, idx: self.numbers[idx]), "A batch is a slice"),
    (ex01, numbers(right_length, lambda self, idx: right_item(self, idx)[:-1]), "the last number of batch 0"),
    (ex01, numbers(right_length, lambda self, idx: 1 / 0), "raised ZeroDivisionError"),
]  # fmt: skip


@pytest.mark.parametrize("module, answer, said", MISTAKES, ids=lambda value: getattr(value, "__name__", None))
def test_a_mistake_meets_its_own_hint(module, answer, said):
    verdict = module.EXERCISE.judge(answer)
    assert verdict.status == "wrong" and said in verdict.text


@pytest.mark.parametrize(
    "module, notebook, name",
    [
        (ex00, "00_start_here.ipynb", "bytes_needed"),
        (ex01, "01_basic_sequence.ipynb", "NumberSequence"),
    ],
)
def test_stub_not_yet_solution_right_and_printed(module, notebook, name, capsys):
    exercise = module.EXERCISE
    exercise.check(stub(notebook, name))
    assert capsys.readouterr().out.startswith("Not yet. ")
    exercise.solution()
    space = {"np": np}
    exec(capsys.readouterr().out, space)  # what is printed is what works
    exercise.check(space[name])
    assert capsys.readouterr().out.startswith("Right. ")
    for hint in (*exercise.hints, exercise.hints[-1]):
        exercise.hint()
        assert capsys.readouterr().out.strip() == hint


def test_half_done_is_not_yet():
    assert ex01.EXERCISE.judge(numbers(right_length, lambda self, idx: ...)).status == "not yet"
    assert ex01.EXERCISE.judge(numbers(lambda self: ..., right_item)).status == "not yet"


def test_the_strip_shows_holes_and_repeats():
    assert ex01.strip(6, [np.array([0, 1]), np.array([1, 2])]) == "  1 2 1 . . ."
