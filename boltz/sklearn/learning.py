"""Learning of an RBM batch after batch, for whoever hands over the batches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.data.sparse import is_sparse
from boltz.kernels.cpu.programs import BATCH, STEP
from boltz.kernels.cpu.recorded import gather, recorded
from boltz.kernels.cpu.runners import Count, Program, Runner
from boltz.models.boltzmann import BoltzmannMachine
from boltz.parallel import Recording, Workers, shares
from boltz.rng import Key
from boltz.sklearn.rows import dense
from boltz.training.averages import Averages
from boltz.training.contrastive import Contrastive, Workspace
from boltz.training.pcd_rbm import gradients
from boltz.training.rules import Clock
from boltz.training.settings import Settings

Array = NDArray[Any]
WORTH = 20  # steps that a program is made for
SHARE = 1 << 16  # parameters that are moved at a time
AVERAGED = 0.3  # of the steps of all passes, the last ones, whose parameters are averaged


class Learner:
    """Persistent contrastive divergence from a machine on, with hidden states (chains, units) to start from.

    Gradients are made in float32, whose rounding is far below their noise; parameters are added up in float64, so that
    small steps count. A machine in float64 is changed itself.
    """

    def __init__(self, machine: BoltzmannMachine, hidden: Array, key: Key, pool: Workers) -> None:
        self.machine, self.single, self.steps = machine, machine.astype(np.float32), 0
        if machine.dtype != np.float64:
            self.machine = machine.astype(np.float64)
        visible = np.zeros((len(hidden), machine.units["v"]), np.float32)  # drawn before it is used
        self.state = {"chain/v": visible, "chain/h1": np.array(hidden, np.float32, order="C")}
        self.work, self.key, self.pool = Workspace(self.single), key, pool
        self.gradient = gradients(self.work, self.state, key, pool)

    @property
    def hidden(self) -> Array:
        """The hidden states of the chains (chains, units)."""
        return self.state["chain/h1"]

    def learn(self, batch: Array, rate: float) -> None:
        """One step up the gradient of the mean log-likelihood of a batch (rows, units)."""
        with np.errstate(over="ignore", invalid="ignore"):
            self.gradient(batch.astype(np.float32, copy=False), self.steps)
            self.steps += 1
            kernels.accumulate(self.machine.arena, self.work.gradient, rate, self.single.arena)


class Passes:
    """So many passes of a learner over all rows (rows, units), in their order, by batches of a size.

    Whole batches of dense rows go as a program of many steps where they are worth one; bits are those of single steps.
    The average of the parameters over the last steps is what they end with: at a constant rate the last parameters
    alone are often worse than independent units.
    """

    def __init__(self, learner: Learner, rows: Any, size: int, rate: float, count: int) -> None:
        self.learner, self.rows, self.size, self.rate = learner, rows, size, rate
        rule = Contrastive(Settings(rule="pcd", k=1, chains=len(learner.hidden), batch_size=size))
        self.whole = rows.shape[0] // size
        averaged = Settings(averaging="last", average_share=AVERAGED)
        self.averages = Averages.of(averaged, count * -(-rows.shape[0] // size))
        self.average = learner.machine.arena[:0]
        worth = count * self.whole >= WORTH and not is_sparse(rows)
        self.runner = self._recorded(rule) if worth and rule.recordable(learner.single) else None

    def run(self) -> None:
        """One pass."""
        learner, done = self.learner, 0
        while self.runner is not None and done < self.whole:
            times = self.runner.times(min(self.whole - done, self.averages.ahead(learner.steps)))
            self.runner.run((learner.steps, done, 0), times)
            done, learner.steps = done + times, learner.steps + times
            self._average()
        for first in range(done * self.size, self.rows.shape[0], self.size):
            learner.learn(dense(self.rows[first : first + self.size]), self.rate)
            self._average()

    def settle(self) -> None:
        """Give the machine the average of the last steps."""
        if self.average.size:
            self.learner.machine.arena[...] = self.average

    def _average(self) -> None:
        learner = self.learner
        self.average = self.averages.taken(self.average, learner.machine.arena, learner.steps, learner.pool)

    def _recorded(self, rule: Contrastive) -> Runner:
        """A program of one step: the batch, its gradient and the update."""
        learner = self.learner
        pool = learner.pool.worth(max(self.size, len(learner.hidden)) * learner.single.arena.size)
        program = Program(team=pool.count)
        rows, order = np.ascontiguousarray(self.rows, np.float32), np.arange(self.rows.shape[0])
        mine = replace(learner.single, arena=recorded(learner.single.arena, program))
        work, recording = rule.workspace(mine), Recording(pool.count, None, program=program)
        gradient, total = work.gradient, learner.machine.arena
        program.clear()
        batch = np.empty_like(mine.arena, shape=(self.size, rows.shape[1]))

        def take(part: slice) -> None:
            gather(batch[part], rows, (order, Count(BATCH, self.size, part.start)), 1.0)

        def move(first: int) -> None:
            part = slice(first, first + SHARE)
            kernels.accumulate(total[part], gradient[part], self.rate, mine.arena[part])

        recording.map(take, shares(self.size, batch))
        state = {name: recorded(x, program) for name, x in learner.state.items()}
        rule.gradient(work, batch, state, Clock(learner.key, Count(STEP)), recording)
        recording.map(move, list(range(0, total.size, SHARE)))
        return Runner(program, pool.pool, pool.count)
