import numpy as np
import pytest

from course_utils.dataset import read_labels


def write(folder, text):
    path = folder / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_made_data_read_back(xrays):
    data = read_labels(xrays)
    assert len(data) == len(data.labels) == len(data.sides) == len(data.patients) == len(data.splits)
    assert set(np.unique(data.labels)) == {0, 1} and ((data.sides != 0) == (data.labels == 1)).all()
    parts = [data.split(name) for name in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(data)
    patients = [set(part.patients) for part in parts]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    assert read_labels(xrays.parent).paths[0] == data.paths[0]  # the folder will do


def test_optional_columns_names_with_commas_and_any_script(tmp_path):
    path = write(tmp_path, 'file,label\n"a, b.png",1\nThorax größe/胸.png,0\n')
    data = read_labels(path)
    assert [p.rsplit("/", 1)[-1] for p in data.paths] == ["a, b.png", "胸.png"]
    assert data.labels.dtype == np.int64 and list(data.labels) == [1, 0]
    assert list(data.sides) == [0, 0] and set(data.splits) == {"train"}
    assert len(data.head(1)) == 1 and len(data.head(10)) == 2


@pytest.mark.parametrize(
    "text, said",
    [
        ("name,label\na.png,1\n", "must have one column 'file'"),
        ("file,label\n", "lists no image"),
        ("file,label\na.png,2\n", "line 2: label must be one of"),
        ("file,label\na.png,cat\n", "line 2: label must be one of"),
        ("file,label\na.png\n", "line 2: expected 2 values"),
        ("file,label\na, b.png,1\n", "line 2: expected 2 values"),
        ("file,label\na.png,1\na.png,0\n", "line 3: 'a.png' is listed twice"),
        ("file,label\n../secret.png,1\n", "inside the folder"),
        ("file,label\n/etc/passwd,1\n", "inside the folder"),
        ("file,label\nC:\\x.png,1\n", "inside the folder"),
        ("file,label\na\\..\\..\\x.png,1\n", "inside the folder"),
        ("file,label\n,1\n", "inside the folder"),
        ("file,label,label\na.png,1,0\n", "must have one column 'label'"),
        ("file,label\n./a.png,1\na.png,0\n", "line 3: 'a.png' is listed twice"),
        ("file,label\n.,1\n", "inside the folder"),
        ("file,label\na.png,0_1\n", "label must be one of"),
        ("file,label,patient,split\na.png,1,7,train\nb.png,1, 7,test\n", "patient '7' is in train"),
        ("file,label\n" + "a" * 200_000 + ",1\n", "is not a CSV file in UTF-8 (field larger"),
        ("file,label,split\na.png,1,valid\n", "split must be one of train, validation, test"),
        (
            "file,label,patient,split\na.png,1,7,train\nb.png,1,7,test\n",
            "patient '7' is in train and in test",
        ),
        ("file,label,side\na.png,1,left\n", "side must be one of"),
    ],
)
def test_wrong_tables_name_file_and_line(tmp_path, text, said):
    with pytest.raises(ValueError) as error:
        read_labels(write(tmp_path, text))
    assert said in str(error.value) and "labels.csv" in str(error.value)


def test_missing_table_and_empty_split(tmp_path):
    with pytest.raises(FileNotFoundError, match="no labels.csv at"):
        read_labels(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="no image in split 'test'"):
        read_labels(write(tmp_path, "file,label\na.png,1\n")).split("test")


def test_another_encoding_is_named(tmp_path):
    (tmp_path / "labels.csv").write_bytes("file,label\nThorax größe.png,1\n".encode("latin-1"))
    with pytest.raises(ValueError, match="labels.csv is not a CSV file in UTF-8"):
        read_labels(tmp_path)
