"""Memory is measured as it is, and an overflow harms no one but the child."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import numpy as np
import psutil
import pytest

from course_utils.memory import (
    MEMORY_KIND,
    MemoryLimit,
    PeakMeter,
    limit,
    limited,
    megabytes,
    memory_free,
    memory_limit,
    memory_now,
    memory_with_files,
    run_limited,
)
from course_utils.memory.meter import ROLLUP_FIELDS, Sampler, kilobytes, kind_of
from tests.running import ROOT, fresh, least, run, start

# The children get these functions by value, as they get a notebook's.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

MB = 10**6
measured = pytest.mark.measured
posix = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
linux = pytest.mark.skipif(sys.platform != "linux", reason="the proc file system is Linux's")
without_files = pytest.mark.skipif(
    MEMORY_KIND != "PSS without files", reason="the kernel does not tell files from the rest"
)


@pytest.fixture(params=[False, True], ids=["kernel", "watch"])
def watch(request, monkeypatch):
    """Whether this process watches the allowance, as where the kernel cannot; else the kernel does."""
    monkeypatch.setattr(limited, "KERNEL_REFUSES", not request.param)
    return request.param


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# ---------------------------------------------------------------- importing


def test_the_import_is_light():
    code = """if True:
        import sys
        import course_utils.memory, course_utils.memory._child
        print({"keras", "tensorflow", "numpy"} & set(sys.modules))
    """
    assert run("-c", code).stdout.strip() == "set()"


# ---------------------------------------------------------------- the limit in force


def tree(root: Path, groups: str, limits: dict[str, str]) -> dict[str, Path]:
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(groups)
    for name, text in limits.items():
        file = root / "sys" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return {"proc": root / "proc", "cgroups": root / "sys"}


NONE_V1 = "9223372036854771712\n"
V2, V1 = "memory.max", "memory.limit_in_bytes"
TREES = {
    "v2": ("0::/a/b\n", {f"a/b/{V2}": "50000000\n", f"a/{V2}": "max\n"}, (50, "cgroup v2")),
    "v2, around it": ("0::/a/b\n", {f"a/b/{V2}": "50000000", f"a/{V2}": "40000000"}, (40, "cgroup v2")),
    "v2, none": ("0::/a\n", {f"a/{V2}": "max\n"}, None),
    "namespace": ("0::/\n", {V2: "30000000\n"}, (30, "cgroup v2")),
    "host's path": ("0::/docker/123\n", {V2: "30000000\n"}, (30, "cgroup v2")),
    "outside": ("0::/../other\n", {V2: "30000000", f"other/{V2}": "1000"}, (30, "cgroup v2")),
    "v1": (
        "5:cpu,cpuacct:/x\n4:memory:/a\n",
        {f"memory/a/{V1}": "20000000\n", f"memory/{V1}": NONE_V1},
        (20, "cgroup v1"),
    ),
    "v1, host's path": ("4:memory:/docker/1\n", {f"memory/{V1}": "20000000\n"}, (20, "cgroup v1")),
    "v1, none": ("4:memory:/a\n", {f"memory/a/{V1}": NONE_V1}, None),
    "hybrid, v1": ("4:memory:/a\n0::/a\n", {f"memory/a/{V1}": "20000000\n"}, (20, "cgroup v1")),
    "hybrid, v2": ("1:name=systemd:/\n0::/a\n", {f"unified/a/{V2}": "10000000\n"}, (10, "cgroup v2")),
    "no files": ("0::/a\n", {}, None),
    "broken": ("0::/a\nnonsense\n\n:::\n", {f"a/{V2}": "many", V2: "-1", f"memory/{V1}": ""}, None),
}


@pytest.mark.parametrize("name", TREES)
def test_the_smallest_group_limit_holds(tmp_path, name):
    groups, limits, expected = TREES[name]
    limit = memory_limit(**tree(tmp_path, groups, limits))
    if expected:
        assert (limit.bytes, limit.source) == (expected[0] * MB, expected[1])
    else:
        assert not limit.source.startswith("cgroup")


def test_no_proc_leaves_the_machine(tmp_path):
    assert 0 < memory_limit(tmp_path, tmp_path).bytes <= psutil.virtual_memory().total


def test_a_file_that_is_no_text_is_no_limit(tmp_path):
    roots = tree(tmp_path, "", {V2: "1000"})
    (tmp_path / "proc" / "self" / "cgroup").write_bytes(b"\xff\xfe0::/\n")
    assert memory_limit(**roots).bytes > MB


@posix
@pytest.mark.parametrize("name", ["RLIMIT_AS", "RLIMIT_DATA"])
def test_the_process_limits_count(tmp_path, monkeypatch, name):
    import resource

    wanted, none = getattr(resource, name), resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda which: (7 * MB if which == wanted else none, none))
    limit = memory_limit(tmp_path, tmp_path)
    assert limit.bytes == 7 * MB
    assert name in limit.source


# ---------------------------------------------------------------- the memory taken


@measured
@pytest.mark.parametrize("count", [memory_now, memory_with_files])
def test_both_figures_follow_an_allocation(count):
    def growths() -> tuple[int, int]:
        before = count()
        held = b"x" * (50 * MB)
        with_it = count() - before
        del held
        return with_it, count() - before

    assert 48 * MB < least(lambda: fresh(growths)[0], below=60 * MB)
    least(lambda: fresh(growths)[1], below=10 * MB)


def forked() -> int:
    """What a forked child adds, which holds all its parent's pages and waits."""
    held = b"x" * (100 * MB)
    before = memory_now()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    growth = memory_now() - before
    os.close(writer)
    os.waitpid(child, 0)
    assert len(held) == 100 * MB
    return growth


