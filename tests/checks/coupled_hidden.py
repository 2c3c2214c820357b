"""Checks of log p*(v) where hidden units are coupled to each other: each way beside sums over all joint states."""

from __future__ import annotations

from typing import Any

import numpy as np
from checks.any_graph import machine
from oracles.graphs import Wired

import boltz
from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.annealing import Place
from boltz.sampling.posterior_paths import mean_field_path

SHAPES = ("hidden", "both", "triangle", "skip", "views")
ERRORS = 5  # standard errors: one false alarm in two million each, if errors are normal


def truth(model: BoltzmannMachine) -> tuple[Any, Any]:
    """All visible rows, and log p of each, by sums over all joint states."""
    wired = Wired.of(model)
    columns = wired.columns(model.graph.views)
    found = wired.marginal(columns)
    return np.array(list(found)), np.log(list(found.values()))


def check_enumeration(name: str) -> None:
    """Layers that are summed in closed form hear the visible ones and those that are counted."""
    model = machine(name, scale=1.0)
    rows, exact = truth(model)
    found = boltz.log_likelihood(model, rows)
    assert found.kind == "exact" and found.per_row is not None
    np.testing.assert_allclose(found.per_row, exact, rtol=0, atol=1e-9)


def check_importance(name: str) -> None:
    """The mean over all rows is within 5 errors, at most 0.015 nats, of the exact one; one sample gives less."""
    model = machine(name, scale=1.0)
    rows, exact = truth(model)
    one, many = boltz.importance_bounds(model, rows, [1, 4000], boltz.exact_log_z(model), seed=1)
    assert many.trusted and many.standard_error < 0.003
    assert abs(many.value - exact.mean()) < ERRORS * many.standard_error
    assert one.value < exact.mean() + ERRORS * one.standard_error
    sampled = boltz.log_likelihood(model, rows, boltz.exact_log_z(model), samples=300, seed=2)
    assert sampled.kind == "lower" and abs(sampled.value - exact.mean()) < ERRORS * sampled.standard_error


def check_annealing(name: str) -> None:
    """Over so few temperatures, wrong transitions or weights move the mean by more than 5 errors, 0.015 nats."""
    model = machine(name, scale=1.0)
    rows, exact = truth(model)
    found = boltz.posterior_ais(model, rows, 2000, 8, boltz.exact_log_z(model), seed=3)
    assert found.standard_error < 0.003 and abs(found.value - exact.mean()) < ERRORS * found.standard_error


def check_sandwich(name: str) -> None:
    """Means of both bounds over simulated rows enclose the exact mean, each within 5 errors."""
    model = machine(name, scale=1.5)
    found = boltz.posterior_sandwich(model, 400, 20, 8, seed=4)
    _, exact = truth(model)
    p = np.exp(exact)
    mean, error = float(p @ exact), float(np.sqrt(p @ exact**2 - (p @ exact) ** 2) / 400**0.5)
    assert found.gap > -ERRORS * found.gap_error
    assert found.lower.value < mean + ERRORS * np.hypot(found.lower.standard_error, error)
    assert found.upper.value > mean - ERRORS * np.hypot(found.upper.standard_error, error)
    assert found.gap < 0.05


def check_reversal(name: str) -> None:
    """A path and its reversal draw coupled units in opposite orders: p(h) K(h, h') = p(h') K*(h', h), for one pair of
    states that are far apart, by 200,000 draws each. A false alarm in two million; wrong orders differ by 20 errors.
    """
    model, draws = machine(name, scale=1.5), 200_000
    rows, _ = truth(model)
    path = mean_field_path(model, rows[:1], draws, 0)
    held = path.held
    units = sum(model.units[n] for n in held)
    low = {n: np.full((draws, model.units[n]), min(model.unit_type(n).support or ())) for n in held}
    high = {n: x.copy() for n, x in low.items()}
    for i, n in enumerate(held):
        high[n][:, 0 if i % 2 else -1] = max(model.unit_type(n).support or ())
    assert units > 1
    flows = []
    for way, start, end in ((path, low, high), (path.reversed(), high, low)):
        state = {n: x.copy() for n, x in start.items()} | {n: model.zeros(draws, n) for n in path.summed}
        weight = np.exp(path.log_density(state, 1.0, 0)[0])
        way.step(state, (1.0, 1.0), Place(Key.from_seed(5), 1, 0), np.zeros(draws))
        there = np.logical_and.reduce([(state[n] == end[n]).all(axis=1) for n in held])
        share = there.mean()
        flows.append((weight * share, weight * np.sqrt(share * (1 - share) / draws)))
    (one, error), (other, second) = flows
    assert error + second < 0.1 * one and abs(one - other) < ERRORS * np.hypot(error, second)


def check_enumeration_of_triangle() -> None:
    check_enumeration("triangle")


def check_importance_of_both() -> None:
    check_importance("both")


def check_importance_of_triangle() -> None:
    check_importance("triangle")


def check_annealing_of_both() -> None:
    check_annealing("both")


def check_reversal_of_both() -> None:
    check_reversal("both")
