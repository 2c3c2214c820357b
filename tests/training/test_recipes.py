"""Catches sweeps that do not rise as they are told, chains that start elsewhere, and settings that recipes need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import recipes as checks

import boltz
from boltz.errors import InputError


def test_sweeps_rise_in_equal_shares_of_the_epochs() -> None:
    checks.check_rising_sweeps()


def test_the_rate_may_be_divided_by_the_sweeps() -> None:
    checks.check_rate_by_sweeps()


def test_a_floor_holds_the_rate() -> None:
    checks.check_rate_floor()


def test_each_step_has_the_sweeps_of_its_epoch() -> None:
    checks.check_sweeps_of_steps()


def test_programs_follow_sweeps_that_rise() -> None:
    checks.check_rising_sweeps_by_programs()


def test_chains_start_where_they_are_told() -> None:
    checks.check_chain_starts()


def test_means_in_the_negative_phase() -> None:
    checks.check_negative_means()


def test_pretraining_has_decay_and_schedule_of_its_own() -> None:
    checks.check_pretraining_apart()


def test_weights_start_at_a_scale_of_each_pair() -> None:
    checks.check_initial_scale()


def test_a_layer_held_at_given_states_has_the_enumerated_gradient() -> None:
    checks.check_clamped_expectation()


def test_two_stages_of_pretraining() -> None:
    checks.check_two_stages()


@pytest.mark.parametrize("scale", [-0.1, float("nan"), "0.1", None, (0.1,), (0.1, 0.2, 0.3), (0.1, -1)])
def test_bad_scales_are_refused(scale: Any) -> None:
    with pytest.raises(InputError, match=r"^initial_scale"):
        boltz.dbm([4, 3, 2], initial_scale=scale)


def test_a_recipe_in_python_is_the_run_of_the_command_line_but_for_the_folder() -> None:
    """The settings of a recipe train in Python as they are; what is named beside them wins."""
    recipe = boltz.recipe("dbm-2009")
    assert "layers" not in recipe.settings and recipe.options["layers"] == ((500, 1000),)
    short = recipe.settings | {"pretrain_epochs": (1, 2), "epochs": 2, "batch_size": 20, "chains": 20}
    model = boltz.dbm([6, 4, 3], initial_scale=recipe.options["initial_scale"])
    one, two = (boltz.train(model, checks.ROWS, **short) for _ in range(2))
    np.testing.assert_array_equal(one.model.arena, two.model.arena)
    assert [record["stage"] for record in one.history] == ["pretrain-1", "pretrain-2", "pretrain-2", "joint", "joint"]
    assert np.isfinite(one.model.arena).all() and one.settings.negative == "means"
