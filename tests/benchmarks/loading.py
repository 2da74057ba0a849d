"""Loading, side by side: `python tests/benchmarks/loading.py [FOLDER OF PNGS] [SECTION ...]`.

Everybody makes the same batches, 32 grey pictures of 256 x 256, from the same files. Without a folder the
pictures are drawn, like radiographs with their grain. Seven sections; without a name all of them:

plain      from PNGs of 1024 x 1024 and of 256 x 256 and from JPEGs of 1024 x 1024
augmented  flipped, turned and zoomed, from the PNGs
packed     in a new order every epoch, from what has been decoded before
fit        plain and packed through Keras, with a model of two weights
workers    one, two and four threads of Keras' through `fit`, from the first PNGs
waiting    `fit` with a small convolutional network: how long does it wait?
overlap    the same with a reader that sleeps, as long as a step takes: does it read while the model trains?
           (KERAS_BACKEND=jax asks JAX; only this section needs no TensorFlow)

The ways take turns, round by round, so that whatever else the machine does falls on all of them. Printed are,
of seven rounds, the median speed and the median of the ratios to ours in the same round; and the peak of
memory over an epoch, in a fresh process of each. The first three sections together draw a chart. Nothing is
asserted: times belong to the machine.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from course_utils import (  # noqa: E402
    AugmentingImageSequence,
    FileSource,
    ImageSequence,
    Pack,
    PeakMeter,
    make_pack,
    measure_waiting,
    quiet,
    run_limited,
)
from data_scripts.make_dataset import ensure  # noqa: E402
from tests.running import start  # noqa: E402

SIDE, BATCH, ROUNDS = 256, 32, 7
FORMATS = {"PNG 1024": (1024, "png", 64), "PNG 256": (256, "png", 512), "JPEG 1024": (1024, "jpg", 128)}
PACKED = 2048  # images, of the first format
CHART = ROOT / "notebooks" / "pictures" / "loading_speed.png"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
Epoch = Callable[[], Iterable | float]


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


# ---------------------------------------------------------------- ours


def all_of(sequence) -> Epoch:
    def epoch() -> Iterable:
        yield from (sequence[index][0] for index in range(len(sequence)))
        sequence.on_epoch_end()

    return epoch


def ours(paths: list[str], dtype: str = "float32") -> Epoch:
    return all_of(ImageSequence(paths, np.zeros(len(paths)), BATCH, (SIDE, SIDE), dtype=dtype))


def augmenting(paths: list[str], dtype: str = "float32") -> Epoch:
    return all_of(AugmentingImageSequence(paths, np.zeros(len(paths)), BATCH, (SIDE, SIDE), dtype=dtype))


def packed(folder: list[str], kind=ImageSequence) -> Epoch:
    return all_of(kind.from_source(Pack(folder[0]), np.zeros(PACKED), BATCH, shuffle=True))


def fit(paths: list[str], workers: int = 1) -> Epoch:
    if Path(paths[0]).is_dir():
        return through_fit(ImageSequence.from_source(Pack(paths[0]), np.zeros(PACKED), BATCH, shuffle=True))
    paths = paths * 8  # long epochs: what each begins with is not what is asked here
    options = {"dtype": "uint8", "workers": workers}
    return through_fit(ImageSequence(paths, np.zeros(len(paths)), BATCH, (SIDE, SIDE), **options))


def through_fit(sequence) -> Epoch:
    """Through Keras, with a model that has next to nothing to do."""
    import keras

    corner = keras.layers.Lambda(lambda images: keras.ops.cast(images[:, 0, 0], "float32"))
    dtype = sequence[0][0].dtype.name
    model = keras.Sequential([keras.Input((SIDE, SIDE, 1), dtype=dtype), corner, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    ends = []
    clock = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: ends.append(time.perf_counter()))

    def epochs() -> float:
        ends.clear()  # the first epoch also compiles, and reads its first two batches twice
        model.fit(sequence, epochs=2, shuffle=False, verbose=0, callbacks=[clock])
        return (ends[1] - ends[0]) / (len(sequence) * BATCH)

    return epochs


DECODE = """
import json, sys
from course_utils.images import load_image
side, paths = json.loads(sys.stdin.readline())
for turn in sys.stdin:
    for path in paths:
        load_image(path, (side, side))
    print("done", flush=True)
