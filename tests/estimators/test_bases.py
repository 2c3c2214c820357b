"""Catches base models of annealing that are too narrow, and second looks that say nothing of it."""

from __future__ import annotations

import numpy as np
from checks import modes

from boltz.estimators.ais import thinned


def test_the_base_is_as_wide_as_temperatures_afford() -> None:
    modes.check_base_widths()


def test_a_machine_of_two_phases() -> None:
    modes.check_log_z_of_two_phases()


def test_a_phase_that_a_base_misses_is_told() -> None:
    modes.check_quenched_machine_is_not_trusted()


def test_a_hub_is_found_or_not_trusted() -> None:
    modes.check_hub()


def test_second_looks_speak() -> None:
    modes.check_second_looks_speak()


def test_thinned_temperatures_keep_both_ends() -> None:
    assert thinned(np.linspace(0, 1, 6)).tolist() == [0.0, 0.4, 0.8, 1.0]
    assert thinned(np.linspace(0, 1, 5)).tolist() == [0.0, 0.5, 1.0]
    assert thinned(np.array([0.0, 1.0])).tolist() == [0.0, 1.0]
    many = np.linspace(0, 1, 1001)
    assert (thinned(many) == many[::5]).all()