@linux
@measured
def test_a_shared_page_is_counted_once():
    """A fork shares all its parent's pages: RSS would count them twice."""
    least(lambda: fresh(forked), below=30 * MB)


def test_the_kind_is_the_best_that_the_kernel_allows():
    rollup = b"55e0-7ffd ---p 00000000 00:00 0 [rollup]\nRss: 9 kB\nPss: 7 kB\n"
    newer = rollup + b"Pss_Anon: 4 kB\nPss_File: 2 kB\nPss_Shmem: 1 kB\nSwapPss: 3 kB\n"
    assert kind_of(newer) == "PSS without files"
    assert kind_of(rollup) == "PSS"
    assert kind_of(b"") in ("RSS", "USS")
    taken = kilobytes(ROLLUP_FIELDS["PSS without files"], newer)
    assert sum(taken.values()) == (4 + 1 + 3) * 1024
    assert sum(kilobytes(ROLLUP_FIELDS["PSS"], newer).values()) == (7 + 3) * 1024


def idle() -> tuple[int, list[float], int]:
    with PeakMeter() as meter:
        while len(meter.seconds) < 5:
            time.sleep(0.01)
    return meter.growth, meter.seconds, len(meter.bytes)


@measured
def test_a_block_that_takes_nothing_grows_by_little():
    least(lambda: fresh(idle)[0], below=1 * MB)
    growth, seconds, count = fresh(idle)
    assert growth >= 0 and len(seconds) == count >= 5 and seconds == sorted(seconds)
    assert PeakMeter.kind == MEMORY_KIND


