"""Catches rows learnt by heart without a note and a finding, and a gap that chance makes called overfitting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import quick_held_out
from support.training import plain_train

import boltz
from boltz.plotting import curves

NOISE = np.random.default_rng(7).integers(0, 2, (160, 20)).astype(np.float32)  # there is nothing to learn but by heart


def test_the_gap_is_that_of_both_gains() -> None:
    quick_held_out.check_gap()
    quick_held_out.check_hopeless()


@pytest.mark.parametrize("kind", ["rbm", "vae"])
def test_rows_learnt_by_heart_are_noted_and_found(kind: str, tmp_path: Path) -> None:
    """With held-out rows in Python, and from a folder whose data lie in a file; also when it is opened again."""
    start: Any = boltz.rbm(20, 40, x=NOISE) if kind == "rbm" else boltz.vae([20, 60], 10, x=NOISE)
    epochs, rate = (400, 0.2) if kind == "rbm" else (150, 0.02)
    settings: dict[str, Any] = {"epochs": epochs, "batch_size": 10, "learning_rate": rate}
    np.savez(tmp_path / "rows.npz", x_train=NOISE[:60], x_valid=NOISE[60:])
    train, valid = (boltz.load_data(tmp_path / "rows.npz", split=split) for split in ("train", "valid"))
    run = plain_train(start, train, tmp_path / "run", held_out=valid, **settings)
    (note,) = [each for each in run.notes if "rows by heart" in each]
    assert "better than independent units on its training rows, and" in note and "worse on held-out rows" in note
    for again in (run, tmp_path / "run"):
        found = boltz.diagnose(again, NOISE[:60], sweeps=20) if kind == "rbm" else boltz.diagnose(again, NOISE[:60])
        assert found.finding("overfitting").verdict == "bad"
    assert boltz.resume(tmp_path / "run").notes == run.notes
    labels = [line.get_label() for line in curves.learning_curves(run.history).axes[0].lines]
    assert labels == (["training", "held-out"] if kind == "rbm" else ["1 sample", "50 samples", "50 samples, held-out"])


def test_a_machine_that_learnt_no_row_by_heart_is_fine() -> None:
    """And without held-out rows there is no finding."""
    run = plain_train(boltz.rbm(20, 5, x=NOISE), NOISE[:80], held_out=NOISE[80:], epochs=2)
    assert boltz.diagnose(run, NOISE, sweeps=20).finding("overfitting").verdict == "fine"
    assert not any("by heart" in note for note in run.notes)
    alone = plain_train(boltz.rbm(20, 5, x=NOISE), NOISE, epochs=1)
    assert "overfitting" not in [each.name for each in boltz.diagnose(alone, NOISE, sweeps=20).findings]
