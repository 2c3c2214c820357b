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
from scipy.optimize import brentq
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

    @cached_property
    def agreed(self) -> NDArray[np.float64]:
        """Spins -1 and 1 (units,) that agree with all couplings, each part that is coupled turned as its fields ask."""
        units = self.machine.units[self.machine.visible]
        group = _groups(self._pairs, self.couplings, units)
        one, other = group[:units], group[units:]
        spins, part = np.where(one < other, 1.0, -1.0), np.minimum(one, other)
        asked = np.bincount(part, spins * self.fields(1.0, self.machine.bias(self.machine.visible)))
        return np.asarray(np.where(asked[part] < 0, -spins, spins))

    @property
    def settled(self) -> float:
        """The inverse temperature from which on most states differ from the agreed one in no unit or a few, as flips of
        single units foretell it; inf where units have nothing to hold them.
        """
        strength, fields = np.abs(self.couplings), self.fields(1.0, self.machine.bias(self.machine.visible))
        own = sum(np.bincount(x, strength, len(self.agreed)) for x in (self._pairs.rows, self._pairs.columns))
        held = np.asarray(own + self.agreed * fields)
        if held.min() <= 0:
            return np.inf

        def unsettled(beta: float) -> float:
            return float(np.log1p(np.exp(-2 * beta * held)).sum()) - 1

        return float(brentq(unsettled, 0, (np.log(len(held)) + 1) / held.min())) if len(held) > 1 else 0.0

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
    """Whether all couplings can be satisfied: then no unit is joined to its own opposite, whatever the signs."""
    group = _groups(pairs, couplings, units)
    return bool((group[:units] != group[units:]).all())


def _groups(pairs: Pairs, couplings: NDArray[np.float64], units: int) -> NDArray[np.int32]:
    """The part of a graph that each unit i and its opposite units + i belong to, (2 units,): a positive coupling joins
    equal ones, a negative one opposites.
    """
    there = couplings != 0
    rows, columns = (x[there].astype(np.int64) for x in (pairs.rows, pairs.columns))
    turned = np.where(couplings[there] < 0, units, 0)
    first, second = np.concatenate([rows, rows + units]), np.concatenate([columns + turned, columns + units - turned])
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(2 * units, 2 * units))
    return np.asarray(connected_components(graph, directed=False)[1])
