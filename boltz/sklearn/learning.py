"""Learning of an RBM batch after batch, for whoever hands over the batches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.models.boltzmann import BoltzmannMachine
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.training.contrastive import Workspace
from boltz.training.pcd_rbm import gradients

Array = NDArray[Any]


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
        self.work = Workspace(self.single)
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
            self.work.gradient *= np.float32(rate)
            np.add(self.machine.arena, self.work.gradient, out=self.machine.arena)
            self.single.arena[...] = self.machine.arena
