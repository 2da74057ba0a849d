"""What every test shares: the notebooks' data set, how nbval compares, and what a notebook may take."""

import contextlib
import hashlib
import os
import threading
from pathlib import Path

import pytest

from course_utils.memory import megabytes, memory_now, memory_with_files
from data_scripts import make_dataset, make_flowers

ROOT = Path(__file__).parent

# What a kernel and its children may take at any moment. With TensorFlow's libraries (0.43 GB of files, which
# are not counted) that is 1.2 GB, and leaves room for JupyterLab in Binder's 2 GB.
NOTEBOOK_BYTES = 0.75e9
# What a kernel that leaves TensorFlow to its children holds between two cells, libraries included; up to the
# cell that loads it all the same.
LIGHT_KERNELS, LIGHT_BYTES = {"04_memory_budget.ipynb": "import tensorflow"}, 0.25e9


def made_labels() -> Path:
    """The default data set, made once per version of its program: never the user's own `data/`."""
    version = hashlib.sha256(Path(make_dataset.__file__).read_bytes()).hexdigest()[:8]
    return make_dataset.ensure(ROOT / ".pytest_cache" / f"xrays-{version}")


def made_flowers() -> Path:
    """The folder of drawn flowers, likewise."""
    version = hashlib.sha256(Path(make_flowers.__file__).read_bytes()).hexdigest()[:8]
    return make_flowers.ensure(ROOT / ".pytest_cache" / f"flowers-{version}").parent


def pytest_collectstart(collector):
    if collector.path is not None and collector.path.suffix == ".ipynb":
        # The kernels that nbval starts inherit this.
        os.environ["COURSE_DATA"] = os.environ.get("MESSY_DATA") or str(made_labels())
        os.environ["COURSE_FLOWERS"] = str(made_flowers())
        # A picture's HTML holds its pixels, which differ from machine to machine; its alt text, with the
        # figures that the picture shows, stands in text/plain and is compared.
        collector.skip_compare += ("text/html",)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """A notebook's cell that takes too much memory fails."""
    kernel = getattr(item.parent, "kernel", None)  # nbval's
    if kernel is None:
        return (yield)
    with _watched(kernel.km.provisioner.pid) as figures:
        result = yield
    assert max(figures) < NOTEBOOK_BYTES, f"kernel and children took {megabytes(max(figures))}"
    if item.path.name in LIGHT_KERNELS and LIGHT_KERNELS[item.path.name] in item.cell.source:
        item.parent.loads_it = True
    if item.path.name in LIGHT_KERNELS and not hasattr(item.parent, "loads_it"):
        held = memory_with_files(kernel.km.provisioner.pid)
        assert held < LIGHT_BYTES, f"the kernel holds {megabytes(held)}"
    return result


@contextlib.contextmanager
def _watched(pid: int):
    """Yields a list that fills with the bytes that a process and its children have taken."""
    figures, done = [memory_now(pid)], threading.Event()

    def watch():
        while not done.wait(0.1):
            figures.append(memory_now(pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield figures
    finally:
        done.set()
        watcher.join()
        figures.append(memory_now(pid))


@pytest.fixture(scope="session")
def xrays() -> Path:
    """labels.csv of the made data set, as the notebooks see it."""
    return made_labels()
