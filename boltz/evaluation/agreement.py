"""How far two groupings of rows agree: mutual information, adjusted for chance (Vinh, Epps & Bailey 2010)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Array = NDArray[Any]
Floats = NDArray[np.float64]
LITTLE = 1e-12  # nats that are rounding


def adjusted_mutual_information(first: Array, second: Array) -> float:
    """The adjusted mutual information of two groupings (rows,): 1 where they are the same, about 0 by chance.

    (I - E) / (H - E): I is their mutual information, E its mean over all orders of the rows (Vinh, Epps & Bailey 2010,
    eq. 24a), and H the mean of both entropies.
    """
    counts = _counts(first, second)
    rows, a, b = int(counts.sum()), counts.sum(axis=1), counts.sum(axis=0)
    found, chance = _information(counts), _by_chance(a, b, rows)
    most = (_entropy(a) + _entropy(b)) / 2
    if most - chance < LITTLE:  # all rows in one group, or each in its own: either way the groupings are the same
        return 1.0
    return float((found - chance) / (most - chance))


def _counts(first: Array, second: Array) -> NDArray[np.int64]:
    """How many rows are in each group of both, (groups, groups)."""
    _, one = np.unique(first, return_inverse=True)
    _, other = np.unique(second, return_inverse=True)
    found = np.zeros((one.max() + 1, other.max() + 1), np.int64)
    np.add.at(found, (one, other), 1)
    return found


def _entropy(counts: NDArray[np.int64]) -> float:
    share = counts / counts.sum()
    return float(-(share * np.log(share)).sum())


def _information(counts: NDArray[np.int64]) -> float:
    share = counts / counts.sum()
    even = share.sum(axis=1, keepdims=True) * share.sum(axis=0)
    some = share > 0
    return float((share[some] * np.log(share[some] / even[some])).sum())


def _by_chance(a: NDArray[np.int64], b: NDArray[np.int64], rows: int) -> float:
    """The mean mutual information of groupings into groups of these sizes whose rows are in random order."""
    total = 0.0
    for size in a:
        for other in b:
            n = np.arange(max(1, size + other - rows), min(size, other) + 1)
            share = _ways(size, n) + _ways(rows - size, other - n) - _ways(rows, other)  # hypergeometric, in logs
            total += float((n / rows * np.log(rows * n / (size * other)) * np.exp(share)).sum())
    return total


def _ways(rows: Any, some: Any) -> Any:
    """The log of the number of ways to choose some of the rows."""
    return gammaln(rows + 1) - gammaln(some + 1) - gammaln(rows - some + 1)
