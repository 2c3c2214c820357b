"""Cluster flips of units that are coupled to each other: Swendsen & Wang (1987), fields as couplings to a ghost spin.

As spins, two units that agree with their coupling J are joined with probability 1 - exp(-2 |J|), a unit that agrees
with its field h to that field with probability 1 - exp(-2 |h|); then each cluster that no field holds is turned with
probability 1/2. Near a critical temperature this forgets in a few steps what single flips keep for thousands.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from boltz.kernels.cpu.clusters import cluster_flips
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge
from boltz.models.pairs import Pairs
from boltz.rng import Stream
from boltz.units.states import has_two, two_states

Array = NDArray[Any]
FULL = 2.0**30


@dataclass(frozen=True, eq=False)
class Clusters:
    """The couplings of a machine of one layer of units of two states, with sparse couplings."""

    machine: BoltzmannMachine

    @cached_property
    def _edge(self) -> Edge:
        return self.machine.graph.within[self.machine.visible]

    @cached_property
    def _pairs(self) -> Pairs:
        assert self._edge.pairs is not None
        return self._edge.pairs

    @cached_property
    def _states(self) -> tuple[float, float]:
        return two_states(self.machine.unit_type(self.machine.visible))

    @cached_property
    def couplings(self) -> NDArray[np.float64]:
        """Those of the units as spins, (pairs,)."""
        low, high = self._states
        return self.machine.params[self._edge.key].astype(np.float64) * (high - low) ** 2 / 4

    @cached_property
    def _shift(self) -> NDArray[np.float64]:
        """What couplings add to the fields of the units as spins, (units,)."""
        (low, high), units = self._states, self.machine.units[self.machine.visible]
        weights = self.machine.params[self._edge.key].astype(np.float64)
        total = sum(np.bincount(x, weights, units) for x in (self._pairs.rows, self._pairs.columns))
        return np.asarray(total * (high - low) * (high + low) / 4)

    def fields(self, beta: float, bias: Array) -> NDArray[np.float64]:
        """Those of the units as spins, (units,), where couplings count beta times."""
        low, high = self._states
        return np.asarray(bias.astype(np.float64) * (high - low) / 2 + beta * self._shift)

    def flip(self, state: Array, beta: float, bias: Array, stream: Stream) -> None:
        """Turn clusters of states (chains, units) at an inverse temperature and biases (units,), in place."""
        fields = self.fields(beta, bias)
        given = (fields > 0, _odds(fields)) if fields.any() else (np.empty(0, bool), np.empty(0, np.int32))
        pairs = self._pairs.rows, self._pairs.columns, self.couplings > 0, _odds(beta * self.couplings)
        cluster_flips(pairs, given, self._states, stream, 0, state)


def _odds(couplings: NDArray[np.float64]) -> NDArray[np.int32]:
    """How likely spins are joined that agree with a coupling, times 2^30."""
    found: NDArray[np.int32] = (-np.expm1(-2 * np.abs(couplings)) * FULL).astype(np.int32)
    return found


def clusters_of(machine: BoltzmannMachine) -> Clusters | None:
    """What turns clusters of a machine; None where clusters would not help.

    They do where spins can agree with all couplings at once, as those of a ferromagnet or of an antiferromagnet on a
    checkerboard do, and those of a spin glass do not.
    """
    edge = machine.graph.within.get(machine.visible)
    if len(machine.graph.layers) > 1 or edge is None or edge.pairs is None:
        return None
    if not has_two(machine.unit_type(machine.visible)) or machine.device != "cpu":
        return None
    found = Clusters(machine)
    return found if _agree(edge.pairs, found.couplings, machine.units[machine.visible]) else None


def _agree(pairs: Pairs, couplings: NDArray[np.float64], units: int) -> bool:
    """Whether all couplings can be satisfied: then no unit is joined to its own opposite, by couplings of either sign.

    A unit i and its opposite units + i are two nodes; a positive coupling joins equal ones, a negative one opposites.
    """
    there = couplings != 0
    rows, columns = (x[there].astype(np.int64) for x in (pairs.rows, pairs.columns))
    turned = np.where(couplings[there] < 0, units, 0)
    first, second = np.concatenate([rows, rows + units]), np.concatenate([columns + turned, columns + units - turned])
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(2 * units, 2 * units))
    _, group = connected_components(graph, directed=False)
    return bool((group[:units] != group[units:]).all())