"""


def all_cores(paths: list[str]) -> Epoch:
    """The most there is to get: a process a core decodes as ours do, and keeps nothing."""
    workers = [start("-c", DECODE, bufsize=1) for _ in range(CORES)]
    for at, worker in enumerate(workers):
        worker.stdin.write(json.dumps([SIDE, paths[at::CORES]]) + "\n")

    def epoch() -> float:
        begin = time.perf_counter()
        for worker in workers:
            worker.stdin.write("\n")
        for worker in workers:
            assert worker.stdout.readline() == "done\n"
        return (time.perf_counter() - begin) / len(paths)

    return epoch


# ---------------------------------------------------------------- the document's three


def documents(paths: list[str], augment: bool = False, normalise: bool = False, workers: int = 1):
    import keras

    with quiet():
        layers = keras_layers() if augment else None

    class Loader(keras.utils.PyDataset):
        def __len__(self):
            return -(-len(paths) // BATCH)

        def __getitem__(self, index):
            images = []
            for path in paths[index * BATCH : (index + 1) * BATCH]:
                loaded = keras.utils.load_img(path, target_size=(SIDE, SIDE), color_mode="grayscale")
                image = keras.utils.img_to_array(loaded)
                image = image / 255.0 if normalise else image
                images.append(layers(image[np.newaxis])[0] if augment else image)
            return np.array(images), np.zeros(len(images))

    return Loader(workers=workers)


def keras_layers():
    import keras

    layers = keras.layers
    return keras.Sequential(
        [
            layers.RandomFlip("horizontal_and_vertical"),
            layers.RandomRotation(0.2),
            layers.RandomZoom((-0.2, 0.2), (-0.2, 0.2)),
        ]
    )


# ---------------------------------------------------------------- others


def by_pillow(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR))[..., np.newaxis]


def pillow(paths: list[str]) -> Epoch:
    pool = ThreadPoolExecutor(CORES)

    def epoch() -> Iterable:
        for at in range(0, len(paths), BATCH):
            batch = np.empty((len(paths[at : at + BATCH]), SIDE, SIDE, 1), np.float32)

            def fill(slot: int, at=at, batch=batch) -> None:
                batch[slot] = by_pillow(paths[at + slot])

            list(pool.map(fill, range(len(batch))))
            yield batch

    return epoch


def tf_images(paths: list[str], antialias: bool):
    import tensorflow as tf

    decode = tf.io.decode_png if paths[0].endswith("png") else tf.io.decode_jpeg

    def load(path):
        image = tf.image.resize(decode(tf.io.read_file(path), 1), (SIDE, SIDE), antialias=antialias)
        return tf.ensure_shape(image, (SIDE, SIDE, 1))

    dataset = tf.data.Dataset.from_tensor_slices(paths)
    return dataset.map(load, num_parallel_calls=tf.data.AUTOTUNE), tf


def tf_data(paths: list[str], antialias: bool = False, augment: bool = False) -> Epoch:
    dataset, tf = tf_images(paths, antialias)
    dataset = dataset.batch(BATCH)
    if augment:
        layers = keras_layers()
        dataset = dataset.map(lambda images: layers(images, training=True), tf.data.AUTOTUNE)
    dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return lambda: dataset


def tf_cache(folder: list[str]) -> Epoch:
    images, tf = tf_images(files_of(folder), antialias=True)
    images = images.map(lambda image: tf.cast(image + 0.5, tf.uint8))
    images = images.cache(str(Path(tempfile.mkdtemp(dir=Path(folder[0]).parent)) / "cache"))
    dataset = images.shuffle(PACKED).batch(BATCH).prefetch(tf.data.AUTOTUNE)
    return lambda: dataset


def keras_folder(paths: list[str], augment: bool = False) -> Epoch:
    import keras
    import tensorflow as tf

    dataset = keras.utils.image_dataset_from_directory(
        str(Path(paths[0]).parent.parent), labels=None, color_mode="grayscale", batch_size=BATCH,
        image_size=(SIDE, SIDE), shuffle=False, verbose=False,
    )  # fmt: skip
    if augment:
        layers = keras_layers()
        dataset = dataset.map(lambda images: layers(images, training=True), tf.data.AUTOTUNE)
        dataset = dataset.prefetch(tf.data.AUTOTUNE)
    return lambda: dataset


class PillowFiles:
    def __init__(self, paths: list[str]):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, position):
        return by_pillow(self.paths[position]).astype(np.float32)


def torch(source, shuffle: bool = False) -> Epoch:
    from torch.utils.data import DataLoader

    loader = DataLoader(source, BATCH, shuffle, num_workers=CORES, persistent_workers=True)
    return lambda: loader


def grain(source, shuffle: bool = False) -> Epoch:
    import grain

    options = grain.ReadOptions(num_threads=CORES, prefetch_buffer_size=2 * BATCH)
    images = grain.MapDataset.source(source)
    images = images.shuffle(seed=0) if shuffle else images
    return lambda: images.to_iter_dataset(options).batch(BATCH)


def files_of(folder: list[str]) -> list[str]:
    """The files that the images of a pack were made from."""
    pack = Pack(folder[0])
    return [pack.name(at) for at in range(len(pack))]


def in_memory(folder: list[str], mapped: bool = False) -> Epoch:
    """The images in one array, all at once in memory: what no loader can beat. Or mapped from the file."""
    images = np.load(Path(folder[0]) / "images.npy", mmap_mode="r" if mapped else None)
    rng = np.random.default_rng(0)

    def epoch() -> Iterable:
        order = rng.permutation(len(images))
        yield from (images[order[at : at + BATCH]] for at in range(0, len(images), BATCH))

    return epoch


# ---------------------------------------------------------------- who takes part in what

Ways = dict[str, Callable[[list[str]], Epoch]]  # the first is what the others are compared with
PLAIN: Ways = {
    "ours": ours,
    "ours, uint8": lambda paths: ours(paths, "uint8"),
    "all cores, decoding alone": all_cores,
    "Pillow, threads": pillow,
    "the document's 1st": lambda paths: all_of(documents(paths)),
    "tf.data": tf_data,
    "tf.data, antialias": lambda paths: tf_data(paths, antialias=True),
    "Keras' folder": keras_folder,
    "torch": lambda paths: torch(PillowFiles(paths)),
    "Grain": lambda paths: grain(PillowFiles(paths)),
}
AUGMENTED: Ways = {
    "ours": augmenting,
    "ours, uint8": lambda paths: augmenting(paths, "uint8"),
    "ours, not augmented": ours,
    "the document's 2nd": lambda paths: all_of(documents(paths[:BATCH], augment=True)),
    "the document's 3rd": lambda paths: all_of(documents(paths[:BATCH], augment=True, normalise=True)),
    "tf.data, layers a batch": lambda paths: tf_data(paths, augment=True),
    "Keras' folder, layers a batch": lambda paths: keras_folder(paths, augment=True),
}
FROM_PACK: Ways = {
    "ours": packed,
    "ours, augmented": lambda folder: packed(folder, AugmentingImageSequence),
    "ours, from the files, uint8": lambda folder: ours(files_of(folder)[:64], "uint8"),
    "an array in memory": in_memory,
    "np.load, mapped": lambda folder: in_memory(folder, mapped=True),
    "tf.data, cache(file)": tf_cache,
    "torch, from our pack": lambda folder: torch(Pack(folder[0]), shuffle=True),
    "Grain, from our pack": lambda folder: grain(Pack(folder[0]), shuffle=True),
}


# By itself, and last: once `fit` has run, every new batch of the process costs the system's memory management
# more (an array in memory is then copied at a tenth of its speed, measured, as by whoever comes after).
THROUGH_FIT: Ways = {
    "ours": lambda paths: packed(paths) if Path(paths[0]).is_dir() else ours(paths, "uint8"),
    "ours, through fit": fit,
}

THREADS: Ways = {
    "ours": fit,
    "ours, workers=2": lambda paths: fit(paths, workers=2),
    **{
        f"the document's 1st, workers={n}": lambda paths, n=n: through_fit(documents(paths * 4, workers=n))
        for n in (1, 2, 4)
    },
}


class Figure(NamedTuple):
    """Of one way: images a second, as a multiple of ours, and bytes at the peak."""

    speed: float
    ratio: float
    peak: int


def seconds_an_image(epoch: Epoch) -> float:
    """What an epoch takes, over its images; some measure it themselves."""
    begin = time.perf_counter()
    batches = epoch()
    if isinstance(batches, float):
        return batches
    images = sum(len(batch) for batch in batches)
    return (time.perf_counter() - begin) / images


def peak(section: str, way: str, paths: list[str]) -> int:
    """Bytes that an epoch takes at most, once the libraries are there and a batch has been made."""
    make = SECTIONS[section][way]
    with quiet():
        seconds_an_image(make(paths[:BATCH]))
        epoch = make(paths)
        with PeakMeter(interval=0.005) as meter:
            seconds_an_image(epoch)
    return meter.growth


def measure(section: str, paths: list[str]) -> dict[str, Figure]:
    epochs: dict[str, Epoch] = {}
    for way, make in SECTIONS[section].items():
        try:
            epochs[way] = make(paths)
        except ImportError as error:
            print(f"  {way}: not installed ({error})")
    seconds: dict[str, list[float]] = {way: [] for way in epochs}
    for turn in range(ROUNDS + 1):
        for way, epoch in epochs.items():
            taken = seconds_an_image(epoch)
            if turn:  # the first round warms up
                seconds[way].append(taken)
    figures = {}
    for way, each in seconds.items():
        ratio = float(np.median(np.array(seconds["ours"]) / each))
        outcome = run_limited(peak, section, way, paths)
        assert outcome.ended == "finished", f"{way}: {outcome.reason}\n{outcome.error}"
        figures[way] = Figure(float(1 / np.median(each)), ratio, outcome.value)
        print(f"  {way:<30} {figures[way].speed:9,.0f} {ratio:7.2f} {outcome.value / 1e6:6.0f}", flush=True)
    return figures


SECTIONS = {
    "plain": PLAIN,
    "augmented": AUGMENTED,
    "packed": FROM_PACK,
    "fit": THROUGH_FIT,
    "workers": THREADS,
}


# ---------------------------------------------------------------- is training waiting?


def small_network():
    import keras

    layers = keras.layers
    convolutions = [layers.Conv2D(n, 3, strides=2, activation="relu") for n in (16, 32, 64)]
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1)),
            layers.Rescaling(1 / 255),
            *convolutions,
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy")
    return model


def sleeping(seconds: float, batch, **options):
    """A reader that waits for something else than the cores, as for a network."""
    import keras

    class Sleeping(keras.utils.PyDataset):
        def __len__(self):
            return 16

        def __getitem__(self, index):
            time.sleep(seconds)
            return batch

    return Sleeping(**options)


def waiting(files: list[str], folder: str) -> None:
    import keras

    model, labels = small_network(), np.arange(PACKED) % 2
    pack = Pack(folder)
    sequences = {
        "files of 1024 x 1024": ImageSequence(
            (files * 32)[:PACKED], labels, BATCH, (SIDE, SIDE), shuffle=True
        ),
        "packed": ImageSequence.from_source(pack, labels, BATCH, shuffle=True),
        "packed, augmented": AugmentingImageSequence.from_source(pack, labels, BATCH, shuffle=True),
    }
    print(f"\nwaiting, {keras.backend.backend()}, {CORES} cores")
    for name, sequence in sequences.items():
        print(f"  {name + ':':<24} {measure_waiting(model, sequence, 16, ROUNDS)}", flush=True)


def overlap() -> None:
    import keras

    model = small_network()
    batch = np.zeros((8, SIDE, SIDE, 1), np.float32), np.arange(8) % 2
    model.train_on_batch(*batch)  # before any queue: JAX would build it with batches that are then lost
    step = measure_waiting(model, sleeping(0, batch), 8, 3).train
    print(f"\noverlap, {keras.backend.backend()}, {CORES} cores, a reader that sleeps")
    for workers in (1, 2):
        found = measure_waiting(model, sleeping(step, batch, workers=workers), 8, ROUNDS)
        print(f"  {f'workers={workers}:':<24} {found}", flush=True)


# ---------------------------------------------------------------- the chart


def chart(results: dict[str, dict[str, Figure]]) -> None:
    """Bars of images a second, on a scale on which a step is a factor of ten."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing((10, 0.26 * sum(len(ways) + 2 for ways in results.values())), layout="constrained")
    heights = [len(ways) for ways in results.values()]
    for axes, (title, ways) in zip(
        drawing.subplots(len(results), sharex=True, height_ratios=heights), results.items(), strict=True
    ):
        names = list(ways)[::-1]
        speeds = [ways[name].speed for name in names]
        bars = axes.barh(names, speeds, color=["#0072B2" if "ours" in n else "#999999" for n in names])
        axes.bar_label(bars, [f" {speed:,.0f}" for speed in speeds], fontsize=8)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xscale("log")
        axes.tick_params(labelsize=8)
        axes.margins(x=0.15)
    axes.set_xlabel("images a second (each step of the scale is ten times as many)")
    CHART.parent.mkdir(exist_ok=True)
    drawing.savefig(CHART, dpi=100)
    print(f"\n{CHART}")


