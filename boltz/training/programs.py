"""Steps of training in one call: batch, gradient and update of many steps, recorded once and run by a team of threads.

Bits are those of the steps one by one, which the loop makes wherever a stage cannot be recorded.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.data import Data
from boltz.kernels.cpu.programs import BATCH, DRAW, STEP
from boltz.kernels.cpu.recorded import gather, recorded
from boltz.kernels.cpu.runners import Count, Entry, Program, Runner
from boltz.models.files import Model
from boltz.parallel import Recording, Workers, shares
from boltz.rng import Key
from boltz.training import optimizers
from boltz.training.meaning import largest
from boltz.training.positive import all_visited
from boltz.training.pretraining import Stage
from boltz.training.rules import Clock, RuleState, Workspace
from boltz.training.schedules import learning_rate, momentum
from boltz.training.state import TrainState

Array = NDArray[Any]


def fits(stage: Stage, machine: Model, data: Data, kept: RuleState) -> bool:
    """Whether the steps of a stage can be recorded: whole batches of floats or bytes, for a rule of primitives."""
    settings = stage.settings
    rows = data.x if isinstance(data.x, np.ndarray) else None
    return (
        rows is not None
        and data.known is None
        and rows.dtype in (np.float32, np.uint8)
        and rows.flags.c_contiguous
        and len(rows) >= settings.batch_size
        and largest(settings.max_norm) == largest(settings.l1b) == 0
        and not stage.pair
        and not stage.lower
        and machine.layers[0].binary
        and all_visited(kept)
        and settings.optimizer in optimizers.ONE_OPERATION
        and stage.rule.recordable(machine)
    )


class Steps:
    """The steps of a stage as a program; gradient is that of the last step."""

    def __init__(self, stage: Stage, state: TrainState, data: Data, keys: tuple[Key, Key], pool: Workers) -> None:
        settings, machine = stage.settings, state.machine(stage)
        self.stage, self.state = stage, state
        self.batches = len(data.x) // settings.batch_size
        self.order = np.zeros(len(data.x), np.int64)
        self.parts = optimizers.parts(settings)
        self.rates, self.momenta = (np.zeros((len(self.parts), stage.batches(len(data.x)))) for _ in range(2))
        program = self.program = Program(team=pool.count)
        mine = replace(machine, arena=recorded(machine.arena, program))
        work = stage.rule.workspace(mine)
        self.gradient = work.gradient.view(np.ndarray)
        program.clear()
        recording = Recording(pool.count, None, program=program)
        batch = np.empty_like(mine.arena, shape=(settings.batch_size, data.x.shape[1]))
        self._record_batch(batch, data, keys[0], recording)
        rule = {name: x if x.dtype == np.uint8 else recorded(x, program) for name, x in state.rule.items()}
        numbers = (self.order, Count(BATCH, settings.batch_size))
        stage.rule.gradient(work, batch, rule, Clock(keys[1], Count(STEP), rows=numbers), recording)
        self._record_update(mine, work, recording)
        self.runner = Runner(program, pool.pool, pool.count)

    def begin(self, order: Array) -> None:
        """The order of the rows of an epoch, and the rates of its steps."""
        state, batches = self.state, self.rates.shape[1]
        self.order[...] = order
        done = [state.epoch + b / batches for b in range(batches)]
        self.rates[...] = [[learning_rate(own, each) for each in done] for own in self.parts]
        self.momenta[...] = [[momentum(own, each) for each in done] for own in self.parts]

    def run(self, most: int) -> int:
        """Go on by at most so many steps in one call; says how many: none where the next batch is not whole."""
        state = self.state
        if state.batch >= self.batches:
            return 0
        times = self.runner.times(min(most, self.batches - state.batch))
        self.runner.run((state.step, state.batch, state.lines), times)
        state.step += times
        return times

    @property
    def sound(self) -> bool:
        """Whether all parameters are finite."""
        return self.program.finite

    def _record_batch(self, batch: Array, data: Data, key: Key, recording: Recording) -> None:
        """The next rows of the order, binarised as the stage has it."""
        how, levels, size = self.stage.settings.binarize, data.levels, len(batch)
        drawn = how in ("dynamic", "fixed") and levels != 1
        means = np.empty_like(batch) if drawn or (how == "threshold" and levels != 1) else batch
        stream = key.stream(Count(DRAW) if how == "dynamic" else 0)

        def rows(part: slice) -> None:
            at = Count(BATCH, size, part.start)
            gather(means[part], data.x, (self.order, at), float(levels or 1))
            if drawn:
                kernels.bernoulli_rows(means[part], stream, (self.order, at), batch[part])
            elif means is not batch:
                kernels.cut(means[part], batch[part])

        recording.map(rows, shares(size, batch))

    def _record_update(self, machine: Model, work: Workspace, recording: Recording) -> None:
        settings = self.stage.settings
        rates, momenta = ([Entry(row, Count(BATCH)) for row in table] for table in (self.rates, self.momenta))
        arrays = {name: recorded(x, self.program) for name, x in self.state.optimizer.items()}
        step = optimizers.Step(rates, momenta, Count(STEP) + 1)
        optimizers.apply(settings, machine, work.gradient, arrays, step, recording)
