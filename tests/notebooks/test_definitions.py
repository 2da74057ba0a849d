"""What a notebook defines, against the mirror in course_utils that the rest of the course imports."""

import ast
from pathlib import Path

import keras
import nbformat
import numpy as np
import pytest

from course_utils import ImageSequence, load_image

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def definition(notebook, name, **names):
    """The class or function `name` as the notebook defines it last, with the names that it needs."""
    found = None
    for cell in nbformat.read(NOTEBOOKS / notebook, as_version=4).cells:
        if cell.cell_type == "code" and f" {name}(" in cell.source and "google.colab" not in cell.source:
            for node in ast.parse(cell.source).body:
                if getattr(node, "name", None) == name:
                    found = node
    assert found, f"{notebook} defines no {name}"
    space = {"np": np, "keras": keras, "load_image": load_image, **names}
    exec(compile(ast.Module([found], []), notebook, "exec"), space)
    return space[name]


@pytest.fixture
def taught():
    basic = definition("01_basic_sequence.ipynb", "BasicSequence")
    return definition("01_basic_sequence.ipynb", "ImageSequence", BasicSequence=basic)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [7, 32, 100, 128])
def test_the_class_of_notebook_01_and_its_mirror_give_the_same_batches(numbered, taught, shuffle, batch_size):
    arguments = ([str(path) for path in numbered], np.arange(100), batch_size, (8, 8))
    mine, theirs = taught(*arguments, shuffle=shuffle), ImageSequence(*arguments, shuffle=shuffle)
    for _ in range(3):
        assert len(mine) == len(theirs)
        for idx in range(len(mine)):
            for a, b in zip(mine[idx], theirs[idx], strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)
        mine.on_epoch_end(), theirs.on_epoch_end()


def test_the_class_of_notebook_01_trains_with_keras_arguments(numbered, taught):
    sequence = taught([str(p) for p in numbered], np.arange(100), 32, (8, 8), shuffle=True, workers=2)
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(sequence, epochs=2, shuffle=False, verbose=0)
    assert len(history.history["loss"]) == 2
