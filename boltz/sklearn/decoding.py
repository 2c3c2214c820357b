"""Visible means given the means of a hidden layer, each row's the same whatever rows stand beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, outside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.parallel import padded, shares, workers
from boltz.sampling.completion import layer_means
from boltz.sampling.features import SWEEPS
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import solve

Array = NDArray[Any]


def decoded(model: Model, layer: str, means: Array) -> Array:
    """Visible means (rows, units), in the units of the data, given those (rows, units) of a hidden layer.

    Exact for the lowest layer. From a higher one it is the mean field of all other layers in a Boltzmann machine, and
    the means of each layer given those of the layer above in a Helmholtz machine.
    """
    count, rows = len(means), padded(means)
    out = np.empty_like(rows, shape=(len(rows), model.layers[0].units))

    def work(block: slice) -> None:
        if isinstance(model, BoltzmannMachine):
            out[block] = solve(model, {layer: rows[block]}, SWEEPS, Scratch(model.arena))[model.visible]
        else:
            out[block] = _generated(model, layer, rows[block])

    with workers(rows) as pool:
        pool.map(work, shares(len(rows), rows))
    return outside(model, out[:count])


def _generated(machine: HelmholtzMachine, layer: str, means: Array) -> Array:
    """The pass down with means in the place of samples; the top layer of an RBM prior is heard by the layer below."""
    names, part = [each.name for each in machine.layers], Tape(machine.arena).whole(len(means))
    if machine.prior_machine is not None and layer == names[-1]:
        means, layer = solve(machine.prior_machine, {"h1": means}, SWEEPS, Scratch(machine.arena))["v"], names[-2]
    for number in range(names.index(layer), 0, -1):
        part.get(f"state/{names[number]}", machine.units[names[number]])[...] = means
        means = layer_means(machine, "generative", names[number - 1], names[number], part)
    return means
