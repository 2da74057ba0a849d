"""A copy of the notebooks without their outputs, for classrooms: `python tests/notebooks/strip.py FOLDER`.

Stored outputs give the answers away before anybody has guessed. The copy needs nothing but the installed
course; pictures that the notebooks show go along.
"""

import shutil
import sys
from pathlib import Path

import nbformat

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


def strip(folder: Path) -> list[Path]:
    """Writes the notebooks, unexecuted, into a folder that is new; returns their paths.

    Raises:
        FileExistsError: the folder is there already.
    """
    shutil.copytree(NOTEBOOKS, folder, ignore=shutil.ignore_patterns(".*"))
    paths = sorted(folder.glob("*.ipynb"))
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, path)
    return paths


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    print(*strip(Path(sys.argv[1])), sep="\n")
