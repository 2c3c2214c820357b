"""Block Gibbs sampling over the two colour classes of a layered machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from operator import or_
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import arrays, checks
from boltz.errors import InputError, NumericalError
from boltz.kernels.graphs import Clock, Replay
from boltz.kernels.split import split
from boltz.models.boltzmann import BoltzmannMachine, State, checked_model
from boltz.rng import Key, Stream
from boltz.sampling.driver import shares, workers

Array = NDArray[Any]


@dataclass
class Scratch:
    """Reused buffers (rows, units) by purpose and layer, of like's type and where it lives, so that sweeps allocate
    nothing.
    """

    like: Array
    held: dict[tuple[str, str], Array] = field(default_factory=dict)

    def get(self, purpose: str, layer: str, shape: tuple[int, int]) -> Array:
        """A C-contiguous buffer of this shape; its contents are left over from the last use."""
        buffer = self.held.get((purpose, layer))
        if buffer is None or buffer.shape[0] < shape[0] or buffer.shape[1] != shape[1]:
            buffer = self.held[purpose, layer] = np.empty_like(self.like, shape=shape)
        return buffer[: shape[0]]


def turned_weights(machine: BoltzmannMachine) -> dict[Any, Any]:
    """What makes products with states of 0 and 1 quick, by name: worth making where many products use one machine.

    C-contiguous transposes of the weights; on a device, in float32, the weights split for tensor cores, both ways.
    """
    weights = {edge.key: machine.params[edge.key] for edge in machine.graph.edges}
    if not arrays.on_device(machine.arena):
        return {key: weight.T.copy() for key, weight in weights.items()}
    if machine.dtype != np.float32:
        return {}
    splits = {key: split(weight) for key, weight in weights.items()}
    return {key: down for key, (_, down) in splits.items()} | {("up", key): up for key, (up, _) in splits.items()}


def layer_input(
    machine: BoltzmannMachine, layer: str, state: State, scratch: Scratch, turned: Mapping[Any, Any] | None = None
) -> Array:
    """The input of a layer from the neighbours present in state, without bias, in a reused buffer."""
    rows = len(next(iter(state.values())))
    shape = (rows, machine.graph.units[layer])
    out = scratch.get("input", layer, shape)
    empty = True
    for key, other, is_lower in machine.graph.neighbours[layer]:
        if other in state:
            weight = machine.params[key]
            if is_lower:
                weight = turned[key] if turned else weight.T
            elif turned:
                weight = turned.get(("up", key), weight)
            product = out if empty else scratch.get("term", layer, shape)
            kernels.product(state[other], weight, product)
            if not empty:
                out += product
            empty = False
    if empty:
        out[...] = 0
    return out


@dataclass(frozen=True)
class GibbsSweep:
    """Transition that samples one colour class given the other, then the other given it; leaves exp(-energy) invariant.

    On the class sampled last the chain is reversible; on the full state its reversal is the opposite order.
    scales multiplies the input of a layer (the doubled inputs of greedy pretraining); turned may hold turned_weights.
    """

    machine: BoltzmannMachine
    key: Key
    flipped: bool = False
    scales: Mapping[str, float] = field(default_factory=dict)
    turned: Mapping[Any, Any] = field(default_factory=dict)

    @cached_property
    def order(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The colour classes in the order in which they are sampled."""
        first, second = self.machine.graph.colours
        return (second, first) if self.flipped else (first, second)

    @cached_property
    def keys(self) -> dict[str, Key]:
        """The random key of each layer."""
        return {layer: self.key.derive("gibbs", layer) for layer in self.machine.graph.units}

    def reversed(self) -> GibbsSweep:
        """The time reversal: the classes in the opposite order."""
        return replace(self, flipped=not self.flipped)

    def stream(self, layer: str, step: Any) -> Stream:
        """The random stream of a layer at a step."""
        return self.keys[layer].stream(step)

    def update(self, layer: str, state: dict[str, Array], step: Any, first_row: int, scratch: Scratch) -> Array:
        """Sample one layer given its neighbours, in place; returns its mean (a reused buffer)."""
        inputs = layer_input(self.machine, layer, state, scratch, self.turned)
        unit_type, bias = self.machine.unit_type(layer), self.machine.bias(layer)
        scale = self.scales.get(layer, 1.0)
        unit_type.sample(inputs, scale, bias, self.stream(layer, step), first_row, state[layer])
        return inputs

    def sweep(self, state: dict[str, Array], step: Any, first_row: int, scratch: Scratch) -> dict[str, Array]:
        """One sweep over all layers, in place; returns the means of the class sampled last (reused buffers)."""
        for layer in self.order[0]:
            self.update(layer, state, step, first_row, scratch)
        return {layer: self.update(layer, state, step, first_row, scratch) for layer in self.order[1]}

    def step(self, state: State, step: int, first_row: int = 0) -> dict[str, Array]:
        """One sweep from state, which is left untouched."""
        new = {layer: x.astype(self.machine.dtype, order="C") for layer, x in state.items()}
        self.sweep(new, step, first_row, Scratch(self.machine.arena))
        return new


