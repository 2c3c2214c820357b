"""Gradients on a device from captured graphs: the forty launches for a small batch cost more than its work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.kernels.cuda.graphs import Clock as Counter
from boltz.kernels.cuda.graphs import Replay
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.training.rules import Clock, Rule, RuleState, Workspace

Array = NDArray[Any]


class Replayed:
    """The gradient of a rule for one batch after the other, from step first on, with a graph for each size of batch."""

    def __init__(self, rule: Rule, work: Workspace, state: RuleState, at: tuple[Key, int], pool: Workers) -> None:
        self.rule, self.work, self.state, self.pool = rule, work, state, pool
        self.key, self.counter = at[0], Counter.before(at[1])
        self.sizes: dict[int, tuple[Array, Replay]] = {}

    def __call__(self, batch: Array) -> None:
        """Leave the gradient for a batch (rows, units) in the workspace."""
        if len(batch) not in self.sizes:
            held = np.empty_like(batch)
            self.sizes[len(batch)] = held, Replay(self._work(held))
        held, replay = self.sizes[len(batch)]
        held[...] = batch
        replay.run(1)

    def _work(self, batch: Array) -> Callable[[], None]:
        clock = Clock(self.key, self.counter.counter)

        def work() -> None:
            self.counter.tick()
            self.rule.gradient(self.work, batch, self.state, clock, self.pool)

        return work
