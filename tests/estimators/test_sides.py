"""Catches log-likelihoods between the two sides of log Z with a wrong kind, wrong arithmetic, or for a machine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.machines import SMALL, machine_of

import boltz
from boltz.estimators.estimate import Estimate, Kind, exact
from boltz.estimators.likelihood import variational_bound
from boltz.estimators.two_sided import Standing, TwoSided, difference, sides

ROWS = np.random.default_rng(4).integers(0, 2, (5, 3)).astype(np.float64)


def estimate(value: float, kind: Kind, error: float = 0.1, reach: tuple[float, float] = (0.2, 0.3)) -> Estimate:
    """An estimate whose interval reaches so far down and up, trusted, of 100 chains."""
    return Estimate(value, error, (value - reach[0], value + reach[1]), kind, 50.0, 100, 7, (), np.ones(100))


def two_sided(up: Kind, down: Kind, best: Kind = "none") -> TwoSided:
    return TwoSided(estimate(10.0, best), estimate(9.0, up), estimate(11.0, down), None, 0.25, True, 1.0)


TABLE: list[tuple[Kind, Kind, tuple[Kind, Standing], tuple[Kind, Standing]]] = [
    ("exact", "upper", ("lower", "certified"), ("upper", "certified")),
    ("exact", "none", ("none", "diagnostic"), ("upper", "certified")),
    ("lower", "upper", ("lower", "certified"), ("none", "none")),
    ("lower", "none", ("none", "diagnostic"), ("none", "none")),
    ("upper", "upper", ("none", "none"), ("upper", "certified")),
    ("upper", "none", ("none", "none"), ("upper", "certified")),
    ("none", "upper", ("none", "none"), ("none", "none")),
    ("none", "none", ("none", "none"), ("none", "none")),
]  # kind of log p*, of annealing down -> what the lower and the upper side of log p are


@pytest.mark.parametrize(("of_rows", "down", "lower", "upper"), TABLE)
def test_kinds_of_the_sides(
    of_rows: Kind, down: Kind, lower: tuple[Kind, Standing], upper: tuple[Kind, Standing]
) -> None:
    found = sides(estimate(4.0, of_rows), two_sided("lower", down))
    assert (found.lower.estimate.kind, found.lower.standing) == lower
    assert (found.upper.estimate.kind, found.upper.standing) == upper
    assert found.best.kind == "none"
    assert (found.lower.estimate.value, found.best.value, found.upper.estimate.value) == (-7.0, -6.0, -5.0)


@pytest.mark.parametrize(
    ("of_rows", "lower", "upper"),
    [("exact", "certified", "certified"), ("lower", "certified", "none"), ("none", "none", "none")],
)
def test_sides_of_an_exact_log_z(of_rows: Kind, lower: Standing, upper: Standing) -> None:
    log_z = TwoSided(*[exact(10.0, "enumeration")] * 3, None, 0.25, True, 1.0)
    found = sides(estimate(4.0, of_rows), log_z)
    assert (found.lower.standing, found.upper.standing, found.best.kind) == (lower, upper, of_rows)


def test_errors_and_ends_are_added_in_squares() -> None:
    found = difference(estimate(4.0, "exact", 0.3, (0.4, 0.6)), estimate(10.0, "lower", 0.4, (0.8, 0.3)))
    assert found.value == -6.0 and found.standard_error == pytest.approx(0.5)
    assert found.interval == pytest.approx((-6 - np.hypot(0.4, 0.3), -6 + np.hypot(0.6, 0.8)))
    assert (found.chains, found.steps, found.trusted, found.per_row) == (100, 7, True, None)
    doubtful = replace(estimate(4.0, "exact"), doubts=("made",))
    assert not difference(doubtful, estimate(1.0, "lower")).trusted
    assert not difference(estimate(1.0, "lower"), doubtful).trusted
    assert not sides(doubtful, two_sided("lower", "none")).lower.estimate.trusted


def test_best_is_the_log_likelihood_with_that_log_z() -> None:
    model = machine_of(SMALL["rbm"])
    log_z = two_sided("lower", "upper")
    rows = np.random.default_rng(4).integers(0, 2, (5, model.units["v"])).astype(np.float64)
    found = sides(boltz.log_likelihood(model, rows, exact(0.0, "")), log_z)
    for side, given in ((found.best, log_z.estimate), (found.lower.estimate, log_z.upper)):
        wanted = boltz.log_likelihood(model, rows, given)
        assert side.value == pytest.approx(wanted.value, abs=1e-12) and side.kind == wanted.kind
        assert side.per_row == pytest.approx(wanted.per_row, abs=1e-12)


def test_the_variational_bound_is_below_the_truth_also_where_that_is_enumerated() -> None:
    model = machine_of(SMALL["dbm2"])
    found, truth = variational_bound(model, ROWS), boltz.log_likelihood(model, ROWS)
    assert (found.kind, truth.kind) == ("lower", "exact") and "variational bound" in found.method
    assert found.per_row is not None and truth.per_row is not None
    assert (found.per_row < truth.per_row).all() and found.value > truth.value - 1
    assert variational_bound(model, ROWS, boltz.ais(model, 10, 5)).kind == "none"
    rbm = machine_of(SMALL["rbm"])
    rows = np.random.default_rng(4).integers(0, 2, (5, rbm.units["v"])).astype(np.float64)
    of_rbm = boltz.log_likelihood(rbm, rows)
    assert variational_bound(rbm, rows).per_row == pytest.approx(of_rbm.per_row, abs=1e-9)
