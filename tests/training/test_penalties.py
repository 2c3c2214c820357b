"""Catches a penalty that is not that of its formula, and a gauge that changes the distribution of a machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import penalties as checks

import boltz
from boltz.training.loop import Loop


def test_l1b_is_the_slope_of_its_formula() -> None:
    checks.check_l1b()


def test_l1b_enters_every_optimizer_with_the_gradient() -> None:
    checks.check_l1b_of_optimizers()


def test_l1b_moves_only_the_weights_of_a_centred_machine() -> None:
    checks.check_l1b_of_centred_machines()


def test_l1b_leaves_visible_means_at_those_of_the_rows() -> None:
    checks.check_l1b_ends_at_the_maximum()


def test_l1b_acts_where_steps_could_be_recorded() -> None:
    checks.check_l1b_in_training()


def test_zero_sum_changes_no_probability() -> None:
    checks.check_zero_sum()


def test_zero_sum_of_real_units() -> None:
    checks.check_zero_sum_of_real_units()


def test_training_in_the_zero_sum_gauge_learns_the_same() -> None:
    checks.check_gauge_in_training()


def test_categorical_units_are_trained_in_the_gauge_by_default() -> None:
    checks.check_gauge_by_default()


def test_gauges_of_other_units_are_refused() -> None:
    checks.check_refused_gauges()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_not_a_parameter_stays(dtype: type) -> None:
    codes = np.random.default_rng(1).integers(0, 3, (30, 4))
    model = boltz.train(boltz.rbm(4, 2, units=("categorical", 3), dtype=dtype), codes, epochs=1).model
    found = boltz.zero_sum(model)
    assert found.dtype == dtype and found.graph == model.graph and found.rates.keys() == model.rates.keys() != set()
    np.testing.assert_allclose(
        boltz.mutation_scores(found, codes[0]), boltz.mutation_scores(model, codes[0]), atol=1e-5
    )


def test_a_run_in_the_gauge_goes_on_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Death before the sixth of twelve steps, after a save at each."""
    codes = np.random.default_rng(2).integers(0, 3, (30, 4))
    model = boltz.rbm(4, 3, codes, units=("categorical", 3), hidden_units="drelu")
    given = {"epochs": 4, "batch_size": 10, "gauge": "zero-sum", "l1b": 0.02, "checkpoint_seconds": 0.0}
    wanted, original, count = boltz.train(model, codes, **given), Loop._step, iter(range(100))

    def step(loop: Loop, *arguments: Any) -> None:
        if next(count) == 5:
            raise KeyError
        original(loop, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(Loop, "_step", step)
        boltz.train(model, codes, tmp_path / "run", **given)
    assert boltz.resume(tmp_path / "run", codes).model.arena.tobytes() == wanted.model.arena.tobytes()
