"""Importance sampling of log p*(v): log-weights log p*(v, h) - log q(h | v) of any machine (nats).

Which q is drawn from, log_weights.py says. L_k = E log 1/k sum_i w_i is a lower bound that
rises with k to log p*(v) (Burda, Grosse & Salakhutdinov 2016, eq. 8 and theorem 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.errors import InputError
from boltz.estimators.marginals import marginal_of
from boltz.estimators.precision import accurate
from boltz.models.files import Model
from boltz.parallel import blocks, workers
from boltz.rng import Key

Array = NDArray[Any]
Floats = NDArray[np.float64]
Reduce = Callable[[Floats], Floats]


def reduced(model: Model, x: Array, samples: int, key: Key, reduce: Reduce) -> Floats:
    """reduce(log-weights (rows, samples)) of all rows, block by block, so that memory does not grow with the data."""
    if len(x) * samples >= 2**32:
        raise InputError(f"rows times samples must be below 2^32, got {len(x):,} x {samples:,}.")

    model, x = accurate(model, x)
    mine = marginal_of(model)
    weights = mine.weights(model)

    def work(part: slice) -> Floats:
        return reduce(host(weights(x[part], part.start + np.arange(len(x[part])), samples, key)))

    with workers(x) as pool:
        return np.concatenate(pool.map(work, blocks(len(x), mine.rows, x)))


def reduced_alone(model: Model, x: Array, numbers: NDArray[np.int64], samples: int, key: Key, reduce: Reduce) -> Floats:
    """As reduced, but each row by itself with the chains of its number (rows,), times samples below 2^32.

    What comes out for a row follows from the row and its number alone, to the last bit.
    """

    weights = marginal_of(model).weights(model)

    def work(i: int) -> Floats:
        return reduce(host(weights(x[i : i + 1], numbers[i : i + 1], samples, key)))

    with workers(x) as pool:
        return np.concatenate(pool.map(work, list(range(len(x)))))
