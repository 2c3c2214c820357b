"""Persistent contrastive divergence with one sweep on an RBM in float32, laid out once for many batches.

The arithmetic and the random bits are those of Contrastive, which spends most of a small batch on bookkeeping that only
other machines and settings need, and on threads that wait for each other longer than they work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import kernels
from boltz.models.graph import bias_key
from boltz.parallel import LITTLE, Workers
from boltz.rng import Key
from boltz.training.contrastive import Contrastive, Workspace
from boltz.training.rules import Clock, RuleState
from boltz.training.settings import Settings

Array = NDArray[Any]
Gradients = Callable[[Array, int], None]


def gradients(work: Workspace, state: RuleState, key: Key, pool: Workers) -> Gradients:
    """What leaves the gradient for a batch (rows, units) in the workspace and moves the chains in state by a sweep.

    It takes the batch and the number of the step. The result depends neither on threads nor on the way it is made.
    """
    chains = len(state[f"chain/{work.machine.visible}"])
    rule, quick = Contrastive(Settings(rule="pcd", k=1, chains=chains)), Plain(work, state, key)

    def gradient(batch: Array, step: int) -> None:
        if pool.count == 1 or max(len(batch), chains) * work.gradient.size <= LITTLE:
            quick(batch, step)
        else:
            rule.gradient(work, batch, state, Clock(key, step), pool)

    return gradient


class Plain:
    """The gradients of one batch after the other, by one thread; chains are moved in place."""

    def __init__(self, work: Workspace, state: RuleState, key: Key) -> None:
        machine = work.machine
        self.bare = kernels.backend(machine.arena)
        visible, (hidden,) = machine.visible, machine.graph.hidden
        (weight,) = (edge.key for edge in machine.graph.edges)
        self.weight, self.weight_gradient = machine.params[weight], work.named[weight]
        self.biases = machine.bias(visible), machine.bias(hidden)
        self.bias_gradients = work.named[bias_key(visible)], work.named[bias_key(hidden)]
        self.chains = state[f"chain/{visible}"], state[f"chain/{hidden}"]
        self.keys = key.derive("gibbs", visible), key.derive("gibbs", hidden)
        self.field = np.empty_like(self.chains[0])
        self.buffers: dict[int, tuple[Array, Array, Array]] = {}

    def __call__(self, batch: Array, step: int) -> None:
        """The gradient for a batch (rows, units), in the workspace."""
        n, bare, weight, (visible, hidden) = len(batch), self.bare, self.weight, self.chains
        if n not in self.buffers:
            self.buffers[n] = self._buffers(n)
        lower, upper, signs = self.buffers[n]
        positive, negative = upper[:n], upper[n:]
        with np.errstate(over="ignore", invalid="ignore"):  # guards look at the results
            lower[:n] = batch
            bare.product(lower[:n], weight, positive)
            bare.bernoulli_mean(positive, 1.0, self.biases[1])
            bare.product(hidden, weight.T, self.field)
            bare.bernoulli_sample(self.field, 1.0, self.biases[0], self.keys[0].stream(step), 0, visible)
            bare.product(visible, weight, negative)
            bare.bernoulli_sample(negative, 1.0, self.biases[1], self.keys[1].stream(step), 0, hidden)
            lower[n:] = visible
            bare.totals(signs, lower, self.bias_gradients[0])
            bare.totals(signs, upper, self.bias_gradients[1])
            bare.weigh(upper, signs, None, None)
            bare.contraction(lower, upper, self.weight_gradient)

    def _buffers(self, n: int) -> tuple[Array, Array, Array]:
        """Statistics of both layers over batch and chains, and the sign and share of each row."""
        count, (visible, hidden) = len(self.chains[0]), self.chains
        lower, upper = (np.empty_like(x, shape=(n + count, x.shape[1])) for x in (visible, hidden))
        signs = np.full_like(visible, -1 / count, shape=(n + count,))
        signs[:n] = 1 / n
        return lower, upper, signs
