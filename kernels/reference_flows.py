"""The step of an inverse of an autoregressive map, written with numpy for reading; its Numba twin is cpu/flows.py."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.kernels.reference import activate

Array = NDArray[Any]


def settle(
    kind: str, value: Array, units: tuple[int, int], starts: NDArray[np.int64], weight: Array, field: Array
) -> None:
    """field (rows, above) gains what units (first, last) of a layer, whose fields are value (rows, below), send up.

    Unit k sends weight[k, j] times its activation to the units j from starts[k] on. kind is that of the activation; of
    "linear" units value holds the states themselves.
    """
    for k in range(*units):
        x = value[:, k].copy()
        if kind != "linear":
            activate(kind, x, x.dtype.type(0))
        field[:, starts[k] :] += x[:, None] * weight[k, starts[k] :]
