"""A pack is what its source is, or an error: in all three Sequences, and whatever cuts its making off."""

import errno
import gc
import json
import os
import pathlib
import pickle
import random
import re
import shutil
import sys
import time
import warnings

import numpy as np
import pytest
from PIL import Image

from course_utils import (
    AugmentingImageSequence,
    FileSource,
    ImageError,
    ImageSequence,
    MaskSource,
    Pack,
    PackError,
    PreprocessingImageSequence,
    make_pack,
    pack_bytes,
    packing,
)
from course_utils.checkup import check
from course_utils.sources import files as files_module
from course_utils.sources.pack_folder import COLUMNS, FILES, HEAD, IMAGES, LABELS, npy_header
from tests.running import answer, fresh, least, start
from tests.test_sources import Bands

N, SIDE = 150, 24
SMALL = (16, 20)


@pytest.fixture
def files(tmp_path):
    """Pictures of noise, each of its own: whoever takes one for another is seen."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / "images" / f"{at:03}, «view».png" for at in range(N)]
    paths[0].parent.mkdir()
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)).save(path, compress_level=0)
    return paths


@pytest.fixture
def source(files):
    return FileSource(files, SMALL, dtype="uint8")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "small.pack"


def same(pack, source):
    """Whether the pack holds what the source gives now."""
    return len(pack) == len(source) and all(
        np.array_equal(pack[at], source[at]) and pack.name(at) == source.name(at) for at in range(len(source))
    )


def beside(folder):
    """What lies about a pack that should not."""
    return sorted(path.name for path in folder.parent.glob(f"{folder.name}.*"))


# ---------------------------------------------------------------- what it is


@pytest.mark.parametrize("options", ({}, {"color_mode": "rgb"}, {"dtype": "float32"}, {"aspect": "pad"}))
def test_a_pack_is_its_source(files, folder, options):
    source = FileSource(files, SMALL, **{"dtype": "uint8"} | options)
    labels = np.arange(N, dtype=np.int16)
    pack = make_pack(source, folder, labels)
    assert same(pack, source) and same(Pack(folder), source)
    assert (pack.shape, pack.dtype) == (source.shape, np.dtype(source.dtype))
    assert pack.labels.dtype == np.int16 and np.array_equal(pack.labels, labels)
    array = np.load(folder / IMAGES, mmap_mode="r")  # a standard file
    assert array.shape == (N, *source.shape) and np.array_equal(array[7], source[7])
    assert beside(folder) == []
    pack.verify()


def test_any_source_can_be_packed(tmp_path, folder):
    paths = [tmp_path / f"{at}.npy" for at in range(5)]
    for at, path in enumerate(paths):
        np.save(path, np.full(Bands.shape, at, np.float32))
    assert same(make_pack(Bands(paths), folder), Bands(paths))


def test_masks_are_packed_as_classes(tmp_path, files, source, folder):
    paths = [tmp_path / f"mask{at}.png" for at in range(N)]
    for at, path in enumerate(paths):
        Image.fromarray(np.where(np.eye(SIDE, k=at % 20), 255, 0).astype(np.uint8)).save(path)
    masks = make_pack(MaskSource(paths, SMALL, values=(0, 255)), folder)
    images = make_pack(source, tmp_path / "images.pack")
    packed = AugmentingImageSequence.from_source(images, None, 32, masks=masks, seed=3)
    plain = AugmentingImageSequence(
        files, None, 32, SMALL, dtype="uint8", masks=paths, mask_values=(0, 255), seed=3
    )
    for ours, theirs in zip(packed[1], plain[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(PackError, match="has values .* expected None"):
        Pack(folder, MaskSource(paths, SMALL))


@pytest.mark.parametrize("kind", (ImageSequence, AugmentingImageSequence, PreprocessingImageSequence))
def test_the_three_sequences_read_a_pack_as_they_read_files(source, folder, kind):
    labels = np.arange(N)
    pack = make_pack(source, folder, labels)
    plain = kind.from_source(source, labels, 32, shuffle=True, seed=5)
    packed = kind.from_source(pack, pack.labels, 32, shuffle=True, seed=5)
    for epoch in (0, 1):
        plain.epoch = packed.epoch = epoch
        for index in range(len(plain)):
            for ours, theirs in zip(packed[index], plain[index], strict=True):
                np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("missing", (["RWF_NOWAIT"], ["RWF_NOWAIT", "preadv"]))
def test_systems_that_know_less_read_the_same(source, folder, monkeypatch, missing):
    pack = make_pack(source, folder)
    sequence = ImageSequence.from_source(pack, None, 32, shuffle=True)
    expected = sequence[2][0]
    for name in missing:
        monkeypatch.delattr(os, name, raising=False)
    np.testing.assert_array_equal(sequence[2][0], expected)
    assert same(pack, source)


@pytest.mark.skipif(not hasattr(os, "posix_fadvise"), reason="this system forgets no file on demand")
def test_what_the_system_has_forgotten_is_read_from_the_disk(source, folder):
    pack = make_pack(source, folder)
    os.sync()
    with open(folder / IMAGES, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    images = ImageSequence.from_source(pack, None, N)[0][0]
    assert all(np.array_equal(images[at], source[at]) for at in range(N))


def test_a_batch_that_is_not_in_memory_is_filled_by_the_decoders(source, folder, monkeypatch):
    pack = make_pack(source, folder)
    cached, asked = Pack.read_cached, []

    def every_third_is_not(self, places, positions):
        left = sorted({*cached(self, places, positions), *range(0, len(positions), 3)})
        places[left] = 0
        return left

    monkeypatch.setattr(Pack, "read_cached", every_third_is_not)
    into = Pack.read_into
    monkeypatch.setattr(Pack, "read_into", lambda *arguments: (asked.append(arguments), into(*arguments))[1])
    images = ImageSequence.from_source(pack, None, 30)[0][0]
    assert all(np.array_equal(images[at], source[at]) for at in range(30)) and len(asked) >= 10


FIT = """
import hashlib, json, sys, keras, numpy as np
from course_utils import ImageSequence, Pack
seen = []
class Seen(ImageSequence):
    def __getitem__(self, index):
        images, labels = super().__getitem__(index)
        assert [int(image.sum()) % 9973 for image in images] == labels.tolist()
        return images, labels
