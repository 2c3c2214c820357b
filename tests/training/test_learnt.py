"""Catches sentences on a trained machine wrong or missing: diverged, worse than independent units, constant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training import plain_train

import boltz
from boltz.rng import Key
from boltz.training import learnt

RNG = np.random.default_rng(11)
PATTERNS = (RNG.random((4, 16)) < 0.5).astype(np.float32)
ROWS = np.abs(PATTERNS[RNG.integers(0, 4, 400)] - (RNG.random((400, 16)) < 0.05)).astype(np.float32)
GOOD: dict[str, Any] = {"epochs": 40, "batch_size": 10, "learning_rate": 0.1, "center": True}


def notes(model: Any) -> str:
    return " ".join(learnt.notes(model, ROWS, ROWS[:0], Key.from_seed(0)))


def test_a_machine_that_learnt_has_no_note() -> None:
    assert plain_train(boltz.rbm(16, 12, ROWS), ROWS, **GOOD).notes == ()


def test_a_machine_that_learnt_nothing_says_so(tmp_path: Path) -> None:
    """Also when its run is opened again, from its folder."""
    run = plain_train(boltz.rbm(16, 12, ROWS), ROWS, tmp_path / "run", epochs=1, learning_rate=1e-6)
    assert any("has learnt nothing beyond independent units on its own training rows" in note for note in run.notes)
    assert boltz.resume(tmp_path / "run").notes == run.notes


def test_a_machine_that_diverged_but_is_finite() -> None:
    model = boltz.rbm(16, 12, ROWS)
    model.params["edge/v-h1/weight"][...] = RNG.normal(0, 1e4, (16, 12))
    assert "has diverged, though its numbers are finite: a weight of edge/v-h1/weight is" in notes(model)


@pytest.mark.parametrize("kind", ["rbm", "vae"])
def test_a_machine_that_is_worse_than_independent_units(kind: str) -> None:
    """Biases turned round: every unit is as often on as it is off in the data."""
    model: Any = boltz.rbm(16, 4, ROWS) if kind == "rbm" else boltz.vae([16, 8], 2, ROWS)
    name = "layer/v/bias" if kind == "rbm" else next(n for n in reversed(model.params) if "generative/v" in n)
    model.params[name][...] = -4 * model.params[name]
    assert "worse than independent units on its own training rows" in notes(model)


def test_constant_features() -> None:
    model = boltz.rbm(16, 12, ROWS)
    model.params["edge/v-h1/weight"][...] = 0
    assert "12 of the 12 units of h1 have the same posterior mean for every row" in notes(model)
    assert "posterior mean" not in " ".join(learnt.notes(model, ROWS[:1].repeat(9, axis=0), ROWS[:0], Key.from_seed(0)))


@pytest.mark.parametrize(("rows", "said"), [(1, "on 1 row: so few"), (19, "on 19 rows: so few"), (20, "")])
def test_a_handful_of_rows_is_learnt_by_heart(rows: int, said: str, tmp_path: Path) -> None:
    """Also when its run is opened again; twenty rows are told nothing."""
    run = plain_train(boltz.rbm(16, 4, ROWS), ROWS[:rows], tmp_path / "run", epochs=1)
    found = [note for note in run.notes if "learnt by heart" in note]
    assert len(found) == (said != "") and said in "".join(found)
    assert boltz.resume(tmp_path / "run").notes == run.notes


def test_nothing_is_said_before_anything_was_trained() -> None:
    assert plain_train(boltz.rbm(16, 12, ROWS), ROWS, epochs=0).notes == ()
