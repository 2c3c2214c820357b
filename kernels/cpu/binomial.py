"""Numba versions of the primitives of binomial units: quantiles by sums from the end that is nearer to the mean."""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import kernel

STEP = 2.0**-32


@kernel
def _power(x, exponent):
    found = 1.0
    while exponent > 0:
        if exponent & 1:
            found *= x
        x *= x
        exponent >>= 1
    return found


@kernel
def _quantile(bits, mean, trials, ratios):
    """The state of one unit; ratios are C(n, x + 1) / C(n, x). A NaN mean gives 0."""
    upper = mean > 0.5 * trials
    share = (trials - mean if upper else mean) / trials
    reach = (np.float64(np.uint32(~bits) if upper else bits) + 0.5) * STEP
    odds, term = share / (1.0 - share), _power(1.0 - share, trials)
    count, below = 0, term
    while below <= reach and count < trials:
        term *= odds * ratios[count]
        below += term
        count += 1
    return trials - count if upper else count


@kernel
def _from_mean(mean, trials, key0, key1, step, first_row, state):
    bits, ratios = scratch(mean.shape[1]), np.empty(trials, np.float64)
    for x in range(trials):
        ratios[x] = (trials - x) / (x + 1.0)
    for i in range(len(mean)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        m, s = mean[i], state[i]
        for j in range(len(m)):
            s[j] = _quantile(bits[j], np.float64(m[j]), trials, ratios) + (m[j] - m[j])


def binomial_from_mean(mean, trials, stream, first_row, state):
    _from_mean(mean, trials, *words(stream), first_row, state)
