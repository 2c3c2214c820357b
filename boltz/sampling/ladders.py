"""Ladders of densities for replica exchange: inverse temperatures of one machine, or different machines of one graph.

A rung's held class is chain state, its other class is summed out; only densities of the held class are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.nn.arena import zeros
from boltz.rng import Key
from boltz.sampling.clusters import Clusters
from boltz.sampling.flips import Flips, Moment
from boltz.sampling.inputs import Scratch, layer_input, turned_weights
from boltz.sampling.layers import Draw, draw_layer
from boltz.targets import BaseRatePath, MachinePath
from boltz.units import Units

Array = NDArray[Any]
Floats = NDArray[np.float64]
Chains = dict[str, Array]
Looks = list[tuple[Floats, Chains]]


@dataclass(frozen=True)
class At:
    """The random key and the step of one rung's work."""

    key: Key
    step: int


class Ladder(Protocol):
    """Densities over the held class, from independent units at rung 0 to the machine itself at the last rung."""

    @property
    def rungs(self) -> int:
        """How many there are."""

    @property
    def machine(self) -> BoltzmannMachine:
        """The machine of the last rung."""

    @property
    def held(self) -> tuple[str, ...]:
        """The layers that are chain state."""

    @property
    def start_log_z(self) -> float:
        """log-normaliser of rung 0, in nats."""

    def look(self, state: Chains, rungs: Sequence[int], at: At, scratch: Scratch) -> Looks:
        """For each of some rungs: log-density of the states (chains,), and draws of the summed class given them."""

    def move(self, drawn: Chains, rung: int, at: At, state: Chains, scratch: Scratch) -> None:
        """Draw the held class of a rung given the summed one, in place."""

    def flip(self, state: Chains, rung: int, moment: Moment, scratch: Scratch) -> None:
        """Turn round and flip the colour class that state holds, the other one summed out, in place."""


@dataclass(frozen=True, eq=False)
class Temperatures:
    """The base-rate path at some inverse temperatures (rungs,): one product serves the densities of all rungs.

    clusters: what turns clusters of units after each sweep, where these are coupled to each other.
    """

    path: BaseRatePath
    betas: Floats
    clusters: Clusters | None = None

    @property
    def rungs(self) -> int:
        return len(self.betas)

    @property
    def machine(self) -> BoltzmannMachine:
        return self.path.machine

    @property
    def held(self) -> tuple[str, ...]:
        return self.path.held

    @property
    def start_log_z(self) -> float:
        return self.path.start_log_z

    @cached_property
    def turned(self) -> dict[str, Array]:
        """Transposed weights."""
        return turned_weights(self.machine)

    def look(self, state: Chains, rungs: Sequence[int], at: At, scratch: Scratch) -> Looks:
        found = [_nothing(self.machine, self.path.summed, state) for _ in rungs]
        if self.path.joined:
            energy = self.machine.coupling_energy(state, self.held)
            for k, (total, _) in zip(rungs, found, strict=True):
                total -= self.betas[k] * energy
        for layer in self.path.held:
            x = state[layer].astype(np.float64)
            for k, (total, _) in zip(rungs, found, strict=True):
                total += x @ self.path.bias(layer, self.betas[k]) - self.machine.unit_type(layer).base_energy(x)
        for layer in self.path.summed:
            inputs = layer_input(self.machine, layer, state, scratch, self.turned)
            for k, (total, drawn) in zip(rungs, found, strict=True):
                mine = inputs if k == rungs[-1] else scratch.get("copy", layer, inputs.shape)
                if mine is not inputs:
                    mine[...] = inputs
                scale_and_bias = self.betas[k], self.path.bias(layer, self.betas[k])
                stream = _stream(at, "look", layer, k)
                _sum_out(self.machine.unit_type(layer), mine, scale_and_bias, stream, drawn[layer], total)
        return found

    def move(self, drawn: Chains, rung: int, at: At, state: Chains, scratch: Scratch) -> None:
        beta = self.betas[rung]
        whole = state | drawn
        for layer in self.path.held:
            how = Draw(_stream(at, "move", layer, rung), 0, scratch, self.turned)
            bias = self.path.bias(layer, beta)
            draw_layer(self.machine, layer, whole, beta, bias, how)
            if self.clusters is not None:
                self.clusters.flip(state[layer], beta, bias, _stream(at, "clusters", layer, rung))

    @cached_property
    def flips(self) -> Flips:
        """What turns states round."""
        return Flips(self.machine, self.turned)

    def flip(self, state: Chains, rung: int, moment: Moment, scratch: Scratch) -> None:
        if not self.machine.graph.layered:
            return
        beta = float(self.betas[rung])
        self.flips.move(state, beta, partial(self.path.bias, beta=beta), moment, scratch)


