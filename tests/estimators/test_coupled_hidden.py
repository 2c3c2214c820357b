"""Catches log p*(v) that forgets couplings between hidden units, or edges that skip layers."""

from __future__ import annotations

import numpy as np
import pytest
from checks import coupled_hidden as checks

import boltz
from boltz.errors import InputError


@pytest.mark.parametrize("name", checks.SHAPES)
def test_enumeration(name: str) -> None:
    checks.check_enumeration(name)


@pytest.mark.parametrize("name", checks.SHAPES)
def test_importance_samples(name: str) -> None:
    checks.check_importance(name)


@pytest.mark.parametrize("name", checks.SHAPES)
def test_annealing_of_hidden_units(name: str) -> None:
    checks.check_annealing(name)


@pytest.mark.parametrize("name", ["both", "skip", "views"])
def test_both_bounds(name: str) -> None:
    checks.check_sandwich(name)


def test_the_reversal() -> None:
    checks.check_reversal_of_both()


def test_hidden_layers_of_several_kinds_are_annealed_in_machines_without_directions_alone() -> None:
    mixed = boltz.helmholtz([3, 2, 2], ["bernoulli", "bernoulli", "gaussian"])
    with pytest.raises(InputError, match="one kind"):
        boltz.posterior_ais(mixed, np.zeros((2, 3)))
