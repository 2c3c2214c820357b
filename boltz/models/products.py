"""Independent units and mixtures of such products: the simple models that a machine must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.numerics import logsumexp
from boltz.rng import Key

Array = NDArray[Any]
Floats = NDArray[np.float64]
ROWS = 10_000  # that a mixture is fitted to, evenly spaced
PRIOR = 4.0  # rows with the rates of all that each component holds beforehand
COMPONENTS = 20  # of the mixture that a machine is measured against
NOTHING = 0.1  # share of what that mixture gains over independent units that is no more than nothing
SWEEPS, TOLERANCE = 100, 1e-3  # of expectation maximisation; nats a row that end it


@dataclass(frozen=True, eq=False)
class Products:
    """A mixture of products of independent binary units: log shares (components,), rates (components, units)."""

    log_shares: Floats
    rates: Floats

    def log_prob(self, rows: Array) -> Floats:
        """log p (rows,) of rows (rows, units) of 0 and 1, in nats."""
        found: Floats = logsumexp(self._joint(rows), axis=1)
        return found

    def _joint(self, rows: Array) -> Floats:
        """log p (rows, components) of rows and components."""
        x = np.asarray(rows, np.float32)
        off = np.log1p(-self.rates)
        change = (np.log(self.rates) - off).T.astype(np.float32)
        return (x @ change).astype(np.float64) + off.sum(axis=1) + self.log_shares


def independent(rows: Array) -> Products:
    """Independent units with the rates of rows (rows, units), as if half a row more were on and half a row off."""
    count = len(rows)
    rates = (np.asarray(rows).sum(axis=0, dtype=np.float64) + 0.5) / (count + 1)
    return Products(np.zeros(1), rates[None])


def mixture(rows: Array, components: int, seed: int) -> Products:
    """A mixture fitted to rows (rows, units) by expectation maximisation, each component drawn a little to the rates
    of all rows; it starts at rows chosen by seed.
    """
    x = np.asarray(rows[np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(np.int64)], np.float32)
    overall = independent(x).rates[0]
    first = Key.from_seed(seed).derive("products").generator().choice(len(x), min(components, len(x)), replace=False)
    found = Products(np.full(len(first), -np.log(len(first))), 0.25 * x[first] + 0.75 * overall)
    before = -np.inf
    for _ in range(SWEEPS):
        joint = found._joint(x)
        total = logsumexp(joint, axis=1, keepdims=True)
        if float(total.mean()) - before < TOLERANCE:
            break
        before = float(total.mean())
        share = np.exp(joint - total)
        counts = share.sum(axis=0)
        sums = (share.T.astype(np.float32) @ x).astype(np.float64)
        rates = (sums + PRIOR * overall) / (counts + PRIOR)[:, None]
        found = Products(np.log((counts + 1) / (len(x) + len(counts))), np.clip(rates, 1e-12, 1 - 1e-12))
    return found
