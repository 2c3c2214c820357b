"""The up-down rule, contrastive wake-sleep of a deep belief net (Hinton, Osindero & Teh 2006, section 5, appendix B).

Wake: recognition draws upwards, and generation learns to give back each layer from the one above. The top RBM learns
from the states that the wake phase leaves there and from its own after k sweeps, started at the former (cd) or kept
from step to step (pcd). Sleep: those fall down as dreams, and recognition learns to give back each layer's cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape, zeros
from boltz.parallel import Workers, workers
from boltz.rng import Key
from boltz.sampling.decoding import visible_means
from boltz.sampling.recognition import sampled
from boltz.training import contrastive
from boltz.training.backward import pull, wake_products
from boltz.training.contrastive import Contrastive
from boltz.training.held_out import directed, quick_log_z
from boltz.training.objectives import Weights
from boltz.training.rules import Clock, RuleState
from boltz.training.settings import BeliefSettings, Settings
from boltz.training.sleep import dream, sleep_products
from boltz.training.variational import DirectedWorkspace

Array = NDArray[Any]


def top_machine(machine: HelmholtzMachine) -> BoltzmannMachine:
    """The RBM on top of a deep belief net."""
    assert machine.prior_machine is not None
    return machine.prior_machine


@dataclass
class UpDownWorkspace(DirectedWorkspace):
    """The buffers of the directed part and those of the top RBM."""

    top: contrastive.Workspace = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.top = contrastive.Workspace(top_machine(self.machine))


@dataclass(frozen=True)
class UpDown:
    """The rule, with the settings of the top RBM's negative phase."""

    settings: BeliefSettings

    @property
    def start_rows(self) -> int:
        return self.settings.chains

    def recordable(self, machine: HelmholtzMachine) -> bool:
        return False

    def replayable(self, machine: HelmholtzMachine) -> bool:
        return self.settings.rule == "pcd"  # cd derives a key from the number of the step

    def init(self, machine: HelmholtzMachine, rows: Array, key: Key, total: int) -> RuleState:
        if self.settings.rule == "cd":
            return {}
        states = recognised(machine, rows, key)
        return self._negative(self.settings.chains).init(top_machine(machine), states, key, total)

    def workspace(self, machine: HelmholtzMachine) -> UpDownWorkspace:
        return UpDownWorkspace(machine)

    def gradient(
        self, work: UpDownWorkspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        machine, n = work.machine, len(batch)
        passes = sampled(machine, work.wake, batch, 1, (clock.key, clock.step), pool)
        nothing = zeros(batch)[:, None]
        even = Weights(nothing + 1 / n, None, nothing)
        pull(passes, even, None, pool, False)
        pool.map(lambda job: job(), wake_products(machine, work.named, work.wake, (n, 1), False))
        top = machine.structure.latent[-1]
        awake = work.wake.get(f"state/{top.name}", n, top.units)
        if self.settings.rule == "cd":
            key = clock.key.derive("start", clock.step)
            state = self._negative(n).init(work.top.machine, awake, key, n)
        fallen = state["chain/v"]
        self._negative(len(fallen)).gradient(work.top, awake, state, clock, pool)
        work.gradient[: work.top.gradient.size] = work.top.gradient
        work.sleep.get(f"state/{top.name}", *fallen.shape)[...] = fallen
        dream(machine, work.sleep, len(fallen), 1 / len(fallen), clock, pool)
        pool.map(lambda job: job(), sleep_products(machine, work.named, work.sleep, len(fallen), False))
        return work.named

    def measure(self, machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> dict[str, float | None]:
        """Squared error a row of the data drawn up and sent down as means."""
        lowest = machine.structure.latent[0].name
        with workers(train) as pool:
            tape = Tape(machine.arena)
            sampled(machine, tape, train, 1, (key, 0), pool)
            state = tape.get(f"state/{lowest}", len(train), machine.units[lowest])
            back = visible_means(machine, {lowest: state})
        return {"reconstruction_error": float(np.mean(np.sum((train - back) ** 2, axis=1, dtype=np.float64)))}

    def score(self, machine: HelmholtzMachine, train: Array, held_out: Array, key: Key) -> float | None:
        states = recognised(machine, train, key.derive("recognised"))
        return directed(machine, held_out, key) - quick_log_z(top_machine(machine), host(states), key)

    def _negative(self, chains: int) -> Contrastive:
        """The top RBM's rule: persistent chains, which the caller starts anew for each step of cd."""
        return Contrastive(Settings(rule="pcd", k=self.settings.k, chains=chains))


def recognised(machine: HelmholtzMachine, rows: Array, key: Key) -> Array:
    """States (rows, units) of the topmost drawn layer, one draw of the recognition model a row."""
    top, tape = machine.structure.latent[-1], Tape(machine.arena)
    with workers(rows) as pool:
        sampled(machine, tape, rows, 1, (key, 0), pool)
    return tape.get(f"state/{top.name}", len(rows), top.units)
