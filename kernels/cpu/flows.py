"""A Numba step of an inverse of an autoregressive map: units that are known now send to the layer above.

All rows of a block take a row of weights while it is in the first-level cache. Each sum runs in the order of the units,
so a row does not depend on the rows beside it.
"""

from __future__ import annotations

import math

from boltz.kernels.cpu.vectors import kernel

KINDS = ("linear", "relu", "tanh", "softplus", "elu")


@kernel
def _activated(kind, x):
    if kind == 1:
        return 0.0 if x < 0 else x
    if kind == 2:
        return math.tanh(x)
    if kind == 3:
        return (0.0 if x < 0 else x) + math.log1p(math.exp(-abs(x)))
    if kind == 4:
        return math.expm1(x) if x < 0 else x
    return x


@kernel
def _settle(kind, value, first, last, starts, weight, field):
    columns = field.shape[1]
    for k in range(first, last):
        w, start = weight[k], starts[k]
        for i in range(len(field)):
            x, f = weight.dtype.type(_activated(kind, value[i, k])), field[i]
            for j in range(start, columns):
                f[j] += x * w[j]


def settle(kind, value, units, starts, weight, field):
    _settle(KINDS.index(kind), value, *units, starts, weight, field)
