"""Catches a registered unit type that differs from sums over its states, at ordinary or at extreme fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import stats

from boltz.units import UNITS, Units

FIELDS = (0.0, 1.0, -1.0, 40.0, -40.0, 1e4, -1e4)
MODERATE = np.linspace(-8, 8, 65)
STREAM = (11, 12, 13)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest) -> Units:
    return UNITS[request.param]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
def no_overflow() -> Any:
    """Overflow, division by zero and invalid operations are errors; underflow to zero is right at extreme fields."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


def law(unit: Units, fields: Any) -> tuple[np.ndarray, np.ndarray]:
    """log-partition (...) and probability (..., states) of each state by a sum over the states, tiny terms kept."""
    values = np.array(unit.support, np.float64)
    exponents = np.asarray(fields, np.float64)[..., None] * values - unit.base_energy(values[:, None])
    order = np.sort(exponents, axis=-1)
    rest = np.exp(order[..., :-1] - order[..., -1:]).sum(axis=-1)
    log_z = order[..., -1] + np.log1p(rest)
    return log_z, np.exp(exponents - order[..., -1:]) / (1 + rest)[..., None]


def close(found: Any, expected: Any, dtype: Any, floor: float = 1e-300) -> None:
    """Equal up to the relative tolerance of the type; below floor, or float32's smallest number, zero is right."""
    error = np.abs(np.asarray(found, np.float64) - expected)
    least = max(floor, 1e-37 if dtype is np.float32 else 1e-300)
    assert (error <= TOLERANCE[dtype] * np.abs(expected) + least).all(), (found, expected)


def fields_of(dtype: Any, rows: int = 6, units: int = 70) -> np.ndarray:
    """Fields (rows, units), moderate ones with extreme ones among them."""
    rng = np.random.default_rng(3)
    field = rng.normal(0, 3, (rows, units))
    places = rng.random(field.shape) < 0.2
    field[places] = rng.choice(FIELDS, places.sum())
    return field.astype(dtype)


def test_log_partition_is_the_log_of_the_sum_over_states(unit: Units, dtype: Any) -> None:
    fields = np.array([*FIELDS, *MODERATE], dtype)
    found = unit.log_partition(fields)
    assert found.dtype == dtype
    close(found, law(unit, fields)[0], dtype)


def test_mean_and_variance_are_those_of_the_sum(unit: Units, dtype: Any) -> None:
    fields, values = np.array([*FIELDS, *MODERATE], dtype), np.array(unit.support)
    p = law(unit, fields)[1]
    mean = p @ values
    close(unit.mean(fields), mean, dtype)
    close(unit.variance(fields), np.sum(p * (values - mean[:, None]) ** 2, axis=-1), dtype)


def test_mean_and_variance_are_derivatives_of_the_log_partition(unit: Units) -> None:
    """Central differences; the bound is the third derivative (below 1 for states in [0, 1]) times step^2, and rounding.

    Catches a mean that fits another log-partition, also for unit types without a finite sum over states.
    """
    step = 1e-4
    first = (unit.log_partition(MODERATE + step) - unit.log_partition(MODERATE - step)) / (2 * step)
    second = (unit.mean(MODERATE + step) - unit.mean(MODERATE - step)) / (2 * step)
    assert np.abs(first - unit.mean(MODERATE)).max() < 1e-7
    assert np.abs(second - unit.variance(MODERATE)).max() < 1e-7


def test_entropy_is_that_of_the_states(unit: Units, dtype: Any) -> None:
    """Fields whose mean is a number of the type itself: the entropy is a function of the mean."""
    mean = unit.mean(np.array([0, 1, -1, 3, -3, 6], dtype))
    p = law(unit, unit.natural(mean.astype(np.float64)))[1]
    close(unit.entropy(mean), -np.sum(p * np.log(p), axis=-1), dtype, 1e-6 if dtype is np.float32 else 1e-14)
    assert (unit.entropy(np.array([min(unit.support), max(unit.support)], dtype)) == 0).all()