folder = json.load(sys.stdin)
pack = Pack(folder)
labels = np.array([int(pack[at].sum()) % 9973 for at in range(len(pack))])
corner = keras.layers.Lambda(lambda images: keras.ops.cast(images[:, 0, 0], "float32") / 255)
model = keras.Sequential([keras.Input(pack.shape, dtype="uint8"), corner, keras.layers.Dense(1)])
model.compile("sgd", "mse")
for options in ({}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}):
    model.fit(Seen.from_source(pack, labels, 8, shuffle=True, **options), epochs=2, shuffle=False, verbose=0)
print(json.dumps("trained"))
"""


def test_fit_reads_a_pack_in_threads_and_in_processes(source, folder):
    make_pack(source, folder)
    assert answer(FIT, str(folder)) == "trained"


def test_a_copy_for_a_process_carries_no_pixels_and_opens_the_same_pack(source, folder):
    pack = make_pack(source, folder)
    pickled = pickle.dumps(pack)
    assert len(pickled) < pack_bytes(source) / 4
    assert same(pickle.loads(pickled), source)
    late = pickle.loads(pickled)
    shutil.rmtree(folder)
    make_pack(source, folder)
    assert same(pack, source)  # what is open stays open
    sequence = ImageSequence.from_source(pack, None, 32)
    sequence.source = late  # as in a worker process
    with pytest.raises(ImageError, match="batch 1, .*032.*is another pack"):
        sequence[1]


class Counting:
    """A source that has no files."""

    shape, dtype = (64, 64, 1), "uint8"

    def __init__(self, n, first=0):
        self.n, self.first, self.reads = n, first, 0

    def __len__(self):
        return self.n

    def __getitem__(self, position):
        self.reads += 1
        return np.full(self.shape, (self.first + position) % 251, np.uint8)

    def name(self, position):
        return f"row {position}"


def test_a_source_without_files_is_read_again_in_places(folder):
    source = Counting(100)
    make_pack(source, folder)
    source.reads = 0
    assert same(make_pack(source, folder), Counting(100)) and 2 <= source.reads <= 12
    with pytest.raises(PackError, match="image 0, row 0, is read otherwise now"):
        make_pack(Counting(100, first=1), folder)


def test_a_source_without_files_never_goes_on_where_it_stopped(folder, monkeypatch):
    stop_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        make_pack(Counting(100), folder)
    monkeypatch.undo()
    source = Counting(100, first=1)
    assert same(make_pack(source, folder), source)


def packed_epoch(folder, workers):
    """The growth of an epoch over a pack of 105 MB, and the size of the batches that it makes."""
    from course_utils import ImageSequence, Pack, PeakMeter

    sequence = ImageSequence.from_source(Pack(folder), None, 32, shuffle=True, workers=workers)
    sequence[0]
    with PeakMeter(interval=0.002) as meter:
        for index in range(len(sequence)):
            sequence[index]
    return meter.growth


def read_in_processes(folder):
    """The growth of two processes, and of this one, while each reads a whole pack that it was sent."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from course_utils import Pack, PeakMeter

    pack = Pack(folder)
    with PeakMeter(interval=0.002) as meter:
        with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
            for done in [pool.submit(pack.verify) for _ in range(2)]:
                done.result()
    return meter.growth


