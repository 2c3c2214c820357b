"""Exact answers for small machines on any graph: sums over every joint state, without any arithmetic of boltz.

E(x) = -sum_l b_l.x_l - sum over edges x_a^T W_ab x_b - sum over pairs within a layer W_ij x_i x_j, each pair once
(Hinton & Sejnowski 1986). A joint state is a row of all columns, layer after layer. Units have two states, or one of
several columns is 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

Floats = NDArray[np.float64]
TABLES = {"bernoulli": [[0.0], [1.0]], "spin": [[-1.0], [1.0]]}


@dataclass(frozen=True, eq=False)
class Wired:
    """All columns of a machine in one row: couplings between any two of them (columns, columns), biases, the columns of
    each unit, and those of each layer.
    """

    couplings: Floats
    bias: Floats
    units: list[tuple[slice, Floats]]
    layers: dict[str, slice]

    @classmethod
    def of(cls, model: Any) -> Wired:
        """Copy the parameters of a boltz machine, found by their names."""
        layers, units, bias, start = {}, [], [], 0
        for layer in model.graph.layers:
            q = int(layer.kind.partition(":")[2] or 1)
            table = np.eye(q) if q > 1 else np.array(TABLES[layer.kind])
            layers[layer.name] = slice(start, start + layer.units)
            units += [(slice(start + i, start + i + q), table) for i in range(0, layer.units, q)]
            bias.append(np.array(model.params[f"layer/{layer.name}/bias"], np.float64))
            start += layer.units
        found = cls(np.zeros((start, start)), np.concatenate(bias), units, layers)
        for edge in model.graph.edges:
            weight = np.array(model.params[f"edge/{edge.lower}-{edge.upper}/weight"], np.float64)
            rows, columns = (np.arange(start)[layers[n]] for n in (edge.lower, edge.upper))
            if edge.pairs is not None:
                for w, i, j in zip(weight, edge.pairs.rows, edge.pairs.columns, strict=True):
                    found.couplings[rows[i], columns[j]] = found.couplings[columns[j], rows[i]] = w
            else:
                found.couplings[np.ix_(rows, columns)] = weight
                found.couplings[np.ix_(columns, rows)] = weight.T
        return found

    def states(self) -> Floats:
        """Every joint state (states, columns)."""
        tables = [table for _, table in self.units]
        return np.array([np.concatenate(rows) for rows in itertools.product(*tables)])

    def log_density(self, x: Floats) -> Floats:
        """-E of joint states (states, columns), each pair counted once."""
        total = x @ self.bias
        for i, j in itertools.combinations(range(len(self.bias)), 2):
            total = total + self.couplings[i, j] * x[:, i] * x[:, j]
        return np.asarray(total)

    def log_z(self) -> float:
        """Log of the sum of exp(-E) over every state, nats."""
        return float(logsumexp(self.log_density(self.states())))

    def p(self) -> Floats:
        """The probability of every joint state."""
        return np.asarray(softmax(self.log_density(self.states())))

    def number(self, x: Floats) -> NDArray[np.int64]:
        """The number of each joint state among states()."""
        known = {tuple(row): i for i, row in enumerate(self.states())}
        return np.array([known[tuple(row)] for row in x])

    def site(self, unit: int, scale: float = 1.0, bias: Floats | None = None) -> Floats:
        """Transition matrix (states, states) that draws one unit given the rest, at couplings times a scale."""
        x, (mine, table) = self.states(), self.units[unit]
        bias = self.bias if bias is None else bias
        field = scale * (x @ self.couplings)[:, mine] + bias[mine]
        p = softmax(field @ table.T, axis=1)
        found = np.zeros((len(x), len(x)))
        for k, state in enumerate(table):
            moved = x.copy()
            moved[:, mine] = state
            found[np.arange(len(x)), self.number(moved)] = p[:, k]
        return found

    def sweep(self, order: list[int], scale: float = 1.0, bias: Floats | None = None) -> Floats:
        """Transition matrix that draws units one after the other in an order."""
        found = np.eye(len(self.states()))
        for unit in order:
            found = found @ self.site(unit, scale, bias)
        return found

    def columns(self, layers: Iterable[str]) -> list[int]:
        """The columns of some layers, in this order."""
        every = range(len(self.bias))
        return [column for layer in layers for column in every[self.layers[layer]]]

    def units_of(self, layer: str) -> list[int]:
        """The numbers of the units of a layer."""
        part = self.layers[layer]
        return [i for i, (mine, _) in enumerate(self.units) if part.start <= mine.start < part.stop]

    def marginal(self, columns: list[int], p: Floats | None = None) -> dict[tuple[float, ...], float]:
        """The probability of each state of some columns."""
        found: dict[tuple[float, ...], float] = {}
        for row, share in zip(self.states()[:, columns], self.p() if p is None else p, strict=True):
            found[tuple(row)] = found.get(tuple(row), 0.0) + float(share)
        return found
