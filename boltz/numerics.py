"""Log-space arithmetic in float64 (nats)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from boltz.arrays import on_device

Floats = NDArray[np.float64]
TIED = 0.5


def log_mean_exp(log_weights: Any, axis: int | None = None) -> Any:
    """log of the mean of exp(log_weights)."""
    weights = np.asarray(log_weights, np.float64)
    count = weights.size if axis is None else weights.shape[axis]
    return logsumexp(weights, axis=axis) - np.log(count)


def effective_sample_size(log_weights: Floats, axis: int | None = None) -> Any:
    """(sum w)^2 / sum w^2 of importance weights (Kong 1992), of all or along an axis."""
    found = np.exp(2 * logsumexp(log_weights, axis) - logsumexp(2 * log_weights, axis))
    return float(found) if axis is None else found


def log_mean_error(log_weights: Floats) -> float:
    """Standard error of log_mean_exp by the delta method: sd(w) / (mean(w) sqrt(n)); infinite for a single weight."""
    count = len(log_weights)
    if count < 2:
        return float("inf")
    relative = np.exp(log_weights - log_mean_exp(log_weights))
    return float(np.std(relative, ddof=1) / np.sqrt(count))


def family_error(log_weights: Floats, eve: NDArray[np.int64]) -> tuple[float, float]:
    """Standard error of the log of a mean weight, and effective sample size, when chains share ancestors eve (chains,).

    Each family counts as one weight (Chan & Lai 2013), which errs on the safe side where resampling is
    systematic; without resampling it is log_mean_error.
    """
    count = len(log_weights)
    crowd = float(np.sum(np.bincount(eve, np.exp(log_weights - logsumexp(log_weights))) ** 2))
    if count < 2:
        return float("inf"), 1 / crowd
    return float(np.sqrt(max(count * crowd - 1, 0.0) / (count - 1))), 1 / crowd


def pareto_shape(log_weights: Floats) -> Floats:
    """Shape of the generalised Pareto tail of each row of weights (rows, samples), (rows,).

    Above about 0.7 their mean has no error that could be believed. The tail is the largest min(samples / 5,
    3 sqrt(samples)) weights (Vehtari, Simpson, Gelman, Yao & Gabry 2024, section 3), fitted as in Zhang & Stephens
    (2009) with a weak prior at 1/2. Minus infinity where it is made of few values that recur, as in small discrete
    machines, and effective samples tell enough; infinity for fewer than 25 samples.
    """
    return np.array([_tail_shape(row) for row in np.sort(log_weights, axis=1)])


def _tail_shape(log_weights: Floats) -> float:
    count = len(log_weights)
    n = int(min(count / 5, 3 * np.sqrt(count)))
    if n < 5:
        return float("inf")  # too few weights to tell
    tail = np.exp(log_weights[-n:] - log_weights[-1]) - np.exp(log_weights[-n - 1] - log_weights[-1])
    if len(np.unique(log_weights[-n:].round(5))) < TIED * n:
        return float("-inf")  # few states, so that no law of tails applies
    tail = np.maximum(tail, 1e-300)
    grid = 30 + int(np.sqrt(n))
    quartile = max(tail[int(n / 4 + 0.5) - 1], 1e-300)
    b = 1 / tail[-1] + (1 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))) / (3 * quartile)
    shapes = np.log1p(-b[:, None] * tail).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = n * (np.log(-b / shapes) - shapes - 1)
    likelihood = np.where(np.isfinite(likelihood), likelihood, -np.inf)
    share = np.exp(likelihood - logsumexp(likelihood))
    shape = float(np.log1p(-np.sum(share * b) * tail).mean())
    return (n * shape + 5) / (n + 10)


def logsumexp(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """log of the sum of exp(x) along an axis."""
    x = x if on_device(x) else np.asarray(x)
    top = x.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        found = top + np.log(np.exp(x - top).sum(axis=axis, keepdims=True))
    return found if keepdims else found.sum(axis=axis)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x)) if on_device(x) else special.expit(x)


def binary_entropy(p: Any) -> Any:
    """-p log p - (1 - p) log(1 - p), 0 at 0 and 1."""
    if on_device(p):
        return -sum(q * np.log(np.where(q > 0, q, 1)) for q in (p, 1 - p))
    return special.entr(p) + special.entr(1 - p)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)) without overflow."""
    return np.logaddexp(0, x)


def logit(p: Any) -> Any:
    """log(p / (1 - p))."""
    return np.log(p) - np.log1p(-p)
