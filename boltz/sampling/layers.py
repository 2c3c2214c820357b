"""Draw one layer given all that it hears: at once where its units are independent, else unit by unit, in place."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.kernels.cpu.sites import site_sweep, sparse_sweep
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge
from boltz.parallel import ALONE, Workers
from boltz.rng import Stream
from boltz.sampling.inputs import Scratch, layer_input
from boltz.units import Units
from boltz.units.states import two_states

Array = NDArray[Any]
LEAST_PART = 1 << 14  # units that are worth a thread of their own


def draw_layer(
    machine: BoltzmannMachine,
    layer: str,
    state: dict[str, Array],
    field: tuple[float, Array],
    drawn: tuple[Stream, int],
    scratch: Scratch,
    turned: Mapping[Any, Any] | None = None,
    backwards: bool = False,
    pool: Workers = ALONE,
) -> Array:
    """Draw a layer of a state at inverse temperature and biases of a field, in place; returns its means, or its draw
    where its units are coupled to each other.

    drawn: the random stream, and the number of the first row. Units that are coupled to each other are drawn one after
    the other, each given the others as they are then, in the opposite order backwards; so a sweep leaves their
    distribution as it is without being independent of what it began with.
    """
    inputs = layer_input(machine, layer, state, scratch, turned)
    scale, bias = field
    edge = machine.graph.within.get(layer)
    kind = machine.unit_type(layer)
    if edge is None:
        kind.sample(inputs, scale, bias, *drawn, state[layer])
        return inputs
    states = kind.columns if kind.columns > 1 else two_states(kind)
    own = (turned or {}).get(edge.key)
    weight = machine.matrix(edge.key) if own is None else own
    inputs *= inputs.dtype.type(scale)
    inputs += bias
    if edge.pairs is None:
        inputs += inputs.dtype.type(scale) * (state[layer] @ weight)
        site_sweep(inputs, weight, scale, states, *drawn, state[layer], backwards)
    else:
        _coloured_sweep(edge, weight, (inputs, scale), (kind, states), drawn, state[layer], (backwards, pool))
    return state[layer]


def _coloured_sweep(
    edge: Edge,
    weight: Any,
    field: tuple[Array, float],
    units: tuple[Units, Any],
    drawn: tuple[Stream, int],
    state: Array,
    how: tuple[bool, Workers],
) -> None:
    """Draw the units colour by colour; the threads of a pool share those of one colour."""
    assert edge.pairs is not None
    (inputs, scale), (kind, states), (stream, first), (backwards, pool) = field, units, drawn, how
    order, parts = edge.pairs.colouring(state.shape[1] // kind.columns, kind.columns)
    couplings = order, weight.indptr, weight.indices, weight.data
    for start, stop in parts[::-1] if backwards else parts:
        cuts = max(1, min(pool.count, (stop - start) * len(state) // LEAST_PART))
        ends = np.linspace(start, stop, cuts + 1).astype(int).tolist()
        pool.map(
            lambda part: sparse_sweep(inputs, couplings, part, scale, states, stream, first, state),
            list(pairwise(ends)),
        )
