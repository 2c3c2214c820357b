"""Numba versions of the primitives of categorical units: neighbouring columns are the states of a unit."""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu.bernoulli import FULL, _exp
from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import kernel


@kernel
def _mean(field, scale, bias, states):
    for i in range(len(field)):
        f, b = field[i], bias[i % len(bias)]
        for j in range(len(f)):
            f[j] = scale * f[j] + b[j]
        for first in range(0, len(f), states):
            most = f[first]
            for j in range(first + 1, first + states):
                most = f[j] if f[j] > most or f[j] != f[j] else most  # a NaN stays
            for j in range(first, first + states):
                f[j] = _exp(f[j] - most)
            total = f[first]
            for j in range(first + 1, first + states):
                total += f[j]
            share = field.dtype.type(1) / total
            for j in range(first, first + states):
                f[j] *= share


@kernel
def _from_mean(mean, states, key0, key1, step, first_row, state):
    units = mean.shape[1] // states
    bits = scratch(units)
    full, zero = np.float64(FULL), mean.dtype.type(0)
    for i in range(len(mean)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        p, s = mean[i], state[i]
        for unit in range(units):
            first, total = unit * states, 0.0
            for j in range(first, first + states):
                total += np.float64(p[j])
            bit, below, chosen = np.int64(bits[unit] >> np.uint32(2)), 0.0, states - 1
            for j in range(states):
                below += np.float64(p[first + j])
                if bit < np.int64(below / total * full):
                    chosen = j
                    break
            for j in range(first, first + states):
                s[j] = p[j] - p[j]
            s[first + chosen] += zero + mean.dtype.type(1)


def categorical_mean(field, scale, bias, states):
    _mean(field, field.dtype.type(scale), np.atleast_2d(bias), states)


def categorical_from_mean(mean, states, stream, first_row, state):
    _from_mean(mean, states, *words(stream), first_row, state)
