"""Gibbs chains that are watched: scalars of the state at every sweep, and the mean activity of every unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.errors import NumericalError
from boltz.models.boltzmann import BoltzmannMachine, State
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.gibbs import GibbsSweep
from boltz.sampling.inputs import Scratch, layer_input, turned_weights

Array = NDArray[Any]
Floats = NDArray[np.float64]
PROJECTIONS = 3
STATISTICS = ("free energy", *(f"projection {i + 1}" for i in range(PROJECTIONS)))


@dataclass(frozen=True, eq=False)
class Recording:
    """What was seen of chains.

    statistics (statistics, chains, sweeps): free energy of the held layers (nats), and means of the visible units along
    fixed random directions; changes (chains, sweeps): how many held units changed; activity: means of the units of each
    layer over the later half of the sweeps, layer -> (chains, units); state: the last states, (chains, units). Where
    units are coupled within a layer, their draws stand for their means.
    """

    statistics: Floats
    changes: NDArray[np.int64]
    activity: Mapping[str, Floats]
    state: Mapping[str, Array]


def record(machine: BoltzmannMachine, start: State, sweeps: int, key: Key) -> Recording:
    """Run chains from the held layers of start (chains, units), graph.sides[0], and record them at every sweep.

    These are drawn last, in turn; the other side is summed out in the free energy. Results do not depend on the number
    of threads, and are numpy arrays. Raises NumericalError for an overflow.
    """
    units, chains, held = machine.graph.units, len(next(iter(start.values()))), machine.graph.sides[0]
    state = {n: machine.zeros(chains, n) for n in units}
    for layer in held:
        state[layer][...] = beside(start[layer], machine.arena)
    found = _empty(machine, state, sweeps)
    transition = GibbsSweep(machine, key, flipped=True, turned=turned_weights(machine))
    along = {n: beside(x, machine.arena) for n, x in _directions(machine, key).items()}

    def run(block: slice) -> None:
        scratch, mine = Scratch(machine.arena), {layer: x[block] for layer, x in state.items()}
        for step in range(sweeps):
            before = {layer: mine[layer].copy() for layer in held}
            free, means = _sweep(transition, mine, step, block.start, scratch)
            found.statistics[0, block, step] = free
            found.statistics[1:, block, step] = sum(along[view] @ means[view].T for view in along)
            for layer, x in before.items():
                found.changes[block, step] += np.count_nonzero(x != mine[layer], axis=1)
            if step >= sweeps // 2:
                for layer, mean in means.items():
                    found.activity[layer][block] += mean

    with workers(machine.arena) as pool:
        pool.map(run, blocks(chains, like=machine.arena))
    for total in found.activity.values():
        total /= sweeps - sweeps // 2
    if not np.isfinite(found.statistics).all():
        raise NumericalError("The states of the chains are not finite: the weights are too large for their type.")
    here = [{layer: host(x) for layer, x in part.items()} for part in (found.activity, state)]
    return Recording(host(found.statistics), host(found.changes), *here)


def _empty(machine: BoltzmannMachine, state: dict[str, Array], sweeps: int) -> Recording:
    """Room for a recording of chains in this state, where the machine lives."""
    like, chains = machine.arena, len(next(iter(state.values())))
    return Recording(
        np.empty_like(like, shape=(len(STATISTICS), chains, sweeps), dtype=np.float64),
        np.zeros_like(like, shape=(chains, sweeps), dtype=np.int64),
        {n: np.zeros_like(x, dtype=np.float64) for n, x in state.items()},
        state,
    )


def _sweep(
    transition: GibbsSweep, state: dict[str, Array], step: int, first_row: int, scratch: Scratch
) -> tuple[Floats, dict[str, Array]]:
    """One sweep in place: the free energy (chains,) of the held layers before it, and the means of all layers.

    The input that the summed layers are drawn from gives the free energy as well, at no further product.
    """
    machine, means = transition.machine, {}
    held, summed = machine.graph.sides
    free = machine.coupling_energy({n: state[n] for n in held}, held)
    for layer in held:
        x = state[layer]
        free += machine.unit_type(layer).base_energy(x) - np.einsum("ij,j->i", x, machine.bias(layer), dtype=np.float64)
    for layer in summed:
        inputs, bias = layer_input(machine, layer, state, scratch, transition.turned), machine.bias(layer)
        free -= machine.unit_type(layer).total_log_partition(inputs + bias)
        stream = transition.stream(layer, step)
        machine.unit_type(layer).sample(inputs, 1.0, bias, stream, first_row, state[layer])
        means[layer] = inputs
    for layer in held:
        means[layer] = transition.update(layer, state, step, first_row, scratch)
    return free, means


def _directions(machine: BoltzmannMachine, key: Key) -> dict[str, Floats]:
    """Random directions (projections, units) of length about 1, for each visible layer."""
    key = key.derive("directions")
    generator, units = key.generator(), machine.graph.units
    return {n: generator.normal(0, units[n] ** -0.5, (PROJECTIONS, units[n])) for n in machine.graph.views}
