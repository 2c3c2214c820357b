"""Machines of pairwise couplings by plain loops over every pair and every state, without boltz.

A site has q states with numbers as values; a state of the machine is a code for each site. Couplings are a table
J[i][k] (q, q) for each pair i < k, and fields h (sites, q). Hidden units are 0 or 1 and hear each site's state.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pairwise:
    """couplings (sites, sites, q, q), of which only i < k counts; fields (sites, q); heard (sites, q, hidden) and
    hidden biases (hidden,), none of them by default.
    """

    couplings: Floats
    fields: Floats
    heard: Floats
    hidden: Floats

    @property
    def sites(self) -> int:
        return len(self.fields)

    def log_weight(self, codes: Any) -> float:
        """log p* of one state (sites,), hidden units being summed one state after the other."""
        total = sum(self.fields[i, a] for i, a in enumerate(codes))
        for i, k in combinations(range(self.sites), 2):
            total += self.couplings[i, k, codes[i], codes[k]]
        terms = []
        for state in product((0, 1), repeat=len(self.hidden)):
            energy = sum(self.hidden[j] * s for j, s in enumerate(state))
            for i, a in enumerate(codes):
                energy += sum(self.heard[i, a, j] * s for j, s in enumerate(state))
            terms.append(energy)
        return float(total + logsumexp(terms))

    def table(self) -> Floats:
        """log p* of every state, an axis a site."""
        q = self.fields.shape[1]
        found = [self.log_weight(codes) for codes in product(range(q), repeat=self.sites)]
        return np.array(found).reshape((q,) * self.sites)

    def log_p(self, rows: Any) -> Floats:
        """log p (rows,) of codes (rows, sites)."""
        table = self.table()
        return np.array([table[tuple(row)] for row in rows]) - logsumexp(table)

    def pseudo(self, rows: Any) -> Floats:
        """sum_i log p(x_i given all others) (rows,) of codes, each conditional from the table of all states."""
        table, found = self.table(), []
        for row in rows:
            total = 0.0
            for i in range(self.sites):
                place: list[Any] = list(row)
                place[i] = slice(None)
                total += table[tuple(row)] - logsumexp(table[tuple(place)])
            found.append(total)
        return np.array(found)

    def draw(self, rows: int, seed: int) -> NDArray[np.int64]:
        """Independent codes (rows, sites)."""
        table = self.table()
        p = np.exp(table - logsumexp(table)).reshape(-1)
        chosen = np.random.default_rng(seed).choice(len(p), size=rows, p=p / p.sum())
        return np.stack(np.unravel_index(chosen, table.shape), axis=1)


def random(sites: int, q: int, scale: float, seed: int, hidden: int = 0) -> Pairwise:
    """Normal couplings and fields."""
    rng = np.random.default_rng(seed)
    return Pairwise(
        rng.normal(0, scale, (sites, sites, q, q)),
        rng.normal(0, scale, (sites, q)),
        rng.normal(0, scale, (sites, q, hidden)),
        rng.normal(0, scale, hidden),
    )


def of_values(couplings: Floats, fields: Floats, values: Any) -> Pairwise:
    """Units with these values (q,) as states, couplings (units, units) and fields (units,)."""
    v = np.asarray(values, np.float64)
    tables = couplings[:, :, None, None] * v[:, None] * v
    return Pairwise(tables, fields[:, None] * v, np.zeros((len(fields), len(v), 0)), np.zeros(0))
