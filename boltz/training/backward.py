"""The backward pass of a directed machine: row weights in, weighted deltas on the tape and parameter products out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import on_device
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import Job, Params
from boltz.parallel import Workers
from boltz.sampling.recognition import Pass, encoding, parts
from boltz.training.objectives import Weights

Array = NDArray[Any]
Scales = Mapping[str, float] | None


class _Backward:
    """One block on its way down and up again; signals hold the weighted derivative by each smooth hidden layer."""

    def __init__(self, found: Pass, weights: Weights, scales: Scales) -> None:
        self.found, self.machine, self.scales = found, found.machine, scales
        self.weights = weights.of(found.part.rows, found.machine.dtype)
        self.signals: dict[str, Array] = {}

    def scale(self, layer: str) -> float:
        return 1.0 if self.scales is None or layer == self.machine.visible else self.scales[layer]

    def smooth(self, layer: str) -> bool:
        """Whether derivatives go through the draws of a layer."""
        return self.weights.b is not None and self.machine.conditionals[layer].reparameterised

    def add(self, layer: str, derivative: Array, scale: float | None) -> None:
        """signals[layer] += b * scale * derivative, or the derivative itself, already weighted, without a scale.

        With a scale the derivative may have further columns.
        """
        out = self.found.inner.get(f"signal/{layer}", self.machine.units[layer])
        if scale is not None:
            assert self.weights.b is not None
            kernels.weighted(derivative, out.dtype.type(scale) * self.weights.b, layer in self.signals, out)
        elif layer in self.signals:
            kernels.add(out, derivative, out)
        else:
            kernels.copy(derivative, out)
        self.signals[layer] = out

    def generative(self) -> None:
        """Deltas of the factors under weights a, and what they send to the hidden layers."""
        kind = self.weights.a.dtype.type
        for child, parent in self.machine.structure.chain:
            if child.name not in self.found.scored:
                continue  # an RBM as prior learns by contrastive divergence
            terms, scale = self.found.scored[child.name], self.scale(child.name)
            if child.name != self.machine.visible and self.smooth(child.name):
                derivative, sign = terms.by_state()
                self.add(child.name, derivative, sign * scale)
            signal = terms.pull(kind(scale) * self.weights.a, parent is not None and self.smooth(parent.name))
            if signal is not None and parent is not None:
                self.add(parent.name, signal, scale)

    def recognition(self) -> None:
        """Deltas of the recognition nets under weights b, c and score, from the top down."""
        latent = self.machine.structure.latent
        for i in reversed(range(len(latent))):
            layer = latent[i]
            score = self.found.recognition.scores[layer.name]
            delta = self.found.inner.get(f"recognition/{layer.name}/mixed", score.shape[1])
            self._mix(layer.name, score, delta)
            pullback = self.found.recognition.pullbacks[layer.name]
            if i == 0 and self.found.samples == 1:
                pullback(delta, None, False)
            elif i == 0:
                kernels.pooled(delta, False, pooled(self.found.part, layer.name, delta.shape[1]))
            elif not self.smooth(latent[i - 1].name):
                pullback(delta, None, False)
            else:
                self._pass_down(layer.name, latent[i - 1].name, score, delta)

    def _pass_down(self, layer: str, below: str, score: Array, delta: Array) -> None:
        """What the recognition net of a layer sends to the smooth layer below it."""
        w, pullback = self.weights, self.found.recognition.pullbacks[layer]
        if w.c is None:
            signal = pullback(delta)
        else:  # the derivative by the layer below keeps the term -b log q that c leaves out of the parameters
            assert w.b is not None
            rest = self.found.inner.get(f"recognition/{layer}/rest", delta.shape[1])
            self._rest(layer, score, delta, rest)
            signal = pullback(rest, None, True, False)
        assert signal is not None
        self.add(below, signal, None)
        if w.c is not None:
            pullback(delta, None, False)

    def _rest(self, layer: str, score: Array, delta: Array, rest: Array) -> None:
        """rest := what delta would be for c = -b."""
        w, scale = self.weights, delta.dtype.type(self.scale(layer))
        assert w.c is not None and w.b is not None
        if self.machine.encoders[layer].flow is not None:
            self._mix_flow(layer, score, rest, None)
            return
        extra = (w.c + w.b) * scale
        kernels.copy(delta, rest)
        kernels.weighted(score, -extra, True, rest)

    def _mix(self, layer: str, score: Array, delta: Array) -> None:
        """delta := path + c score for a smooth layer, (c + score weight) score for the others."""
        w, scale = self.weights, delta.dtype.type(self.scale(layer))
        c, encoder = scale * w.fixed, self.machine.encoders[layer]
        if encoder.flow is not None:
            self._mix_flow(layer, score, delta, w.c if w.c is None else c if w.score is None else c + w.score)
            return
        if not self.smooth(layer):
            kernels.weighted(score, c if w.score is None else c + w.score, False, delta)
            return
        self.add(layer, score, scale)
        offset = encoder.offset(self.machine.encoder_place(layer, self.found.inner))
        encoder.conditional.path(self.signals[layer], offset, delta)
        if w.c is None or on_device(w.c) or w.c.any():  # a look would make the host wait
            kernels.weighted(score, c, True, delta)

    def _mix_flow(self, layer: str, score: Array, delta: Array, c: Array | None) -> None:
        """The same where a flow is behind the draw, for a c of its own, None for -b."""
        w, encoder = self.weights, self.machine.encoders[layer]
        place = self.machine.encoder_place(layer, self.found.inner)
        b = None if w.b is None else w.b * delta.dtype.type(self.scale(layer))
        if c is None:
            assert b is not None
            rest, c = None, -b
        else:
            rest = c if b is None else c + b
        signal = None if b is None else self.signals[layer]
        by_base, by_heard = encoder.pull_draw(place, score, signal, (rest, c))
        encoder.conditional.path(by_base, encoder.offset(place), delta)
        delta += by_heard
        kernels.weighted(score, c, True, delta)


def pooled(part: Part, layer: str, outputs: int) -> Array:
    """The buffer for deltas of the data rows: sums over their samples."""
    return part.get(f"recognition/{layer}/pooled", outputs)


def pull(passes: list[Pass], weights: Weights, scales: Scales, pool: Workers, recognition: bool = True) -> None:
    """Pull the weights (batch rows, samples) of an objective back through the passes of a batch, onto their tape."""

    def work(found: Pass) -> None:
        block = _Backward(found, weights, scales)
        block.generative()
        if recognition:
            block.recognition()

    def encoders(part: Part) -> None:
        encoded, pullback = encoding(passes[0].machine, part)
        pullback(pooled(part, passes[0].machine.structure.latent[0].name, encoded.shape[1]), None, False)

    pool.map(work, passes)
    if recognition and passes[0].samples > 1 and passes[0].machine.structure.latent:
        part = passes[0].part
        pool.map(encoders, parts(part.tape, part.total, 1))


def wake_products(
    machine: HelmholtzMachine,
    gradient: Params,
    tape: Tape,
    counts: tuple[int, int],
    recognition: bool = True,
    step: int | None = None,
) -> list[Job]:
    """The parameter products of a batch of (rows, samples a row) at a step, with or without those of recognition."""
    jobs: list[Job] = []
    rows, samples = counts
    for child, parent in machine.structure.chain:
        if child.name in machine.factors:
            place = machine.place(child, parent, tape.whole(rows * samples), step)
            jobs += machine.factors[child.name].products(place, gradient)
    if not recognition:
        return jobs
    count = rows
    for layer, encoder in machine.encoders.items():
        jobs += encoder.products(machine.encoder_place(layer, tape.whole(count)), gradient, samples)
        count, samples = count * samples, 1
    return jobs
