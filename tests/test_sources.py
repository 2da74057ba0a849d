"""The seam: any source through all three Sequences, whatever the workers; and rows that stay together."""

import hashlib
import inspect
import pickle

import keras
import numpy as np
import pytest
from PIL import Image

from course_utils import (
    AugmentingImageSequence,
    FileSource,
    ImageError,
    ImageSequence,
    MaskSource,
    PreprocessingImageSequence,
)
from tests.running import answer
from tests.test_augmented_sequences import MODES, in_every_mode

N, SHAPE = 24, (20, 28, 5)
ALL = [ImageSequence, AugmentingImageSequence, PreprocessingImageSequence]


class Bands:
    """A learner's own reader: six lines."""

    shape, dtype = SHAPE, "float32"

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, position):
        return np.load(self.paths[position])

    def name(self, position):
        return str(self.paths[position])


def with_ages(kind):
    """A learner's own subclass, with a second input: as in ImageSequence's docstring."""

    class WithAges(kind):
        def __init__(self, *arguments, ages, **options):
            super().__init__(*arguments, **options)
            self.ages = np.asarray(ages, np.float32)

        def __getitem__(self, index):
            images, *rest = super().__getitem__(index)
            return ({"image": images, "age": self.ages[self.positions(index)]}, *rest)

    return WithAges


@pytest.fixture(scope="module")
def bands(tmp_path_factory):
    """24 .npy files of grain in five bands: any change of place shows."""
    folder = tmp_path_factory.mktemp("bands")
    paths = [str(folder / f"{i:02}.npy") for i in range(N)]
    for i, path in enumerate(paths):
        np.save(path, np.random.default_rng(i).integers(0, 256, SHAPE).astype(np.float32))
    return paths


@pytest.mark.parametrize("kind", ALL)
def test_the_channels_height_width_and_dtype_are_the_sources(bands, kind):
    sequence = kind.from_source(Bands(bands), np.arange(N), 7)
    images, labels = sequence[3]
    assert images.shape == (3, *SHAPE) and images.dtype == np.float32
    np.testing.assert_array_equal(labels, [21, 22, 23])
    plain = np.stack([np.load(path) for path in bands[21:]])
    still = sequence if kind is ImageSequence else kind.from_source(Bands(bands), labels=np.arange(N),
                                                                   batch_size=7, augment=False)  # fmt: skip
    expected = plain / np.float32(255) if kind is PreprocessingImageSequence else plain
    np.testing.assert_array_equal(still[3][0], expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(sequence))[3][0], images)


def test_each_of_five_bands_takes_the_same_way(bands):
    sequence = AugmentingImageSequence.from_source(Bands(bands), np.arange(N), N)

    class OneBand(Bands):
        shape = (*SHAPE[:2], 1)

        def __init__(self, paths, band):
            self.paths, self.band = paths, band

        def __getitem__(self, position):
            return super().__getitem__(position)[..., self.band : self.band + 1]

    for band in range(5):
        alone = AugmentingImageSequence.from_source(OneBand(bands, band), np.arange(N), N)[0][0]
        np.testing.assert_allclose(sequence[0][0][..., band : band + 1], alone, atol=1e-3)


class Kept(Bands):
    """Arrays in memory, each the source's own."""

    def __init__(self, arrays):
        self.arrays, self.shape, self.dtype = arrays, arrays.shape[1:], arrays.dtype

    def __len__(self):
        return len(self.arrays)

    def __getitem__(self, position):
        return self.arrays[position]

    def name(self, position):
        return f"row {position}"


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float64", "bool"])
def test_other_dtypes_are_served_as_they_are_and_changed_by_who_can(dtype):
    source, labels = Kept(np.ones((4, 4, 6, 1), dtype)), np.zeros(4)
    halve = lambda image: image / np.float32(2)  # noqa: E731
    assert ImageSequence.from_source(source, labels, 4)[0][0].dtype == dtype
    options = {"batch_size": 4, "augment": False}
    raw = PreprocessingImageSequence.from_source(source, labels, normalize=None, **options)
    assert raw[0][0].dtype == dtype
    if dtype != "float64":
        halved = PreprocessingImageSequence.from_source(source, labels, normalize=halve, **options)
        assert halved[0][0].dtype == np.float32 and (halved[0][0] == 0.5).all()
    if dtype == "uint8":
        assert AugmentingImageSequence.from_source(source, labels, 4)[0][0].dtype == np.uint8
        return
    with pytest.raises(ValueError, match=f"source.dtype is {dtype}: flips, rotation and zoom are made for"):
        AugmentingImageSequence.from_source(source, labels, 4)
    with pytest.raises(ValueError, match=f"normalize failed on the first .*row 0: .*float32.*{dtype}"):
        PreprocessingImageSequence.from_source(source, labels, **options)
    with pytest.raises(ValueError, match=f"masks.dtype is {dtype}"):
        floats = Kept(np.ones((4, 4, 6, 1), np.float32))
        AugmentingImageSequence.from_source(floats, None, 4, masks=source)


