"""The Boltzmann machine on a layer graph, p(x) proportional to exp(-energy), and its builders.

E(x) = - sum_l b_l . x_l - sum_(l,m) x_l^T W_lm x_m + base energies (Salakhutdinov & Hinton 2009, section 3), with
1/2 x_l^T W_ll x_l for couplings within a layer, whose pairs count once each (Hinton & Sejnowski 1986).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks, scale
from boltz.errors import InputError
from boltz.foreign import short_repr
from boltz.models.graph import Edge, Graph, Layer, bias_key, own_key
from boltz.models.pairs import check_symmetric
from boltz.models.scaling import Scaling
from boltz.nn.arena import check_arena, size, zeros
from boltz.nn.arena import views as named_views
from boltz.storage.tensors import write_tensors
from boltz.units import Units, units_of
from boltz.units.counts import LONGEST
from boltz.units.onehot import by_columns

Array = NDArray[Any]
State = Mapping[str, Array]


def views(graph: Graph, arena: Array) -> dict[str, Array]:
    """The parameters as views into one flat arena."""
    return named_views(graph.shapes, arena)


def check_rates(rates: Any, units: Mapping[str, int]) -> None:
    """Raise InputError unless rates map some of the layers to mean activities (units,)."""
    checks.instance(rates, "rates", Mapping)
    for layer, rate in rates.items():
        if layer not in units or getattr(rate, "shape", None) != (units[layer],):
            wanted = ", ".join(f"{name} ({n},)" for name, n in list(units.items())[:5])
            raise InputError(f"rates must map layers to their mean activities, {wanted}, got {checks.brief(layer)}.")


def repr_parts(model: Any) -> list[str]:
    """What the repr of a machine or network says of its visible units and parameters."""
    visible, parameters = model.layers[0], getattr(getattr(model, "graph", None), "parameters", model.arena.size)
    said = [] if visible.binary else [f"{visible.kind} visible units"]
    said += [f"levels {model.levels}"] if model.levels is not None else []
    return [*said, f"{parameters:,} parameters", f"{model.arena.dtype} on {model.device}"]


@dataclass(frozen=True, eq=False)
class BoltzmannMachine:
    """A layered Boltzmann machine: graph, flat parameter arena, and the layers' mean activities on the training data.

    rates (layer -> (units,) in (0, 1)) is empty for a machine that was not trained here; it only serves as the
    base-rate model of annealed importance sampling. levels is what visible rows of whole numbers are divided by: None,
    where they are 0/1 (or grey bytes), or above 1. scaling is that of Gaussian visible units, in whose units the
    parameters are; None where none is known, and for other units.
    """

    graph: Graph
    arena: Array
    rates: Mapping[str, Array] = field(default_factory=dict)
    levels: int | None = None
    scaling: Scaling | None = None

    def __post_init__(self) -> None:
        checks.instance(self.graph, "graph", Graph)
        checks.instance(self.scaling, "scaling", Scaling, optional=True)
        check_arena(self.arena, self.graph.size)
        check_rates(self.rates, self.graph.units)
        scale.checked_levels(self.levels)
        for layer, edge in self.graph.within.items():
            if edge.pairs is None:
                check_symmetric(arrays.host(self.params[edge.key]), units_of(self.graph.kinds[layer]).columns, layer)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies are made anew from what defines the machine, so that their parameters are views again."""
        return type(self), (self.graph, self.arena, self.rates, self.levels, self.scaling)

    def __repr__(self) -> str:
        return short_repr(type(self).__name__, (f"{self.graph.kind} {self.graph.architecture}", *repr_parts(self)))

    @cached_property
    def params(self) -> dict[str, Array]:
        """Weights and biases by name, views into the arena."""
        return views(self.graph, self.arena)

    def views(self, arena: Array) -> dict[str, Array]:
        """Another arena of this shape, such as a gradient, by the names of the parameters."""
        return views(self.graph, arena)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Floating type of the parameters."""
        return self.arena.dtype

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, visible first."""
        return self.graph.layers

    def bias(self, layer: str) -> Array:
        """Bias (units,) of a layer; raises InputError for a name that is none."""
        try:
            return self.params[bias_key(layer)]
        except Exception as problem:
            raise self._no_layer(layer) from problem

    def own(self, layer: str) -> dict[str, Array]:
        """The parameters of a layer's units by name: the bias, and what they have beside it; raises InputError."""
        found = {"bias": self.bias(layer)}
        return found | {name: self.params[own_key(layer, name)] for name in self.graph.own_shapes[layer]}

    @property
    def hidden_layers(self) -> tuple[Layer, ...]:
        """The hidden layers, bottom first."""
        return self.layers[len(self.graph.views) :]

    @property
    def visible(self) -> str:
        """Name of the visible layer."""
        return self.graph.visible

    def evidence(self, rows: Array) -> dict[str, Array]:
        """Visible rows (rows, columns) by visible layer; copies where there are several, as kernels need them."""
        if len(self.graph.views) == 1:
            return {self.visible: rows}
        return {name: rows[:, part].copy() for name, part in self.graph.columns.items()}

    def rows(self, state: State) -> Array:
        """The visible layers of a state side by side, as rows of data (rows, columns): the layer itself where there is
        one.
        """
        parts = [state[name] for name in self.graph.views]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    @property
    def columns(self) -> int:
        """Columns of rows of data, those of all visible layers."""
        return sum(self.graph.units[name] for name in self.graph.views)

    @property
    def visible_layers(self) -> tuple[Layer, ...]:
        """The visible layers, more than one where there are several kinds of data."""
        return self.layers[: len(self.graph.views)]

    @property
    def units(self) -> dict[str, int]:
        """Number of units of each layer."""
        return self.graph.units

    @property
    def plan(self) -> Graph:
        """What the machine is apart from its parameters."""
        return self.graph

    @property
    def kind(self) -> str:
        """The name of the machine: rbm or dbm; multimodal, or bm of any other graph."""
        return self.graph.kind

    @property
    def architecture(self) -> str:
        """Units from the bottom, such as 784-500-1000."""
        return self.graph.architecture

    @property
    def undirected(self) -> BoltzmannMachine:
        """The part of the machine whose log Z is not 0: all of it."""
        return self

    @property
    def directed(self) -> None:
        """The part of the machine that is drawn from the top down, of which there is none."""

    @property
    def binary_hidden(self) -> bool:
        """Whether all hidden units are 0 and 1."""
        return all(layer.binary for layer in self.hidden_layers)

    @cached_property
    def by_size(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The layers to hold and those to sum out: of two classes the one with fewer units first.

        A class whose states cannot be counted comes last. A graph that is not layered has its own two sides.
        """
        if not self.graph.layered:
            return self.graph.sides

        def size_of(layers: tuple[str, ...]) -> tuple[bool, int]:
            ranges = any(self.types[n].support is None for n in layers)
            return ranges, sum(self.graph.units[n] for n in layers)

        first, second = sorted(self.graph.colours, key=size_of)
        return first, second

    @property
    def independent_hidden(self) -> bool:
        """Whether the hidden units are independent given the visible ones."""
        hidden = set(self.graph.hidden)
        return not any(edge.lower in hidden and edge.upper in hidden for edge in self.graph.edges)

    @property
    def visible_weights(self) -> Array:
        """Weights (visible units, units of the layer) to the first layer that hears the visible one; its couplings
        where none does.
        """
        around = self.graph.neighbours[self.visible]
        key, lower = (around[0][0], around[0][2]) if around else (self.graph.within[self.visible].key, True)
        weights = self.matrix(key)
        weights = weights.toarray() if key in self._sparse else weights
        return np.asarray(weights if lower else weights.T) if key in self._sparse or not lower else self.params[key]

    def spans(self) -> list[tuple[slice, bool]]:
        """The arena as slices of weights (True), which decay acts on, and of biases (False)."""
        weights = size({edge.key: self.graph.shapes[edge.key] for edge in self.graph.edges})
        return [(slice(0, weights), True), (slice(weights, self.arena.size), False)]

    def pair_spans(self) -> list[tuple[slice, bool, int]]:
        """The arena as slices: whether of weights, and which edge they are of or, of biases, which is first below."""
        edges, start, found = self.graph.edges, 0, []
        below: dict[str, int] = {}
        for number, edge in enumerate(edges):
            below.setdefault(edge.upper, number)
        for name, shape in self.graph.shapes.items():
            stop = start + size({name: shape})
            own = next((i for i, edge in enumerate(edges) if edge.key == name), None)
            pair = below.get(name.split("/")[1], 0) if own is None else own
            found.append((slice(start, stop), own is not None, pair))
            start = stop
        return found

    def unit_type(self, layer: str) -> Units:
        """The unit type of a layer; raises InputError for a name that is none."""
        try:
            return self.types[layer]
        except Exception as problem:
            raise self._no_layer(layer) from problem

    @cached_property
    def types(self) -> dict[str, Units]:
        """The unit type of each layer, with the parameters that its units have beside their bias."""
        return {layer.name: layer.type.bound(self.own(layer.name)) for layer in self.graph.layers}

    def _no_layer(self, layer: Any) -> InputError:
        return InputError(f"layer must be one of {', '.join(self.graph.units)}, got {checks.brief(layer)}.")

    @property
    def device(self) -> str:
        """Where the parameters live: "cpu" or "cuda:N"."""
        return arrays.device_of(self.arena)

    def to(self, device: str) -> BoltzmannMachine:
        """The machine with its parameters on "cpu", "cuda" or "cuda:N", where all work on it is then done.

        What it gives back, samples and estimates, are numpy arrays all the same. Raises InputError without CuPy or such
        a GPU.
        """
        return replace(self, arena=arrays.moved(self.arena, device))

    def zeros(self, rows: int, layer: str) -> Array:
        """Zeros (rows, units) of a layer in the type of the parameters, where they live."""
        return np.zeros_like(self.arena, shape=(rows, self.graph.units[layer]))

    def astype(self, dtype: Any) -> BoltzmannMachine:
        """The same machine with parameters in float32 or float64; raises InputError for another type."""
        return replace(self, arena=self.arena.astype(checks.floating(dtype, "dtype")))

    def with_levels(self, levels: int | None) -> BoltzmannMachine:
        """The same machine, which divides visible rows of whole numbers by levels, 1 to 65535; raises InputError."""
        return replace(self, levels=scale.above_one(levels))

    def of_length(self, words: int) -> BoltzmannMachine:
        """The same machine of documents that all have so many words, whose visible units are counts.

        Its log Z exists, and it draws documents of this length from nothing. It shares the parameters. Raises
        InputError.
        """
        if not self.layers[0].type.joint:
            raise InputError(f"the visible units must be of kind counts to have a length, got {self.layers[0].kind}.")
        words = checks.integer(words, "words", 1, LONGEST)
        graph = replace(self.graph, layers=(replace(self.layers[0], kind=f"counts:{words}"), *self.layers[1:]))
        rates = dict(self.rates)
        if self.visible in rates:
            rates[self.visible] = rates[self.visible] * (words / rates[self.visible].sum())
        return replace(self, graph=graph, rates=rates)

    def matrix(self, key: str) -> Any:
        """The weights of an edge (lower units, upper units): a view, or a sparse matrix where the couplings are sparse,
        a copy.
        """
        edge = self._sparse.get(key)
        if edge is None or edge.pairs is None:
            return self.params[key]
        shape = self.graph.units[edge.lower], self.graph.units[edge.upper]
        return edge.pairs.matrix(self.params[key], shape, edge.within)

    @cached_property
    def _sparse(self) -> dict[str, Edge]:
        """The sparse edges by the names of their weights."""
        return {edge.key: edge for edge in self.graph.edges if edge.pairs is not None}

    def input(self, layer: str, state: State) -> Array:
        """What the neighbours present in state send to a layer, without bias, (chains, units).

        Units of the layer itself that are coupled to each other are neighbours, too.
        """
        total: Any = None
        for key, other, is_lower in self.graph.neighbours[layer]:
            if other in state:
                weight = self.matrix(key)
                term = state[other] @ (weight.T if is_lower else weight)
                total = term if total is None else total + term
        if layer in self.graph.within and layer in state:
            term = state[layer] @ self.matrix(self.graph.within[layer].key)
            total = term if total is None else total + term
        if total is None:
            total = self.zeros(len(next(iter(state.values()))), layer)
        return total

    def field(self, layer: str, state: State) -> Array:
        """Total input of a layer given its neighbours, (chains, units)."""
        return self.input(layer, state) + self.bias(layer)

    def energy(self, state: State) -> NDArray[np.float64]:
        """Energy (chains,) of full states, in nats; raises InputError if a layer is missing or has a wrong shape."""
        return arrays.host(self.full_energy(self.checked(state, tuple(self.graph.units))))

    def full_energy(self, x: State, means: Sequence[str] = ()) -> NDArray[np.float64]:
        """The same of states of this machine's type, where they live.

        means: layers of which x holds means, over whose units, all independent, the expectation is taken.
        """
        total = zeros(x[self.graph.visible])
        for layer in self.graph.units:
            kind = self.unit_type(layer)
            own = kind.mean_energy(x[layer]) if layer in means else kind.base_energy(x[layer])
            total += own - self._bias_term(layer, x[layer])
        for edge in self.graph.edges:
            total -= self._coupling(edge, x)
        return total

    def _bias_term(self, layer: str, x: Array) -> NDArray[np.float64]:
        """b . x of one layer, (chains,)."""
        return np.einsum("ij,j->i", x, self.bias(layer), dtype=np.float64)

    def _coupling(self, edge: Edge, state: State) -> NDArray[np.float64]:
        """x^T W y of one edge, (chains,); half of it within a layer, where W has each pair twice."""
        if edge.pairs is not None:
            return edge.pairs.coupled(self.params[edge.key], state[edge.lower], state[edge.upper])
        product = state[edge.lower] @ self.matrix(edge.key)
        found: NDArray[np.float64] = np.einsum("ij,ij->i", product, state[edge.upper], dtype=np.float64)
        return found / 2 if edge.within else found

    def free_energy(self, state: State | Array) -> NDArray[np.float64]:
        """-log of the sum of exp(-energy) over the other colour class, (chains,), in nats.

        state holds exactly the layers of one colour class, as the machine sees them; an array means visible rows of an
        RBM, in the units of the data or codes of categories. Of a graph that is not layered state holds the layers that
        are not summed out, graph.sides[0].
        """
        if not self.graph.layered:
            return self._free_energy_of_side(state)
        if not isinstance(state, Mapping):
            rows = by_columns(scale.divided(state, self.levels), self.layers[0], "state")
            state = {self.graph.visible: rows if self.scaling is None else self.scaling.inside(rows, self.dtype)}
        for mine, other in (self.graph.colours, self.graph.colours[::-1]):
            if set(state) == set(mine):
                return arrays.host(self.marginal_energy(self.checked(state, mine), other))
        classes = " or ".join("{" + ", ".join(c) + "}" for c in self.graph.colours)
        raise InputError(f"state must hold the layers of one colour class, {classes}, got {checks.few(state)}.")

    def _free_energy_of_side(self, state: State | Array) -> NDArray[np.float64]:
        """The same of a graph that is not layered."""
        held, summed = self.graph.sides
        if not isinstance(state, Mapping) and held == self.graph.views[:1]:
            state = {held[0]: by_columns(scale.divided(state, self.levels), self.layers[0], "state")}
        if not isinstance(state, Mapping) or set(state) != set(held):
            found = checks.few(state) if isinstance(state, Mapping) else type(state).__name__
            raise InputError(f"state must map the layers {', '.join(held)} to arrays, got {found}.")
        return arrays.host(self.marginal_energy(self.checked(state, held), summed))

    def marginal_energy(self, state: State, summed: Sequence[str]) -> NDArray[np.float64]:
        """-log sum over the summed layers, independent of each other, of exp(-energy), the rest given by state."""
        total = self.coupling_energy(state, tuple(state))
        for layer, x in state.items():
            total += self.unit_type(layer).base_energy(x) - self._bias_term(layer, x)
        for layer in summed:
            total -= self.unit_type(layer).total_log_partition(self.field(layer, state))
        return total

    def coupling_energy(self, state: State, layers: Sequence[str]) -> NDArray[np.float64]:
        """The energy (chains,) of the edges between some layers of a state, and within them, in nats."""
        total = zeros(next(iter(state.values())))
        for edge in self.graph.edges:
            if edge.lower in layers and edge.upper in layers:
                total -= self._coupling(edge, state)
        return total

    def checked(self, state: State, layers: Sequence[str], name: str = "state") -> dict[str, Array]:
        """The named layers of a state as arrays of this machine's type and equal length; raises InputError."""
        if not isinstance(state, Mapping):
            raise InputError(f"{name} must map layers to arrays, got {type(state).__name__}.")
        missing = [layer for layer in layers if layer not in state]
        if missing:
            raise InputError(f"{name} must hold layer {missing[0]}, got {checks.few(state)}.")
        units = self.graph.units
        found = {n: checks.array(state[n], f"{name}[{n!r}]", (None, units[n]), self.dtype, self.arena) for n in layers}
        counts = {len(x) for x in found.values()}
        if len(counts) > 1:
            raise InputError(f"{name} must hold equally many chains in each layer, got {sorted(counts)}.")
        return found

    def save(self, path: str | Path) -> None:
        """Write the machine to a safetensors file; raises FileError."""
        tensors = views(self.graph, arrays.host(self.arena))
        tensors |= {f"layer/{n}/rate": np.asarray(r) for n, r in self.rates.items()}
        tensors |= self.graph.pairs
        for view, part in self.graph.columns.items():
            if self.scaling is not None and self.graph.kinds[view] == "gaussian":
                tensors |= {f"layer/{view}/{name}": x[part] for name, x in self.scaling.tensors().items()}
        told = {"model": "boltzmann", "graph": json.dumps(self.graph.text)}
        write_tensors(checks.path(path, "path"), tensors, told | scale.told(self.levels))


def within(thing: Any) -> str:
    """Where a run or a fitted estimator of scikit-learn holds its machine, as the end of a message."""
    if hasattr(thing, "machine_"):
        return "; use its .machine_"
    return "; use its .model" if hasattr(thing, "model") else ""


def checked_model(model: Any, any_units: bool = False, any_graph: bool = False) -> BoltzmannMachine:
    """The model argument of a public function, which may have units other than 0 and 1, and a graph that is not layered
    or several visible layers, or not; raises InputError.
    """
    if not isinstance(model, BoltzmannMachine):
        raise InputError(f"model must be a BoltzmannMachine, got {type(model).__name__}{within(model)}.")
    if not any_units:
        refuse_units(model, "model")
    if not any_graph:
        refuse_views(model, "model")
        refuse_graph(model, "model")
    return model


def refuse_graph(model: BoltzmannMachine, name: str) -> None:
    """Raise InputError for a machine whose graph is not layered; name is what errors call it."""
    graph = model.graph
    if graph.layered:
        return
    if graph.within:
        found = f"has couplings within layer {next(iter(graph.within))}"
    elif any(edge.pairs is not None for edge in graph.edges):
        found = "has sparse couplings"
    else:
        found = f"has {len(graph.colours)} of them" if len(graph.colours) > 2 else "has visible layers in both"
    raise InputError(
        f"{name} must have full edges between layers of two classes, its visible ones in one, for this, but it {found}."
    )


def refuse_views(model: BoltzmannMachine, name: str) -> None:
    """Raise InputError for a machine of several visible layers; name is what errors call it."""
    if len(model.graph.views) > 1:
        raise InputError(f"{name} must have one visible layer for this, got {', '.join(model.graph.views)}.")


def refuse_units(model: BoltzmannMachine, name: str) -> None:
    """Raise InputError for a machine that has units other than 0 and 1; name is what errors call it."""
    for layer in model.layers:
        if not layer.binary:
            raise InputError(
                f"{name} must have units of 0 and 1 for this, but those of layer {layer.name} are {layer.kind}."
            )


def affordable_chains(model: BoltzmannMachine, chains: Any, name: str = "chains") -> int:
    """A number of chains of a machine whose states fit into memory, with room for as much again; raises InputError."""
    chains = checks.integer(chains, name, 1, 2**32)
    return checks.affordable(chains, name, 2 * model.dtype.itemsize * sum(model.units.values()))
