"""Catches DBMs that learn something else from rows with unknown entries than the likelihood of the known ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import holes as checks

import boltz

RNG = np.random.default_rng(3)
BITS = np.where(RNG.random((60, 3)) < 0.3, np.nan, RNG.integers(0, 2, (60, 3)))
CODES = np.where(RNG.random((60, 3)) < 0.3, np.nan, RNG.integers(0, 3, (60, 3)))
REAL = np.where(RNG.random((60, 3)) < 0.3, np.nan, RNG.normal(5, 3, (60, 3)))
QUICK: dict[str, Any] = {"epochs": 4, "batch_size": 7, "checkpoint_seconds": 0}


def test_laws_of_unknown_entries() -> None:
    checks.check_laws_of_unknown_entries()


def test_laws_of_real_entries() -> None:
    checks.check_laws_of_real_entries()


def test_the_exact_gradient_is_that_of_finite_differences() -> None:
    checks.check_the_exact_gradient_is_that_of_finite_differences()


def test_gradients() -> None:
    checks.check_gradients()


def test_pretraining() -> None:
    checks.check_pretraining()


def test_two_stages() -> None:
    checks.check_two_stages()


def test_learning_of_patterns() -> None:
    checks.check_learning_of_patterns()


@pytest.mark.parametrize(
    ("x", "units", "settings"),
    [
        (BITS, "bernoulli", {"pretrain_epochs": 2}),
        (BITS, "bernoulli", {"pretrain_epochs": 2, "pretrain": "bottom", "positive": "gibbs", "rule": "ptt"}),
        (BITS, "bernoulli", {"pretrain_epochs": 2, "pretrain": "two-stage", "positive": "collapsed", "rule": "cd"}),
        (BITS * 2 - 1, ["spin"] * 3, {"positive": "mean-field"}),
        (CODES, [("categorical", 3), "bernoulli", "spin"], {"positive": "collapsed"}),
        (REAL, ["gaussian", "bernoulli", "gaussian"], {}),
        (REAL, ["drelu", "bernoulli", "rectified"], {"learning_rate": 0.001}),
    ],
)
def test_a_run_goes_on_bit_by_bit(tmp_path: Path, x: Any, units: Any, settings: dict[str, Any]) -> None:
    """Catches chains of rows that a checkpoint forgets, in an early and in the last stage, for units of many kinds."""
    machine = boltz.dbm([3, 4, 2], x, units=units)
    whole = boltz.train(machine, x, **QUICK | settings)
    for stop in (1, len(whole.history) - 2):
        part, seen = tmp_path / str(stop), list[Any]()

        def watch(record: Any, stop: int = stop, seen: list[Any] = seen) -> None:
            seen.append(record)
            if len(seen) == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            boltz.train(machine, x, part, watch=watch, **QUICK | settings)
        again = boltz.resume(part, x)
        assert (again.model.arena == whole.model.arena).all() and len(again.history) == len(whole.history)
    with pytest.raises(boltz.InputError, match="changed"):
        checks.stopped(machine, x, tmp_path / "other", **QUICK | settings)
        boltz.resume(tmp_path / "other", np.where(np.isnan(x), x[~np.isnan(x)][0], x))


def test_chains_of_other_rows_are_refused(tmp_path: Path) -> None:
    """Catches a checkpoint whose chains belong to fewer rows, which would run past their end."""
    machine = boltz.dbm([3, 4, 2], BITS)
    checks.stopped(machine, BITS, tmp_path / "run", pretrain_epochs=0, **QUICK)
    checks.changed(tmp_path / "run", "rule/row/", lambda found: found[:-1])
    with pytest.raises(boltz.FileError, match="must hold a chain for each of 60 rows"):
        boltz.resume(tmp_path / "run", BITS)


def test_rows_that_are_known_in_full_have_no_chains() -> None:
    whole = np.nan_to_num(BITS)
    loop = checks.looping(boltz.dbm([3, 4, 2], whole), whole, epochs=2)
    assert not loop.state.guesses.size and not loop.state.row_chains


def test_minutes_with_a_column_that_few_rows_know() -> None:
    checks.check_minutes_with_a_column_that_few_rows_know()


def test_a_rule_that_predicts_is_refused() -> None:
    """Catches a rule that takes its own draws for the truth, named or in a plan."""
    deep, words = boltz.dbm([3, 4, 2]), r"unknown entries, as x \(array\) has: .* take rule pcd"
    plan = boltz.plan_training(deep, np.nan_to_num(BITS), 0.02, rule="multi-prediction")
    for machine, settings in (
        (deep, {"rule": "multi-prediction", "epochs": 1}),
        (boltz.rbm(3, 4), {"rule": "multi-prediction", "epochs": 1}),
        (deep, {"minutes": plan}),
    ):
        with pytest.raises(boltz.InputError, match=words):
            boltz.train(machine, BITS, **settings)  # type: ignore[arg-type]
