"""Executes the notebooks and stores them with their outputs: `python tests/notebooks/store.py [NAME ...]`.

Stored notebooks are what nbval compares, and all that a reader without a kernel sees. A panel's live view is
replaced by its picture (a view without its kernel shows "model not found"); what differs from run to run and
says nothing (timestamps, kernel version) is dropped.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
VIEW = "application/vnd.jupyter.widget-view+json"


def store(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        _join_streams(cell.get("outputs", []))
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if data.pop(VIEW, None):
                # What the panel cannot send along with its view, see panels.panel.Panel: the alt text.
                data["text/html"] = _image(data["text/plain"], data["image/png"])
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


def _join_streams(outputs: list) -> None:
    """What a cell prints arrives in pieces, cut wherever the kernel flushed."""
    for at in range(len(outputs) - 1, 0, -1):
        before, after = outputs[at - 1 : at + 1]
        if after.output_type == "stream" and before.get("name") == after.name:
            before.text += outputs.pop(at).text


def _image(alt: str, png: str) -> str:
    from html import escape

    return f'<img alt="{escape(alt)}" src="data:image/png;base64,{png.strip()}">'


def main(names: list[str]) -> None:
    sys.path.insert(0, str(ROOT))
    from conftest import made_flowers, made_labels

    os.environ["COURSE_DATA"], os.environ["COURSE_FLOWERS"] = str(made_labels()), str(made_flowers())
    # As under pytest: then the kernel leaves descriptor 2 alone, and errors in panels are raised.
    os.environ["PYTEST_CURRENT_TEST"] = "storing"
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        if not names or path.stem in names:
            print(f"{path.name} ...", flush=True)
            store(path)


if __name__ == "__main__":
    main([Path(name).stem for name in sys.argv[1:]])
