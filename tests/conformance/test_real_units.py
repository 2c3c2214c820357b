"""Catches a unit type of real numbers that differs from quadrature of its own base energy, or draws of another law."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import interpolate
from scipy import stats as laws
from support import stats

from boltz.units import UNITS, Units

KINDS = [name for name, unit in UNITS.items() if unit.support is None and not unit.joint]
FIELDS = np.array([0.0, 0.4, -2.0, 3.5, -6.0])
STREAM = (11, 12, 13)
TOLERANCE = {np.float32: 3e-5, np.float64: 1e-8}
STEP = 1e-4


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def parameters(kind: str, units: int = len(FIELDS), dtype: Any = np.float64) -> dict[str, Any]:
    """Own parameters of some units, other ones for each."""
    rng = np.random.default_rng(1)
    return {name: rng.normal(0, 0.8, shape).astype(dtype) for name, shape in UNITS[kind].shapes(units).items()}


def unit(kind: str, units: int = len(FIELDS), dtype: Any = np.float64) -> Units:
    return UNITS[kind].bound(parameters(kind, units, dtype))


def alone(kind: str, i: int) -> Units:
    """Unit i of some, in float64."""
    return UNITS[kind].bound({name: x[i : i + 1] for name, x in parameters(kind).items()})


def expectation(one: Units, field: float, function: Any) -> tuple[float, float]:
    """log of the integral of the density of a unit at a field, and the mean of a function of its states (rows, 1).

    Gauss-Legendre rules of 12 nodes on panels of a fifth, on either side of 0.
    """
    nodes, weights = np.polynomial.legendre.leggauss(12)
    starts = np.arange(0 if isinstance(one, type(UNITS["rectified"])) else -60, 60, 0.2)
    x = (starts[:, None] + 0.1 * (nodes + 1)).reshape(-1, 1)
    log_p = field * x[:, 0] - one.base_energy(x) + np.log(np.tile(0.1 * weights, len(starts)))
    total = float(np.logaddexp.reduce(log_p))
    return total, float(np.exp(log_p - total) @ np.reshape(function(x), -1))


def near(found: Any, expected: Any, tolerance: float = 1e-8) -> None:
    expected = np.asarray(expected)
    assert (np.abs(np.asarray(found) - expected) <= tolerance * (1 + np.abs(expected))).all(), (found, expected)


def test_log_partition_and_moments_are_those_of_quadrature(kind: str, dtype: Any) -> None:
    """Catches a lost side, a wrong precision, and a variance that is a mean square."""
    found, fields = unit(kind, dtype=dtype), FIELDS.astype(dtype)
    each = [(alone(kind, i), f) for i, f in enumerate(FIELDS)]
    logs = [expectation(one, f, lambda x: np.ones_like(x))[0] for one, f in each]
    means = np.array([expectation(one, f, lambda x: x)[1] for one, f in each])
    squares = np.array([expectation(one, f, lambda x: x * x)[1] for one, f in each])
    assert found.log_partition(fields).dtype == found.mean(fields).dtype == dtype
    near(found.log_partition(fields), logs, TOLERANCE[dtype])
    near(found.total_log_partition(fields[None]), [sum(logs)], TOLERANCE[dtype])
    near(found.mean(fields), means, TOLERANCE[dtype])
    near(found.variance(fields), squares - means**2, 10 * TOLERANCE[dtype])


def test_expected_statistics_energies_and_entropies_are_those_of_quadrature(kind: str) -> None:
    """Catches statistics and energies that are taken at the mean."""
    found, total, entropy = unit(kind), 0.0, []
    wanted: dict[str, list[float]] = {name: [] for name in UNITS[kind].shapes(1)}
    for i, f in enumerate(FIELDS):
        one = alone(kind, i)
        for name, values in wanted.items():
            values.append(expectation(one, f, lambda x, n=name, o=one: o.statistics(x)[n])[1])
        log_z, energy = expectation(one, f, lambda x, o=one: o.base_energy(x))
        total += energy
        entropy.append(log_z - f * expectation(one, f, lambda x: x)[1] + energy)
    mean = found.mean(FIELDS)[None]
    for name, values in wanted.items():
        near(found.field_statistics(FIELDS[None])[name][0], values)
    near(found.mean_energy(mean), [total])
    near(found.entropy(mean)[0], entropy)
    near(found.mean(found.natural(mean)), mean)


def test_statistics_are_derivatives_of_base_energies(kind: str) -> None:
    """Central differences in each own parameter; the bound is its third derivative times the step squared."""
    own, states = parameters(kind), np.random.default_rng(3).normal(0, 2, (20, len(FIELDS)))
    states = np.abs(states) if kind == "rectified" else states
    for name, x in own.items():
        up, down = (UNITS[kind].bound(own | {name: x + s}) for s in (STEP, -STEP))
        for i in range(len(FIELDS)):
            one = np.zeros_like(states)
            one[:, i] = states[:, i]
            slope = (down.base_energy(one) - up.base_energy(one)) / (2 * STEP)
            near(unit(kind).statistics(states)[name][:, i], slope, 1e-6)


def test_derivatives_of_the_log_partition_are_mean_and_variance(kind: str) -> None:
    found = unit(kind)
    near(
        (found.log_partition(FIELDS + STEP) - found.log_partition(FIELDS - STEP)) / (2 * STEP), found.mean(FIELDS), 1e-6
    )
    near((found.mean(FIELDS + STEP) - found.mean(FIELDS - STEP)) / (2 * STEP), found.variance(FIELDS), 1e-6)


def test_draws_follow_the_law(kind: str, dtype: Any) -> None:
    """Kolmogorov-Smirnov tests of 100,000 draws at five fields, alpha 1e-6 together.

    Catches a lost bias or scale, draws at the mean, and one uniform number for both the side and the place.
    """
    rows, count = 5000, 20
    own = {name: np.repeat(x, count) for name, x in parameters(kind, dtype=dtype).items()}
    found, bias = UNITS[kind].bound(own), np.repeat(FIELDS.astype(dtype) / 2, count)
    inputs = np.full((rows, len(bias)), 1, dtype) * bias
    state, fields = np.empty_like(inputs), inputs.copy()
    found.sample(inputs, 1.0, bias, STREAM, 9, state)
    near(inputs, found.mean(fields + bias), TOLERANCE[dtype])
    grid = np.linspace(-40, 40, 400_001)
    for i, f in enumerate(FIELDS):
        log_p = f * grid - np.array([alone(kind, i).base_energy(grid[:, None])]).reshape(-1)
        p = np.exp(log_p - log_p.max()) * (grid >= 0 if kind == "rectified" else 1)
        law = interpolate.interp1d(grid, np.cumsum(p) / p.sum(), bounds_error=False, fill_value=(0, 1))
        draws = state[:, i * count : (i + 1) * count].ravel() + 1e-4 * (kind == "rectified")
        value = laws.kstest(draws, law).pvalue
        stats.accept(min(value * len(FIELDS), 1.0), f"draws at field {f} do not follow the law of {kind}")
    again = np.empty_like(state)
    found.sample(fields[5:].copy(), 1.0, bias, STREAM, 14, again[5:])
    assert (again[5:] == state[5:]).all(), "a draw depends on the block"
    found.draw(inputs[:50], STREAM, 9, again[:50])
    near(again[:50], state[:50], 1e-2 if dtype is np.float32 else 1e-5)


def test_relax_and_anneal(kind: str) -> None:
    """Catches swapped temperatures, and an increment that is set instead of added to."""
    rng, found = np.random.default_rng(2), unit(kind, 7)
    start, biases = rng.normal(size=(6, 7)), (rng.normal(size=7), rng.normal(size=7))
    old = found.mean(rng.normal(size=(6, 7)))
    mean = old.copy()
    change = found.relax(start.copy(), 0.5, biases[0], 0.3, mean)
    near(mean, 0.3 * old + 0.7 * found.mean(0.5 * start + biases[0]), 1e-12)
    assert change == np.abs(mean - old).max() > 0
    inputs, state, increment = start.copy(), np.empty_like(start), np.arange(6.0)
    found.anneal(inputs, (0.25, 0.5), biases, STREAM, 9, state, increment)
    after, before = found.log_partition(0.5 * start + biases[1]), found.log_partition(0.25 * start + biases[0])
    near(increment, np.arange(6.0) + (after - before).sum(axis=1), 1e-10)
    other, drawn = start.copy(), np.empty_like(start)
    found.sample(other, 0.5, biases[1], STREAM, 9, drawn)
    assert (drawn == state).all() and (other == inputs).all()


def test_nan_and_extreme_fields(kind: str, dtype: Any) -> None:
    """A NaN stays one; fields of 1e4 give finite log-partitions, means and draws."""
    found, bad = unit(kind, 70, dtype), np.zeros((2, 70), dtype)
    bad[1, 33] = np.nan
    state = np.zeros_like(bad)
    with np.errstate(all="ignore"):
        found.sample(bad.copy(), 1.0, np.zeros(70, dtype), STREAM, 0, state)
    assert (np.isnan(state) == np.isnan(bad)).all()
    for field in (1e4, -1e4):
        x = np.full((1, 70), field, dtype)
        found.sample(x.copy(), 1.0, np.zeros(70, dtype), STREAM, 0, state[:1])
        whole = (found.log_partition(x), found.total_log_partition(x), found.mean(x), found.variance(x), state[:1])
        assert all(np.isfinite(each).all() for each in whole)
        assert (found.variance(x) > 0).all()


def test_parameters_are_views() -> None:
    """A unit type that is bound once follows the arena as training moves it."""
    import boltz

    model = boltz.rbm(3, 2, units="gaussian", dtype=np.float64)
    kind = model.unit_type("v")
    assert (kind.variance(np.zeros((1, 3))) == 1).all()
    model.params["layer/v/log_variance"][...] = np.log(4.0)
    assert np.allclose(kind.variance(np.zeros((1, 3))), 4.0)
