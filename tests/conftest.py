"""Fixtures for the unit tests: a folder where the data is the index."""

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def numbered(tmp_path_factory):
    """100 images of 8 x 8 pixels; every pixel of image i is i, so that a batch shows who is in it."""
    folder = tmp_path_factory.mktemp("numbered")
    paths = [folder / f"{i:03}.png" for i in range(100)]
    for i, path in enumerate(paths):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(path)
    return paths
