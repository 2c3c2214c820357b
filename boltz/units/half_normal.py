"""Densities on x > 0 proportional to exp(field x - precision x^2 / 2), the positive half of rectified units.

Numbers are float64.

All is written in u = field / sqrt(precision), and holds to about 1e-9 at any u; scipy's functions do not overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[Any]
Floats = NDArray[np.float64]
ROOT_HALF = float(np.sqrt(0.5))
LOG_TWO_PI = float(np.log(2 * np.pi))
FAR = -50.0  # u below which moments are series in 1 / u
STEPS, REACH = 70, 25.0  # of bisection, over fields up to sinh(REACH)


def log_mass(field: Floats, precision: Floats) -> Floats:
    """log of the integral over x > 0."""
    u = field / np.sqrt(precision)
    below = np.log(special.erfcx(-ROOT_HALF * np.minimum(u, 0.0)) / 2)
    above = np.square(np.maximum(u, 0.0)) / 2 + special.log_ndtr(np.maximum(u, 0.0))
    return (LOG_TWO_PI - np.log(precision)) / 2 + np.where(u < 0, below, above)


def moments(field: Floats, precision: Floats) -> tuple[Floats, Floats]:
    """Mean and mean square."""
    u = field / np.sqrt(precision)
    near, t = np.maximum(u, FAR), -np.minimum(u, FAR)
    hazard = np.exp(-np.square(np.maximum(near, 0.0)) / 2 - special.log_ndtr(np.maximum(near, 0.0))) / np.sqrt(
        2 * np.pi
    )
    hazard = np.where(near < 0, np.sqrt(2 / np.pi) / special.erfcx(-ROOT_HALF * np.minimum(near, 0.0)), hazard)
    mean, square = near + hazard, 1 + near * (near + hazard)
    r = 1 / (t * t)
    far_mean, far_square = (1 - 2 * r + 10 * r * r) / t, (2 - 10 * r + 74 * r * r) * r
    far = u < FAR
    return np.where(far, far_mean, mean) / np.sqrt(precision), np.where(far, far_square, square) / precision


def drawn(field: Floats, precision: Floats, uniform: Floats) -> Floats:
    """The x whose survival probability is uniform, a number in (0, 1)."""
    u = field / np.sqrt(precision)
    return np.maximum(u - special.ndtri_exp(np.log(uniform) + special.log_ndtr(u)), 0.0) / np.sqrt(precision)


def field_of(mean: Array, of_field: Callable[[Floats], Floats]) -> Floats:
    """The field at which an increasing function of it is mean, by bisection."""
    wanted = np.asarray(mean, np.float64)
    low, high = np.full(wanted.shape, -REACH), np.full(wanted.shape, REACH)
    for _ in range(STEPS):
        middle = (low + high) / 2
        below = of_field(np.sinh(middle)) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.sinh((low + high) / 2)
