"""log Z of machines of one layer whose few couplings let units be summed out one after the other, in float64.

Summing a unit out leaves a table over those it is coupled to (variable elimination, Bertele & Brioschi 1972); on a
lattice that is the transfer matrix (Kramers & Wannier 1941), a site at a time. The order in which units go decides how
large tables get: of a few orders the one with the least work is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from boltz.models.boltzmann import BoltzmannMachine
from boltz.units.states import states_of

Floats = NDArray[np.float64]
MOST_NUMBERS, QUICK_NUMBERS = 1 << 24, 1 << 20  # of a table
MOST_WORK, QUICK_WORK = 1 << 33, 1 << 26  # numbers of all tables
MOST_UNITS = 1 << 14


@dataclass(frozen=True)
class Order:
    """Units in the order in which they are summed out, the numbers of the largest table, and those of all tables."""

    units: tuple[int, ...]
    largest: int
    work: int


@dataclass(frozen=True, eq=False)
class Table:
    """Log-values over the states of some units: an axis a unit."""

    units: tuple[int, ...]
    values: Floats


def order_of(machine: BoltzmannMachine, most: int = MOST_NUMBERS, work: int = MOST_WORK) -> Order | None:
    """An order of the units of a machine of one layer whose tables have at most so many numbers each, and together.

    None where none was found: for machines of several layers, of more than 16,384 units, or with too many couplings.
    """
    if len(machine.graph.layers) > 1 or not machine.graph.within:
        return None
    kind = machine.graph.layers[0].type
    states, units = states_of(kind), machine.graph.layers[0].units // kind.columns
    if states is None or units > MOST_UNITS:
        return None
    q, pairs = len(states), _coupled(machine)
    widest = int(np.log(most) / np.log(q) + 1e-9) - 1  # neighbours of a unit when it is summed out
    if len(pairs) > widest * units:
        return None  # more couplings than a graph of such orders can have
    found: Order | None = None
    for order in (_least_degree, _as_numbered, _by_bandwidth):
        tried = _tried(order(pairs, units), pairs, (units, q, widest), work if found is None else found.work - 1)
        found = found if tried is None else tried
    return found


def eliminated(machine: BoltzmannMachine, order: Order) -> float:
    """log Z in nats of a machine of one layer on the host, by summing its units out in this order."""
    machine = machine.astype(np.float64)
    layer = machine.graph.layers[0]
    states = states_of(layer.type)
    assert states is not None
    q, columns = states.shape
    units = layer.units // columns
    alone = machine.bias(layer.name).reshape(units, columns) @ states.T
    waiting: list[list[Table]] = [[Table((i,), alone[i])] for i in range(units)]
    place = np.empty(units, np.int64)
    place[list(order.units)] = np.arange(units)

    def wait(table: Table) -> None:
        waiting[min(table.units, key=lambda unit: place[unit])].append(table)

    for pair, weight in _weights(machine, columns):
        wait(Table(pair, states @ weight @ states.T))
    constant = 0.0
    for unit in order.units:
        left = _summed_out(waiting[unit], unit, q)
        waiting[unit] = []
        if left.units:
            wait(left)
        else:
            constant += float(left.values)
    return constant


def _summed_out(tables: Sequence[Table], unit: int, q: int) -> Table:
    """The sum over the states of a unit of the product of some tables, in logs."""
    tables = sorted(tables, key=lambda table: table.values.size)
    largest = tables[-1]
    others = [other for other in largest.units if other != unit]
    fresh = dict.fromkeys(u for table in tables for u in table.units if u != unit and u not in others)
    axes = (unit, *others, *fresh)
    small: Any = 0.0
    for table in tables[:-1]:
        small = small + _along(table, axes, q)
    total = _along(largest, axes, q) + small
    left = total[0]
    for state in range(1, q):
        left = np.logaddexp(left, total[state])
    return Table(axes[1:], left)


def _along(table: Table, axes: tuple[int, ...], q: int) -> Floats:
    """The values of a table with these axes, of length 1 for units that are not in it."""
    where = {unit: axis for axis, unit in enumerate(table.units)}
    moved = table.values.transpose([where[unit] for unit in axes if unit in where])
    return moved.reshape([q if unit in where else 1 for unit in axes])


def _coupled(machine: BoltzmannMachine) -> NDArray[np.int64]:
    """Which units are coupled, the lower number first, each pair once, (pairs, 2)."""
    layer = machine.graph.layers[0]
    columns = layer.type.columns
    rows, others = (x // columns for x in _places(machine)[:2])
    return np.unique(np.stack([rows, others], axis=1).astype(np.int64), axis=0)


def _places(machine: BoltzmannMachine) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Row, column and weight of each coupling that is not 0, (couplings,) each."""
    edge = machine.graph.within[machine.graph.visible]
    weight = machine.params[edge.key]
    if edge.pairs is not None:
        there = np.flatnonzero(weight)
        return edge.pairs.rows[there].astype(np.int64), edge.pairs.columns[there].astype(np.int64), weight[there]
    rows, others = np.nonzero(np.triu(weight))
    return rows, others, weight[rows, others]