def test_natural_undoes_the_mean(unit: Units) -> None:
    assert np.abs(unit.natural(unit.mean(MODERATE)) - MODERATE).max() < 1e-10


@pytest.mark.parametrize("units", [1, 2, 511, 512, 513, 5000])
def test_total_log_partition_sums_a_row_in_float64(unit: Units, dtype: Any, units: int) -> None:
    """Up to 5,000 units at field 0, where a plain product of 1 + exp(-|field|) overflows; catches a lost last slice."""
    rng = np.random.default_rng(units)
    rows = [
        np.zeros(units),
        np.full(units, 1e4),
        np.full(units, -1e4),
        rng.normal(0, 3, units),
        rng.choice(FIELDS, units),
    ]
    fields = np.array(rows, dtype)
    found = unit.total_log_partition(fields)
    expected = law(unit, fields)[0].sum(axis=1)
    assert found.shape == (5,) and found.dtype == np.float64
    assert (np.abs(found - expected) <= TOLERANCE[dtype] * (1 + np.abs(expected))).all()
    assert (found == unit.total_log_partition(fields)).all()


def test_base_energy_sums_units_by_row(unit: Units, dtype: Any) -> None:
    values = np.array(unit.support, dtype)
    each = unit.base_energy(values[:, None])
    picks = np.random.default_rng(4).integers(0, len(values), (6, 5))
    assert np.abs(unit.base_energy(values[picks]) - each[picks].sum(axis=1)).max() <= TOLERANCE[dtype]


def test_sample_computes_the_mean_and_draws_from_exactly_that(unit: Units, dtype: Any) -> None:
    """Catches a dropped bias or scale, the mean stored as the state, a draw from another mean than the stored one."""
    start, bias = fields_of(dtype), np.random.default_rng(5).normal(size=70).astype(dtype)
    for scale in (1.0, 0.25, 0.0):
        inputs, state, drawn = start.copy(), np.full_like(start, np.nan), np.full_like(start, np.nan)
        unit.sample(inputs, scale, bias, STREAM, 9, state)
        field = dtype(scale) * start + bias
        close(inputs, law(unit, field)[1] @ np.array(unit.support), dtype)
        unit.draw(inputs, STREAM, 9, drawn)
        assert (state == drawn).all() and np.isin(state, unit.support).all() and len(np.unique(state)) > 1


def test_a_draw_does_not_depend_on_the_block(unit: Units, dtype: Any) -> None:
    mean = unit.mean(fields_of(dtype))
    whole, parts = np.empty_like(mean), np.empty_like(mean)
    unit.draw(mean, STREAM, 9, whole)
    for a, b in ((0, 1), (1, 4), (4, 6)):
        unit.draw(mean[a:b], STREAM, 9 + a, parts[a:b])
    assert (whole == parts).all()
    even = np.full_like(mean, np.mean(unit.support))
    unit.draw(even, STREAM, 9, whole)
    unit.draw(even, STREAM, 10, parts)
    assert (parts[:-1] == whole[1:]).all() and not (parts == whole).all()


def test_relax_moves_the_mean_part_of_the_way(unit: Units, dtype: Any) -> None:
    inputs, bias = fields_of(dtype), fields_of(dtype)[::-1].copy()
    old = np.random.default_rng(6).random(inputs.shape).astype(dtype)
    for damping in (0.0, 0.3):
        mean, kept = old.copy(), inputs.copy()
        change = unit.relax(kept, 0.5, bias, damping, mean)
        target = law(unit, dtype(0.5) * inputs + bias)[1] @ np.array(unit.support)
        close(mean, damping * old + (1 - damping) * target, dtype, 1e-6 if dtype is np.float32 else 1e-15)
        assert change == np.abs(mean - old).max() and (kept == inputs).all()
    assert unit.relax(inputs, 0.5, bias, 0.0, mean) > 0
    assert unit.relax(inputs, 0.5, bias, 0.0, mean) == 0, "a fixed point is reached in one step without damping"


