"""Catches a notebook that no longer runs, or that reaches below the public names."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SHORTER = [(r"epochs=\d+", "epochs=5"), (r"limit=\d+", "limit=100"), (r"betas=\d+", "betas=100")]
SHORTER += [(r"\b64\b", "22"), (r"\b32\b", "8")]  # units; 20 would be enumerated
SHORTER += [(r"budget=\d+", "budget=1"), (r"error=[\d.]+", "error=5"), (r"sweeps=\d+", "sweeps=20")]
QUICK = """from boltz.estimators import two_sided
from boltz.sampling import ladder_fitting
two_sided.FIRST_ROUNDS = two_sided.FIRST_STEPS = 40
ladder_fitting.PILOT_RUNGS, ladder_fitting.PILOT_ROUNDS = 6, 16
"""


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(path: Path, tmp_path: Path) -> None:
    """With fewer epochs, rows, units, sweeps and temperatures than written; curves are drawn every fifth epoch."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code and not any(cell.outputs for cell in code), "outputs are not kept in the repository"
    for cell in code:
        for written, shorter in SHORTER:
            cell.source = re.sub(written, shorter, cell.source)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(QUICK))
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    kinds = {kind for cell in code for output in cell.outputs for kind in output.get("data", {})}
    assert {"image/png", "text/html", "text/plain"} <= kinds
    for cell in code:
        live = len(re.findall(r"watch=live\(\)", cell.source))
        pictures = [each for each in cell.outputs if "image/png" in each.get("data", {})]
        assert len(pictures) >= live, "curves are drawn while a machine is trained"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_use_public_names_only(path: Path) -> None:
    text = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code")
    assert re.findall(r"^[ \t]*(?:from|import) boltz.*$", text, re.M) == ["import boltz"]
    assert not re.search(r"\bboltz\.\w+\.\w+\(|\._\w", text)