def test_a_function_is_tried_on_the_sources_own_values():
    source = Kept(np.full((4, 4, 6, 1), 0.5, np.float32))
    options = {"batch_size": 4, "augment": False}
    served = PreprocessingImageSequence.from_source(source, np.zeros(4), normalize=np.arcsin, **options)[0][0]
    np.testing.assert_allclose(served, np.pi / 6, rtol=1e-6)
    with pytest.raises(ValueError, match="normalize was tried on the first image .*, row 0: .*finite"):
        PreprocessingImageSequence.from_source(
            source, np.zeros(4), normalize=lambda image: image * np.float32("inf"), **options
        )


def test_who_works_in_place_changes_no_source(bands):
    arrays = np.stack([np.load(path) for path in bands])
    kept = arrays.copy()

    class InPlace:
        def draw(self, seed, epoch, position):
            return position

        def apply(self, image, draw):
            image += draw
            return image

        apply_to_mask = apply

    def halve(image):
        image /= 2
        return image

    source = Kept(arrays)
    for sequence in (
        AugmentingImageSequence.from_source(source, None, N, masks=source, augmentation=InPlace()),
        PreprocessingImageSequence.from_source(source, np.arange(N), N, augment=False, normalize=halve),
    ):
        for first, again in zip(sequence[0], sequence[0], strict=True):
            np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(arrays, kept)


def test_the_length_is_fixed_at_the_start(bands):
    source = Kept(np.stack([np.load(path) for path in bands]))
    sequence = ImageSequence.from_source(source, np.arange(N), 10, shuffle=True)
    source.arrays = np.concatenate([source.arrays, source.arrays])
    assert len(sequence) == 3
    sequence.on_epoch_end()
    assert sorted(np.concatenate([sequence.positions(i) for i in range(3)])) == list(range(N))
    source.arrays = source.arrays[:5]
    with pytest.raises(ImageError, match=r"batch 0, row \d+: IndexError"):
        sequence[0]


# In every mode, five bands and a subclass with more in a row than images and labels

