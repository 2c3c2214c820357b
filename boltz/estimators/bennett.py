"""Bennett's acceptance ratio: log Z of one machine over that of another from samples of both (Bennett 1976, eq. 12)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]
HALVINGS, STEPS, TOLERANCE = 100, 100, 1e-12
NEAR = 1.0  # nats; from farther away Newton's method is slow where there is little overlap


def bennett(up: Floats, down: Floats) -> Floats:
    """log Z_1 - log Z_0 (pairs,) from equally many log f_1 - log f_0 at samples of 0 and the reverse at samples of 1.

    up, down: (pairs, samples), in nats. The root of sum expit(up - x) = sum expit(down + x): the left side falls and
    the right one rises with x, and the root lies between the smallest and the largest of up and of -down. Bisection
    until that is known to a nat, then Newton's method.
    """
    both = np.concatenate([up, -down], axis=1)
    low, high = both.min(axis=1), both.max(axis=1)
    for _ in range(HALVINGS):
        if (high - low < NEAR).all():
            break
        middle = (low + high) / 2
        rising = expit(up - middle[:, None]).sum(axis=1) > expit(down + middle[:, None]).sum(axis=1)
        low, high = np.where(rising, middle, low), np.where(rising, high, middle)
    return _polished(up, down, low, high)


def _polished(up: Floats, down: Floats, low: Floats, high: Floats) -> Floats:
    """The root between low and high (pairs,): Newton's method, and halves of what is left where it leads outside."""
    x = (low + high) / 2
    for _ in range(STEPS):
        left, right = expit(up - x[:, None]), expit(down + x[:, None])
        excess = left.sum(axis=1) - right.sum(axis=1)
        slope = (left * (1 - left)).sum(axis=1) + (right * (1 - right)).sum(axis=1)
        low, high = np.where(excess > 0, x, low), np.where(excess > 0, high, x)
        with np.errstate(all="ignore"):  # no slope where there is no overlap at all
            step = x + excess / slope
        last, x = x, np.where((step >= low) & (step <= high), step, (low + high) / 2)
        if (np.abs(x - last) <= TOLERANCE * (1 + np.abs(x))).all():
            break
    return np.asarray(x)


def influences(up: Floats, down: Floats, ratio: Floats) -> Floats:
    """How much each group of samples moves the ratio (pairs,), to first order, (pairs, groups); they add up to zero.

    up, down: (pairs, samples, groups). Groups that are independent give its error: the infinitesimal jackknife (Jaeckel
    1972).
    """
    left, right = expit(up - ratio[:, None, None]), expit(down + ratio[:, None, None])
    slope = (left * (1 - left)).sum(axis=(1, 2)) + (right * (1 - right)).sum(axis=(1, 2))
    return (left.sum(axis=1) - right.sum(axis=1)) / slope[:, None]
