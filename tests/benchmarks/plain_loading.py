"""Loading without augmentation, side by side: `python tests/benchmarks/plain_loading.py [FOLDER OF PNGS]`.

Everybody makes the same batches, 32 grey pictures of 256 x 256, from the same files: PNG of 1024 x 1024 and
of 256 x 256, JPEG of 1024 x 1024. Without a folder the pictures are drawn, like radiographs with their grain.

ours               ImageSequence; antialiased
ours, uint8        the same with dtype="uint8"
fit                ours, uint8, through `fit` with a model of two weights
Pillow             decode, `convert`, `resize` by Pillow on all cores; antialiased
the document's     a PyDataset with `load_img`, which picks the nearest pixel
tf.data            `decode_*` and `tf.image.resize` in a parallel map: four pixels count, the others are lost
tf.data, antialias the same with antialias=True
Keras' folder      `image_dataset_from_directory`, bilinear without antialias
torch, Grain       where installed: Pillow in DataLoader's processes, and in Grain's threads; antialiased

They take turns, round by round, so that whatever else the machine does falls on all of them. Printed are, of
the rounds, the median speed and the median of the ratios to ours in the same round; and the peak of memory
over an epoch, in a fresh process of each. Nothing is asserted: times belong to the machine.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from course_utils import ImageSequence, PeakMeter, quiet, run_limited  # noqa: E402
from data_scripts.make_dataset import ensure  # noqa: E402

SIDE, BATCH, ROUNDS = 256, 32, 7
FORMATS = {"PNG 1024": (1024, "png", 64), "PNG 256": (256, "png", 512), "JPEG 1024": (1024, "jpg", 128)}
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def prepare(folder: Path, given: list[Path]) -> dict[str, list[str]]:
    """The files of each format, in a folder of its own with one sub-folder, as Keras' loader wants it."""
    if not given:
        ensure(folder / "drawn", images=64, size=1024)
        given = sorted((folder / "drawn").rglob("*.png"))
    files = {}
    for name, (side, suffix, n) in FORMATS.items():
        place = folder / name / "all"
        place.mkdir(parents=True)
        files[name] = [str(place / f"{at:04}.{suffix}") for at in range(n)]
        for at, path in enumerate(files[name]):
            with Image.open(given[at % len(given)]) as image:
                image = image.convert("L")
                image = image if image.size == (side, side) else image.resize((side, side), 2)
                image.save(path, **({"quality": 90} if suffix == "jpg" else {}))
    return files


def ours(paths: list[str], dtype: str = "float32") -> Callable[[], Iterable]:
    sequence = ImageSequence(paths, np.zeros(len(paths)), BATCH, (SIDE, SIDE), dtype=dtype)
    return lambda: (sequence[index][0] for index in range(len(sequence)))


def fit(paths: list[str]) -> Callable[[], float]:
    import keras

    paths = paths * 8  # long epochs: what each begins with is not what is asked here
    sequence = ImageSequence(paths, np.zeros(len(paths)), BATCH, (SIDE, SIDE), dtype="uint8")
    corner = keras.layers.Lambda(lambda images: keras.ops.cast(images[:, 0, 0], "float32"))
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1), dtype="uint8"), corner, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ends = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))

    def epochs() -> float:
        ends.clear()  # the first epoch also compiles, and reads its first two batches twice
        model.fit(sequence, epochs=2, shuffle=False, verbose=0, callbacks=[clock])
        return (ends[1] - ends[0]) / 8

    return epochs


def by_pillow(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))[..., np.newaxis]


def pillow(paths: list[str]) -> Callable[[], Iterable]:
    pool = ThreadPoolExecutor(CORES)

    def epoch() -> Iterable:
        for at in range(0, len(paths), BATCH):
            batch = np.empty((len(paths[at : at + BATCH]), SIDE, SIDE, 1), np.float32)

            def fill(slot: int, at=at, batch=batch) -> None:
                batch[slot] = by_pillow(paths[at + slot])

            list(pool.map(fill, range(len(batch))))
            yield batch

    return epoch