PROGRAM = """
import hashlib, json, sys, numpy as np, keras
from tests.test_sources import ALL, Bands, with_ages

paths, modes = json.load(sys.stdin)
n = len(paths)
met = []


class Model(keras.Model):
    def train_step(self, *arguments):
        inputs, labels, weights = arguments[-1]
        rows = (labels, inputs["age"], weights, inputs["image"])
        met.extend(zip(*(np.asarray(column) for column in rows)))
        logs = {"loss": 0.0}
        return logs if len(arguments) == 1 else (logs, arguments[0])

    test_step = train_step


inputs = {"image": keras.Input((20, 28, 5), name="image"), "age": keras.Input((), name="age")}
results = {}
for name, options in modes.items():
    for kind in ALL:
        sequence = with_ages(kind).from_source(
            Bands(paths), np.arange(n), seed=3, shuffle=True, ages=1000 + np.arange(n),
            sample_weight=2000 + np.arange(n), **{"batch_size": 5} | options)
        # Built beforehand: see test_augmented_sequences.py.
        model = Model(inputs, keras.layers.Flatten()(inputs["image"]))
        model.compile("sgd", run_eagerly=True)
        met.clear()
        model.fit(sequence, epochs=2, shuffle=False, verbose=0)
        model.evaluate(sequence, verbose=0)
        passes = [met[:n], met[n : 2 * n], met[2 * n :]]
        rows = [[[float(number) for number in row[:3]] for row in part] for part in passes]
        digests = [[hashlib.sha256(row[3].tobytes()).hexdigest() for row in part] for part in passes]
        results[f"{name} {kind.__name__}"] = [rows, digests]
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def served(bands):
    """What `fit` (twice) and `evaluate` were given: mode and kind -> rows and checksums of images."""
    return in_every_mode(PROGRAM, bands)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("mode", MODES)
def test_image_label_age_and_weight_stay_together_in_every_mode(bands, served, mode, kind):
    for epoch, (rows, digests) in enumerate(zip(*served[f"{mode} {kind.__name__}"], strict=True)):
        sequence = kind.from_source(Bands(bands), np.arange(N), 5, seed=3)  # read here, in this thread
        who = [int(label) for label, _, _ in rows]
        assert sorted(who) == list(range(N)) != who
        assert rows == [[i, 1000 + i, 2000 + i] for i in who]
        # The third pass is `evaluate` after two epochs, at epoch 2.
        images = [sequence.image_at(i, epoch) for i in who]
        assert digests == [hashlib.sha256(image.tobytes()).hexdigest() for image in images]


def test_the_subclass_trains_with_paths_too(numbered):
    extras = {"ages": np.arange(100), "sample_weight": np.ones(100)}
    sequence = with_ages(ImageSequence)(numbered, np.arange(100.0), 32, (8, 8), shuffle=True, **extras)
    image, age = keras.Input((8, 8, 1), name="image"), keras.Input((1,), name="age")
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(image), age])
    model = keras.Model({"image": image, "age": age}, keras.layers.Dense(1)(joined))
    model.compile(keras.optimizers.SGD(1e-7), "mse")
    first = model.evaluate(sequence, verbose=0)
    model.fit(sequence, epochs=2, shuffle=False, verbose=0)
    assert model.evaluate(sequence, verbose=0) < first


# Positions, weights, random numbers


def test_positions_say_who_is_in_a_batch(numbered):
    here = np.arange(100)
    sequence = ImageSequence(numbered, here, 32, (8, 8), shuffle=True, sample_weight=here)
    for _ in range(2):
        for index in range(len(sequence)):
            positions = sequence.positions(index)
            for rows in (sequence[index][0][:, 0, 0, 0], *sequence[index][1:]):
                np.testing.assert_array_equal(positions, rows)
            positions[:] = 0  # the caller's own
        sequence.on_epoch_end()
    with pytest.raises(IndexError, match="batch 4: this sequence has batches 0 to 3"):
        sequence.positions(4)


def test_sample_weights_are_the_third_element_and_count(numbered):
    weights = np.zeros(100, np.float32)
    sequence = ImageSequence(numbered, np.arange(100), 32, (8, 8), sample_weight=weights, shuffle=True)
    assert sequence[0][2].dtype == np.float32 and sequence[3][2].shape == (4,)
    weights[:] = 1  # the caller's later change is theirs
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert model.fit(sequence, shuffle=False, verbose=0).history["loss"] == [0.0]
    assert len(ImageSequence(numbered, np.arange(100), 32, (8, 8))[0]) == 2


@pytest.mark.parametrize(
    "weights, said",
    [
        (np.ones(99), r"sample_weight must have shape \(100,\), one entry an image; got \(99,\)"),
        (np.ones((100, 1)), r"sample_weight must have shape \(100,\)"),
        (np.full(100, np.inf), "sample_weight must be finite; the one at position 0 is inf"),
        (["heavy"] * 100, "sample_weight must be numbers"),
    ],
)
def test_wrong_weights_fail_on_construction(numbered, weights, said):
    with pytest.raises((ValueError, TypeError), match=said):
        ImageSequence(numbered, np.arange(100), 32, (8, 8), sample_weight=weights)


def test_random_numbers_depend_on_seed_epoch_and_position_alone(numbered):
    sequence = ImageSequence(numbered, np.arange(100), 32, (8, 8), seed=1)
    drawn = {(p, e): sequence.rng(p, e).random() for p in range(4) for e in range(4)}
    assert len(set(drawn.values())) == 16
    assert all(sequence.rng(p, e).random() == number for (p, e), number in drawn.items())
    assert ImageSequence(numbered, np.arange(100), 32, (8, 8), seed=2).rng(0, 0).random() != drawn[0, 0]
    for wrong in ((-1, 0), (0, "a")):
        with pytest.raises(ValueError, match="(position|epoch) must be a whole number of at least 0"):
            sequence.rng(*wrong)
    taken = {np.random.default_rng(key).random() for key in ((1, 0), (1, 0, 0, 1))}  # shuffled, augmented by
    assert not taken & set(drawn.values())


# Augmentations of one's own


class Pipeline:
    """As an Albumentations pipeline is called, `Compose(..., seed=seed)`: noise, and a mirror or none."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def __call__(self, image, mask=None):
        mirrored = slice(None, None, -1 if self.rng.random() < 0.5 else 1)
        noisy = np.clip(image[:, mirrored] + self.rng.normal(0, 9, image.shape), 0, 255).astype(image.dtype)
        return {"image": noisy} | ({} if mask is None else {"mask": mask[:, mirrored]})


