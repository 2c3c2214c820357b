"""Passes through the nets of a Helmholtz machine, upwards by recognition and downwards by generation, with means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import numbers
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.factors import Place
from boltz.nn.labelled import Labelled
from boltz.parallel import blocks, shares, workers
from boltz.rng import Key
from boltz.sampling.evidence import Evidence
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import FIXED, solve
from boltz.sampling.recognition import streams

Array = NDArray[Any]
MEAN_SWEEPS = 50


def upper_means(machine: HelmholtzMachine, layer: str, part: Part) -> Array:
    """Means (rows, units) of a layer by its encoder, or the codes of a flow, given the states of the layer below."""
    encoder, place = machine.encoders[layer], machine.encoder_place(layer, part)
    return encoder.code(place, encoder.encode(place)[0])


def lower_means(machine: HelmholtzMachine, layer: str, above: str, part: Part) -> Array:
    """Means (rows, units) of a layer by its generative net, given the states of the layer above."""
    net, name, factor = machine.structure.generative[layer], f"generative/{layer}", machine.factors[layer]
    if isinstance(factor, Labelled):
        return factor.mean(Place(name, machine.params, part, f"state/{above}"))
    outputs, _ = net.forward(name, machine.params, f"state/{above}", part)
    return machine.conditionals[layer].mean(outputs, net.bias(name, machine.params))


def up_and_down(machine: HelmholtzMachine, evidence: Evidence) -> Array:
    """The visible rows after many passes, from hidden units at 0 on."""
    visible, hidden, found = machine.visible, machine.structure.latent[0].name, evidence.rows.copy()

    def work(block: slice) -> None:
        known, part = evidence.part(block), Tape(machine.arena).whole(len(found[block]))
        below, above = (part.get(f"state/{layer}", machine.units[layer]) for layer in (visible, hidden))
        above[...] = 0
        for _ in range(MEAN_SWEEPS):
            below[...] = lower_means(machine, visible, hidden, part)
            known.restore(below)
            above[...] = upper_means(machine, hidden, part)
        found[block] = below

    with workers(machine.arena) as pool:
        pool.map(work, shares(len(evidence), machine.arena))
    return found


def passed_down(machine: HelmholtzMachine, layer: str, values: Array) -> Array:
    """Visible means of a Helmholtz machine given values (rows, units) of a layer, by the means of those between."""
    names = [each.name for each in machine.layers]
    if machine.prior_machine is not None and layer == names[-1]:
        rbm = machine.prior_machine
        layer, values = names[-2], rbm.unit_type("v").mean(rbm.field("v", {"h1": values}))
    part = Tape(machine.arena).whole(len(values))
    for number in range(names.index(layer), 0, -1):
        above, below = names[number], names[number - 1]
        part.get(f"state/{above}", machine.units[above])[...] = values
        values = lower_means(machine, below, above, part)
    return values


def recognised_means(machine: HelmholtzMachine, rows: Array) -> dict[str, Array]:
    """The up pass with means in the place of samples; the top layer of an RBM prior hears the layer below it."""
    part, means = Tape(machine.arena).whole(len(rows)), dict[str, Array]()
    part.get(f"state/{machine.visible}", rows.shape[1])[...] = rows
    for layer in machine.structure.latent:
        means[layer.name] = upper_means(machine, layer.name, part)
        part.get(f"state/{layer.name}", layer.units)[...] = means[layer.name]
    if machine.prior_machine is not None:
        below, top = machine.layers[-2].name, machine.layers[-1].name
        means[top] = solve(machine.prior_machine, {"v": means[below]}, FIXED, Scratch(machine.arena))["h1"]
    return means


def means_above_draws(machine: HelmholtzMachine, x: Array, key: Key) -> dict[str, Array]:
    """Means (rows, units) of every drawn hidden layer given one draw of the layers below it."""
    tape, drawn = Tape(machine.arena), streams(machine, key, 0)
    tape.get(f"state/{machine.visible}", *x.shape)[...] = x
    means = {layer.name: np.empty_like(x, shape=(len(x), layer.units)) for layer in machine.structure.latent}

    def work(rows: slice) -> None:
        part, chains = Part(tape, rows, len(x)), numbers(rows.start, rows.stop, x)
        for layer, encoder in machine.encoders.items():
            place, state = machine.encoder_place(layer, part), part.get(f"state/{layer}", encoder.units)
            outputs, _ = encoder.encode(place)
            means[layer][rows] = encoder.code(place, outputs)
            encoder.draw(place, outputs, state, drawn[layer], chains)

    with workers(x) as pool:
        pool.map(work, blocks(len(x), like=x))
    return means
