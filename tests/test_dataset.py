import time

import numpy as np
import pytest

from course_utils import ImageSequence
from course_utils.dataset import read_labels
from tests.running import fresh, least


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
        (
            "file,label\na.png,2\n",
            "labels must be 0 to K - 1, and one goes up to 2, but no image has label 0",
        ),
        ("file,label\na.png,cat\n", "line 2: label must be a whole number, 0 to K - 1, got 'cat'"),
        ("file,label\na.png,\n", "line 2: label must be a whole number"),
        ("file,label\na.png,1.0\n", "line 2: label must be a whole number"),
        (
            "file,label,class\na.png,0,cat\nb.png,0,dog\n",
            "line 3: label 0 is class 'dog' here; above are 'cat'",
        ),
        (
            "file,label,class\na.png,0,cat\nb.png,1,cat\n",
            "line 3: label 1 is class 'cat' here; above are 'cat'",
        ),
        ("file,label,class\na.png,0,\n", "line 2: class must be a name, got ''"),
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
        ("file,label\na.png,0_1\n", "label must be a whole number"),
        ("file,label,patient,split\na.png,1,7,train\nb.png,1, 7,test\n", "patient '7' is in train"),
        ("file,label\n" + "a" * 200_000 + ",1\n", "is not a CSV file after its 0. row (field larger"),
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


# Many classes, and tables of one's own

ISIC = """image,MEL,NV,BCC,patient_id,part,side
ISIC_1,0.0,1.0,0.0,p1,train,left
ISIC_2,1.0,0.0,0.0,p2,validation,right
ISIC_3,0,0,1,p1,train,left
"""


def test_many_classes_keep_their_names(tmp_path):
    table = (
        "file,label,split,class\na.png,2,train,wolf\nb.png,0,test,cat\nc.png,1,train,dog\nd.png,2,test,wolf\n"
    )
    data = read_labels(write(tmp_path, table))
    assert data.classes == ("cat", "dog", "wolf") and data.labels.tolist() == [2, 0, 1, 2]
    assert data.split("test").classes == data.classes and data.split("test").labels.tolist() == [0, 2]
    assert read_labels(write(tmp_path, "file,label\na.png,1\n")).classes == ("0", "1")


def test_names_are_numbered_in_order(tmp_path):
    data = read_labels(write(tmp_path, "file,dx\na.png,wolf\nb.png,cat\nc.png, wolf\n"), classes="dx")
    assert data.classes == ("cat", "wolf") and data.labels.tolist() == [1, 0, 1]
    grades = read_labels(write(tmp_path, "file,grade\na.png,10\nb.png,9\nc.png,10\n"), classes="grade")
    assert grades.classes == ("9", "10") and grades.labels.tolist() == [1, 0, 1]


def test_the_table_of_a_challenge(tmp_path):
    options = {
        "file": "image",
        "suffix": ".jpg",
        "patient": "patient_id",
        "split": "part",
        "folder": tmp_path / "images",
    }
    path = write(tmp_path, ISIC)
    data = read_labels(path, classes=["MEL", "NV", "BCC"], **options)
    assert data.classes == ("MEL", "NV", "BCC") and data.labels.tolist() == [1, 0, 2]
    assert data.paths[0] == str(tmp_path / "images" / "ISIC_1.jpg") and set(data.sides) == {0}
    assert data.patients.tolist() == ["p1", "p2", "p1"] and len(data.split("train")) == 2
    flags = read_labels(path, flags=["MEL", "BCC"], **options)
    assert flags.labels.tolist() == [[0, 0], [1, 0], [0, 1]] and flags.classes == ("MEL", "BCC")
    assert ImageSequence(flags.paths, flags.labels, 2, (8, 8), check_files=False).labels.shape == (3, 2)


def test_a_number_to_predict(tmp_path):
    data = read_labels(write(tmp_path, "file,age\na.png,41.5\nb.png,1e1\n"), number="age")
    assert data.labels.dtype == np.float32 and data.labels.tolist() == [41.5, 10.0] and data.classes == ()