def documents(paths: list[str]) -> Callable[[], Iterable]:
    import keras

    class Loader(keras.utils.PyDataset):
        def __len__(self):
            return -(-len(paths) // BATCH)

        def __getitem__(self, index):
            chosen = paths[index * BATCH : (index + 1) * BATCH]
            loaded = [
                keras.utils.load_img(path, target_size=(SIDE, SIDE), color_mode="grayscale")
                for path in chosen
            ]
            return np.array([keras.utils.img_to_array(image) for image in loaded])

    loader = Loader()
    return lambda: (loader[index] for index in range(len(loader)))


def tf_data(paths: list[str], antialias: bool = False) -> Callable[[], Iterable]:
    import tensorflow as tf

    decode = tf.io.decode_png if paths[0].endswith("png") else tf.io.decode_jpeg

    def load(path):
        image = decode(tf.io.read_file(path), 1)
        return tf.image.resize(image, (SIDE, SIDE), antialias=antialias)

    dataset = tf.data.Dataset.from_tensor_slices(paths).map(load, num_parallel_calls=tf.data.AUTOTUNE)
    dataset = dataset.batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: dataset


def keras_folder(paths: list[str]) -> Callable[[], Iterable]:
    import keras

    dataset = keras.utils.image_dataset_from_directory(
        str(Path(paths[0]).parent.parent), labels=None, color_mode="grayscale", batch_size=BATCH,
        image_size=(SIDE, SIDE), shuffle=False, verbose=False,
    )  # fmt: skip
    return lambda: dataset


def torch(paths: list[str]) -> Callable[[], Iterable]:
    from torch.utils.data import DataLoader

    class Files:
        def __len__(self):
            return len(paths)

        def __getitem__(self, position):
            return by_pillow(paths[position]).astype(np.float32)

    loader = DataLoader(Files(), BATCH, num_workers=CORES, persistent_workers=True)
    return lambda: loader


def grain(paths: list[str]) -> Callable[[], Iterable]:
    import grain

    options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=2 * BATCH)
    images = grain.MapDataset.source(paths).map(lambda path: by_pillow(path).astype(np.float32))
    return lambda: images.to_iter_dataset(options).batch(BATCH)


WAYS = {
    "ours": ours,
    "ours, uint8": lambda paths: ours(paths, "uint8"),
    "fit": fit,
    "Pillow": pillow,
    "the document's": documents,
    "tf.data": tf_data,
    "tf.data, antialias": lambda paths: tf_data(paths, True),
    "Keras' folder": keras_folder,
    "torch": torch,
    "Grain": grain,
}


def seconds_of(epoch: Callable[[], Iterable | float], images: int) -> float:
    """What an epoch takes: measured here, or by itself."""
    start = time.perf_counter()
    batches = epoch()
    if isinstance(batches, float):
        return batches
    assert sum(len(batch) for batch in batches) >= images  # Keras' loader always reads the whole folder
    return time.perf_counter() - start


def peak(name: str, paths: list[str]) -> int:
    """Bytes that an epoch takes at most, once the libraries are there and a batch has been made."""
    with quiet():
        seconds_of(WAYS[name](paths[:BATCH]), BATCH)
        epoch = WAYS[name](paths)
        with PeakMeter(interval=0.005) as meter:
            seconds_of(epoch, len(paths))
    return meter.growth


def measure(name: str, paths: list[str]) -> None:
    ways = {}
    for way, make in WAYS.items():
        try:
            ways[way] = make(paths)
        except ImportError as error:
            print(f"  {way}: not installed ({error})")
    seconds = {way: [] for way in ways}
    for turn in range(ROUNDS + 1):
        for way, epoch in ways.items():
            taken = seconds_of(epoch, len(paths))
            if turn:  # the first round warms up
                seconds[way].append(taken / len(paths))
    print(f"\n{name}, {CORES} cores: images a second, as a multiple of ours; MB at the peak")
    for way, each in seconds.items():
        ratio = np.median(np.array(seconds["ours"]) / each)
        outcome = run_limited(peak, way, paths)
        memory = f"{outcome.value / 1e6:6.0f}" if outcome.ended == "finished" else f"  {outcome.reason}"
        print(f"  {way:<20} {1 / np.median(each):7.0f} {ratio:6.2f} {memory}", flush=True)


def main(folder: str | None = None) -> None:
    given = sorted(Path(folder).rglob("*.png")) if folder else []
    with tempfile.TemporaryDirectory() as temporary, quiet():
        for name, paths in prepare(Path(temporary), given).items():
            measure(name, paths)


if __name__ == "__main__":
    main(*sys.argv[1:2])
