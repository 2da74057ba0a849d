"""A folder a class becomes a labels.csv: what is bad is named, nothing is lost, and no patient is split."""

import csv
import errno
import os
import random
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_utils import load_image, read_labels
from data_scripts import _pictures, index_folder
from data_scripts._splits import SHARES, draw
from data_scripts.index_folder import index, main

WINDOWS = sys.platform == "win32"


def picture(path, size=(4, 3), mode="L"):
    """Of grain that depends on the name: no picture is a copy of another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(zlib.crc32(os.fsencode(f"{path.parent.name}/{path.name}")))
    Image.fromarray(rng.integers(0, 256, size[::-1]).astype(np.uint8)).convert(mode).save(path)


def tree(folder, **classes):
    """So many pictures of each class, two of each patient: p01_0.png, p01_1.png, p02_0.png, ..."""
    for name, pictures in classes.items():
        for i in range(pictures):
            picture(folder / name / f"{name[0]}{i // 2:02}_{i % 2}.png")
    return folder


@pytest.fixture
def small(tmp_path):
    return tree(tmp_path / "small", cat=6, dog=8)


def rows_of(labels_csv):
    with open(labels_csv, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(error, match, *arguments, **named):
    with pytest.raises(error, match=match) as caught:
        index(*arguments, **named)
    return str(caught.value)


@pytest.fixture
def messy(tmp_path):
    root = tmp_path / "messy"
    picture(root / "cat" / "a cat, asleep.png", (212, 208), "RGBA")
    picture(root / "cat" / "γάτα" / "猫.jpg", (208, 212))
    Image.fromarray(np.full((5, 7), 60_000, np.uint16)).save(root / "cat" / "deep.png")
    picture(root / "dog, wet" / "it's.jpeg", (1, 1), "RGB")
    picture(root / "dog, wet" / "one more.bmp", (2, 2), "P")
    for i in range(3):
        picture(root / "dog, wet" / f"{i}.tif")
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)).save(whole)
    (root / "cat" / "cut.png").write_bytes(whole.read_bytes()[:2000])
    (root / "cat" / "text.png").write_text("I am no picture")
    (root / "cat" / "empty.png").touch()
    (root / "cat" / "README.txt").write_text("Cats.")
    (root / "cat" / "Thumbs.db").write_bytes(b"litter")
    (root / "cat" / ".DS_Store").write_bytes(b"litter")
    picture(root / "__MACOSX" / "cat" / "litter.png")
    picture(root / ".cache" / "litter.png")
    picture(root / "stray.png")
    bad = {
        "cat/README.txt": "not a readable image",
        "cat/cut.png": "not a readable image (its chunk 'IDAT' is damaged or cut short)",
        "cat/empty.png": "an empty file",
        "cat/text.png": "not a readable image",
        "stray.png": "in no class folder",
    }
    if not WINDOWS:
        picture(root / "cat" / 'the "best".png')
        os.mkfifo(root / "cat" / "fifo.png")
        (root / "cat" / "link in.png").symlink_to("deep.png")
        (root / "cat" / "link out.png").symlink_to(whole)
        (root / "cat" / "link to nothing.png").symlink_to("nothing.png")
        (root / "loop").symlink_to(root, target_is_directory=True)
        picture(root / "cat" / "C:" / "a.png")
        picture(root / "cat" / "b\\..\\a.png")
        (root / "cat" / "blank.png ").write_bytes(whole.read_bytes())
        (root / "cat" / "line\nbreak.png").write_bytes(whole.read_bytes())
        bad |= {
            "cat/b\\..\\a.png": "by the rules of Windows the name leads out of the folder",
            "cat/blank.png ": "labels.csv cannot hold a name that starts or ends with a blank",
            "cat/fifo.png": "not a regular file",
            "cat/line\nbreak.png": "labels.csv cannot hold a name with a line break",
            "cat/link in.png": "a link to cat/deep.png, which is read already",
            "cat/link out.png": "a link that leads out of the folder",
            "cat/link to nothing.png": "no such file",
            "loop": "a link to the folder itself, which is read already",
        }
    if sys.platform == "linux":  # macOS and Windows refuse such a name
        Path(os.fsdecode(os.fsencode(root) + b"/cat/\xff.png")).write_bytes(whole.read_bytes())
        bad["cat/\udcff.png"] = "the name is not valid Unicode"
    return root, dict(sorted(bad.items()))


def test_a_messy_folder(messy, capfd):
    root, bad = messy
    made = index(root)
    assert capfd.readouterr() == ("", "")
    assert made.labels_csv == root / "labels.csv" and made.classes == {"cat": 0, "dog, wet": 1}
    assert list(made.bad) == list(bad)
    for name, reason in bad.items():
        assert made.bad[name].startswith(reason.removesuffix(")")) and str(root) not in made.bad[name]
    rows, data = rows_of(made.labels_csv), read_labels(root)
    assert made.labels_csv.read_bytes().startswith(b"file,label,split,class\n")
    assert [row["file"] for row in rows] == sorted(row["file"] for row in rows)
    assert len(data) == len(rows) == (8 if WINDOWS else 10)
    assert all(row["label"] == str(int(row["file"].startswith("dog"))) for row in rows)
    shapes = {path: load_image(path, dtype="uint8").shape for path in data.paths}
    assert shapes[str(root / "cat" / "a cat, asleep.png")] == (208, 212, 1)
    everything = {p.relative_to(root).as_posix() for p in root.rglob("*") if not p.is_dir()} - {"labels.csv"}
    silent = {name for name in everything if any(s in name for s in ("litter", "Thumbs", ".DS_Store"))}
    listed = {row["file"] for row in rows}
    assert len(silent) == 4 and everything - silent - set(bad) == listed  # every file has one fate
    assert made.counts == {
        split: {
            label: sum(r["split"] == split and r["label"] == str(label) for r in rows) for label in (0, 1)
        }
        for split in ("train", "validation", "test")
    }
    lines = made.report().splitlines()
    assert len(lines) == 7 + len(bad) and lines[0].endswith(" in 2 classes: cat = 0; dog, wet = 1")
    assert "  cat/empty.png: an empty file" in lines and "  stray.png: in no class folder" in lines
    if not WINDOWS:  # one line each, and fit to print
        assert r"  cat/line\nbreak.png: labels.csv cannot hold a name with a line break" in lines
    if sys.platform == "linux":
        assert r"  cat/\udcff.png: the name is not valid Unicode" in lines


def test_the_report(small, capsys):
    (small / "cat" / "notes\x1b[2J.txt").write_text("x") if not WINDOWS else None
    picture(small / "stray.png")
    assert main([str(small)]) == 0
    notes = (
        [] if WINDOWS else [r"  cat/notes\x1b[2J.txt: not a readable image (in no format that Pillow knows)"]
    )
    assert capsys.readouterr().out.splitlines() == [
        "14 pictures in 2 classes: cat = 0; dog = 1",
        "  train           8: 4 of label 0, 4 of label 1",
        "  validation      3: 1 of label 0, 2 of label 1",
        "  test            3: 1 of label 0, 2 of label 1",
        "14 grey and 0 in colour: color_mode='grayscale'",
        "Every picture counts as a patient of its own. If some patients have several pictures, use "
        "--patient: a patient in two splits makes the validation score too good.",
        f"{1 + len(notes)} bad file{'s' * len(notes)} left out:",
        *notes,
        "  stray.png: in no class folder",
        str(small / "labels.csv"),
    ]
    assert main([str(small), "--patient", r"([cd]\d\d)_", "--force"]) == 0
    assert "7 patients, each in one split only" in capsys.readouterr().out.splitlines()


def test_names_that_the_terminal_lacks_are_escaped(small, monkeypatch, tmp_path):
    picture(small / "猫.png")
    with open(tmp_path / "out", "w", encoding="ascii") as out:
        monkeypatch.setattr(sys, "stdout", out)
        assert main([str(small)]) == 0
    assert r"\u732b.png: in no class folder" in (tmp_path / "out").read_text("ascii")


def test_patients_stay_together_and_the_seed_decides(tmp_path):
    root = tree(tmp_path / "x", cat=60, dog=40)
    made = index(root, patient=r"([cd]\d\d)_")
    first, rows = made.labels_csv.read_bytes(), rows_of(made.labels_csv)
    assert first.startswith(b"file,label,split,class,patient\n") and made.patients == 50
    assert {(r["patient"], r["split"]) for r in rows} == {(r["file"][4:7], r["split"]) for r in rows}
    assert len({(r["patient"], r["split"]) for r in rows}) == 50
    assert made.counts == {
        "train": {0: 36, 1: 24},
        "validation": {0: 12, 1: 8},
        "test": {0: 12, 1: 8},
    }
    read_labels(root)  # which refuses a patient in two splits
    assert index(root, patient=r"([cd]\d\d)_", force=True).labels_csv.read_bytes() == first
    assert index(root, patient=r"[cd]\d\d(?=_)", force=True).labels_csv.read_bytes() == first  # no group
    assert index(root, patient=r"([cd]\d\d)_", seed=1, force=True).labels_csv.read_bytes() != first


def groups(patients):
    """Counts by class, those of 0 left out."""
    return {who: {str(c): n for c, n in enumerate(counts) if n} for who, counts in patients.items()}


@pytest.mark.parametrize(
    "patients",
    [
        {f"{label}{i}": [1 - label, label] for label in (0, 1) for i in range(3)},
        {"giant": [100, 0], "b": [1, 0], "c": [1, 0], "d": [0, 1], "e": [0, 1], "f": [0, 1]},
        {"giant": [500, 300], "b": [1, 0], "c": [1, 0], "d": [0, 1], "e": [0, 1]},
        {"a": [1, 1], "b": [1, 1], "c": [40, 90]},
        {"a": [9, 9], "b": [9, 9], "c": [1, 0], "d": [0, 1]},
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_every_split_has_both_labels_at_awkward_sizes(patients, seed):
    chosen = draw(groups(patients), SHARES, seed)
    assert set(chosen) == set(patients)
    for split in ("train", "validation", "test"):
        own = [patients[p] for p in chosen if chosen[p] == split]
        assert min(sum(counts) for counts in zip(*own, strict=True)) > 0
    assert "giant" not in chosen or chosen["giant"] == "train"


def test_splits_of_any_sizes():
    rng = random.Random(0)
    for seed in range(2000):
        patients = {}
        for i in range(rng.randint(3, 9)):
            zeros, ones = rng.choice([1, 2, 5, 300]), rng.choice([1, 2, 5, 300])
            patients[str(i)] = rng.choice([[zeros, 0], [0, ones], [zeros, ones]])
        if min(sum(counts[label] > 0 for counts in patients.values()) for label in (0, 1)) >= 3:
            chosen = draw(groups(patients), SHARES, seed)
            for split in ("train", "validation", "test"):
                own = [patients[p] for p in chosen if chosen[p] == split]
                assert min(sum(counts) for counts in zip(*own, strict=True)) > 0, patients


def test_shares_with_patients_of_very_different_sizes():
    rng = random.Random(0)
    patients = {}
    for i in range(3000):
        pictures = min(100, int(rng.paretovariate(1.2)))
        ones = sum(rng.random() < 0.05 for _ in range(pictures))
        patients[f"{i:05}"] = [pictures - ones, ones]
    chosen = draw(groups(patients), SHARES, 0)
    for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        own = [patients[p] for p in patients if chosen[p] == split]
        assert len(own) / len(patients) == pytest.approx(share, abs=0.01)  # and not only the small ones
        for label in (0, 1):
            total = sum(counts[label] for counts in patients.values())
            assert sum(counts[label] for counts in own) / total == pytest.approx(share, abs=0.01)


def test_positive(tmp_path):
    root = tree(tmp_path / "x", ant=4, bee=4, cow=4)
    assert index(root).classes == {"ant": 0, "bee": 1, "cow": 2}
    assert index(root, positive="bee", force=True).classes == {"ant": 0, "bee": 1, "cow": 0}
    data = read_labels(root)
    assert data.labels.tolist() == [0] * 4 + [1] * 4 + [0] * 4 and data.classes == ("not bee", "bee")
    refused(ValueError, "no class 'be'.* 'ant', 'bee', 'cow'", root, positive="be", force=True)
    two = tree(tmp_path / "y", ant=4, bee=4)
    assert index(two, positive="ant").classes == {"ant": 1, "bee": 0}


def test_too_few_classes_or_patients(tmp_path):
    (tmp_path / "none").mkdir()
    refused(ValueError, "two or more class folders.*none", tmp_path / "none")
    refused(ValueError, "two or more class folders.*'cat'", tree(tmp_path / "one", cat=6))
    few = tree(tmp_path / "few", cat=2, dog=6)
    refused(ValueError, "at least 3 different pictures of each class, or patients.*; 'cat' has 2 ", few)
    refused(ValueError, "at least 3 .* patients.*; 'cat' has 1 .*Leave a class out", few, patient=r"(...)_")
    refused(NotADirectoryError, "nowhere", tmp_path / "nowhere")
    assert not list(tmp_path.rglob("labels.csv"))


def test_a_class_without_a_good_picture(small):
    (small / "eel").mkdir()
    refused(ValueError, "class 'eel' has no good picture; it holds no file", small, positive="dog")
    for name in ("b.png", "a.png"):
        (small / "eel" / name).touch()
    text = refused(ValueError, "class 'eel' has no good picture", small, positive="dog")
    assert text.endswith("'eel/a.png': an empty file") and str(small) not in text


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "not a regular expression"),
        (r"(\d{8})_", r"not found in 14 of 14 good files, the first of them 'cat/c00_0.png'"),
        (r"(c\d\d)_", r"not found in 8 of 14 good files, the first of them 'dog/d00_0.png'"),
        (r"(d\d\d)?_", r"not found in 6 of 14 good files"),
        (r"(x*)_", "empty name in 'cat/c00_0.png'"),
        (r"\s*", "empty name"),
    ],
)
def test_patterns_that_find_no_patient(small, pattern, said):
    refused(ValueError, said, small, patient=pattern)
    assert not (small / "labels.csv").exists()


def test_bad_files_need_no_patient(small):
    (small / "cat" / "README.txt").write_text("Cats.")
    assert index(small, patient=r"(...)_\d").patients == 7


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True])
def test_wrong_seed(small, seed):
    refused(ValueError, "seed", small, seed=seed)


def test_an_existing_table_is_replaced_only_by_force(small):
    (small / "labels.csv").write_text("my own\n")
    text = refused(FileExistsError, "--force", small)
    assert str(small / "labels.csv") in text and (small / "labels.csv").read_text() == "my own\n"
    assert index(small, force=True).bad == {}  # the old table is no bad file
    assert len(read_labels(small)) == 14
    assert sorted(p.name for p in small.iterdir()) == ["cat", "dog", "labels.csv"]


def test_a_table_that_appears_meanwhile_is_kept(small, monkeypatch):
    def load_and_write(path, **_):
        (small / "labels.csv").write_text("another's\n")
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(_pictures, "load_image", load_and_write)
    refused(FileExistsError, "--force", small)
    assert (small / "labels.csv").read_text() == "another's\n"


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("where", "copy"),
    [
        ("_pictures.load_image", False),
        ("_pictures.load_image", True),
        ("index_folder.write_labels", False),
        ("index_folder.write_labels", True),
        ("index_folder.os.replace", False),
        ("index_folder.os.replace", True),
        ("index_folder.shutil.copyfileobj", True),
    ],
)
def test_an_interrupted_run_leaves_and_loses_nothing(small, tmp_path, monkeypatch, where, copy):
    (small / "labels.csv").write_text("my own\n")
    before = contents(small)
    with monkeypatch.context() as patch:
        patch.setattr(f"data_scripts.{where}", interrupt)
        with pytest.raises(KeyboardInterrupt):
            index(small, to=tmp_path / "new" if copy else None, force=True)
    assert contents(small) == before and list(tmp_path.iterdir()) == [small]
    assert sorted(p.name for p in small.iterdir()) == ["cat", "dog", "labels.csv"]


def test_to_copies_the_good_pictures(messy, tmp_path):
    root, bad = messy
    before = set(os.listdir(root))
    (tmp_path / "empty").mkdir()
    for to in (tmp_path / "deep" / "er" / "new", tmp_path / "empty"):
        made = index(root, to=to)
        assert made.labels_csv == to / "labels.csv" and list(made.bad) == list(bad)
        copies = contents(to)
        assert copies.keys() == {row["file"] for row in rows_of(made.labels_csv)} | {"labels.csv"}
        assert all(
            data == (root / name).read_bytes() for name, data in copies.items() if name != "labels.csv"
        )
        assert not any(path.is_symlink() for path in to.rglob("*"))
        assert len(read_labels(to)) == len(copies) - 1
        assert WINDOWS or oct(to.stat().st_mode) == oct((tmp_path / "messy").stat().st_mode)
    assert set(os.listdir(root)) == before
    assert not [path for path in tmp_path.rglob("*") if "index_folder" in path.name]
    beside = index(root).labels_csv.read_bytes()
    assert beside == (tmp_path / "empty" / "labels.csv").read_bytes()


def test_to_where_it_must_not_be(small, tmp_path):
    for to in (small, small / "cat" / "new", tmp_path):
        refused(ValueError, "neither lie in", small, to=to)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").touch()
    for force in (False, True):
        refused(FileExistsError, "new or empty", small, to=tmp_path / "full", force=force)
        refused(FileExistsError, "new or empty", small, to=tmp_path / "full" / "mine", force=force)
    refused(PermissionError, "cannot be written to", small, to=tmp_path / "full" / "mine" / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["full", "small"]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_read_only_folder_is_noticed_before_any_picture_is_opened(small, tmp_path, monkeypatch, code):
    make = index_folder.tempfile.mkdtemp

    def mkdtemp(*_, dir, **more):
        if Path(dir) == small:
            raise OSError(code, os.strerror(code), str(dir))
        return make(*_, dir=dir, **more)

    monkeypatch.setattr(index_folder.tempfile, "mkdtemp", mkdtemp)
    with monkeypatch.context() as patch:
        patch.setattr(_pictures, "load_image", interrupt)
        text = refused(PermissionError, "--to OTHER", small)
    assert str(small) in text and os.strerror(code) in text
    assert len(read_labels(index(small, to=tmp_path / "new").labels_csv)) == 14


def test_a_folder_that_cannot_be_read_is_reported(small, monkeypatch):
    (small / "cat" / "closed").mkdir()
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(index_folder.os, "scandir", scandir)
    assert index(small).bad == {"cat/closed": "the folder cannot be read (Permission denied)"}


def test_a_file_that_cannot_be_read_is_reported_without_its_whole_path(small, monkeypatch):
    opened = open

    def closed(path, *more, **named):
        if str(path).endswith("c00_0.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *more, **named)

    with monkeypatch.context() as patch:
        patch.setattr("builtins.open", closed)
        bad = index(small).bad
    assert bad == {"cat/c00_0.png": "cannot be read (Permission denied): the image is not at fault"}


def test_the_progress_bar_is_shown_when_asked(small, tmp_path, capfd):
    index(small, to=tmp_path / "new", progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "opening" in err and "copying" in err and "14/14" in err


def test_command_line(small, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    text = capsys.readouterr().out
    options = ("FOLDER", "--positive", "--patient", "--seed", "--force", "--to")
    assert end.value.code == 0 and all(option in text for option in options)
    to = tmp_path / "new"
    arguments = [str(small), "--positive", "cat", "--patient", "(...)_", "--seed", "3", "--to", str(to)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(to / "labels.csv")
    assert rows_of(to / "labels.csv")[0]["label"] == "1"
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("python -m data_scripts.index_folder: error: ")
    assert err.count("\n") == 1 and str(to) in err


def test_copies_are_reported_and_share_a_split(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        for label in ("ill", "well"):
            place = tmp_path / label
            place.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (8, 8)).astype(np.uint8)).save(place / f"{number:02}.png")
    for number in range(12):
        shutil.copy(tmp_path / "ill" / f"{number:02}.png", tmp_path / "ill" / f"again {number}.png")
    shutil.copy(tmp_path / "ill" / "00.png", tmp_path / "well" / "sick.png")
    found = index(tmp_path)
    split_of = {row["file"]: row["split"] for row in rows_of(found.labels_csv)}
    assert len(split_of) == 53 and len(found.copies) == 12
    for group in found.copies:
        assert len({split_of[name] for name in group}) == 1
    said = (
        "12 pictures in several copies, each in one split only, and 1 of them in several classes; the first: "
    )
    assert f"{said}ill/00.png, ill/again 0.png, well/sick.png" in found.report()
