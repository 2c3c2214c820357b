"""Catches counts of words that differ from the multinomial law, or lose the length of a document."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats as laws
from scipy.special import logsumexp, softmax
from support import stats

from boltz.errors import InputError
from boltz.units import FAMILIES, UNITS, units_of
from boltz.units.counts import Counts
from boltz.units.states import are_states, as_long_as, known_words, own_lengths

FIELDS = np.array([[0.0, 1.0, -2.0, 0.5], [40.0, -40.0, 39.0, 0.0], [1e4, -1e4, 0.0, 9.9e3], [3.0, 3.0, 3.0, 3.0]])
MODERATE = np.array([[0.2, 1.0, -0.7], [0.0, 0.0, 0.0], [-3.0, 2.0, 1.5]])
LENGTH = 4
STREAM = (11, 12, 13)
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(autouse=True)
def no_overflow() -> Any:
    """Overflow, division by zero and invalid operations are errors; underflow to zero is right at extreme fields."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


def vectors(words: int, length: int) -> np.ndarray:
    """All count vectors (vectors, words) of a length."""
    grid = np.stack(np.meshgrid(*[np.arange(length + 1)] * words, indexing="ij"), axis=-1).reshape(-1, words)
    return grid[grid.sum(axis=1) == length]


def test_every_joint_unit_is_tested_here() -> None:
    joint = {name for name, unit in UNITS.items() if unit.joint} | {n for n, f in FAMILIES.items() if f(2).joint}
    assert joint == {"counts"}


def test_log_partition_mean_and_variance_are_those_of_the_sum(dtype: Any) -> None:
    """Sums over all count vectors with their base energies."""
    unit, states = units_of(f"counts:{LENGTH}"), vectors(4, LENGTH).astype(np.float64)
    for field in FIELDS[:1].astype(dtype):
        exponents = states @ field.astype(np.float64) - unit.base_energy(states)
        assert abs(unit.log_partition(field)[0] - logsumexp(exponents)) < 10 * TOLERANCE[dtype]
        assert abs(unit.total_log_partition(field[None])[0] - logsumexp(exponents)) < 10 * TOLERANCE[dtype]
        p = softmax(exponents)
        assert np.abs(unit.mean(field) - p @ states).max() < 10 * TOLERANCE[dtype]
        assert np.abs(unit.variance(field) - p @ (states - p @ states) ** 2).max() < 10 * TOLERANCE[dtype]


def test_extreme_fields_neither_overflow_nor_lose_words(dtype: Any) -> None:
    unit, fields = units_of("counts:7"), FIELDS.astype(dtype)
    assert unit.log_partition(fields).dtype == unit.mean(fields).dtype == dtype
    assert np.abs(unit.mean(fields).sum(axis=1) - 7).max() < 1e-5
    assert np.abs(unit.log_partition(fields)[:, 0] - 7 * logsumexp(fields, axis=1)).max() < 1e-5 * 7e4
    assert np.isfinite(unit.entropy(unit.mean(fields))).all()


def test_mean_and_variance_are_derivatives_of_the_log_partition() -> None:
    unit, step = units_of("counts:3"), 1e-5
    for column in range(3):
        along = step * (np.arange(3) == column)
        first = (unit.log_partition(MODERATE + along) - unit.log_partition(MODERATE - along))[:, 0] / (2 * step)
        second = (unit.mean(MODERATE + along) - unit.mean(MODERATE - along))[:, column] / (2 * step)
        assert np.abs(first - unit.mean(MODERATE)[:, column]).max() < 1e-8
        assert np.abs(second - unit.variance(MODERATE)[:, column]).max() < 1e-8


def test_entropy_less_mean_energy_is_the_log_partition_less_the_mean_field() -> None:
    """What bounds of mean field rest on; natural undoes the mean up to a constant."""
    unit = units_of("counts:3")
    mean = unit.mean(MODERATE)
    found = unit.entropy(mean)[:, 0] - unit.mean_energy(mean)
    assert np.abs(found - (unit.log_partition(MODERATE)[:, 0] - (mean * MODERATE).sum(axis=1))).max() < 1e-12
    assert np.abs(unit.mean(unit.natural(mean)) - mean).max() < 1e-12


def test_draws_follow_the_multinomial_law(dtype: Any) -> None:
    """30,000 draws of each field, chi-square, alpha 1e-6; a word of probability 0.3 that is off by 0.02 is seen."""
    unit, states = units_of(f"counts:{LENGTH}"), vectors(3, LENGTH)
    place = {tuple(row): i for i, row in enumerate(states)}
    for number, field in enumerate(MODERATE):
        p = softmax(field)
        law = laws.multinomial.pmf(states, LENGTH, p)
        other = laws.multinomial.pmf(states, LENGTH, np.clip(p + np.array([0.02, -0.02, 0]), 0, 1))
        inputs, state = np.tile(field, (30_000, 1)).astype(dtype), np.zeros((30_000, 3), dtype)
        unit.sample(inputs, 1.0, np.zeros(3, dtype), (11, 12, number), 0, state)
        assert np.abs(inputs - LENGTH * p).max() < 1e-5
        counts = np.bincount([place[tuple(row)] for row in state], minlength=len(states))
        stats.accept(stats.chi_square(counts, law / law.sum()), "draws miss the multinomial law")
        assert number == 2 or stats.detectable_chi_square(30_000, law / law.sum(), other / other.sum())


