"""Means of the visible units given hidden layers: what pictures of samples show, and what latent values mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError, NumericalError
from boltz.models.boltzmann import State
from boltz.models.files import Model, checked_machine, outside
from boltz.parallel import padded, shares, workers
from boltz.sampling.drawing import drawing_of
from boltz.sampling.features import Layer, feature_layers

Array = NDArray[Any]


def decode(model: Model, z: Any, layer: Layer = "top") -> Array:
    """Means (rows, visible units) of the visible units given values z (rows, units) of a hidden layer.

    layer: "top", the name of a hidden layer, or its number, from 1 for the lowest. z holds states or means: any numbers
    for Gaussian units, numbers in [0, 1] for binary ones. The result is the exact conditional mean where the visible
    units hear that layer alone. From a higher one a Helmholtz machine is passed down, each layer at its means given the
    one above; a Boltzmann machine has its other layers at mean-field means, after 25 sweeps (Salakhutdinov & Hinton
    2009, section 2.2). Gaussian visible units are in the units of the data. Raises InputError, and NumericalError for
    an overflow.
    """
    model = checked_machine(model, any_units=True)
    if isinstance(layer, str) and layer == "all":
        raise InputError("layer must be one hidden layer, got all.")
    name = feature_layers(model, layer)[0]
    values = checks.real_rows(z, "z", model.units[name], model.dtype, model.arena)
    binary = any(each.name == name and each.binary for each in model.layers)
    if binary and not ((values >= 0) & (values <= 1)).all():
        raise InputError(f"z must hold numbers in [0, 1], since layer {name} has binary units.")
    return decoded(model, name, values)


def decoded(model: Model, layer: str, values: Array) -> Array:
    """As decode, of checked values (rows, units) of a layer where the model lives; a row does not depend on others."""
    return _in_blocks(model, {layer: values}, drawing_of(model).decoded)


def means_of(model: Model, state: State) -> Array:
    """Visible means (rows, units) in the units of the data given states of all layers, as a numpy array."""
    return _in_blocks(model, state, visible_means)


def _in_blocks(model: Model, above: State, means: Callable[[Model, State], Array]) -> Array:
    """What means makes of states of hidden layers, block by block, in the units of the data."""
    rows, above = len(next(iter(above.values()))), {layer: padded(x) for layer, x in above.items()}
    out = np.empty_like(model.arena, shape=(len(next(iter(above.values()))), model.columns))

    def work(block: slice) -> None:
        out[block] = means(model, {layer: x[block] for layer, x in above.items()})

    with workers(model.arena) as pool:
        pool.map(work, shares(len(out), model.arena))
    found = host(outside(model, out[:rows]))
    if not np.isfinite(found).all():
        raise NumericalError("The means of the visible units are not finite: the weights are too large for their type.")
    return found


def visible_means(model: Model, state: State) -> Array:
    """Means (rows, units) of the visible units, in the machine's own units, of one block of states where it lives.

    state holds all that the visible units hear, and may hold these, whose documents the means are then as long as. For
    a Helmholtz machine the lowest hidden layer in state counts.
    """
    return drawing_of(model).visible_means(model, state)
