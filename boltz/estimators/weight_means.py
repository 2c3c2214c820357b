"""Means of weights over samples, with their errors, and what the weights themselves say of those errors (nats)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from boltz.numerics import log_mean_exp, pareto_shape

Floats = NDArray[np.float64]
LEAST_TAIL, HEAVY = 100, 0.7


def mean_and_error(log_w: Floats) -> Floats:
    """(rows, 4): log of the mean weight over the samples, its standard error by the delta method, the share of the
    samples that is effective, 0 where the tail of the weights is too heavy for an error, and the largest log-weight.
    """
    value, count, largest = log_mean_exp(log_w, 1), log_w.shape[1], log_w.max(axis=1)
    if count == 1:
        return np.stack([value, np.full(len(log_w), np.inf), np.zeros(len(log_w)), largest], axis=1)
    relative = np.exp(log_w - value[:, None])
    error = relative.std(axis=1, ddof=1) / np.sqrt(count)
    share = np.where(heavy(log_w), 0.0, 1 / (1 + error**2 * (count - 1)))
    return np.stack([value, error, share, largest], axis=1)


def heavy(log_w: Floats) -> NDArray[np.bool_]:
    """Whether the weights (rows, samples) of a row have a tail too heavy for the error of their mean, (rows,).

    Effective samples cannot tell: they look sufficient until the tail is met. The limit on its shape is that of Vehtari
    et al. (2024); below 100 samples, which are never trusted, nothing is said.
    """
    if log_w.shape[1] < LEAST_TAIL:
        return np.zeros(len(log_w), bool)
    return np.asarray(pareto_shape(log_w) > HEAVY)


def bounds_and_errors(log_w: Floats, sizes: Sequence[int]) -> Floats:
    """(rows, sizes, 4): unbiased L_k for each k, the mean over groups of k samples; its standard error; the share of a
    group's samples that is effective, the mean over groups, 0 where the tail of the weights is too heavy; and the
    largest log-weight of all.
    """
    found, told, largest = [], ~heavy(log_w), log_w.max(axis=1)
    for k in sizes:
        groups = log_w.shape[1] // k
        grouped = log_w[:, : groups * k].reshape(len(log_w), groups, k)
        each = log_mean_exp(grouped, 2)
        weights = np.exp(grouped - each[:, :, None])
        share = (k / np.sum(weights**2, axis=2)).mean(axis=1)
        alone = groups == 1
        error = mean_and_error(log_w[:, :k])[:, 1] if alone else each.std(axis=1, ddof=1) / np.sqrt(groups)
        found.append(np.stack([each.mean(axis=1), error, share * told, largest], axis=1))
    return np.stack(found, axis=1)
