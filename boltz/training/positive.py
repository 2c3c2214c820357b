"""Positive phases: states of the hidden layers given a batch, whose products the likelihood gradient averages.

mean-field: means of a factorised posterior (Salakhutdinov & Hinton 2009, section 2.2). Its gradient is that of the
variational bound, which holds the layer above back: where both are uncertain, the bound loses in the second order of
the weights between them.

collapsed: the layers of one colour class are drawn, and the others enter by their exact means given the draw. With q
the mean field of the drawn class, the gradient is that of E_q[log p(v, drawn)] + H(q), a bound in which the other
layers are summed out exactly; it is never below that of mean field (Teh, Newman & Welling 2007, section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.gibbs import Scratch, layer_input
from boltz.sampling.meanfield import MeanField, solve

Array = NDArray[Any]
States = dict[str, Array]


@dataclass(frozen=True)
class Posterior:
    """How hidden states are found for a machine: mean field first, draws of a phase, and scales of doubled inputs."""

    machine: BoltzmannMachine
    options: MeanField
    draws: int
    scales: Mapping[str, float]

    def classes(self) -> tuple[list[str], list[str]]:
        """The hidden layers that hear the visible one, with others of their colour, and the rest."""
        first, second = self.machine.graph.colours
        return list(second), [layer for layer in first if layer != self.machine.visible]


def mean_field(of: Posterior, batch: Array, key: Key, step: Any, first_row: int, scratch: Scratch) -> States:
    """Means of all hidden layers at the fixed point, layer -> (rows, units)."""
    return solve(of.machine, {of.machine.visible: batch}, of.options, scratch, of.scales)


def collapsed(of: Posterior, batch: Array, key: Key, step: Any, first_row: int, scratch: Scratch) -> States:
    """A draw of one colour class, and the means of the other hidden layers given it, layer -> (rows, units).

    Of several draws each is made given the means that the one before it left, and the last one counts.
    """
    machine, (drawn, others) = of.machine, of.classes()
    found = mean_field(of, batch, key, step, first_row, scratch)
    if not others:
        return found
    for i in range(of.draws):
        around = {machine.visible: batch} | {layer: found[layer] for layer in others}
        for layer in drawn:
            inputs = layer_input(machine, layer, around, scratch)
            found[layer] = state = scratch.get("drawn", layer, inputs.shape)
            stream = key.derive("positive", layer).stream(step * of.draws + i)
            machine.unit_type(layer).sample(inputs, 1.0, machine.bias(layer), stream, first_row, state)
        for layer in others:
            inputs = layer_input(machine, layer, {name: found[name] for name in drawn}, scratch)
            machine.unit_type(layer).relax(inputs, 1.0, machine.bias(layer), 0.0, found[layer])
    return found


Phase = Callable[[Posterior, Array, Key, Any, int, Scratch], States]
PHASES: dict[str, Phase] = {"mean-field": mean_field, "collapsed": collapsed}
