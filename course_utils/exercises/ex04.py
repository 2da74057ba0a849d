"""Notebook 04: a setting that trains under a limit, judged by a run in a child process."""

from typing import Any

import numpy as np

from ..budget import Settings, TrainingFailed, batches_alive, rehearse
from ..memory import megabytes
from .core import Exercise, not_yet, wrong

SHAPE = (256, 256, 1)
LIMIT = 500_000_000
GIVEN = {"batch_size": 64, "dtype": "float32", "workers": 2, "max_queue_size": 10}


def settings_that_fit():
    return {"batch_size": 64, "dtype": "uint8", "workers": 2, "max_queue_size": 2}


class Pictures:
    """A source of pictures that no disk holds."""

    shape = SHAPE

    def __init__(self, dtype: str, n: int):
        self.dtype, self.n = dtype, n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, position: int) -> np.ndarray:
        return np.full(self.shape, position % 256, self.dtype)

    def name(self, position: int) -> str:
        return f"picture {position}"


def make_sequence(settings: Settings) -> Any:
    """The Sequence that the exercise trains on."""
    from ..sequences import ImageSequence

    n = settings.batch_size * (settings.max_queue_size + 6)
    options = {"workers": settings.workers, "max_queue_size": settings.max_queue_size}
    labels = np.zeros(n, np.float32)
    return ImageSequence.from_source(Pictures(settings.dtype, n), labels, settings.batch_size, **options)


def build_model(image_shape: tuple[int, ...]) -> Any:
    """The model of the notebook."""
    import keras

    layers = keras.layers
    model = keras.Sequential([keras.Input(image_shape), layers.AveragePooling2D(4)])
    model.add(layers.Conv2D(16, 3, activation="relu"))
    model.add(layers.GlobalMaxPooling2D())
    model.add(layers.Dense(1))
    model.compile("adam", "mse")
    return model


def _checked(answer: Any) -> Settings:
    if not isinstance(answer, dict):
        wrong(f"Yours is {answer!r:.80}. Where are the four settings, by name?")
    if answer == GIVEN:
        not_yet("These are the settings that take too much: change what has to change, and run it again.")
    if odd := set(answer) ^ set(GIVEN):
        wrong(f"The four settings are {', '.join(GIVEN)}; yours differ in {', '.join(map(str, odd))}. Which?")
    if answer["batch_size"] != GIVEN["batch_size"]:
        wrong(
            f"Your batches hold {answer['batch_size']} images. That is another training, with other results. "
            "Which of the other settings change memory, and nothing that the model learns from?"
        )
    if answer["dtype"] not in ("float32", "uint8"):
        wrong(f"A Sequence here serves no {answer['dtype']!r}. Which dtype holds 0 to 255 in one byte?")
    try:
        settings = Settings(image_shape=SHAPE, length=10**6, **answer)
    except ValueError as error:
        wrong(f"Keras would refuse it: {error}. Which values can it have?")
    if settings.workers < 2:
        wrong(
            f"With workers={settings.workers} there is no queue: that fits. But two pictures are then never "
            "read at once, and the task keeps two workers. What else holds so many batches?"
        )
    if settings.max_queue_size == 0:
        wrong(
            "max_queue_size=0 switches no queue off: it means without a bound, a whole epoch of batches. "
            "Which number is the smallest queue?"
        )
    return settings


def _setting(answer: Any) -> str:
    settings = _checked(answer)
    try:
        rehearsal = rehearse(build_model, lambda: make_sequence(settings))
    except TrainingFailed as error:
        wrong(f"It was tried in a child: {str(error).splitlines()[0]} Can it be tried again?")
    alive, batch = batches_alive(settings), megabytes(settings.batch_bytes)
    did = (
        f"It ran, in a child of its own: {megabytes(rehearsal.peak)} at the peak, under a limit of "
        f"{megabytes(LIMIT)}"
    )
    if rehearsal.peak > LIMIT:
        wrong(
            f"{did.replace('under', 'over')}. About {alive} batches of {batch} were alive. Which two "
            "settings make that product?"
        )
    return f"{did}. About {alive} batches of {batch} were alive; the batch size stayed as it was."


SETTINGS_THAT_FIT = Exercise(
    _setting,
    settings_that_fit,
    (
        "The batches alive are a product: how many there are, and what each takes.",
        "How many: the queue and four. What each takes: a byte a number as uint8, four as float32.",
        'dtype="uint8", or max_queue_size=2, or both.',
    ),
    starts_children=True,
)
