"""Means of the visible units given hidden layers: what pictures of samples show, and what latent values mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError, NumericalError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, checked_machine, outside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape
from boltz.parallel import padded, shares, workers
from boltz.sampling.completion import layer_means
from boltz.sampling.features import Layer, feature_layers

Array = NDArray[Any]


def decode(model: Model, z: Any, layer: Layer = "top") -> Array:
    """Means (rows, visible units) of the visible units given values z (rows, units) of a hidden layer.

    layer: "top", the name of a hidden layer, or its number, from 1 for the lowest. z holds states or means: any numbers
    for Gaussian units, numbers in [0, 1] for binary ones. In a Helmholtz machine each layer below stands at its means
    given the one above. So the result is the exact conditional mean for the lowest hidden layer, and the usual pass
    downwards for the others. In a Boltzmann machine it is exact, and layer must be the only one that the visible units
    hear. Gaussian visible units are in the units of the data. Raises InputError, and NumericalError for an overflow.
    """
    model = checked_machine(model)
    if isinstance(layer, str) and layer == "all":
        raise InputError("layer must be one hidden layer, got all.")
    name = feature_layers(model, layer)[0]
    kinds = {each.name: each.kind for each in model.layers}
    if isinstance(model, BoltzmannMachine):
        heard = [other for _, other, _ in model.graph.neighbours[model.visible]]
        if heard != [name]:
            raise InputError(
                f"layer must be the only one that the visible units hear, {' and '.join(heard)} here, got {name}: "
                "boltz.sample(..., means=True) gives their means given all layers."
            )
    values = checks.real_rows(z, "z", model.units[name], model.dtype, model.arena)
    if kinds[name] == "bernoulli" and not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"z must hold numbers in [0, 1], since layer {name} has binary units.")
    return in_data_units(model, {name: values})


def in_data_units(model: Model, state: Mapping[str, Array]) -> Array:
    """Visible means (rows, units) in the units of the data given states of the layers above, as a numpy array.

    state holds all layers that the visible units of a Boltzmann machine hear, or one layer of a Helmholtz machine. A
    row does not depend on the others. Raises NumericalError.
    """
    rows, above = len(next(iter(state.values()))), {layer: padded(x) for layer, x in state.items()}
    out = np.empty_like(model.arena, shape=(len(next(iter(above.values()))), model.units[model.visible]))

    def work(block: slice) -> None:
        out[block] = visible_means(model, {layer: x[block] for layer, x in above.items()})

    with workers(model.arena) as pool:
        pool.map(work, shares(len(out), model.arena))
    found = host(outside(model, out[:rows]))
    if not np.isfinite(found).all():
        raise NumericalError("The means of the visible units are not finite: the weights are too large for their type.")
    return found


def visible_means(model: Model, state: Mapping[str, Array]) -> Array:
    """Means (rows, units) of the visible units, in the machine's own units, of one block of states where it lives.

    state holds all that the visible units hear. For a Helmholtz machine the lowest hidden layer in state counts.
    """
    if isinstance(model, BoltzmannMachine):
        return model.unit_type(model.visible).mean(model.field(model.visible, state))
    names = [layer.name for layer in model.layers]
    lowest = min((name for name in state if name != model.visible), key=names.index)
    return _passed_down(model, lowest, state[lowest])


def _passed_down(machine: HelmholtzMachine, layer: str, values: Array) -> Array:
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
