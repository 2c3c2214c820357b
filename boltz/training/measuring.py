"""How fast this machine trains: some epochs of each stage on the very rows, units, batches, chains and threads.

What is trained here is thrown away.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from boltz.arrays import host
from boltz.data import Data
from boltz.data.dataset import only
from boltz.models.files import Model
from boltz.rng import Key
from boltz.training.loop import JUDGES, ROWS, Events, Loop
from boltz.training.pacing import Clock, Pace, with_epochs
from boltz.training.pretraining import Stage
from boltz.training.stages import start_pair
from boltz.training.state import TrainState

FEW, EPOCHS = 2, 3  # batches of the first trial, which compiles what it needs; the first epoch makes a program of steps
LEAST = 4  # batches of the second trial, which counts
SECONDS, SHARE = 4.0, 0.05  # for all stages, at most, and share of the time of the run
MANY_EPOCHS = 1 << 20  # of a trial stage, so that nothing of its end is seen


@dataclass
class Trial:
    """What a trial of a stage hears of the loop, and the seconds that it tells."""

    clock: Clock
    loop: Loop = field(init=False)
    began: float = 0.0
    ends: list[tuple[float, float]] = field(default_factory=list)  # of the updates and of the record of each epoch
    updated: float = 0.0

    def update(self) -> None:
        """An update, or several in one call, were made."""
        if self.loop.state.batch >= self.loop.plan[self.loop.state.stage].batches(len(self.loop.data.x)):
            host(self.loop.state.machine(self.loop.plan[self.loop.state.stage]).arena[:1])  # waits for a device
            self.updated = self.clock()

    def epoch(self, record: dict[str, Any]) -> bool:
        """An epoch is over, and its record made; whether it was the last one."""
        self.ends.append((self.updated, self.clock()))
        return len(self.ends) >= EPOCHS

    def pace(self, batches: int) -> Pace:
        """The pace of the stage, without looks at held-out rows."""
        first = self.ends[0]
        updates = [updated - ended for (_, ended), (updated, _) in zip(self.ends, self.ends[1:], strict=False)]
        update = median(updates) / batches
        record = median(ended - updated for updated, ended in self.ends)
        return Pace(max(first[0] - self.began - batches * update, 0.0), update, record)


def paces(
    model: Model, plan: list[Stage], data: Data, held_out: Data | None, seconds: float, clock: Clock = time.perf_counter
) -> list[Pace]:
    """The pace of each stage of a plan, measured for about so many seconds, but on a few batches at least.

    model: the machine at its start; it is left as it is.
    """
    found = []
    for number, stage in enumerate(plan):
        if not stage.settings.epochs:
            found.append(Pace(0.0, 0.0))
            continue
        all_batches = stage.batches(len(data.x))
        begun = clock()
        pace = _trial(model, (plan, number), (_first(data, stage, min(FEW, all_batches)), held_out), clock)
        left = seconds / len(plan) - (clock() - begun)
        batches = min(max(int(left / (EPOCHS * max(pace.update, 1e-7))), LEAST), all_batches)
        pace = _trial(model, (plan, number), (_first(data, stage, batches), held_out), clock)
        found.append(pace)
    return found


def _first(data: Data, stage: Stage, batches: int) -> Data:
    """The first batches of the rows."""
    return only(data, np.arange(min(batches * stage.settings.batch_size, len(data.x))))


def _trial(model: Model, where: tuple[list[Stage], int], rows: tuple[Data, Data | None], clock: Clock) -> Pace:
    """A trial of the stage of this number on some rows."""
    (plan, number), (data, held_out) = where, rows
    halfway = plan[number].at(plan[number].settings.epochs // 2)  # where sweeps that rise are about their mean
    stage = with_epochs(halfway, MANY_EPOCHS, patience=0)
    begun = replace(model, arena=model.arena.copy())
    state = TrainState(begun, [start_pair(begun, each) for each in plan[:number] if each.pair is not None])
    state.stage = number
    trial = Trial(clock)
    trial.loop = Loop(data, held_out, [*plan[:number], stage], state, Key.from_seed(0).derive("trial"))
    trial.loop.events = Events(trial.epoch, update=trial.update)
    trial.began = clock()
    trial.loop.run()
    return replace(trial.pace(stage.batches(len(data.x))), look=_look(trial.loop, stage, clock))


def _look(loop: Loop, stage: Stage, clock: Clock) -> float:
    """Seconds of a look at held-out rows, or at as many training rows where there are none."""
    others, most = loop.held_out or loop.data, min(JUDGES, len((loop.held_out or loop.data).x))
    rows, train = loop.rows_of(others, stage, most), loop.rows_of(loop.data, stage, ROWS)
    machine = loop.state.machine(stage)
    begun = clock()
    stage.rule.score(machine, train, rows, loop.key.derive("held out"))
    return clock() - begun
