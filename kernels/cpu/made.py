"""Numba passes of nets with masked weights; kernels.reference_made is their truth.

A draw goes through the net once, however many units there are: a hidden unit is worked out when all that it hears is
known, and sends what it gives to the layer above at once. What is known later falls on inputs that nobody reads any
more, and so no mask is needed.
"""

from __future__ import annotations

import math

import numpy as np

from boltz.kernels.cpu.bernoulli import FULL, _draw, _sigmoid
from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import fused, kernel

KINDS = ("relu", "tanh", "elu", "softplus")


@kernel
def _masked(weight, below, above, out):
    zero = weight.dtype.type(0)
    for i in range(len(weight)):
        degree, source, target = below[i], weight[i], out[i]
        for j in range(len(target)):
            target[j] = source[j] if degree <= above[j] else zero


@kernel
def _active(kind, x):
    if kind == 0:
        return x if x > 0 or x != x else x - x
    if kind == 1:
        return math.tanh(x)
    if kind == 2:
        return x if x > 0 else math.expm1(x)
    return max(x, x - x) + math.log1p(math.exp(-abs(x)))


@kernel
def _send(x, weight, unit, field, row):
    source, target = weight[unit], field[row]
    for j in range(len(target)):
        target[j] = fused(x, source[j], target[j])


@kernel
def _made_draw(fields, weights, masks, units_of, ends, kind, key0, key1, step, rows, state):
    """units_of (masks, ...): numbers of a layer by their degree; ends (masks, units): how many have at most each."""
    units, like = state.shape[1], fields[0].dtype
    full, one, zero = like.type(FULL), like.type(1), like.type(0)
    bits = scratch(units + 1)
    done = np.zeros(len(fields), np.int64)
    for r in range(len(state)):
        row_bits(key0, key1, np.uint64(rows[r]), step, bits)
        mask = np.int64((np.uint64(bits[units]) * np.uint64(masks)) >> np.uint64(32))
        for layer in range(len(fields)):
            done[layer] = 0
        for k in range(units):
            for layer in range(1, len(fields)):
                above = (layer + 1) % len(fields)
                while done[layer] < ends[layer][mask, k]:
                    unit = units_of[layer][mask, done[layer]]
                    x = like.type(_active(kind, fields[layer][r, unit]))
                    if x != zero:
                        _send(x, weights[layer + 1], unit, fields[above], r)
                    done[layer] += 1
            i = units_of[0][mask, k]
            s = _draw(bits[i], _sigmoid(fields[0][r, i]), full, one)
            state[r, i] = s
            if s != zero:
                _send(s, weights[0], i, fields[0], r)
                if len(fields) > 1:
                    _send(s, weights[1], i, fields[1], r)


def masked(weight, below, above, out):
    _masked(weight, below, above, out)


def made_draw(fields, weights, degrees, kind, stream, rows, state):
    units = state.shape[1]
    sorted_units = tuple(np.argsort(x, axis=1, kind="stable") for x in degrees)
    ends = tuple(np.array([np.searchsorted(np.sort(x), np.arange(units), "right") for x in each]) for each in degrees)
    if len(state):
        _made_draw(fields, weights, len(degrees[0]), sorted_units, ends, KINDS.index(kind), *words(stream), rows, state)
