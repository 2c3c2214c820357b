"""Quick checks of traced chains, decoding, pseudo-likelihoods, gradients and rows with unknown entries.

Each is compared with enumeration. Statistical ones have a fixed seed and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from oracles import chains, enumeration
from oracles.enumeration import Table
from support import stats
from support.machines import machine_of

import boltz

RBM, DBM = Table.random([4, 3], 1.0, 71), Table.random([3, 3, 2], 1.0, 72)
BETAS = (0.0, 0.5, 1.0, 2.0)


def scaled(table: Table, beta: float) -> Table:
    """The machine of exp(-beta E)."""
    edges = {pair: beta * weight for pair, weight in table.edges.items()}
    return Table(table.layers, edges, {n: beta * bias for n, bias in table.biases.items()})


def moments_of_energy(table: Table, p: Any) -> tuple[float, float]:
    """Mean and variance of the energy under p over all states."""
    energy = -enumeration.log_density(table).reshape(-1)
    mean = float(p @ energy)
    return mean, float(p @ (energy - mean) ** 2)


def check_energies_at_temperatures() -> None:
    """Mean energies of 40,000 chains after 5 and 10 sweeps against the exact law of each sweep, at each beta.

    Catches beta that leaves out the biases, beta E in the place of E, and a record one sweep too early.
    """
    rows, start = 40_000, {"v": np.array([1.0, 0, 1]), "h1": np.array([0.0, 1, 1]), "h2": np.array([1.0, 1])}
    given = {n: np.tile(x, (rows, 1)) for n, x in start.items()}
    run = boltz.run_chains(machine_of(DBM), 10, rows, every=5, beta=BETAS, start=given, seed=4)
    here = enumeration.numbers(DBM, {n: x[None] for n, x in start.items()})[0]
    values = []
    for i, beta in enumerate(BETAS):
        step = chains.sweep_matrix(scaled(DBM, beta), enumeration.colours(DBM))
        for k, sweeps in enumerate((5, 10)):
            mean, variance = moments_of_energy(DBM, np.linalg.matrix_power(step, sweeps)[here])
            values.append(stats.mean_test(run.traces["energy"][i, k], mean, variance))
            assert stats.detectable_mean(rows, 0.1 * np.sqrt(variance), variance)
    stats.accept(stats.smallest_of(values), "the chains do not sample exp(-beta E)")


def check_chains_end_as_samples() -> None:
    """Traces continue one chain: the last states are those of boltz.sample, whatever is recorded how often."""
    model = machine_of(RBM, np.float32)
    for sweeps, every in ((33, 1), (34, 9), (65, 65)):  # a sweep with flips comes last
        wanted = boltz.sample(model, 40, sweeps, seed=5)
        run = boltz.run_chains(model, sweeps, 40, every, seed=5)
        for layer, x in wanted.items():
            np.testing.assert_array_equal(run.states[layer], x)
        if sweeps % every == 0:
            np.testing.assert_array_equal(run.trace[-1], model.energy(wanted))


def check_temperatures_are_independent() -> None:
    """Energies of 20,000 pairs of chains at two temperatures are uncorrelated; catches chains with common numbers."""
    one, two = boltz.run_chains(machine_of(RBM), 3, 20_000, beta=[1.0, 0.9], start="uniform", seed=6).trace
    values = [stats.correlation_test(x, y) for x, y in zip(one, two, strict=True)]
    stats.accept(stats.smallest_of(values), "chains at two temperatures share their random numbers")
    assert stats.detectable_correlation(20_000, 0.06, stats.ALPHA / 3)
