"""The trajectory of a training run: after which updates the machine is copied, and what the copies hold.

Replica exchange along such machines needs neighbours that differ little; early updates change a machine most, hence the
geometric spacing (parallel trajectory tempering, Bereux et al. 2025).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from boltz.models.boltzmann import BoltzmannMachine
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


def recorder(loop: Loop, settings: AnySettings, keep: Keep) -> Callable[[], None]:
    """What the loop calls after each update: hands keep a copy of a Boltzmann machine at each mark, by its update."""
    state = loop.state
    if state.model.directed is not None:
        return lambda: None
    assert isinstance(settings, Settings)
    lengths = [stage.updates(len(loop.data.x)) for stage in loop.plan]
    wanted = frozenset(marks(sum(lengths), settings.snapshots))

    def update() -> None:
        number = sum(lengths[: state.stage]) + state.step
        if number in wanted:
            machine = state.copied(loop.plan).undirected
            assert machine is not None
            keep(number, machine)

    return update
