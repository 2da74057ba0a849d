"""What is stored in the notebooks: executed, whole, clean, so that nbval compares something."""

import re

import nbformat
import pytest

from tests.running import NOTEBOOKS, cells

# What cannot repeat: a time, a limit, a training result on another machine.
UNCOMPARED = {"nbval-ignore-output", "nbval-skip"}


def code_cells(path):
    return cells(path, "code")


def test_there_are_notebooks():
    assert [path.stem[:2] for path in NOTEBOOKS] == [f"{i:02}" for i in range(len(NOTEBOOKS))] != []


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
        code = code_cells(path)
        for cell, following in zip(code, [*code[1:], None], strict=True):
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
        all_of_them = cells(path)
        kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in all_of_them)
        assert "ccc" not in kinds
        lengths = sorted(len(cell.source.splitlines()) for cell in code_cells(path))
        assert lengths[len(lengths) // 2] <= 9
        first, *between, last = all_of_them
        assert first.source.startswith(f"# {path.stem[:2]} · ") and "Time to learn" in first.source
        assert "To remember" in last.source and "Shut Down Kernel" in last.source
        for cell in between:
            if cell.cell_type == "markdown":
                prose = [line for line in cell.source.splitlines() if not line.startswith("#")]
                assert len(" ".join(prose).split()) <= 60, cell.source

    def test_shows_at_most_three_claims(self, path):
        assert 1 <= sum(cell.source.count("claim(\n") + len(re.findall(r"^\s*claim\(\w", cell.source, re.M))
                        for cell in code_cells(path)) <= 3  # fmt: skip
