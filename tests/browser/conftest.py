"""One JupyterLab and one page for the tests of a file."""

import pytest

from tests.running import ROOT

from . import labdrive, missing
from .looking import SHOTS

MEMORY_SHOWN = 2 * 10**9  # by JupyterLab's meter, as the limit: what the README says of Binder


@pytest.fixture(scope="module")
def opened(xrays):
    """The folder that JupyterLab opens, and variables for it. A file may have a fixture of its own."""
    return ROOT, {"COURSE_DATA": str(xrays)}


@pytest.fixture(scope="module")
def lab_page(opened):
    assert not missing, f"{missing} is missing, and in CI nothing is skipped"
    SHOTS.mkdir(exist_ok=True)
    folder, variables = opened
    meter = f"--ResourceUseDisplay.mem_limit={MEMORY_SHOWN}"
    with labdrive.lab(folder, meter, **variables) as (address, token, _), labdrive.browser_page() as page:
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(error.stack or str(error)))
        page.on("console", lambda said: said.type == "error" and page.problems.append(said.text))
        page.open = lambda name: labdrive.open_notebook(page, address, token, f"notebooks/{name}")
        yield page


@pytest.fixture
def page(lab_page):
    """A page of JupyterLab, where nothing may go wrong unseen. Its notebook's kernel is ended afterwards, as
    the notebook asks for."""
    lab_page.problems.clear()
    yield lab_page
    labdrive.shut_down(lab_page)
    assert lab_page.problems == []
