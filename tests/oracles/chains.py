"""Exact answers about Markov chains on small machines, by transition matrices over every state.

Row i of a matrix is the distribution of the next state from state i; states are numbered as in oracle.py. Nothing here
is sampled: expected importance weights and expected training statistics are matrix products.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from oracles.enumeration import (
    Floats,
    Names,
    State,
    Table,
    counts,
    field,
    free_energy,
    log_density,
    moments,
    numbers,
    states,
)
from scipy.special import expit, logsumexp

LARGEST = 10  # units of a full transition matrix


def conditional_matrix(table: Table, given: Names, drawn: Names) -> Floats:
    """p(drawn layers | given layers) as (states of given, states of drawn), a product over the drawn units.

    The given layers must hold every neighbour of the drawn ones, and the drawn layers must not be neighbours.
    """
    start, end = states(table, given), states(table, drawn)
    matrix = np.ones((len(start[given[0]]), len(end[drawn[0]])))
    for name in drawn:
        inputs = field(table, name, start)
        for u in range(table.layers[name]):
            # a layer without neighbours has a single row of fields, which broadcasts
            matrix *= expit(np.where(end[name][:, u] == 1, inputs[:, [u]], -inputs[:, [u]]))
    return matrix


def update_matrix(table: Table, names: Names) -> Floats:
    """Transition on all states that draws the named layers (a colour class or part of one) given the rest."""
    assert sum(table.layers.values()) <= LARGEST, "too many units for a full transition matrix"
    every, rest = states(table), table.others(names)
    kept, drawn = numbers(table, every, rest), numbers(table, every, names)
    return conditional_matrix(table, rest, names)[np.ix_(kept, drawn)] * (kept[:, None] == kept)


def sweep_matrix(table: Table, order: Sequence[Names]) -> Floats:
    """One sweep on all states: the classes of order are drawn one after the other, the first one first."""
    matrix = np.eye(2 ** sum(table.layers.values()))
    for names in order:
        matrix = matrix @ update_matrix(table, names)
    return matrix


def reduced_chain(table: Table, names: Names) -> Floats:
    """Transition on the named colour class alone: draw the other class given it, then it given the other."""
    rest = table.others(names)
    return conditional_matrix(table, names, rest) @ conditional_matrix(table, rest, names)


def invariance_defect(p: Floats, matrix: Floats) -> float:
    """Largest |p P - p|."""
    return float(np.abs(p @ matrix - p).max())


def reversal_defect(p: Floats, forward: Floats, backward: Floats) -> float:
    """Largest |p_i P_ij - p_j R_ji|: zero if R is the time reversal of P; with R = P, if P is reversible."""
    return float(np.abs(p[:, None] * forward - (p[:, None] * backward).T).max())


def lift(table: Table, p: Floats, names: Names) -> Floats:
    """Distribution over all states of: the named colour class from p, then the other class given it."""
    every, rest = states(table), table.others(names)
    mine, other = numbers(table, every, names), numbers(table, every, rest)
    return p[mine] * conditional_matrix(table, names, rest)[mine, other]


def empirical(table: Table, state: State, names: Names = ()) -> Floats:
    """Share of each state of the named layers (of all layers by default) among the rows of a state."""
    found = counts(table, state, names)
    return found / found.sum()


def next_distribution(table: Table, state: State, order: Sequence[Names], sweeps: int = 1) -> Floats:
    """Distribution over all states of a row of state, chosen at random, after sweeps in this order."""
    return empirical(table, state) @ np.linalg.matrix_power(sweep_matrix(table, order), sweeps)


def contrastive_moments(table: Table, start: Floats, sweeps: int, names: Names = ("v",)) -> dict[str, Floats]:
    """Expected negative moments of CD-k by parameter name (Hinton 2002), k = sweeps.

    start is the distribution of the named class before the first sweep (the data for an RBM: empirical(table, {"v": x},
    ("v",))); after the sweeps the other class enters by its conditional law, whether drawn or as means.
    """
    end = start @ np.linalg.matrix_power(reduced_chain(table, names), sweeps)
    return moments(table, lift(table, end, names))


def persistent_moments(table: Table, state: State, order: Sequence[Names], sweeps: int = 1) -> dict[str, Floats]:
    """Expected negative moments of persistent chains that stand at the rows of state, after sweeps in this order."""
    return moments(table, next_distribution(table, state, order, sweeps))


def intermediate(table: Table, base: Mapping[str, Any], beta: float) -> Table:
    """The machine of an annealing path: weights beta W, biases (1 - beta) base + beta b.

    base is layer -> (units,); a layer that base lacks starts from zero (Salakhutdinov & Murray 2008, eqs. 15-17).
    """
    biases = {n: (1 - beta) * np.asarray(base.get(n, 0.0), np.float64) + beta * b for n, b in table.biases.items()}
    return Table(table.layers, {pair: beta * w for pair, w in table.edges.items()}, biases)


@dataclass(frozen=True, eq=False)
class Path:
    """An annealing path: log f_t (T + 1, states) and, for t = 1 .. T, transitions that leave f_t invariant.

    forward[t - 1] moves the chain upwards at temperature t; backward[t - 1] is what a reverse run uses there.
    """

    log_f: Floats
    forward: list[Floats]
    backward: list[Floats]

    @property
    def log_ratio(self) -> float:
        """log Z_T - log Z_0."""
        return float(logsumexp(self.log_f[-1]) - logsumexp(self.log_f[0]))

    def distribution(self, t: int) -> Floats:
        """The normalised distribution of temperature t; -1 is the target."""
        return np.exp(self.log_f[t] - logsumexp(self.log_f[t]))


def reduced_path(table: Table, base: Mapping[str, Any], betas: Any, names: Names) -> Path:
    """The path whose state is one colour class, the other summed out; its transitions are their own reversals."""
    machines = [intermediate(table, base, beta) for beta in betas]
    chains = [reduced_chain(machine, names) for machine in machines[1:]]
    return Path(np.array([-free_energy(machine, names) for machine in machines]), chains, chains)


def sweep_path(table: Table, base: Mapping[str, Any], betas: Any, order: Sequence[Names]) -> Path:
    """The path on all states with sweeps in this order upwards and in the opposite order downwards."""
    machines = [intermediate(table, base, beta) for beta in betas]
    forward = [sweep_matrix(machine, order) for machine in machines[1:]]
    backward = [sweep_matrix(machine, order[::-1]) for machine in machines[1:]]
    return Path(np.array([log_density(machine).reshape(-1) for machine in machines]), forward, backward)


def ais_log_moment(path: Path, power: int = 1) -> float:
    """log E[w^power], w = prod_t f_t(x_(t-1)) / f_(t-1)(x_(t-1)) of an annealing run (Neal 2001, eq. 11).

    power 1 must give log_ratio, for the base drawn exactly and every transition invariant.
    """
    mass = path.distribution(0)
    for t, matrix in enumerate(path.forward, start=1):
        mass = (mass * np.exp(power * (path.log_f[t] - path.log_f[t - 1]))) @ matrix
    return float(np.log(mass.sum()))


def reverse_ais_log_moment(path: Path, power: int = 1) -> float:
    """log E[w^power], w = prod_t f_(t-1)(x_(t-1)) / f_t(x_(t-1)) of a run down from x_T, an exact draw of the target.

    x_t moves to x_(t-1) by backward[t - 1], then the weight is taken there; power 1 must give -log_ratio.
    """
    mass = path.distribution(-1)
    for t in range(len(path.backward), 0, -1):
        mass = (mass @ path.backward[t - 1]) * np.exp(power * (path.log_f[t - 1] - path.log_f[t]))
    return float(np.log(mass.sum()))


def relative_variance(log_first: float, log_second: float) -> float:
    """Variance of w / E[w] from log E[w] and log E[w^2]: the exact square of sqrt(chains) times the standard error."""
    return float(np.expm1(log_second - 2 * log_first))


def annealed_distribution(path: Path) -> Floats:
    """Where an annealing run that is not reweighted ends: p_0 K_1 ... K_T over the states of the path."""
    p = path.distribution(0)
    for matrix in path.forward:
        p = p @ matrix
    return p


def raise_expectations(path: Path) -> Floats:
    """E of the reverse weight of RAISE started at each state (Burda, Grosse & Salakhutdinov 2015).

    w(x_T) = p_0(x_0) prod_t f_t(x_t) / f_t(x_(t-1)) with x_(t-1) from backward[t - 1]; its expectation is
    annealed_distribution at x_T if, and only if, every backward transition is the time reversal of the forward one.
    """
    value = path.distribution(0)
    for t, matrix in enumerate(path.backward, start=1):
        f = np.exp(path.log_f[t] - path.log_f[t].max())
        value = f * (matrix @ (value / f))
    return value
