"""The notebook of the tour runs, and shows what its text says."""

from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

from salbench import registry

ROOT = Path(__file__).resolve().parents[1]
TOUR = ROOT / "docs" / "pages" / "start" / "tour.ipynb"


def cells():
    return [cell for cell in nbformat.read(TOUR, as_version=4).cells if cell.cell_type == "code"]


@pytest.fixture
def shell():
    """What executes cells, in this process. It takes the place of its main module."""
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    yield shell
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()


def shown(shell, cell):
    """Kinds of what a cell shows, and its text."""
    with shell.display_trap, capture_output() as captured:  # or the shell shows what a cell ends with in its own way
        shell.run_cell(cell.source).raise_error()
    kinds = [kind for output in captured.outputs for kind in output.data]
    return kinds, captured.stdout + "".join(output.data.get("text/plain", "") for output in captured.outputs)


@pytest.mark.slow
def test_runs(shell, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))
    monkeypatch.chdir(tmp_path)
    found = [shown(shell, cell) for cell in cells()]
    text = "\n".join(part for _, part in found)
    assert sum("image/png" in kinds for kinds, _ in found) == 3
    assert "95 % interval" in text
    assert "small+trained (trained on 30 of these images)" in text
    assert not list(tmp_path.iterdir())


def test_is_committed_without_outputs():
    assert len(cells()) > 5
    assert all(not cell.outputs and cell.execution_count is None for cell in cells())