@pytest.mark.measured
@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="forks")
def test_memory_is_small_in_processes_too(folder):
    make_pack(Counting(25_600), folder)
    least(lambda: fresh(read_in_processes, folder), 0.3 * 25_600 * 64 * 64)


@pytest.mark.measured
def test_memory_is_that_of_a_batch(folder):
    make_pack(Counting(25_600), folder)
    batch = 32 * 64 * 64
    assert fresh(packed_epoch, folder, 1) < 8 * batch + 2e6 < 0.03 * 25_600 * 64 * 64


@pytest.mark.parametrize("kind", (ImageSequence, AugmentingImageSequence))
def test_the_check_up_finds_nothing_in_a_packed_sequence(source, folder, kind):
    pack = make_pack(source, folder, np.arange(N) % 2)
    report = check(kind.from_source(pack, pack.labels, 8, shuffle=True), role="train")
    assert not report.findings, report


# ---------------------------------------------------------------- stale, damaged, foreign


def rewrite(path):
    """The same size, other pixels, and a time that has moved on."""
    before = os.stat(path)
    pixels = 255 - np.asarray(Image.open(path))
    Image.fromarray(pixels).save(path, compress_level=0)
    assert os.stat(path).st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))


STALE = {
    "a changed file": (lambda files: rewrite(files[80]), {}, "image 80, .*080.* has changed since"),
    "a missing file": (lambda files: files[7].unlink(), {}, "image 7, .*007.* is missing"),
    "another size": (None, {"target_size": (20, 16)}, r"has shape \[16, 20, 1\], expected \[20, 16, 1\]"),
    "in colour": (None, {"color_mode": "rgb"}, r"has shape .*, expected \[16, 20, 3\]"),
    "another dtype": (None, {"dtype": "float32"}, "has dtype uint8, expected float32"),
    "another aspect": (None, {"aspect": "crop"}, "has aspect stretch, expected crop"),
}


@pytest.mark.parametrize("case", STALE)
def test_a_pack_of_something_else_is_an_error_and_is_made_anew_on_demand(files, folder, case):
    change, options, message = STALE[case]
    options = {"target_size": SMALL, "dtype": "uint8"} | options
    make_pack(FileSource(files, SMALL, dtype="uint8"), folder)
    if change:
        change(files)
        with pytest.raises(PackError, match=message):
            Pack(folder)
    source = FileSource([path for path in files if path.exists()], **options)
    if case != "a missing file":
        for opening in (lambda: Pack(folder, source), lambda: make_pack(source, folder)):
            with pytest.raises(PackError, match=message):
                opening()
    assert same(make_pack(source, folder, replace=True), source) and beside(folder) == []


def test_other_lists_are_others(files, source, folder):
    make_pack(source, folder)
    for paths, message in (
        (files[1:], f"has {N} images, expected {N - 1}"),
        (files[::-1], "image 0 is .*000.*, expected .*149"),
        ([*files[:-1], files[0]], "image 149 is .*149.*, expected .*000"),
    ):
        with pytest.raises(PackError, match=message):
            make_pack(FileSource(paths, SMALL, dtype="uint8"), folder)
    with pytest.raises(PackError, match="has source FileSource, expected Other"):
        Pack(folder, type("Other", (FileSource,), {})(files, SMALL, dtype="uint8"))


def test_what_only_looks_changed_is_not(files, source, folder, tmp_path):
    make_pack(source, folder)
    for path in files:
        os.utime(path)  # as a copy or a clone does
    assert same(make_pack(source, folder), source)
    moved = tmp_path / "elsewhere" / "images"
    shutil.copytree(files[0].parent, moved)
    there = FileSource([moved / path.name for path in files], SMALL, dtype="uint8")
    assert len(Pack(folder, there)) == N
    shutil.rmtree(files[0].parent)  # the pack has gone to another machine
    assert len(Pack(folder)) == N
    rewrite(moved / files[3].name)
    with pytest.raises(PackError, match="image 3, .*elsewhere.* has changed"):
        Pack(folder, there)


def test_it_can_be_told_to_look_at_no_file(files, source, folder):
    make_pack(source, folder)
    rewrite(files[80])
    assert len(Pack(folder, check_files=False)) == N
    with pytest.raises(ValueError, match="check_files must be None, True or False"):
        Pack(folder, check_files="all")


