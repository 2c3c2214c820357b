"""Catches a registered unit type with few states that differs from sums over these, at any fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support import stats

from boltz.units import FAMILIES, UNITS, Units, units_of
from boltz.units.states import states_of

KINDS = [name for name, unit in UNITS.items() if unit.support is not None and not unit.joint]
KINDS += [f"{name}:{n}" for name, family in FAMILIES.items() if not family(2).joint for n in (2, 5)]
FIELDS = (0.0, 1.0, -1.0, 40.0, -40.0, 1e4, -1e4)
MODERATE = np.linspace(-8, 8, 65)
STREAM = (11, 12, 13)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}


@pytest.fixture(params=KINDS)
def unit(request: pytest.FixtureRequest) -> Units:
    return units_of(request.param)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
def no_overflow() -> Any:
    """Overflow, division by zero and invalid operations are errors; underflow to zero is right at extreme fields."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


def table(unit: Units) -> np.ndarray:
    """The states (states, columns) of a unit."""
    states = states_of(unit)
    assert states is not None
    return states.astype(np.float64)


def law(unit: Units, fields: Any) -> tuple[np.ndarray, np.ndarray]:
    """log-partition (..., units) and probability (..., units, states) by a sum over the states, tiny terms kept.

    fields (..., columns of all units).
    """
    states = table(unit)
    parts = np.asarray(fields, np.float64).reshape(*np.shape(fields)[:-1], -1, states.shape[1])
    exponents = parts @ states.T - unit.base_energy(states)
    order = np.sort(exponents, axis=-1)
    rest = np.exp(order[..., :-1] - order[..., -1:]).sum(axis=-1)
    log_z = order[..., -1] + np.log1p(rest)
    return log_z, np.exp(exponents - order[..., -1:]) / (1 + rest)[..., None]


def means(unit: Units, fields: Any) -> np.ndarray:
    """Mean state (..., columns of all units) by a sum over the states."""
    return (law(unit, fields)[1] @ table(unit)).reshape(np.shape(fields))


def close(found: Any, expected: Any, dtype: Any, floor: float = 1e-300) -> None:
    """Equal up to the relative tolerance of the type; below floor, or float32's smallest number, zero is right."""
    error = np.abs(np.asarray(found, np.float64) - expected)
    least = max(floor, 1e-37 if dtype is np.float32 else 1e-300)
    assert (error <= TOLERANCE[dtype] * np.abs(expected) + least).all(), (found, expected)


def rounding(unit: Units, dtype: Any) -> float:
    """What a mean may be off by where its range has both signs, or sums to 1, and rounding is relative to 1."""
    return 0.0 if unit.binary else 4 * float(np.finfo(dtype).eps)


def some_fields(unit: Units, dtype: Any) -> np.ndarray:
    """Fields of one row, extreme and moderate ones; those of the columns of a unit are of both sorts."""
    fields = np.array([*FIELDS, *MODERATE])
    if unit.columns > 1:
        rng = np.random.default_rng(2)
        fields = np.concatenate([rng.permutation(fields) for _ in range(unit.columns)])
    return fields.astype(dtype)


def moderate(unit: Units) -> np.ndarray:
    rng = np.random.default_rng(8)
    return MODERATE if unit.columns == 1 else rng.choice(MODERATE / 2, len(MODERATE) * unit.columns)


def fields_of(unit: Units, dtype: Any, rows: int = 6, units: int = 70) -> np.ndarray:
    """Fields (rows, columns of so many units), moderate ones with extreme ones among them."""
    rng = np.random.default_rng(3)
    field = rng.normal(0, 3, (rows, units * unit.columns))
    places = rng.random(field.shape) < 0.2
    field[places] = rng.choice(FIELDS, places.sum())
    return field.astype(dtype)


def biases_of(unit: Units, dtype: Any, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=70 * unit.columns).astype(dtype)


def are_states(unit: Units, state: np.ndarray) -> bool:
    parts = state.reshape(-1, unit.columns)
    return bool((parts[:, None] == table(unit)).all(axis=2).any(axis=1).all())


