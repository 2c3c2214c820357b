"""Unknown visible units, marked by NaN, at what a machine expects of them; nothing is drawn, and rows stand alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.nn.dense import forward
from boltz.sampling.completing import posterior
from boltz.sampling.evidence import Evidence
from boltz.sampling.features import FEWEST, side_by_side

Array = NDArray[Any]
SWEEPS = 50


def filled(model: Model, rows: Array) -> Array:
    """Rows (rows, units) with their unknown units at means given the known ones.

    Those of a Boltzmann machine are the mean-field fixed point of unknown and hidden units; a Helmholtz machine goes up
    by the means of its recognition model and down again by those of its generative model, many times.
    """
    lacking = np.isnan(rows).any(axis=1)
    if not lacking.any():
        return rows
    some, count = rows[lacking], int(lacking.sum())
    if count < FEWEST:  # so that no row depends on how many there are
        some = np.concatenate([some, np.zeros_like(some, shape=(FEWEST - count, some.shape[1]))])
    known = ~np.isnan(some)
    evidence = Evidence(np.where(known, some, some.dtype.type(0)), known)
    found = rows.copy()
    if isinstance(model, BoltzmannMachine):
        found[lacking] = posterior(model, evidence)[model.visible][:count]
    else:
        found[lacking] = _up_and_down(model, evidence)[:count]
    return found


def _up_and_down(machine: HelmholtzMachine, evidence: Evidence) -> Array:
    """The visible rows after many passes, from hidden units at 0 on."""
    lowest = machine.structure.latent[0]
    hidden = np.zeros_like(evidence.rows, shape=(len(evidence), lowest.units))
    for _ in range(SWEEPS):
        visible = _visible_means(machine, hidden)
        evidence.restore(visible)
        hidden = side_by_side(machine, visible, [lowest.name])
    return visible


def _visible_means(machine: HelmholtzMachine, hidden: Array) -> Array:
    """Means (rows, units) of the visible units given the lowest hidden layer (rows, units)."""
    name, source = f"generative/{machine.visible}", f"state/{machine.structure.latent[0].name}"
    part, net = Tape(machine.arena).whole(len(hidden)), machine.structure.generative[machine.visible]
    part.get(source, hidden.shape[1])[...] = hidden
    outputs, _ = forward(net, name, machine.params, source, part)
    return machine.conditionals[machine.visible].mean(outputs, net.bias(name, machine.params))