def test_of_many_files_some_are_looked_at(source, folder, monkeypatch):
    make_pack(source, folder)
    monkeypatch.setattr(files_module, "CHECK_ALL_UP_TO", 100)
    monkeypatch.setattr(files_module, "CHECK_SPREAD", 10)
    looked, isfile = [], os.path.isfile
    monkeypatch.setattr(os.path, "isfile", lambda path: (looked.append(path), isfile(path))[1])
    assert len(Pack(folder, source)) == N
    assert 10 <= len(set(looked)) <= 15


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def head(folder, **changes):
    path = folder / HEAD
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


DAMAGE = {
    "images cut short": (lambda folder: os.truncate(folder / IMAGES, 9999), "expected .* bytes, 150 images"),
    "images too long": (lambda folder: os.truncate(folder / IMAGES, 10**6), "expected .* bytes, 150 images"),
    "no images": (lambda folder: (folder / IMAGES).unlink(), "images.npy: is missing"),
    "another header": (lambda folder: flip(folder / IMAGES, 20), "images.npy: expected images of"),
    "the first pixel": (lambda folder: flip(folder / IMAGES, 128), "image 0, .*000.* is damaged"),
    "the last pixel": (lambda folder: flip(folder / IMAGES, -1), "image 149, .*149.* is damaged"),
    "a line missing": (
        lambda folder: (folder / FILES).write_text("".join(lines(folder)[:-1])),
        "150 lines, .* got 149",
    ),
    "a line too many": (
        lambda folder: (folder / FILES).write_text("".join([*lines(folder), lines(folder)[-1]])),
        "150 lines, .* got line 152, which fits none",
    ),
    "a line cut": (lambda folder: os.truncate(folder / FILES, 300), "150 lines, one an image, got "),
    "a number too large": (
        lambda folder: (folder / FILES).write_text(",".join(COLUMNS) + "\na,1,1,1," + "9" * 30 + "\n"),
        "got line 2, which fits none",
    ),
    "no list": (lambda folder: (folder / FILES).unlink(), "files.csv: is missing"),
    "an open quotation mark": (
        lambda folder: insert(folder, '"' + "x" * 200_000 + "\n"),
        "150 lines, .* got 9",
    ),
    "an empty line": (lambda folder: insert(folder, "\n"), "150 lines, .* got 9"),
    "no head": (lambda folder: (folder / HEAD).unlink(), "no pack, it has no pack.json"),
    "not JSON": (lambda folder: (folder / HEAD).write_text("{"), "pack.json: not the head of a pack"),
    "a list": (lambda folder: (folder / HEAD).write_text("[1]"), "pack.json: not the head of a pack"),
    "another format": (lambda folder: head(folder, format=2), "not the head of a pack of format 1"),
    "half an image": (lambda folder: head(folder, images=150.0), "not the head of a pack"),
    "endless images": (lambda folder: head(folder, images=float("inf")), "not the head of a pack"),
    "too many images": (lambda folder: head(folder, images=10**15), "expected .* bytes"),
    "no images at all": (lambda folder: head(folder, images=0), "not the head of a pack"),
    "a wild dtype": (
        lambda folder: head(folder, reading={"shape": [1, 1, 1], "dtype": "O"}),
        "not the head of a pack",
    ),
    "a wild shape": (
        lambda folder: head(folder, reading={"shape": [1, -1, 1], "dtype": "uint8"}),
        "not the head of a pack",
    ),
    "a pickle": (
        lambda folder: np.savez(folder / LABELS, labels=np.array([{}] * N)),
        "labels.npz: cannot be read: Object arrays cannot be loaded",
    ),
    "labels of others": (
        lambda folder: np.savez(folder / LABELS, labels=np.zeros(3)),
        "expected 150 numbers",
    ),
    "labels of text": (lambda folder: np.savez(folder / LABELS, labels=["a"] * N), "expected 150 numbers"),
    "no labels inside": (lambda folder: np.savez(folder / LABELS, x=np.zeros(N)), "labels.npz: cannot be"),
    "labels cut": (lambda folder: os.truncate(folder / LABELS, 5), "labels.npz: cannot be read"),
    "one bit of a label": (
        lambda folder: flip(folder / LABELS, 300),
        "labels.npz: cannot be read: Bad CRC-32",
    ),
}


def insert(folder, text):
    """Puts text into the list of files, as its tenth line."""
    some = lines(folder)
    (folder / FILES).write_text("".join([*some[:10], text, *some[10:]]), encoding="utf-8")


def lines(folder):
    return (folder / FILES).read_text(encoding="utf-8").splitlines(keepends=True)


@pytest.mark.parametrize("case", DAMAGE)
def test_a_damaged_pack_is_an_error_when_it_is_opened(source, folder, case):
    make_pack(source, folder, np.arange(N))
    damage, message = DAMAGE[case]
    damage(folder)
    with pytest.raises(PackError, match=message):
        Pack(folder)
    labels = np.arange(N)
    try:
        pack = make_pack(source, folder, labels, replace=True)
    except FileExistsError:  # without its head nobody can tell that it was a pack
        assert "pack.json" in message or "head" in message
    else:
        assert same(pack, source) and np.array_equal(pack.labels, labels)


