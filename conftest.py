"""What every test shares: the notebooks' data set, and how nbval compares."""

import hashlib
import os
from pathlib import Path

import pytest

from data_scripts import make_dataset

ROOT = Path(__file__).parent


def made_labels() -> Path:
    """The default data set, made once per version of its program: never the user's own `data/`."""
    version = hashlib.sha256(Path(make_dataset.__file__).read_bytes()).hexdigest()[:8]
    return make_dataset.ensure(ROOT / ".pytest_cache" / f"xrays-{version}")


def pytest_collectstart(collector):
    if collector.path is not None and collector.path.suffix == ".ipynb":
        # The kernels that nbval starts inherit this.
        os.environ["COURSE_DATA"] = os.environ.get("MESSY_DATA") or str(made_labels())
        # A picture's HTML holds its pixels, which differ from machine to machine; its alt text, with the
        # figures that the picture shows, stands in text/plain and is compared.
        collector.skip_compare += ("text/html",)


@pytest.fixture(scope="session")
def xrays() -> Path:
    """labels.csv of the made data set, as the notebooks see it."""
    return made_labels()
