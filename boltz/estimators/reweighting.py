"""Averages at any temperature from samples at several: the multistate Bennett acceptance ratio.

All samples together stand for one mixture of the densities exp(-beta_k E) / Z_k, and any other density is reweighted
from it (Shirts & Chodera 2008, eq. 11 and 15; Ferrenberg & Swendsen 1989 with single samples instead of bins). Samples
of one copy depend on each other, copies do not: how much each copy moves a result gives its error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from boltz.estimators.replica_exchange import bennett
from boltz.numerics import logsumexp

Floats = NDArray[np.float64]
STEPS, TOLERANCE = 50, 1e-10  # of Newton's method, in nats


@dataclass(frozen=True, eq=False)
class Mixture:
    """The mixture that samples at some inverse temperatures stand for.

    energy (copies, rungs, rounds): energies of samples at inverse temperatures betas (rungs,). log_z (rungs,): log
    Z_k in nats, the first as given. moved (copies, rungs): how much each copy moves them, to first order; the sum over
    copies is 0. log_sum (copies, rungs, rounds): log of the sum over k of samples of k times exp(-beta_k E) / Z_k.
    """

    energy: Floats
    betas: Floats
    log_z: Floats
    moved: Floats
    log_sum: Floats

    @property
    def count(self) -> int:
        """Samples of each rung."""
        return len(self.energy) * self.energy.shape[2]


@dataclass(frozen=True, eq=False)
class Reweighted:
    """log Z (targets,) in nats and means (targets, features) at some inverse temperatures.

    of_log_z (copies, targets) and of_means (copies, targets, features): how much each copy moves them, to first order,
    which adds up to 0 over copies. ess (targets,): the effective number of samples by their weights.
    """

    log_z: Floats
    means: Floats
    of_log_z: Floats
    of_means: Floats
    ess: Floats


def mixture(energy: Floats, betas: Floats, first_log_z: float) -> Mixture:
    """The self-consistent log Z of all rungs, by Newton's method from Bennett's ratios of neighbours."""
    copies, rungs, rounds = energy.shape
    step = np.diff(betas)[:, None]
    by_rung = energy.transpose(1, 0, 2).reshape(rungs, -1)
    ratios = bennett(-step * by_rung[:-1], step * by_rung[1:])
    log_z = first_log_z + np.concatenate([[0.0], np.cumsum(ratios)])
    count = np.full(rungs, float(rounds))  # of one copy
    for _ in range(STEPS):
        sums, products = _shares(energy, betas, log_z)
        slope = np.diag(sums.sum(axis=0)) - products
        change = _solved(slope, sums.sum(axis=0) - copies * count)
        log_z = log_z + change
        if np.abs(change).max() <= TOLERANCE * (1 + np.abs(log_z).max()):
            break
    sums, products = _shares(energy, betas, log_z)
    moved = _solved(np.diag(sums.sum(axis=0)) - products, (sums - count).T).T
    log_sum = np.log(copies * rounds) + np.stack([logsumexp(_terms(part, betas, log_z), axis=-1) for part in energy])
    return Mixture(energy, betas, log_z, moved - moved.mean(axis=0), log_sum)


def reweighted(mixed: Mixture, betas: Floats, features: Floats) -> Reweighted:
    """log Z at other inverse temperatures (targets,), and means of features (features, copies, rungs, rounds) there."""
    copies = len(mixed.energy)
    log_z = np.array([float(logsumexp(-beta * mixed.energy - mixed.log_sum)) for beta in betas])
    parts = [_weighted(mixed, c, betas, log_z, features[:, c]) for c in range(copies)]
    of_weight, of_feature, of_rung, of_both, squares = (np.stack(x) for x in zip(*parts, strict=True))
    means = of_feature.sum(axis=0)
    by_rungs = mixed.moved @ of_rung.sum(axis=0).T  # (copies, targets): by the log Z of the rungs
    also = np.einsum("ck,tak->cta", mixed.moved, of_both.sum(axis=0)) - by_rungs[:, :, None] * means
    moved = of_feature - of_weight[:, :, None] * means + also
    return Reweighted(log_z, means, of_weight - 1 / copies + by_rungs, moved, 1 / squares.sum(axis=0))


def _terms(energy: Floats, betas: Floats, log_z: Floats) -> Floats:
    """log of the density of each rung at energies (rungs, rounds), (rungs, rounds, rungs)."""
    return np.asarray(-energy[..., None] * betas - log_z)


def _shares(energy: Floats, betas: Floats, log_z: Floats) -> tuple[Floats, Floats]:
    """The expected samples of each rung among those of each copy, (copies, rungs), and products of shares, summed over
    samples, (rungs, rungs).
    """
    sums, products = np.empty((len(energy), len(betas))), np.zeros((len(betas), len(betas)))
    for c, part in enumerate(energy):
        share = _terms(part, betas, log_z).reshape(-1, len(betas))
        share -= share.max(axis=1, keepdims=True)
        np.exp(share, out=share)
        share /= share.sum(axis=1, keepdims=True)
        sums[c] = share.sum(axis=0)
        products += share.T @ share
    return sums, products


def _solved(slope: Floats, right: Floats) -> Floats:
    """Changes of log Z, none of the first rung, that this slope (rungs, rungs) asks for."""
    found = np.zeros_like(right)
    found[1:] = np.linalg.lstsq(slope[1:, 1:], right[1:], rcond=None)[0]
    return found


def _weighted(mixed: Mixture, copy: int, betas: Floats, log_z: Floats, features: Floats) -> tuple[Floats, ...]:
    """Sums over the samples of a copy, weighted for each target: of 1, of features, of the shares of rungs, of features
    times shares; and of squared weights.
    """
    energy, log_sum = mixed.energy[copy].reshape(-1), mixed.log_sum[copy].reshape(-1)
    density = _terms(mixed.energy[copy], mixed.betas, mixed.log_z).reshape(len(energy), -1)
    share = np.exp(density + np.log(mixed.count) - log_sum[:, None])
    weight = np.exp(-np.outer(betas, energy) - log_sum - log_z[:, None])
    flat = features.reshape(len(features), -1)
    both = np.stack([(weight * feature) @ share for feature in flat], axis=1)
    return weight.sum(axis=1), weight @ flat.T, weight @ share, both, (weight**2).sum(axis=1)
