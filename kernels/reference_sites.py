"""Numpy versions of the kernels of units that are coupled to each other within a layer, written for reading."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from boltz.kernels.reference import DRAW_BITS, Stream, bits_of, picked

Array = NDArray[Any]


def site_sweep(
    field: Array,
    weight: Array,
    scale: float,
    states: tuple[float, float] | int,
    stream: Stream,
    first_row: int,
    state: Array,
    backwards: bool,
) -> None:
    """Draw all units of rows one after the other given the rest, in place; a unit takes the bits of its number.

    field (rows, columns) is that at the state, in which weight (columns, columns) counts scale times; it is kept up to
    date. states is (low, high) of units of two states, or a number of columns of units that have several.
    """
    columns = states if isinstance(states, int) else 1
    units = np.arange(field.shape[1] // columns)
    bits = bits_of(stream, first_row + np.arange(len(field)), len(units))
    for unit in units[::-1] if backwards else units:
        mine = slice(unit * columns, (unit + 1) * columns)
        old = state[:, mine].copy()
        _draw_site(bits[:, unit : unit + 1], field[:, mine], states, state[:, mine])
        field += field.dtype.type(scale) * (state[:, mine] - old) @ weight[mine]


def sparse_sweep(
    field: Array,
    couplings: tuple[Array, Array, Array, Array],
    part: tuple[int, int],
    scale: float,
    states: tuple[float, float] | int,
    stream: Stream,
    first_row: int,
    state: Array,
) -> None:
    """Draw the units at places part[0] to part[1] of an order, none of which is coupled to another, in place.

    field (rows or 1, columns) is what does not come from the layer itself. couplings: the order (units,), and starts
    (columns + 1,), columns and weights (pairs,) of a symmetric sparse matrix. A unit takes the bits of its place.
    """
    order, starts, neighbours, weights = couplings
    columns = states if isinstance(states, int) else 1
    bits = bits_of(stream, first_row + np.arange(len(state)), len(order))
    for place in range(*part):
        mine = np.arange(order[place] * columns, (order[place] + 1) * columns)
        sent = [state[:, neighbours[a:b]] @ weights[a:b] for a, b in zip(starts[mine], starts[mine + 1], strict=True)]
        own = field[:, mine] + state.dtype.type(scale) * np.stack(sent, axis=1)
        drawn = np.empty_like(own)
        _draw_site(bits[:, place : place + 1], own, states, drawn)
        state[:, mine] = drawn


def cluster_flips(
    pairs: tuple[Array, Array, Array, Array],
    fields: tuple[Array, Array],
    states: tuple[float, float],
    stream: Stream,
    first_row: int,
    state: Array,
) -> None:
    """Join units of two states to clusters, and turn each cluster with probability 1/2, in place.

    pairs: rows and columns (pairs,) of couplings, whether they are positive, and how likely a pair that agrees with its
    coupling is joined, times 2^30. fields: whether they are positive (units,), and likewise how likely a unit that
    agrees with its field is joined to it, which keeps its cluster; or two empty arrays. The bits of pairs come first,
    then those of clusters, each cluster having that of its least unit, then those of fields.
    """
    rows, columns, positive, bonds = pairs
    up, ghosts = fields
    (low, high), units = states, state.shape[1]
    bits = bits_of(stream, first_row + np.arange(len(state)), len(rows) + units + len(ghosts))
    drawn = bits >> np.uint32(32 - DRAW_BITS)
    for s, number, word in zip(state, drawn, bits, strict=True):
        joined = ((s[rows] == s[columns]) == positive) & (number[: len(rows)] < bonds)
        cluster = np.arange(units)
        while True:
            least = np.minimum(cluster[rows[joined]], cluster[columns[joined]])
            before = cluster.copy()
            np.minimum.at(cluster, rows[joined], least)
            np.minimum.at(cluster, columns[joined], least)
            if np.array_equal(before, cluster):
                break
        turned = (word[len(rows) : len(rows) + units] >> np.uint32(31)).astype(bool)
        if len(ghosts):
            held = ((s == high) == up) & (number[len(rows) + units :] < ghosts)
            turned[cluster[held]] = False
        s[...] = np.where(turned[cluster], s.dtype.type(low + high) - s, s)


def pair_sums(rows: Array, columns: Array, weights: Array, lower: Array, upper: Array, out: Array) -> None:
    """out (chains,) := the sum over pairs of weight times unit of lower times unit of upper (chains, units)."""
    out[...] = (lower[:, rows] * weights * upper[:, columns]).sum(axis=1, dtype=np.float64)


def _draw_site(bits: NDArray[np.uint32], field: Array, states: tuple[float, float] | int, out: Array) -> None:
    """States (rows, columns) of one unit at its fields."""
    if isinstance(states, int):
        picked(bits, np.exp(field - field.max(axis=1, keepdims=True)), states, out)
        return
    low, high = states
    p = expit((high - low) * field)
    on = (bits >> np.uint32(32 - DRAW_BITS)) < np.floor(p * 2.0**DRAW_BITS)
    out[...] = np.where(on, high, low) + (p - p)