def test_one_bit_anywhere_is_found_by_verify(source, folder):
    pack = make_pack(source, folder)
    rng, start, size = random.Random(0), len(npy_header(N, source.shape, source.dtype)), 16 * 20
    for _ in range(50):
        at = rng.randrange(N * size)
        flip(folder / IMAGES, start + at)
        with pytest.raises(PackError, match=f"image {at // size}, "):
            pack.verify()
        flip(folder / IMAGES, start + at)
    pack.verify()


def test_a_pack_that_is_cut_while_it_is_read_names_image_and_batch(source, folder):
    sequence = ImageSequence.from_source(make_pack(source, folder), None, 32)
    os.truncate(folder / IMAGES, 128 + 16 * 20 * 40)
    sequence[0]
    with pytest.raises(ImageError, match=r"batch 1, .*040, «view».png in .*images.npy: is cut short"):
        sequence[1]


def test_wrong_places_and_positions(source, folder):
    pack = make_pack(source, folder)
    np.testing.assert_array_equal(pack[-1], source[N - 1])
    for position in (N, -N - 1):
        with pytest.raises(IndexError, match="has images 0 to 149"):
            pack[position]
    for place in (
        np.empty((20, 16, 1), np.uint8),
        np.empty((16, 20, 1)),
        np.empty((16, 40, 1), np.uint8)[:, ::2],
    ):
        with pytest.raises(ValueError, match="place must be an array in one piece"):
            pack.read_into(place, 0)


# ---------------------------------------------------------------- labels, arguments, other people's folders


def test_labels_may_come_later_and_change(source, folder):
    assert make_pack(source, folder).labels is None
    assert make_pack(source, folder, np.arange(N)).labels[5] == 5
    assert make_pack(source, folder).labels[5] == 5
    new = np.eye(3, dtype=bool)[np.arange(N) % 3]
    assert np.array_equal(make_pack(source, folder, new).labels, new) and beside(folder) == []


@pytest.mark.parametrize("labels", ([1, 2], ["a"] * N, np.zeros((N, 1, 1)), [None] * N, 3))
def test_wrong_labels_are_refused_before_anything_is_written(source, folder, labels):
    with pytest.raises(ValueError, match=rf"labels must be numbers of shape \({N},\)"):
        make_pack(source, folder, labels)
    assert not folder.exists() and beside(folder) == []


def test_wrong_arguments(source, folder, files):
    with pytest.raises(TypeError, match="source must be a source"):
        make_pack(files, folder)
    with pytest.raises(TypeError, match="source must be a source"):
        Pack(make_pack(source, folder).folder, files)
    with pytest.raises(ValueError, match="replace must be True or False"):
        make_pack(source, folder, replace="yes")
    with pytest.raises(ValueError, match="none masked"):
        make_pack(source, folder, np.ma.masked_array(np.arange(N), np.arange(N) == 3))


def test_nothing_of_anybody_elses_is_touched(source, folder):
    folder.mkdir()
    (folder / "thesis.txt").write_text("years")
    for replace in (False, True):
        with pytest.raises(FileExistsError, match="holds something else than a pack"):
            make_pack(source, folder, replace=replace)
    assert (folder / "thesis.txt").read_text() == "years" and beside(folder) == []
    (folder / "thesis.txt").unlink()
    assert same(make_pack(source, folder), source)  # an empty folder is taken
    file = folder.with_name("file")
    file.write_text("mine")
    with pytest.raises(FileExistsError, match="holds something else"):
        make_pack(source, file, replace=True)
    assert file.read_text() == "mine"


@pytest.mark.parametrize("place", ("pack", "part", "head", "old"))
def test_no_neighbour_is_taken_for_ours(files, source, folder, place):
    """Somebody's own folder under a name that we might use, or their file among ours, stays as it is."""
    if place == "pack":
        make_pack(source, folder)
    mine = {"part": "small.pack.part", "old": "small.pack.old"}.get(place, "small.pack")
    thesis = folder.with_name(mine) / "thesis.txt"
    thesis.parent.mkdir(exist_ok=True)
    thesis.write_text("years")
    if place == "head":
        (folder / HEAD).write_text('{"name": "a game"}')
    rewrite(files[3])
    if place == "old":
        assert same(make_pack(source, folder), source)
    else:
        with pytest.raises(FileExistsError, match="nothing was changed"):
            make_pack(source, folder, replace=True)
    assert thesis.read_text() == "years"


