"""Catches modes by mean field that give no bound on log Z, or that say wrong things against chains."""

from __future__ import annotations

import numpy as np
import pytest
from checks import modes
from checks.modes import KEY, coupled, hub

import boltz
from boltz.sampling.modes import relaxed, search


def test_bounds_never_exceed_log_z() -> None:
    modes.check_modes_bound_log_z()


def test_modes_that_no_chain_met_are_told() -> None:
    modes.check_unmet_modes_are_told()


def test_rows_that_settle_are_left_alone() -> None:
    modes.check_settled_rows()


def test_the_phase_of_a_hub_is_found() -> None:
    machine, truth = hub(30.0)
    assert search(machine, KEY).bounds[0] == pytest.approx(truth, abs=0.5)


def test_relaxing_starts_from_either_class() -> None:
    """The fixed point of a machine with one mode does not depend on the side that it is reached from."""
    rng = np.random.default_rng(3)
    model = boltz.from_arrays([rng.normal(0, 0.2, (6, 5))], [rng.normal(size=6), rng.normal(size=5)])
    one, first = relaxed(model, {"v": np.zeros((1, 6))})
    other, second = relaxed(model, {"h1": np.ones((1, 5))})
    for n in one:
        np.testing.assert_allclose(one[n], other[n], atol=1e-3)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_draws_take_the_modes_in_turn() -> None:
    drawn = search(coupled(), KEY).draws(40, KEY)["v"].mean(axis=1)
    assert ((drawn[::2] > 0.5) != (drawn[1::2] > 0.5)).all()
