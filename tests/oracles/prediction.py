"""Slow answers for multi-prediction: mean field of one row after the other, and derivatives without back-propagation.

All arithmetic works for complex parameters, so that a step of 1e-40 along the imaginary axis gives a derivative to the
last bit (Squire & Trapp 1998): no difference is taken, and nothing is propagated backwards.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from oracles.enumeration import Table, colours

STEP = 1e-40


def parameters(table: Table) -> dict[str, Any]:
    """The parameters of a machine by name, complex."""
    found = {f"edge/{a}-{b}/weight": weight.astype(complex) for (a, b), weight in table.edges.items()}
    return found | {f"layer/{n}/bias": bias.astype(complex) for n, bias in table.biases.items()}


def logistic(x: Any) -> Any:
    """1 / (1 + exp(-x)) of complex numbers of any size."""
    small = np.exp(-np.where(x.real < 0, -x, x))
    return np.where(x.real < 0, small, 1) / (1 + small)


def predicted(table: Table, named: dict[str, Any], row: Any, known: Any, sweeps: int) -> Any:
    """Means (units,) of the visible units of one row after so many sweeps of mean field; the known ones stay."""
    even, odd = colours(table)
    visible = table.visible
    mean: dict[str, Any] = {n: logistic(named[f"layer/{n}/bias"]) for n in even}
    mean[visible] = np.where(known, row, mean[visible])
    for _ in range(sweeps):
        for layers in (odd, even):
            fields = {}
            for n in layers:
                fields[n] = named[f"layer/{n}/bias"].copy()
                for a, b in table.edges:
                    weight = named[f"edge/{a}-{b}/weight"]
                    if a == n:
                        fields[n] += weight @ mean[b]
                    elif b == n:
                        fields[n] += weight.T @ mean[a]
            mean |= {n: logistic(field) for n, field in fields.items()}
            mean[visible] = np.where(known, row, mean[visible])
    return mean[visible]


def objective(table: Table, named: dict[str, Any], rows: Any, known: Any, sweeps: int) -> Any:
    """Mean over rows of the log-probability of the units that are not known, each by its mean, in nats."""
    total = 0.0
    for row, these in zip(rows, known, strict=True):
        q = predicted(table, named, row, these, sweeps)
        for x, mean in zip(row[~these], q[~these], strict=True):
            total = total + x * np.log(mean) + (1 - x) * np.log(1 - mean)
    return total / len(rows)


def gradient(table: Table, rows: Any, known: Any, sweeps: int) -> dict[str, Any]:
    """The derivative of the objective by each parameter in turn, by name."""
    named = parameters(table)
    found = {name: np.zeros(x.shape) for name, x in named.items()}
    for name, x in named.items():
        for place in np.ndindex(x.shape):
            kept = x[place]
            x[place] = kept + 1j * STEP
            found[name][place] = objective(table, named, rows, known, sweeps).imag / STEP
            x[place] = kept
    return found
