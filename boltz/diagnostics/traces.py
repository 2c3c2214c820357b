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
from boltz.nn.arena import zeros
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

    statistics (statistics, chains, sweeps): free energy of the held class (nats), and means of the visible units along
    fixed random directions; changes (chains, sweeps): how many held units changed; activity: means of the units of each
    layer over the later half of the sweeps, layer -> (chains, units); state: the last states, (chains, units).
    """

    statistics: Floats
    changes: NDArray[np.int64]
    activity: Mapping[str, Floats]
    state: Mapping[str, Array]


def record(machine: BoltzmannMachine, start: State, sweeps: int, key: Key) -> Recording:
    """Run chains from the visible colour class of start (chains, units) and record them at every sweep.

    The held class, which holds the visible layer, is drawn last, its partner summed out in the free energy. Results do
    not depend on the number of threads, and are numpy arrays. Raises NumericalError for an overflow.
    """
    units, chains = machine.graph.units, len(start[machine.visible])
    state = {n: machine.zeros(chains, n) for n in units}
    for layer in machine.graph.colours[0]:
        state[layer][...] = beside(start[layer], machine.arena)
    found = _empty(machine, state, sweeps)
    transition = GibbsSweep(machine, key, flipped=True, turned=turned_weights(machine))
    along = beside(_directions(units[machine.visible], key), machine.arena)

    def run(block: slice) -> None:
        scratch, mine = Scratch(machine.arena), {layer: x[block] for layer, x in state.items()}
        for step in range(sweeps):
            before = {layer: mine[layer].copy() for layer in transition.order[1]}
            free, means = _sweep(transition, mine, step, block.start, scratch)
            found.statistics[0, block, step] = free
            found.statistics[1:, block, step] = along @ means[machine.visible].T
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
    like, chains = machine.arena, len(state[machine.visible])
    return Recording(
        np.empty_like(like, shape=(len(STATISTICS), chains, sweeps), dtype=np.float64),
        np.zeros_like(like, shape=(chains, sweeps), dtype=np.int64),
        {n: np.zeros_like(x, dtype=np.float64) for n, x in state.items()},
        state,
    )


def _sweep(
    transition: GibbsSweep, state: dict[str, Array], step: int, first_row: int, scratch: Scratch
) -> tuple[Floats, dict[str, Array]]:
    """One sweep in place: the free energy (chains,) of the held class before it, and the means of all layers.

    The input that the summed class is drawn from gives the free energy as well, at no further product.
    """
    machine, means = transition.machine, {}
    summed, held = transition.order
    free = zeros(state[machine.visible])
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


def _directions(units: int, key: Key) -> Floats:
    """Random directions (projections, units) of length about 1."""
    key = key.derive("directions")
    generator = key.generator()
    return generator.normal(0, units**-0.5, (PROJECTIONS, units))
