"""What scalars along chains say of mixing: integrated autocorrelation time, split R-hat, effective number of draws.

x is (chains, draws) throughout: one scalar of the state, such as its free energy, a sweep and chain. integrated_time,
split_rhat and chain_ess also take what run_chains returns, or its trace with axis=0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from boltz import checks
from boltz.errors import InputError
from boltz.sampling.chains import ChainRun

Floats = NDArray[np.float64]
WINDOW = 5.0  # Sokal (1997), section 3: the sum stops at so many times what it has come to
LEAST_TIMES, LEAST_TOTAL = 10.0, 50.0  # draws of a chain, and of all of them, that a time must fit into to be believed
LEAST_DRAWS = 4
HUGE = 1e100  # squares of larger numbers may overflow


def integrated_time(x: Any, axis: int | None = None) -> float:
    """Integrated autocorrelation time 1 + 2 (rho_1 + rho_2 + ...) of x (chains, draws), in draws, at least 1.

    x may be a run of run_chains with one trace and one temperature. axis: the one along the draws, 0 for a trace of
    run_chains; None means 1, and refuses x with more chains than draws, which may be a trace that lies the other way.

    Autocovariances are averaged over the chains about their common mean, so that chains that stay apart have no short
    time, and summed up to the window of Sokal (1997). inf where the time is longer than the run can show: where a chain
    holds fewer than 10 or all of them fewer than 50 of it. What never changes, anywhere, has time 1. Raises InputError.
    """
    x = _checked(x, axis)
    chains, draws = x.shape
    if np.ptp(x) == 0:
        return 1.0
    covariance = _autocovariance(x - x.mean()).mean(axis=0) * (draws / np.arange(draws, 0, -1))
    times = 2 * np.cumsum(covariance / covariance[0]) - 1
    closed = np.arange(draws) >= WINDOW * times
    if not closed.any():
        return float("inf")
    time = max(float(times[np.argmax(closed)]), 1.0)  # draws that alternate would have less
    return time if LEAST_TIMES * time <= draws and LEAST_TOTAL * time <= chains * draws else float("inf")


def split_rhat(x: Any, axis: int | None = None) -> float:
    """Split R-hat of x (chains, draws), at least about 1: how far halves of chains differ, beside their own spread.

    That of Gelman et al. (2013, section 11.4) on normal scores of ranks, and the same of the distances to the median;
    the larger counts (Vehtari et al. 2021, section 4). 1 where all draws are equal, inf where chains stand still at
    different values. x and axis as in integrated_time. Raises InputError.
    """
    x = _checked(x, axis)
    return max(_plain_rhat(_normal_scores(_halves(y))) for y in (x, np.abs(x - np.median(x))))


def chain_ess(x: Any, axis: int | None = None) -> float:
    """Effective number of draws for the mean of x (chains, draws), as in Vehtari et al. (2021, eq. 10-14).

    Chains are halved first. Autocorrelations are summed in pairs as long as those are positive, and never rise (Geyer
    1992). Chains that stand still at different values count about one draw each; draws that are all equal count in
    full. x and axis as in integrated_time. Raises InputError.
    """
    x = _halves(_checked(x, axis))
    chains, draws = x.shape
    if np.ptp(x) == 0:
        return float(chains * draws)
    covariance = _autocovariance(x - x.mean(axis=1, keepdims=True))
    within = covariance[:, 0].mean() * draws / (draws - 1)
    total = covariance[:, 0].mean() + x.mean(axis=1).var(ddof=1)
    scale = draws / (draws - 1)
    correlation = 1 - (within - scale * covariance.mean(axis=0)) / total
    correlation[0] = 1.0
    pairs = correlation[: draws // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = np.minimum.accumulate(pairs[: ends[0] if len(ends) else len(pairs)])
    count = chains * draws
    return float(count / max(2 * kept.sum() - 1, 1 / np.log10(count)))


def nested_rhat(x: Any) -> float:
    """Nested R-hat of x (groups, chains, draws): how far groups of chains differ (Margossian et al. 2024, section 2.2).

    With groups that start in different places it tells whether the start is forgotten. 1 where all draws are equal, inf
    where groups stand still at different values. Raises InputError.
    """
    x = checks.array(x, "x", (None, None, None), np.float64)
    if min(x.shape) < 1 or len(x) < 2 or x.shape[2] < 2:
        raise InputError(f"x must hold at least 2 groups of chains with at least 2 draws, got shape {x.shape}.")
    if np.ptp(x) == 0:
        return 1.0
    between = x.mean(axis=(1, 2)).var(ddof=1)
    among = x.mean(axis=2).var(axis=1, ddof=1).mean() if x.shape[1] > 1 else 0.0
    within = among + x.var(axis=2, ddof=1).mean()
    if np.ptp(x, axis=(1, 2)).max() == 0:
        return float("inf")
    return float(np.sqrt(1 + between / within))


def _checked(x: Any, axis: int | None) -> Floats:
    """x as (chains, draws), long enough to be halved, from what runs along the axis or is a run of chains."""
    if axis is not None:
        checks.integer(axis, "axis", 0, 1)
    if isinstance(x, ChainRun):
        if axis is not None:
            raise InputError("axis must be left out for a run of chains, whose trace tells its own.")
        x, axis = x.trace, 0
    if getattr(x, "ndim", 0) == 3:
        raise InputError(
            f"x must be of one temperature, got shape {x.shape}: where that is (temperatures, records, chains), as "
            "run_chains gives it, take each in turn, such as x[0] with axis=0."
        )
    found: Floats = checks.array(x, "x", (None, None), np.float64)
    if axis is None and found.shape[0] > found.shape[1] >= LEAST_DRAWS:
        raise InputError(
            f"x (chains, draws) must have no more chains than draws, got shape {found.shape}: give axis=0 where it is "
            "(draws, chains), as a trace of run_chains, or axis=1 where it is not."
        )
    found = found.T if axis == 0 else found
    if len(found) < 1 or found.shape[1] < LEAST_DRAWS:
        raise InputError(
            f"x (chains, draws) must hold at least one chain of at least {LEAST_DRAWS} draws, got shape {found.shape}."
        )
    largest = float(np.abs(found).max())
    return found / largest if largest > HUGE else found  # what is measured here has no scale


def _autocovariance(x: Floats) -> Floats:
    """1 / draws times the sum over t of x_t x_(t + lag), for each chain and lag, (chains, draws)."""
    draws = x.shape[1]
    size = 1 << (2 * draws - 1).bit_length()  # long enough that no end meets a beginning
    spectrum = np.fft.rfft(x, size, axis=1)
    found: Floats = np.fft.irfft(np.abs(spectrum) ** 2, size, axis=1)[:, :draws] / draws
    return found


def _halves(x: Floats) -> Floats:
    """First and last halves of the chains, (2 chains, draws / 2); an odd draw in the middle is left out."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normal_scores(x: Floats) -> Floats:
    """Normal scores of the ranks among all draws (Blom 1958), ties at their mean rank."""
    ranks = rankdata(x, axis=None).reshape(x.shape)
    scores: Floats = ndtri((ranks - 0.375) / (x.size + 0.25))
    return scores


def _plain_rhat(x: Floats) -> float:
    """R-hat of x (chains, draws) (Gelman et al. 2013, eq. 11.3-11.4)."""
    if np.ptp(x) == 0:
        return 1.0
    if np.ptp(x, axis=1).max() == 0:
        return float("inf")
    draws, within, between = x.shape[1], x.var(axis=1, ddof=1).mean(), x.mean(axis=1).var(ddof=1)
    return float(np.sqrt((draws - 1) / draws + between / within))
