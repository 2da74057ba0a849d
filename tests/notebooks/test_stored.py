"""What is stored in the notebooks: executed, whole, clean, so that nbval compares something."""

import re
import statistics

import nbformat
import pytest
from nbconvert import HTMLExporter

from tests.notebooks.strip import strip
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
        """A training result or a measurement that nbval ignores stands in a claim, there or soon after."""
        claimed = False
        for cell in reversed(code_cells(path)):  # a claim speaks for the uncompared cells before it
            uncompared = UNCOMPARED & set(cell.metadata.get("tags", []))
            claimed = "claim(" in cell.source or (claimed and (uncompared or not cell.outputs))
            pictures = [o for o in cell.outputs if "image/png" in o.get("data", {})]
            assert not uncompared or claimed or pictures or cell.source.startswith("my_guess"), cell.source

    def test_every_picture_has_alt_text(self, path):
        for cell in code_cells(path):
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    alt = re.search(r'<img alt="([^"]+)"', output.data["text/html"])
                    assert alt and len(alt[1]) > 20

    def test_reads_well_without_a_kernel(self, path):
        """As pages that only show a notebook do it, such as GitHub's: nothing live, every picture there."""
        page, _ = HTMLExporter(template_name="basic").from_filename(path)
        pictures = [
            output for cell in code_cells(path) for output in cell.outputs
            if "image/png" in output.get("data", {})
        ]  # fmt: skip
        shown = re.findall(r'<img alt="[^"]{20,}" src="data:image/png;base64,', page)
        assert len(shown) == len(re.findall("<img", page)) == len(pictures) > 0
        assert "<script" not in page and "model not found" not in page

    def test_cells_are_short(self, path):
        """Three lines are typical, ten the most for nine in ten; a class may be as long as it has to be."""
        lengths = [
            len([line for line in cell.source.splitlines() if line.strip()[:1] not in ("", "#")])
            for cell in code_cells(path)
            if not cell.source.startswith("class ")
        ]
        median, tenth = statistics.median(lengths), statistics.quantiles(lengths, n=10)[-1]
        assert median <= 3 and tenth <= 10, (median, tenth)

    def test_reads_easily(self, path):
        """At most two code cells in a row; short prose between them."""
        all_of_them = cells(path)
        kinds = "".join("c" if cell.cell_type == "code" else "m" for cell in all_of_them)
        assert "ccc" not in kinds
        first, *between, last = all_of_them
        assert first.source.startswith(f"# {path.stem[:2]} · ") and "Time to learn" in first.source
        assert "To remember" in last.source and "Shut Down Kernel" in last.source
        for cell in between:
            if cell.cell_type == "markdown":
                prose = [line for line in cell.source.splitlines() if line[:1] not in ("#", "|")]  # a table
                assert len(" ".join(prose).split()) <= 60, cell.source

    def test_shows_at_most_three_claims(self, path):
        assert 1 <= sum(cell.source.count("claim(\n") + len(re.findall(r"^\s*claim\(\w", cell.source, re.M))
                        for cell in code_cells(path)) <= 3  # fmt: skip


def test_a_classroom_gets_a_copy_without_outputs(tmp_path):
    paths = strip(tmp_path / "class")
    assert [path.name for path in paths] == [path.name for path in NOTEBOOKS]
    for path, original in zip(paths, NOTEBOOKS, strict=True):
        copy, stored = (nbformat.read(one, as_version=4) for one in (path, original))
        assert [cell.source for cell in copy.cells] == [cell.source for cell in stored.cells]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in copy.cells)
    with pytest.raises(FileExistsError):
        strip(tmp_path / "class")
