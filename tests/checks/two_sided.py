"""Estimates of log Z from both sides with made values, and a large machine whose log Z is known."""

from __future__ import annotations

from typing import Any

import numpy as np
from oracles import enumeration
from oracles.enumeration import Table

import boltz
from boltz.estimators.estimate import Estimate, Kind, interval
from boltz.estimators.replica_exchange import LadderEstimate
from boltz.estimators.two_sided import TwoSided, bracket


def made(value: float, error: float = 0.05, kind: Kind = "none", doubts: tuple[str, ...] = (), **more: Any) -> Estimate:
    """An estimate of 100 chains and 1,000 steps with this value."""
    words = {"ess": 80.0, "chains": 100, "steps": 1000} | more
    return Estimate(value, error, interval(value, error, 100), kind, doubts=doubts, **words)


def ladder(
    middle: Estimate,
    acceptance: tuple[float, ...] = (0.6, 0.5, 0.4),
    trips: tuple[int, ...] = (2, 1, 0, 3),
    memory: float = 0.1,
) -> LadderEstimate:
    """Replica exchange with this outcome."""
    rungs = len(acceptance) + 1
    nothing = np.zeros(rungs)
    places, travelled = np.linspace(0, 1, rungs), np.array(trips, np.int64)
    return LadderEstimate(middle, places, nothing, nothing, np.array(acceptance), travelled, 0.0, {}, memory)


def both(lower: Estimate, middle: LadderEstimate, upper: Estimate, wanted: float = 0.25) -> TwoSided:
    """The outcome of these three parts."""
    found = bracket(lower, upper, middle)
    width = (found.interval[1] - found.interval[0]) / 2
    return TwoSided(found, lower, upper, middle, wanted, found.trusted and width <= wanted, 1.0)


def blocks(count: int = 3, scale: float = 1.0) -> tuple[boltz.BoltzmannMachine, float]:
    """An RBM of 8 + 8 units a block without weights between the blocks, and its log Z: that of the blocks adds up."""
    parts = [Table.random([8, 8], scale, 70 + i) for i in range(count)]
    weight = np.zeros((8 * count, 8 * count))
    for i, part in enumerate(parts):
        weight[8 * i : 8 * i + 8, 8 * i : 8 * i + 8] = part.edges["v", "h1"]
    biases = [np.concatenate([part.biases[n] for part in parts]) for n in ("v", "h1")]
    return boltz.from_arrays([weight], biases), sum(map(enumeration.log_z, parts))
