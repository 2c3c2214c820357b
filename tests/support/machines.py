"""Machines for tests: boltz machines with the parameters of an oracle table, and the forty random ones of the suite."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from oracles.enumeration import Table
from scipy.special import expit, logit

from boltz.models import BoltzmannMachine, Graph, Layer
from boltz.models.graph import Edge


def machine_of(table: Table, dtype: Any = np.float64) -> BoltzmannMachine:
    """The boltz machine on the layers and edges of a table, each parameter set by its name."""
    layers = tuple(Layer(name, units) for name, units in table.layers.items())
    graph = Graph(layers, tuple(Edge(a, b) for a, b in table.edges))
    machine = BoltzmannMachine(graph, np.full(graph.parameters, np.nan, dtype))
    for (a, b), weight in table.edges.items():
        machine.params[f"edge/{a}-{b}/weight"][...] = weight
    for name, bias in table.biases.items():
        machine.params[f"layer/{name}/bias"][...] = bias
    return machine


def change_row(patch: Any, table: dict[type[Any], Any], kind: type[Any], **changes: Any) -> None:
    """Change what a table says of a class of machine, for as long as the test runs."""
    patch.setitem(table, kind, replace(table[kind], **changes))


def rates_of(table: Table) -> dict[str, np.ndarray]:
    """Base rates that are neither those of the machine nor one half."""
    rng = np.random.default_rng(31)
    return {n: expit(rng.normal(0, 0.8, units)) for n, units in table.layers.items()}


def base_of(table: Table) -> dict[str, np.ndarray]:
    """The biases of the base-rate model of these rates."""
    return {n: logit(rate) for n, rate in rates_of(table).items()}


def ring(seed: int = 8) -> Table:
    """Four layers in a ring, one edge written from the upper to the lower layer."""
    rng = np.random.default_rng(seed)
    layers = {"v": 2, "h1": 3, "h2": 1, "h3": 2}
    pairs = [("v", "h1"), ("h1", "h2"), ("h2", "h3"), ("h3", "v")]
    edges = {(a, b): rng.normal(0, 1, (layers[a], layers[b])) for a, b in pairs}
    return Table(layers, edges, {n: rng.normal(0, 1, u) for n, u in layers.items()})


SMALL = {
    "rbm": Table.random([4, 3], 1.0, 1),
    "wide": Table.random([2, 6], 1.5, 2),
    "one": Table.random([1, 1], 1.5, 3),
    "dbm2": Table.random([3, 3, 2], 1.0, 3),
    "dbm2 tall": Table.random([2, 2, 4], 1.5, 6),
    "dbm3": Table.random([2, 2, 2, 2], 1.5, 4),
    "dbm4": Table.random([2, 2, 1, 2, 1], 0.7, 5),
    "strong": Table.random([3, 3, 2], 4.0, 7),
    "ring": ring(),
    "free": Table.random([3, 4], 0.0, 9),
}  # at most 9 units: full transition matrices


def forty() -> Iterable[tuple[str, Table]]:
    """Forty random machines of 6 to 20 units: RBMs and DBMs of 2 to 4 hidden layers, weights up to sd 1.5."""
    rng = np.random.default_rng(20)
    for number in range(40):
        depth = 2 + number % 4
        units = [1] * depth
        for _ in range(rng.integers(max(6, depth), 21) - depth):
            units[rng.integers(depth)] += 1
        scale = float(rng.uniform(0.1, 1.5))
        yield f"{number}: {'-'.join(map(str, units))} sd {scale:.2f}", Table.random(units, scale, 100 + number)


FORTY = dict(forty())
