"""An independent look at the posterior of some rows: is there mass that importance samples have not seen?

Samples of a q that sits in one mode look effective, whatever lies elsewhere. So chains are annealed to p(h | v) from
fair coins, which know nothing of q. Where many of them end at states whose weight p*(v, h) / q(h | v) lies above all
that were sampled, or the states found there have much probability themselves, the samples have missed that much.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.estimators.coin_chains import FEWEST
from boltz.estimators.marginals import marginal_of
from boltz.estimators.precision import accurate
from boltz.models.files import Model
from boltz.numerics import logsumexp
from boltz.parallel import workers
from boltz.rng import Key

Array = NDArray[Any]
Floats = NDArray[np.float64]
MOST_ROWS = 64  # rows looked at
HEALTHY = 1.5
SLACK = 1e-3  # nats by which weights of one state may differ


@dataclass(frozen=True)
class Look:
    """Mean shares of the posteriors of so many rows: missed by the samples, and what they would miss by chance."""

    rows: int
    missed: float
    chance: float

    def doubts(self, error: float) -> tuple[str, ...]:
        """What was missed, in words, if it is more than the standard error of the mean in nats can be."""
        if self.missed - HEALTHY * self.chance <= error:
            return ()
        where = f"of the posterior of {self.rows} row{'s' * (self.rows > 1)}"
        return (f"the samples missed {self.missed:.2%} {where}, which annealed chains found",)


def look(model: Model, x: Array, found: Floats, samples: int, key: Key) -> Look:
    """How much of the posterior of some rows x (rows, units) so many importance samples a row have missed.

    found (rows, 4) is what mean_and_error says. By chance they miss about the share that the largest weight has (Good
    1953). Nothing is looked at where hidden layers are not binary.
    """
    if not model.binary_hidden:
        return Look(0, 0.0, 0.0)
    chains = marginal_of(model).coin_chains(model)
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS, chains // FEWEST)).astype(int))
    some = found[chosen]
    missed = missing_mass(model, x, chosen, some, chains // len(chosen), key)
    return Look(len(chosen), float(missed.mean()), float(np.exp(some[:, 3] - some[:, 0]).mean() / samples))


def missing_mass(model: Model, x: Array, chosen: NDArray[np.int64], found: Floats, chains: int, key: Key) -> Floats:
    """Share of the posterior of chosen rows of x (rows, units) at states that weigh more than all sampled, (chosen,).

    The larger of two estimates: what the annealed chains there weigh (Neal 2001), beside the samples or beside all
    chains, whichever says less; and the probability of the different states that they found, which is certain.
    """
    model, x = accurate(model, x)
    with workers(x) as pool:
        log_p, log_q, log_a, state = pool.map(lambda _: _ends(model, x, chosen, chains, key), [None])[0]
    above = (log_p - log_q > found[:, 3, None] + SLACK) & np.isfinite(log_p)
    with np.errstate(divide="ignore"):
        there = logsumexp(np.where(above, log_a, -np.inf), axis=1)
        sampled = np.logaddexp(there, found[:, 0] + np.log(chains))
        share = np.exp(there - np.maximum(logsumexp(log_a, axis=1), sampled))
        packed = np.packbits(state.astype(bool), axis=2)
        new = np.zeros(above.shape, bool)
        for i, codes in enumerate(packed):
            new[i, np.unique(codes, axis=0, return_index=True)[1]] = True
        certain = logsumexp(np.where(above & new, log_p, -np.inf), axis=1) - found[:, 0]
    certain = np.exp(certain - np.logaddexp(0, certain))
    return np.maximum(share, certain)


def _ends(
    model: Model, x: Array, chosen: NDArray[np.int64], chains: int, key: Key
) -> tuple[Floats, Floats, Floats, Array]:
    """log p*(v, h), log q(h | v) and log-weights (rows, chains) of annealed chains, and their states, on the host."""
    *found, state = marginal_of(model).coin_ends(model, x, chosen, chains, key)
    log_p, log_q, log_a = (host(each).reshape(-1, chains) for each in found)
    whole = np.concatenate([host(each) for each in state.values()], axis=1)
    return log_p, log_q, log_a, whole.reshape(len(chosen), chains, -1)
