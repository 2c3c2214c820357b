"""Passes through the nets of a Helmholtz machine, upwards by recognition and downwards by generation, with means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import numbers
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import forward
from boltz.parallel import blocks, shares, workers
from boltz.rng import Key
from boltz.sampling.evidence import Evidence
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import FIXED, solve
from boltz.sampling.recognition import streams

Array = NDArray[Any]
MEAN_SWEEPS = 50


def layer_means(machine: HelmholtzMachine, net: str, layer: str, source: str, part: Part) -> Array:
    """Means (rows, units) of a layer by its "recognition" or "generative" net, given the states of the layer source."""
    head, name = getattr(machine.structure, net)[layer], f"{net}/{layer}"
    outputs, _ = forward(head, name, machine.params, f"state/{source}", part)
    return machine.conditionals[layer].mean(outputs, head.bias(name, machine.params))


def up_and_down(machine: HelmholtzMachine, evidence: Evidence) -> Array:
    """The visible rows after many passes, from hidden units at 0 on."""
    visible, hidden, found = machine.visible, machine.structure.latent[0].name, evidence.rows.copy()

    def work(block: slice) -> None:
        known, part = evidence.part(block), Tape(machine.arena).whole(len(found[block]))
        below, above = (part.get(f"state/{layer}", machine.units[layer]) for layer in (visible, hidden))
        above[...] = 0
        for _ in range(MEAN_SWEEPS):
            below[...] = layer_means(machine, "generative", visible, hidden, part)
            known.restore(below)
            above[...] = layer_means(machine, "recognition", hidden, visible, part)
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
        values = layer_means(machine, "generative", below, above, part)
    return values


def recognised_means(machine: HelmholtzMachine, rows: Array) -> dict[str, Array]:
    """The up pass with means in the place of samples; the top layer of an RBM prior hears the layer below it."""
    part, source = Tape(machine.arena).whole(len(rows)), machine.visible
    part.get(f"state/{source}", rows.shape[1])[...] = rows
    means: dict[str, Array] = {}
    for layer in machine.structure.latent:
        means[layer.name] = layer_means(machine, "recognition", layer.name, source, part)
        source = layer.name
        part.get(f"state/{source}", layer.units)[...] = means[source]
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
        part, source = Part(tape, rows, len(x)), f"state/{machine.visible}"
        for layer in machine.structure.latent:
            net, name = machine.structure.recognition[layer.name], f"recognition/{layer.name}"
            field, _ = forward(net, name, machine.params, source, part)
            head, conditional = (field, net.bias(name, machine.params)), machine.conditionals[layer.name]
            means[layer.name][rows] = conditional.mean(*head)
            source = f"state/{layer.name}"
            state, offset = (part.get(kind, layer.units) for kind in (source, f"offset/{layer.name}"))
            conditional.sample(head, drawn[layer.name], numbers(rows.start, rows.stop, x), state, offset)

    with workers(x) as pool:
        pool.map(work, blocks(len(x), like=x))
    return means
