"""The trajectory of a training run: after which updates the machine is copied, and what the copies hold.

Replica exchange along such machines needs neighbours that differ little; early updates change a machine most, hence the
geometric spacing (parallel trajectory tempering, Bereux et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from boltz.models.boltzmann import BoltzmannMachine
from boltz.training.loop import Loop
from boltz.training.pretraining import Stage, compose
from boltz.training.settings import AnySettings, Settings
from boltz.training.state import TrainState

Keep = Callable[[int, BoltzmannMachine], None]


def marks(total: int, snapshots: int) -> list[int]:
    """The updates of a run of so many after which it is copied, rising from 1 in equal ratios as far as integers go.

    The last of them, total itself, is left out, because the trained machine is the end of its trajectory.
    """
    if total < 1 or snapshots < 1:
        return []
    steps = np.unique(np.round(np.geomspace(1, total, snapshots)).astype(np.int64))
    return [int(step) for step in steps if step < total]


def recorder(loop: Loop, settings: AnySettings, keep: Keep) -> Callable[[], None]:
    """What the loop calls after each update: hands keep a copy of a Boltzmann machine at each mark, by its update."""
    if not isinstance(settings, Settings):
        return lambda: None
    lengths = [stage.updates(len(loop.data.x)) for stage in loop.plan]
    wanted = frozenset(marks(sum(lengths), settings.snapshots))

    def update() -> None:
        number = sum(lengths[: loop.state.stage]) + loop.state.step
        if number in wanted:
            keep(number, whole(loop.state, loop.plan[loop.state.stage]))

    return update


def whole(state: TrainState, stage: Stage) -> BoltzmannMachine:
    """A copy of the whole machine within a stage; in pretraining composed of the pairs as they stand."""
    assert isinstance(state.model, BoltzmannMachine)
    machine = replace(state.model, arena=state.model.arena.copy())
    if stage.pair is not None:
        compose(machine, state.pairs)
    return machine
