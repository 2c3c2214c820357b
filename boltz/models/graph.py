"""The layer graph: named layers of units, and undirected edges between them or within one.

A graph is layered where the engine's quickest way is open: full edges between layers of two colour classes, all visible
layers in one of them. Any other graph has as many colour classes as it needs; a layer with couplings within it is swept
unit by unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from boltz.errors import InputError
from boltz.models.pairs import Pairs, pairs_key
from boltz.nn.arena import size
from boltz.units import Units, is_kind, units_of
from boltz.units.binomial import Binomial
from boltz.units.levels import levels_in

MOST_LAYERS = 1000
MOST_UNITS = 10**9  # of a layer


def bias_key(layer: str) -> str:
    """The parameter name of a layer's bias."""
    return f"layer/{layer}/bias"


def own_key(layer: str, name: str) -> str:
    """The name of a parameter that the units of a layer have beside their bias."""
    return f"layer/{layer}/{name}"


@dataclass(frozen=True)
class Layer:
    """A named layer of units of one kind; where a unit has several columns, units counts columns."""

    name: str
    units: int
    kind: str = "bernoulli"

    @property
    def type(self) -> Units:
        """What its units are, in a Boltzmann machine; raises InputError for a kind that these do not have.

        For units of levels, which these do not have, those with the same states.
        """
        return units_of(self.kind) if self.levels is None else Binomial(self.levels - 1)

    @property
    def levels(self) -> int | None:
        """How many levels its units have, None for other units."""
        return levels_in(self.kind)

    @property
    def binary(self) -> bool:
        """Whether its units are 0 and 1, in any machine; rows of data may then be probabilities."""
        return is_kind(self.kind) and self.type.binary

    @property
    def columns(self) -> int:
        """Columns of a unit, in any machine."""
        return self.type.columns if is_kind(self.kind) else 1

    @property
    def described(self) -> str:
        """Its size in words: 784, or 31x21 for 31 units of 21 columns."""
        return f"{self.units // self.columns}x{self.columns}" if self.columns > 1 else str(self.units)


@dataclass(frozen=True)
class Edge:
    """A weight matrix (lower units, upper units) between two layers, or between the units of one.

    Couplings within a layer are symmetric, with nothing between the columns of one unit, and each pair of units counts
    once. pairs: the couplings that there are, each with a weight of its own (pairs,); None where every pair has one.
    """

    lower: str
    upper: str
    pairs: Pairs | None = None

    @property
    def key(self) -> str:
        """The parameter name of the weights."""
        return f"edge/{self.lower}-{self.upper}/weight"

    @property
    def within(self) -> bool:
        """Whether it couples the units of one layer to each other."""
        return self.lower == self.upper


