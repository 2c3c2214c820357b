"""Multi-prediction: some visible units of each row are held back, and mean field predicts them from the others.

A random share of the visible units of each row is predicted. They and the hidden layers start at the means of their
biases and relax together, given the other units, for a fixed number of mean-field sweeps. What climbs is the log of the
probability that the last means give to the truth, in nats a row, by back-propagation through all sweeps (Goodfellow,
Mirza, Courville & Bengio 2013, section 3). There are no chains, and all layers learn at once.

It trains a family of recurrent networks with shared weights, and no likelihood: such a machine fills in, but where its
own states are far from the data nothing notices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import on_device
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import bias_key
from boltz.parallel import Workers, shares
from boltz.rng import Key
from boltz.sampling.evidence import Evidence
from boltz.sampling.inputs import Scratch, layer_input, turned_weights
from boltz.training.contrastive import SLICE, Contrastive, Workspace
from boltz.training.rules import Clock, RuleState

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Unrolled:
    """Mean field of a batch as a network: two tables (sweeps, rows, units) for each layer, one above the other.

    Of the visible layer and its colour, the means before each sweep and their derivatives after it; of the others, the
    derivatives and the means in it. So the gradient of the weights between two layers is one product of their tables.
    first (rows, units): the derivatives by the means before the first sweep. A derivative is by the input of a unit.
    """

    machine: BoltzmannMachine
    sweeps: int
    tables: dict[str, Array]
    first: dict[str, Array]

    @classmethod
    def of(cls, work: Workspace, rows: int, sweeps: int) -> Unrolled:
        """Buffers for so many rows."""
        graph, tables = work.machine.graph, {}
        for layer, units in graph.units.items():
            both = work.batch.get("unrolled", layer, (2 * sweeps * rows, units))
            tables[layer] = both.reshape(2 * sweeps, rows, units)
        first = {layer: work.batch.get("first", layer, (rows, graph.units[layer])) for layer in graph.colours[0]}
        return cls(work.machine, sweeps, tables, first)

    def part(self, rows: slice) -> Unrolled:
        """Some of the rows."""
        tables = {layer: x[:, rows] for layer, x in self.tables.items()}
        return Unrolled(self.machine, self.sweeps, tables, {layer: x[rows] for layer, x in self.first.items()})

    def relax(self, evidence: Evidence, scratch: Scratch) -> Array:
        """All sweeps, given evidence; returns the last means (rows, units) of the visible layer, known ones too."""
        machine, visible, (even, odd) = self.machine, self.machine.visible, self.machine.graph.colours
        for layer in even:
            field = self.tables[layer][0]
            field[...] = 0
            kernels.bernoulli_mean(field, 1.0, machine.bias(layer))
        evidence.restore(self.tables[visible][0])
        for sweep in range(self.sweeps):
            before = {layer: self.tables[layer][sweep] for layer in even}
            within = {layer: self.tables[layer][self.sweeps + sweep] for layer in odd}
            for layer in odd:
                within[layer][...] = self._mean(layer, before, scratch)
            if sweep + 1 < self.sweeps:
                for layer in even:
                    self.tables[layer][sweep + 1][...] = self._mean(layer, within, scratch)
                evidence.restore(self.tables[visible][sweep + 1])
        last = self._mean(visible, within, scratch)
        evidence.restore(last)
        return last

    def _mean(self, layer: str, around: Mapping[str, Array], scratch: Scratch) -> Array:
        """Means of a layer given those around it, in a reused buffer."""
        field = layer_input(self.machine, layer, around, scratch)
        kernels.bernoulli_mean(field, 1.0, self.machine.bias(layer))
        return field

    def propagate(self, error: Array, predicted: Array, scratch: Scratch) -> None:
        """All derivatives, from those (rows, units) by the input of the visible layer in its last step; only units that
        are predicted (rows, units), 0 or 1, have any.
        """
        machine, visible, (even, odd) = self.machine, self.machine.visible, self.machine.graph.colours
        for layer in even:
            self.tables[layer][-1][...] = error if layer == visible else 0
        for sweep in reversed(range(self.sweeps)):
            after = {layer: self.tables[layer][self.sweeps + sweep] for layer in even}
            within = {layer: self.tables[layer][sweep] for layer in odd}
            for layer in odd:
                signal = layer_input(machine, layer, after, scratch)
                kernels.slope("sigmoid", self.tables[layer][self.sweeps + sweep], signal)
                within[layer][...] = signal
            for layer in even:
                signal = layer_input(machine, layer, within, scratch)
                kernels.slope("sigmoid", self.tables[layer][sweep], signal)
                if layer == visible:
                    signal *= predicted
                before = self.tables[layer][self.sweeps + sweep - 1] if sweep else self.first[layer]
                before[...] = signal


@dataclass(frozen=True)
class MultiPrediction(Contrastive):
    """The rule multi-prediction: each row predicts some of its visible units from the others."""

    @property
    def persistent(self) -> bool:
        return False

    def recordable(self, machine: BoltzmannMachine) -> bool:
        return False

    def replayable(self, machine: BoltzmannMachine) -> bool:
        return True

    def score(self, machine: BoltzmannMachine, train: Array, held_out: Array, key: Key) -> float | None:
        return None  # it climbs no likelihood

    def gradient(
        self, work: Workspace, batch: Array, state: RuleState, clock: Clock, pool: Workers
    ) -> Mapping[str, Array]:
        machine, visible, rows = work.machine, work.machine.visible, len(batch)
        turned = {} if on_device(batch) else turned_weights(machine)
        whole = Unrolled.of(work, rows, self.settings.prediction_sweeps)

        def part(block: slice) -> None:
            scratch = work.block("prediction", block.start)
            scratch.turned = turned
            predicted = self.predicted(machine, batch[block], clock, block.start, scratch)
            mine, evidence = whole.part(block), Evidence(batch[block], predicted == 0)
            last = mine.relax(evidence, scratch)
            error = np.subtract(evidence.rows, last, out=scratch.get("error", visible, last.shape))
            error *= error.dtype.type(1 / rows)
            mine.propagate(error, predicted, scratch)

        pool.map(part, shares(rows, batch))
        seen = {layer: x[_last(whole, layer)] for layer, x in whole.tables.items()} | {visible: batch}
        pool.map(lambda layer: self._track(layer, seen[layer], state), list(seen))
        self._collect(work, whole, pool)
        if self.settings.center:
            self._centre(work, state)
        if self.settings.sparse:
            self._sparsify(machine, work.named, state)
        return work.named

    def predicted(self, machine: BoltzmannMachine, rows: Array, clock: Clock, first: int, scratch: Scratch) -> Array:
        """1 for each visible unit (rows, units) of rows first, first + 1, ... of a batch that is predicted, else 0."""
        share = np.full_like(rows, self.settings.predicted_share)
        found = scratch.get("predicted", machine.visible, rows.shape)
        stream = clock.key.derive("predicted").stream(clock.step)
        machine.unit_type(machine.visible).draw(share, stream, first, found)
        return found

    def _collect(self, work: Workspace, whole: Unrolled, pool: Workers) -> None:
        """The gradient of all parameters from the tables of the whole batch, in place."""
        machine, gradient, sweeps = work.machine, work.named, whole.sweeps
        flat = {layer: x.reshape(-1, x.shape[-1]) for layer, x in whole.tables.items()}
        ones = np.ones_like(machine.arena, shape=(len(flat[machine.visible]) // 2,))

        def bias(layer: str) -> None:
            found = gradient[bias_key(layer)]
            if layer not in whole.first:
                kernels.totals(ones, flat[layer][: len(ones)], found)
                return
            kernels.totals(ones, flat[layer][len(ones) :], found)
            start = work.total(layer)
            kernels.totals(ones[: len(ones) // sweeps], whole.first[layer], start)
            found += start

        pool.map(bias, list(flat))
        jobs = [(edge, rows) for edge in machine.graph.edges for rows in shares(machine.units[edge.lower], ones, SLICE)]

        def product(job: tuple[Any, slice]) -> None:
            edge, rows = job
            kernels.contraction(flat[edge.lower][:, rows], flat[edge.upper], gradient[edge.key][rows])

        pool.map(product, jobs)

    def _centre(self, work: Workspace, state: RuleState) -> None:
        """The centred gradient in the parameters of the plain machine (Melchior, Fischer & Wiskott 2016, section 3)."""
        graph, gradient = work.machine.graph, work.named
        plain = {layer: gradient[bias_key(layer)].copy() for layer in graph.units}
        for edge in graph.edges:
            found, lower, upper = gradient[edge.key], state[f"offset/{edge.lower}"], state[f"offset/{edge.upper}"]
            kernels.outer(-1.0, plain[edge.lower], upper, found)
            kernels.outer(-1.0, lower, plain[edge.upper], found)
            kernels.through(-1.0, found, upper, gradient[bias_key(edge.lower)])
            kernels.back(-1.0, found, lower, gradient[bias_key(edge.upper)])


def _last(whole: Unrolled, layer: str) -> int:
    """Where the last means of a layer stand in its table."""
    return whole.sweeps - 1 if layer in whole.first else 2 * whole.sweeps - 1
