"""Log-space arithmetic in float64 (nats)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

Floats = NDArray[np.float64]


def log_mean_exp(log_weights: Any, axis: int | None = None) -> Any:
    """log of the mean of exp(log_weights)."""
    weights = np.asarray(log_weights, np.float64)
    count = weights.size if axis is None else weights.shape[axis]
    return logsumexp(weights, axis=axis) - np.log(count)


def effective_sample_size(log_weights: Floats) -> float:
    """(sum w)^2 / sum w^2 of importance weights (Kong 1992)."""
    return float(np.exp(2 * logsumexp(log_weights) - logsumexp(2 * log_weights)))


def log_mean_error(log_weights: Floats) -> float:
    """Standard error of log_mean_exp by the delta method: sd(w) / (mean(w) sqrt(n)); infinite for a single weight."""
    count = len(log_weights)
    if count < 2:
        return float("inf")
    relative = np.exp(log_weights - log_mean_exp(log_weights))
    return float(np.std(relative, ddof=1) / np.sqrt(count))


def family_error(log_weights: Floats, eve: NDArray[np.int64], resamplings: int) -> tuple[float, float]:
    """Standard error of the log of a mean weight, and effective sample size, when chains share ancestors eve (chains,).

    The relative variance is 1 - (n / (n - 1))^(resamplings + 1) (1 - sum of squared shares of families) (Lee & Whiteley
    2018, eq. 7), and at least that of families taken as single weights; without resampling it is that of log_mean_error.
    """
    count = len(log_weights)
    families = np.bincount(eve, np.exp(log_weights - logsumexp(log_weights)))
    crowd = float(np.sum(families**2))
    if count < 2:
        return float("inf"), 1 / crowd
    alone, all_together = ((count / (count - 1)) ** n * (1 - crowd) for n in (1, resamplings + 1))
    return float(np.sqrt(max(1 - alone, 1 - all_together, 0.0))), 1 / crowd


def softplus(x: Any) -> Any:
    """log(1 + exp(x)) without overflow."""
    return np.logaddexp(0, x)


def logit(p: Any) -> Any:
    """log(p / (1 - p))."""
    return np.log(p) - np.log1p(-p)
