"""Persistent chains that exchange with snapshots of their own training: parallel trajectory tempering.

Gibbs chains do not cross between separated modes, so they keep the shares that the modes had when they parted. The
early machines of a training run are crossed easily. A ladder of them, from independent units up, exchanges its chains
with the persistent ones by the Metropolis rule, which leaves the law of every rung as it is (Bereux, Decelle,
Furtlehner, Rosset & Seoane 2025). Where a mode is so far from the others that no early machine has a bridge to it,
jumps to the posteriors of data rows cross (jumps.py); early machines accept them even where the last one hardly does.
The arrays ladder/... of the rule are the ladder's parameters, chains and mean rejections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.models.boltzmann import BoltzmannMachine
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sampling.gibbs import Scratch
from boltz.sampling.ladders import At
from boltz.sampling.meanfield import solve
from boltz.sampling.replica_exchange import Replicas, exchange
from boltz.targets import MachinePath, independent
from boltz.training import contrastive
from boltz.training.contrastive import Contrastive
from boltz.training.jumps import Proposals, Snapshots, jump
from boltz.training.rules import Clock, RuleState

Array = NDArray[Any]
RATE_ROWS = 1000  # rows that the rates of the independent units come from
FARTHEST = 0.35  # mean rejection between the machine and its last snapshot at which it leaves another one
MEMORY = 0.1  # weight of an exchange in the mean rejections
EVERY, ROUNDS = 4, 2  # in so many steps even and odd pairs of rungs swap once; the rungs do not move on meanwhile


@dataclass
class Workspace(contrastive.Workspace):
    """The buffers of contrastive training, and the ladder over views of the rule's arrays while its rungs stay."""

    replicas: Replicas | None = None


@dataclass(frozen=True)
class Exchanging(Contrastive):
    """The rule ptt: persistent chains that jump before each sweep, and now and then swap along a ladder."""

    @property
    def start_rows(self) -> int:
        return max(self.settings.chains, RATE_ROWS)

    def recordable(self, machine: BoltzmannMachine) -> bool:
        return False

    def replayable(self, machine: BoltzmannMachine) -> bool:
        return False  # the host decides on swaps and on snapshots

    def init(self, machine: BoltzmannMachine, rows: Array, key: Key, total: int) -> RuleState:
        """Besides the arrays of persistent chains a ladder from units with the rates of the rows to the machine.

        Its rungs divide the straight path evenly, and all of them start at the fantasy particles.
        """
        state, rungs = super().init(machine, rows, key, total), self.settings.rungs
        means = solve(machine, machine.evidence(rows), self.settings.mean_field, Scratch(machine.arena))
        sums = {n: host(x.sum(axis=0, dtype=np.float64)) for n, x in (machine.evidence(rows) | means).items()}
        rates = {n: (x + 1) / (len(rows) + 2) for n, x in sums.items()}
        inner = {n: np.clip(x, 0.5 / len(rows), 1 - 0.5 / len(rows)) for n, x in rates.items()}  # of any numbers
        path = MachinePath((independent(machine, inner), machine))
        state["ladder/parameters"] = np.stack([path.at(k / rungs).arena for k in range(rungs)])
        for layer in machine.graph.colours[1]:
            state[f"ladder/{layer}"] = np.stack([state[f"chain/{layer}"]] * rungs)
        state["ladder/rejection"] = np.zeros_like(machine.arena, shape=(rungs,))
        return state

    def workspace(self, machine: BoltzmannMachine) -> Workspace:
        return Workspace(machine)

    def gradient(  # type: ignore[override]
        self, work: Workspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        if work.replicas is None:
            work.replicas = _replicas(work.machine, state, clock.key.derive("exchange"))
        if clock.step % EVERY == 0:
            self._exchange(work.replicas, state, clock.step)
        self._jump(work.replicas, batch, clock, pool)
        if state["ladder/rejection"][-1] > FARTHEST:
            _leave_snapshot(work.machine, state)
            work.replicas = None
        return super().gradient(work, batch, state, clock, pool)

    def _exchange(self, replicas: Replicas, state: RuleState, step: int) -> None:
        """Sweeps and swaps on all rungs, in place."""
        replicas.rounds = ROUNDS * step
        found, rejection = exchange(replicas, ROUNDS, keep=0), state["ladder/rejection"]
        now = beside((1 - found.acceptance).astype(rejection.dtype), rejection)
        rejection += rejection.dtype.type(MEMORY) * (now - rejection)

    def _jump(self, replicas: Replicas, batch: Array, clock: Clock, pool: Workers) -> None:
        """Jumps of the persistent chains, and of those of one rung in turn."""
        ladder = replicas.ladder
        assert isinstance(ladder, Snapshots)

        def job(rung: int) -> None:
            machine, scratch = ladder.members[rung], replicas.desk(rung)
            means = solve(machine, machine.evidence(batch), self.settings.mean_field, scratch)
            at = At(clock.key.derive("jump", rung), clock.step)
            jump(Proposals.of(ladder, rung, means), replicas.states[rung], at, scratch)

        pool.map(job, [clock.step % self.settings.rungs, self.settings.rungs])


def _replicas(machine: BoltzmannMachine, state: RuleState, key: Key) -> Replicas:
    """The ladder with its chains, views of the rule's arrays."""
    rungs, held = len(state["ladder/parameters"]), machine.graph.colours[1]
    members = [BoltzmannMachine(machine.graph, parameters) for parameters in state["ladder/parameters"]]
    ladder = Snapshots(MachinePath((*members, machine)), np.arange(rungs + 1.0))
    ladder.turned[-1] = {}  # those of the machine itself change with each step
    states = [{n: state[f"ladder/{n}"][k] for n in held} for k in range(rungs)]
    states.append({n: state[f"chain/{n}"] for n in held})
    chains = len(states[-1][held[0]])
    return Replicas(ladder, key, states, np.zeros((rungs + 1, chains), np.int8), np.zeros(chains, np.int64))


def _leave_snapshot(machine: BoltzmannMachine, state: RuleState) -> None:
    """Put the machine and its chains on a last rung, in the place of the rung whose neighbours are closest.

    Rejections add up along a ladder (Syed, Bouchard-Cote, Deligiannidis & Doucet 2022). The first rung always stays.
    """
    rejection = host(state["ladder/rejection"]).copy()
    both = rejection[:-1] + rejection[1:]
    gone = 1 + int(np.argmin(both))
    newest = {"parameters": machine.arena} | {n: state[f"chain/{n}"] for n in machine.graph.colours[1]}
    for name, x in newest.items():
        rungs = state[f"ladder/{name}"]
        rungs[gone:-1] = rungs[gone + 1 :].copy()
        rungs[-1] = x
    rejection[gone - 1] = min(both[gone - 1], 1)
    rejection[gone:] = np.append(rejection[gone + 1 :], 0)
    state["ladder/rejection"][...] = beside(rejection, machine.arena)
