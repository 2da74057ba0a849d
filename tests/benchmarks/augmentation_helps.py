"""What augmentation does for the model of notebook 02, on patients held back, over several seeds:
`python tests/benchmarks/augmentation_helps.py [SEEDS]`. Prints a table of AUCs (0.5 is a coin, 1 perfect).

Trained on the first 128 training pictures of the made set. "gentle" is strength 0.15 without flips, as in the
notebook; "recipe" is strength 1 with both flips, as in many tutorials.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from conftest import made_labels  # noqa: E402
from course_utils import quiet, read_labels  # noqa: E402

with quiet():
    import keras

    keras.ops.zeros(1)
from course_utils import AugmentingImageSequence, head, make_model  # noqa: E402

EPOCHS = 24
KINDS = {
    "plain": {"augment": False},
    "gentle": {"strength": 0.15, "horizontal_flip": False, "vertical_flip": False},
    "recipe": {"strength": 1.0},
}


def auc(kind: str, seed: int) -> float:
    """The AUC on patients held back, after training from that seed."""
    data = read_labels(made_labels())
    few, exam = data.split("train").head(128), data.split("validation")
    keras.utils.set_random_seed(seed)
    last_layer, loss, metric = head(2)
    model = make_model((64, 64, 1), last_layer)
    model.compile(keras.optimizers.Adam(3e-3), loss, metrics=[metric])
    options = {"shuffle": True, "seed": seed, **KINDS[kind]}
    training = AugmentingImageSequence(few.paths, few.labels, 16, (64, 64), **options)
    model.fit(training, epochs=EPOCHS, shuffle=False, verbose=0)
    held_back = AugmentingImageSequence(exam.paths, exam.labels, 32, (64, 64), augment=False)
    return model.evaluate(held_back, verbose=0)[1]


def main(seeds: int) -> None:
    print("seed", *KINDS, sep="\t")
    rows = []
    for seed in range(seeds):
        rows.append([auc(kind, seed) for kind in KINDS])
        print(seed, *(f"{value:.2f}" for value in rows[-1]), sep="\t", flush=True)
    print("median", *(f"{value:.2f}" for value in np.median(rows, axis=0)), sep="\t")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