def main(*arguments: str) -> None:
    known = [*SECTIONS, "waiting", "overlap"]
    sections = [name for name in arguments if name in known] or known
    folders = [name for name in arguments if name not in known]
    given = sorted(path for folder in folders for path in Path(folder).rglob("*.png"))
    with tempfile.TemporaryDirectory() as temporary, quiet():
        files, results = prepare(Path(temporary), given), {}
        large = files["PNG 1024"]
        folder = str(Path(temporary) / "small.pack")
        if {"packed", "fit", "waiting"} & {*sections}:
            source = FileSource((large * PACKED)[:PACKED], (SIDE, SIDE), dtype="uint8")
            make_pack(source, folder)
        todo = {f"plain, {name}": ("plain", files[name]) for name in FORMATS}
        todo |= {f"augmented, {name}": ("augmented", files[name]) for name in ("PNG 1024", "PNG 256")}
        todo |= {"packed, shuffled, uint8": ("packed", [folder])}
        todo |= {f"through fit, uint8, {name}": ("fit", files[name]) for name in FORMATS}
        todo |= {"threads, through fit, PNG 1024": ("workers", large)}
        todo |= {"through fit, packed": ("fit", [folder])}
        for title, (section, paths) in todo.items():
            if section in sections:
                print(f"\n{title}, {CORES} cores: images a second, as a multiple of ours; MB at the peak")
                results[title] = measure(section, paths)
        if "waiting" in sections:
            waiting(large, folder)
        if "overlap" in sections:
            overlap()
        if {"plain", "augmented", "packed"} <= {*sections}:
            chart({title: ways for title, ways in results.items() if "fit" not in title})


if __name__ == "__main__":
    main(*sys.argv[1:])
