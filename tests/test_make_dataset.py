"""The drawn pictures: the same every time, labelled as described, and safe to interrupt."""

import csv
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_utils import load_image, read_labels
from data_scripts import make_dataset as md
from tests.running import run, start

ROOT = Path(__file__).resolve().parent.parent
SMALL = {"images": 40, "size": 64}


@pytest.fixture(autouse=True)
def no_course_data(monkeypatch):
    monkeypatch.delenv("COURSE_DATA", raising=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return md.ensure(tmp_path_factory.mktemp("made") / "xrays", **SMALL)


def rows_of(labels):
    with open(labels, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def contents(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


def auc(labels, values):
    labels, values = np.asarray(labels), np.asarray(values)
    return float(np.mean(np.sign(values[labels == 1][:, None] - values[labels == 0][None, :]))) / 2 + 0.5


def test_same_arguments_same_bytes_and_another_seed_others(made, tmp_path):
    again = md.ensure(tmp_path / "again", **SMALL)
    other = md.ensure(tmp_path / "other", **SMALL, seed=1)
    assert contents(again.parent) == contents(made.parent)
    assert contents(other.parent)["images/p0001_1.png"] != contents(made.parent)["images/p0001_1.png"]


def test_a_picture_does_not_depend_on_how_many_there_are(made, tmp_path):
    fewer, more = contents(md.ensure(tmp_path / "f", images=17, size=64).parent), contents(made.parent)
    shared = [name for name in fewer if name.endswith(".png") and name in more]
    assert len(shared) >= 16
    assert all(fewer[name] == more[name] for name in shared)
    assert len([name for name in fewer if name.endswith(".png")]) == 17


def test_labels_csv(made):
    assert made.is_absolute() and made.name == "labels.csv" and md.is_made(made)
    assert (
        made.read_bytes().startswith(b"file,label,side,patient,split,x,y,radius\n")
        and b"\r" not in made.read_bytes()
    )
    rows = rows_of(made)
    assert len(rows) == SMALL["images"] == len(list((made.parent / "images").iterdir()))
    assert [r["file"] for r in rows] == sorted(r["file"] for r in rows)
    for row in rows:
        assert row["file"].startswith(f"images/{row['patient']}_")
        assert (row["label"], row["side"]) in {("0", "0"), ("1", "-1"), ("1", "1")}
        assert (row["x"] != "") == (row["radius"] != "") == (row["label"] == "1")
        assert row["label"] == "0" or (float(row["x"]) > 0.5) == (row["side"] == "1")
        with Image.open(made.parent / row["file"]) as picture:
            assert (picture.format, picture.mode, picture.size) == ("PNG", "L", (64, 64))


@pytest.mark.parametrize("images", [16, 17, 23, 40, 101, 720, 3001])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_patients_and_splits(images, seed):
    shots = md._shots(images, seed)
    assert len(shots) == images == len({s.file for s in shots})
    patients = {p: [s for s in shots if s.patient == p] for p in {s.patient for s in shots}}
    assert all(2 <= len(own) <= 6 and len({s.split for s in own}) == 1 for own in patients.values())
    for split, share in (("train", 0.6), ("validation", 0.2), ("test", 0.2)):
        own = [s for s in shots if s.split == split]
        assert {s.label for s in own} == {0, 1}
        if images >= 720:
            assert abs(len(own) / images - share) < 0.06
            assert abs(np.mean([s.label for s in own]) - 0.5) < 0.04
            assert abs(sum(s.side for s in own)) < 0.12 * len(own)


def test_side_is_where_the_lesion_was_drawn():
    for shot in md._shots(60, 3):
        picture, spot = md._draw(shot, 96, 3)
        clean, _ = md._draw(shot, 96, 3, with_lesion=False)
        gain = picture.astype(float) - clean
        if not shot.side:
            assert spot is None and not gain.any()
            continue
        rows, cols = np.nonzero(gain > 0.5 * gain.max())
        assert np.sign(cols.mean() - 47.5) == np.sign(spot[0] - 48) == shot.side
        assert np.hypot(cols.mean() - spot[0], rows.mean() - spot[1]) < spot[2]
        assert 8 < np.abs(gain).max() < 160  # visible, but no beacon


def test_heart_and_marker_are_on_the_right():
    shots = md._shots(40, 5)
    mean = np.mean([md._draw(s, 128, 5, with_lesion=False)[0] for s in shots], axis=0)
    heart = slice(70, 84)
    assert mean[heart, 78:90].mean() > mean[heart, 38:50].mean() + 15
    corner = mean[3:16, 112:123] - mean[3:16, 5:16][:, ::-1]  # against the mirrored picture
    assert corner.mean() > 5 and corner.max() > 15


def test_the_same_picture_at_any_size():
    shot = md._shots(16, 0)[0]
    small = md._draw(shot, 64, 0)[0].astype(float)
    large = Image.fromarray(md._draw(shot, 512, 0)[0]).resize((64, 64), Image.Resampling.BOX)
    assert np.corrcoef(small.ravel(), np.asarray(large, float).ravel())[0, 1] > 0.97


def test_labels_do_not_show_in_simple_statistics(tmp_path):
    labels = md.ensure(tmp_path / "x", images=400, size=64)
    rows = rows_of(labels)
    truth = [int(r["label"]) for r in rows]
    pictures = [np.asarray(Image.open(labels.parent / r["file"])) for r in rows]
    for values in (
        [p.mean() for p in pictures],
        [p.std() for p in pictures],
        [(labels.parent / r["file"]).stat().st_size for r in rows],
        range(len(rows)),
        [int(r["file"][-5]) for r in rows],
    ):
        assert 0.4 < auc(truth, list(values)) < 0.6


def test_exposure_varies():
    means = [md._draw(s, 64, 0)[0].mean() for s in md._shots(40, 0)]
    assert max(means) > 1.4 * min(means)


def test_a_second_call_writes_nothing_and_prints_nothing(made, capfd):
    before = {p: p.stat().st_mtime_ns for p in made.parent.rglob("*")}
    assert md.ensure(made.parent, **SMALL) == made
    assert {p: p.stat().st_mtime_ns for p in made.parent.rglob("*")} == before
    assert capfd.readouterr() == ("", "")


def test_drawing_prints_nothing_unless_asked(tmp_path, capfd):
    md.ensure(tmp_path / "a", images=16, size=32)
    assert capfd.readouterr() == ("", "")
    md.ensure(tmp_path / "b", images=16, size=32, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "16/16" in err


def test_a_killed_run_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "xrays"
    maker = start("-m", "data_scripts.make_dataset", folder, "--images", 5000, "--size", 64)
    while maker.poll() is None and len(list(tmp_path.glob(".xrays.making-*/new/images/*.png"))) < 5:
        time.sleep(0.02)
    maker.kill()
    maker.communicate()
    assert not folder.exists() and len(list(tmp_path.iterdir())) == 1
    labels = md.ensure(folder, **SMALL)
    assert list(tmp_path.iterdir()) == [folder] and len(rows_of(labels)) == SMALL["images"]


def test_leftovers_of_a_running_process_stay(tmp_path):
    other = tmp_path / f".xrays.making-{os.getppid()}-abc"
    mine = tmp_path / ".my.notes.making-1-x"
    other.mkdir(), mine.mkdir()
    md.ensure(tmp_path / "xrays", images=16, size=32)
    assert other.exists() and mine.exists()


def test_an_error_while_drawing_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(md, "_draw", fail)
    with pytest.raises(OSError, match="disk full"):
        md.ensure(tmp_path / "xrays", **SMALL)
    assert not list(tmp_path.iterdir())


def test_two_makers_at_once(made, tmp_path):
    command = ("-m", "data_scripts.make_dataset", tmp_path / "xrays", "--images", 40, "--size", 64)
    makers = [start(*command) for _ in range(2)]
    ends = [maker.communicate() for maker in makers]
    assert [maker.returncode for maker in makers] == [0, 0], ends
    assert [out.strip() for out, _ in ends] == [str((tmp_path / "xrays").resolve() / "labels.csv")] * 2
    assert list(tmp_path.iterdir()) == [tmp_path / "xrays"]
    assert contents(tmp_path / "xrays") == contents(made.parent)


def test_overtaken_while_drawing(made, tmp_path, monkeypatch):
    draw, folder = md._write, tmp_path / "xrays"

    def overtaken(*arguments):
        draw(*arguments)
        monkeypatch.setattr(md, "_write", draw)
        md.ensure(folder, **SMALL)

    monkeypatch.setattr(md, "_write", overtaken)
    assert contents(md.ensure(folder, **SMALL).parent) == contents(made.parent)
    assert list(tmp_path.iterdir()) == [folder]


def test_course_data(made, tmp_path, monkeypatch):
    for named in (made, made.parent):
        monkeypatch.setenv("COURSE_DATA", str(named))
        assert md.ensure() == made
    missing = tmp_path / "nowhere"
    for named in (missing, tmp_path):
        monkeypatch.setenv("COURSE_DATA", str(named))
        with pytest.raises(FileNotFoundError, match="COURSE_DATA") as error:
            md.ensure()
        assert str(named) in str(error.value)
    assert not list(tmp_path.iterdir())
    own = tmp_path / "labels.csv"
    own.write_text("file,label\n", encoding="utf-8")
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    assert md.ensure() == own.resolve() and not md.is_made(own)
    with pytest.raises(ValueError, match="force"):
        md.ensure(force=True)


def test_other_arguments_than_before(tmp_path):
    folder = tmp_path / "xrays"
    md.ensure(folder, images=16, size=32)
    with pytest.raises(FileExistsError, match="--force") as error:
        md.ensure(folder, images=16, size=48)
    assert str(folder.resolve()) in str(error.value)
    assert "'size': 32" in str(error.value) and "'size': 48" in str(error.value)
    md.ensure(folder, images=16, size=48, force=True)
    assert json.loads((folder / "dataset.json").read_text())["arguments"]["size"] == 48
    assert list(tmp_path.iterdir()) == [folder]


def test_lost_files_are_noticed(tmp_path):
    labels = md.ensure(tmp_path / "xrays", images=16, size=32)
    (labels.parent / "images" / "p0001_1.png").unlink()
    with pytest.raises(FileExistsError, match="15 of 16"):
        md.ensure(labels.parent, images=16, size=32)


@pytest.mark.parametrize("force", [False, True])
def test_files_of_others_are_never_touched(tmp_path, force):
    folder = tmp_path / "mine"
    (folder / "images").mkdir(parents=True)
    (folder / "labels.csv").write_text("my own\n", encoding="utf-8")
    (folder / "images" / "p0001_1.png").write_bytes(b"mine")
    before = contents(folder)
    with pytest.raises(FileExistsError, match="not made by this program"):
        md.ensure(folder, **SMALL, force=force)
    assert contents(folder) == before and list(tmp_path.iterdir()) == [folder]


def test_force_spares_what_was_added(tmp_path):
    labels = md.ensure(tmp_path / "xrays", images=16, size=32)
    (labels.parent / "model.keras").write_bytes(b"a night's work")
    with pytest.raises(FileExistsError, match="model.keras"):
        md.ensure(labels.parent, images=16, size=32, force=True)
    assert (labels.parent / "model.keras").read_bytes() == b"a night's work"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("images", 15),
        ("images", 10**6 + 1),
        ("size", 31),
        ("size", 4097),
        ("seed", -1),
        ("size", 64.0),
        ("images", "40"),
        ("seed", True),
    ],
)
def test_wrong_arguments(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a whole number from"):
        md.ensure(tmp_path / "x", **{name: value})
    assert not list(tmp_path.iterdir())


def test_command_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        md.main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and all(
        o in text for o in ("FOLDER", "--images", "--size", "--seed", "--force")
    )
    assert md.main([str(tmp_path / "x"), "--images", "3"]) == 2
    assert "images" in capsys.readouterr().err
    assert md.main([str(tmp_path / "x"), "--images", "16", "--size", "32"]) == 0
    assert capsys.readouterr().out.strip().endswith("labels.csv")


def test_needs_no_tensorflow():
    run("-c", "import sys, data_scripts.make_dataset; sys.exit('keras' in sys.modules)")


def test_a_linear_model_on_pixels_learns_little(xrays):
    """The bar for notebook 01, whose small network claims an AUC above 0.75 on the same patients."""
    data = read_labels(xrays)

    def split(name):
        part = data.split(name)
        return np.stack([load_image(path, (32, 32)).ravel() for path in part.paths]), part.labels

    (pixels, labels), (unseen, truth) = split("train"), split("validation")
    mean, deviation = pixels.mean(axis=0), pixels.std(axis=0) + 1e-6
    pixels, unseen = (pixels - mean) / deviation, (unseen - mean) / deviation
    likeness = pixels @ pixels.T
    best = 0.0
    for penalty in 10.0 ** np.arange(7):  # ridge regression; the best of seven, chosen in its favour
        weights = pixels.T @ np.linalg.solve(likeness + penalty * np.eye(len(pixels)), labels - labels.mean())
        scores = unseen @ weights
        best = max(best, (scores[truth == 1][:, None] > scores[truth == 0]).mean())
    assert 0.5 < best < 0.7