def test_log_partition_is_the_log_of_the_sum_over_states(unit: Units, dtype: Any) -> None:
    fields = some_fields(unit, dtype)
    found = unit.log_partition(fields)
    assert found.dtype == dtype
    close(found, law(unit, fields)[0], dtype, 1e-300 if unit.columns == 1 else float(np.finfo(dtype).eps))


def test_mean_and_variance_are_those_of_the_sum(unit: Units, dtype: Any) -> None:
    fields, states = some_fields(unit, dtype), table(unit)
    p = law(unit, fields)[1]
    mean = p @ states
    close(unit.mean(fields), mean.reshape(fields.shape), dtype, rounding(unit, dtype))
    spread = np.einsum("us,usc->uc", p, (states - mean[:, None]) ** 2).reshape(fields.shape)
    close(unit.variance(fields), spread, dtype)


def test_mean_and_variance_are_derivatives_of_the_log_partition(unit: Units) -> None:
    """Central differences; the bound is step^2 times the third derivative, below 8 for states in [-1, 1], and rounding.

    Catches a mean that fits another log-partition.
    """
    step, fields = 1e-4, moderate(unit)
    for column in range(unit.columns):
        along = step * (np.arange(len(fields)) % unit.columns == column)
        first = (unit.log_partition(fields + along) - unit.log_partition(fields - along)) / (2 * step)
        second = (unit.mean(fields + along) - unit.mean(fields - along)) / (2 * step)
        mine = slice(column, None, unit.columns)
        assert np.abs(first - unit.mean(fields)[mine]).max() < 1e-7
        assert np.abs(second[mine] - unit.variance(fields)[mine]).max() < 1e-7


def test_entropy_is_that_of_the_states(unit: Units, dtype: Any) -> None:
    """Fields whose mean is a number of the type itself: the entropy is a function of the mean."""
    fields = np.array([0, 1, -1, 3, -3, 6, 2, 0.5, -2, 1.5], dtype)
    mean = unit.mean(np.concatenate([np.roll(fields, i) for i in range(unit.columns)]))
    p = law(unit, unit.natural(mean.astype(np.float64)))[1]
    close(unit.entropy(mean), -np.sum(p * np.log(p), axis=-1), dtype, 1e-6 if dtype is np.float32 else 1e-14)
    certain = table(unit) if unit.columns > 1 else table(unit)[[0, -1]]  # means that a single state has
    assert (unit.entropy(certain.astype(dtype)) == 0).all()


def test_natural_undoes_the_mean(unit: Units) -> None:
    """Fields that differ by a constant over the columns of a unit are the same."""
    fields = moderate(unit)
    again = unit.natural(unit.mean(fields))
    assert np.abs(unit.mean(again) - unit.mean(fields)).max() < 1e-14
    if unit.columns == 1:
        near = np.abs(fields) <= 4
        assert np.abs(again - fields)[near].max() < 1e-10


@pytest.mark.parametrize("units", [1, 2, 511, 512, 513, 5000])
def test_total_log_partition_sums_a_row_in_float64(unit: Units, dtype: Any, units: int) -> None:
    """Up to 5,000 units at field 0, where a plain product of 1 + exp(-|field|) overflows; catches a lost last slice."""
    rng = np.random.default_rng(units)
    columns = units * unit.columns
    rows = [
        np.zeros(columns),
        np.full(columns, 1e4),
        np.full(columns, -1e4),
        rng.normal(0, 3, columns),
        rng.choice(FIELDS, columns),
    ]
    fields = np.array(rows, dtype)
    found = unit.total_log_partition(fields)
    expected = law(unit, fields)[0]
    assert found.shape == (5,) and found.dtype == np.float64
    assert (np.abs(found - expected.sum(axis=1)) <= TOLERANCE[dtype] * (1 + np.abs(expected).sum(axis=1))).all()
    assert (found == unit.total_log_partition(fields)).all()


