"""The folder that stands for one's own: one sub-folder a class, in colour, made once."""

import numpy as np
import pytest
from PIL import Image

from course_utils import color_mode_of, read_labels
from data_scripts import make_flowers
from data_scripts.index_folder import index


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_flowers.ensure(tmp_path_factory.mktemp("flowers") / "new", each=4)


def test_five_classes_in_colour_that_differ_in_size(folder):
    files = sorted(folder.rglob("*.png"))
    assert [place.name for place in sorted(folder.iterdir())] == list(make_flowers.FLOWERS)
    assert len(files) == 20 and color_mode_of(files) == "rgb"
    assert len({Image.open(file).size for file in files}) > 10
    means = [np.asarray(Image.open(file)).mean(axis=(0, 1)) for file in files]
    assert len(np.unique(np.round(means, 3), axis=0)) == 20  # no two alike


def test_its_table_is_read_and_the_folder_is_indexed_like_any_other(folder, tmp_path):
    data = read_labels(folder.parent)
    assert data.classes == tuple(make_flowers.FLOWERS) and np.bincount(data.labels).tolist() == [4] * 5
    made = index(folder, to=tmp_path / "indexed")
    assert read_labels(made.labels_csv).classes == data.classes


def test_it_is_found_again_and_repeats(folder, tmp_path, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert make_flowers.ensure(folder.parent, each=4) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    monkeypatch.setenv("COURSE_FLOWERS", str(tmp_path / "other"))
    again = make_flowers.ensure(each=4)
    assert again == tmp_path / "other" / "images"
    for path in folder.rglob("*.png"):
        assert path.read_bytes() == (again / path.relative_to(folder)).read_bytes()
    other = make_flowers.ensure(tmp_path / "seed", each=4, seed=1)
    assert (other / "rose/00.png").read_bytes() != (folder / "rose/00.png").read_bytes()


def test_what_is_not_its_own_is_left_alone(folder, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert make_flowers.main([str(tmp_path)]) == 2
    assert "was not made by this program" in capsys.readouterr().err
    assert make_flowers.main([str(folder.parent), "--each", "5"]) == 2
    assert "--force" in capsys.readouterr().err
    with pytest.raises(ValueError, match="each must be a whole number"):
        make_flowers.ensure(tmp_path / "new", each=0)
    lost = make_flowers.ensure(tmp_path / "lost", each=2)
    (lost / "rose" / "01.png").unlink()
    with pytest.raises(FileExistsError, match="9 of 10 pictures are left"):
        make_flowers.ensure(tmp_path / "lost", each=2)
    assert make_flowers.ensure(tmp_path / "lost", each=2, force=True) == lost
    assert len(list(lost.rglob("*.png"))) == 10
