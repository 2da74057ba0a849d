"""Every exercise at its edges: untouched, each plausible mistake with its own hint, right."""

import numpy as np
import pytest

from course_utils.exercises import ex00, ex01, ex02, ex03
from tests.running import definition


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
    (ex02, lambda images, side: (images[:, ::-1], -side), "upside down. The axes are"),
    (ex02, lambda images, side: (images[::-1], -side), "changes the order of the pictures"),
    (ex02, lambda images, side: (images[:, ::-1, ::-1], -side), "by 180 degrees"),
    (ex02, lambda images, side: (images, -side), "leaves the pictures as they are"),
    (ex02, lambda images, side: (images[:, :, ::-1], side), "left half (-1); your label says 1"),
    (ex02, lambda images, side: (images[:, :, ::-1], side[::-1]), "changed places among the pictures"),
    (ex02, lambda images, side: (-side, images[:, :, ::-1]), "You return the labels first"),
    (ex02, lambda images, side: (255 - images, -side), "Only places should change"),
    (ex02, lambda images, side: (images[:, :, ::-1], 1 - side), "your label says 0"),
    (ex02, lambda images, side: images[:, :, ::-1], "one ndarray. Two things"),
    (ex02, lambda images, side: (images[..., ::-1], -side), "leaves the pictures as they are"),
    (ex02, lambda images, side: (np.flip(images), -side), "reverses everything"),
    (ex02, lambda images, side: (images[:, :, ::-1], np.multiply(side, -1, out=side)), "changes the arrays"),
    (ex02, lambda images, side: (np.swapaxes(images, 1, 2), -side), "became (3, 6, 4, 1)"),
    (ex02, lambda images, side: None, "gives nothing back"),
    (ex03, lambda batch: batch / 255.0, "8 bytes a pixel, 8 times"),
    (ex03, lambda batch: batch / 255, "as float64"),
    (ex03, lambda batch: batch / np.float32(batch.max()), "A darker batch, 0 to 127, becomes 0 to 1 too"),
    (ex03, lambda batch: (batch - 128) / 128, "what does 3 - 10 give there?"),
    (ex03, lambda batch: batch.astype(np.float32) / 256, "largest grey that a file can hold"),
    (ex03, lambda batch: batch // 255, "Whole numbers from 0 to 1 are few"),
    (ex03, lambda batch: batch.astype(np.float16) / np.float16(255), "as float16"),
    (ex03, lambda batch: batch.astype(np.float32), "0 to 255, as float32"),
    (ex03, lambda batch: (batch.astype(np.float32) / 255) ** 2, "Grey 100 becomes"),
    (ex03, lambda batch: np.sqrt(batch.astype(np.float32) / 255), "Grey 100 becomes"),
    (ex03, lambda batch: 1 - batch / np.float32(255), "Dark has become bright"),
    (ex03, lambda batch: batch.astype(np.float32) / 127.5 - 1, "Its middle is 0"),
    (ex03, lambda batch: batch, "the range you were given"),
    (ex03, lambda batch: None, "gives nothing back"),
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
        (ex02, "02_augmentation.ipynb", "mirror"),
        (ex03, "03_normalisation.ipynb", "to_unit"),
    ],
)
def test_stub_not_yet_solution_right_and_printed(module, notebook, name, capsys):
    exercise = module.EXERCISE
    exercise.check(definition(notebook, name))
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


@pytest.mark.parametrize(
    "module, answer",
    [
        (ex02, lambda images, side: (np.flip(images, 2), side * -1)),
        (ex02, lambda images, side: [images[:, :, ::-1, :].copy(), 0 - side]),
        (ex03, lambda batch: batch * np.float32(1 / 255)),
        (ex03, lambda batch: np.divide(batch, 255, dtype="float32")),
        (ex03, lambda batch: (batch / 255.0).astype("float32")),
    ],
)
def test_other_right_answers_are_right(module, answer):
    assert module.EXERCISE.judge(answer).status == "right"