class Albumented:
    """The adapter of `Augmenter`'s docstring, and its third method."""

    def __init__(self, build):
        self.build = build

    def draw(self, seed, epoch, position):
        return int(np.random.SeedSequence((seed, epoch, position)).generate_state(1)[0])

    def apply(self, image, draw):
        return self.build(draw)(image=image)["image"]


class WithMasks(Albumented):
    def apply_to_mask(self, mask, draw):
        return self.build(draw)(image=mask, mask=mask)["mask"]


@pytest.mark.parametrize("kind", ALL[1:])
def test_an_augmentation_of_ones_own_is_drawn_for_seed_epoch_and_position(numbered, kind):
    options = {"augmentation": Albumented(Pipeline), "dtype": "float32"}
    sequence = kind(numbered, np.arange(100), 100, (8, 8), **options)
    first = sequence[0][0]
    np.testing.assert_array_equal(
        np.concatenate([batch[0] for batch in kind(numbered, np.arange(100), 7, (8, 8), **options)]), first
    )
    assert np.ptp(first, axis=(1, 2, 3)).min() > 0  # every picture is of one grey, but for the noise
    sequence.on_epoch_end()
    assert not np.array_equal(sequence[0][0], first)
    plain = kind(numbered, np.arange(100), 100, (8, 8), False, **options)
    assert np.ptp(plain[0][0], axis=(1, 2, 3)).max() == 0


def test_masks_follow_an_augmentation_of_ones_own(bands):
    class Masks(Bands):
        shape, dtype = (*SHAPE[:2], 1), "uint8"

        def __getitem__(self, position):
            return (super().__getitem__(position)[..., :1] > 127).astype(np.uint8)

    options = {"masks": Masks(bands), "augmentation": WithMasks(Pipeline)}
    images, masks = AugmentingImageSequence.from_source(Bands(bands), None, N, **options)[0]
    assert masks.dtype == np.uint8 and masks.shape == (N, *SHAPE[:2], 1)
    sure = np.abs(images[..., :1] - 127) > 60  # more than the noise
    np.testing.assert_array_equal(masks[sure], images[..., :1][sure] > 127)
    with pytest.raises(TypeError, match="augmentation must have a method apply_to_mask.*Albumented has none"):
        AugmentingImageSequence.from_source(Bands(bands), None, N, masks=Masks(bands),
                                            augmentation=Albumented(Pipeline))  # fmt: skip
    ours = AugmentingImageSequence.from_source(Bands(bands), None, N, masks=Masks(bands))[0]
    assert set(np.unique(ours[1])) == {0, 1}


class Half:
    def draw(self, seed, epoch, position):
        return None

    def apply(self, image, draw):
        return image[::2]