def test_documents_with_own_lengths_keep_them(dtype: Any) -> None:
    """In draws, in mean field, and as units that rows give their lengths."""
    unit, state = Counts(), np.array([[3, 0, 0], [0, 1, 0], [0, 100, 900]], dtype)
    sums = state.sum(axis=1)
    assert own_lengths(unit) and not own_lengths(units_of("counts:3")) and known_words(units_of("counts:3")) == 3
    assert (as_long_as(unit, state).mean(MODERATE).sum(axis=1).round(6) == sums).all()
    mean = state.copy()
    unit.relax(MODERATE.astype(dtype), 1.0, np.zeros(3, dtype), 0.5, mean)
    assert np.abs(mean.sum(axis=1) - sums).max() < 1e-3
    expected = (state + softmax(MODERATE, axis=1) * sums[:, None]) / 2
    assert np.abs(mean - expected).max() < 1e-3
    inputs = MODERATE.astype(dtype)
    unit.sample(inputs, 1.0, np.zeros(3, dtype), STREAM, 0, state)
    assert (state.sum(axis=1) == sums).all() and np.abs(inputs.sum(axis=1) - sums).max() < 1e-3
    unit.draw(inputs, STREAM, 5, state)
    assert (state.sum(axis=1) == sums).all()


def test_draws_do_not_depend_on_blocks_and_nan_passes_on(dtype: Any) -> None:
    unit = units_of("counts:50")
    inputs = np.random.default_rng(1).normal(size=(9, 20)).astype(dtype)
    bias, whole, parts = np.linspace(-1, 1, 20).astype(dtype), np.zeros((9, 20), dtype), np.zeros((9, 20), dtype)
    unit.sample(inputs.copy(), 0.5, bias, STREAM, 3, whole)
    for block in (slice(0, 2), slice(2, 9)):
        unit.sample(inputs[block].copy(), 0.5, bias, STREAM, 3 + block.start, parts[block])
    assert (whole == parts).all() and len(np.unique(whole, axis=0)) == 9
    inputs[4, 7] = np.nan
    with np.errstate(invalid="ignore"):
        unit.sample(inputs, 0.5, bias, STREAM, 3, parts)
    assert np.isnan(parts[4]).all() and (np.delete(parts, 4, 0) == np.delete(whole, 4, 0)).all()


def test_anneal_weighs_the_change_of_the_log_partition(dtype: Any) -> None:
    unit, inputs = units_of("counts:9"), FIELDS[[0, 1, 3]].astype(dtype)
    biases = np.linspace(-1, 1, 4).astype(dtype), np.linspace(2, 0, 4).astype(dtype)
    increment, state, other = np.ones(3), np.zeros((3, 4), dtype), np.zeros((3, 4), dtype)
    expected = unit.log_partition(0.5 * inputs + biases[1]) - unit.log_partition(0.25 * inputs + biases[0])
    again = inputs.copy()
    unit.anneal(inputs, (0.25, 0.5), biases, STREAM, 0, state, increment)
    assert np.abs(increment - 1 - expected[:, 0]).max() < 9 * 100 * TOLERANCE[dtype]
    unit.sample(again, 0.5, biases[1], STREAM, 0, other)
    assert (state == other).all() and (inputs == again).all()


def test_states_are_whole_numbers_of_one_sum() -> None:
    unit = units_of("counts:3")
    assert are_states(unit, np.array([[3, 0], [1, 2]]))
    for wrong in ([[3, 1]], [[2.5, 0.5]], [[4, -1]], [[np.nan, 3]]):
        assert not are_states(unit, np.array(wrong))
    assert are_states(Counts(), np.array([[3, 1]])) and not are_states(Counts(), np.array([[0, 0]]))


def test_documents_without_a_length_have_no_log_partition() -> None:
    state, increment = np.ones((1, 3)), np.zeros(1)
    calls = [
        lambda: Counts().log_partition(MODERATE),
        lambda: Counts().total_log_partition(MODERATE),
        lambda: Counts().anneal(
            MODERATE[:1].copy(), (0.0, 1.0), (np.zeros(3), np.zeros(3)), STREAM, 0, state, increment
        ),
    ]
    for call in calls:
        with pytest.raises(InputError, match=r"take model.of_length\(n\)"):
            call()
