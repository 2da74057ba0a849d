"""The list of faults: why each matters, with the figure where one was measured, and what to do.

Figures were measured with Keras 3.15 on TensorFlow 2.21, on Linux; `tests/test_traps.py` measures those of
its traps again. An error: training goes wrong, hangs or dies, or data are lost or false. A warning: it costs
memory, time or repeatability, or it is only risky.
"""

from typing import Literal, NamedTuple

Level = Literal["error", "warning"]


class Fault(NamedTuple):
    """One kind of fault: its usual level, why it matters, and the cure."""

    level: Level
    why: str
    fix: str


def _error(why: str, fix: str) -> Fault:
    return Fault("error", why, fix)


def _warning(why: str, fix: str) -> Fault:
    return Fault("warning", why, fix)


FAULTS: dict[str, Fault] = {
    # The class
    "base-constructor": _error(
        "Keras falls back to workers=1 and a queue of 10, whatever the caller asks for.",
        "Call super().__init__(**kwargs) first in __init__, in every class it inherits from; take **kwargs.",
    ),
    "no-length": _error(
        "fit needs the number of batches, or None for an endless Sequence.",
        "Write __len__ (batches, not samples), or a num_batches property.",
    ),
    "no-getitem": _error(
        "Keras asks for batches with it: fit ends in a NotImplementedError without a word.",
        "Write __getitem__(self, idx), which returns one batch; look whether its name is spelled so.",
    ),
    "length-zero": _error(
        'fit raises "The PyDataset has length 0".',
        "Use int(np.ceil(samples / batch_size)), and look whether the list of files is empty.",
    ),
    "queue-unbounded": _warning(
        'Keras takes it for "no limit": 60 of 60 batches were in memory.',
        "Pass max_queue_size=2 or more.",
    ),
    "on-epoch-begin": _error(
        "Workers start before it runs: every batch sees the state of the epoch before (keras#23283).",
        "Change state in on_epoch_end.",
    ),
    "notebook-class": _warning(
        "Where processes are spawned a worker cannot import it from a notebook: fit hangs for ever.",
        "Move the class to a .py file and import it.",
    ),
    "does-not-pickle": _warning(
        "Where processes are spawned (macOS, Windows, Python 3.14) no worker can start: fit hangs.",
        "Drop it in __getstate__ and make it again on first use; no lambdas.",
    ),
    "shared-handle": _error(
        "Forked workers share one place in the file: of 640 reads from one ZipFile 165 failed.",
        "Open it in each process: keep the name, and the handle in a dict under os.getpid().",
    ),
    "thread-bound": _error(
        "Keras calls __getitem__ from other threads than the one that made the Sequence, always.",
        "Open per thread (threading.local), or inside __getitem__; close it there.",
    ),
    "not-thread-safe": _error(
        "Threads that read at the same time get each other's data, now and then and silently.",
        "Keep what a batch needs in local variables; open files per thread, or guard them by a lock.",
    ),
    "tensorflow-in-workers": _error(
        "Its threads do not survive a fork: a rotation of 256 x 256 pixels hung for ever.",
        "Use NumPy, Pillow or OpenCV in __getitem__, or put the layers into the model.",
    ),
    "keras-per-image": _warning(
        "Image by image this costs 20 to 60 times the loading.",
        "Put the layers into the model, or call them once a batch; or use Pillow or OpenCV.",
    ),
    # How it ends
    "raises": _error(
        "fit ends in the middle of an epoch, and TensorFlow hides the type of the error.",
        "Mend what it names. A file that cannot be read: leave it out, or raise a ValueError that names it.",
    ),
    "unpicklable-exception": _error(
        "A worker process cannot send this error back, so fit hangs for ever, without a message.",
        "Let its __init__ take one message and pass it to super().__init__; or raise a ValueError.",
    ),
    "stuck": _error(
        "If it never comes back, fit waits for ever.",
        "If it is only slow, give check(seconds=...) more time; else look for a lock or a pool.",
    ),
    # Batches
    "none-batch": _error(
        "With workers > 1 fit hangs for ever (3 of 3 runs); without, it ends in an error.",
        "Return a batch or raise an error; serve another image in place of a broken one.",
    ),
    "empty-batch": _error(
        "A step on no samples: the loss counts as 0, and BatchNormalization's averages become NaN.",
        "Make __len__ and the slices in __getitem__ agree.",
    ),
    "not-a-tuple": _error(
        "Keras takes (x,), (x, y) or (x, y, sample_weight), of arrays; without y, nothing is learnt.",
        "Return (images, labels), both NumPy arrays.",
    ),
    "label-count": _error(
        "Every image needs its label: fit ends in an error, or the loss pairs the wrong ones.",
        "Slice images and labels by the same positions.",
    ),
    "float64": _warning(
        "It stays float64 in the queue and on its way to the device: 2 times float32, 8 times uint8.",
        "Name dtype=np.float32 where arrays are made: np.empty makes float64, and so does uint8 / 255.",
    ),
    "dtype-changes": _error(
        "Keras takes the dtype of batches 0 and 1, and casts the others silently: 0.7 to 0 as uint8.",
        "Convert every batch to one dtype.",
    ),
    "shape-changes": _error(
        "Keras takes the shape from batches 0 and 1; another one ends fit in the middle of the epoch.",
        "Resize every image to one size; keep the channels, and the batch axis of a batch of one.",
    ),
    "not-finite": _error(
        "One NaN or infinity makes every weight NaN.",
        "Look for divisions by a zero deviation or range, and for missing values in the labels.",
    ),
    "buffer-reused": _error(
        "Batches wait in a queue. Measured with one buffer and 2 workers: 1 batch of 20 was right.",
        "Make a new array in every __getitem__, and change nothing in place that the object holds.",
    ),
    "changed-in-place": _error(
        "Each reading changes the data that the next one starts from: images drift from epoch to epoch.",
        "Copy before you change: images = images / 255 makes a new array, images /= 255 does not.",
    ),
    # Which samples, in which order, with whom
    "dropped-tail": _warning(
        "Samples that no batch serves are not trained on, and an evaluation without them is false.",
        "Use int(np.ceil(samples / batch_size)) in __len__; a smaller last batch is fine.",
    ),
    "served-twice": _warning(
        "An evaluation counts them twice, and predictions are more than there are samples.",
        "Let the last batch be smaller instead of filling it up; or look for copies in the data.",
    ),
    "labels-leave-images": _error(
        "The model learns labels, masks or weights of other images.",
        "Shuffle one array of positions, and index everything of a sample by it.",
    ),
    "one-class-batches": _error(
        "Measured: validation accuracy 0.12 to 0.17, against 0.98 with shuffled samples.",
        "Shuffle the samples, not only the batches, in on_epoch_end.",
    ),
    "batch-shuffle-only": _warning(
        "fit(shuffle=True) permutes batches only: the same samples meet in every epoch.",
        "Permute the positions of the samples in on_epoch_end.",
    ),
    "order-changes": _error(
        "Predictions leave their labels from the second predict on: agreement fell from 1.00 to 0.35.",
        "Use a Sequence without shuffling for evaluate and predict.",
    ),
    "changes-in-evaluation": _error(
        "The same images give other figures each time, so models cannot be compared.",
        "Switch augmentation off for evaluate and predict.",
    ),
    "global-random": _warning(
        "With threads it cannot be repeated; with processes np.random gave 2 to 5 values in 24 draws.",
        "Draw from np.random.default_rng((seed, epoch, index)).",
    ),
    "own-random-state": _warning(
        "Threads draw in any order, and processes copy the state: 2 to 5 values in 24 draws.",
        "Draw from np.random.default_rng((seed, epoch, index)).",
    ),
    "holds-data": _warning(
        "The data set is in memory, and stays there: TensorFlow keeps every Sequence given to fit.",
        "Keep the paths, and read the images in __getitem__.",
    ),
    # What else goes to fit
    "steps-per-epoch": _error(
        "Each epoch starts again at batch 0 after those left over: 21 of 100 batches were ever seen.",
        "Leave steps_per_epoch out; make __len__ smaller, or num_batches None.",
    ),
    "validation-steps": _error(
        "Each epoch is validated on other batches (0-4, then 5-9), so the epochs cannot be compared.",
        "Leave validation_steps out, or give the validation Sequence workers=1.",
    ),
    "moved-argument": _error(
        "fit raises TypeError: since Keras 3 it belongs to the Sequence.",
        "Pass it to the Sequence's constructor, which passes it to super().__init__.",
    ),
    "refused-argument": _error(
        "fit raises ValueError: for data of a Sequence; for class_weight where batches hold weights.",
        "Serve labels and weights in the batch; make a second Sequence for validation.",
    ),
    "ignored-batch-size": _warning(
        "fit ignores it silently: a batch is what __getitem__ returns.",
        "Give the batch size to the Sequence.",
    ),
    # The model
    "input-shape": _error(
        "fit ends in an error at the first step.",
        "Resize to the model's size, or build the model for these images.",
    ),
    "label-shape": _error(
        "fit ends in an error; or, worse, the loss compares every label with every output.",
        "One output a class, and labels for it: numbers for a sparse loss, one-hot rows for another.",
    ),
    "label-range": _error(
        "A class outside the outputs makes the loss NaN, negative or an error, as device and loss go.",
        "Number classes from 0; Dense(K, softmax) for K of them; masks of 0 and 255 become 0 and 1.",
    ),
    "index-range": _error(
        "An index past the table ends fit on a CPU, and reads zeros on a GPU.",
        "Let input_dim be the largest index and one more.",
    ),
    "range-rescaled-twice": _error(
        "Divided twice, all images are almost black: values below 0.006.",
        "Take out the Rescaling layer, or serve 0 to 255.",
    ),
    "range-not-scaled": _warning(
        "Weights are made for inputs around 1; with 255 training is slow or diverges.",
        "Put keras.layers.Rescaling(1 / 255) first in the model.",
    ),
    "value-range": _error(
        "Measured on [0, 1] images: brightness up to 65, posterisation all 0, solarisation all above 253.",
        "Pass value_range=(0, 1), or put the layer before the Rescaling and serve 0 to 255.",
    ),
    "not-adapted": _error(
        "A Normalization that was never adapted passes its input on unchanged, without an error.",
        "Call layer.adapt(sequence) without augmentation, before the first fit, or pass mean and variance.",
    ),
    "jax-builds-late": _error(
        "On JAX the first batches of the queue build the model: the last 11 of 40 were lost.",
        "Call model.test_on_batch(*sequence[0]) before fit, or leave workers at 1.",
    ),
}
