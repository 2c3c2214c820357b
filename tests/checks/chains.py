"""Chains of known time, measures of mixing by plain loops, and small machines that mix at once or never."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

import boltz

Floats = NDArray[np.float64]


def autoregressive(chains: int, draws: int, a: float, seed: int) -> Floats:
    """Stationary chains x_t = a x_(t-1) + noise of variance 1, whose integrated time is (1 + a) / (1 - a)."""
    noise = np.random.default_rng(seed).normal(size=(chains, draws))
    noise[:, 0] *= np.sqrt(1 - a**2)
    x = np.empty_like(noise)
    x[:, 0] = noise[:, 0] / (1 - a**2)
    for t in range(1, draws):
        x[:, t] = a * x[:, t - 1] + noise[:, t]
    return x


def slow_time(x: Floats) -> float:
    """Integrated time by a double loop: autocovariances about the common mean, then the window."""
    centred, (chains, draws) = x - x.mean(), x.shape
    total = 1.0
    start = (centred**2).mean()
    for lag in range(1, draws):
        products = [centred[i, t] * centred[i, t + lag] for i in range(chains) for t in range(draws - lag)]
        total += 2 * float(np.mean(products)) / float(start)
        if lag >= 5 * total:
            return max(total, 1.0)
    return float("inf")


def slow_rhat(x: Floats) -> float:
    """Split R-hat of normal scores and of those of distances to the median, a formula a line."""
    found, half = [], x.shape[1] // 2
    for y in (x, np.abs(x - np.median(x))):
        halves = np.concatenate([y[:, :half], y[:, x.shape[1] - half :]])
        z = norm.ppf((rankdata(halves).reshape(halves.shape) - 3 / 8) / (halves.size + 1 / 4))
        between = half * np.var([np.mean(chain) for chain in z], ddof=1)
        within = np.mean([np.var(chain, ddof=1) for chain in z])
        found.append(float(np.sqrt(((half - 1) / half * within + between / half) / within)))
    return max(found)


def slow_ess(x: Floats) -> float:
    """Effective draws by loops over lags and chains (Vehtari et al. 2021, eq. 10-14)."""
    half = x.shape[1] // 2
    chains = np.concatenate([x[:, :half], x[:, x.shape[1] - half :]])
    count, draws = chains.shape
    variances = [np.var(chain, ddof=1) for chain in chains]
    within = np.mean(variances)
    total = (draws - 1) / draws * within + np.var(chains.mean(axis=1), ddof=1)

    def rho(lag: int) -> float:
        own = []
        for chain, variance in zip(chains, variances, strict=True):
            d = chain - chain.mean()
            own.append(variance * sum(d[t] * d[t + lag] for t in range(draws - lag)) / sum(d**2))
        return float(1 - (within - np.mean(own)) / total)

    tau, last = -1.0, np.inf
    for lag in range(0, draws - 1, 2):
        pair = (rho(lag) if lag else 1.0) + rho(lag + 1)
        if pair <= 0:
            break
        last = min(last, pair)
        tau += 2 * last
    return count * draws / max(tau, 1 / np.log10(count * draws))


def slow_nested(x: Floats) -> float:
    """Nested R-hat of x (groups, chains, draws): variances of groups, of chains in a group, of draws in a chain."""
    means = x.mean(axis=2)
    between = np.var([group.mean() for group in means], ddof=1)
    within = np.mean([np.var(group, ddof=1) for group in means]) + np.mean([np.var(c, ddof=1) for g in x for c in g])
    return float(np.sqrt(1 + between / within))


def calm(*units: int) -> boltz.BoltzmannMachine:
    """A machine with weak random weights, which mixes within a few sweeps."""
    generator = np.random.default_rng(8)
    weights = [generator.normal(0, 0.4, shape) for shape in pairwise(units)]
    return boltz.from_arrays(weights, [generator.normal(0, 0.5, n) for n in units])


def rows_of(machine: boltz.BoltzmannMachine, count: int = 400) -> Floats:
    """Samples of the machine itself as data."""
    return boltz.sample(machine, count, 50, seed=9)["v"].astype(np.float64)


def two_modes() -> boltz.BoltzmannMachine:
    """An RBM that is all on or all off, each with half the probability, and never goes from one to the other."""
    return boltz.from_arrays([np.full((8, 8), 8.0)], [np.full(8, -32.0), np.full(8, -32.0)])