@pytest.mark.parametrize(
    "options, said",
    [
        ({"augmentation": "flip"}, "augmentation must have a method draw.* and str has none"),
        ({"augmentation": Pipeline(0)}, "augmentation must have a method draw"),
        (
            {"augmentation": Half()},
            r"augmentation was tried on .* greys .* expected .* shape \(8, 8, 1\)",
        ),
        (
            {"augmentation": Albumented(lambda seed: 1 / 0)},
            "augmentation failed on a picture of all greys .*: ZeroDiv",
        ),
        ({"augmentation": Albumented(Pipeline), "strength": 0.5}, "an augmentation or strength, flips"),
    ],
)
def test_an_augmentation_that_cannot_work_fails_on_construction(numbered, options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        AugmentingImageSequence(numbered, np.arange(100), 32, (8, 8), **options)


# Sources that are none


def broken(**changes):
    return type("Broken", (Bands,), changes)


class Named(list):
    """As a pandas Series of paths: it has a shape, a dtype and a name, and is no source."""

    shape, dtype, name = (100,), np.dtype(object), "file"


@pytest.mark.parametrize(
    "kind, said",
    [
        (list, "source must be a source .*: list has no shape, dtype, name"),
        (Named, r"source must be a source .*: Named has no method name\(position\)"),
        (
            broken(shape=(20, 28)),
            r"source.shape must be one image's tuple \(height, width, channels\), got",
        ),
        (broken(shape=[20, 28, 5]), "source.shape must be one image's"),
        (broken(shape=(20, 28, 0)), "each of source.shape must be a whole number of at least 1, got 0"),
        (broken(dtype="complex64"), "source.dtype must be numbers of at most 64 bits or booleans"),
        (broken(shape=(20, 28, 3)), r"source\[0\], .*00\.npy: expected an array of shape \(20, 28, 3\)"),
        (broken(dtype="uint8"), r"source\[0\], .*00\.npy: expected an array .* and dtype uint8, got ndarray"),
        (broken(__getitem__=lambda self, at: None), r"source\[0\], .*: expected an array .* got NoneType"),
        (broken(dtype="flot"), "source.dtype must be numbers of at most 64 bits .*; got 'flot'"),
        (broken(dtype=None), "source.dtype must be numbers .*; got None"),
        (broken(dtype=">f4"), "source.dtype must be numbers .* in this machine's byte order; got '>f4'"),
        (broken(__getitem__=lambda self, at: 1 / 0), r"source\[0\], .*00\.npy: ZeroDivisionError"),
        (broken(__getitem__=lambda self, at: np.ma.masked_equal(np.ones(SHAPE, "f4"), 0)), "got MaskedArray"),
        (broken(__len__=lambda self: 0), r"len\(source\) must be a whole number of at least 1, got 0"),
    ],
)
def test_what_is_no_source_fails_on_construction(bands, kind, said):
    with pytest.raises((TypeError, ValueError), match=said):
        ImageSequence.from_source(kind(bands), np.arange(N), 7)


def test_a_source_that_fails_later_is_named_with_its_batch(bands, tmp_path):
    source = Bands([*bands[:9], str(tmp_path / "gone.npy"), *bands[10:]])
    with pytest.raises(ImageError, match=r"batch 1, .*gone\.npy: FileNotFoundError"):
        ImageSequence.from_source(source, np.arange(N), 7)[1]
    for error in (KeyError("x"), SystemExit(3), ImageError("image of 7 bytes: cut short")):

        def fail(self, position, error=error):
            if position == 9:
                raise error
            return np.load(self.paths[position])

        with pytest.raises(ImageError, match=rf"batch 1, .*09\.npy: .*{error.args[0]}"):
            ImageSequence.from_source(broken(__getitem__=fail)(bands), np.arange(N), 7)[1]
    pickled = tmp_path / "pickled.npy"
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ImageError, match=r"batch 0, .*pickled\.npy: ValueError: .*allow_pickle"):
        ImageSequence.from_source(Bands([bands[0], str(pickled)]), np.arange(2), 2)[0]


def test_a_source_takes_no_word_about_files_and_files_are_no_source(bands, numbered):
    for option in ({"target_size": (8, 8)}, {"color_mode": "rgb", "aspect": "pad"}, {"dtype": "uint8"}):
        with pytest.raises(TypeError, match=f"from_source takes no {', '.join(option)}: "):
            ImageSequence.from_source(Bands(bands), np.arange(N), 7, **option)
    with pytest.raises(
        TypeError, match="image_paths must be a list of paths; for a source there is from_source"
    ):
        ImageSequence(Bands(bands), np.arange(N), 7, (20, 28))
    served = ImageSequence(Named(map(str, numbered)), np.arange(100), 32, (8, 8))[1][0]
    np.testing.assert_array_equal(served[:, 0, 0, 0], range(32, 64))


def test_masks_must_fit_their_images(bands, numbered):
    grey = MaskSource(numbered[:N], SHAPE[:2])
    served = ImageSequence.from_source(Bands(bands), None, N, masks=numbered[:N])[0]
    np.testing.assert_array_equal(served[1], np.stack([grey[i] for i in range(N)]))
    for masks, said in (
        (
            MaskSource(numbered[:N], (8, 8)),
            r"masks must have the images' height and width \(20, 28\): \(8",
        ),
        (MaskSource(numbered, SHAPE[:2]), "masks must have one entry an image: 100 for 24"),
    ):
        with pytest.raises(ValueError, match=said):
            ImageSequence.from_source(Bands(bands), None, N, masks=masks)
    for options in ({"labels": None, "masks": grey}, {"labels": np.arange(N)}):
        with pytest.raises(ValueError, match="mask_values is for masks that are files"):
            ImageSequence.from_source(Bands(bands), batch_size=N, mask_values=(0, 255), **options)
    cut = Kept(np.zeros((N, *SHAPE[:2], 1), np.uint8))
    sequence = ImageSequence.from_source(Bands(bands), None, 5, masks=cut)
    cut.arrays = cut.arrays[:7]
    with pytest.raises(ImageError, match="batch 1, mask row 7: IndexError"):
        sequence[1]


