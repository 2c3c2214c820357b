"""Numba cluster flips: coupled units of two states that agree with their coupling are joined at random, and turned."""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import kernel


@kernel
def _root(parent, j):
    above = np.uint32(parent[j])
    while above != j:
        further = np.uint32(parent[above])
        parent[j] = further
        j, above = further, np.uint32(parent[further])
    return j


@kernel
def _clusters(rows, columns, positive, bonds, up, ghosts, low, high, key0, key1, number, first_row, state):
    """Unions by smaller numbers, of pairs that were picked without branches; so roots are found in one pass at last."""
    units, count = state.shape[1], len(rows)
    parent, held, joined = np.empty(units, np.int32), np.empty(units, np.bool_), np.empty(count + 1, np.int32)
    bits = scratch(count + units + len(ghosts))
    for i in range(len(state)):
        row_bits(key0, key1, np.uint64(first_row + i), number, bits)
        s, many = state[i], 0
        for j in range(units):
            parent[j], held[j] = j, False
        for p in range(count):
            alike = s[np.uint32(rows[p])] == s[np.uint32(columns[p])]
            joined[many] = p
            many += (alike == positive[p]) & (np.int32(bits[p] >> np.uint32(2)) < bonds[p])
        for k in range(many):
            p = np.uint32(joined[k])
            a, b = _root(parent, np.uint32(rows[p])), _root(parent, np.uint32(columns[p]))
            parent[max(a, b)] = min(a, b)
        for j in range(units):
            parent[j] = parent[np.uint32(parent[j])]
        for j in range(len(ghosts)):
            mine = ((s[j] == high) == up[j]) & (np.int32(bits[count + units + j] >> np.uint32(2)) < ghosts[j])
            held[parent[j]] |= mine
        for j in range(units):
            root = np.uint32(parent[j])
            turned = (bits[count + root] >> np.uint32(31) != 0) & (not held[root])
            s[j] = low + high - s[j] if turned else s[j]


def cluster_flips(pairs, fields, states, stream, first_row, state):
    """Join units of two states to clusters, and turn each cluster with probability 1/2, in place.

    pairs: rows and columns (pairs,) of couplings, whether they are positive, and how likely a pair that agrees with its
    coupling is joined, times 2^30, int32. fields: whether they are positive (units,), and likewise how likely a unit
    that agrees with its field is joined to it, which keeps its cluster; or two empty arrays.
    """
    kind = state.dtype.type
    low, high = states
    _clusters(*pairs, *fields, kind(low), kind(high), *words(stream), first_row, state)