def test_a_backup_under_a_name_of_its_own_stays(files, source, folder):
    make_pack(source, folder)
    backup = shutil.copytree(folder, folder.with_name("small.pack.old"))
    other = shutil.copytree(folder, folder.with_name("small.pack." + "0" * 32))
    rewrite(files[3])
    make_pack(source, folder, replace=True)
    assert len(Pack(backup, check_files=False)) == len(Pack(other, check_files=False)) == N


def test_a_new_pack_does_not_lose_the_labels_of_the_old(files, source, folder):
    make_pack(source, folder, np.arange(N))
    rewrite(files[3])
    with pytest.raises(ValueError, match="has labels; replace=True wants those of the new pack"):
        make_pack(source, folder, replace=True)
    assert make_pack(source, folder, np.ones(N), replace=True).labels.sum() == N


def test_labels_of_a_run_that_was_cut_off_are_not_anothers(files, folder, monkeypatch):
    monkeypatch.setattr(packing, "_publish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        make_pack(FileSource(files, SMALL, dtype="uint8"), folder, np.arange(N))
    monkeypatch.undo()
    assert make_pack(FileSource(files[:20], SMALL, dtype="uint8"), folder).labels is None


def test_a_drive_that_stumbles_says_nothing_of_the_pack(source, folder, monkeypatch):
    pack = make_pack(source, folder, np.arange(N))

    def stumbles(*_, **__):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(pathlib.Path, "read_text", stumbles)
    with pytest.raises(OSError, match="Too many open files"):
        make_pack(source, folder, np.arange(N), replace=True)
    monkeypatch.undo()
    assert Pack(folder).id == pack.id


@pytest.mark.skipif(sys.platform == "win32", reason="links want rights there")
def test_a_link_leads_to_the_pack(files, source, folder, tmp_path):
    folder.symlink_to(tmp_path / "large disk" / "small.pack")
    assert same(make_pack(source, folder), source) and folder.is_symlink()
    rewrite(files[3])
    assert same(make_pack(source, folder, replace=True), source) and folder.is_symlink()


def test_not_into_the_working_directory(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "images")
    with pytest.raises(FileExistsError, match="holds something else"):
        make_pack(source, ".")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(FileExistsError, match="holds something else"):
        make_pack(source, ".")


def test_relative_names_are_those_of_the_working_directory(files, tmp_path, folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [os.path.relpath(path) for path in files]
    make_pack(FileSource(names, SMALL, dtype="uint8"), folder)
    other = tmp_path / "two" / "images"
    other.mkdir(parents=True)
    Image.new("L", (SIDE, SIDE)).save(other / files[0].name)
    monkeypatch.chdir(other.parent)
    assert len(Pack(folder)) == N
    rewrite(files[5])
    with pytest.raises(PackError, match="image 5, .*005.* has changed"):
        Pack(folder)


def test_a_folder_that_may_only_be_read_is_opened(source, folder, monkeypatch):
    make_pack(source, folder)

    def read_only(path, mode="r", *arguments, **options):
        if set(mode) & set("wax+"):
            raise PermissionError(errno.EROFS, "Read-only file system", str(path))
        return open(path, mode, *arguments, **options)

    monkeypatch.setattr(packing, "open", read_only, raising=False)
    assert same(make_pack(source, folder), source)  # and no lock is asked for


def test_sizes_may_be_numpys_and_names_anything(folder):
    class Odd(Counting):
        shape = tuple(np.array([4, 5, 3]))

        def name(self, position):
            return position

    assert len(make_pack(Odd(3), folder)) == 3

    class Nameless(Counting):
        def name(self, position):
            return "\udc80"

    with pytest.raises(ImageError, match="position 0: its name is not valid Unicode"):
        make_pack(Nameless(3), folder.with_name("other"))


def test_a_source_that_fails_when_it_is_compared_is_named(folder):
    make_pack(Counting(20), folder)

    class Failing(Counting):
        def __getitem__(self, position):
            return {}[position] if position == 19 else super().__getitem__(position)

    Failing.__name__ = "Counting"
    with pytest.raises(ImageError, match="row 19: KeyError: 19"):
        make_pack(Failing(20), folder)


def test_a_pack_of_a_pack_is_of_that_very_pack(files, source, folder, tmp_path):
    first = make_pack(source, folder)
    second = tmp_path / "second.pack"
    assert np.array_equal(make_pack(first, second)[9], first[9])
    crop = make_pack(FileSource(files, SMALL, dtype="uint8", aspect="pad"), tmp_path / "third.pack")
    with pytest.raises(PackError, match="has pack "):
        make_pack(crop, second)


def test_a_pack_that_goes_out_of_use_closes_its_file(source, folder):
    make_pack(source, folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None
        for _ in range(20):
            Pack(folder)
        gc.collect()
        assert before is None or len(os.listdir("/proc/self/fd")) <= before


# ---------------------------------------------------------------- disk, and what cuts it off


def test_the_disk_is_spoken_of_before_it_is_spent(source, folder, capfd, monkeypatch):
    needed = pack_bytes(source)
    make_pack(source, folder, progress=True)
    said = capfd.readouterr().err
    assert re.search(r"small\.pack: 150 images, \d MB of disk, .* are free.*packing: +0%", said, re.S)
    assert sum(path.stat().st_size for path in folder.iterdir()) < needed
    shutil.rmtree(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Free(needed - 1))
    with pytest.raises(PackError, match="MB are to be written, .* MB are free"):
        make_pack(source, folder, progress=False)
    assert not folder.exists() and beside(folder) == [] and "packing" not in capfd.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Free(needed))
    assert same(make_pack(source, folder), source)


class Free:
    def __init__(self, free):
        self.free = free


def stop_after(monkeypatch, writes, error=KeyboardInterrupt):
    """Lets so many pieces be written, and then fails."""
    add, written = packing.add_rows, []

    def adds(*arguments):
        if len(written) == writes:
            raise error
        written.append(arguments)
        return add(*arguments)

    monkeypatch.setattr(packing, "add_rows", adds)


class CountedFiles(FileSource):
    def __getitem__(self, position):
        self.__dict__.setdefault("reads", []).append(position)
        return super().__getitem__(position)


def decoded(source, kept):
    """What was read besides the first, by `check_source`, one in 64 of those kept, and, when the pack
    is opened, those that are compared."""
    first = 1 + -(-kept // 64)
    return sorted(source.reads[first : first + len(source) - kept])


def test_after_a_full_disk_it_goes_on_where_it_stopped(files, folder, monkeypatch):
    source = CountedFiles(files, SMALL, dtype="uint8")
    stop_after(monkeypatch, 2, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OSError, match=r"No space left.*kept in .*small\.pack\.part: make room") as caught:
        make_pack(source, folder)
    assert caught.value.errno == errno.ENOSPC
    assert beside(folder) == ["small.pack.part"] and not folder.exists()
    monkeypatch.undo()
    source.reads.clear()
    pack = make_pack(source, folder)
    assert decoded(source, 128) == list(range(128, N)) and beside(folder) == []
    assert same(pack, source)


@pytest.mark.parametrize("change", ("nothing", "a kept file", "a kept image", "the list", "the reading"))
def test_what_was_done_is_kept_only_if_it_is_still_true(files, folder, monkeypatch, change):
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        make_pack(CountedFiles(files, SMALL, dtype="uint8"), folder)
    monkeypatch.undo()
    if change == "a kept file":
        rewrite(files[20])
    if change == "a kept image":
        flip(folder.with_name("small.pack.part") / IMAGES, 128 + 40 * 16 * 20 + 5)
    if change == "the list":
        files = files[:10] + files[11:]
    options = {"aspect": "crop"} if change == "the reading" else {}
    source = CountedFiles(files, SMALL, dtype="uint8", **options)
    pack = make_pack(source, folder)
    first = {"nothing": 128, "a kept file": 20, "a kept image": 40, "the list": 10, "the reading": 0}[change]
    assert decoded(source, first) == list(range(first, len(files)))
    assert same(pack, source)


def test_a_broken_file_stops_it_by_name_and_costs_nothing_that_was_done(files, folder):
    whole = files[100].read_bytes()
    files[100].write_bytes(whole[:-30])
    source = CountedFiles(files, SMALL, dtype="uint8")
    with pytest.raises(ImageError, match="100, «view».png: "):
        make_pack(source, folder)
    files[100].write_bytes(whole)
    source.reads.clear()
    pack = make_pack(source, folder)
    assert decoded(source, 64) == list(range(64, N))
    assert same(pack, source)


def test_a_file_that_changes_while_it_is_packed_is_seen(files, folder):
    class Changing(FileSource):
        def __getitem__(self, position):
            image = super().__getitem__(position)
            if position == 90:
                rewrite(files[90])
            return image

    with pytest.raises(ImageError, match="090, «view».png: changed while it was packed"):
        make_pack(Changing(files, SMALL, dtype="uint8"), folder)
    assert not folder.exists()


def test_what_is_kept_was_read_as_it_would_be_now(files, folder, monkeypatch):
    class Brighter(FileSource):
        add = 0

        def __getitem__(self, position):
            return super().__getitem__(position) // 2 + np.uint8(self.add)

    stop_after(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        make_pack(Brighter(files, SMALL, dtype="uint8"), folder)
    monkeypatch.undo()
    source = Brighter(files, SMALL, dtype="uint8")
    source.add = 50
    assert same(make_pack(source, folder), source)


def test_interrupted_between_its_two_names_the_old_pack_comes_back(files, source, folder, monkeypatch):
    pack = make_pack(source, folder)
    rewrite(files[3])
    rename = pathlib.Path.rename

    def interrupted(path, target):
        if path.suffix == ".part":
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_pack(source, folder, replace=True)
    monkeypatch.undo()
    assert Pack(folder, check_files=False).id == pack.id and beside(folder) == ["small.pack.part"]
    assert same(make_pack(source, folder, replace=True), source) and beside(folder) == []


def test_the_old_pack_stays_until_the_new_one_is_whole(files, source, folder):
    make_pack(source, folder)
    old = Pack(folder)[140]
    rewrite(files[3])
    files[140].write_bytes(b"broken")
    with pytest.raises(ImageError, match="140"):
        make_pack(source, folder, replace=True)
    np.testing.assert_array_equal(Pack(folder, check_files=False)[140], old)


def test_two_at_once_are_told_so(source, folder):
    class Slow(FileSource):
        others = []

        def __getitem__(self, position):
            if position == 70 and not self.others:
                self.others.append(position)
                with pytest.raises(PackError, match="small.pack: another process is making this pack"):
                    make_pack(source, folder)
            return super().__getitem__(position)

    slow = Slow(list(map(str, source.paths)), SMALL, dtype="uint8")
    assert same(make_pack(slow, folder), slow)


# Every step at which the program opens, renames, cuts or removes a file is one at which it is killed once.
EVERY_STEP = """
import json, os, signal, sys
from course_utils import FileSource, Pack, PackError, make_pack
paths, folder, replace = json.load(sys.stdin)
first, second = (FileSource(paths, (16, side), dtype="uint8") for side in (20, 16))
events = ("open", "os.rename", "os.remove", "os.rmdir", "os.truncate", "os.mkdir")
before, ends = set(), []
while not ends or ends[-1] == signal.SIGKILL:
    child = os.fork()
    if not child:
        steps = 0
        def hook(event, arguments):
            global steps
            if event in events and folder in str(arguments[:1]):
                steps += 1
                if steps > len(ends):
                    os.kill(os.getpid(), signal.SIGKILL)
        if replace and not ends:
            make_pack(first, folder)
        sys.addaudithook(hook)
        make_pack(second if replace else first, folder, replace=bool(replace))
        os._exit(0)
    ends.append(os.waitpid(child, 0)[1])
    try:
        pack = Pack(folder)
        pack.verify()
        source = second if pack.shape[1] == 16 else first
        assert all((pack[at] == source[at]).all() for at in range(0, len(source), 7))
        before.add(pack.shape[1])
    except PackError as error:
        assert "no pack" in str(error), error
        before.add("none")
print(json.dumps([len(ends), ends[-1], sorted(map(str, before))]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("replace", (0, 1))
def test_killed_at_every_step_there_is_a_true_pack_or_none(files, folder, replace):
    steps, last, seen = answer(EVERY_STEP, [list(map(str, files)), str(folder), replace])
    assert steps > 10 and last == 0 and beside(folder) == []
    assert seen == (["16", "20", "none"] if replace else ["20", "none"])


KILLED = """
import json, sys
from course_utils import FileSource, make_pack
paths, folder = json.load(sys.stdin)
source = FileSource(paths, (16, 20), dtype="uint8")
print("ready", flush=True)
make_pack(source, folder)
print("made", flush=True)
"""


def test_killed_at_ten_random_moments_there_is_a_true_pack_or_none(files, source, folder):
    """The moments lie between the first line of the program's and a little after a whole run's last."""
    paths = [str(path) for path in files]

    def packs(delay):
        shutil.rmtree(folder, ignore_errors=True)
        with start("-c", KILLED) as process:
            process.stdin.write(json.dumps([paths, str(folder)]))
            process.stdin.close()
            assert process.stdout.readline() == "ready\n"
            begin = time.monotonic()
            if delay is None:
                assert process.stdout.readline() == "made\n"
            else:
                time.sleep(delay)
            took = time.monotonic() - begin
            process.kill()
        return took

    whole, random_moment, seen = packs(None), random.Random(0).random, []
    for _ in range(10):
        packs(whole * 1.2 * random_moment())
        try:
            pack = Pack(folder, source)
            pack.verify()
            assert same(pack, source)
            seen.append("whole")
        except PackError as error:
            assert "no pack" in str(error)
            seen.append("none")
    print(seen)
    assert "none" in seen
    assert same(make_pack(source, folder), source) and beside(folder) == []
