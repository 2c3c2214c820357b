"""Machines of rows that are known in part: the unknown visible units become hidden ones, and known ones are held.

So log p* of what is known of a row is log p*(v) of another machine on the same units, and whatever measures one
measures the other.
"""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge, Graph, Layer
from boltz.models.pairs import Pairs

Array = NDArray[Any]
Piece = tuple[str, NDArray[np.int64]]  # a layer of the new machine, and the columns of the old layer that it has
UNKNOWN = "?"  # the end of the name of a layer that has the unknown columns of a visible one


def opened(machine: BoltzmannMachine, known: Array) -> BoltzmannMachine:
    """The machine whose visible rows are the known columns (columns,) of those of another one, some of which are known.

    Unknown units are hidden ones, in layers of their own. The parameters are copies, and rows are as the machine sees
    them, without units of the data.
    """
    pieces, visible, open_ones = {name: [(name, np.arange(n))] for name, n in machine.units.items()}, [], []
    for view, part in machine.graph.columns.items():
        there = known[part]
        if there.any():
            visible.append(view)
        if not there.all():
            open_ones.append(view + UNKNOWN if there.any() else view)
        if there.any() and not there.all():
            pieces[view] = [(view, np.flatnonzero(there)), (view + UNKNOWN, np.flatnonzero(~there))]
    sizes = {new: len(columns) for parts in pieces.values() for new, columns in parts}
    kinds = {new: machine.graph.kinds[old] for old, parts in pieces.items() for new, _ in parts}
    layers = tuple(Layer(n, sizes[n], kinds[n]) for n in (*visible, *open_ones, *machine.graph.hidden))
    made = [each for edge in machine.graph.edges for each in _parted(machine, edge, pieces)]
    made += _idle(layers, [edge for edge, _ in made])
    graph = Graph(layers, tuple(edge for edge, _ in made), tuple(visible))
    found = BoltzmannMachine(graph, np.zeros_like(machine.arena, shape=(graph.size,)))
    for edge, weights in made:
        found.params[edge.key][...] = weights
    for old, parts in pieces.items():
        for new, columns in parts:
            for name, own in machine.own(old).items():
                found.own(new)[name][...] = own[columns]
    return found


def _parted(machine: BoltzmannMachine, edge: Edge, pieces: dict[str, list[Piece]]) -> list[tuple[Edge, Any]]:
    """An edge between the pieces of its layers, with the weights of each as they lie in the arena."""
    lower, upper = pieces[edge.lower], pieces[edge.upper]
    weight, found = machine.params[edge.key], []
    for (one, mine), (other, others) in (
        combinations_with_replacement(lower, 2) if edge.within else product(lower, upper)
    ):
        if edge.pairs is None:
            single = one == other and len(mine) == machine.unit_type(edge.lower).columns
            found += [] if single else [(Edge(one, other), weight[np.ix_(mine, others)].reshape(len(mine), -1))]
            continue
        rows, columns = _places(edge, mine, others, machine)
        kept = (rows >= 0) & (columns >= 0)
        values, rows, columns = weight[kept], rows[kept], columns[kept]
        if edge.within and one != other:  # pairs that name the unknown unit first
            back_rows, back_columns = _places(edge, others, mine, machine)
            back = (back_rows >= 0) & (back_columns >= 0)
            values = np.concatenate([values, weight[back]])
            rows, columns = np.append(rows, back_columns[back]), np.append(columns, back_rows[back])
        if len(values):
            order = np.lexsort((columns, rows))
            found.append((Edge(one, other, Pairs.of(rows, columns)), values[order]))
    return found


def _places(edge: Edge, mine: Array, others: Array, machine: BoltzmannMachine) -> tuple[Array, Array]:
    """Where the lower and the upper end of each pair lie among some columns of both layers, -1 where they do not."""
    assert edge.pairs is not None
    found = []
    for columns, layer, numbers in (
        (mine, edge.lower, edge.pairs.rows),
        (others, edge.upper, edge.pairs.columns),
    ):
        place = np.full(machine.units[layer], -1)
        place[columns] = np.arange(len(columns))
        found.append(place[numbers])
    return found[0], found[1]


def _idle(layers: tuple[Layer, ...], edges: list[Edge]) -> list[tuple[Edge, float]]:
    """Edges without weight for layers that sparse couplings leave alone, since each layer of a graph has an edge."""
    joined = {name for edge in edges for name in (edge.lower, edge.upper)}
    found: list[tuple[Edge, float]] = []
    for layer in layers:
        if layer.name not in joined:
            fits = (n for n in layers if n != layer and (n.type.support is not None or layer.type.support is not None))
            other = next(fits)
            found.append((Edge(layer.name, other.name), 0.0))
            joined |= {layer.name, other.name}
    return found


def held(machine: BoltzmannMachine, row: Array) -> tuple[BoltzmannMachine | None, float]:
    """The machine of the hidden units given a visible row (columns,), and what is added to its log Z (nats).

    Layers of independent units are summed out in that number; None where that are all.
    """
    v, hidden = machine.evidence(row[None]), machine.graph.hidden
    constant = -float(host(machine.marginal_energy(v, ()))[0])
    edges = tuple(edge for edge in machine.graph.edges if edge.lower in hidden and edge.upper in hidden)
    joined = {name for edge in edges for name in (edge.lower, edge.upper)}
    for layer in hidden:
        if layer not in joined:
            constant += float(machine.unit_type(layer).total_log_partition(machine.field(layer, v))[0])
    if not edges:
        return None, constant
    graph = Graph(tuple(layer for layer in machine.hidden_layers if layer.name in joined), edges)
    found = BoltzmannMachine(graph, np.zeros_like(machine.arena, shape=(graph.size,)))
    for name, own in found.params.items():
        own[...] = machine.params[name]
    for layer in graph.units:
        found.bias(layer)[...] = machine.field(layer, v)[0]
    return found, constant
