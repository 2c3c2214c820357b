"""Unknown visible units at what a machine expects of them; nothing is drawn, and each row stands alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import forward
from boltz.sampling.completing import posterior
from boltz.sampling.driver import FEWEST, shares, workers
from boltz.sampling.evidence import Evidence

Array = NDArray[Any]
SWEEPS = 50


def filled(model: Model, evidence: Evidence) -> Array:
    """The rows (rows, units) of evidence with their unknown units at means given the known ones, where the model lives.

    Those of a Boltzmann machine are the mean-field fixed point of unknown and hidden units; a Helmholtz machine goes up
    by the means of its recognition model and down again by those of its generative model, many times.
    """
    lacking = ~np.all(evidence.known, axis=1)
    if not lacking.any():
        return evidence.rows
    some, found = Evidence(evidence.rows[lacking], evidence.known[lacking]), evidence.rows.copy()
    many = some.padded(FEWEST)
    means = posterior(model, many)[model.visible] if isinstance(model, BoltzmannMachine) else _up_and_down(model, many)
    found[lacking] = means[: len(some)]
    return found


def layer_means(machine: HelmholtzMachine, net: str, layer: str, source: str, part: Part) -> Array:
    """Means (rows, units) of a layer by its "recognition" or "generative" net, given the states of the layer source."""
    head, name = getattr(machine.structure, net)[layer], f"{net}/{layer}"
    outputs, _ = forward(head, name, machine.params, f"state/{source}", part)
    return machine.conditionals[layer].mean(outputs, head.bias(name, machine.params))


def _up_and_down(machine: HelmholtzMachine, evidence: Evidence) -> Array:
    """The visible rows after many passes, from hidden units at 0 on."""
    visible, hidden, found = machine.visible, machine.structure.latent[0].name, evidence.rows.copy()

    def work(block: slice) -> None:
        known, part = evidence.part(block), Tape(machine.arena).whole(len(found[block]))
        below, above = (part.get(f"state/{layer}", machine.units[layer]) for layer in (visible, hidden))
        above[...] = 0
        for _ in range(SWEEPS):
            below[...] = layer_means(machine, "generative", visible, hidden, part)
            known.restore(below)
            above[...] = layer_means(machine, "recognition", hidden, visible, part)
        found[block] = below

    with workers(machine.arena) as pool:
        pool.map(work, shares(len(evidence), machine.arena))
    return found
