"""Augmented loading, side by side in one run: `python tests/benchmarks/augmented_loading.py [LABELS.CSV]`.

Four ways to the same kind of batch, 32 grey pictures of 256 x 256, from the same files:

plain      ImageSequence: decode only
augmented  AugmentingImageSequence: decode, then one warp an image
layers     the usual class of tutorials: `load_img`, then three Keras layers an image, in `__getitem__`
tf.data    decode in a parallel map, then the three layers a batch in another, prefetched

They take turns, round by round, so that whatever else the machine does falls on all of them. Printed are
medians over the rounds, and the ratios that tests and README speak of. Nothing is asserted: times belong to
the machine.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from course_utils import AugmentingImageSequence, ImageSequence, quiet, read_labels  # noqa: E402
from data_scripts.make_dataset import ensure  # noqa: E402

with quiet():
    import tensorflow as tf

    tf.zeros(1)
keras = tf.keras
SIDE, BATCH, ROUNDS = 256, 32, 9


def make_layers():
    return keras.Sequential(
        [
            keras.layers.RandomFlip("horizontal_and_vertical"),
            keras.layers.RandomRotation(0.2),
            keras.layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2)),
        ]
    )


class LayersInGetitem(keras.utils.PyDataset):
    def __init__(self, paths, labels):
        super().__init__()
        self.paths, self.labels, self.layers = paths, labels, make_layers()

    def __len__(self):
        return -(-len(self.paths) // BATCH)

    def __getitem__(self, index):
        chosen = slice(index * BATCH, (index + 1) * BATCH)
        images = []
        for path in self.paths[chosen]:
            loaded = keras.utils.load_img(path, target_size=(SIDE, SIDE), color_mode="grayscale")
            image = keras.utils.img_to_array(loaded)
            images.append(tf.squeeze(self.layers(image[tf.newaxis]), axis=0))
        return np.array(images), self.labels[chosen]


def tf_data(paths, labels):
    layers = make_layers()

    def load(path, label):
        image = tf.io.decode_png(tf.io.read_file(path), 1)
        return tf.cast(tf.ensure_shape(image, (SIDE, SIDE, 1)), tf.float32), label  # they have this size

    def augment(images, labels):
        return layers(images, training=True), labels

    dataset = tf.data.Dataset.from_tensor_slices((paths, labels))
    dataset = dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH)
    return dataset.map(augment, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def main(labels_csv: str | os.PathLike) -> None:
    data = read_labels(labels_csv).head(6 * BATCH)
    paths = [str(path) for path in data.paths]
    arguments = (paths, data.labels, BATCH, (SIDE, SIDE))
    few = 2 * BATCH  # the slow one takes its turn with fewer pictures
    ways = {
        "plain": ImageSequence(*arguments),
        "augmented": AugmentingImageSequence(*arguments),
        "augmented, uint8": AugmentingImageSequence(*arguments, dtype="uint8"),
        "layers": LayersInGetitem(paths[:few], data.labels[:few]),
        "tf.data": tf_data(paths, data.labels),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, batches in ways.items():
            start, images = time.perf_counter(), 0
            for index in range(len(batches)) if hasattr(batches, "__getitem__") else batches:
                batch = batches[index] if isinstance(index, int) else index
                images += len(batch[0])
            if turn:  # the first round warms up
                seconds[name].append((time.perf_counter() - start) / images)
    median = {name: float(np.median(times)) for name, times in seconds.items()}
    for name, each in median.items():
        print(f"{name:<18} {each * 1000:6.2f} ms an image")
    print(f"layers / augmented    {median['layers'] / median['augmented']:5.1f}")
    print(f"tf.data / augmented   {median['tf.data'] / median['augmented']:5.1f}")
    print(f"plain / augmented     {median['plain'] / median['augmented']:5.2f}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ensure())
