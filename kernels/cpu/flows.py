"""Numba kernels of nets whose units hear a range of the layer below: their products, and a step of their inverse.

A product lays out tiles of weights as dense.py does. What a unit does not hear becomes 0 in its tile, and tiles that
are 0 altogether are left out. Each sum runs in the order of the units, so a row does not depend on the rows beside it.
"""

from __future__ import annotations

import math

import numpy as np

from boltz.kernels import reference_flows
from boltz.kernels.cpu.dense import CHUNK, DEEP, _add_tile
from boltz.kernels.cpu.dense import LANES as WIDTH
from boltz.kernels.cpu.vectors import ENTRY, TILE, aligned, fused, gather, kernel

KINDS = ("linear", "relu", "tanh", "softplus", "elu")


@kernel
def _clear(tile, unit, here, low, high):
    """Let a column of a tile be 0 but for units from low to high; the tile begins at a unit and has so many."""
    for j in range(len(low)):
        for k in range(0, min(max(low[j] - unit, 0), here)):
            tile[k * TILE + j] = 0
        for k in range(max(high[j] - unit, 0), here):
            tile[k * TILE + j] = 0


@kernel
def _banded(x, strides, units, weight, down, across, low, high, out):
    rows, columns = out.shape
    tile, narrow, width = aligned(DEEP * TILE), columns < TILE, min(TILE, columns)
    spare = aligned(min(rows, CHUNK) * TILE if narrow else 0)
    step = ENTRY if narrow else 4 * columns
    for chunk in range(0, rows, CHUNK):
        count = min(CHUNK, rows - chunk)
        for start in range(0, columns, TILE):
            first = max(min(start, columns - TILE), 0)  # the last tile overlaps the one before
            skip = (start - first) // WIDTH * WIDTH
            begin, end = min(low[first], units - 1), high[first + width - 1]
            end = max(end, begin + 1)  # where nothing is heard, a row of zeros
            sums = spare.ctypes.data if narrow else out.ctypes.data + 4 * (chunk * columns + first)
            for unit in range(begin, end, DEEP):
                here = min(DEEP, end - unit)
                gather(weight + unit * down + first * across, down, across, here, width, tile)
                _clear(tile, unit, here, low[first : first + width], high[first : first + width])
                part = x + chunk * strides[0] + unit * strides[1]
                _add_tile(part, strides, here, count, skip, tile.ctypes.data, sums, step, unit == begin)
            if narrow:
                for i in range(count):
                    for j in range(columns):
                        out[chunk + i, j] = spare[i * TILE + j]


def banded(x, weight, low, high, out):
    """As in the reference; in float32 a row of out depends on its row of x alone, to the last bit."""
    if x.dtype == weight.dtype == out.dtype == np.float32 and out.flags.c_contiguous:
        where = weight.ctypes.data, *weight.strides
        _banded(x.ctypes.data, x.strides, x.shape[1], *where, low, high, out)
    else:
        reference_flows.banded(x, weight, low, high, out)


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
def _settle(kind, value, first, last, low, high, weight, field):
    for i in range(len(field)):
        v, f = value[i], field[i]
        for k in range(first, last):
            x, w, s = weight.dtype.type(_activated(kind, v[k])), weight[k, low[k] : high[k]], f[low[k] : high[k]]
            for j in range(len(s)):  # a loop from 0 on, which LLVM vectorises
                s[j] = fused(x, w[j], s[j])


def settle(kind, value, units, reach, weight, field):
    """As in the reference."""
    _settle(KINDS.index(kind), value, *units, *reach, weight, field)
