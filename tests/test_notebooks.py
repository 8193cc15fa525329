"""The notebooks run as they stand, and hold no results: those are of whoever runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_holds_no_results(path):
    cells = json.loads(path.read_text())["cells"]
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    """With a shorter training; below the cells there is nothing but what they show."""
    nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed: pip install 'polyrl[dev]'")
    nbformat = pytest.importorskip("nbformat")
    # What makes the kernel watch descriptor 2, as it does for a reader: with these it does not, or TensorFlow is quiet anyway.
    for name in ("PYTEST_CURRENT_TEST", "TF_CPP_MIN_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace("max_timesteps=20_000", "max_timesteps=8_000")
    nbclient.NotebookClient(notebook, timeout=280, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    shown = [output["data"]["text/plain"] for output in outputs if output["output_type"] == "execute_result"]
    assert shown[0].startswith("'budget of timesteps reached: 8000 of 8000")
    assert float(shown[-2]) > 100
    assert shown[-1] == "array([1, 0], dtype=int32)"
