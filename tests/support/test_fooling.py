"""Catches machines meant to fool an estimate of log Z whose answers or rates are wrong, or change."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from support import fooling

import boltz
from boltz.estimators.exact import class_units

SOME = 4


@pytest.mark.parametrize("family", fooling.families())
def test_answers_are_right(family: str) -> None:
    """By enumeration wherever it is quick; the hubs, the two groups of spins and the lattices are solved otherwise."""
    for number in range(SOME):
        case = fooling.families()[family](number)
        if min(class_units(case.machine, layers) for layers in case.machine.graph.colours) <= 18:
            assert case.truth == pytest.approx(boltz.exact_log_z(case.machine).value, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("family", fooling.families())
def test_machines_stay_the_same_and_differ(family: str) -> None:
    make = fooling.families()[family]
    one, same, other = make(1), make(1), make(2)
    assert (one.name, one.truth) == (same.name, same.truth) and one.truth != other.truth
    assert_array_equal(one.machine.arena, same.machine.arena)


@pytest.mark.parametrize("family", fooling.families())
def test_rates_are_means_of_all_layers(family: str) -> None:
    case = fooling.families()[family](3)
    assert not case.machine.rates
    for layer, rate in case.with_rates().rates.items():
        assert rate.shape == (case.machine.units[layer],) and ((rate > 0) & (rate < 1)).all()
    assert set(case.with_rates().rates) == set(case.machine.units)


def test_two_phases_of_equal_weight() -> None:
    """The machine of 24 and 22 spins with J = 0.15: log Z is little above log 2."""
    assert round(fooling.symmetric(0).truth, 4) == 0.7426


def test_ranges_fill_evenly() -> None:
    """The first n places leave no gap above 3 / n."""
    for n in (3, 12, 50):
        places = np.sort([fooling.along(i, 0.0, 1.0) for i in range(n)])
        assert np.diff(places, prepend=0.0, append=1.0).max() < 3 / n