def _weights(machine: BoltzmannMachine, columns: int) -> Iterator[tuple[tuple[int, int], Floats]]:
    """Pairs of units, and their weights (columns, columns)."""
    rows, others, weight = _places(machine)
    pairs, number = np.unique(np.stack([rows // columns, others // columns], axis=1), axis=0, return_inverse=True)
    found = np.zeros((len(pairs), columns, columns))
    found[number.reshape(-1), rows % columns, others % columns] = weight
    yield from zip(((int(i), int(j)) for i, j in pairs), found, strict=True)


Choice = Callable[[list[set[int]]], Iterator[int]]


def _least_degree(pairs: NDArray[np.int64], units: int) -> Choice:
    """Always a unit with the fewest neighbours left, of these the one with the lowest number."""

    def choice(around: list[set[int]]) -> Iterator[int]:
        heap = [(len(near), unit) for unit, near in enumerate(around)]
        heapify(heap)
        gone = [False] * units
        while heap:
            degree, unit = heappop(heap)
            if gone[unit] or degree != len(around[unit]):
                continue
            gone[unit] = True
            near = tuple(around[unit])
            yield unit
            for other in near:
                heappush(heap, (len(around[other]), other))

    return choice


def _as_numbered(pairs: NDArray[np.int64], units: int) -> Choice:
    """One after the other, which sweeps a lattice along its first axis."""
    return lambda around: iter(range(units))


def _by_bandwidth(pairs: NDArray[np.int64], units: int) -> Choice:
    """In an order that brings neighbours near each other (Cuthill & McKee 1969), which sweeps a lattice along its
    longest axis.
    """
    half = coo_array((np.ones(len(pairs)), pairs.T), shape=(units, units))
    found = reverse_cuthill_mckee((half + half.T).tocsr(), symmetric_mode=True)
    return lambda around: iter(found.tolist())


def _tried(choice: Choice, pairs: NDArray[np.int64], sizes: tuple[int, int, int], work: int) -> Order | None:
    """The order that a choice makes, None where a unit has too many neighbours left or the tables too many numbers."""
    units, q, widest = sizes
    around: list[set[int]] = [set() for _ in range(units)]
    for i, j in pairs.tolist():
        around[i].add(j)
        around[j].add(i)
    order, largest, total = [], 1, 0
    for unit in choice(around):
        near = around[unit]
        if len(near) > widest:
            return None
        size = q ** (len(near) + 1)
        largest, total = max(largest, size), total + size
        if total > work:
            return None
        for other in near:
            around[other] |= near
            around[other] -= {other, unit}
        around[unit] = set()
        order.append(unit)
    return Order(tuple(order), largest, total)
