"""The gradient of a machine whose graph is not layered, from states of all layers, edge by edge.

The derivative of log p by a coupling is <x y> under the posterior minus <x y> under the model, of centred states the
same with x - mu and y - nu (Montavon & Mueller 2012); that of biases then takes off what couplings do about the offsets
(Melchior, Fischer & Wiskott 2016, section 3). A coupling within a layer counts once, so that its derivative by W_ij,
which equals W_ji, is that of the pair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge, bias_key, own_key
from boltz.units import units_of

Array = NDArray[Any]


def contract(
    machine: BoltzmannMachine,
    stats: Mapping[str, Array],
    signs: Array,
    offsets: Mapping[str, Array],
    gradient: Mapping[str, Array],
) -> None:
    """Put signed sums over rows into a gradient, in place.

    stats: states or means (rows, units) of all layers, first those of the data, then those of the chains, and the
    statistics of what units have beside a bias, by the names of these parameters; signs (rows,): the share of each row,
    less than 0 for chains; offsets: by layer, (units,), none where states are not centred.
    """
    for layer, shapes in machine.graph.own_shapes.items():
        gradient[bias_key(layer)][...] = signs @ stats[layer]
        for name in shapes:
            gradient[own_key(layer, name)][...] = signs @ stats[own_key(layer, name)]
    centred = {n: stats[n] - offsets[n] if offsets else stats[n] for n in machine.graph.units}
    for edge in machine.graph.edges:
        lower, upper = centred[edge.lower], centred[edge.upper] * signs[:, None]
        found = _of_edge(machine, edge, lower, upper)
        gradient[edge.key][...] = found
        if offsets:
            whole = found if edge.pairs is None else edge.pairs.matrix(found, _shape(machine, edge), edge.within)
            gradient[bias_key(edge.lower)][...] -= whole @ offsets[edge.upper]
            if not edge.within:
                gradient[bias_key(edge.upper)][...] -= whole.T @ offsets[edge.lower]


def _shape(machine: BoltzmannMachine, edge: Edge) -> tuple[int, int]:
    return machine.units[edge.lower], machine.units[edge.upper]


def _of_edge(machine: BoltzmannMachine, edge: Edge, lower: Array, upper: Array) -> Array:
    """The sum over rows of lower (rows, units) times upper (rows, units), as the weights of the edge lie."""
    if edge.pairs is not None:
        return np.asarray(np.einsum("ik,ik->k", lower[:, edge.pairs.rows], upper[:, edge.pairs.columns]))
    found = lower.T @ upper
    if not edge.within:
        return np.asarray(found)
    found = (found + found.T) / 2  # the same bits on both sides of the diagonal
    columns = units_of(machine.graph.kinds[edge.lower]).columns
    blocks = found.reshape(len(found) // columns, columns, -1, columns)
    places = np.arange(len(blocks))
    blocks[places, :, places, :] = 0
    return np.asarray(found)
