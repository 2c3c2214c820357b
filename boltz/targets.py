"""Targets and annealing paths: the machine at inverse temperature beta, from a base-rate model to itself.

p*_beta(x) = exp(-beta E(x) + (1 - beta) b0 . x): edges times beta, biases (1 - beta) b0 + beta b (Salakhutdinov &
Murray 2008, section 4.1). The base energies of units are the same all along, those of the base model being the
machine's. Only one colour class is chain state; the other is summed out, so that each transition is reversible. Of a
graph that is not layered as many layers are summed out as are independent of each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside
from boltz.models.boltzmann import BoltzmannMachine
from boltz.nn.arena import zeros
from boltz.rng import Key

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class BaseRatePath:
    """Path from independent units with given biases (layer -> (units,)) to the machine.

    held is the colour class that is chain state; summed the other one. Where bend (layer -> (units,)) is not empty,
    biases make a detour of beta (1 - beta) bend.
    """

    machine: BoltzmannMachine
    base: Mapping[str, Array]
    held: tuple[str, ...]
    summed: tuple[str, ...]
    bend: Mapping[str, Array] = field(default_factory=dict)

    @cached_property
    def joined(self) -> bool:
        """Whether held units are coupled to each other."""
        return any(edge.lower in self.held and edge.upper in self.held for edge in self.machine.graph.edges)

    def bias(self, layer: str, beta: float) -> Array:
        """Biases (units,) of a layer at beta."""
        return self.exact_bias(layer, beta).astype(self.machine.dtype)

    def exact_bias(self, layer: str, beta: float) -> NDArray[np.float64]:
        """The same in float64."""
        straight = self._base[layer] + beta * self.bias_change[layer]
        return straight + beta * (1 - beta) * self._bend[layer] if self.bend else straight

    @cached_property
    def bias_change(self) -> dict[str, Array]:
        """How far the biases of the machine are from those of the base, in float64."""
        return {n: self.machine.bias(n).astype(np.float64) - self._base[n] for n in self.machine.graph.units}

    @cached_property
    def _base(self) -> dict[str, Array]:
        return {layer: beside(np.asarray(b, np.float64), self.machine.arena) for layer, b in self.base.items()}

    @cached_property
    def _bend(self) -> dict[str, Array]:
        return {layer: beside(b, self.machine.arena) for layer, b in self.bend.items()}

    def course(self, layer: str) -> tuple[Array, Array, Array]:
        """Base, change and bend of a layer's biases, (units,) in float64."""
        change = self.bias_change[layer]
        return self._base[layer], change, self._bend[layer] if self.bend else np.zeros_like(change)

    @cached_property
    def start_log_z(self) -> float:
        """log-normaliser at beta = 0, in nats."""
        types = self.machine.unit_type
        return float(sum(types(n).log_partition(self._base[n]).sum() for n in self.machine.graph.units))

    def sample_start(self, key: Key, chains: int) -> dict[str, Array]:
        """Exact samples at beta = 0 of the held layers; the summed ones are left at zero until drawn."""
        state = {}
        for layer in self.machine.graph.units:
            state[layer] = self.machine.zeros(chains, layer)
            if layer in self.held:
                inputs, stream = np.zeros_like(state[layer]), key.derive("start", layer).stream(0)
                self.machine.unit_type(layer).sample(inputs, 1.0, self.bias(layer, 0.0), stream, 0, state[layer])
        return state

    def log_density(self, state: Mapping[str, Array], beta: float) -> NDArray[np.float64]:
        """log p*_beta of the held layers (chains,), the summed layers summed out, in nats."""
        held = {layer: state[layer] for layer in self.held}
        total = zeros(next(iter(held.values())))
        if self.joined:
            total -= beta * self.machine.coupling_energy(held, self.held)
        for layer, x in held.items():
            total += x.astype(np.float64) @ self.exact_bias(layer, beta)
            total -= self.machine.unit_type(layer).base_energy(x)
        for layer in self.summed:
            field = beta * self.machine.input(layer, held) + self.bias(layer, beta)
            total += self.machine.unit_type(layer).total_log_partition(field)
        return total


def path_to(machine: BoltzmannMachine, rates: Mapping[str, Array], held_visible: bool = False) -> BaseRatePath:
    """The base-rate path to a machine; the larger colour class is summed out, or the one without the visible layer.

    Units with a range of states are summed out where the other class has none. A graph that is not layered has its own
    two sides.
    """
    held, summed = machine.graph.sides
    if not held_visible:
        held, summed = machine.by_size
    base = {layer: machine.unit_type(layer).natural(rates[layer]) for layer in machine.graph.units}
    return BaseRatePath(machine, base, held, summed)


@dataclass(frozen=True, eq=False)
class MachinePath:
    """Piecewise straight path through machines of one graph, in their parameters: geometric averages of densities.

    The first one has no weights, so that its log Z and its samples are exact.
    """

    knots: tuple[BoltzmannMachine, ...]

    @property
    def length(self) -> int:
        """The place of the last machine; the first one is at 0."""
        return len(self.knots) - 1

    def at(self, place: float) -> BoltzmannMachine:
        """The machine at a place within [0, length]."""
        below = min(int(place), self.length - 1)
        share, one, other = place - below, self.knots[below], self.knots[below + 1]
        if share == 0 or share == 1:
            return other if share else one
        arena = (1 - share) * one.arena.astype(np.float64) + share * other.arena
        return BoltzmannMachine(one.graph, arena.astype(one.dtype))


def independent(machine: BoltzmannMachine, rates: Mapping[str, Array]) -> BoltzmannMachine:
    """A machine of the same graph without weights, whose units have these mean activities, layer -> (units,)."""
    found = BoltzmannMachine(machine.graph, np.zeros_like(machine.arena))
    for layer in machine.graph.units:
        for name, own in found.own(layer).items():
            own[...] = machine.own(layer)[name]
        found.bias(layer)[...] = beside(machine.unit_type(layer).natural(rates[layer]), machine.arena)
    return found
