"""What sweeps work with: buffers, weights laid out for quick products, the input of a layer, and uniform numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse

import boltz.kernels as kernels
from boltz import arrays
from boltz.kernels.cpu.sites import Couplings
from boltz.kernels.cuda.split import split
from boltz.models.boltzmann import BoltzmannMachine, State
from boltz.models.graph import Edge
from boltz.rng import Stream

Array = NDArray[Any]


def uniforms(stream: Stream, first: int, chains: int) -> NDArray[np.float64]:
    """One number in (0, 1) for each of the chains first, first + 1, ..., (chains,), on the host."""
    bits = np.empty((chains, 1), np.uint32)
    kernels.philox(stream, first, bits)
    return np.asarray((bits[:, 0] + 0.5) / 2.0**32)


@dataclass
class Scratch:
    """Reused buffers (rows, units) by purpose and layer, of like's type and where it lives, so that sweeps allocate
    nothing.

    turned may hold turned_weights of the machine that is at work; inputs from above are then found by these.
    """

    like: Array
    held: dict[tuple[str, str], Array] = field(default_factory=dict)
    turned: Mapping[Any, Any] = field(default_factory=dict)

    def get(self, purpose: str, layer: str, shape: tuple[int, int]) -> Array:
        """A C-contiguous buffer of this shape; its contents are left over from the last use."""
        buffer = self.held.get((purpose, layer))
        if buffer is None or buffer.shape[0] < shape[0] or buffer.shape[1] != shape[1]:
            buffer = self.held[purpose, layer] = np.empty_like(self.like, shape=shape)
        return buffer[: shape[0]]


def turned_weights(machine: BoltzmannMachine) -> dict[Any, Any]:
    """What makes products with states of 0 and 1 quick, by name: worth making where many products use one machine.

    C-contiguous transposes of the weights; on a device, in float32, the weights split for tensor cores, both ways. What
    a layer of other units sends is left to plain products there.
    """
    if machine.graph.sparse:
        return _turned_sparse(machine)
    weights = {edge.key: machine.params[edge.key] for edge in machine.graph.edges if not edge.within}
    if not arrays.on_device(machine.arena):
        return {key: _turned(weight) for key, weight in weights.items()}
    if machine.dtype != np.float32:
        return {}
    found: dict[Any, Any] = {}
    for edge in machine.graph.edges:
        up, down = split(weights[edge.key])
        found |= {("up", edge.key): up} if machine.unit_type(edge.lower).binary else {}
        found |= {edge.key: down} if machine.unit_type(edge.upper).binary else {}
    return found


def _turned_sparse(machine: BoltzmannMachine) -> dict[Any, Any]:
    """The same of a machine with sparse couplings: those within a layer as sweeps read them."""
    found: dict[Any, Any] = {}
    for edge in machine.graph.edges:
        if edge.within and edge.pairs is not None:
            found |= {edge.key: couplings_of(machine, edge)}
            continue
        matrix = machine.matrix(edge.key)
        if edge.within:
            found |= {edge.key: matrix}
        elif edge.pairs is None:
            found |= {edge.key: _turned(matrix), ("up", edge.key): matrix}
        else:
            found |= {edge.key: matrix.T.tocsr(), ("up", edge.key): matrix}
    return found


def couplings_of(machine: BoltzmannMachine, edge: Edge) -> Couplings:
    """Sparse couplings within a layer as sweeps read them."""
    assert edge.pairs is not None
    columns = machine.unit_type(edge.lower).columns
    return edge.pairs.couplings(machine.params[edge.key], machine.units[edge.lower] // columns, columns)


def _turned(weight: Array) -> Array:
    out = np.empty_like(weight, shape=weight.shape[::-1], order="C")
    kernels.turn(weight, out)
    return out


def layer_input(
    machine: BoltzmannMachine, layer: str, state: State, scratch: Scratch, turned: Mapping[Any, Any] | None = None
) -> Array:
    """The input of a layer from the other layers present in state, without bias, in a reused buffer.

    turned, or else that of scratch, may hold turned_weights.
    """
    turned = turned or scratch.turned
    rows = len(next(iter(state.values())))
    shape = (rows, machine.graph.units[layer])
    out = scratch.get("input", layer, shape)
    empty = True
    for key, other, is_lower in machine.graph.neighbours[layer]:
        if other in state:
            weight = machine.matrix(key) if not turned else machine.params[key]
            if is_lower:
                weight = turned.get(key, weight.T)
            elif turned:
                weight = turned.get(("up", key), weight)
            product = out if empty else scratch.get("term", layer, shape)
            if isinstance(weight, np.ndarray) or not issparse(weight):
                kernels.product(state[other], weight, product)
            else:
                product[...] = state[other] @ weight
            if not empty:
                out += product
            empty = False
    if empty:
        out[...] = 0
    return out
