"""Catches empty cells of a table that are taken for numbers, or refused where they stand for unknown units."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import invoke, result_of
from support.training import plain_train

import boltz
from boltz.errors import FileError, InputError

GENES = np.random.default_rng(5).integers(0, 3, (12, 4))
HOLES = np.random.default_rng(6).random((12, 4)) < 0.3


def table(name: str, x: Any, holes: Any, words: tuple[str, ...] = ("", "NA", "nan")) -> str:
    lines = [
        ",".join(words[(i + j) % len(words)] if holes[i, j] else repr(x[i, j].item()) for j in range(4))
        for i in range(12)
    ]
    Path(name).write_text("\n".join(["a,b,c,d", *lines]) + "\n")
    return name


@pytest.fixture(autouse=True)
def genetic(alone: Path) -> boltz.BoltzmannMachine:
    """A machine of genotypes with all kinds of weights, saved, and tables of such with empty cells."""
    generator = np.random.default_rng(3)
    arrays = [generator.normal(size=(4, 3))], [generator.normal(size=4), generator.normal(size=3)]
    machine = boltz.from_arrays(*arrays).with_levels(2)
    machine.save("model.safetensors")
    table("genes.csv", GENES, HOLES)
    return machine


def test_empty_cells_are_filled_in_and_whole_numbers_stay_whole(genetic: boltz.BoltzmannMachine) -> None:
    words = ("complete", "model.safetensors", "--data", "genes.csv", "--method", "mean-field")
    found = result_of(*words, "--out", "c.npz")
    wanted = boltz.complete(genetic, GENES, ~HOLES, "mean-field")
    with np.load("c.npz") as held:
        np.testing.assert_array_equal(held["completed"], wanted)
        np.testing.assert_array_equal(held["mask"], ~HOLES)
    assert found["known"] == (~HOLES).mean() and found["squared_error"] is None
    assert f"{HOLES.sum()} units filled in\n" in invoke(*words, "--out", "d.npz").stdout


def test_what_a_mask_hides_is_hidden_beside_empty_cells(genetic: boltz.BoltzmannMachine) -> None:
    """And the squared error is of hidden units that the data have, not of those put in for empty cells."""
    np.save("mask.npy", [1, 0, 1, 1])
    words = ("complete", "model.safetensors", "--data", "genes.csv", "--mask", "mask.npy", "--method", "mean-field")
    found = result_of(*words, "--out", "c.npy")
    known = ~HOLES & np.array([True, False, True, True])
    wanted = boltz.complete(genetic, GENES, known, "mean-field")
    np.testing.assert_array_equal(np.load("c.npy"), wanted)
    off = (wanted - GENES / 2)[~known & ~HOLES]
    assert found["squared_error"] == pytest.approx((off**2).mean(), rel=1e-6)


def test_features_are_those_of_what_is_there(genetic: boltz.BoltzmannMachine) -> None:
    np.save("mask.npy", [1, 0, 1, 1])
    words = ("features", "model.safetensors", "--data", "genes.csv", "--out")
    assert invoke(*words, "f.npy").exit_code == invoke(*words, "g.npy", "--mask", "mask.npy").exit_code == 0
    np.testing.assert_array_equal(np.load("f.npy"), boltz.features(genetic, GENES, mask=~HOLES))
    known = ~HOLES & np.array([True, False, True, True])
    np.testing.assert_array_equal(np.load("g.npy"), boltz.features(genetic, GENES, mask=known))


def test_nan_of_arrays_and_real_numbers_are_missing_too() -> None:
    x = np.where(HOLES, np.nan, GENES * 1.5 - 1e6)
    np.save("x.npy", x)
    table("x.csv", GENES * 1.5 - 1e6, HOLES)
    boltz.vae([4, 5], 2, np.nan_to_num(x), visible="gaussian").save("vae.safetensors")
    machine = boltz.load("vae.safetensors")
    for name in ("x.npy", "x.csv"):
        words = ("complete", "vae.safetensors", "--data", name, "--sweeps", 20, "--out", f"{name}.c.npy")
        assert invoke(*words).exit_code == 0
        np.testing.assert_array_equal(np.load(f"{name}.c.npy"), boltz.complete(machine, x, sweeps=20))


def test_loaded_rows_say_what_is_known_and_dbns_do_not_learn_them() -> None:
    data = boltz.load_data("genes.csv", levels=2, missing=True, limit=5)
    assert data.known is not None and np.array_equal(data.known, ~HOLES[:5])
    assert np.array_equal(data.x, np.where(HOLES, 0, GENES)[:5]) and data.x.dtype == np.uint8
    assert boltz.load_data(**data.request).fingerprint == data.fingerprint
    with pytest.raises(InputError, match=r"must have no missing numbers here: .* RBMs and DBMs alone learn from them"):
        plain_train(boltz.dbn([4, 2, 2]), data, epochs=1)
    table("whole.csv", GENES, HOLES & False)
    assert boltz.load_data("whole.csv", levels=2, missing=True).known is None
    with pytest.raises(FileError, match=r"a missing value; expected numbers everywhere: fill it in \(boltz complete\)"):
        boltz.load_data("genes.csv", levels=2)
    assert invoke("evaluate", "model.safetensors", "--data", "genes.csv").exit_code == 2


@pytest.mark.parametrize(("kind", "layers"), [("rbm", "2"), ("dbm", "2,2")])
def test_learning_from_rows_with_empty_cells(alone: Path, kind: str, layers: str) -> None:
    """And the machine is judged and measured by rows that are known in full.

    Catches zeros that are learnt or measured in the place of unknown numbers.
    """
    holes = _some_empty("some.csv")
    words = ("--data", "some.csv", "--layers", layers, "--epochs", "3", "--validation", "0.5", "--out")
    done = invoke("train", kind, *words, "run")
    assert done.exit_code == 0, done.stderr
    assert f"{holes[np.sort(_learnt(60))].mean():.2%} of the entries of the rows were unknown (NaN)" in done.stderr
    assert f"{holes.mean():.2%} of the entries of some.csv are unknown" in done.stderr
    whole = int((~holes[np.sort(_held(60))]).all(axis=1).sum())
    assert f"{whole} validation rows of some" in done.stderr
    assert invoke("train", "--resume", "run").exit_code == 0
    full = int((~holes).all(axis=1).sum())
    judged = invoke("diagnose", "run", "--sweeps", "100", "--json")
    assert judged.exit_code == 0 and f"{60 - full} of 60 rows of " in judged.stderr
    assert json.loads(judged.stdout)["rows"] == full == boltz.diagnose("run", sweeps=100).about["rows"]
    measured = invoke("evaluate", "run", "--data", "some.csv")
    assert measured.exit_code == 2 and "a missing value" in measured.stderr
    assert invoke("complete", "run", "--data", "some.csv", "--out", "filled.csv").exit_code == 0
    assert Path("filled.csv").read_text().split()[0] == "a,b,c,d"
    assert invoke("evaluate", "run", "--data", "filled.csv").exit_code == 0
    plain = boltz.load_data("some.csv", missing=True)
    machine = boltz.dbm([4, *map(int, layers.split(","))], plain)
    again = boltz.train(machine, plain, epochs=3, validation=0.5, held_out=None, patience=1)
    assert again.seen is not None and len(again.seen[1]) == whole


def test_machines_and_rules_that_do_not_learn_from_rows_with_empty_cells(alone: Path) -> None:
    """Catches a rule that predicts its own draws, and dbns that take zeros for what is unknown."""
    _some_empty("some.csv")
    words = ("--data", "some.csv", "--epochs", "1", "--out", "deep")
    refused = invoke("train", "dbn", *words, "--layers", "2,2", "--pretrain-epochs", "1")
    assert refused.exit_code == 2 and "a missing value" in refused.stderr
    predicting = invoke("train", "dbm", *words, "--layers", "2,2", "--rule", "multi-prediction")
    assert predicting.exit_code == 2 and "rule must not be multi-prediction where rows have" in predicting.stderr


def _some_empty(name: str) -> Any:
    """A table of 60 rows of 0 and 1 of which a fifth is empty; which cells are."""
    rng = np.random.default_rng(4)
    x = rng.integers(0, 2, (60, 4))
    holes = rng.random(x.shape) < 0.2
    lines = [",".join("" if holes[i, j] else str(x[i, j]) for j in range(4)) for i in range(60)]
    Path(name).write_text("\n".join(["a,b,c,d", *lines]) + "\n")
    return holes


def _order(rows: int) -> Any:
    return boltz.Key.from_seed(0).derive("validation").generator().permutation(rows)


def _learnt(rows: int) -> Any:
    return _order(rows)[rows // 2 :]


def _held(rows: int) -> Any:
    return _order(rows)[: rows // 2]
