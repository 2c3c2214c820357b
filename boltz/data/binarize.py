"""Turn a batch of rows into the values that a model sees: 0/1 states, or the probabilities themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import beside, on_device
from boltz.checks import brief, choice, instance, integer
from boltz.data.dataset import Array
from boltz.errors import InputError
from boltz.rng import Key

HOW = ("dynamic", "fixed", "threshold", "none")


def undrawn(x: Array, levels: int | None) -> Array:
    """Rows (rows, units) for Gaussian units: numbers with all their digits, divided by levels where there are any."""
    return x if levels is None else np.divide(x, np.float32(levels), dtype=np.float32)


def binarize(
    x: Array, levels: int | None, how: str, key: Key, step: int, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """The batch x (rows, units) as float32, of 0 and 1 unless how is "none".

    x / levels is drawn as probabilities anew at each step ("dynamic") or once for all ("fixed"), cut at 0.5
    ("threshold"), or kept ("none"). rows (rows,) are the row numbers in the data set and count as chains, so that a
    draw does not depend on the batch. The result lives where x does, with the same bits. Raises InputError if how or
    rows does not fit.
    """
    choice(how, "how", HOW)
    instance(key, "key", Key)
    integer(step, "step", 0, 2**64 - 1)
    if levels is not None:
        integer(levels, "levels", 1, 65535)
    for name, value, kinds in (("x", x, "fiub"), ("rows", rows, "iu")):
        if not (isinstance(value, np.ndarray) or on_device(value)) or value.dtype.kind not in kinds:
            raise InputError(f"{name} must be an array of numbers, got {brief(value)}.")
    if x.ndim != 2 or rows.shape != x.shape[:1]:
        raise InputError(f"rows must hold one row number for each of the rows of x {x.shape}, got shape {rows.shape}.")
    mean = np.divide(x, np.float32(levels or 1), dtype=np.float32)
    if how == "none" or levels == 1:
        return mean
    if how == "threshold":
        return (mean >= 0.5).astype(np.float32)
    state = np.empty_like(mean)
    chains = beside(rows.astype(np.int64, order="C", copy=False), mean)
    kernels.bernoulli_rows(mean, key.stream(step if how == "dynamic" else 0), chains, state)
    return state