@pytest.mark.skipif(sys.platform == "win32", reason="not measured on Windows")
@measured
def test_a_short_peak_is_not_lost():
    def growth() -> int:
        with PeakMeter(interval=60) as meter:
            (np.ones(100 * MB // 8) + np.ones(100 * MB // 8)).sum()
        assert len(meter.bytes) == 2  # before and after: no sample fell into the block
        assert meter.peak == meter.baseline + meter.growth
        return meter.growth

    assert 190 * MB < least(lambda: fresh(growth), below=310 * MB)


@linux
@measured
def test_a_nested_meter_takes_nothing_from_the_outer_one():
    def growths() -> tuple[int, int, int]:
        following = len(Sampler.following_self)  # the child's own
        with PeakMeter(interval=60) as outer:
            np.ones(100 * MB // 8).sum()
            with PeakMeter(interval=60) as inner:
                np.ones(50 * MB // 8).sum()
        return outer.growth, inner.growth, len(Sampler.following_self) - following

    assert 95 * MB < least(lambda: fresh(growths)[0], below=120 * MB)
    assert 45 * MB < least(lambda: fresh(growths)[1], below=70 * MB)
    assert not fresh(growths)[2]


# Maps the file, says so, and lives until it is told to go.
STRANGER = """
import numpy as np, sys
mapped = np.memmap(sys.argv[1], np.uint8, "r")
print(mapped.sum(), flush=True)
input()
"""
LIBRARY = """
import glob, os, cv2
print(max(glob.glob(os.path.dirname(cv2.__file__) + "/*.so"), key=os.path.getsize))
"""


def wait_for(path: Path) -> None:
    assert wait_until(path.exists), path.name


def in_company(library: str, folder: Path) -> tuple[int, int]:
    """The growth of an idle block in which a stranger came and went, and that of a share of the library."""
    mapped = np.memmap(library, np.uint8, "r")
    mapped.sum()
    with PeakMeter() as meter:
        (folder / "mapped").touch()
        wait_for(folder / "came")
        share = memory_with_files()
        samples = len(meter.bytes)
        assert wait_until(lambda: len(meter.bytes) > samples + 2)
        (folder / "seen").touch()
        wait_for(folder / "gone")
        samples = len(meter.bytes)
        assert wait_until(lambda: len(meter.bytes) > samples + 2)
    return meter.growth, memory_with_files() - share


@without_files
@measured
@pytest.mark.parametrize("who", ["PeakMeter", "run_limited"])
def test_a_stranger_with_the_same_library_changes_nothing(tmp_path, who):
    """A share of a library grows when another process that has it mapped ends; what is taken does not.

    TensorFlow's libraries moved PSS by 281 MB; OpenCV's, in this test, are smaller.
    """
    library = run("-c", LIBRARY).stdout.strip()

    def growth() -> int:
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        with ThreadPoolExecutor(1) as pool:
            child = pool.submit(run_limited, in_company, library, folder, imports=("numpy",))
            wait_for(folder / "mapped")
            with start("-c", STRANGER, library) as stranger:
                stranger.stdout.readline()
                (folder / "came").touch()
                wait_for(folder / "seen")
                stranger.communicate("\n")
            (folder / "gone").touch()
            outcome = child.result()
        assert outcome.ended == "finished", outcome.error
        in_the_block, share = outcome.value
        assert share > os.path.getsize(library) / 3 > 5 * MB, "the control: this figure has to move"
        return in_the_block if who == "PeakMeter" else outcome.growth

    least(growth, below=1 * MB)


@measured
def test_a_child_of_the_block_counts():
    def growth() -> int:
        hold = f"import sys; x = b'x' * {80 * MB}; print(flush=True); sys.stdin.read()"
        with PeakMeter() as meter, start("-c", hold) as child:
            child.stdout.readline()
            several = len(meter.bytes) + 3
            while len(meter.bytes) < several:
                time.sleep(0.01)
            child.communicate()
        return meter.growth

    assert 75 * MB < least(lambda: fresh(growth), below=120 * MB)


def test_the_thread_ends_when_the_block_raises():
    with pytest.raises(KeyError), PeakMeter() as meter:
        raise KeyError
    assert not [thread for thread in threading.enumerate() if thread.name == "PeakMeter"]
    assert meter.growth >= 0


def test_the_interval_must_be_positive():
    with pytest.raises(ValueError, match="interval"):
        PeakMeter(interval=0)


def test_megabytes():
    sizes = {0: "0.0 MB", 262_144: "0.3 MB", 9.96e6: "10 MB", 168_300_000: "168 MB", 2**31: "2.15 GB"}
    assert {size: megabytes(size) for size in sizes} == sizes


# ---------------------------------------------------------------- a child with an allowance


def hoard(count: int) -> int:
    import numpy as np

    kept = []
    for _ in range(count):
        kept.append(np.ones(10**6 // 8))
        time.sleep(0.002)
    return len(kept)


def growth_of(outcomes: list, *args, **kwargs):
    """A measurement for `least`: the growth of a child, whose outcome goes to the list."""

    def measure() -> int:
        outcomes.append(run_limited(*args, **kwargs))
        return outcomes[-1].growth

    return measure


@measured
def test_too_much_ends_by_the_limit(watch):
    outcomes = []
    measure = growth_of(outcomes, hoard, 500, allowance=64e6, imports=("numpy",))
    # A watched child may pass the allowance between two looks.
    assert 40 * MB < least(measure, below=(120 if watch else 90) * MB)
    for outcome in outcomes:
        assert outcome.ended == "limit" and outcome.value is None, outcome
        assert outcome.peak >= max(outcome.bytes)
        assert len(outcome.seconds) == len(outcome.bytes)
        if not watch and sys.platform == "linux":
            assert outcome.reason == "ended by the memory limit: MemoryError"
            assert "Unable to allocate" in outcome.error.splitlines()[0]
            assert "in hoard" in outcome.error


@measured
def test_an_overflow_costs_its_parent_nothing():
    def growth() -> int:
        before = memory_now()
        assert run_limited(hoard, 500, allowance=64e6, imports=("numpy",)).ended == "limit"
        return memory_now() - before

    least(lambda: fresh(growth, imports=("numpy",)), below=10 * MB)


@measured
def test_little_enough_finishes(watch):
    outcomes = []
    measure = growth_of(outcomes, hoard, 20, allowance=64e6, imports=("numpy",))
    assert 15 * MB < least(measure, below=40 * MB)
    assert {(o.ended, o.value, o.error) for o in outcomes} == {("finished", 20, "")}


def test_pictures_end_by_the_limit_too(watch, tmp_path):
    from PIL import Image

    path = tmp_path / "large.png"
    Image.new("L", (6000, 6000)).save(path)

    def decode() -> int:
        kept = []
        for _ in range(20):
            kept.append(Image.open(path))
            kept[-1].load()
        return len(kept)

    outcome = run_limited(decode, allowance=100e6, imports=("PIL.Image", "PIL.PngImagePlugin"))
    assert outcome.ended == "limit", outcome


@linux
@measured
def test_a_short_peak_of_the_child_is_not_lost():
    outcomes = []
    measure = growth_of(outcomes, lambda: len(bytes(80 * MB).replace(b"\0", b"\1")), allowance=400e6)
    assert 75 * MB < least(measure, below=200 * MB)
    assert {outcome.value for outcome in outcomes} == {80 * MB}


def raise_wrapped() -> None:
    try:
        raise MemoryError
    except MemoryError as error:
        raise RuntimeError("the batch could not be made") from error


def raise_text() -> None:
    raise ValueError("RESOURCE_EXHAUSTED: OOM when allocating tensor")


def raise_onednn() -> None:
    raise ValueError(
        "Operation received an exception:Status: 1, message: could not create a primitive, in file"
    )


def raise_group() -> None:
    raise ExceptionGroup("workers", [ValueError("x"), MemoryError()])


def raise_gpu() -> None:
    raise ValueError("OOM when allocating tensor on device:GPU:0 by allocator GPU_0_bfc")


def raise_key() -> None:
    raise KeyError("ROOM")


@pytest.mark.parametrize(
    ("function", "ended"),
    [
        (raise_wrapped, "limit"),
        (raise_text, "limit"),
        (raise_onednn, "limit"),
        (raise_group, "limit"),
        (raise_gpu, "error"),
        (raise_key, "error"),
        (sys.exit, "error"),
    ],
)
def test_memory_errors_in_disguise(function, ended):
    outcome = run_limited(function, allowance=50e6)
    assert outcome.ended == ended, outcome


def test_an_error_comes_with_its_traceback():
    outcome = run_limited(raise_key)
    assert outcome.ended == "error"
    assert outcome.reason == "ended by KeyError"
    assert outcome.error.splitlines()[0] == "KeyError: 'ROOM'"
    assert "in raise_key" in outcome.error
    assert "_child.py" not in outcome.error


def die(number: int) -> None:
    print("last words")
    os.kill(os.getpid(), number)


@posix
@pytest.mark.parametrize(
    ("name", "allowance", "ended"),
    [
        ("SIGABRT", 50e6, "limit"),
        ("SIGKILL", 50e6, "limit"),
        ("SIGABRT", None, "error"),
        ("SIGSEGV", 50e6, "error"),  # nowhere near its limit
        ("SIGKILL", None, "limit"),
    ],
)
def test_signals(name, allowance, ended):
    outcome = run_limited(die, getattr(signal, name), allowance=allowance)
    assert outcome.ended == ended
    assert name in outcome.reason
    assert ("probably" in outcome.reason) == (name == "SIGKILL" and allowance is None)
    assert outcome.stdout == "last words\n"


def test_an_exit_without_a_word():
    outcome = run_limited(os._exit, 7)
    assert (outcome.ended, "7" in outcome.reason) == ("error", True)


def test_a_value_that_cannot_be_sent_back():
    outcome = run_limited(lambda: threading.Lock())
    assert outcome.ended == "error"
    assert "lock" in outcome.error.splitlines()[0]


def test_an_import_that_fails():
    outcome = run_limited(hoard, 1, imports=("no_such_module",))
    assert outcome.ended == "error"
    assert "no_such_module" in outcome.error


def test_another_thread_ends_a_child_before_its_time():
    stop = threading.Event()
    threading.Timer(1.5, stop.set).start()
    outcome = run_limited(time.sleep, 60, stop=stop)
    assert (outcome.ended, outcome.reason, outcome.value) == ("stopped", "stopped on request", None)


def test_what_is_free_lies_below_the_limit(monkeypatch):
    free = memory_free()
    assert 0 < free <= memory_limit().bytes
    monkeypatch.setattr(limit, "memory_limit", lambda: MemoryLimit(memory_now() + 5 * 10**6, "a test"))
    assert memory_free() < 10**7
    monkeypatch.setattr(limit, "memory_limit", lambda: MemoryLimit(1, "a test"))
    assert memory_free() == 0


@posix
def test_the_timeout_ends_the_whole_tree(tmp_path):
    def family(path: Path) -> None:
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        path.write_text(f"{os.getpid()} {other.pid}")
        time.sleep(60)

    pids = tmp_path / "pids"
    for timeout in (1.5, 6, 24):  # the child's start is part of it, and takes its time on a busy machine
        outcome = run_limited(family, pids, timeout=timeout)
        assert outcome.ended == "timeout"
        if pids.exists():
            break
    pids = [int(pid) for pid in pids.read_text().split()]
    assert wait_until(lambda: not any(map(running, pids)))


def wait_with(kept: int, busy: bool = False, said: str = "") -> None:
    """Does what a library does that has lost a thread: nothing, for ever; or computes for ever."""
    held = [bytearray(10**6) for _ in range(kept // 10**6)]
    print(said, file=sys.stderr)
    while held is not None:
        if not busy:
            time.sleep(0.5)


@linux  # where the kernel refuses, and a library can be left waiting
@pytest.mark.parametrize(
    "kept, more, ended",
    [
        (70e6, {}, "limit"),
        (10e6, {"said": "std::bad_alloc"}, "limit"),
        (10e6, {}, "timeout"),  # it waits for something else
        (70e6, {"busy": True}, "timeout"),
    ],
)
def test_a_child_that_hangs_at_its_limit_is_ended_before_its_time(monkeypatch, kept, more, ended):
    monkeypatch.setattr(limited, "PATIENCE", 3.0)
    outcome = run_limited(
        wait_with, int(kept), **more, allowance=100e6, timeout=120 if ended == "limit" else 8
    )
    assert outcome.ended == ended, outcome
    if ended == "limit":
        assert outcome.reason == "ended by the memory limit: it hung, and was ended"


def test_without_an_allowance_a_child_may_wait(monkeypatch):
    monkeypatch.setattr(limited, "PATIENCE", 1.0)
    assert run_limited(time.sleep, 4).ended == "finished"


@posix
def test_orphans_are_ended_too():
    def leave() -> int:
        return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]).pid

    outcome = run_limited(leave)
    assert outcome.ended == "finished"
    assert wait_until(lambda: not running(outcome.value))


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_child_goes_with_its_parent(tmp_path, number):
    path = tmp_path / "pid"
    code = f"""if True:
        import os, time
        from course_utils.memory import run_limited

        def stay(path):
            with open(path + ".part", "w") as file:
                file.write(str(os.getpid()))
            os.rename(path + ".part", path)
            time.sleep(60)

        try:
            run_limited(stay, {str(path)!r})
        except KeyboardInterrupt:
            print("interrupted")
    """
    # A shell that starts us in the background has us ignore Ctrl-C, and children inherit that.
    program = start("-c", code, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    assert wait_until(path.exists)
    child = int(path.read_text())
    assert running(child)
    program.send_signal(number)
    assert program.communicate(timeout=60)[0] == ("interrupted\n" if number == signal.SIGINT else "")
    assert wait_until(lambda: not running(child))


def test_what_a_cell_defines_travels_both_ways():
    code = """if True:
        from course_utils.memory import run_limited

        FACTOR = 3

        class Point:
            def __init__(self, x):
                self.x = x

        def scaled(point, by=1):
            print("in the child")
            return Point(FACTOR * point.x * by)

        outcome = run_limited(scaled, Point(2), by=5)
        print(outcome.ended, outcome.value.x, isinstance(outcome.value, Point), outcome.stdout)
    """
    assert run("-c", code).stdout == "finished 30 True in the child\n\n"


def test_a_notebook_cell():
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    cells = [
        "from course_utils.memory import run_limited\ndef fail(n):\n    return [][n]",
        "outcome = run_limited(fail, 5)\nprint(outcome.ended, '<notebook cell>' in outcome.error)",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(ROOT)}}).execute()
    assert notebook.cells[1].outputs[0].text == "error True\n"


def test_two_children_at_once():
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(run_limited, hoard, 500, allowance=64e6, imports=("numpy",))
        second = pool.submit(run_limited, hoard, 20, allowance=64e6, imports=("numpy",))
        assert (first.result().ended, second.result().ended) == ("limit", "finished")


@pytest.mark.parametrize("allowance", [0, -1, float("nan"), float("inf"), "64 MB", True])
def test_the_allowance_must_be_a_positive_number(allowance):
    with pytest.raises(ValueError, match="allowance must be a positive number of bytes"):
        run_limited(hoard, 1, allowance=allowance)


def test_the_allowance_must_be_a_byte_at_least():
    with pytest.raises(ValueError, match="allowance must be at least 1 byte, got 0.5"):
        run_limited(len, "ab", allowance=0.5)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="timeout must be a positive number of seconds"):
        run_limited(hoard, 1, timeout=0)
    with pytest.raises(TypeError, match="callable"):
        run_limited(5)
    with pytest.raises(TypeError, match="hoard or its arguments"):
        run_limited(hoard, threading.Lock())


# ---------------------------------------------------------------- TensorFlow


def fit() -> float:
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    return model.fit(np.ones((64, 8)), np.ones(64), batch_size=16, verbose=0).history["loss"][0]


@linux
@measured
def test_tensorflow_trains_in_a_child_with_room():
    outcomes = []
    assert 5 * MB < least(growth_of(outcomes, fit, allowance=1e9, imports="keras"), below=300 * MB)
    assert {outcome.ended for outcome in outcomes} == {"finished"}, outcomes


@linux
def test_tensorflow_without_room_ends_by_the_limit():
    outcome = run_limited(fit, allowance=20e6, imports="keras")
    assert outcome.ended == "limit", outcome.error


@pytest.mark.measured
def test_a_second_measurement_finds_what_the_first_one_found():
    """What the first run freed is given back before the second is measured, where the C library can."""

    def twice():
        kept = []  # the last block of each run stays, at the top of the heap: nothing below is given back

        def work():
            with PeakMeter() as meter:
                blocks = [np.ones(1000) for _ in range(4000)]
                kept.append(blocks.pop())
            return meter.growth

        return work(), work()

    first, second = fresh(twice, imports="numpy")
    assert first > 16e6 and second > first / 2
