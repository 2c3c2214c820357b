"""Exact laws of annealing runs on small machines: moments of RAISE, and tempered transitions by a sum over all walks.

Also the one-sided test of a bound in expectation, and a path that tells what happens to each chain.
"""

from __future__ import annotations

import numpy as np
from oracles import chains, enumeration
from oracles.enumeration import Floats, Table
from scipy.stats import norm
from support import stats

from boltz.sampling.annealing import Place


def raise_second_moments(path: chains.Path) -> Floats:
    """E of the squared reverse weight of RAISE started at each state; raise_expectations has the first moment."""
    value = path.distribution(0) ** 2
    for t, matrix in enumerate(path.backward, start=1):
        f = np.exp(2 * (path.log_f[t] - path.log_f[t].max()))
        value = f * (matrix @ (value / f))
    return value


def raise_law(table: Table, path: chains.Path, means: enumeration.State) -> tuple[Floats, Floats]:
    """Mean and variance (visible states,) of RAISE's weight, path over the visible class.

    means (visible states, units) are those of q for its layers above v, which are drawn from q and weighed by 1 / q.
    """
    held = enumeration.colours(table)[0]
    rows = 2 ** table.layers["v"]
    q = np.ones((rows, 1))
    for mean in np.hstack([means[n] for n in held[1:]]).T if len(held) > 1 else ():
        q = (q[:, :, None] * np.stack([1 - mean, mean], axis=1)[:, None, :]).reshape(rows, -1)
    first = chains.raise_expectations(path).reshape(rows, -1).sum(axis=1)
    second = (raise_second_moments(path).reshape(rows, -1) / q).sum(axis=1)
    return first, second - first**2


def tempered_law(path: chains.Path, late: bool = False) -> tuple[Floats, float]:
    """Law of a state after one tempered transition over three temperatures, from an exact start, and accepted share.

    x, the start, is weighed, moves to y at the middle one, is weighed, is drawn anew at the base as z, is weighed,
    moves to w at the middle one and is weighed: a sum over all of them. late adds a faulty move after the last weight.
    """
    f0, f1, f2 = path.log_f
    walk = path.distribution(2)[:, None, None, None] * path.backward[0][:, :, None, None]
    walk = walk * path.distribution(0)[:, None] * path.forward[0]
    weight = (f1 - f2)[:, None, None, None] + (f0 - f1)[:, None, None] + (f1 - f0)[:, None] + (f2 - f1)
    accept = np.minimum(1, np.exp(weight))
    moved = np.einsum("xyzw,xyzw->w", walk, accept)
    stayed = np.einsum("xyzw,xyzw->x", walk, 1 - accept)
    return stayed + (moved @ path.forward[1] if late else moved), float(moved.sum())


def bound_test(sample: Floats, truth: float) -> float:
    """p-value (normal, one-sided) that independent values (n,) have a mean of at most truth."""
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    return float(norm.sf((sample.mean() - truth) / error))


def detectable_excess(sample: Floats, effect: float) -> bool:
    """Whether bound_test catches a mean that is above the truth by effect."""
    error = sample.std(ddof=1) / np.sqrt(len(sample))
    return bool(effect / error > norm.isf(stats.ALPHA) + norm.isf(1 - stats.POWER))


class Labels:
    """A path whose chains carry their own number, with given gains (steps, chains) by label and no moves."""

    def __init__(self, gains: Floats) -> None:
        self.gains = gains

    def log_density(self, state: dict[str, Floats], beta: float, first: int) -> Floats:
        return np.zeros(len(state["label"]))

    def step(self, state: dict[str, Floats], betas: tuple[float, float], place: Place, log_weights: Floats) -> None:
        log_weights += self.gains[place.step - 1, state["label"][:, 0].astype(int)]

    def reversed(self) -> Labels:
        return self
