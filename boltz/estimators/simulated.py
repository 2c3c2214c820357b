"""Independent exact draws of all layers of a machine, v included, for the sandwich of its posterior annealing."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from boltz.arrays import beside
from boltz.estimators.exact import drawn_class
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.parallel import alone, blocks, workers
from boltz.rng import Key
from boltz.sampling.ancestral import descend, drawn
from boltz.sampling.annealing import Chains
from boltz.sampling.gibbs import GibbsSweep, Scratch

Array = NDArray[Any]


def from_helmholtz(model: HelmholtzMachine, rows: int, key: Key) -> Chains:
    """States of all layers, layer -> (rows, units): from the prior, an RBM being enumerated, and downwards."""
    if model.prior_machine is None:
        return drawn(model, rows, key.key0)
    tape, top = Tape(model.arena), model.structure.latent[-1]
    state = {layer.name: tape.get(f"state/{layer.name}", rows, layer.units) for layer in model.layers[:-1]}
    state[top.name][...] = from_boltzmann(model.prior_machine, rows, key)["v"]
    with workers(model.arena) as pool:
        pool.map(lambda part: descend(model, Part(tape, part, rows), key, 0), blocks(rows, like=model.arena))
    return state


def from_boltzmann(machine: BoltzmannMachine, rows: int, key: Key) -> Chains:
    """States of all layers, layer -> (rows, units): one colour class by enumeration, the other given it."""
    drawn = {n: beside(x, machine.arena) for n, x in drawn_class(machine, rows, key.key0).items()}
    state = {n: drawn.get(n, machine.zeros(rows, n)) for n in machine.graph.units}
    sweep, scratch = GibbsSweep(machine, key), Scratch(machine.arena)
    for layer in (n for n in machine.graph.units if n not in drawn):
        alone(lambda layer=layer: sweep.update(layer, state, 0, 0, scratch))  # type: ignore[misc]
    return state
