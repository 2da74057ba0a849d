"""Notebook 04: a setting that fits, judged by a run in a child; six faults, judged by the check-up."""

import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ..budget import Settings, TrainingFailed, batches_alive, rehearse
from ..images import load_image
from ..memory import megabytes
from .core import Exercise, PyDataset, ask, not_yet, wrong

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


class MySequence(PyDataset):
    """The class of the notebook without its six faults."""

    def __init__(self, paths, labels, batch_size, **options):
        super().__init__(**options)
        self.paths, self.labels = np.array(paths), np.array(labels)
        self.batch_size, self.order = batch_size, np.arange(len(paths))

    def __len__(self):
        return math.ceil(len(self.paths) / self.batch_size)

    def __getitem__(self, idx):
        rows = self.order[idx * self.batch_size : (idx + 1) * self.batch_size]
        images = np.stack([load_image(path, (256, 256)) for path in self.paths[rows]])
        return images / np.float32(255), self.labels[rows]

    def on_epoch_end(self):
        self.order = np.random.permutation(len(self.paths))


# A question for each fault; what was seen comes from the check-up.
ASKS = {
    "base-constructor": "Which call does the constructor of every PyDataset begin with?",
    "holds-data": "What is small enough to keep, and enough to read a picture when it is asked for?",
    "dropped-tail": "How many batches do 50 pictures in sixteens make, the last one smaller?",
    "float64": "Which line makes numbers of eight bytes? `np.empty` does, where no dtype is named.",
    "buffer-reused": "The batch before still waits in the queue: in whose memory?",
    "labels-leave-images": "What has to move when a label moves?",
}
_PICTURES, _BATCH, _SECONDS, _STEP = 50, 16, 5, 5  # pictures of one grey each, so many apart


def _mended(answer: Any) -> str:
    from ..checkup import check

    if not isinstance(answer, type) and not callable(answer):
        wrong("That is an object made of your class. What is the name of the class itself?")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{number:02}.pgm" for number in range(_PICTURES)]
        for number, path in enumerate(paths):  # a header and the plain pixels
            path.write_bytes(b"P5 256 256 255\n" + bytes([_STEP * number]) * 256 * 256)
        sequence = ask(answer, paths, np.arange(_PICTURES) % 2, _BATCH, name="Your class")
        report = check(sequence, seconds=_SECONDS)
        _name_what_is_left(report)
        _take_options(answer, paths)
        _keep_pairs(sequence)
    return (
        "The check-up finds none of the six faults any more: names in place of pixels, one order for "
        "pictures and labels, and each picture has its own label."
    )


def _name_what_is_left(report: Any) -> None:
    """Ends the check where the check-up finds something, in its order."""
    for finding in report.errors:
        if finding.code not in ASKS:
            wrong(f"{finding.seen} {finding.why} {finding.fix}")
    left = [finding for finding in report.findings if finding.code in ASKS]
    if len(left) == len(ASKS):
        not_yet(f"All six faults are there. The first: {left[0].seen} {ASKS[left[0].code]}")
    if left:
        some = f"{len(left)} of six faults {'is' if len(left) == 1 else 'are'} left"
        wrong(f"{some}. {left[0].seen} {ASKS[left[0].code]}")
    if "batch-shuffle-only" in [finding.code for finding in report.findings]:
        wrong("The same pictures meet in every epoch now. What was `on_epoch_end` there for?")


def _take_options(answer: Any, paths: list[Path]) -> None:
    """Whether what the caller asks for reaches Keras."""
    labels = np.arange(_PICTURES) % 2
    made = ask(lambda: answer(paths, labels, _BATCH, workers=2), name="MySequence(..., workers=2)")
    if made.workers != 2:
        wrong(
            f"Made with workers=2, yours has workers={made.workers}. What does `super().__init__` have to "
            "be told?"
        )


def _keep_pairs(sequence: Any) -> None:
    """Whether each picture comes once, with its own label: the grey of a picture is its number."""
    pairs = []
    for idx in range(len(sequence)):
        images, labels = ask(sequence.__getitem__, idx, name="__getitem__")
        greys = np.mean(images, axis=(1, 2, 3)) * (255 if np.max(images) <= 1 else 1)
        pairs += zip(np.round(greys / _STEP).astype(int).tolist(), np.ravel(labels).tolist(), strict=True)
    if sorted(number for number, _ in pairs) != list(range(_PICTURES)):
        came = len({number for number, _ in pairs})
        wrong(f"In {len(pairs)} rows {came} of {_PICTURES} pictures came. Which did not, or came twice?")
    if apart := [number for number, label in pairs if label != number % 2]:
        wrong(
            f"{len(apart)} of {_PICTURES} pictures come with a label that is not theirs. Where do pictures "
            "and labels part?"
        )


SIX_FAULTS = Exercise(
    _mended,
    MySequence,
    (
        "One fault at a time: mend it, run the class and the check-up, and read what is left.",
        "Keep paths, labels and an array of positions, nothing else; make every batch anew.",
        "super().__init__(**options) first; math.ceil in __len__; in on_epoch_end permute the positions.",
    ),
    needs_keras=True,
)
