"""An independent look at the posterior of some rows: is there mass that importance samples have not seen?

Samples of a q that sits in one mode look effective, whatever lies elsewhere. So chains are annealed to p(h | v) from
fair coins, which know nothing of q. Where many of them end at states whose weight p*(v, h) / q(h | v) lies above all
that were sampled, or the states found there have much probability themselves, the samples have missed that much.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.estimators.importance import weigher
from boltz.estimators.precision import accurate
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.numerics import logsumexp
from boltz.parallel import workers
from boltz.rng import Key
from boltz.sampling.annealing import anneal
from boltz.sampling.gibbs import turned_weights
from boltz.sampling.mixtures import mixture_of, stacked
from boltz.sampling.posterior_paths import MeanFieldPath
from boltz.sampling.single_site import scan_path

Array = NDArray[Any]
Floats = NDArray[np.float64]
MOST_ROWS, CHAINS, FEWEST, STEPS = 64, 1024, 4, 20  # rows looked at, chains for all and for each, temperatures
WORK = 3e8  # pairs of units that chains of a belief net go through: seconds
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
    if not binary(model):
        return Look(0, 0.0, 0.0)
    chains = chains_for(model)
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), MOST_ROWS, chains // FEWEST)).astype(int))
    some = found[chosen]
    missed = missing_mass(model, x, chosen, some, chains // len(chosen), key)
    return Look(len(chosen), float(missed.mean()), float(np.exp(some[:, 3] - some[:, 0]).mean() / samples))


def chains_for(model: Model) -> int:
    """How many chains there are for all rows together: fewer for a large belief net, whose units are drawn in turn."""
    if isinstance(model, BoltzmannMachine):
        return CHAINS
    units = [layer.units for layer in model.layers]
    return int(np.clip(WORK / (STEPS * sum(below * above for below, above in pairwise(units))), 8 * FEWEST, CHAINS))


def binary(model: Model) -> bool:
    """Whether the hidden layers are binary, so that chains of this module move them."""
    return isinstance(model, BoltzmannMachine) or all(n.kind == "bernoulli" for n in model.structure.latent)


def missing_mass(model: Model, x: Array, chosen: NDArray[np.int64], found: Floats, chains: int, key: Key) -> Floats:
    """Share of the posterior of chosen rows of x (rows, units) at states that weigh more than all sampled, (chosen,).

    The larger of two estimates: what the annealed chains there weigh (Neal 2001), beside the samples or beside all
    chains, whichever says less; and the probability of the different states that they found, which is certain.
    """
    model, x = accurate(model, x)
    with workers(x) as pool:
        log_p, log_q, log_a, state = pool.map(lambda _: _annealed(model, x, chosen, chains, key), [None])[0]
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


def _annealed(
    model: Model, x: Array, chosen: NDArray[np.int64], chains: int, root: Key
) -> tuple[Floats, Floats, Floats, Array]:
    """log p*(v, h), log q(h | v) and log-weights of annealing (rows, chains), and the states, all drawn layers.

    q is that of the samples, so it has their key and the numbers of their rows.
    """
    rows, key = x[beside(chosen, x)], root.derive("look")
    repeated = np.repeat(rows, chains, axis=0)
    betas = np.linspace(0, 1, STEPS + 1)
    if isinstance(model, BoltzmannMachine):
        coins = coin_path(model, repeated)
        state = coins.sample_start(key)
        log_a = anneal(coins, state, betas, key).log_weights
        each = [mixture_of(model, x[i : i + 1], int(i), root.derive("importance")) for i in chosen]
        q = stacked(each)
        state = {n: state[n] for n in coins.held}
        log_p = weigher(model, repeated, turned_weights(model)).log_density(state)
        log_q = q.repeated(chains).log_density(state)
    else:
        path, state = scan_path(silent(model), rows, chains, 0, key)
        log_a = anneal(path, state, betas, key).log_weights
        told = scan_path(model, rows, chains, 0, key)[0]
        log_p, log_q = told.terms(state, 0)
    whole = np.concatenate([host(x) for x in state.values()], axis=1)
    return *(host(a).reshape(-1, chains) for a in (log_p, log_q, log_a)), whole.reshape(len(rows), chains, -1)


def coin_path(machine: BoltzmannMachine, rows: Array) -> MeanFieldPath:
    """From fair coins to the posterior of rows (chains, units), a chain each."""
    v = {machine.visible: rows}
    hidden = [n for n in machine.graph.units if n != machine.visible]
    start = {n: machine.zeros(len(rows), n) for n in hidden}
    change = {n: machine.field(n, v) for n in hidden}
    return MeanFieldPath(machine, start, change, -machine.marginal_energy(v, ()))


def silent(machine: HelmholtzMachine) -> HelmholtzMachine:
    """The machine with a recognition model that says nothing: fair coins."""
    other = machine.astype(machine.dtype)
    for name, values in other.params.items():
        if name.startswith("recognition/"):
            values[...] = 0
    return other
