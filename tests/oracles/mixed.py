"""Exact answers for small machines whose units have few states and base energies: plain sums over every state.

A state is a number, or a vector for a unit of several columns. A real-valued unit is a fine grid of states, each with
the log of its width taken off its base energy: the trapezoidal rule, whose error for Gaussian densities with a spread
of s at a distance h is about exp(-2 (pi s / h)^2) (Trefethen & Weideman 2014).

E(x) = -sum_l b_l.x_l - sum_(a,b) x_a^T W_ab x_b + sum over all units of the base energy of their state. No arithmetic
of boltz is used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Mixed:
    """A chain of layers: (states, base energies) of the units of each, weights between neighbours, and biases.

    own: number of a layer -> name of a parameter beside the bias -> its statistic of states (rows, units).
    """

    units: Sequence[tuple[Sequence[Any], Sequence[float]]]
    weights: Sequence[Floats]
    biases: Sequence[Floats]
    own: Mapping[int, Mapping[str, Callable[[Floats], Floats]]] = field(default_factory=dict)

    def _table(self, layer: int) -> Floats:
        """The states (states, columns) of a unit of a layer."""
        found = np.array(self.units[layer][0], np.float64)
        return found.reshape(len(found), -1)

    def _numbers(self, layer: int) -> NDArray[np.int64]:
        """Every choice of a state by each unit, (states, units)."""
        table = self._table(layer)
        units = len(self.biases[layer]) // table.shape[1]
        return np.array(list(itertools.product(range(len(table)), repeat=units)), np.int64)

    @property
    def names(self) -> list[str]:
        """v, h1, h2, ..."""
        return ["v", *(f"h{i}" for i in range(1, len(self.biases)))]

    def states(self, layer: int) -> Floats:
        """All states (states, columns of all units) of a layer."""
        numbers = self._numbers(layer)
        return self._table(layer)[numbers].reshape(len(numbers), -1)

    def base(self, layer: int) -> Floats:
        """Base energies (states,) of all states of a layer."""
        return np.array(self.units[layer][1], np.float64)[self._numbers(layer)].sum(axis=1)

    def log_density(self) -> Floats:
        """-E of every state, an axis a layer."""
        total = np.zeros([len(self.states(i)) for i in range(len(self.biases))])
        for i, bias in enumerate(self.biases):
            own = self.states(i) @ bias - self.base(i)
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
        """<x y^T> and <x> by parameter name under a law of all states, the machine's own by default; of layers that own
        names statistics of, their means, too.
        """
        p = softmax(self.log_density()) if p is None else p
        found = {}
        for i, name in enumerate(self.names):
            alone = p.sum(axis=tuple(j for j in range(p.ndim) if j != i))
            found[f"layer/{name}/bias"] = alone @ self.states(i)
            for own, statistic in self.own.get(i, {}).items():
                found[f"layer/{name}/{own}"] = alone @ statistic(self.states(i))
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
    """A chain of layers, each of so many units, with normal weights and biases of standard deviation scale."""
    rng = np.random.default_rng(seed)
    widths = [n * np.atleast_1d(law[0][0]).size for n, law in zip(sizes, units, strict=True)]
    weights = [rng.normal(0, scale, pair) for pair in itertools.pairwise(widths)]
    return Mixed(units, weights, [rng.normal(0, scale, n) for n in widths])


def grid(spread: float, reach: float = 11.0, steps: int = 45) -> tuple[Floats, Floats]:
    """States and base energies of a Gaussian unit of this standard deviation, up to reach times it on either side."""
    states = np.linspace(-reach * spread, reach * spread, steps)
    width = states[1] - states[0]
    return states, states**2 / (2 * spread**2) - np.log(width)


def panels(energy: Callable[[Floats], Floats], ends: tuple[float, float], nodes: int = 26) -> tuple[Floats, Floats]:
    """States and base energies of a real unit by Gauss-Legendre rules on either side of 0, where a density may bend."""
    x, weights = np.polynomial.legendre.leggauss(nodes)
    parts = [(low, high) for low, high in ((ends[0], 0.0), (0.0, ends[1])) if low < high]
    states = np.concatenate([low + (high - low) * (x + 1) / 2 for low, high in parts])
    widths = np.concatenate([(high - low) * weights / 2 for low, high in parts])
    return states, energy(states) - np.log(widths)
