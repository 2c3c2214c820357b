"""Catches an annealing path with wrong densities, transitions or expected weights, each against matrix products.

No draw enters a matrix: a run of boltz.ais is recorded, and the means that its steps drew from make up the matrices.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracles import chains, enumeration
from oracles.enumeration import Table
from scipy.special import expit, logsumexp
from support import stats
from support.machines import SMALL, base_of, machine_of, rates_of

import boltz
from boltz import targets
from boltz.estimators import ais
from boltz.rng import Key
from boltz.targets import BaseRatePath
from boltz.units.bernoulli import Bernoulli

BETAS = (0.0, 0.1, 0.35, 0.6, 0.8, 1.0)


@pytest.fixture(params=SMALL)
def table(request: pytest.FixtureRequest) -> Table:
    return SMALL[request.param]


def path_of(table: Table, dtype: Any = np.float64) -> BaseRatePath:
    return targets.path_to(machine_of(table, dtype), rates_of(table))


def both_ways(table: Table) -> list[BaseRatePath]:
    """The path that boltz takes and the one that holds the other colour class."""
    path = path_of(table)
    return [path, BaseRatePath(path.machine, path.base, path.summed, path.held)]


def test_the_path_holds_the_smaller_colour_class(table: Table) -> None:
    path = path_of(table)
    size = {names: sum(table.layers[n] for n in names) for names in (path.held, path.summed)}
    assert {path.held, path.summed} == set(enumeration.colours(table)) and size[path.held] <= size[path.summed]


def test_log_density_is_that_of_the_intermediate_machine(table: Table) -> None:
    """At every state of either class and every temperature; catches beta on weights or biases only, a swapped base."""
    for path in both_ways(table):
        every = enumeration.states(table, path.held)
        for beta in BETAS:
            expected = -enumeration.free_energy(chains.intermediate(table, base_of(table), beta), path.held)
            assert np.abs(path.log_density(every, beta) - expected).max() < 1e-10


def test_the_path_leads_from_the_base_to_the_machine(table: Table) -> None:
    for path in both_ways(table):
        every = enumeration.states(table, path.held)
        assert abs(logsumexp(path.log_density(every, 0.0)) - path.start_log_z) < 1e-10
        assert path.start_log_z == pytest.approx(-sum(np.log(1 - r).sum() for r in rates_of(table).values()), abs=1e-10)
        assert np.abs(path.log_density(every, 1.0) + path.machine.free_energy(every)).max() < 1e-10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3"])
def test_starts_follow_the_base_rates(name: str, dtype: Any) -> None:
    """Chi-square of 200,000 starts; catches rates taken for logits, the machine's biases, layers that share numbers."""
    table, rows = SMALL[name], 200_000
    path = path_of(table, dtype)
    state = path.sample_start(Key(1, 2), rows)
    every, base = enumeration.states(table, path.held), base_of(table)

    def start(gain: float) -> np.ndarray:
        return np.prod(
            [np.where(every[n] == 1, m, 1 - m).prod(1) for n in every for m in [expit(gain * base[n])]], axis=0
        )

    law = start(1.0)
    stats.accept(
        stats.chi_square(enumeration.counts(table, state, path.held), law), "starts do not follow the base rates"
    )
    assert all((state[n] == 0).all() and state[n].dtype == dtype for n in path.summed)
    assert stats.detectable_chi_square(rows, law, start(1.1))  # logits off by 10 %


Step = dict[str, tuple[np.ndarray, np.ndarray]]  # layer -> the means that it was drawn from, and its states


