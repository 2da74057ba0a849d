"""What is stored in the notebooks: executed, whole, clean, so that nbval compares something."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What cannot repeat: a time, a limit, a training result on another machine.
UNCOMPARED = {"nbval-ignore-output", "nbval-skip"}


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{i:02}" for i in range(len(NOTEBOOKS))] != []


def test_nbval_collects_every_notebook_cell(request):
    """Against a green run that ran nothing: every code cell on disk is an item of this session."""
    wanted = {str(ROOT), *(str(ROOT / name) for name in ("", "notebooks", "notebooks/"))}
    if not {str(Path(a).resolve()) for a in request.config.args} >= {str(ROOT / "notebooks")} & wanted:
        pytest.skip("only a part of the suite was asked for")
    collected = [item for item in request.session.items if item.path.suffix == ".ipynb"]
    assert len(collected) == sum(len(code_cells(path)) for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestStored:
    def test_is_valid_and_executed_in_order(self, path):
        nbformat.validate(nbformat.read(path, as_version=4))
        counts = [cell.execution_count for cell in code_cells(path)]
        assert counts == list(range(1, len(counts) + 1)), "run: python tests/notebooks/store.py"

    def test_holds_no_error_no_stderr_no_widget_state_and_no_path(self, path):
        text = path.read_text(encoding="utf-8")
        assert "widget-view+json" not in text and '"widgets"' not in text
        assert not re.search(r"(?<![\w.>~-])/(?:tmp|root|home/\w+|Users|work)/|[A-Z]:\\\\\\\\", text)
        for cell in code_cells(path):
            assert not [o for o in cell.outputs if o.output_type == "error" or o.get("name") == "stderr"]

    def test_half_of_the_outputs_at_least_are_compared_and_say_more_than_true(self, path):
        shown = [cell for cell in code_cells(path) if cell.outputs]
        compared = [cell for cell in shown if not UNCOMPARED & set(cell.metadata.get("tags", []))]

        def says_something(cell):
            texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
            return any(text.strip() not in ("", "True") for text in texts)

        assert len([cell for cell in compared if says_something(cell)]) * 2 >= len(shown)

    def test_what_is_not_compared_is_claimed(self, path):
        """A training result or a measurement that nbval ignores stands in a claim, there or next."""
        cells = code_cells(path)
        for cell, following in zip(cells, [*cells[1:], None], strict=True):
            if UNCOMPARED & set(cell.metadata.get("tags", [])):
                pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
                claimed = "claim(" in cell.source or (following and "claim(" in following.source)
                assert pictures or claimed or cell.source.startswith("my_guess"), cell.source

    def test_every_picture_has_alt_text(self, path):
        for cell in code_cells(path):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    alt = re.search(r'<img alt="([^"]+)"', output.data["text/html"])
                    assert alt and len(alt[1]) > 20

    def test_reads_easily(self, path):
        """At most two code cells in a row; short cells; short prose between them."""
        cells = nbformat.read(path, as_version=4).cells
        kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in cells)
        assert "ccc" not in kinds
        lengths = sorted(len(cell.source.splitlines()) for cell in cells if cell.cell_type == "code")
        assert lengths[len(lengths) // 2] <= 9
        assert cells[0].source.startswith(f"# {path.stem[:2]} · ") and "Time to learn" in cells[0].source
        assert "To remember" in cells[-1].source and "Shut Down Kernel" in cells[-1].source
        for cell in cells[1:-1]:
            if cell.cell_type == "markdown":
                prose = [line for line in cell.source.splitlines() if not line.startswith("#")]
                assert len(" ".join(prose).split()) <= 60, cell.source

    def test_shows_at_most_three_claims(self, path):
        assert 1 <= sum(cell.source.count("claim(\n") + len(re.findall(r"^\s*claim\(\w", cell.source, re.M))
                        for cell in code_cells(path)) <= 4  # fmt: skip
