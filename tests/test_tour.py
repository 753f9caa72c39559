"""The notebook of the tour runs, and shows what its text says."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[1]
TOUR = ROOT / "docs" / "pages" / "start" / "tour.ipynb"


def outputs(cell):
    """Kinds of what a cell shows, and its text."""
    kinds = [kind for output in cell.outputs for kind in output.get("data", {})]
    return kinds, "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs
    )


@pytest.mark.slow
def test_runs(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # this clone, whatever is installed
    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}).execute()
    shown = [outputs(cell) for cell in notebook.cells if cell.cell_type == "code"]
    text = "\n".join(part for _, part in shown)
    assert sum("image/png" in kinds for kinds, _ in shown) == 3
    assert "95 % interval" in text
    assert "small+trained (trained on 30 of these images)" in text
    assert not list(tmp_path.iterdir())


def test_is_committed_without_outputs():
    notebook = nbformat.read(TOUR, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