# Ours, as Grain and as anybody reads them


def test_files_are_a_random_access_source_as_grain_wants_it(numbered):
    source = FileSource(numbered, (8, 8))
    assert len(source) == 100 and source.name(7) == str(numbered[7])
    for position in (7, np.int64(7)):
        assert source[position].shape == source.shape and (source[position] == 7).all()
    with pytest.raises(IndexError):
        source[100]
    for position in (1.0, slice(2), "7"):
        with pytest.raises(TypeError):
            source[position]
    assert [int(image.max()) for image in source] == list(range(100))
    ours, paths = (kind[2] for kind in (ImageSequence.from_source(source, np.arange(100), 32),
                                        ImageSequence(numbered, np.arange(100), 32, (8, 8))))  # fmt: skip
    np.testing.assert_array_equal(ours[0], paths[0])


# Signatures

OWN = {
    ImageSequence: ("labels", "batch_size", "target_size", "shuffle", "seed", "sample_weight", "masks"),
    AugmentingImageSequence: ("augment", "augmentation", "strength", "fill_mode"),
    PreprocessingImageSequence: ("normalize",),
}


@pytest.mark.parametrize("kind", ALL)
def test_every_argument_is_spelled_out_and_described(kind):
    parameters = inspect.signature(kind).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    for base in kind.__mro__[: kind.__mro__.index(ImageSequence) + 1]:
        assert set(OWN[base]) <= set(parameters)
        assert set(inspect.signature(base).parameters) <= set(parameters)
        for name, parameter in inspect.signature(base).parameters.items():
            assert parameter.default == parameters[name].default, name
    described = kind.__doc__[kind.__doc__.index("Args:") : kind.__doc__.index("Raises:")]
    for name in parameters:
        assert name in described.replace(",", " ").replace(":", " ").split(), name
    assert "Example:" in kind.__doc__


# The document's usage, in its own words


@pytest.mark.parametrize("kind", ALL)
def test_the_documents_usage_works_unchanged(tmp_path, kind):
    (tmp_path / "images").mkdir()
    for i in range(40):
        Image.fromarray(np.full((30, 30), i, np.uint8)).save(tmp_path / "images" / f"{i}.png")
    augment = "" if kind is ImageSequence else ", augment=True"
    code = f"""
import json, os, numpy as np, tensorflow as tf
from course_utils import {kind.__name__}
image_files = [f for f in os.listdir("images") if f.endswith(".png")]
image_paths = ["images/" + f for f in image_files]
labels = np.random.randint(0, 2, len(image_files))
BATCH_SIZE, TARGET_SIZE = 32, (64, 64)
sequence = {kind.__name__}(image_paths, labels, BATCH_SIZE, TARGET_SIZE{augment})
model = tf.keras.models.Sequential([
    tf.keras.layers.Input(shape=(TARGET_SIZE[0], TARGET_SIZE[1], 1)), tf.keras.layers.Conv2D(4, 3),
    tf.keras.layers.Flatten(), tf.keras.layers.Dense(1, activation="sigmoid")])
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(sequence, steps_per_epoch=len(sequence), epochs=3, verbose=0)
print(json.dumps([len(sequence), len(history.history["loss"]), sequence.epoch]))
"""
    assert answer(code, cwd=tmp_path) == [2, 3, 3]


def test_where_python_itself_stumbles_a_source_is_asked_again(bands):
    """cpython#106905: reading headers of .npy files from several threads, before 3.11.8 and 3.12.2."""

    class Stumbling(Bands):
        failures, words = {3: 2, 7: 1}, "AST constructor recursion depth mismatch (before=45, after=42)"

        def __getitem__(self, position):
            if self.failures.get(position):
                self.failures[position] -= 1
                raise SystemError(self.words)
            return super().__getitem__(position)

    sequence = ImageSequence.from_source(Stumbling(bands), np.arange(len(bands)), 8)
    np.testing.assert_array_equal(sequence[0][0], np.stack([np.load(path) for path in bands[:8]]))
    Stumbling.failures, Stumbling.words = {9: 1}, "another fault"
    with pytest.raises(ImageError, match="SystemError: another fault"):
        sequence[1]
