"""Numba sweeps over units that are coupled to each other: one after the other, or colour by colour.

Dense couplings keep the fields of all units up to date: a unit that changes adds a row of its weights to them. Sparse
ones find the field of a unit from its few neighbours when its turn comes. The bits of a unit are those of its place in
the sweep.

What a sweep reads of sparse couplings lies in the order of the sweep. Numbering a lattice along its rows puts units of
a colour, and so their neighbours, at every second place: a tile of units where that holds is read without an index.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from boltz.kernels.cpu.bernoulli import FULL, _draw, _sigmoid
from boltz.kernels.cpu.philox import TILE, row_bits, scratch, tile_bits, words
from boltz.kernels.cpu.vectors import kernel

SHARE = 2.0**-30  # of the upper 30 of 32 random bits


class Couplings(NamedTuple):
    """Sparse couplings as a sweep reads them.

    order (units,): the units in the order of the sweep. starts (rows + 1,), columns and weights (couplings,): the rows
    of the symmetric matrix, of units of two states in this order, of those of several columns one for each column.
    strides (tiles,): 2 where the units of a tile, and all of their neighbours, lie at every second place, else 0; empty
    where units have another number of neighbours than four. With strides weights are (tiles, 4, TILE), or one for all.
    """

    order: Any
    starts: Any
    columns: Any
    weights: Any
    strides: Any


@kernel
def _two(field, weight, scale, low, step, key0, key1, number, first_row, state, backwards):
    units = field.shape[1]
    bits = scratch(units)
    full, one = field.dtype.type(FULL), field.dtype.type(1)
    for i in range(len(field)):
        row_bits(key0, key1, np.uint64(first_row + i), number, bits)
        f, s = field[i], state[i]
        for n in range(units):
            j = units - 1 - n if backwards else n
            old = s[j]
            new = low + step * _draw(bits[j], _sigmoid(step * f[j]), full, one)
            if new != old:
                s[j] = new
                change, row = scale * (new - old), weight[j]
                for k in range(units):
                    f[k] += change * row[k]


@kernel
def _drawn(f, first, states, bits):
    """The state that a unit of several columns takes at its fields."""
    most = f[first]
    for a in range(first + 1, first + states):
        most = max(most, f[a])
    total = 0.0
    for a in range(first, first + states):
        total += math.exp(np.float64(f[a] - most))
    reach = (np.float64(bits >> np.uint32(2)) + 0.5) * SHARE * total
    chosen, below = 0, math.exp(np.float64(f[first] - most))
    while below < reach and chosen < states - 1:
        chosen += 1
        below += math.exp(np.float64(f[first + chosen] - most))
    return chosen


@kernel
def _taken(s, first, states):
    """The state that a unit of several columns has."""
    for a in range(states):
        if s[first + a] == 1:
            return a
    return 0


@kernel
def _several(field, weight, scale, states, key0, key1, number, first_row, state, backwards):
    columns = field.shape[1]
    units = columns // states
    bits = scratch(units)
    one = field.dtype.type(1)
    for i in range(len(field)):
        row_bits(key0, key1, np.uint64(first_row + i), number, bits)
        f, s = field[i], state[i]
        for n in range(units):
            unit = units - 1 - n if backwards else n
            first = unit * states
            old, new = _taken(s, first, states), _drawn(f, first, states, bits[unit])
            poison = f[first] - f[first]
            for a in range(1, states):
                poison += f[first + a] - f[first + a]
            if new != old or poison != poison:
                for a in range(states):
                    s[first + a] = poison
                s[first + new] += one
                up, down = weight[first + new], weight[first + old]
                for k in range(columns):
                    f[k] += scale * (up[k] - down[k]) + poison


@kernel
def _sparse_two(field, order, starts, columns, weights, part, scale, low, step, key0, key1, number, first_row, state):
    """Fields of a tile of units first, then all of their draws, which LLVM vectorises."""
    bits, keys = np.empty(TILE, np.uint32), (np.uint64(key0), np.uint64(key1))
    odds, drawn = np.zeros(TILE, state.dtype), np.empty(TILE, state.dtype)
    full, one = state.dtype.type(FULL), state.dtype.type(1)
    for i in range(len(state)):
        f, s, row = field[i % len(field)], state[i], np.uint64(first_row + i)
        for tile in range(part[0] // TILE, (part[1] + TILE - 1) // TILE):
            tile_bits(keys, tile, row, number, bits)
            first, last = max(part[0], tile * TILE), min(part[1], (tile + 1) * TILE)
            for n in range(first, last):
                total = one - one
                for k in range(starts[n], starts[n + 1]):
                    total += weights[k] * s[columns[k]]
                odds[n - tile * TILE] = f[order[n]] + scale * total
            for k in range(TILE):
                drawn[k] = low + step * _draw(bits[k], _sigmoid(step * odds[k]), full, one)
            for n in range(first, last):
                s[order[n]] = drawn[n - tile * TILE]


@kernel
def _sparse_four(field, order, columns, weights, strides, part, scale, low, step, key0, key1, number, first_row, state):
    """The same where all units have four neighbours, as on the square lattice."""
    bits, keys = np.empty(TILE, np.uint32), (np.uint64(key0), np.uint64(key1))
    odds, drawn = np.zeros(TILE, state.dtype), np.empty(TILE, state.dtype)
    full, one, alike = state.dtype.type(FULL), state.dtype.type(1), len(weights) == 1
    for i in range(len(state)):
        f, s, row = field[i % len(field)], state[i], np.uint64(first_row + i)
        for tile in range(part[0] // TILE, (part[1] + TILE - 1) // TILE):
            tile_bits(keys, tile, row, number, bits)
            first, last = max(part[0], tile * TILE), min(part[1], (tile + 1) * TILE)
            whole = strides[tile] == 2 and last - first == TILE
            here, k, w = np.uint32(order[first]), np.uint64(4 * first), np.uint64(0 if alike else 4 * TILE * tile)
            if whole and alike:
                a, b, c, d = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
                a, b, c, d = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)
                for n in range(TILE):
                    m = np.uint32(2 * n)
                    odds[n] = f[here + m] + scale * weights[0] * ((s[a + m] + s[b + m]) + (s[c + m] + s[d + m]))
            elif whole:
                a, b, c, d = columns[k], columns[k + 1], columns[k + 2], columns[k + 3]
                a, b, c, d = np.uint32(a), np.uint32(b), np.uint32(c), np.uint32(d)
                for n in range(TILE):
                    m, v = np.uint32(2 * n), w + np.uint64(n)
                    one_way = weights[v] * s[a + m] + weights[v + np.uint64(TILE)] * s[b + m]
                    other = weights[v + np.uint64(2 * TILE)] * s[c + m] + weights[v + np.uint64(3 * TILE)] * s[d + m]
                    odds[n] = f[here + m] + scale * (one_way + other)
            else:
                for n in range(first, last):
                    odds[n - tile * TILE] = f[np.uint32(order[n])] + scale * _of_four(s, columns, weights, n, alike)
            for n in range(TILE):
                drawn[n] = low + step * _draw(bits[n], _sigmoid(step * odds[n]), full, one)
            if whole:
                for n in range(TILE):
                    s[here + np.uint32(2 * n)] = drawn[n]
            else:
                for n in range(first, last):
                    s[np.uint32(order[n])] = drawn[n - tile * TILE]


@kernel
def _of_four(s, columns, weights, n, alike):
    """What the four neighbours of the unit at a place send to it."""
    k, v = np.uint64(4 * n), np.uint64(0 if alike else 4 * (n - n % TILE) + n % TILE)
    apart = np.uint64(0 if alike else TILE)
    one_way = weights[v] * s[np.uint32(columns[k])] + weights[v + apart] * s[np.uint32(columns[k + 1])]
    v += 2 * apart
    return one_way + (weights[v] * s[np.uint32(columns[k + 2])] + weights[v + apart] * s[np.uint32(columns[k + 3])])


@kernel
def _sparse_several(field, order, starts, columns, weights, part, scale, states, key0, key1, number, first_row, state):
    bits, keys = np.empty(TILE, np.uint32), (np.uint64(key0), np.uint64(key1))
    f = np.empty(states, state.dtype)
    one = state.dtype.type(1)
    for i in range(len(state)):
        given, s, row = field[i % len(field)], state[i], np.uint64(first_row + i)
        for tile in range(part[0] // TILE, (part[1] + TILE - 1) // TILE):
            tile_bits(keys, tile, row, number, bits)
            for n in range(max(part[0], tile * TILE), min(part[1], (tile + 1) * TILE)):
                first, poison = order[n] * states, one - one
                for a in range(states):
                    total = one - one
                    for k in range(starts[first + a], starts[first + a + 1]):
                        total += weights[k] * s[columns[k]]
                    f[a] = given[first + a] + scale * total
                    poison += f[a] - f[a]
                new = _drawn(f, 0, states, bits[n - tile * TILE])
                for a in range(states):
                    s[first + a] = poison
                s[first + new] += one


@kernel
def _pair_sums(rows, columns, weights, lower, upper, out):
    for i in range(len(out)):
        x, y, total = lower[i], upper[i], 0.0
        for k in range(len(rows)):
            total += weights[k] * x[np.uint32(rows[k])] * y[np.uint32(columns[k])]
        out[i] = total


@kernel
def _coloured(starts, neighbours, states, colours):
    """colours (units,) := the least that no neighbour of a lower number has, of units of so many columns."""
    units = len(colours)
    taken = np.full(units + 1, -1, np.int64)
    for unit in range(units):
        for k in range(starts[unit * states], starts[(unit + 1) * states]):
            other = neighbours[k] // states
            if other < unit:
                taken[colours[other]] = unit
        colour = 0
        while taken[colour] == unit:
            colour += 1
        colours[unit] = colour


def site_sweep(field, weight, scale, states, stream, first_row, state, backwards):
    """Draw all units of rows one after the other given the rest, in place.

    field (rows, columns): the whole field at the state, in which weight (columns, columns) counts scale times; it is
    kept up to date. states is (low, high) of units of two states, or a number of columns of units that have several.
    """
    kind = field.dtype.type
    if isinstance(states, tuple):
        low, high = states
        _two(field, weight, kind(scale), kind(low), kind(high - low), *words(stream), first_row, state, backwards)
    else:
        _several(field, weight, kind(scale), states, *words(stream), first_row, state, backwards)


def sparse_sweep(field, couplings, part, scale, states, stream, first_row, state):
    """Draw the units at places part[0] to part[1] of an order, none of which is coupled to another, in place.

    field (rows or 1, columns): what does not come from the layer itself. couplings: see Couplings.
    """
    kind, (order, starts, columns, weights, strides) = state.dtype.type, couplings
    where, random = (part, kind(scale)), (*words(stream), first_row, state)
    if not isinstance(states, tuple):
        _sparse_several(field, order, starts, columns, weights, *where, states, *random)
    elif len(strides):
        low, high = states
        _sparse_four(field, order, columns, weights, strides, *where, kind(low), kind(high - low), *random)
    else:
        low, high = states
        _sparse_two(field, order, starts, columns, weights, *where, kind(low), kind(high - low), *random)


def laid_out(order, starts, columns, places):
    """Couplings of units of two states in the order of a sweep, with numbers of pairs for weights, by the rows of the
    symmetric matrix: where these start (units + 1,), and column and number of the pair of each coupling.
    """
    counts = np.diff(starts)[order]
    begins = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    index = np.repeat(starts[order] - begins[:-1], counts)
    index += np.arange(begins[-1], dtype=index.dtype)
    columns, places = columns[index], places[index]
    if not len(order) or (counts != 4).any():
        return Couplings(order, begins, columns, places, np.empty(0, np.int8))
    tiles, whole = -(-len(order) // TILE), len(order) // TILE
    strides, padded = np.zeros(tiles, np.int8), np.zeros((tiles * TILE, 4), places.dtype)
    padded[: len(order)] = places.reshape(-1, 4)
    even = np.ones(whole, bool)
    for numbers in (order, *columns.reshape(-1, 4).T):
        even &= (np.diff(numbers[: whole * TILE].reshape(whole, TILE), axis=1) == 2).all(axis=1)
    strides[:whole][even] = 2
    return Couplings(order, begins, columns, padded.reshape(tiles, TILE, 4).transpose(0, 2, 1).reshape(-1), strides)


def coloured(starts, neighbours, states, units):
    """Colours (units,) of units so that no two neighbours have the same, by the rows of a symmetric sparse matrix."""
    colours = np.empty(units, np.int64)
    _coloured(starts, neighbours, states, colours)
    return colours


def pair_sums(rows, columns, weights, lower, upper, out):
    """out (chains,) := the sum over pairs of weight times unit of lower times unit of upper (chains, units)."""
    _pair_sums(rows, columns, weights, lower, upper, out)