def recorded(table: Table, count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[boltz.Estimate, list[Step]]:
    """A run of boltz.ais over BETAS, and what each of its steps drew, the start of the held layers first."""
    calls: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def spied(method: Any) -> Any:
        def record(self: Bernoulli, inputs: np.ndarray, *rest: Any) -> None:
            method(self, inputs, *rest)
            calls.setdefault(rest[3], []).append((inputs.copy(), rest[4].copy()))  # rest[3] is the first row

        return record

    for name in ("sample", "anneal"):
        monkeypatch.setattr(Bernoulli, name, spied(getattr(Bernoulli, name)))
    monkeypatch.setattr(ais, "_second_looks", lambda *given: ())
    found = boltz.ais(machine_of(table), count, np.array(BETAS), seed=8, base=rates_of(table))
    monkeypatch.undo()
    path = path_of(table)
    starts, calls[0] = calls[0][: len(path.held)], calls[0][len(path.held) :]
    steps, order = [dict(zip(path.held, starts, strict=True))], (*path.summed, *path.held)
    for t in range(len(BETAS) - 1):
        parts = [calls[row][t * len(order) : (t + 1) * len(order)] for row in sorted(calls)]
        layers = [
            tuple(np.concatenate(pair) for pair in zip(*layer, strict=True)) for layer in zip(*parts, strict=True)
        ]
        steps.append(dict(zip(order, layers, strict=True)))
    return found, steps


def states_of(step: Step, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {n: step[n][1] for n in names}


def test_weights_sum_differences_of_the_log_density_along_the_chain(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chain by chain; catches a lost bias change, a temperature off by one, a weight taken after the move."""
    path = path_of(table)
    found, steps = recorded(table, 300, monkeypatch)
    expected = np.full(300, path.start_log_z)
    for step, below, above in zip(steps[:-1], BETAS[:-1], BETAS[1:], strict=True):
        held = states_of(step, path.held)
        expected += path.log_density(held, above) - path.log_density(held, below)
    assert np.abs(found.log_weights - expected).max() < 1e-10


def law_of_class(table: Table, names: tuple[str, ...], means: dict[str, Any], given: np.ndarray) -> np.ndarray:
    """p(state of some layers | number of the state that their means, one row a chain, were computed from)."""
    every = enumeration.states(table, names)
    chosen = np.array([np.flatnonzero(given == i)[0] for i in range(given.max() + 1)])  # fails if one was never visited
    matrix = np.ones((len(chosen), len(every[names[0]])))
    for n in names:
        for unit, mean in enumerate(means[n][chosen].T):
            matrix *= np.where(every[n][:, unit] == 1, mean[:, None], 1 - mean[:, None])
    return matrix


def transitions(table: Table, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The transitions on held states from the means that each step drew from, at every state before and between."""
    path, (_, steps) = path_of(table), recorded(table, 60_000, monkeypatch)
    found = []
    for before, step in pairwise(steps):
        start = enumeration.numbers(table, states_of(before, path.held), path.held)
        between = enumeration.numbers(table, states_of(step, path.summed), path.summed)
        assert len(np.unique(start)) == 2 ** sum(table.layers[n] for n in path.held)
        assert len(np.unique(between)) == 2 ** sum(table.layers[n] for n in path.summed)
        means = {n: step[n][0] for n in step}
        found.append(law_of_class(table, path.summed, means, start) @ law_of_class(table, path.held, means, between))
    return found


@pytest.mark.parametrize("name", ["rbm", "one", "dbm2", "dbm3", "dbm4", "ring"])
def test_expected_weights_by_matrix_products(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """E[w] = Z / Z_0 to 1e-10 with the log densities and transitions that boltz computes; catches any bias.

    The transitions are those of the enumerated path as well, and leave each intermediate law invariant.
    """
    table = SMALL[name]
    path = path_of(table)
    every = enumeration.states(table, path.held)
    log_f = np.array([path.log_density(every, beta) for beta in BETAS])
    matrices = transitions(table, monkeypatch)
    measured = chains.Path(log_f, matrices, matrices)
    truth = enumeration.log_z(table) - path.start_log_z
    assert abs(chains.ais_log_moment(measured) - truth) < 1e-10
    assert abs(chains.reverse_ais_log_moment(measured) + truth) < 1e-10
    enumerated = chains.reduced_path(table, base_of(table), BETAS, path.held)
    for t, (mine, theirs) in enumerate(zip(matrices, enumerated.forward, strict=True), start=1):
        assert np.abs(mine - theirs).max() < 1e-12
        assert chains.invariance_defect(measured.distribution(t), mine) < 1e-12
        assert chains.reversal_defect(measured.distribution(t), mine, mine) < 1e-12
