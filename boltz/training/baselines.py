"""Baselines of score-function gradients: a running mean of log w, and for NVIL a net on the data beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import beside
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Tape, size, views, zeros
from boltz.nn.dense import Net
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sampling.recognition import sampled
from boltz.training.rules import Clock, RuleState

Array = NDArray[Any]
Floats = NDArray[np.float64]
HIDDEN, DECAY = 100, 0.9


def _means(log_w: Floats) -> Floats:
    """The means of rows."""
    found: Floats = np.empty_like(log_w, shape=(len(log_w),))
    kernels.row_means(log_w, found)
    return found


@dataclass(frozen=True)
class Baseline:
    """C(x) + c for log w: c a running mean, C a net trained on what c leaves (Mnih & Gregor 2014, section 2.3)."""

    learned: bool
    rate: float

    def net(self, machine: HelmholtzMachine) -> Net:
        """Visible units, a tanh layer, one output."""
        return Net((machine.units[machine.visible], HIDDEN, 1))

    def init(self, machine: HelmholtzMachine, rows: Array, key: Key) -> RuleState:
        """c at the mean of log w on some rows; C at zero with small random weights below."""
        passes = sampled(machine, Tape(machine.arena), rows, 1, (key, 0), Workers(1, None))
        mean = np.mean([float(found.log_weights().mean()) for found in passes])
        state = {"baseline/mean": np.full_like(machine.arena, mean, shape=(1,), dtype=np.float64)}
        if self.learned:
            shapes = self.net(machine).shapes("baseline")
            names = ("arena", "first", "second")
            state |= {f"baseline/{name}": np.zeros_like(machine.arena, shape=(size(shapes),)) for name in names}
            weight = views(shapes, state["baseline/arena"])["baseline/0/weight"]
            reach, draw = np.sqrt(6 / sum(weight.shape)), key.derive("baseline")
            generator = draw.generator()
            weight[...] = beside(generator.uniform(-reach, reach, weight.shape), weight)
        return state

    def value(self, machine: HelmholtzMachine, state: RuleState, batch: Array, log_w: Floats, clock: Clock) -> Floats:
        """Baseline (rows,) from what earlier steps learned; then it learns from log_w, in place."""
        found = zeros(batch) + state["baseline/mean"]
        if self.learned:
            found += self._net_value(machine, state, batch, _means(log_w) - found, clock.step)
        state["baseline/mean"] += (1 - DECAY) * (_means(log_w.reshape(1, -1)) - state["baseline/mean"])
        return found

    def _net_value(
        self, machine: HelmholtzMachine, state: RuleState, batch: Array, target: Floats, step: int
    ) -> Floats:
        """C(x) (rows,), and one step of Adam up the gradient of -(target - C(x))^2 / 2."""
        net, tape = self.net(machine), Tape(machine.arena)
        shapes, arena = net.shapes("baseline"), state["baseline/arena"]
        params, gradient = views(shapes, arena), np.zeros_like(arena)
        tape.get("batch", *batch.shape)[...] = batch
        part = tape.whole(len(batch))
        field, pullback = net.forward("baseline", params, "batch", part)
        value = (field[:, 0] + net.bias("baseline", params)).astype(np.float64)
        pullback(((target - value) / len(batch)).astype(machine.dtype)[:, None], None, False)
        for job in net.products("baseline", (params, views(shapes, gradient)), "batch", part):
            job()
        moments = state["baseline/first"], state["baseline/second"]
        kernels.adam_update(arena, gradient, moments, self.rate, (0.9, 0.999), 1e-8, step + 1, 0.0, 0.0)
        return value
