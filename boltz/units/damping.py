"""Damped steps of mean fields, which are alike for units whose kernels make none of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def damp(mean: NDArray[Any], new: NDArray[Any], damping: float) -> float:
    """Move mean towards new, in place, keeping a share damping of it; returns the largest change."""
    kind = mean.dtype.type
    moved = kind(damping) * mean + kind(1 - damping) * new
    change = float(np.abs(moved - mean).max(initial=0.0))
    mean[...] = moved
    return change
