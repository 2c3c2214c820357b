"""Paths over the hidden units with v clamped, f_beta(h) = q(h | v)^(1 - beta) p*(v, h)^beta: Boltzmann machines.

They start at exact draws of q, whose log-normaliser is 0, and end at log p*(v) (Neal 2001; Wu, Burda, Salakhutdinov &
Grosse 2017, section 4). Several chains stand for each row, those of a row next to each other. q is the mean field of a
Boltzmann machine, and the recognition model of a Helmholtz machine, whose paths are in scans.py (binary hidden layers)
and hmc.py (Gaussian ones).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import numbers
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.rng import Key
from boltz.sampling.annealing import Chains, Place
from boltz.sampling.inputs import Scratch, layer_input, turned_weights
from boltz.sampling.layers import Draw, draw_layer
from boltz.sampling.meanfield import MeanField, solve
from boltz.sampling.recognition import draw, encode, streams
from boltz.units.states import inside

Array = NDArray[Any]
Floats = NDArray[np.float64]
LEAST_MEAN = 1e-7
SOLVE = MeanField(tolerance=0.0, sweeps=100)  # what a row gets must not depend on when others have settled


@dataclass(frozen=True, eq=False)
class MeanFieldPath:
    """Block Gibbs on the hidden layers that graph.hidden_sides draws, the others summed out.

    It is reversible where drawn units are independent given the rest; else its reversal draws them in the opposite
    order. start (layer -> (chains, units)) are the fields of q, change those that v and the biases send less those of
    q, and constant (chains,) the derivative by beta of what does not depend on h. first is the number of the first
    chain.
    """

    machine: BoltzmannMachine
    start: dict[str, Array]
    change: dict[str, Array]
    constant: Floats
    first: int = 0
    backwards: bool = False
    scratch: dict[int, Scratch] = field(default_factory=dict)

    @cached_property
    def held(self) -> tuple[str, ...]:
        """The layers that are chain state."""
        return self.machine.graph.hidden_sides[0]

    @cached_property
    def summed(self) -> tuple[str, ...]:
        """The other hidden layers."""
        return self.machine.graph.hidden_sides[1]

    @cached_property
    def turned(self) -> dict[str, Array]:
        """Transposed weights."""
        return turned_weights(self.machine)

    @cached_property
    def start_constant(self) -> Floats:
        """log-partition (chains,) of q."""
        return sum(
            (self.machine.unit_type(n).total_log_partition(a) for n, a in self.start.items()), start=0 * self.constant
        )

    def sample_start(self, key: Key) -> Chains:
        """Exact draws of q; the summed layers are left at zero until drawn."""
        state = {layer: np.zeros_like(self.start[layer]) for layer in (*self.held, *self.summed)}
        for layer in self.held:
            inputs, bias = self.start[layer].copy(), np.zeros_like(self.machine.bias(layer))
            stream = key.derive("start", layer).stream(0)
            self.machine.unit_type(layer).sample(inputs, 1.0, bias, stream, self.first, state[layer])
        return state

    def log_density(self, state: Chains, beta: float, first: int) -> Floats:
        part = slice(first, first + len(state[self.held[0]]))
        total = beta * self.constant[part] - (1 - beta) * self.start_constant[part]
        total -= beta * self.machine.coupling_energy(state, self.held)
        for layer in self.held:
            tilted = self.start[layer][part] + beta * self.change[layer][part]
            total += np.einsum("ij,ij->i", state[layer], tilted, dtype=np.float64)
            total -= self.machine.unit_type(layer).base_energy(state[layer])
        for layer in self.summed:
            inputs = self._slope(layer, state, part, Scratch(self.machine.arena))
            total += self.machine.unit_type(layer).total_log_partition(self.start[layer][part] + beta * inputs)
        return total

    def step(self, state: Chains, betas: tuple[float, float], place: Place, log_weights: Floats) -> None:
        """The fields that weigh the summed layers are also those that they are drawn from."""
        part = slice(place.first, place.first + len(log_weights))
        scratch = self.scratch.setdefault(place.first, Scratch(self.machine.arena))
        linear = self.constant[part] + self.start_constant[part]
        linear = linear - self.machine.coupling_energy(state, self.held)
        for layer in self.held:
            linear = linear + np.einsum("ij,ij->i", state[layer], self.change[layer][part], dtype=np.float64)
        log_weights += (betas[1] - betas[0]) * linear
        for layer in (*self.summed, *(self.held[::-1] if self.backwards else self.held)):
            kind, stream = self.machine.unit_type(layer), place.key.derive("anneal", layer).stream(place.step)
            if layer in self.machine.graph.within:
                fields = _tilted(self.start[layer][part], self.change[layer][part], betas[1], 0 * state[layer])
                how = Draw(stream, self.first + place.first, scratch, self.turned, self.backwards)
                draw_layer(self.machine, layer, state, betas[1], fields, how)
                continue
            inputs = self._slope(layer, state, part, scratch)
            found = scratch.get("field", layer, inputs.shape)
            if layer in self.summed:
                log_weights -= kind.total_log_partition(_tilted(self.start[layer][part], inputs, betas[0], found))
            _tilted(self.start[layer][part], inputs, betas[1], found)
            if layer in self.summed:
                log_weights += kind.total_log_partition(found)
            bias = np.zeros_like(self.machine.bias(layer))
            kind.sample(found, 1.0, bias, stream, self.first + place.first, state[layer])

    def _slope(self, layer: str, state: Chains, part: slice, scratch: Scratch) -> Array:
        """Derivative (chains, units) of a layer's field by beta, given the hidden layers around it."""
        inputs = layer_input(self.machine, layer, state, scratch, self.turned)
        inputs += self.change[layer][part]
        return inputs

    def reversed(self) -> MeanFieldPath:
        return replace(self, backwards=not self.backwards)


def _tilted(start: Array, slope: Array, beta: float, out: Array) -> Array:
    """out := start + beta slope."""
    np.multiply(slope, slope.dtype.type(beta), out=out)
    out += start
    return out


def mean_field_path(machine: BoltzmannMachine, rows: Array, chains: int, first: int) -> MeanFieldPath:
    """The path of visible rows (rows, units), so many chains each, the first row being number first."""
    v = machine.evidence(rows)
    means = solve(machine, v, SOLVE, Scratch(machine.arena))
    start, change = {}, {}
    for layer, mean in means.items():
        kind = machine.unit_type(layer)
        kept = inside(kind, mean.astype(np.float64), LEAST_MEAN)  # q gives every state a chance
        natural = kind.natural(kept).astype(machine.dtype)
        start[layer] = np.repeat(natural, chains, axis=0)
        change[layer] = np.repeat(machine.field(layer, v) - natural, chains, axis=0)
    constant = -machine.marginal_energy(v, ())
    return MeanFieldPath(machine, start, change, np.repeat(constant, chains), first * chains)


def recognised(machine: HelmholtzMachine, rows: Array, chains: int, first: int, key: Key) -> tuple[Array, Chains]:
    """Outputs (rows, outputs) of the lowest recognition net without their bias, and exact draws of q, so many a row."""
    part = Part(Tape(machine.arena), slice(0, len(rows)), len(rows))
    part.get(f"state/{machine.visible}", rows.shape[1])[...] = rows
    encoded, _ = encode(machine, part)
    encoded = encoded.copy()  # the draws below are scored in its place
    chain = numbers(first * chains, (first + len(rows)) * chains, rows)
    found = draw(machine, part, encoded, chains, streams(machine, key.derive("start"), 0), chain)
    return encoded, {layer.name: found.state(layer.name).copy() for layer in machine.structure.latent}