def test_base_energy_sums_units_by_row(unit: Units, dtype: Any) -> None:
    states = table(unit).astype(dtype)
    each = unit.base_energy(states)
    picks = np.random.default_rng(4).integers(0, len(states), (6, 5))
    assert np.abs(unit.base_energy(states[picks].reshape(6, -1)) - each[picks].sum(axis=1)).max() <= TOLERANCE[dtype]


def test_sample_computes_the_mean_and_draws_from_exactly_that(unit: Units, dtype: Any) -> None:
    """Catches a dropped bias or scale, the mean stored as the state, a draw from another mean than the stored one."""
    start, bias = fields_of(unit, dtype), biases_of(unit, dtype, 5)
    for scale in (1.0, 0.25, 0.0):
        inputs, state, drawn = start.copy(), np.full_like(start, np.nan), np.full_like(start, np.nan)
        unit.sample(inputs, scale, bias, STREAM, 9, state)
        close(inputs, means(unit, dtype(scale) * start + bias), dtype, rounding(unit, dtype))
        unit.draw(inputs, STREAM, 9, drawn)
        assert (state == drawn).all() and are_states(unit, state) and len(np.unique(state)) > 1


def test_a_draw_does_not_depend_on_the_block(unit: Units, dtype: Any) -> None:
    mean = unit.mean(fields_of(unit, dtype))
    whole, parts = np.empty_like(mean), np.empty_like(mean)
    unit.draw(mean, STREAM, 9, whole)
    for a, b in ((0, 1), (1, 4), (4, 6)):
        unit.draw(mean[a:b], STREAM, 9 + a, parts[a:b])
    assert (whole == parts).all()
    even = unit.mean(np.zeros_like(mean))
    unit.draw(even, STREAM, 9, whole)
    unit.draw(even, STREAM, 10, parts)
    assert (parts[:-1] == whole[1:]).all() and not (parts == whole).all()


def test_relax_moves_the_mean_part_of_the_way(unit: Units, dtype: Any) -> None:
    inputs, bias = fields_of(unit, dtype), fields_of(unit, dtype)[::-1].copy()
    old = np.random.default_rng(6).random(inputs.shape).astype(dtype)
    for damping in (0.0, 0.3):
        mean, kept = old.copy(), inputs.copy()
        change = unit.relax(kept, 0.5, bias, damping, mean)
        target = means(unit, dtype(0.5) * inputs + bias)
        close(mean, damping * old + (1 - damping) * target, dtype, 1e-6 if dtype is np.float32 else 1e-15)
        assert abs(change - np.abs(mean - old).max()) <= 4 * np.finfo(dtype).eps and (kept == inputs).all()
    assert unit.relax(inputs, 0.5, bias, 0.0, mean) > 0
    least = 0.0 if unit.binary else float(np.finfo(dtype).eps)  # that of a change of variables
    assert unit.relax(inputs, 0.5, bias, 0.0, mean) <= least, "a fixed point is reached in one step without damping"


def test_anneal_weighs_the_change_of_temperature_and_then_samples(unit: Units, dtype: Any) -> None:
    """Catches swapped temperatures, beta on the weights only, an increment that is set instead of added to."""
    start, biases = fields_of(unit, dtype), (biases_of(unit, dtype, 7), biases_of(unit, dtype, 8))
    inputs, state, increment = start.copy(), np.empty_like(start), np.arange(6.0)
    unit.anneal(inputs, (0.25, 0.5), biases, STREAM, 9, state, increment)
    before, after = (dtype(beta) * start + bias for beta, bias in zip((0.25, 0.5), biases, strict=True))
    change = law(unit, after)[0] - law(unit, before)[0]
    assert (
        np.abs(increment - np.arange(6.0) - change.sum(axis=1)) <= TOLERANCE[dtype] * np.abs(change).sum(axis=1)
    ).all()
    mean, drawn = start.copy(), np.empty_like(start)
    unit.sample(mean, 0.5, biases[1], STREAM, 9, drawn)
    close(inputs, mean, dtype, rounding(unit, dtype))
    assert (state == drawn).all()


