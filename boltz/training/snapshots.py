"""The trajectory of a training run: after which updates the machine is copied, and what the copies hold.

Replica exchange along such machines needs neighbours that differ little; early updates change a machine most, hence the
geometric spacing (parallel trajectory tempering, Bereux et al. 2025).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable

import numpy as np

from boltz.models.boltzmann import BoltzmannMachine
from boltz.training.averages import MANY
from boltz.training.loop import Loop
from boltz.training.settings import AnySettings, Settings

Keep = Callable[[int, BoltzmannMachine], None]


def marks(total: int, snapshots: int) -> list[int]:
    """The updates of a run of so many after which it is copied, rising from 1 in equal ratios as far as integers go.

    The last of them, total itself, is left out, because the trained machine is the end of its trajectory.
    """
    if total < 1 or snapshots < 1:
        return []
    steps = np.unique(np.round(np.geomspace(1, total, snapshots)).astype(np.int64))
    return [int(step) for step in steps if step < total]


class Recorder:
    """What the loop calls after updates: hands keep a copy of a Boltzmann machine at each mark, by its update."""

    def __init__(self, loop: Loop, settings: AnySettings, keep: Keep) -> None:
        self.loop, self.keep = loop, keep
        self.wanted = settings.snapshots if isinstance(settings, Settings) else 0
        self.mark()

    def mark(self) -> None:
        """Choose the updates by the epochs that the stages have now."""
        self.lengths = [stage.updates(len(self.loop.data.x)) for stage in self.loop.plan]
        self.marks = marks(sum(self.lengths), self.wanted)

    def __call__(self) -> None:
        number = self._number()
        at = bisect_left(self.marks, number)
        if at < len(self.marks) and self.marks[at] == number:
            machine = self.loop.state.copied(self.loop.plan).undirected
            assert machine is not None
            self.keep(number, machine)

    def ahead(self) -> int:
        """How many updates there are to the next mark."""
        number = self._number()
        at = bisect_right(self.marks, number)
        return self.marks[at] - number if at < len(self.marks) else MANY

    def _number(self) -> int:
        """The updates so far, counted through the run."""
        return sum(self.lengths[: self.loop.state.stage]) + self.loop.state.step
