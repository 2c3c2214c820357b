"""Catches Gaussian units that differ from quadrature, from their closed forms, or from the normal law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import integrate
from scipy import stats as laws
from support import stats

from boltz.units import units_of

VARIANCES = np.array([1e-3, 0.3, 1.0, 4.0, 50.0])
FIELDS = np.array([0.0, 0.4, -2.0, 3.5, -6.0])
STREAM = (11, 12, 13)
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-10}


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def unit(dtype: Any = np.float64, units: int = len(VARIANCES)) -> Any:
    log_variance = np.resize(np.log(VARIANCES), units).astype(dtype)
    return units_of("gaussian").bound({"bias": np.zeros(units), "log_variance": log_variance})


def quadrature(field: float, variance: float) -> float:
    """log of the integral of exp(field x - x^2 / (2 variance))."""
    middle, spread = field * variance, np.sqrt(variance)
    top = field * middle / 2
    found, _ = integrate.quad(
        lambda x: np.exp(field * x - x * x / (2 * variance) - top),
        middle - 12 * spread,
        middle + 12 * spread,
        epsabs=0,
        epsrel=1e-13,
        limit=500,
    )
    return float(np.log(found) + top)


def test_log_partition_mean_and_variance_are_those_of_quadrature(dtype: Any) -> None:
    logs = np.array([quadrature(f, v) for f, v in zip(FIELDS, VARIANCES, strict=True)])
    kind, given = unit(dtype), FIELDS.astype(dtype)
    assert kind.log_partition(given).dtype == dtype
    assert (np.abs(kind.log_partition(given) - logs) <= TOLERANCE[dtype] * (1 + np.abs(logs))).all()
    assert (np.abs(kind.mean(given) - VARIANCES * FIELDS) <= TOLERANCE[dtype] * (1 + np.abs(VARIANCES * FIELDS))).all()
    assert (np.abs(kind.variance(given) - VARIANCES) <= TOLERANCE[dtype] * VARIANCES).all()
    assert (np.abs(kind.natural(kind.mean(given)) - given) <= TOLERANCE[dtype] * (1 + np.abs(given))).all()


def test_derivatives_of_the_log_partition_are_mean_variance_and_statistics() -> None:
    """Central differences in field and log-variance; the log-partition is quadratic in the field."""
    step, kind, log_variance = 1e-4, unit(), np.log(VARIANCES)
    scale = 1 + VARIANCES * FIELDS**2
    first = (kind.log_partition(FIELDS + step) - kind.log_partition(FIELDS - step)) / (2 * step)
    assert (np.abs(first - kind.mean(FIELDS)) <= 1e-8 * scale * 10).all()
    second = (kind.mean(FIELDS + step) - kind.mean(FIELDS - step)) / (2 * step)
    assert (np.abs(second - kind.variance(FIELDS)) <= 1e-8 * scale).all()
    up, down = (
        units_of("gaussian").bound({"log_variance": log_variance + s}).log_partition(FIELDS) for s in (step, -step)
    )
    expected = kind.mean_statistics(kind.mean(FIELDS)[None])["log_variance"][0]
    assert (np.abs((up - down) / (2 * step) - expected) <= 1e-7 * scale).all()


def test_base_energies_and_statistics_of_states_and_of_means() -> None:
    """E[x^2] is mean^2 + variance; catches energies and statistics taken at the mean."""
    kind, mean = unit(), np.array([FIELDS, FIELDS[::-1]])
    nodes, weights = np.polynomial.hermite_e.hermegauss(20)
    states = mean[..., None] + np.sqrt(VARIANCES)[:, None] * nodes
    share = weights / weights.sum()
    energy = (states**2 / (2 * VARIANCES[:, None])) @ share
    assert np.allclose(kind.mean_energy(mean), energy.sum(axis=1), rtol=1e-12)
    assert np.allclose(kind.mean_statistics(mean)["log_variance"], energy, rtol=1e-12)
    assert np.allclose(kind.statistics(mean)["log_variance"], mean**2 / (2 * VARIANCES), rtol=1e-12)
    assert np.allclose(kind.base_energy(mean), (mean**2 / (2 * VARIANCES)).sum(axis=1), rtol=1e-12)
    assert np.allclose(kind.entropy(mean), np.log(2 * np.pi * np.e * VARIANCES) / 2, rtol=1e-12)


def test_draws_follow_the_normal_law(dtype: Any) -> None:
    """Kolmogorov-Smirnov tests of 200,000 draws at five variances, alpha 1e-6 together; catches a lost bias, scale or
    variance, and a standard deviation in the place of a variance.
    """
    rows, columns = 2000, 500
    kind, rng = unit(dtype, columns), np.random.default_rng(1)
    start, bias = rng.normal(size=(rows, columns)).astype(dtype), rng.normal(size=columns).astype(dtype)
    inputs, state = start.copy(), np.empty_like(start)
    kind.sample(inputs, 0.5, bias, STREAM, 9, state)
    variance = np.resize(VARIANCES, columns)
    mean = (0.5 * start.astype(np.float64) + bias) * variance
    assert (np.abs(inputs - mean) <= TOLERANCE[dtype] * (1 + np.abs(mean))).all()
    z = (state - mean) / np.sqrt(variance)
    for i in range(len(VARIANCES)):
        p = laws.kstest(z[:, i :: len(VARIANCES)].ravel(), "norm").pvalue
        stats.accept(min(p * len(VARIANCES), 1.0), "draws are not normal")
    again = np.empty_like(state)
    kind.draw(inputs, STREAM, 9, again)
    assert (again == state).all()
    kind.draw(inputs[5:], STREAM, 14, again[5:])
    assert (again == state).all(), "a draw depends on the block"


def test_relax_and_anneal(dtype: Any) -> None:
    """Catches swapped temperatures, and an increment that is set instead of added to."""
    rng, kind = np.random.default_rng(2), unit(dtype, 70)
    start, old = rng.normal(size=(6, 70)).astype(dtype), rng.normal(size=(6, 70)).astype(dtype)
    biases = rng.normal(size=70).astype(dtype), rng.normal(size=70).astype(dtype)
    mean, variance = old.copy(), np.resize(VARIANCES, 70)
    change = kind.relax(start.copy(), 0.5, biases[0], 0.3, mean)
    target = 0.3 * old + 0.7 * variance * (0.5 * start + biases[0])
    assert (np.abs(mean - target) <= TOLERANCE[dtype] * (1 + np.abs(target))).all()
    assert change == np.abs(mean - old).max() > 0
    inputs, state, increment = start.copy(), np.empty_like(start), np.arange(6.0)
    kind.anneal(inputs, (0.25, 0.5), biases, STREAM, 9, state, increment)
    before, after = (s * start.astype(np.float64) + b for s, b in zip((0.25, 0.5), biases, strict=True))
    expected = (variance * (after**2 - before**2) / 2).sum(axis=1)
    assert (np.abs(increment - np.arange(6.0) - expected) <= TOLERANCE[dtype] * (1 + np.abs(expected)) * 10).all()
    other, drawn = start.copy(), np.empty_like(start)
    kind.sample(other, 0.5, biases[1], STREAM, 9, drawn)
    assert (drawn == state).all() and (other == inputs).all()


def test_nan_and_extreme_fields(dtype: Any) -> None:
    kind, bad = unit(dtype, 70), np.zeros((2, 70), dtype)
    bad[1, 33] = np.nan
    state = np.zeros_like(bad)
    kind.sample(bad.copy(), 1.0, np.zeros(70, dtype), STREAM, 0, state)
    assert (np.isnan(state) == np.isnan(bad)).all()
    for field in (1e4, -1e4):
        found = kind.log_partition(np.full((1, 70), field, dtype))
        assert np.isfinite(found).all() and np.isfinite(kind.total_log_partition(np.full((1, 70), field, dtype))).all()


def test_parameters_are_views() -> None:
    """A unit type that is bound once follows the arena as training moves it."""
    import boltz

    model = boltz.rbm(3, 2, units="gaussian", dtype=np.float64)
    kind = model.unit_type("v")
    assert (kind.variance(np.zeros((1, 3))) == 1).all()
    model.params["layer/v/log_variance"][...] = np.log(4.0)
    assert np.allclose(kind.variance(np.zeros((1, 3))), 4.0)
