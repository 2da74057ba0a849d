"""Fetching: from a server of our own on 127.0.0.1, with every way it can go wrong."""

import contextlib
import csv
import hashlib
import http.server
import io
import json
import os
import pickle
import socket
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_utils import read_labels
from data_scripts import _folders
from data_scripts import fetch_dataset as fd
from data_scripts import make_dataset as md
from tests.running import run

ROOT = Path(__file__).resolve().parent.parent
COUNTS = {"train": 9, "val": 3, "test": 4}


def arrays(**changed):
    rng = np.random.default_rng(0)
    made = {}
    for split, n in COUNTS.items():
        made[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        made[f"{split}_labels"] = rng.integers(0, 2, (n, 1), dtype=np.uint8)
    return {name: array for name, array in (made | changed).items() if array is not None}


def npz(save=np.savez_compressed, **changed):
    file = io.BytesIO()
    save(file, **arrays(**changed))
    return file.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        self.server.answer(self)

    def log_message(self, *_):
        pass


def send(handler, body, status=200, length=None, **headers):
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture
def server(monkeypatch):
    """Serves `body`, whose checksum is in the table; `answer` says how."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests, server.over = [], threading.Event()
    server.address = f"http://127.0.0.1:{server.server_address[1]}/set.npz?download=1"

    def serve(body, address=server.address, md5=None):
        server.body = body
        md5 = md5 or hashlib.md5(body).hexdigest()
        monkeypatch.setattr(fd, "ARCHIVES", {224: (address, md5), 28: (address, md5)})

    server.serve = serve
    server.answer = lambda handler: send(handler, server.body)
    serve(npz())
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@contextlib.contextmanager
def fails(folder, error, match):
    """It raises, in one line, and leaves neither the folder nor anything beside it."""
    before = sorted(folder.parent.iterdir())
    with pytest.raises(error, match=match) as caught:
        yield caught
    assert "\n" not in str(caught.value)
    assert not folder.exists() and sorted(folder.parent.iterdir()) == before


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_pictures_labels_and_splits(server, tmp_path, save, capfd):
    server.serve(npz(save))
    labels = fd.fetch(tmp_path / "set", size=28)
    assert labels == (tmp_path / "set" / "labels.csv").resolve() and list(tmp_path.iterdir()) == [
        labels.parent
    ]
    assert capfd.readouterr() == ("", "")  # neither bars nor pooch's log
    with open(labels, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "label", "split"]
    assert [r["file"] for r in rows] == sorted(r["file"] for r in rows)
    data, known = read_labels(labels), arrays()
    for theirs, ours in (("train", "train"), ("val", "validation"), ("test", "test")):
        split = data.split(ours)
        assert [Path(p).name for p in split.paths] == [f"{ours}_{k:05d}.png" for k in range(COUNTS[theirs])]
        assert (split.labels == known[f"{theirs}_labels"].ravel()).all()
        for path, pixels in zip(split.paths, known[f"{theirs}_images"], strict=True):
            with Image.open(path) as picture:
                assert (picture.format, picture.mode) == ("PNG", "L")
                assert (np.asarray(picture) == pixels).all()


def test_dataset_json_names_source_licence_and_credit(server, tmp_path):
    marker = json.loads((fd.fetch(tmp_path / "set", size=28).parent / "dataset.json").read_text())
    assert marker["program"] == "data_scripts.fetch_dataset" and marker["arguments"] == {"size": 28}
    assert marker["source"] == server.address and marker["licence"] == "CC BY 4.0" and marker["images"] == 16
    assert "Yang" in marker["credit"] and "Kermany" in marker["credit"]


def test_a_second_call_downloads_nothing(server, tmp_path):
    first = fd.fetch(tmp_path / "set", size=28)
    assert len(server.requests) == 1
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert fd.fetch(tmp_path / "set", size=28) == first and len(server.requests) == 1
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert fd.fetch(tmp_path / "set", size=28, force=True) == first and len(server.requests) == 2
    assert list(tmp_path.iterdir()) == [first.parent]


def test_labels_without_second_axis_and_the_default_folder(server, tmp_path, monkeypatch):
    labels = {f"{s}_labels": np.arange(n, dtype=np.int64) % 2 for s, n in COUNTS.items()}
    server.serve(npz(**labels))
    monkeypatch.setattr(fd, "default_folder", lambda name: tmp_path / "data" / name)
    assert fd.fetch(size=28).parent == tmp_path / "data" / "pneumoniamnist_28"
    assert _folders.default_folder("x") == ROOT / "data" / "x"


def test_wrong_checksum(server, tmp_path):
    server.serve(server.body, md5="0" * 32)
    with fails(tmp_path / "set", ConnectionError, f"checksum {'0' * 32}.*--archive") as caught:
        fd.fetch(tmp_path / "set", size=28)
    assert server.address in str(caught.value)


def test_connection_cut(server, tmp_path):
    def cut(handler):
        send(handler, server.body[:-500], length=len(server.body))
        handler.close_connection = True

    server.answer = cut
    with fails(tmp_path / "set", ConnectionError, "IncompleteRead.*500.*[Tt]ry again.*--archive"):
        fd.fetch(tmp_path / "set", size=28)
    server.answer = lambda handler: send(handler, server.body)
    assert fd.fetch(tmp_path / "set", size=28).is_file()  # and the next attempt gets it all


@pytest.mark.parametrize("status", [404, 500])
def test_the_server_refuses(server, tmp_path, status):
    server.answer = lambda handler: send(handler, b"sorry", status)
    with fails(tmp_path / "set", ConnectionError, str(status)) as caught:
        fd.fetch(tmp_path / "set", size=28)
    assert server.address in str(caught.value)


@pytest.mark.parametrize("length", ["many", "-5"])
def test_a_nonsensical_length(server, tmp_path, length):
    def answer(handler):
        send(handler, server.body[:100], length=length)
        handler.close_connection = True

    server.answer = answer
    with fails(tmp_path / "set", ConnectionError, "127.0.0.1"):
        fd.fetch(tmp_path / "set", size=28)


def test_nobody_listens(server, tmp_path):
    with socket.socket() as taken:  # bound, so that nobody else takes it, but not listening
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/set.npz"
        server.serve(server.body, address=address)
        with fails(tmp_path / "set", ConnectionError, "refused") as caught:
            try:
                raise RuntimeError("something of the caller's")
            except RuntimeError:
                fd.fetch(tmp_path / "set", size=28)
    assert str(caught.value).startswith(address) and "caller" not in str(caught.value)


@pytest.mark.parametrize("address", ["file:///etc/hostname", "ftp://127.0.0.1/set.npz"])
@pytest.mark.parametrize("redirected", [False, True])
def test_only_http(server, tmp_path, address, redirected):
    if redirected:
        server.answer = lambda handler: send(handler, b"", 302, Location=address)
    else:
        server.serve(server.body, address=address)
    with fails(tmp_path / "set", ConnectionError, "No connection adapters"):
        fd.fetch(tmp_path / "set", size=28)


def test_redirects_are_followed(server, tmp_path):
    def redirect(handler):
        if "moved" in handler.path:
            send(handler, server.body)
        else:
            send(handler, b"", 302, Location="/moved")

    server.answer = redirect
    assert len(read_labels(fd.fetch(tmp_path / "set", size=28))) == 16
    assert server.requests == ["/set.npz?download=1", "/moved"]


@pytest.mark.parametrize("before_the_headers", [True, False])
def test_a_server_that_stalls(server, tmp_path, before_the_headers):
    def stall(handler):
        if not before_the_headers:
            send(handler, server.body[:100], length=len(server.body))
        server.over.wait(10)

    server.answer = stall
    with fails(tmp_path / "set", ConnectionError, "timed out"):
        fd.fetch(tmp_path / "set", size=28, timeout=0.1)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("name", ["train_images", "test_labels"])
def test_pickles_are_refused_and_never_run(server, tmp_path, name):
    bomb = Bomb()
    bomb.path = str(tmp_path / "exploded")
    array = np.empty(COUNTS["test"], dtype=object)
    array[:] = bomb
    server.serve(npz(**{name: array}))
    assert b"mkdir" in pickle.dumps(bomb)
    with fails(tmp_path / "set", ValueError, f"{name}.*object"):
        fd.fetch(tmp_path / "set", size=28)


@pytest.mark.parametrize(
    ("name", "array", "match"),
    [
        ("val_images", None, r"no array 'val_images'; expected uint8 \(n, 28, 28\)"),
        ("test_labels", None, r"no array 'test_labels'; expected whole numbers \(4, 1\)"),
        ("val_images", np.zeros((3, 28, 27), np.uint8), r"'val_images' is uint8 \(3, 28, 27\); expected"),
        ("val_images", np.zeros((3, 28, 28, 3), np.uint8), "'val_images' is uint8"),
        ("val_images", np.zeros((0, 28, 28), np.uint8), "'val_images' is uint8"),
        ("val_images", np.zeros((), np.uint8), "'val_images' is uint8"),
        ("val_images", np.zeros((3, 28, 28), np.int16), "'val_images' is int16"),
        ("val_images", np.asfortranarray(np.zeros((3, 28, 28), np.uint8)), "'val_images'.*Fortran"),
        ("val_labels", np.zeros((4, 1), np.uint8), r"'val_labels' is uint8 \(4, 1\); expected"),
        ("val_labels", np.zeros((3, 2), np.uint8), "'val_labels' is uint8"),
        ("val_labels", np.zeros((3, 1)), "'val_labels' is float64"),
        ("val_labels", np.array([[0], [1], [2]]), "'val_labels' also holds 2; expected .* 0 or 1"),
        ("val_labels", np.array([[0], [-1], [1]]), "'val_labels' also holds -1"),
    ],
)
def test_unexpected_arrays_are_refused_by_name(server, tmp_path, monkeypatch, name, array, match):
    server.serve(npz(**{name: array}))
    monkeypatch.setattr(Image.Image, "save", lambda *_, **__: pytest.fail("written before all was checked"))
    with fails(tmp_path / "set", ValueError, match):
        fd.fetch(tmp_path / "set", size=28)


def crafted(header, body=b""):
    """The archive, with val_images replaced by bytes."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(npz())) as good, zipfile.ZipFile(file, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name) if name != "val_images.npy" else header + body)
    return file.getvalue()


def header(shape):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize(
    ("body", "match"),
    [
        (crafted(header((10**12, 28, 28))), r"'val_images' is uint8 \(1000000000000"),
        (crafted(header((-3, 28, 28))), r"'val_images' is uint8 \(-3"),
        (crafted(header((3, 28, 28)), bytes(28 * 28)), "'val_images' ends after 1 pictures"),
        (crafted(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"), r"'val_images'.*\(2, 0\)"),
        (crafted(b"hello"), "'val_images' cannot be read"),
        (b"<html>please log in</html>", "damaged"),
        (npz(np.savez)[:-30], "damaged"),
    ],
)
def test_crafted_and_damaged_archives(server, tmp_path, body, match):
    server.serve(body)
    with fails(tmp_path / "set", ValueError, match):
        fd.fetch(tmp_path / "set", size=28)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
@pytest.mark.parametrize("where", ["download", "picture", "labels", "rename"])
@pytest.mark.parametrize("force", [False, True])
def test_interrupted(server, tmp_path, monkeypatch, error, where, force):
    """Nothing is left; what --force was to replace is still there."""
    folder = tmp_path / "set"
    if force:
        fd.fetch(folder, size=28)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    real = {"save": Image.Image.save, "rename": Path.rename}

    def save(picture, file, **options):
        if file.name == "validation_00001.png":
            raise error("stop")
        real["save"](picture, file, **options)

    def rename(path, target):
        if path.name == "new":
            raise error("stop")
        return real["rename"](path, target)

    def stop(*_, **__):
        raise error("stop")

    owner, name, double = {
        "download": (fd.pooch.HTTPDownloader, "__call__", stop),
        "picture": (Image.Image, "save", save),
        "labels": (fd, "write_labels", stop),
        "rename": (Path, "rename", rename),
    }[where]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, double)
        with pytest.raises(error, match="stop"):
            fd.fetch(folder, size=28, force=force)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert list(tmp_path.iterdir()) == [folder] * force


def test_an_archive_downloaded_by_hand(server, tmp_path):
    archive = tmp_path / "by hand.npz"
    archive.write_bytes(server.body)
    labels = fd.fetch(tmp_path / "set", size=28, archive=archive)
    assert len(read_labels(labels)) == 16 and not server.requests
    assert archive.read_bytes() == server.body and len(list(tmp_path.iterdir())) == 2


def test_a_wrong_archive(server, tmp_path):
    archive = tmp_path / "by hand.npz"
    archive.write_bytes(npz(val_labels=None))
    with fails(tmp_path / "set", ValueError, "by hand.npz has not the checksum") as caught:
        fd.fetch(tmp_path / "set", size=28, archive=archive)
    assert server.address in str(caught.value)
    for missing in (tmp_path / "none.npz", tmp_path):
        with fails(tmp_path / "set", OSError, missing.name):
            fd.fetch(tmp_path / "set", size=28, archive=missing)
    assert archive.is_file() and not server.requests


@pytest.mark.parametrize("force", [False, True])
def test_folders_of_others_are_left_alone(server, tmp_path, force):
    mine, drawn = tmp_path / "mine", tmp_path / "drawn"
    mine.mkdir()
    (mine / "labels.csv").write_text("my own\n", encoding="utf-8")
    md.ensure(drawn, images=16, size=32)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    for folder in (mine, drawn):
        with pytest.raises(FileExistsError, match="not made by this program"):
            fd.fetch(folder, size=28, force=force)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before and not server.requests


def test_a_fetched_folder_that_lost_or_gained_files(server, tmp_path):
    labels = fd.fetch(tmp_path / "set", size=28)
    (labels.parent / "images" / "test_00000.png").unlink()
    with pytest.raises(FileExistsError, match="15 of 16"):
        fd.fetch(labels.parent, size=28)
    with pytest.raises(FileExistsError, match="'size': 28"):
        fd.fetch(labels.parent, size=224)
    (labels.parent / "images" / "p0001_1.png").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="p0001_1.png"):
        fd.fetch(labels.parent, size=28, force=True)


@pytest.mark.parametrize("wrong", [{"size": 64}, {"size": "28"}, {"timeout": 0}, {"timeout": float("nan")}])
def test_wrong_arguments(server, tmp_path, wrong):
    with fails(tmp_path / "set", ValueError, next(iter(wrong))):
        fd.fetch(tmp_path / "set", **{"size": 28} | wrong)
    assert not server.requests


def test_progress_is_shown_when_asked(server, tmp_path, capfd):
    fd.fetch(tmp_path / "set", size=28, progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "downloading: 100%" in err and "16/16" in err


def test_command_line(server, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        fd.main(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0 and "CC BY 4.0" in text
    assert all(option in text for option in ("FOLDER", "--size", "--archive", "--force"))
    folder = str(tmp_path / "set")
    server.answer = lambda handler: send(handler, b"", 500)
    assert fd.main([folder, "--size", "28"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and "500" in err and server.address in err
    assert not list(tmp_path.iterdir())
    server.answer = lambda handler: send(handler, server.body)
    assert fd.main([folder, "--size", "28"]) == 0
    assert capsys.readouterr() == (f"{(tmp_path / 'set').resolve() / 'labels.csv'}\n", "")


def test_the_table():
    for size, (address, md5) in fd.ARCHIVES.items():
        assert address.startswith("https://") and int(md5, 16) and len(md5) == 32 and size in (224, 28)


def test_needs_no_tensorflow():
    run("-c", "import sys, data_scripts.fetch_dataset; sys.exit('keras' in sys.modules)")