def random_state(
    machine: BoltzmannMachine, chains: int, key: Key, given: Mapping[str, Array] = MappingProxyType({})
) -> dict[str, Array]:
    """A start (chains, units) a layer: every unit drawn from its bias alone, but for layers that are given."""
    state = {}
    for layer in machine.graph.units:
        if layer in given:
            state[layer] = given[layer]
            continue
        state[layer] = machine.zeros(chains, layer)
        stream = key.derive("start", layer).stream(0)
        machine.unit_type(layer).sample(np.zeros_like(state[layer]), 1.0, machine.bias(layer), stream, 0, state[layer])
    return state


def sample(
    model: BoltzmannMachine, chains: int = 1000, sweeps: int = 100, seed: int = 0, start: State | None = None
) -> dict[str, Array]:
    """Run block Gibbs chains and return their last state, layer -> (chains, units).

    start may hold some or all layers with one row a chain; layers it lacks are drawn from their bias. A sweep draws the
    visible colour class first, unless start holds layers of that class only: then what it holds is heard first. Results
    do not depend on the number of threads; a model on a device draws there with the same random bits, and its states
    come back as numpy arrays. Raises InputError, and NumericalError for an overflow.
    """
    return {layer: arrays.host(x) for layer, x in sampled(model, chains, sweeps, seed, start).items()}


def sampled(model: BoltzmannMachine, chains: int, sweeps: int, seed: int, start: State | None) -> dict[str, Array]:
    """As sample; the states stay where the model lives."""
    model = checked_model(model)
    chains = checks.integer(chains, "chains", 1, 2**32)
    sweeps = checks.integer(sweeps, "sweeps", 0)
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**64 - 1)).derive("sample")
    given = _given(model, {} if start is None else start, chains)
    state = random_state(model, chains, key, given)
    # the class that is sampled second must be the one that start says most about
    flipped = bool(given) and all(layer in model.graph.colours[0] for layer in given)
    transition = GibbsSweep(model, key, flipped, turned=turned_weights(model))

    def run(block: slice) -> None:
        scratch, mine = Scratch(model.arena), {layer: x[block] for layer, x in state.items()}
        repeat(lambda step: transition.sweep(mine, step, block.start, scratch), range(sweeps), model.arena)

    with workers(model.arena) as pool:
        pool.map(run, shares(chains, model.arena))
    for layer, x in state.items():
        if not np.isfinite(x).all():
            raise NumericalError(
                f"The states of layer {layer} are not finite: the weights are too large for their type."
            )
    return state


def repeat(work: Callable[[Any], object], steps: range, like: Array) -> None:
    """work(step) for step after step; in float32 on a device from a captured graph, with the step in its memory."""
    if not (arrays.on_device(like) and like.dtype == np.float32):
        for step in steps:
            work(step)
        return
    clock = Clock.before(steps.start)

    def ticked() -> None:
        clock.tick()
        work(clock.counter)

    Replay(ticked).run(len(steps))


def _given(model: BoltzmannMachine, start: State, chains: int) -> dict[str, Array]:
    if not isinstance(start, Mapping):
        raise InputError(f"start must map layers to arrays, got {type(start).__name__}.")
    for layer in start:
        if layer not in model.graph.units:
            raise InputError(f"start must hold layers among {', '.join(model.graph.units)}, got {layer!r}.")
    given = {k: v.copy() for k, v in model.checked(start, tuple(start), "start").items()}
    for layer, x in given.items():
        if len(x) != chains:
            raise InputError(f"start[{layer!r}] must have {chains} rows, one a chain, got {len(x)}.")
        check_states(model, layer, x, "start")
    return given


def check_states(model: BoltzmannMachine, layer: str, x: Array, name: str) -> None:
    """Raise InputError unless x holds values that units of the layer can take."""
    values = model.unit_type(layer).states
    if not reduce(or_, (x == value for value in values)).all():
        raise InputError(f"{name}[{layer!r}] must hold states of its units, {values}.")