def test_anneal_weighs_the_change_of_temperature_and_then_samples(unit: Units, dtype: Any) -> None:
    """Catches swapped temperatures, beta on the weights only, an increment that is set instead of added to."""
    start, rng = fields_of(dtype), np.random.default_rng(7)
    biases = rng.normal(size=70).astype(dtype), rng.normal(size=70).astype(dtype)
    inputs, state, increment = start.copy(), np.empty_like(start), np.arange(6.0)
    unit.anneal(inputs, (0.25, 0.5), biases, STREAM, 9, state, increment)
    before, after = (dtype(beta) * start + bias for beta, bias in zip((0.25, 0.5), biases, strict=True))
    change = law(unit, after)[0] - law(unit, before)[0]
    assert (
        np.abs(increment - np.arange(6.0) - change.sum(axis=1)) <= TOLERANCE[dtype] * np.abs(change).sum(axis=1)
    ).all()
    mean, drawn = start.copy(), np.empty_like(start)
    unit.sample(mean, 0.5, biases[1], STREAM, 9, drawn)
    close(inputs, mean, dtype)
    assert (state == drawn).all()


def test_nan_stays_visible(unit: Units, dtype: Any) -> None:
    """A guard can only stop a run on what it sees: a NaN field must not turn into a 0/1 state."""
    bias, bad = np.zeros(70, dtype), np.zeros((2, 70), dtype)
    bad[1, 33] = np.nan
    with np.errstate(invalid="ignore"):
        inputs, state = bad.copy(), np.zeros_like(bad)
        unit.sample(inputs, 1.0, bias, STREAM, 0, state)
        assert (np.isnan(inputs) == np.isnan(bad)).all() and (np.isnan(state) == np.isnan(bad)).all()
        increment = np.zeros(2)
        unit.anneal(bad.copy(), (0.0, 1.0), (bias, bias), STREAM, 0, state, increment)
        assert np.isnan(increment[1]) and not np.isnan(increment[0]) and np.isnan(state[1, 33])
        assert np.isnan(unit.relax(bad, 1.0, bias, 0.5, np.full_like(bad, 0.5)))


TABLE_FIELDS = (-1e4, -40, -20, -10, -7, -5, -3, -1, -0.1, 0, 0.1, 1, 3, 5, 7, 10, 20, 40, 1e4)


def test_draws_at_extreme_fields_follow_the_law(unit: Units, dtype: Any) -> None:
    """Binomial table of every state at every field, alpha 1e-6 together, 4e6 draws a cell.

    Catches probabilities clipped at 0.001 or drawn from 8-bit or signed uniforms, and a sigmoid that saturates early.
    """
    fields, rows, units, draws = np.array(TABLE_FIELDS), 2000, 2000, 4_000_000
    counts = np.zeros((len(fields), len(unit.support)))
    for i, field in enumerate(fields):
        inputs, state = np.full((rows, units), field, dtype), np.empty((rows, units), dtype)
        unit.sample(inputs, 1.0, np.zeros(units, dtype), (21, 22, i), 0, state)
        counts[i] = [(state == value).sum() for value in unit.support]
    p = law(unit, fields)[1]
    assert (counts.sum(axis=1) == draws).all()
    stats.accept(stats.binomial_table(counts, draws, p), "draws at some field do not follow the unit's law")
    rare, common = (float(law(unit, np.array(field))[1][0]) for field in (10.0, 1.0))
    assert stats.detectable_binomial(draws, rare, max(rare, 0.001), counts.size)  # clipped at 0.001
    assert stats.detectable_binomial(draws, rare, 1 / 256, counts.size)  # 8-bit uniforms
    assert stats.detectable_binomial(draws, common, float(law(unit, np.array(1.02))[1][0]), counts.size)  # gain + 2 %


def test_every_unit_type_is_documented_and_whole(unit: Units) -> None:
    """A registered type states its source and has every member of the protocol."""
    assert unit.__doc__ and "(" in unit.__doc__, "name the source (author, year) in the docstring"
    for name in (n for n in vars(Units) if not n.startswith("_")):
        assert hasattr(unit, name), name
    assert len(set(unit.support)) == len(unit.support) >= 2
