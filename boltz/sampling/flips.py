"""Moves that block Gibbs sampling lacks: a colour class turned round as a whole, and single units that others follow.

Both are Metropolis moves on one colour class with the other one summed out, so that its units follow at once. The first
carries chains between the phases of a symmetric machine; a single flip moves a unit that many others depend on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.models.boltzmann import BoltzmannMachine
from boltz.nn.arena import zeros
from boltz.rng import Key
from boltz.sampling.inputs import Scratch, layer_input, uniforms
from boltz.units.states import has_two, two_states

Array = NDArray[Any]
Floats = NDArray[np.float64]
Bias = Callable[[str], Array]
SINGLE = 4  # single units a move


@dataclass(frozen=True)
class Moment:
    """Key, step and first chain of a move: what its random numbers follow from."""

    key: Key
    step: int
    first: int = 0

    def uniform(self, purpose: str, chains: int, like: Array) -> Array:
        """One number in (0, 1) a chain."""
        return beside(uniforms(self.key.derive(purpose).stream(self.step), self.first, chains), like)


@dataclass(frozen=True, eq=False)
class Flips:
    """Moves of a machine at any scale of its weights and any biases; turned may hold turned_weights."""

    machine: BoltzmannMachine
    turned: Mapping[Any, Any]

    def move(self, state: dict[str, Array], scale: float, bias: Bias, moment: Moment, scratch: Scratch) -> None:
        """Turn round and flip the colour class that state holds, layer -> (chains, units), in place.

        Its law is exp(-energy) with weights times scale and these biases, the other class summed out. A class with
        units of other than two states stays as it is.
        """
        mine, other = self._classes(state)
        if not all(has_two(self.machine.unit_type(n)) for n in mine):
            return
        inputs = {n: layer_input(self.machine, n, state, scratch, self.turned).astype(np.float64) for n in other}
        held = {n: self._log_partition(n, x, scale, bias) for n, x in inputs.items()}
        chains = len(next(iter(state.values())))
        self._turn(state, inputs, held, (scale, bias), moment.uniform("turn", chains, self.machine.arena))
        odds = np.cumsum(np.concatenate([self._odds(n) for n in mine]))
        for i in range(SINGLE):
            layer, unit = self._chosen(mine, odds, moment.key.derive("unit", moment.step, i))
            uniform = moment.uniform(f"flip {i}", chains, self.machine.arena)
            self._flip(state, inputs, held, (layer, unit), (scale, bias), uniform)

    def _classes(self, state: Mapping[str, Array]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        first, second = self.machine.graph.colours
        return (first, second) if first[0] in state else (second, first)

    def _log_partition(self, layer: str, inputs: Array, scale: float, bias: Bias) -> Any:
        return self.machine.unit_type(layer).total_log_partition(scale * inputs + bias(layer))

    def _turn(
        self,
        state: dict[str, Array],
        inputs: dict[str, Array],
        held: dict[str, Floats],
        law: tuple[float, Bias],
        uniform: Array,
    ) -> None:
        """Propose the opposite of every unit of the class; its input is what all units send less what they send now.

        Half of the chains make no proposal, since both classes turned in one sweep would undo each other.
        """
        scale, bias = law
        opposite = {n: self._sum(n) - x for n, x in inputs.items()}
        after = {n: self._log_partition(n, x, scale, bias) for n, x in opposite.items()}
        change = sum(after[n] - held[n] for n in inputs) + zeros(next(iter(state.values())))
        for n, x in state.items():
            change += (self._ends(n) - 2 * x.astype(np.float64)) @ bias(n).astype(np.float64)
            kind = self.machine.unit_type(n)
            change += kind.base_energy(x) - kind.base_energy(self._ends(n) - x)
        accepted = np.log(2 * uniform) < np.minimum(change, 0)
        for n, x in state.items():
            np.copyto(x, self._ends(n) - x, where=accepted[:, None])
        for n in inputs:
            np.copyto(inputs[n], opposite[n], where=accepted[:, None])
            np.copyto(held[n], after[n], where=accepted)

    def _flip(
        self,
        state: dict[str, Array],
        inputs: dict[str, Array],
        held: dict[str, Floats],
        place: tuple[str, int],
        law: tuple[float, Bias],
        uniform: Array,
    ) -> None:
        """Propose the other state of one unit."""
        (layer, unit), (scale, bias) = place, law
        step = self._ends(layer) - 2 * state[layer][:, unit].astype(np.float64)
        moved, after = {}, {}
        change = step * bias(layer)[unit].astype(np.float64)
        kind, column = self.machine.unit_type(layer), state[layer][:, unit : unit + 1]
        change += kind.base_energy(column) - kind.base_energy(self._ends(layer) - column)
        for edge, n, lower in self.machine.graph.neighbours[layer]:
            weight = self.machine.params[edge]
            moved[n] = inputs[n] + step[:, None] * (weight[unit] if lower else weight[:, unit])
            after[n] = self._log_partition(n, moved[n], scale, bias)
            change += after[n] - held[n]
        accepted = np.log(uniform) < change
        state[layer][:, unit] += (step * accepted).astype(self.machine.dtype)
        for n in moved:
            np.copyto(inputs[n], moved[n], where=accepted[:, None])
            np.copyto(held[n], after[n], where=accepted)

    def _ends(self, layer: str) -> float:
        """The sum of both states of a layer's units, which turns one into the other."""
        return sum(two_states(self.machine.unit_type(layer)))

    def _sum(self, layer: str) -> Array:
        """What a layer would hear if the states of its neighbours were the sums of both, (units,).

        It is worked out each time: training changes the weights of a machine in place.
        """
        like, around = self.machine.arena, [other for _, other, _ in self.machine.graph.neighbours[layer]]
        ends = {n: np.full_like(like, self._ends(n), shape=(1, self.machine.units[n])) for n in around}
        found: Array = self.machine.input(layer, ends)[0].astype(np.float64)
        return found

    def _odds(self, layer: str) -> Floats:
        """Square weights of each unit and their mean, (units,): units that many depend on come often."""
        found = np.zeros(self.machine.units[layer])
        for edge, _, lower in self.machine.graph.neighbours[layer]:
            found += np.square(host(self.machine.params[edge]), dtype=np.float64).sum(axis=1 if lower else 0)
        return np.asarray(found + found.mean() + 1e-12)

    def _chosen(self, layers: Sequence[str], odds: Floats, key: Key) -> tuple[str, int]:
        """A layer of these and one of its units, by running odds, whatever the state."""
        place = int(np.searchsorted(odds, key.generator().random() * odds[-1], side="right").clip(max=len(odds) - 1))
        for n in layers:
            if place < self.machine.units[n]:
                break
            place -= self.machine.units[n]
        return n, place