@dataclass(frozen=True)
class Graph:
    """Layers and edges. The first layer is visible, or those that views names, which come first."""

    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...]
    views: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if not names:
            raise InputError("layers must hold a visible layer, got none.")
        if not self.views:
            object.__setattr__(self, "views", (names[0],))
        if len(set(names)) != len(names):
            raise InputError(f"layers must have different names, got {names}.")
        if tuple(names[: len(self.views)]) != self.views:
            raise InputError(f"layers must begin with the visible ones, {', '.join(self.views)}, got {names}.")
        joined = {name for edge in self.edges for name in (edge.lower, edge.upper)}
        for layer in self.layers:
            _check_layer(layer, layer.name in joined)
        for layer in self.layers[1 if len(self.views) == 1 else 0 :]:
            if layer.type.joint:
                raise InputError(
                    f"layer {layer.name} must not be of kind {layer.kind}: only the units of a visible layer that is "
                    "the only one are counts."
                )
        self._check_edges(set(names))

    def _check_edges(self, names: set[str]) -> None:
        ranges = {layer.name for layer in self.layers if layer.type.support is None and not layer.type.joint}
        kinds = {layer.name: layer for layer in self.layers}
        for edge in self.edges:
            if edge.lower not in names or edge.upper not in names:
                raise InputError(f"edge {edge.lower}-{edge.upper} names a layer that is not among {sorted(names)}.")
            if edge.within:
                _check_within(kinds[edge.lower])
            elif edge.lower in ranges and edge.upper in ranges:
                raise InputError(
                    f"layers {edge.lower} and {edge.upper} must not both have real-valued units: their energy may have "
                    "no lower bound, so that there is no such density."
                )
            if edge.pairs is not None:
                lower, upper = kinds[edge.lower], kinds[edge.upper]
                within = lower.columns if edge.within else None
                edge.pairs.check(f"edge {edge.lower}-{edge.upper}", (lower.units, upper.units), within)
        if len({frozenset((edge.lower, edge.upper)) for edge in self.edges}) < len(self.edges):
            raise InputError("edges must join different pairs of layers.")

    @classmethod
    def chain(cls, units: Sequence[int], kinds: str | Sequence[str] = "bernoulli") -> Graph:
        """Layers v, h1, h2, ... with an edge between neighbours, of one kind or of a kind each."""
        names = ["v"] + [f"h{i}" for i in range(1, len(units))]
        kinds = [kinds] * len(units) if isinstance(kinds, str) else kinds
        layers = tuple(Layer(*entry) for entry in zip(names, units, kinds, strict=True))
        return cls(layers, tuple(Edge(a, b) for a, b in pairwise(names)))

    @property
    def kind(self) -> str:
        """The name of its machine: rbm or dbm of a chain of layers; multimodal with several visible ones; else bm."""
        if len(self.views) > 1:
            return "multimodal"
        if not self.chained:
            return "bm"
        return "rbm" if len(self.layers) == 2 else "dbm"

    @property
    def architecture(self) -> str:
        """Units from the bottom, such as 784-500-1000."""
        return "-".join(layer.described for layer in self.layers)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name: edges first, then biases, then what units have beside these."""
        found: dict[str, tuple[int, ...]] = {
            e.key: (self.units[e.lower], self.units[e.upper]) if e.pairs is None else (e.pairs.count,)
            for e in self.edges
        }
        found |= {bias_key(layer.name): (layer.units,) for layer in self.layers}
        for layer, shapes in self.own_shapes.items():
            found |= {own_key(layer, name): shape for name, shape in shapes.items()}
        return found

    @cached_property
    def own_shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shapes of the parameters that the units of each layer have beside their bias, by name."""
        return {layer.name: layer.type.shapes(layer.units) for layer in self.layers}

    @property
    def size(self) -> int:
        """How many numbers the parameters take: full couplings within a layer have each pair twice, and a diagonal."""
        return size(self.shapes)

    @property
    def parameters(self) -> int:
        """Number of weights and biases, of couplings within a layer one for each pair."""
        found = self.size
        for layer, edge in self.within.items():
            if edge.pairs is None:
                columns, units = units_of(self.kinds[layer]).columns, self.units[layer]
                found -= units * units - units * (units - columns) // 2
        return found

    @property
    def text(self) -> dict[str, Any]:
        """The graph as plain values, for model files; of sparse edges the number of their pairs."""
        layers = [[layer.name, layer.units, layer.kind] for layer in self.layers]
        edges = [[e.lower, e.upper, *([] if e.pairs is None else [e.pairs.count])] for e in self.edges]
        return {"layers": layers, "edges": edges} | ({"views": len(self.views)} if len(self.views) > 1 else {})

    @property
    def entry(self) -> dict[str, Any]:
        """The graph as plain values, as run.toml holds it: of a chain of layers their kind, or the kinds where they
        differ; of any other graph its text, and the marks of the pairs of sparse edges.
        """
        usual = [layer.units for layer in self.layers], [layer.kind for layer in self.layers]
        if not self.chained or self != Graph.chain(*usual):
            return self.text | ({"couplings": self.marks} if self.sparse else {})
        kinds = [layer.kind for layer in self.layers]
        told = {"kind": kinds[0]} if len(set(kinds)) == 1 else {"kinds": kinds}
        return {"units": [layer.units for layer in self.layers], **told}

    @property
    def visible(self) -> str:
        """Name of the visible layer, the first one of several."""
        return self.layers[0].name

    @cached_property
    def columns(self) -> dict[str, slice]:
        """The columns of each visible layer in rows of data, in which they lie side by side."""
        ends = np.cumsum([self.units[name] for name in self.views]).tolist()
        return {name: slice(end - self.units[name], end) for name, end in zip(self.views, ends, strict=True)}

    def split(self, rows: Any) -> dict[str, Any]:
        """Rows of data (rows, columns) as views of them by visible layer."""
        return {name: rows[:, part] for name, part in self.columns.items()}

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the hidden layers, bottom first."""
        return tuple(layer.name for layer in self.layers[len(self.views) :])

    @cached_property
    def layered(self) -> bool:
        """Whether there are full edges between layers of two classes alone, and all visible layers are in the first."""
        plain = all(edge.pairs is None and not edge.within for edge in self.edges)
        return plain and len(self.colours) == 2 and set(self.views) <= set(self.colours[0])

    @cached_property
    def chained(self) -> bool:
        """Whether full edges join each layer with the next one, from the bottom, and there are no others."""
        names = list(self.units)
        plain = all(edge.pairs is None for edge in self.edges)
        return plain and len(names) > 1 and [(e.lower, e.upper) for e in self.edges] == list(pairwise(names))

    @cached_property
    def sparse(self) -> bool:
        """Whether an edge has sparse couplings."""
        return any(edge.pairs is not None for edge in self.edges)

    @property
    def marks(self) -> list[str]:
        """What tells the pairs of the sparse edges from others, one mark an edge."""
        return [edge.pairs.mark for edge in self.edges if edge.pairs is not None]

    @property
    def pairs(self) -> dict[str, Any]:
        """The pairs of the sparse edges, (2, pairs) each, by the names that they have in files."""
        return {pairs_key(e.key): np.stack([e.pairs.rows, e.pairs.columns]) for e in self.edges if e.pairs is not None}

    @cached_property
    def within(self) -> dict[str, Edge]:
        """The edges within layers, by the name of the layer."""
        return {edge.lower: edge for edge in self.edges if edge.within}

    @cached_property
    def sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The layers that are chain state, and those that are summed out given them.

        Those of a layered graph are its two classes. Of any other graph the summed layers are independent of each other
        given the rest, and have no couplings within: of such sets one with the most units.
        """
        if self.layered:
            return self.colours[0], self.colours[1]
        summed = _most_independent(self, tuple(self.units))
        return tuple(n for n in self.units if n not in summed), summed

    @cached_property
    def hidden_sides(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The hidden layers that are drawn where the visible ones are held, and those that are then summed out.

        Of a layered graph the layers next to the visible ones are drawn. Of any other graph the summed layers are
        independent of each other, and have no couplings within: of such sets one with the most units.
        """
        if self.layered:
            return self.colours[1], tuple(n for n in self.colours[0] if n not in self.views)
        summed = _most_independent(self, self.hidden)
        return tuple(n for n in self.hidden if n not in summed), summed

    def hears_views(self, layer: str) -> bool:
        """Whether an edge joins a layer with a visible one."""
        return any(other in self.views for _, other, _ in self.neighbours[layer])

    @cached_property
    def units(self) -> dict[str, int]:
        """Number of units of each layer."""
        return {layer.name: layer.units for layer in self.layers}

    @cached_property
    def kinds(self) -> dict[str, str]:
        """The kind of the units of each layer."""
        return {layer.name: layer.kind for layer in self.layers}

    @cached_property
    def binary(self) -> bool:
        """Whether all units are 0 and 1."""
        return all(layer.binary for layer in self.layers)

    @cached_property
    def neighbours(self) -> dict[str, tuple[tuple[str, str, bool], ...]]:
        """For each layer its (weight name, neighbour, whether this layer is the lower one), lower neighbours first.

        Couplings within a layer are in within.
        """
        found: dict[str, list[tuple[str, str, bool]]] = {layer.name: [] for layer in self.layers}
        for edge in self.edges:
            if edge.within:
                continue
            found[edge.upper].append((edge.key, edge.lower, False))
            found[edge.lower].append((edge.key, edge.upper, True))
        return {name: tuple(edges) for name, edges in found.items()}

    @cached_property
    def colours(self) -> tuple[tuple[str, ...], ...]:
        """The colour classes, that of the visible layer first; no edge joins different layers of one class.

        They are two wherever two suffice.
        """
        colour = _two_colours(self) or _greedy_colours(self)
        classes = (tuple(n for n in self.units if colour[n] == c) for c in range(max(colour.values()) + 1))
        return tuple(classes)


def _check_layer(layer: Layer, joined: bool) -> None:
    """Raise InputError for a layer that is none, or that no edge reaches."""
    columns = units_of(layer.kind).columns  # raises for a kind that there is none of
    if layer.units < 1:
        raise InputError(f"layer {layer.name} must have at least one unit, got {layer.units}.")
    if layer.units % columns:
        raise InputError(f"layer {layer.name} must have {columns} columns a unit, got {layer.units}.")
    if not joined:
        raise InputError(f"layer {layer.name} must have an edge, got none.")


def _check_within(layer: Layer) -> None:
    """Raise InputError for units that cannot be coupled to others of their layer."""
    support = layer.type.support
    if support is None or len(support) != 2:
        raise InputError(
            f"layer {layer.name} must have units of 0 and 1, spins or categorical units to have couplings within it, "
            f"got {layer.kind}."
        )


def _two_colours(graph: Graph) -> dict[str, int]:
    """A colour, 0 or 1, for each layer; nothing where an odd cycle needs more."""
    colour: dict[str, int] = {}
    for start in graph.units:
        waiting = [] if start in colour else [start]
        colour.setdefault(start, 0)
        while waiting:
            name = waiting.pop()
            for _, other, _ in graph.neighbours[name]:
                if other not in colour:
                    colour[other] = 1 - colour[name]
                    waiting.append(other)
                elif colour[other] == colour[name]:
                    return {}
    return colour


def _greedy_colours(graph: Graph) -> dict[str, int]:
    """A colour for each layer, the first that no neighbour has, in the order of the layers."""
    colour: dict[str, int] = {}
    for name in graph.units:
        taken = {colour[other] for _, other, _ in graph.neighbours[name] if other in colour}
        colour[name] = next(c for c in range(len(graph.units)) if c not in taken)
    return colour


def _most_independent(graph: Graph, names: Sequence[str]) -> tuple[str, ...]:
    """Of some layers those without couplings within, and without edges between them, that have the most units together.

    Layers whose units have a range of states are taken first, since only they cannot be counted. The search is whole up
    to 16 layers, and greedy beyond. It leaves at least one layer out, which is chain state.
    """
    free = [n for n in names if n not in graph.within]
    around = {n: {other for _, other, _ in graph.neighbours[n]} for n in free}
    types = {layer.name: layer.type for layer in graph.layers}
    worth = {n: (types[n].support is None, graph.units[n]) for n in free}

    def value(names: Sequence[str]) -> tuple[int, int]:
        return sum(worth[n][0] for n in names), sum(worth[n][1] for n in names)

    best: tuple[str, ...] = ()
    if len(free) <= 16:
        waiting: list[tuple[tuple[str, ...], list[str]]] = [((), free)]
        while waiting:
            chosen, left = waiting.pop()
            if value(chosen) > value(best) and len(chosen) < len(graph.units):
                best = chosen
            for i, name in enumerate(left):
                waiting.append(((*chosen, name), [n for n in left[i + 1 :] if n not in around[name]]))
    else:
        for name in sorted(free, key=lambda n: worth[n], reverse=True):
            if not around[name] & set(best) and len(best) + 1 < len(graph.units):
                best = (*best, name)
    return tuple(n for n in graph.units if n in best)
