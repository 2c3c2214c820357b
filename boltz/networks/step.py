"""The work of fine-tuning: batches through a network and back, the loss on held-out rows, and what moves meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host
from boltz.data import Data
from boltz.data.binarize import binarize
from boltz.models.files import inside
from boltz.networks.feedforward import Dropout, backward, forward, gradients, losses
from boltz.networks.network import Network
from boltz.networks.predict import fill, heard
from boltz.networks.settings import FineTuneSettings
from boltz.nn.arena import Part, Tape, size
from boltz.parallel import Workers, shares
from boltz.rng import Key
from boltz.training import optimizers
from boltz.training.optimizers import OptState

Array = NDArray[Any]
Rows = NDArray[np.int64]
CHUNK = 2048  # rows at once where all are looked at


@dataclass(frozen=True)
class Examples:
    """Rows to learn from, the class of each by its number (None: the rows themselves are the target), how their grey
    levels are read, and what the network hears beside them (rows, units).
    """

    data: Data
    labels: NDArray[np.int64] | None
    binarize: str
    key: Key
    posterior: Array

    def __len__(self) -> int:
        return len(self.data.x)

    def visible(self, network: Network, rows: Rows) -> Array:
        """Visible rows (rows, units) by their numbers, the same at each use, where the network lives."""
        x, levels = self.data.x[rows], self.data.levels
        if not network.visible.binary:
            return beside(inside(network, x / (levels or 1)), network.arena)
        batch = binarize(x, levels, self.binarize, self.key.derive("binarize"), 0, rows)
        return beside(batch.astype(network.dtype, copy=False), network.arena)


def examples(network: Network, data: Data, labels: NDArray[np.int64] | None, how: str, key: Key) -> Examples:
    """The examples with what the network hears beside them, worked out once."""
    bare = Examples(data, labels, how, key, network.arena[:0])
    found = [heard(network, bare.visible(network, rows)) for rows in chunks(np.arange(len(bare)))]
    return replace(bare, posterior=np.concatenate(found))


def chunks(rows: Rows) -> Iterator[Rows]:
    """The rows in order, a chunk at once."""
    return (rows[first : first + CHUNK] for first in range(0, len(rows), CHUNK))


@dataclass
class Tuner:
    """A network that learns, with its buffers; lowest is the lowest dense layer that does."""

    network: Network
    settings: FineTuneSettings
    key: Key
    pool: Workers
    lowest: int = 0

    def __post_init__(self) -> None:
        self.gradient = np.zeros_like(self.network.arena)
        self.named = self.network.views(self.gradient)
        self.tape = Tape(self.network.arena)

    @property
    def learning(self) -> Network:
        """The part of the network that learns."""
        return self.network.output() if self.lowest else self.network

    def own(self, arena: Array) -> Array:
        """The part of an arena that learns."""
        return arena[arena.size - size(self.learning.net.shapes) :]

    def start(self) -> OptState:
        """The zero state of the optimizer."""
        return {} if self.settings.optimizer == "lbfgs" else optimizers.init(self.settings, self.learning)

    def step(self, data: Examples, rows: Rows, state: OptState, step: optimizers.Step) -> tuple[float, bool]:
        """One update from a batch: its mean loss (nats), and whether all parameters stayed finite."""
        s = self.settings
        wanted = s.dropout > 0 or (s.input_dropout > 0 and not self.lowest)
        dropout = Dropout(self.key, step.count, 0.0 if self.lowest else s.input_dropout, s.dropout) if wanted else None
        loss = self.differentiate(data, rows, dropout) / len(rows)
        gradient = self.own(self.gradient)
        finite = optimizers.apply(s, self.learning, gradient, state, step, self.pool)
        return loss, bool(finite)

    def differentiate(self, data: Examples, rows: Rows, dropout: Dropout | None = None) -> float:
        """Leave the gradient of the mean log-likelihood of these rows in self.gradient; returns their summed loss."""
        weight = 1 / len(rows)

        def back(part: Part) -> None:
            backward(self.network.net, self.network.params, part, dropout, weight, self.lowest)

        loss = float(np.sum(self._through(data, rows, dropout, back)[0]))
        jobs = gradients(self.network.net, self.named, self.tape.whole(len(rows)), self.lowest)
        self.pool.map(lambda job: job(), jobs)
        return loss

    def measure(self, data: Examples, rows: Rows) -> dict[str, float | None]:
        """Mean loss (nats a row) and share of wrong classes of these rows, the latter None for an autoencoder."""
        found = [self._through(data, piece, None, None) for piece in chunks(rows)]
        loss = float(np.mean(np.concatenate([nats for nats, _ in found])))
        wrong = None if data.labels is None else float(np.mean(np.concatenate([errors for _, errors in found])))
        return {"loss": loss, "error": wrong}

    def _through(
        self, data: Examples, rows: Rows, dropout: Dropout | None, then: Callable[[Part], None] | None
    ) -> tuple[Array, Array]:
        """A forward pass of these rows, and what comes then, by blocks: losses and wrong classes (rows,)."""
        net, batch = self.network.net, data.visible(self.network, rows)
        target = self._target(data, rows, batch)
        posterior = data.posterior[beside(rows, data.posterior)]

        def work(block: slice) -> tuple[Array, Array]:
            part = Part(self.tape, block, len(rows))
            fill(self.network, part, batch[block], posterior[block])
            part.get("target", net.sizes[-1])[...] = target[block]
            output = forward(net, self.network.params, part, dropout)
            found = host(losses(net, part))
            wrong = host(output.argmax(axis=1) != target[block].argmax(axis=1))
            if then is not None:
                then(part)
            return found, wrong

        pairs = self.pool.map(work, shares(len(rows), batch))
        return np.concatenate([found for found, _ in pairs]), np.concatenate([wrong for _, wrong in pairs])

    def _target(self, data: Examples, rows: Rows, batch: Array) -> Array:
        """What the outputs should be: the class of each row, or the row itself."""
        if data.labels is None:
            return batch
        wanted = np.zeros((len(rows), self.network.net.sizes[-1]), batch.dtype)
        wanted[np.arange(len(rows)), data.labels[rows]] = 1
        return beside(wanted, batch)
