"""Contrastive divergence with the topmost layer of a machine held at given states in the positive phase.

The second stage of the pretraining of Cho, Raiko, Ilin & Karhunen 2013 ("A two-stage pretraining algorithm for deep
Boltzmann machines"): where states of the upper of two hidden layers are given with each row, the lower one is
independent given both, and the gradient climbs the likelihood of rows and states together, but for the short chains of
the negative phase (Hinton 2002).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import solve
from boltz.training.contrastive import Contrastive, Workspace
from boltz.training.positive import Posterior, States, Visit
from boltz.training.rules import Clock, RuleState

Array = NDArray[Any]


@dataclass(frozen=True)
class Clamped(Contrastive):
    """The rule: batches (rows, units) hold the visible units, and states of those of the topmost layer beside them."""

    def recordable(self, machine: BoltzmannMachine) -> bool:
        return False  # programs take their batches from the data alone

    def replayable(self, machine: BoltzmannMachine) -> bool:
        return False

    def measure(self, machine: BoltzmannMachine, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
        return super().measure(machine, _seen(machine, train), _seen(machine, held_out), key)

    def score(self, machine: BoltzmannMachine, train: Array, held_out: Array, key: Key) -> float | None:
        return super().score(machine, _seen(machine, train), _seen(machine, held_out), key)

    def gradient(
        self, work: Workspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        machine, top = work.machine, work.machine.layers[-1]
        above = np.ascontiguousarray(batch[:, -top.units :])

        def phase(of: Posterior, rows: Array, visit: Visit, scratch: Scratch) -> States:
            held = above[visit.first : visit.first + len(rows)]
            return {**solve(machine, {machine.visible: rows, top.name: held}, of.options, scratch), top.name: held}

        return self.gradient_by(phase, work, _seen(machine, batch), state, clock, pool)


def _seen(machine: BoltzmannMachine, batch: Array) -> Array:
    """The visible units of a batch."""
    return np.ascontiguousarray(batch[:, : machine.graph.units[machine.visible]])
