"""Primitives of nets whose units hear a range of the layer below, in numpy for reading; cpu/flows.py has Numba ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.kernels.reference import activate

Array = NDArray[Any]
Counts = NDArray[np.int64]


def banded(x: Array, weight: Array, low: Counts, high: Counts, out: Array) -> None:
    """out (rows, columns) := x (rows, units) @ weight (units, columns), where column j hears units low[j] to high[j].

    Neither low nor high falls from a column to the next. The other weights count as 0.
    """
    unit = np.arange(len(weight))[:, None]
    np.matmul(x, np.where((unit >= low) & (unit < high), weight, 0), out=out)


def settle(
    kind: str, value: Array, units: Sequence[int], reach: tuple[Counts, Counts], weight: Array, field: Array
) -> None:
    """field (rows, columns) gains what units (first, last) of a layer, whose fields are value (rows, units), send.

    Unit k sends weight[k, j] times its activation to columns j from reach[0][k] to reach[1][k]. kind is that of the
    activation; of "linear" units value holds the states themselves.
    """
    for k in range(*units):
        x = value[:, k].copy()
        if kind != "linear":
            activate(kind, x, x.dtype.type(0))
        columns = slice(reach[0][k], reach[1][k])
        field[:, columns] += x[:, None] * weight[k, columns]
