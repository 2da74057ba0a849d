"""Folders as people have them, each to labels.csv, to `fit`, to predictions in the order of the list."""

import csv
import shutil
import sys

import keras
import numpy as np
import pytest
from PIL import Image

from course_utils import ImageSequence, color_mode_of, head, read_labels
from data_scripts.index_folder import index, main

from .conftest import write_flowers

LINKS = pytest.mark.skipif(sys.platform == "win32", reason="Windows lets few people make links")


def picture(path, value=None, colour=False):
    """16 x 20 pixels of grain around a value; without one, of grain that depends on the name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(list(str(path).encode()))
    grain = rng.integers(-9, 10, (16, 20, 3 if colour else 1))
    base = rng.integers(20, 230) if value is None else value
    base = (base, 255 - base, 60) if colour else base
    Image.fromarray(np.clip(base + grain, 0, 255).astype(np.uint8).squeeze()).save(path)
    return path


def trained_in_order(labels_csv, side=16):
    """Fits a small network on the train split, and predicts all pictures, by batches and one by one."""
    data = read_labels(labels_csv)
    color_mode = color_mode_of(data.paths)
    channels = {"grayscale": 1, "rgb": 3}[color_mode]
    layer, loss, metric = head(len(data.classes))
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((side, side, channels)), keras.layers.Rescaling(1 / 255)])
    model.add(keras.layers.GlobalAveragePooling2D())
    model.add(keras.layers.Dense(16, "relu"))
    model.add(layer)
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=[metric])
    train = data.split("train")
    options = {"color_mode": color_mode}
    sequence = ImageSequence(train.paths, train.labels, 8, (side, side), shuffle=True, **options)
    losses = model.fit(sequence, epochs=30, shuffle=False, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    predicted = model.predict(ImageSequence(data.paths, None, 7, (side, side), **options), verbose=0)
    for at in (0, len(data) // 2, len(data) - 1):
        alone = ImageSequence(data.paths[at : at + 1], None, 1, (side, side), **options)[0][0]
        np.testing.assert_allclose(predicted[at], model(alone)[0], atol=1e-5)
    named = predicted[:, 0] > 0.5 if len(data.classes) == 2 else predicted.argmax(axis=1)
    return data, float((named == data.labels).mean())


def kermany(folder, counts=None):
    counts = counts or {"train": 12, "val": 2, "test": 4}
    for part, n in counts.items():
        for label, name in enumerate(("NORMAL", "PNEUMONIA")):
            for i in range(n):
                picture(folder / part / name / f"person{i // 2}_{name}_{i}.jpeg", 60 + 120 * label)
    return folder


# ---------------------------------------------------------------- four real layouts


@pytest.mark.parametrize("spelling", ["val", "VALID", "Validation"])
def test_train_val_and_test_above_the_classes_are_the_split(tmp_path, spelling):
    made = index(kermany(tmp_path / "chest_xray", {"Train": 12, spelling: 2, "TEST": 4}))
    assert made.classes == {"NORMAL": 0, "PNEUMONIA": 1} and made.given
    assert made.counts == {
        "train": {0: 12, 1: 12}, "validation": {0: 2, 1: 2}, "test": {0: 4, 1: 4},
    }  # fmt: skip
    assert "The split is the given one\n" in made.report()
    data, right = trained_in_order(made.labels_csv)
    assert data.classes == ("NORMAL", "PNEUMONIA") and right > 0.95
    assert all(
        ("Train" in path) == (split == "train") for path, split in zip(data.paths, data.splits, strict=True)
    )


def test_the_table_of_a_challenge_beside_its_pictures(tmp_path):
    rows = []
    for i in range(36):
        kind = ("MEL", "NV", "BCC")[i % 3]
        picture(tmp_path / "input" / f"ISIC_{i:07}.jpg", 40 + 80 * (i % 3), colour=True)
        rows.append((f"ISIC_{i:07}", f"IP_{i // 6}", *(float(kind == name) for name in ("MEL", "NV", "BCC"))))
    rows.append(("ISIC_9999999", "IP_0", 1.0, 0.0, 0.0))
    with open(tmp_path / "truth.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "patient_id", "MEL", "NV", "BCC"), *rows])
    columns = {"file": "image", "class": "MEL,NV,BCC", "patient": "patient_id"}
    made = index(tmp_path / "input", table=tmp_path / "truth.csv", columns=columns, suffix=".jpg")
    assert made.classes == {"MEL": 0, "NV": 1, "BCC": 2} and made.patients == 6 and made.color == 36
    assert made.bad == {"ISIC_9999999.jpg": "no such file"}
    data, right = trained_in_order(made.labels_csv)
    assert right > 0.9 and set(data.splits) == {
        "train",
        "validation",
        "test",
    }  # no patient in two: read_labels


def test_five_classes_in_colour(tmp_path):
    made = index(write_flowers(tmp_path))
    assert list(made.classes) == ["daisy", "iris", "poppy", "rose", "tulip"] and made.color == 60
    assert "0 grey and 60 in colour: color_mode='rgb'" in made.report()
    assert all(n >= 2 for of in made.counts.values() for n in of.values())
    data, right = trained_in_order(made.labels_csv)
    assert data.classes == tuple(made.classes) and set(data.labels) == set(range(5)) and right > 0.9


def test_pictures_and_masks_in_one_folder(tmp_path):
    for value, name in ((40, "benign"), (120, "malignant"), (200, "normal")):
        for i in range(8):
            picture(tmp_path / name / f"{name} ({i}).png", value)
            picture(tmp_path / name / f"{name} ({i})_mask.png")
        picture(tmp_path / name / f"{name} (3)_mask_1.png")
    with pytest.raises(
        ValueError, match=r"27 files are named as masks.*'benign/benign \(0\)_mask.png'.*--exclude"
    ):
        index(tmp_path)
    made = index(tmp_path, exclude=["*_mask*"])
    assert sum(sum(of.values()) for of in made.counts.values()) == 24 and not made.bad
    _, right = trained_in_order(made.labels_csv)
    assert right > 0.9
    assert sum(sum(of.values()) for of in index(tmp_path, keep=["*"], force=True).counts.values()) == 51


# ---------------------------------------------------------------- splits that are given


def test_a_missing_validation_is_drawn_from_train_and_test_stays(tmp_path):
    made = index(kermany(tmp_path, {"train": 12, "test": 4}))
    assert made.counts["test"] == {0: 4, 1: 4} and made.counts["validation"] == {0: 3, 1: 3}
    data = read_labels(made.labels_csv)
    assert all(
        ("/test/" in path) == (split == "test") for path, split in zip(data.paths, data.splits, strict=True)
    )


def test_a_missing_test_is_said(tmp_path):
    made = index(kermany(tmp_path, {"train": 12, "val": 4}))
    assert (
        made.counts["test"] == {0: 0, 1: 0} and "The split is the given one; it has no test" in made.report()
    )


def test_train_alone_is_drawn_from(tmp_path):
    made = index(kermany(tmp_path, {"train": 12}))
    assert not made.given and all(sum(of.values()) for of in made.counts.values())


def test_redraw_leaves_the_given_split(tmp_path):
    made = index(kermany(tmp_path), redraw=True)
    assert (
        not made.given
        and made.counts["validation"] == {0: 4, 1: 4}
        and list(made.classes) == ["NORMAL", "PNEUMONIA"]
    )


@pytest.mark.parametrize("names", [("control", "test"), ("train", "bus"), ("val", "test")])
def test_classes_that_are_called_like_a_part_are_classes(tmp_path, names):
    for name in names:
        for i in range(3):
            picture(tmp_path / name / f"{i}.png")
    assert list(index(tmp_path).classes) == sorted(names)


def test_parts_with_other_classes_are_listed(tmp_path):
    picture(kermany(tmp_path) / "test" / "COVID" / "a.png")
    with pytest.raises(
        ValueError, match="different class folders: .*test has 'COVID', 'NORMAL', 'PNEUMONIA'"
    ):
        index(tmp_path)
    shutil.rmtree(tmp_path / "test")
    picture(tmp_path / "test" / "unlabelled.png")
    with pytest.raises(ValueError, match="test has none"):
        index(tmp_path)
    assert index(tmp_path, exclude=["test"]).counts["validation"] == {0: 2, 1: 2}


def test_what_lies_beside_the_parts_is_asked_about(tmp_path):
    picture(kermany(tmp_path) / "extra" / "NORMAL" / "a.png")
    with pytest.raises(ValueError, match="'test', 'train', 'val' look like a split.*beside them lie 'extra'"):
        index(tmp_path)
    assert index(tmp_path, exclude=["extra"]).given


def test_one_folder_too_high_is_said(tmp_path):
    kermany(tmp_path / "chest_xray")
    with pytest.raises(ValueError, match="found 'chest_xray'; is 'chest_xray' the folder to index?"):
        index(tmp_path)


def test_patients_between_class_and_picture(tmp_path):
    for part, first in (("train", 0), ("test", 20)):
        for name in ("NORMAL", "PNEUMONIA"):
            for i in range(16):
                picture(tmp_path / part / name / f"patient {first + i // 2 + 40 * (name < 'O')}" / f"{i}.png")
    made = index(tmp_path, patient=r"patient (\d+)")
    assert made.patients == 32 and made.counts["test"] == {0: 16, 1: 16}
    picture(tmp_path / "test" / "NORMAL" / "patient 40" / "again.png")
    with pytest.raises(
        ValueError, match="1 patients have pictures in two parts of the given split, the first '40'"
    ):
        index(tmp_path, patient=r"patient (\d+)", force=True)
    assert index(tmp_path, patient=r"patient (\d+)", force=True, redraw=True).patients == 32


def test_a_class_with_nothing_to_train_on_is_named(tmp_path):
    kermany(tmp_path)
    for path in (tmp_path / "train" / "NORMAL").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(
        ValueError, match="class 'NORMAL' has no good picture to train on; all .*; the first bad file is"
    ):
        index(tmp_path)


# ---------------------------------------------------------------- copies, links, masks


def test_copies_never_end_in_two_splits_even_with_patients(tmp_path):
    for name in "ab":
        for i in range(12):
            picture(tmp_path / name / f"{i:08d}_0.png")
    for i in range(6):
        shutil.copy(tmp_path / f"a/{i:08d}_0.png", tmp_path / f"a/{i + 500:08d}_0.png")
    picture(tmp_path / "a" / "00000500_1.png")  # the copy's patient has another picture, which goes along
    for seed in range(5):
        made = index(tmp_path, patient=r"(\d{8})_", seed=seed, force=True)
        data = read_labels(made.labels_csv)
        split = {
            path.removeprefix(f"{tmp_path}/"): part
            for path, part in zip(data.paths, data.splits, strict=True)
        }
        assert all(split[f"a/{i:08d}_0.png"] == split[f"a/{i + 500:08d}_0.png"] for i in range(6))
        assert split["a/00000500_1.png"] == split["a/00000000_0.png"]
        assert made.patients == 18 and len(made.copies) == 6


def test_a_copy_of_an_exam_picture_is_left_out_of_train(tmp_path):
    kermany(tmp_path)
    shutil.copy(tmp_path / "test/NORMAL/person0_NORMAL_1.jpeg", tmp_path / "train/NORMAL/copied.jpeg")
    shutil.copy(tmp_path / "val/NORMAL/person0_NORMAL_1.jpeg", tmp_path / "train/PNEUMONIA/copied.jpeg")
    made = index(tmp_path)
    assert made.bad == {
        "train/NORMAL/copied.jpeg": "a copy of test/NORMAL/person0_NORMAL_1.jpeg, which is in test",
        "train/PNEUMONIA/copied.jpeg": "a copy of val/NORMAL/person0_NORMAL_1.jpeg, which is in validation",
    }
    assert made.counts["test"] == {0: 4, 1: 4} and made.counts["train"] == {0: 12, 1: 12}


@LINKS
def test_links_are_followed_once(tmp_path):
    store = tmp_path / "outside"
    root = tmp_path / "root"
    for name in "ab":
        for i in range(3):
            picture(root / name / f"{i}.png")
            picture(root / ".store" / name / f"linked {i}.png")
    picture(root / ".store" / "one.png")
    picture(store / "far.png")
    (root / "a" / "one.png").symlink_to("../.store/one.png")
    (root / "a" / "same.png").symlink_to("0.png")
    (root / "b" / "same.png").symlink_to("../.store/one.png")
    (root / "a" / "more").symlink_to("../.store/a")
    (root / "b" / "more").symlink_to("../.store/b")
    (root / "b" / "again").symlink_to("../.store/b")
    (root / ".store" / "b" / "loop").symlink_to("..")
    (root / "b" / "up").symlink_to("../..")
    (root / "b" / "out").symlink_to(store)
    (root / "b" / "round").symlink_to("round")
    made = index(root)
    assert made.bad == {
        "a/same.png": "a link to a/0.png, which is read already",
        "b/more": "a link to .store/b, which is read already",
        "b/out": "a link that leads out of the folder",
        "b/round": "no such file",
        "b/same.png": "a link to .store/one.png, which is read already",
        "b/up": "a link that leads out of the folder",
    } | {name: why for name, why in made.bad.items() if name.startswith("b/again/loop")}
    assert {path.removeprefix(f"{root}/") for path in read_labels(made.labels_csv).paths} >= {
        "a/one.png", "a/more/linked 0.png", "b/again/linked 2.png", "a/0.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    "where", ["masks", "cat/Masks", "cat/ground_truth", "annotations", "cat/lung masks", "cat/mask_images"]
)
def test_folders_of_masks_are_asked_about(tmp_path, where):
    for name in ("cat", "dog"):
        for i in range(3):
            picture(tmp_path / name / f"{i}.png")
            picture(tmp_path / where / f"{name} {i}.png")
    last = where.split("/")[-1]
    with pytest.raises(
        ValueError, match=f"usually hold no picture of a class: '{where}'.*--exclude '{last}'"
    ):
        index(tmp_path)
    made = index(tmp_path, exclude=[last])
    assert list(made.classes) == ["cat", "dog"] and sum(sum(of.values()) for of in made.counts.values()) == 6
    assert sum(sum(of.values()) for of in index(tmp_path, keep=[last], force=True).counts.values()) == 12


# ---------------------------------------------------------------- which folders are the classes


def two_levels(folder, uppers, lowers):
    for upper in uppers:
        for lower in lowers:
            for i in range(3):
                picture(folder / upper / lower / f"{i}.png")
    return folder


@pytest.mark.parametrize(
    "parts", [("training_set", "test_set"), ("seg_train", "seg_test"), ("Training", "Testing")]
)
def test_parts_by_longer_names(tmp_path, parts):
    made = index(two_levels(tmp_path, parts, ("cats", "dogs")))
    assert made.given and list(made.classes) == ["cats", "dogs"] and made.counts["test"] == {0: 3, 1: 3}


@pytest.mark.parametrize(
    "uppers, lowers, level",
    [
        (("val", "test"), ("cats", "dogs"), 2),  # a split without train
        (("train", "training"), ("cats", "dogs"), 2),
        (("cats", "dogs"), ("train", "test"), 1),  # the split below the classes
        (("p1", "p2"), ("0", "1"), 2),  # patients above the classes
        (("cats", "dogs"), ("2020", "2021"), 1),
    ],
)
def test_folders_that_could_be_classes_at_either_level_are_asked_about(tmp_path, uppers, lowers, level):
    two_levels(tmp_path, uppers, lowers)
    with pytest.raises(ValueError, match="hold the same folders.*Which are the classes. Say --level 1"):
        index(tmp_path)
    made = index(tmp_path, level=level)
    assert list(made.classes) == sorted((uppers, lowers)[level - 1]) and not made.given


def test_the_split_below_the_classes_may_be_left(tmp_path):
    made = index(two_levels(tmp_path, ("cats", "dogs"), ("train", "test")), redraw=True)
    assert list(made.classes) == ["cats", "dogs"] and not made.given


@LINKS
def test_a_part_that_lies_elsewhere_is_said(tmp_path):
    kermany(tmp_path / "here")
    (tmp_path / "here" / "train").rename(tmp_path / "far")
    (tmp_path / "here" / "train").symlink_to(tmp_path / "far")
    with pytest.raises(ValueError, match="'train': a link that leads out of the folder. Leave it out"):
        index(tmp_path / "here")


def test_numbers_are_in_order_of_size_and_names_must_be_readable(tmp_path):
    names = ["0", "1", "2", "9", "10", "11"]
    made = index(two_levels(tmp_path / "digits", names, ["a"]))
    assert list(made.classes) == names == list(read_labels(made.labels_csv).classes)
    for name in ("nan", "NaN"):
        with pytest.raises(ValueError, match=f"a class cannot be called '{name}': rename the folder"):
            index(two_levels(tmp_path / f"x{name}", [name, "good"], ["a"]))


# ---------------------------------------------------------------- tables


def table_of(folder, rows, head="image,dx,pid"):
    for i in range(24):
        picture(folder / "img" / f"{i}.png")
    (folder / "t.csv").write_text("\n".join([head, *rows]) + "\n")
    return {"table": folder / "t.csv", "columns": {"file": "image", "class": "dx"}}


def test_who_has_no_patient_counts_as_one_of_their_own(tmp_path):
    rows = [f"img/{i}.png,{'ab'[i % 2]},{'' if i % 3 else i}" for i in range(24)]
    options = table_of(tmp_path, rows)
    options["columns"] |= {"patient": "pid"}
    made = index(tmp_path, **options)
    data = read_labels(made.labels_csv)
    assert made.patients == 8 and made.unknown == 16
    assert "8 patients, each in one split only; 16 pictures without one" in made.report()
    assert len({split for split, who in zip(data.splits, data.patients, strict=True) if not who}) == 3


def test_patterns_count_for_a_table_too(tmp_path):
    options = table_of(tmp_path, [f"img/{i}.png,{'ab'[i % 2]},x" for i in range(24)])
    made = index(tmp_path, exclude=["1?.png"], **options)
    assert len(read_labels(made.labels_csv)) == 14
    with pytest.raises(ValueError, match="no file or folder matches what is to be left out: 'x'"):
        index(tmp_path, exclude=["x"], force=True, **options)


@pytest.mark.parametrize(
    "rows, said",
    [
        (
            [f"{i},{'ab'[i % 2]},x" for i in range(24)],
            "class 'a' has no good picture; the first bad file is '0': no such",
        ),
        (
            [f'img/{i}.png,{"ab"[i % 2]},"x' for i in range(2)],
            "is not a CSV file after its 0. row .*unclosed",
        ),
        (
            [f"img/{i}.png,{'aA'[i % 2]},x" for i in range(24)],
            "line 3: dx has 'A', above 'a': one class or two?",
        ),
        (
            [f"img/{i}.png,{('1', '1.0')[i % 2]},x" for i in range(24)],
            "dx has '1.0', above '1': one class or two?",
        ),
    ],
)
def test_mistakes_in_a_table_are_named(tmp_path, rows, said):
    with pytest.raises(ValueError, match=said):
        index(tmp_path, **table_of(tmp_path, rows))


def test_an_unclosed_quote_loses_no_row_silently(tmp_path):
    (tmp_path / "labels.csv").write_text('file,label,note\na.png,0,\nb.png,1,"5 mm\nc.png,0,\nd.png,1,\n')
    with pytest.raises(ValueError, match="not a CSV file after its 1. row .*is a quote unclosed"):
        read_labels(tmp_path)


def test_a_column_that_was_not_named_is_not_read(tmp_path):
    rows = [f"img/{i}.png,{'ab'[i % 2]},fold{i % 3}" for i in range(24)]
    options = table_of(tmp_path, rows, head="image,dx,split")
    assert set(read_labels(options["table"], classes="dx", file="image").splits) == {"train"}
    assert not index(tmp_path, **options).given
    options["columns"] |= {"split": "split"}
    with pytest.raises(ValueError, match="line 2: split must be one of train, validation, test, got 'fold0'"):
        index(tmp_path, force=True, **options)
    assert not index(tmp_path, force=True, redraw=True, **options).given


def test_the_table_itself_is_never_replaced(tmp_path):
    options = table_of(tmp_path, [f"img/{i}.png,{'ab'[i % 2]},x" for i in range(24)])
    options["table"] = options["table"].rename(tmp_path / "labels.csv")
    before = options["table"].read_bytes()
    with pytest.raises(ValueError, match="would be replaced by the result; copy the pictures"):
        index(tmp_path, force=True, **options)
    assert options["table"].read_bytes() == before


def test_an_empty_folder_is_written_into_and_not_replaced(tmp_path):
    kermany(tmp_path / "tree")
    (tmp_path / "disk").mkdir()
    before = (tmp_path / "disk").stat().st_ino
    made = index(tmp_path / "tree", to=tmp_path / "disk")
    assert (tmp_path / "disk").stat().st_ino == before and len(read_labels(made.labels_csv)) == 36
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [
        "labels.csv",
        "test",
        "train",
        "val",
    ]


# ---------------------------------------------------------------- the program


def test_the_program_takes_it_all(tmp_path, capsys):
    kermany(tmp_path / "tree")
    assert main([str(tmp_path / "tree"), "--exclude", "val", "--exclude", "*_0.jpeg"]) == 0
    said = capsys.readouterr().out
    assert "2 classes: NORMAL = 0; PNEUMONIA = 1" in said and "color_mode='grayscale'" in said
    picture(tmp_path / "flat" / "a.jpg")
    table = tmp_path / "t.csv"
    table.write_text("name,dx\n" + "".join(f"{i},{'ab'[i % 2]}\n" for i in range(6)))
    for i in range(6):
        picture(tmp_path / "flat" / f"{i}.jpg")
    arguments = [str(tmp_path / "flat"), "--table", str(table), "--column", "file=name", "--suffix", ".jpg"]
    assert main(arguments) == 2 and "columns must name file and class" in capsys.readouterr().err
    assert main([*arguments, "--column", "class=dx"]) == 0
    assert len(read_labels(tmp_path / "flat")) == 6
    with pytest.raises(SystemExit):
        main([*arguments, "--column", "dx"])
    assert "expected OURS=THEIRS, got 'dx'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, error, said",
    [
        ({"exclude": "*.png"}, TypeError, "exclude must be a list of patterns"),
        ({"keep": [3]}, TypeError, "keep must be a list of patterns"),
        ({"redraw": "yes"}, ValueError, "redraw must be True or False"),
        ({"table": "t.csv"}, ValueError, "table and columns belong together"),
        ({"exclude": None}, TypeError, "exclude must be a list of patterns"),
        ({"exclude": ["vla/"]}, ValueError, "no file or folder matches what is to be left out: 'vla'"),
        ({"level": 3}, ValueError, "level must be 1, 2 or None"),
        ({"suffix": None}, TypeError, "suffix must be a string"),
        ({"to": ""}, ValueError, "a folder's name is empty"),
        ({"max_pixels": 0}, ValueError, "max_pixels must be a whole number of at least 1"),
    ],
)
def test_wrong_arguments(tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        index(kermany(tmp_path), **options)


def test_a_large_picture_has_a_way_in(tmp_path):
    kermany(tmp_path)
    with pytest.raises(ValueError, match="class 'NORMAL' has no good picture.*16 pixels, more than the 319"):
        index(tmp_path, max_pixels=319)
    made = index(tmp_path, max_pixels=320)
    assert not made.bad
