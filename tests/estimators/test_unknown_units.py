"""Likelihoods of rows with unknown entries: would catch known units unheard, masks mixed up, and lost constants."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse
from checks import known_parts
from checks import quick_directed as directed
from checks import quick_pieces as checks
from oracles.enumeration import Table
from support.machines import machine_of

import boltz
from boltz.estimators import likelihood, unknown_units
from boltz.estimators.second_look import Look

MODEL = machine_of(checks.DBM)


def test_known_parts_have_their_enumerated_likelihood() -> None:
    checks.check_unknown_units()


def test_annealing_gives_the_same() -> None:
    checks.check_annealed_unknown_units()


def test_known_parts_of_helmholtz_machines() -> None:
    directed.check_known_parts()


def test_importance_samples_give_the_same() -> None:
    directed.check_sampled_known_parts()


@pytest.mark.parametrize("name", known_parts.SHAPES)
def test_known_parts_on_any_graph(name: str) -> None:
    known_parts.check_exact(name)


@pytest.mark.parametrize("name", known_parts.SHAPES)
def test_importance_samples_on_any_graph(name: str) -> None:
    known_parts.check_sampled(name)


@pytest.mark.parametrize("name", ["views", "both", "triangle", "sparse"])
def test_annealing_on_any_graph(name: str) -> None:
    known_parts.check_annealed(name)


def test_a_view_of_real_numbers_is_integrated_out() -> None:
    known_parts.check_scaled_views()


def test_importance_samples_of_rows_that_lack_a_view_say_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lower bound of so many samples, at which annealed chains look again."""
    model = known_parts.machine("views", scale=1.0)
    rows, known = known_parts.rows_with_holes(model, 20, 1)
    known[:, :3], known[:, 3:] = True, False
    found = boltz.log_likelihood(model, rows, samples=300, seed=1, mask=known)
    assert found.kind == "lower" and "unknown units as hidden ones, k = 300" in found.method
    looked = Look(20, 0.5, 0.01)
    monkeypatch.setattr(likelihood, "look", lambda *_: looked)
    doubted = boltz.log_likelihood(model, rows, samples=300, seed=1, mask=known)
    assert not doubted.trusted and any("samples missed 50.00%" in doubt for doubt in doubted.doubts)
    np.testing.assert_array_equal(doubted.per_row, found.per_row)


def test_few_unknown_units_of_a_wide_machine_are_summed_exactly() -> None:
    """An RBM of 40 hidden units: log p of the known part is that of the sum over all fillings by the free energy."""
    table = Table.random([12, 40], 0.3, 5)
    model, row = machine_of(table), (np.arange(12) % 2).astype(float)
    row[[3, 7, 8]] = np.nan
    fillings = np.repeat(row[None], 8, axis=0)
    fillings[:, [3, 7, 8]] = checks.enumeration.bits(3)
    found = boltz.log_likelihood(model, row[None])
    wanted = np.logaddexp.reduce(boltz.log_likelihood(model, fillings).per_row)
    assert found.kind == "exact" and abs(found.value - wanted) < 1e-10


def test_larger_machines_are_annealed_and_say_so() -> None:
    model = boltz.rbm(30, 16, seed=3)
    row = np.zeros((2, 30))
    row[0, :16] = np.nan
    found = boltz.log_likelihood(model, row, seed=2)
    assert found.kind == "lower" and "200 chains a row" in found.method and "free energy" in found.method
    assert found.standard_error < 0.01 and found.trusted
    again = boltz.log_likelihood(model, row, seed=2)
    np.testing.assert_array_equal(again.per_row, found.per_row)


def test_doubts_of_single_rows_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains too few to trust, in every row."""
    monkeypatch.setattr(unknown_units, "MOST_UNITS", -1)
    monkeypatch.setattr(unknown_units, "CHAINS", 20)
    row = np.array([[1.0, np.nan, 0.0]])
    found = boltz.log_likelihood(MODEL, row)
    assert not found.trusted and any("of single rows" in doubt for doubt in found.doubts)


def test_helmholtz_machines_say_how_they_were_sampled() -> None:
    """Larger ones are sampled; those with binary hidden units are not trusted, since nothing was looked at again."""
    row = np.full((3, 6), np.nan)
    row[1], row[2, :3] = 1.0, 0.0
    binary, real = boltz.sbn([6, 20], seed=1), boltz.vae([6, 4], 2, seed=1)
    found = boltz.log_likelihood(binary, row, samples=300, seed=2)
    assert found.kind == "lower" and not found.trusted and any("no chains looked" in each for each in found.doubts)
    found = boltz.log_likelihood(real, row)
    assert found.kind == "lower" and found.trusted and "k = 1000" in found.method
    np.testing.assert_array_equal(found.per_row, boltz.log_likelihood(real, row).per_row)


def test_masks_say_the_same_as_nan() -> None:
    rows = checks.rows_with_holes(3, 15)
    wanted = boltz.log_likelihood(MODEL, rows).per_row
    known = ~np.isnan(rows)
    for junk in (0.0, 1.0, 7.0):
        found = boltz.log_likelihood(MODEL, np.where(known, rows, junk), mask=known)
        np.testing.assert_array_equal(found.per_row, wanted)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(
            boltz.log_likelihood(MODEL, np.nan_to_num(row)[None], mask=known[i]).value, wanted[i]
        )


def test_rows_that_are_known_are_worked_out_as_ever() -> None:
    rows = checks.enumeration.bits(3)
    plain, masked = boltz.log_likelihood(MODEL, rows), boltz.log_likelihood(MODEL, rows, mask=np.ones(3, bool))
    np.testing.assert_array_equal(plain.per_row, masked.per_row)
    assert plain.method == masked.method == "enumeration of hidden units; log Z by enumeration of 3 units"


def test_sparse_rows_and_levels() -> None:
    rows = np.array([[1.0, 0, 0], [0, 0, 1]])
    sparse = scipy.sparse.csr_matrix(rows)
    wanted = boltz.log_likelihood(MODEL, rows).per_row
    np.testing.assert_array_equal(boltz.log_likelihood(MODEL, sparse).per_row, wanted)
    known = [True, False, True]
    wanted = boltz.log_likelihood(MODEL, rows, mask=known).per_row
    np.testing.assert_array_equal(boltz.log_likelihood(MODEL, sparse, mask=known).per_row, wanted)
    whole = (rows * 20).astype(int)
    np.testing.assert_array_equal(boltz.log_likelihood(MODEL.with_levels(20), whole, mask=known).per_row, wanted)


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        (MODEL, {"mask": [True, False]}, "mask must hold True"),
        (MODEL, {"x": np.full((1, 3), 2.0), "mask": [True, True, False]}, "x must hold"),
    ],
)
def test_what_cannot_be_done_is_said(model: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(boltz.InputError, match=words):
        boltz.log_likelihood(**({"model": model, "x": np.array([[1.0, np.nan, 0.0]])} | change))
