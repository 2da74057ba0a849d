"""Whatever people's folders hold comes out as the asked colour mode in one value range, or as an error that
names file and batch, survives pickling and never hangs `fit`."""

import pickle

import numpy as np
import pytest
from PIL import Image

from course_utils import AugmentingImageSequence, ImageError, PreprocessingImageSequence, read_labels
from data_scripts.index_folder import index
from tests.running import answer

from .conftest import MODES, write_picture
from .test_images import rude_files

# 40 x 30: the left half black, the right half white, the top rows grey.
VALUES = np.zeros((40, 30), np.uint8)
VALUES[:, 15:] = 255
VALUES[:10] = 128


@pytest.fixture(scope="module")
def one_of_each(tmp_path_factory):
    folder = tmp_path_factory.mktemp("modes")
    return [write_picture(folder, mode, mode.replace(";", ""), VALUES) for mode in MODES]


@pytest.mark.parametrize("color_mode, channels", [("grayscale", 1), ("rgb", 3)])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_every_mode_comes_out_in_one_range(one_of_each, color_mode, channels, dtype):
    options = {"color_mode": color_mode, "dtype": dtype, "augment": False}
    images, _ = AugmentingImageSequence(one_of_each, np.zeros(len(MODES)), len(MODES), (40, 30), **options)[0]
    assert images.shape == (len(MODES), 40, 30, channels) and images.dtype == dtype
    for image, mode in zip(images, MODES, strict=True):
        assert image[15:, :13].max() <= 12 and image[15:, 17:].min() >= 243, mode  # JPEG is not exact
        assert mode == "1" or abs(image[:8].mean() - 128) < 6, mode
    unit, _ = PreprocessingImageSequence(one_of_each, np.zeros(len(MODES)), 4, (40, 30))[0]
    assert unit.dtype == np.float32 and 0 <= unit.min() and 0.9 < unit.max() <= 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1)])
@pytest.mark.parametrize("aspect", ["stretch", "pad", "crop"])
def test_extreme_shapes(tmp_path, shape, aspect):
    Image.fromarray(np.full(shape, 90, np.uint8)).save(tmp_path / "extreme.png")
    sequence = AugmentingImageSequence([tmp_path / "extreme.png"], [0], 1, (32, 48), aspect=aspect)
    assert sequence[0][0].shape == (1, 32, 48, 1) and sequence[0][0].max() <= 90.5


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bad_one_names_file_and_batch_and_can_be_pickled(one_of_each, tmp_path):
    for name in rude_files(tmp_path):
        paths = [*one_of_each[:5], tmp_path / name]
        sequence = AugmentingImageSequence(paths, np.zeros(6), 2, (8, 8), check_files=False)
        with pytest.raises(ImageError, match=f"^batch 2, .*{name}: ") as error:
            sequence[2]
        assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


@pytest.mark.parametrize("processes", [False, True], ids=["threads", "processes"])
def test_a_bad_one_ends_fit_with_its_name_and_never_hangs(one_of_each, tmp_path, processes):
    names = rude_files(tmp_path)
    code = f"""
import json, sys, numpy as np, keras
from course_utils import PreprocessingImageSequence
good, bad = json.load(sys.stdin)
model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
model.compile("sgd", "mse")
said = []
for path, workers in [*zip(bad, [2] * len(bad)), (bad[-1], 1)]:
    sequence = PreprocessingImageSequence([*good[:7], path], np.zeros(8), 2, (8, 8), check_files=False,
                                          workers=workers, use_multiprocessing={processes}, max_queue_size=2)
    try:
        model.fit(sequence, shuffle=False, verbose=0)
        said.append("nothing")
    except Exception as error:
        said.append(str(error))
print(json.dumps(said), flush=True)
import os
os._exit(0)  # interrupted fits leave workers behind, which would keep the interpreter
"""
    answers = answer(code, [[str(p) for p in one_of_each], [str(tmp_path / name) for name in names]])
    for name, said in zip([*names, names[-1]], answers, strict=True):
        assert "batch 3, " in said and f"{name}: " in said, (name, said[:300])


def test_a_messy_tree_is_indexed_and_its_broken_file_reported(messy):
    found = index(messy, patient=r"patient (\d+)", force=True)
    assert list(found.bad) == ["no finding/cut short.png"]
    assert "no finding/cut short.png: not a readable image" in found.report()
    data = read_labels(found.labels_csv)
    assert len(data) == 96 and sorted(set(data.labels)) == [0, 1] and found.patients == 48
    for name in ("train", "validation", "test"):
        split = data.split(name)
        images, labels = AugmentingImageSequence(split.paths, split.labels, len(split), (64, 64))[0]
        assert images.min() >= 0 and images.max() <= 255 and set(labels) == {0, 1}
