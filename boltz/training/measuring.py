"""How fast this machine trains: some epochs of each stage on the very rows, units, batches, chains and threads.

What is trained here is thrown away.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
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

LEAST = 4  # batches of a trial that counts
EPOCHS = 2  # of a trial, all but the last of which are there for the program of the steps to be made
SECONDS, SHARE = 4.0, 0.05  # for all stages, at most, and share of the time of the run
MANY_EPOCHS = 1 << 20  # of a trial stage, so that nothing of its end is seen


@dataclass
class Trial:
    """What a trial of a stage hears of the loop, and the seconds that it tells."""

    clock: Clock
    epochs: int = EPOCHS
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
        return len(self.ends) >= self.epochs

    def pace(self, batches: int) -> Pace:
        """The pace of the stage, without looks at held-out rows."""
        first = self.ends[0]
        updates = [updated - ended for (_, ended), (updated, _) in zip(self.ends, self.ends[1:], strict=False)]
        update = (updates or [first[0] - self.began])[-1] / batches
        record = median(ended - updated for updated, ended in self.ends)
        return Pace(max(first[0] - self.began - batches * update, 0.0), update, record)


def paces(
    model: Model, plan: list[Stage], rows: tuple[Data, Data | None], given: Given, clock: Clock = time.perf_counter
) -> list[Pace]:
    """The pace of each stage of a plan on rows and held-out rows, measured on some batches, more if there is time.

    model: the machine at its start; it is left as it is.
    """
    found = []
    for number, stage in enumerate(plan):
        if not stage.settings.epochs:
            found.append(Pace(0.0, 0.0))
            continue
        begun = clock()
        trial = partial(_trial, model, (plan, number), rows)
        trial(1, Trial(clock, 1))  # compiles what is needed
        epochs = _epochs(stage)
        pace, loop = trial(LEAST, Trial(clock, epochs))
        left = given.seconds / len(plan) - (clock() - begun)
        more = int(left / (epochs * max(pace.update, 1e-7)))
        if more > 2 * LEAST:
            pace, loop = trial(more, Trial(clock, epochs))
        found.append(replace(pace, look=_look(loop, stage, clock)) if given.judged else pace)
    return found


@dataclass(frozen=True)
class Given:
    """The seconds that the trials of all stages may take, and whether looks at held-out rows are timed, too."""

    seconds: float
    judged: bool


def _epochs(stage: Stage) -> int:
    """Epochs of a trial: one more where rows have chains of their own, which start before a program can be made."""
    return EPOCHS + (stage.pair is None and getattr(stage.settings, "positive", "") == "gibbs")


def _first(data: Data, stage: Stage, batches: int) -> Data:
    """The first batches of the rows, in which columns that none of these few knows count as known."""
    found = only(data, np.arange(min(batches * stage.settings.batch_size, len(data.x))))
    return found if found.known is None else replace(found, known=found.known | ~found.known.any(axis=0))


def _trial(
    model: Model, where: tuple[list[Stage], int], rows: tuple[Data, Data | None], batches: int, trial: Trial
) -> tuple[Pace, Loop]:
    """A trial of the stage of this number on so many batches, and the loop as it ended."""
    (plan, number), (data, held_out) = where, rows
    halfway = plan[number].at(plan[number].settings.epochs // 2)  # where sweeps that rise are about their mean
    stage = with_epochs(halfway, MANY_EPOCHS, patience=0)
    begun = replace(model, arena=model.arena.copy())
    state = TrainState(begun, [start_pair(begun, each) for each in plan[:number] if each.pair is not None])
    state.stage = number
    some = _first(data, stage, batches)
    trial.loop = Loop(some, held_out, [*plan[:number], stage], state, Key.from_seed(0).derive("trial"))
    trial.loop.events = Events(trial.epoch, update=trial.update)
    trial.began = trial.clock()
    trial.loop.run()
    return trial.pace(stage.batches(len(some.x))), trial.loop


def _look(loop: Loop, stage: Stage, clock: Clock) -> float:
    """Seconds of a look at held-out rows, or at as many training rows where there are none."""
    others, most = loop.held_out or loop.data, min(JUDGES, len((loop.held_out or loop.data).x))
    rows, train = loop.rows_of(others, stage, most), loop.rows_of(loop.data, stage, ROWS)
    machine = loop.state.machine(stage)
    begun = clock()
    stage.rule.score(machine, train, rows, loop.key.derive("held out"))
    return clock() - begun
