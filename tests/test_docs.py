"""The pages and notebooks that users read are true of the code."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from morphloop.metrics.registry import markdown

ROOT = Path(__file__).resolve().parent.parent


def test_metrics_page_is_the_registry():
    assert (ROOT / "docs" / "metrics.md").read_text() == markdown()


def test_readme_links_lead_somewhere():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", (ROOT / "README.md").read_text())
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def outputs(name: str, folder: Path) -> list[dict]:
    """What the cells of a notebook put out, run anew in `folder`; an error in a cell is an error here."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(found: list[dict]) -> int:
    return sum("image/png" in output.get("data", {}) for output in found)


@pytest.mark.slow
def test_quickstart_runs(tmp_path: Path):
    assert pictures(outputs("quickstart.ipynb", tmp_path)) == 1


def test_evaluate_notebook_runs_and_reads_what_was_injected(tmp_path: Path):
    found = outputs("evaluate.ipynb", tmp_path)
    assert pictures(found) == 1
    text = "".join(output.get("text", "") for output in found)
    for defect, metric in (
        ("slide", "slide_mean_mm_s"),
        ("float", "float_mean_mm"),
        ("penetration", "penetration_mean_mm"),
    ):
        readings = re.findall(rf"\w+_{defect}_\d+ +(\d+) \S+ +-> {metric} +([\d.]+)", text)
        assert readings
        for size, reading in readings:
            assert float(reading) == pytest.approx(float(size), rel=0.03)
    assert (tmp_path / "bench" / "report.html").stat().st_size > 100_000


def test_committed_notebooks_show_their_outputs():
    notebook = nbformat.read(ROOT / "notebooks" / "evaluate.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(bool(cell.outputs) for cell in code) == len(code) - 1  # the imports say nothing
    assert pictures([output for cell in code for output in cell.outputs]) == 1
