"""Measures of machines whose visible units are coupled to each other: would catch wrong numbers, and machines for which
they are not right.
"""

from __future__ import annotations

import numpy as np
import pytest
from checks import inverse as checks

import boltz

ISING = boltz.boltzmann(4, units="spin")


def test_likelihood() -> None:
    checks.check_likelihood()


def test_pseudo_likelihood() -> None:
    checks.check_pseudo_likelihood()


def test_couplings() -> None:
    checks.check_couplings()


def test_mutations() -> None:
    checks.check_mutations()


def test_grey_rows_are_worked_out_and_not_trusted() -> None:
    """As for an RBM: each conditional at the grey value by the energy alone."""
    model = boltz.boltzmann(3, initial_scale=1.0, dtype=np.float64)
    row, j, h = np.array([0.2, 1.0, 0.5]), model.params["edge/v-v/weight"], model.bias("v")
    fields = j @ row + h
    found = boltz.pseudo_likelihood(model, row[None])
    assert abs(found.value - (fields @ row - np.logaddexp(0, fields).sum())) < 1e-12
    assert found.kind == "none" and not found.trusted


def test_many_rows_go_in_blocks_and_from_single_precision() -> None:
    """Catches a block of rows that is lost, and sums in single precision."""
    model = boltz.boltzmann(6, units="spin", initial_scale=0.5)
    x = np.random.default_rng(1).choice([-1, 1], (500, 6))
    wide = model.astype(np.float64)
    for call in (boltz.pseudo_likelihood, boltz.log_likelihood):
        found, wanted = call(model, x).per_row, [call(wide, row[None]).value for row in x[::50]]
        assert found is not None and len(found) == 500 and np.abs(found[::50] - wanted).max() < 1e-12


def test_machines_for_which_it_is_not_right_are_refused() -> None:
    lateral, x = boltz.boltzmann(4, 3), np.zeros((2, 4))
    for call in (boltz.couplings, boltz.pseudo_likelihood):
        with pytest.raises(boltz.InputError, match=r"^model must have full edges .* has couplings within layer v\.$"):
            call(lateral, x)
    with pytest.raises(boltz.InputError, match=r"^model must have full edges"):
        boltz.mutation_scores(lateral, x[0])
    several = boltz.multimodal({"a": 2, "b": 2}, {"a": [2], "b": [2]}, 2)
    for call in (boltz.couplings, boltz.pseudo_likelihood):
        with pytest.raises(boltz.InputError, match=r"^model must have one visible layer for this, got a, b\.$"):
            call(several, x)
    with pytest.raises(boltz.InputError, match=r"^x must hold rows as backgrounds, since what hidden units say"):
        boltz.couplings(boltz.rbm(4, 2))
    with pytest.raises(boltz.InputError, match=r"^x must hold states of spin units"):
        boltz.couplings(ISING, x)
    assert abs(boltz.log_likelihood(ISING, np.full((2, 4), np.nan)).value) < 1e-9  # nothing is known, so p is 1
