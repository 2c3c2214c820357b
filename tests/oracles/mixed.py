"""Exact answers for small machines whose units have few states and base energies: plain sums over every state.

E(x) = -sum_l b_l.x_l - sum_(a,b) x_a^T W_ab x_b + sum over all units of the base energy of their state. No arithmetic
of boltz is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mixed:
    """A chain of layers: (states, base energies) of the units of each, weights between neighbours, and biases."""

    units: Sequence[tuple[Sequence[float], Sequence[float]]]
    weights: Sequence[Floats]
    biases: Sequence[Floats]

    @property
    def names(self) -> list[str]:
        """v, h1, h2, ..."""
        return ["v", *(f"h{i}" for i in range(1, len(self.biases)))]

    def states(self, layer: int) -> Floats:
        """All states (states, units) of a layer."""
        return np.array(list(itertools.product(self.units[layer][0], repeat=len(self.biases[layer]))), np.float64)

    def base(self, layer: int, x: Any) -> Floats:
        """Base energies (rows,) of states of a layer."""
        energies = dict(zip(self.units[layer][0], self.units[layer][1], strict=True))
        return np.array([sum(energies[float(value)] for value in row) for row in x])

    def log_density(self) -> Floats:
        """-E of every state, an axis a layer."""
        total = np.zeros([len(self.states(i)) for i in range(len(self.biases))])
        for i, bias in enumerate(self.biases):
            own = self.states(i) @ bias - self.base(i, self.states(i))
            total = total + own.reshape([-1 if j == i else 1 for j in range(total.ndim)])
        for i, weight in enumerate(self.weights):
            pair = self.states(i) @ weight @ self.states(i + 1).T
            total = total + pair.reshape([pair.shape[j - i] if j in (i, i + 1) else 1 for j in range(total.ndim)])
        return total

    def log_z(self) -> float:
        """Log of the sum of exp(-E) over every state, nats."""
        return float(logsumexp(self.log_density()))

    def log_marginal(self, layers: Sequence[int]) -> Floats:
        """log of the sum of exp(-E) over all other layers, for every state of the named ones."""
        rest = tuple(i for i in range(len(self.biases)) if i not in layers)
        return np.asarray(logsumexp(self.log_density(), axis=rest)).reshape(-1)

    def means(self) -> dict[str, Floats]:
        """Mean states of each layer."""
        p = softmax(self.log_density())
        found = {}
        for i, name in enumerate(self.names):
            alone = p.sum(axis=tuple(j for j in range(p.ndim) if j != i))
            found[name] = alone @ self.states(i)
        return found

    def moments(self, p: Floats | None = None) -> dict[str, Floats]:
        """<x y^T> and <x> by parameter name under a law of all states, the machine's own by default."""
        p = softmax(self.log_density()) if p is None else p
        found = {}
        for i, name in enumerate(self.names):
            alone = p.sum(axis=tuple(j for j in range(p.ndim) if j != i))
            found[f"layer/{name}/bias"] = alone @ self.states(i)
            if i:
                pair = p.sum(axis=tuple(j for j in range(p.ndim) if j not in (i - 1, i)))
                key = f"edge/{self.names[i - 1]}-{name}/weight"
                found[key] = self.states(i - 1).T @ pair @ self.states(i)
        return found

    def gradient(self, rows: Any) -> dict[str, Floats]:
        """Gradient of the mean log p(v) over visible rows, by parameter name."""
        density, visible = self.log_density(), self.states(0)
        p = np.zeros_like(density)
        for row in rows:
            i = int(np.flatnonzero((visible == row).all(axis=1))[0])
            p[i] += softmax(density[i]) / len(rows)
        model = self.moments()
        return {name: x - model[name] for name, x in self.moments(p).items()}

    def free_energy_of(self, row: Any, q: Mapping[str, Floats]) -> float:
        """E_q[E] less the entropy of q for one visible row: q gives the laws (units, states) of hidden units."""
        density, visible = self.log_density(), self.states(0)
        i = int(np.flatnonzero((visible == row).all(axis=1))[0])
        law = np.ones(1)
        for name in self.names[1:]:
            for unit in q[name]:
                law = np.outer(law, unit).reshape(-1)
        log_law = np.log(np.where(law > 0, law, 1))
        return float(law @ (log_law - density[i].reshape(-1)))


def random(units: Sequence[Any], sizes: Sequence[int], scale: float, seed: int) -> Mixed:
    """A chain of layers with normal weights and biases of standard deviation scale."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, scale, pair) for pair in itertools.pairwise(sizes)]
    return Mixed(units, weights, [rng.normal(0, scale, n) for n in sizes])
