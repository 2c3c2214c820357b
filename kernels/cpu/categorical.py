"""Numba versions of the primitives of categorical units: neighbouring columns are the states of a unit.

A row goes through whole passes that LLVM vectorises; only largest fields, sums and draws go unit by unit.
"""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu.bernoulli import _exp
from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import kernel

SHARE = 2.0**-30  # of the upper 30 of 32 random bits


@kernel
def _row_mean(f, b, scale, states):
    """f := the probabilities of one row; a NaN field makes its unit NaN."""
    for j in range(len(f)):
        f[j] = scale * f[j] + b[j]
    for first in range(0, len(f), states):
        most = f[first]
        for j in range(first + 1, first + states):
            most = f[j] if f[j] > most or f[j] != f[j] else most
        for j in range(first, first + states):
            f[j] -= most
    for j in range(len(f)):
        f[j] = _exp(f[j])
    one = f.dtype.type(1)
    for first in range(0, len(f), states):
        even, odd = one - one, one - one  # two sums, which do not wait for each other
        for j in range(first, first + states - 1, 2):
            even += f[j]
            odd += f[j + 1]
        if states % 2:
            even += f[first + states - 1]
        share = one / (even + odd)
        for j in range(first, first + states):
            f[j] *= share


@kernel
def _row_draw(p, states, bits, s):
    one = p.dtype.type(1)
    for j in range(len(p)):
        s[j] = p[j] - p[j]  # 0, or NaN
    for unit in range(len(p) // states):
        first, even, odd = unit * states, 0.0, 0.0
        for j in range(first, first + states - 1, 2):
            even += p[j]
            odd += p[j + 1]
        if states % 2:
            even += p[first + states - 1]
        reach = (np.float64(bits[unit] >> np.uint32(2)) + 0.5) * SHARE * (even + odd)
        chosen, below = 0, np.float64(p[first])
        while below < reach and chosen < states - 1:
            chosen += 1
            below += np.float64(p[first + chosen])
        s[first + chosen] += one


@kernel
def _mean(field, scale, bias, states):
    for i in range(len(field)):
        _row_mean(field[i], bias[i % len(bias)], scale, states)


@kernel
def _from_mean(mean, states, key0, key1, step, first_row, state):
    bits = scratch(mean.shape[1] // states)
    for i in range(len(mean)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        _row_draw(mean[i], states, bits, state[i])


@kernel
def _sample(field, scale, bias, states, key0, key1, step, first_row, state):
    bits = scratch(field.shape[1] // states)
    for i in range(len(field)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        _row_mean(field[i], bias[i % len(bias)], scale, states)
        _row_draw(field[i], states, bits, state[i])


def categorical_mean(field, scale, bias, states):
    _mean(field, field.dtype.type(scale), np.atleast_2d(bias), states)


def categorical_from_mean(mean, states, stream, first_row, state):
    _from_mean(mean, states, *words(stream), first_row, state)


def categorical_sample(field, scale, bias, states, stream, first_row, state):
    _sample(field, field.dtype.type(scale), np.atleast_2d(bias), states, *words(stream), first_row, state)
