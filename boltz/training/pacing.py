"""What the stages of a run cost in seconds, and how many epochs of each fit into a time: functions of measured rates.

Nothing here looks at a clock but Watched, whose clock can be replaced.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.presets import lengths_of
from boltz.training.held_out import looks
from boltz.training.meaning import largest
from boltz.training.pretraining import Stage

LONGEST = 20  # times the epochs of the preset: what more of them teach is not worth the wait
MARKS = tuple(tenth / 10 for tenth in range(1, 10))  # shares of the epochs of a stage after which the rest is looked at
TOLERANCE = 0.03  # share of the time by which the end may be missed before anything is planned anew
MOST_GROWTH = 2.0  # times as many epochs, of those left, as a new plan may have
Clock = Callable[[], float]


@dataclass(frozen=True)
class Pace:
    """What a stage takes on a machine, in seconds: to begin, an update, an epoch besides, a look at held-out rows."""

    start: float
    update: float
    epoch: float = 0.0
    look: float = 0.0

    def times(self, factor: float) -> Pace:
        """The pace of a machine that takes so many times as long."""
        return Pace(*(factor * seconds for seconds in (self.start, self.update, self.epoch, self.look)))


@dataclass(frozen=True)
class Cost:
    """A stage as far as its time is concerned: its pace, updates an epoch, patience, and averaged share.

    averaged: the share of the epochs, the last ones, whose mean is taken, which cannot be planned anew once it began.
    """

    pace: Pace
    batches: int
    patience: int = 0
    averaged: float = 0.0

    @classmethod
    def of(cls, stage: Stage, pace: Pace, rows: int) -> Cost:
        """That of a stage on so many rows."""
        settings = stage.settings
        averaged = settings.average_share if settings.averaging == "last" else 0.0
        return cls(pace, stage.batches(rows), settings.patience, averaged)

    def seconds(self, epochs: int, patience: int | None = None) -> float:
        """How long so many epochs take, none of them nothing, perhaps with another patience."""
        if not epochs:
            return 0.0
        patience = self.patience if patience is None else patience
        pace, seen = self.pace, looks(epochs, patience) if patience else 0
        return pace.start + epochs * (self.batches * pace.update + pace.epoch) + seen * pace.look

    def least(self, done: int) -> int:
        """The fewest epochs that the stage may have in all once so many are done."""
        return done + 1 if not self.averaged else max(math.ceil(done / (1 - min(self.averaged, 0.99))), done + 1)


def longest_within(seconds: float, least: Callable[[int], float], cost: Callable[[int], float], most: int) -> int:
    """The largest number from 1 to most whose cost is at most so many seconds, 0 where there is none.

    cost may fall between neighbours, as it does where looks at held-out rows become rarer. least never falls, and is
    nowhere above cost.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if least(middle) <= seconds else (low, middle - 1)
    return next((number for number in range(low, 0, -1) if cost(number) <= seconds), 0)


def longest(settings: Any, kind: str) -> int:
    """Epochs of the longest stage of a kind of machine."""
    return max(int(largest(getattr(settings, name))) for name in lengths_of(kind))


def in_ratio(epochs: int, number: int, longest: int) -> int:
    """The epochs of a stage where the longest one gets so many: at least one, but none where it had none."""
    return max(round(epochs * number / longest), 1) if epochs else 0


def scaled(settings: Any, kind: str, number: int) -> Any:
    """The settings with their longest stage so many epochs long, and the others in the same ratio."""
    most = longest(settings, kind)

    def one(value: Any) -> Any:
        return tuple(map(one, value)) if isinstance(value, tuple) else in_ratio(value, number, most)

    return replace(settings, **{name: one(getattr(settings, name)) for name in lengths_of(kind)})


def with_epochs(stage: Stage, epochs: int, **others: Any) -> Stage:
    """A stage with so many epochs, and with other settings."""
    settings = replace(stage.settings, epochs=epochs, **others)
    return replace(stage, settings=settings, rule=replace(stage.rule, settings=settings))  # type: ignore[type-var]


def with_all_epochs(plan: Sequence[Stage], epochs: Sequence[int] | NDArray[np.int64]) -> list[Stage]:
    """The stages with so many epochs each."""
    return [with_epochs(stage, int(number)) for stage, number in zip(plan, epochs, strict=True)]


def replanned(epochs: Sequence[int], at: tuple[int, int], costs: Sequence[Cost], slow: float, left: float) -> list[int]:
    """The epochs of each stage once the time left is known: those left of all stages, in one ratio.

    at: the stage, and its epochs done; slow: how many times as long as planned an epoch takes; left: seconds for all
    that is left. The stages keep their ratio, so that each goes through its schedule to the end.
    """
    stage, done = at
    planned = slow * (
        costs[stage].seconds(epochs[stage])
        - costs[stage].seconds(done)
        + sum(cost.seconds(n) for cost, n in zip(costs[stage + 1 :], epochs[stage + 1 :], strict=True))
    )
    ratio = min(max(left, 0.0) / planned, MOST_GROWTH) if planned > 0 else 1.0
    found = list(epochs)
    if epochs[stage] > done:
        found[stage] = max(done + round(ratio * (epochs[stage] - done)), costs[stage].least(done))
    found[stage + 1 :] = [max(round(ratio * n), 1) if n else 0 for n in epochs[stage + 1 :]]
    return found


@dataclass
class Watched:
    """The clock of a run that has so many seconds: what it tells the loop after an epoch.

    clock: what tells the time in seconds. What is left is planned anew after the shares MARKS of the epochs of a stage,
    and where it ends, if at its speed of late the end would be missed by more than TOLERANCE.
    """

    seconds: float
    costs: list[Cost]
    clock: Clock = time.perf_counter
    began: float = field(init=False)
    last: tuple[int, int, float] = (-1, 0, 0.0)  # the stage, its epochs and the time when it was last looked at

    def __post_init__(self) -> None:
        self.began = self.clock()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return self.clock() - self.began

    def epochs(self, planned: Sequence[int], stage: int, done: int) -> list[int]:
        """The epochs of each stage, now that so many of a stage are done."""
        now = self.spent
        if self.last[0] != stage:
            self.last = stage, done, now
        if done not in {*(math.ceil(mark * planned[stage]) for mark in MARKS), planned[stage]}:
            return list(planned)
        cost = self.costs[stage]
        since = cost.seconds(done) - cost.seconds(self.last[1])
        slow = (now - self.last[2]) / since if since > 0 else 1.0
        self.last = stage, done, now
        left = self.seconds - now
        rest = slow * sum(c.seconds(n) for c, n in zip(self.costs[stage:], planned[stage:], strict=True))
        if abs(rest - slow * cost.seconds(done) - left) <= TOLERANCE * self.seconds:
            return list(planned)
        return replanned(planned, (stage, done), self.costs, slow, left)
