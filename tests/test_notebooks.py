"""Every notebook runs in a fresh kernel, and its committed outputs are whole."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
PLACES = re.compile(r"/(home|root|tmp|Users|usr|opt|work)/|[A-Z]:\\|site-packages|<ipython-input")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path):
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_runs_without_an_error(path, tmp_path):
    notebook = read(path)
    for cell in code_cells(notebook):
        cell.update(outputs=[], execution_count=None)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    assert all(cell.execution_count for cell in code_cells(notebook))


@each_notebook
def test_committed_outputs_are_of_one_run_from_top_to_bottom(path):
    counts = [cell.execution_count for cell in code_cells(read(path))]
    assert counts == list(range(1, len(counts) + 1))


@each_notebook
def test_committed_outputs_hold_results_alone(path):
    outputs = [output for cell in code_cells(read(path)) for output in cell.outputs]
    assert outputs
    kinds = {(output.output_type, output.get("name", "")) for output in outputs}
    assert kinds <= {("stream", "stdout"), ("execute_result", ""), ("display_data", "")}
    assert "Traceback (most recent call last)" not in str(outputs)


@each_notebook
def test_names_no_place_on_a_machine_and_the_plain_kernel(path):
    notebook = read(path)
    assert not PLACES.findall(nbformat.writes(notebook))
    assert notebook.metadata.kernelspec.name == "python3"