@pytest.mark.parametrize(
    "options, text, said",
    [
        ({"classes": "dx"}, "file,label\na.png,1\n", "must have one column 'dx'"),
        ({"classes": "dx"}, "file,dx\na.png,cat\nb.png,\n", "line 3: dx must be a name, got ''"),
        ({"classes": "dx"}, "file,dx\na.png,cat\nb.png,NaN\n", "line 3: dx must be a name, got 'NaN'"),
        ({"classes": "dx"}, "file,dx\na.png,cat\nb.png,3\n", "line 3: dx must be all names or all numbers"),
        ({"classes": "dx"}, "file,dx\na.png,1\nb.png,cat\n", "all names or all numbers; got 'cat' after '1'"),
        ({"classes": "dx"}, "file,dx\na.png,cat\n", "expected two or more classes in dx, got ['cat']"),
        ({"classes": ["a", "b"]}, "file,a,b\n1.png,1,0\n2.png,1,1\n", "line 3: expected one 1 in a, b"),
        ({"classes": ["a", "b"]}, "file,a,b\n1.png,0,0\n", "line 2: expected one 1 in a, b, got 0"),
        ({"flags": ["a", "b"]}, "file,a,b\n1.png,1,\n", "line 2: b must be 0 or 1, got ''"),
        ({"flags": ["a", "b"]}, "file,a,b\n1.png,1,-1\n", "line 2: b must be 0 or 1, got '-1'"),
        ({"flags": ["a", "b"]}, "file,a,b\n1.png,1,nan\n", "line 2: b must be 0 or 1, got 'nan'"),
        ({"flags": ["a", "b"]}, "file,a\n1.png,1\n", "must have one column 'b'"),
        ({"flags": ["a", "a"]}, "file,a\n1.png,1\n", "flags must be two or more different columns"),
        ({"number": "age"}, "file,age\na.png,nan\n", "line 2: age must be a finite number, got 'nan'"),
        ({"number": "age"}, "file,age\na.png,1e39\n", "line 2: age must be a finite number, got '1e39'"),
        ({"number": "age"}, "file,age\na.png,old\n", "line 2: age must be a finite number, got 'old'"),
        ({"number": "age"}, "file,age\na.png,1_0\n", "line 2: age must be a finite number"),
        ({"patient": "who"}, "file,label\na.png,1\n", "must have one column 'who'"),
        ({"suffix": ".png"}, "file,label\n,1\n", "line 2: file must be a path inside the folder, got ''"),
    ],
)  # fmt: skip
def test_wrong_tables_of_ones_own_name_file_and_line(tmp_path, options, text, said):
    with pytest.raises(ValueError) as error:
        read_labels(write(tmp_path, text), **options)
    assert said in str(error.value) and ("labels.csv" in str(error.value) or "flags" in said)


@pytest.mark.parametrize(
    "options, said",
    [
        (
            {"classes": "a", "number": "b"},
            "expected one of classes, flags and number, got classes and number",
        ),
        ({"number": ["a", "b"]}, "number must be the name of a column"),
        ({"flags": "a"}, "flags must be"),
        ({"flags": 5}, "flags must be"),
        ({"classes": True}, "classes must be"),
        ({"classes": ["a", 1]}, "classes must be"),
    ],
)
def test_wrong_arguments_of_read_labels(tmp_path, options, said):
    with pytest.raises(TypeError, match=said):
        read_labels(write(tmp_path, "file,a,b\n"), **options)


@pytest.mark.parametrize(
    "name", ["a.png", "a/b.c/d e.png", ".hidden.png", "..a.png", "a..png", "größe/胸.png"]
)
def test_plain_names_stay_as_they_are(tmp_path, name):
    data = read_labels(write(tmp_path, f"file,label\n{name},1\n"))
    assert data.paths[0] == str(tmp_path / name)


@pytest.mark.parametrize(
    "name, spelled", [("./a.png", "a.png"), ("a//b.png", "a/b.png"), ("a/./b.png", "a/b.png")]
)
def test_other_spellings_of_a_name_become_one(tmp_path, name, spelled):
    assert read_labels(write(tmp_path, f"file,label\n{name},1\n")).paths[0] == str(tmp_path / spelled)


# Size


def growth_and_time(labels_csv):
    """What a table takes, and how long."""
    from course_utils import PeakMeter

    start = time.perf_counter()
    with PeakMeter() as meter:
        read_labels(labels_csv)
    return meter.growth, time.perf_counter() - start


@pytest.mark.measured
def test_time_and_memory_grow_in_step_with_the_rows(tmp_path):
    tables = {n: tmp_path / f"{n}.csv" for n in (25_000, 100_000)}
    for n, path in tables.items():
        rows = (f"class {i % 5}/patient {i // 9:06}/{i:07}.png,{i % 5},train,p{i // 9:06}" for i in range(n))
        path.write_text("file,label,split,patient\n" + "\n".join(rows), encoding="utf-8")

    def worst():
        (small, brief), (large, long) = (fresh(growth_and_time, path) for path in tables.values())
        print(f"{large / 1e5:.0f} bytes a row; 4 times the rows: {large / small:.1f} and {long / brief:.1f}")
        return max(large / 1e5 / 1000, large / small / 6, long / brief / 10)  # quadratic would be 16

    least(worst, below=1)