def test_nan_stays_visible(unit: Units, dtype: Any) -> None:
    """A guard can only stop a run on what it sees: a NaN field must not turn into a state."""
    columns = 70 * unit.columns
    bias, bad = np.zeros(columns, dtype), np.zeros((2, columns), dtype)
    bad[1, 33] = np.nan
    first = 33 - 33 % unit.columns
    broken = np.zeros_like(bad, bool)
    broken[1, first : first + unit.columns] = True
    with np.errstate(invalid="ignore"):
        inputs, state = bad.copy(), np.zeros_like(bad)
        unit.sample(inputs, 1.0, bias, STREAM, 0, state)
        assert (np.isnan(inputs) == broken).all() and (np.isnan(state) == broken).all()
        increment = np.zeros(2)
        unit.anneal(bad.copy(), (0.0, 1.0), (bias, bias), STREAM, 0, state, increment)
        assert np.isnan(increment[1]) and not np.isnan(increment[0]) and np.isnan(state[1, 33])
        assert np.isnan(unit.relax(bad, 1.0, bias, 0.5, np.full_like(bad, 0.5)))


TABLE_FIELDS = (-1e4, -40, -20, -10, -7, -5, -3, -1, -0.1, 0, 0.1, 1, 3, 5, 7, 10, 20, 40, 1e4)


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "categorical:5"] + ["categorical:3"])
def test_draws_at_extreme_fields_follow_the_law(kind: str, dtype: Any) -> None:
    """Binomial table of every state at every field of the last column, alpha 1e-6 together, 4e6 draws a cell.

    Catches probabilities clipped at 0.001 or drawn from 8-bit or signed uniforms, and a sigmoid that saturates early.
    """
    unit = units_of(kind)
    fields, rows, units, draws, states = np.array(TABLE_FIELDS), 1000, 4000, 4_000_000, table(unit)
    counts, p = np.zeros((len(fields), len(states))), np.zeros((len(fields), len(states)))
    for i, field in enumerate(fields):
        one = np.zeros(unit.columns)
        one[-1] = field
        p[i] = law(unit, one)[1][0]
        inputs, state = np.tile(one.astype(dtype), (rows, units)), np.empty((rows, units * unit.columns), dtype)
        unit.sample(inputs, 1.0, np.zeros(units * unit.columns, dtype), (21, 22, i), 0, state)
        parts = state.reshape(-1, unit.columns)
        counts[i] = [(parts[:, value.argmax()] == value.max()).sum() for value in states]
        if unit.columns == 1:
            counts[i] = [(state == value).sum() for value in states[:, 0]]
    assert (counts.sum(axis=1) == draws).all()
    stats.accept(stats.binomial_table(counts, draws, p), "draws at some field do not follow the unit's law")
    at, more = float(p[TABLE_FIELDS.index(10)][0]), np.zeros(unit.columns)
    more[-1] = 1.02
    assert stats.detectable_binomial(draws, at, max(at, 0.001), counts.size)  # clipped at 0.001
    assert stats.detectable_binomial(draws, at, 1 / 256, counts.size)  # 8-bit uniforms
    gained = zip(p[TABLE_FIELDS.index(1)].tolist(), law(unit, more)[1][0].tolist(), strict=True)
    assert any(stats.detectable_binomial(draws, *pair, counts.size) for pair in gained)  # gain + 2 %, in some state


@pytest.mark.parametrize("kind", [*UNITS, *(f"{name}:3" for name in FAMILIES)])
def test_every_unit_type_is_documented_and_whole(kind: str) -> None:
    """A registered type states its source and has every member of the protocol."""
    unit = units_of(kind)
    assert unit.__doc__ and "(" in unit.__doc__, "name the source (author, year) in the docstring"
    for name in (n for n in vars(Units) if not n.startswith("_")):
        assert hasattr(unit, name), name
    assert unit.support is None or len(set(unit.support)) == len(unit.support) >= 2
