"""Draw one layer given all that it hears: at once where its units are independent, else unit by unit, in place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.kernels.cpu.sites import site_sweep, sparse_sweep
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge
from boltz.parallel import ALONE, Workers
from boltz.rng import Stream
from boltz.sampling.inputs import Scratch, couplings_of, layer_input
from boltz.units.states import two_states

Array = NDArray[Any]
LEAST_PART = 1 << 14  # units that are worth a thread of their own


@dataclass(frozen=True)
class Draw:
    """How a layer is drawn: the random stream, the number of the first row, and the buffers to work with.

    turned may hold turned_weights of the machine. Units that are coupled to each other are drawn in the opposite order
    backwards, and threads of the pool share the work on many of them.
    """

    stream: Stream
    first_row: int
    scratch: Scratch
    turned: Mapping[Any, Any] | None = None
    backwards: bool = False
    pool: Workers = ALONE


def draw_layer(
    machine: BoltzmannMachine, layer: str, state: dict[str, Array], scale: float, bias: Array, how: Draw
) -> Array:
    """Draw a layer of a state given the rest at an inverse temperature and biases, in place; returns its means, or its
    draw where its units are coupled to each other.

    Such units are drawn one after the other, each given the others as they are then: this leaves their distribution as
    it is, but the draw depends on what was there before.
    """
    edge, kind = machine.graph.within.get(layer), machine.unit_type(layer)
    if edge is not None and edge.pairs is not None:
        return _draw_sparse(machine, edge, state, scale, bias, how)
    inputs = layer_input(machine, layer, state, how.scratch, how.turned)
    if edge is None:
        kind.sample(inputs, scale, bias, how.stream, how.first_row, state[layer])
        return inputs
    states = kind.columns if kind.columns > 1 else two_states(kind)
    weight = machine.params[edge.key]
    inputs *= inputs.dtype.type(scale)
    inputs += bias
    inputs += inputs.dtype.type(scale) * (state[layer] @ weight)
    site_sweep(inputs, weight, scale, states, how.stream, how.first_row, state[layer], how.backwards)
    return state[layer]


def _draw_sparse(
    machine: BoltzmannMachine, edge: Edge, state: dict[str, Array], scale: float, bias: Array, how: Draw
) -> Array:
    """The same of a layer with sparse couplings, colour by colour."""
    layer, inputs = edge.lower, np.atleast_2d(bias)
    assert edge.pairs is not None
    if machine.graph.neighbours[layer]:
        inputs = layer_input(machine, layer, state, how.scratch, how.turned)
        inputs *= inputs.dtype.type(scale)
        inputs += bias
    kind, couplings = machine.unit_type(layer), (how.turned or {}).get(edge.key)
    couplings = couplings_of(machine, edge) if couplings is None else couplings
    states = kind.columns if kind.columns > 1 else two_states(kind)
    parts = edge.pairs.colouring(machine.units[layer] // kind.columns, kind.columns).parts

    def sweep(part: tuple[int, int]) -> None:
        sparse_sweep(inputs, couplings, part, scale, states, how.stream, how.first_row, state[layer])

    for start, stop in parts[::-1] if how.backwards else parts:
        cuts = max(1, min(how.pool.count, (stop - start) * len(state[layer]) // LEAST_PART))
        how.pool.map(sweep, list(pairwise(np.linspace(start, stop, cuts + 1).astype(int).tolist())))
    return state[layer]