@dataclass(frozen=True, eq=False)
class Machines:
    """Places along a path of machines (rungs,), such as snapshots of a training run: a product a rung and density."""

    path: MachinePath
    places: Floats
    members: list[BoltzmannMachine] = field(init=False)
    turned: list[dict[str, Array]] = field(init=False)

    def __post_init__(self) -> None:
        members = [self.path.at(place) for place in self.places]
        object.__setattr__(self, "members", members)
        object.__setattr__(self, "turned", [turned_weights(machine) for machine in members])

    @property
    def rungs(self) -> int:
        return len(self.places)

    @property
    def machine(self) -> BoltzmannMachine:
        return self.members[-1]

    @cached_property
    def classes(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The held and the summed class: the smaller and the larger one."""
        return self.machine.by_size

    @property
    def held(self) -> tuple[str, ...]:
        return self.classes[0]

    @property
    def start_log_z(self) -> float:
        first = self.members[0]
        return float(
            sum(first.unit_type(n).log_partition(first.bias(n).astype(np.float64)).sum() for n in first.graph.units)
        )

    def look(self, state: Chains, rungs: Sequence[int], at: At, scratch: Scratch) -> Looks:
        found = []
        for k in rungs:
            machine = self.members[k]
            total, drawn = _nothing(machine, self.classes[1], state)
            total -= machine.coupling_energy(state, self.held)
            for layer in self.held:
                x = state[layer].astype(np.float64)
                total += x @ machine.bias(layer) - machine.unit_type(layer).base_energy(x)
            for layer in self.classes[1]:
                inputs = layer_input(machine, layer, state, scratch, self.turned[k])
                stream = _stream(at, "look", layer, k)
                _sum_out(machine.unit_type(layer), inputs, (1.0, machine.bias(layer)), stream, drawn[layer], total)
            found.append((total, drawn))
        return found

    def move(self, drawn: Chains, rung: int, at: At, state: Chains, scratch: Scratch) -> None:
        machine = self.members[rung]
        whole = state | drawn
        for layer in self.held:
            how = Draw(_stream(at, "move", layer, rung), 0, scratch, self.turned[rung])
            draw_layer(machine, layer, whole, 1.0, machine.bias(layer), how)

    @cached_property
    def flips(self) -> list[Flips]:
        """What turns states of each member round."""
        return [Flips(machine, turned) for machine, turned in zip(self.members, self.turned, strict=True)]

    def flip(self, state: Chains, rung: int, moment: Moment, scratch: Scratch) -> None:
        if not self.machine.graph.layered:
            return
        self.flips[rung].move(state, 1.0, self.members[rung].bias, moment, scratch)


def _nothing(machine: BoltzmannMachine, summed: Sequence[str], state: Chains) -> tuple[Floats, Chains]:
    """Log-densities at zero and room for draws."""
    some = next(iter(state.values()))
    return zeros(some), {n: machine.zeros(len(some), n) for n in summed}


def _stream(at: At, purpose: str, layer: str, rung: int) -> tuple[int, int, int]:
    return at.key.derive(purpose, layer, rung).stream(at.step)


def _sum_out(
    kind: Units,
    inputs: Array,
    scale_and_bias: tuple[float, Array],
    stream: tuple[int, int, int],
    drawn: Array,
    total: Floats,
) -> None:
    """total += log-partition of a layer at its field; drawn sampled there. The kernel of annealing does both at once:
    its weight from no field at all to the whole field.
    """
    scale, bias = scale_and_bias
    nothing = np.zeros_like(bias)
    kind.anneal(inputs, (0.0, scale), (nothing, bias), stream, 0, drawn, total)
    total += kind.log_partition(nothing.astype(np.float64)).sum()
