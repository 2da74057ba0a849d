"""The examples in the docstrings run as they are written."""

import csv
import doctest
import math
import pathlib
import zlib
from importlib import import_module
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from PIL import Image

import course_utils
from course_utils import augmentation, budget, checkup, images, order, plots, png, resizing
from course_utils.panels import WillItRun, same_picture_same_numbers
from course_utils.scratch import scratch
from course_utils.sources import color, pack_folder
from course_utils.sources.pack import checksum_of
from tests.running import ROOT, run

N, SIDE = 40, 64
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "course_utils").rglob("*.py"))
    if path.stem != "_warm_up"  # which trains when it is imported
]
EXAMPLES = {
    test.name: test
    for module in MODULES
    for test in doctest.DocTestFinder(exclude_empty=True).find(import_module(module))
    if test.examples
}


def build_model(image_shape):
    """A model, as a reader's cell builds it; sent to a child with all that it names."""
    import keras

    model = keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


build_model.__module__ = "__main__"  # so that it travels by value


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """What the examples speak of: files in a folder, and names."""
    folder = tmp_path_factory.mktemp("reader")
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 256, (N, SIDE, SIDE)).astype(np.uint8)
    names = [[f"{kind}{i:02}.{suffix}" for i in range(N)]
             for kind, suffix in (("image", "png"), ("mask", "png"), ("bands", "npy"))]  # fmt: skip
    for pixels, image, mask, bands in zip(grain, *names, strict=True):
        Image.fromarray(pixels).save(folder / image)
        Image.fromarray(pixels // 128).save(folder / mask)
        np.save(folder / bands, np.repeat(pixels[..., None], 5, axis=-1).astype(np.float32))
    Image.fromarray(grain[0]).save(folder / "chest.png")
    Image.fromarray(grain[0] // 128).save(folder / "lung.png")
    with open(folder / "labels.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *((name, i % 2) for i, name in enumerate(names[0]))])
    with open(folder / "lesions.csv", "w", newline="") as file:
        rows = ((name.removesuffix(".png"), 1 - i % 2, i % 2) for i, name in enumerate(names[0]))
        csv.writer(file).writerows([("image", "MEL", "NV"), *rows])
    pool, dense = keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((None, None, 1)), pool, dense])
    model.compile("sgd", "mse")
    model.fit = lambda *arguments, fit=model.fit, **options: fit(*arguments, **{"verbose": 0} | options)
    paths, masks, npy_paths = ([str(folder / name) for name in some] for some in names)
    files = course_utils.FileSource(paths, (SIDE, SIDE), dtype="uint8")
    course_utils.make_pack(files, folder / "chests.pack", np.arange(N) % 2)
    # Of Albumentations as much as the example names.
    compose = lambda transforms, seed: lambda image: {"image": image[::-1].copy()}  # noqa: E731
    albumentations = SimpleNamespace(Compose=compose, RandomGamma=object, GaussNoise=object)
    public = {name: getattr(course_utils, name) for name in course_utils.__all__}
    public |= vars(budget) | vars(checkup) | vars(order) | vars(color) | vars(same_picture_same_numbers)
    public |= {"WillItRun": WillItRun, "load_image_into": images.load_image_into, "resized": resizing.resized}
    public |= vars(pack_folder) | {"pathlib": pathlib, "zlib": zlib, "checksum_of": checksum_of}
    public |= {"scratch": scratch, "checked": png.checked, "pixels": png.pixels}
    public |= {"cost": budget.ModelCost((64, 64, 1), "float32", 290e6, 10e6, 3e6, 1e6, 4e3)}
    public |= {
        "build_model": build_model,
        "tilt_of": augmentation.tilt_of,
        "guess_in_words": plots.guess_in_words,
    }
    return folder, public | {
        "A": albumentations, "keras": keras, "math": math, "np": np, "model": model, "paths": paths,
        "masks": masks, "npy_paths": npy_paths, "labels": np.arange(N) % 2, "ages": np.arange(N),
        "image": grain[0][..., np.newaxis],
    }  # fmt: skip


# What measures does so in an interpreter of its own: in a used heap 80 MB may lie about already.
FRESH = """
import doctest, importlib, sys, numpy as np, course_utils
name = sys.argv[1]
public = {each: getattr(course_utils, each) for each in ("PeakMeter", "memory_limit", "run_limited")}
memory = importlib.import_module("course_utils.memory")
public |= {each: getattr(memory, each) for each in ("memory_free", "room_for")}
module = importlib.import_module(name.rpartition(".")[0])
tests = doctest.DocTestFinder().find(module, globs=public | {"np": np})
runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
failed = [runner.run(test).failed for test in tests if test.name.startswith(name)]
assert failed and not any(failed)
"""


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_written(reader, monkeypatch, name):
    folder, names = reader
    if ".memory." in name:
        run("-c", FRESH, name)
        return
    monkeypatch.chdir(folder)
    test = EXAMPLES[name]
    test.globs = dict(names)
    said = []
    results = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append)
    assert results.attempted and not results.failed, "".join(said)


def test_every_public_name_has_an_example():
    shown = {name.split(".")[-1] for name in EXAMPLES}
    assert set(course_utils.__all__) <= shown
    for kind in ("from_source", "positions", "rng"):
        assert kind in shown
