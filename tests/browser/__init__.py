"""JupyterLab in Chromium. What a file of tests needs: `pytestmark = MARKS`, and the fixture `page`."""

import os

import pytest

try:
    from . import labdrive
except ImportError:  # Playwright is in the "test" extra
    labdrive = None

missing = "Playwright" if labdrive is None else None if labdrive.chromium_path() else "Chromium"
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(
        bool(missing) and not os.environ.get("CI"),
        reason=f"{missing} is not installed; CONTRIBUTING.md says what to install",
    ),
]
