"""The layer graph: named layers of units, undirected edges between them, two colour classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from boltz.errors import InputError
from boltz.nn.arena import size
from boltz.units import Units, is_kind, units_of

MOST_LAYERS = 1000


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
        """What its units are, in a Boltzmann machine; raises InputError for a kind that these do not have."""
        return units_of(self.kind)

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
    """A weight matrix (lower units, upper units) between two layers."""

    lower: str
    upper: str

    @property
    def key(self) -> str:
        """The parameter name of the weights."""
        return f"edge/{self.lower}-{self.upper}/weight"


@dataclass(frozen=True)
class Graph:
    """Layers and edges; the first layer is the visible one. The graph must be bipartite (two colour classes)."""

    layers: tuple[Layer, ...]
    edges: tuple[Edge, ...]

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        joined = {name for edge in self.edges for name in (edge.lower, edge.upper)}
        if not names:
            raise InputError("layers must hold a visible and a hidden layer, got none.")
        if len(set(names)) != len(names):
            raise InputError(f"layers must have different names, got {names}.")
        for layer in self.layers:
            columns = layer.type.columns  # raises for a kind that there is none of
            if layer.units < 1:
                raise InputError(f"layer {layer.name} must have at least one unit, got {layer.units}.")
            if layer.units % columns:
                raise InputError(f"layer {layer.name} must have {columns} columns a unit, got {layer.units}.")
            if layer.name not in joined:
                raise InputError(f"layer {layer.name} must have an edge to another layer, got none.")
        for edge in self.edges:
            if edge.lower not in names or edge.upper not in names:
                raise InputError(f"edge {edge.lower}-{edge.upper} names a layer that is not among {names}.")
        for layer in self.layers[1:]:
            if layer.type.joint:
                raise InputError(f"layer {layer.name} must not be of kind {layer.kind}: only visible units are counts.")
        ranges = {layer.name for layer in self.layers if layer.type.support is None and not layer.type.joint}
        for edge in self.edges:
            if edge.lower in ranges and edge.upper in ranges:
                raise InputError(
                    f"layers {edge.lower} and {edge.upper} must not both have real-valued units: their energy may have "
                    "no lower bound, so that there is no such density."
                )
        if len({frozenset((edge.lower, edge.upper)) for edge in self.edges}) < len(self.edges):
            raise InputError("edges must join different pairs of layers.")
        _ = self.colours  # raises if two classes do not suffice

    @classmethod
    def chain(cls, units: Sequence[int], kinds: str | Sequence[str] = "bernoulli") -> Graph:
        """Layers v, h1, h2, ... with an edge between neighbours, of one kind or of a kind each."""
        names = ["v"] + [f"h{i}" for i in range(1, len(units))]
        kinds = [kinds] * len(units) if isinstance(kinds, str) else kinds
        layers = tuple(Layer(*entry) for entry in zip(names, units, kinds, strict=True))
        return cls(layers, tuple(Edge(a, b) for a, b in pairwise(names)))

    @property
    def kind(self) -> str:
        """The name of its machine: rbm, or dbm with more than one hidden layer."""
        return "rbm" if len(self.layers) == 2 else "dbm"

    @property
    def architecture(self) -> str:
        """Units from the bottom, such as 784-500-1000."""
        return "-".join(layer.described for layer in self.layers)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of every parameter by name: edges first, then biases, then what units have beside these."""
        found: dict[str, tuple[int, ...]] = {e.key: (self.units[e.lower], self.units[e.upper]) for e in self.edges}
        found |= {bias_key(layer.name): (layer.units,) for layer in self.layers}
        for layer, shapes in self.own_shapes.items():
            found |= {own_key(layer, name): shape for name, shape in shapes.items()}
        return found

    @cached_property
    def own_shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shapes of the parameters that the units of each layer have beside their bias, by name."""
        return {layer.name: layer.type.shapes(layer.units) for layer in self.layers}

    @property
    def parameters(self) -> int:
        """Number of weights and biases."""
        return size(self.shapes)

    @property
    def entry(self) -> dict[str, Any]:
        """A chain of layers as plain values, as run.toml holds it: their kind, or the kinds where they differ."""
        kinds = [layer.kind for layer in self.layers]
        told = {"kind": kinds[0]} if len(set(kinds)) == 1 else {"kinds": kinds}
        return {"units": [layer.units for layer in self.layers], **told}

    @property
    def visible(self) -> str:
        """Name of the visible layer."""
        return self.layers[0].name

    @property
    def hidden(self) -> tuple[str, ...]:
        """Names of the hidden layers, bottom first."""
        return tuple(layer.name for layer in self.layers[1:])

    @cached_property
    def units(self) -> dict[str, int]:
        """Number of units of each layer."""
        return {layer.name: layer.units for layer in self.layers}

    @cached_property
    def binary(self) -> bool:
        """Whether all units are 0 and 1."""
        return all(layer.binary for layer in self.layers)

    @cached_property
    def neighbours(self) -> dict[str, tuple[tuple[str, str, bool], ...]]:
        """For each layer its (weight name, neighbour, whether this layer is the lower one), lower neighbours first."""
        found: dict[str, list[tuple[str, str, bool]]] = {layer.name: [] for layer in self.layers}
        for edge in self.edges:
            found[edge.upper].append((edge.key, edge.lower, False))
            found[edge.lower].append((edge.key, edge.upper, True))
        return {name: tuple(edges) for name, edges in found.items()}

    @cached_property
    def colours(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The two colour classes, that of the visible layer first; no edge joins layers of one class."""
        colour: dict[str, int] = {}
        for start in self.units:
            waiting = [] if start in colour else [start]
            colour.setdefault(start, 0)
            while waiting:
                name = waiting.pop()
                for _, other, _ in self.neighbours[name]:
                    if other not in colour:
                        colour[other] = 1 - colour[name]
                        waiting.append(other)
                    elif colour[other] == colour[name]:
                        raise InputError(
                            f"layers {name} and {other} close an odd cycle; two colour classes are needed."
                        )
        first, second = (tuple(n for n in self.units if colour[n] == c) for c in (0, 1))
        return first, second
