"""Samples of the recognition model with every term of their log-weights, log w = log p(v, h) - log q(h | v) (nats).

The rows of a batch are encoded once; each then stands for as many consecutive rows of samples as are drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import host, numbers
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import Pullback
from boltz.nn.factors import Scored
from boltz.parallel import FEWEST, Workers, evened, share_count, workers
from boltz.rng import Key

Array = NDArray[Any]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
BLOCK = 256


@dataclass
class Terms:
    """What recognition leaves: scores (rows, outputs) and pullbacks by layer, and log-densities (rows,) by layer."""

    scores: dict[str, Array] = field(default_factory=dict)
    pullbacks: dict[str, Pullback] = field(default_factory=dict)
    log_density: dict[str, Floats] = field(default_factory=dict)


@dataclass
class Pass:
    """The samples of one block: terms of recognition, and what the factors of generation leave by layer.

    log_p (rows,) by layer is log p of a layer given the one above, of the topmost drawn one under the prior.
    """

    machine: HelmholtzMachine
    part: Part
    samples: int
    recognition: Terms = field(default_factory=Terms)
    scored: dict[str, Scored] = field(default_factory=dict)
    log_p: dict[str, Floats] = field(default_factory=dict)

    @property
    def inner(self) -> Part:
        """The rows of the samples."""
        return self.part.times(self.samples)

    def state(self, layer: str) -> Array:
        """States (rows, units) of a layer: of the data for the visible one, else of the samples."""
        part = self.part if layer == self.machine.visible else self.inner
        return part.get(f"state/{layer}", self.machine.units[layer])

    def log_weights(self, scales: Mapping[str, float] | None = None) -> Floats:
        """log w (data rows, samples), with the terms of each hidden layer times its scale."""
        total = self.log_p[self.machine.visible].copy()
        for layer in self.machine.structure.latent:
            total -= self.kl(layer.name) * (1.0 if scales is None else scales[layer.name])
        return total.reshape(-1, self.samples)

    def kl(self, layer: str) -> Floats:
        """log q - log p of a hidden layer, (rows of the samples,)."""
        return self.recognition.log_density[layer] - self.log_p[layer]


def parts(tape: Tape, rows: int, samples: int) -> list[Part]:
    """Blocks of whole rows of a batch with about 256 samples each, at least two where there is enough; one on a
    device, up to 65,536 samples.
    """
    count = min(rows, share_count(rows, tape.like, BLOCK, samples))
    found, even = (_slices(rows, samples, each) for each in (count, evened(count, tape.like)))
    kept = even if all(samples * (each.stop - each.start) >= FEWEST for each in even) else found
    return [Part(tape, each, rows) for each in kept]


def _slices(rows: int, samples: int, count: int) -> list[slice]:
    step = 4 // gcd(4, samples)  # products favour multiples of four rows
    edges = [0, *(-(-rows * i // count) // step * step for i in range(1, count)), rows]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def sampled(
    machine: HelmholtzMachine,
    tape: Tape,
    batch: Array,
    samples: int,
    at: tuple[Key, int],
    pool: Workers,
    step: int | None = None,
) -> list[Pass]:
    """Passes over the blocks of a batch (rows, units), so many samples a row, drawn by a key and a step.

    Blocks of several samples have few rows, which are encoded before, more of them at a time. step is that of training,
    None elsewhere.
    """
    tape.get(f"state/{machine.visible}", *batch.shape)[...] = batch
    if not machine.structure.latent:
        return pool.map(lambda part: scored(machine, part, step), parts(tape, len(batch), samples))
    drawn = streams(machine, *at)
    if samples > 1:
        pool.map(lambda part: encode(machine, part), parts(tape, len(batch), 1))

    def work(part: Part) -> Pass:
        first, last = part.times(samples).rows.start, part.times(samples).rows.stop
        encoded, pullback = encode(machine, part) if samples == 1 else encoding(machine, part)
        found = draw(machine, part, encoded, samples, drawn, numbers(first, last, batch), step)
        found.recognition.pullbacks[machine.structure.latent[0].name] = pullback
        return found

    return pool.map(work, parts(tape, len(batch), samples))


def encode(machine: HelmholtzMachine, part: Part) -> tuple[Array, Pullback]:
    """Outputs (data rows, outputs) of the lowest recognition net for the states at state/v, and its pullback."""
    layer = machine.structure.latent[0].name
    return machine.encoders[layer].encode(machine.encoder_place(layer, part))


def encoding(machine: HelmholtzMachine, part: Part) -> tuple[Array, Pullback]:
    """The same of a part whose rows are encoded already."""
    layer = machine.structure.latent[0].name
    net, name = machine.structure.recognition[layer], f"recognition/{layer}"
    return net.outputs(name, part), net.pulled(name, machine.params, part)


def draw(
    machine: HelmholtzMachine,
    part: Part,
    encoded: Array,
    samples: int,
    streams: Mapping[str, Any],
    numbers: Rows,
    step: int | None = None,
) -> Pass:
    """Draw so many samples a row from encoded outputs, upwards, and score them under both models.

    streams has one a layer, or none at all: then the states that are there are scored. numbers (data rows * samples,)
    are the chain numbers of the samples.
    """
    found = Pass(machine, part, samples)
    inner, terms = found.inner, found.recognition
    for layer, encoder in machine.encoders.items():
        place = machine.encoder_place(layer, inner)
        if machine.structure.heard[layer] != machine.visible:
            value, terms.pullbacks[layer] = encoder.encode(place)
        else:
            value = inner.get(f"{place.name}/repeated", encoded.shape[1])
            kernels.repeated(encoded, value)
        state = inner.get(f"state/{layer}", encoder.units)
        if streams:
            log_q = encoder.draw(place, value, state, streams[layer], numbers)
        else:
            log_q = encoder.score(place, value, state)
        terms.log_density[layer], terms.scores[layer] = log_q, value
    _generate(found, step)
    return found


def scored(machine: HelmholtzMachine, part: Part, step: int | None = None) -> Pass:
    """The pass of a machine without hidden layers over the rows at state/v."""
    found = Pass(machine, part, 1)
    _generate(found, step)
    return found


def streams(machine: HelmholtzMachine, key: Key, step: int) -> dict[str, Any]:
    """One random stream a drawn layer."""
    return {layer.name: key.derive("recognition", layer.name).stream(step) for layer in machine.structure.latent}


def _generate(found: Pass, step: int | None) -> None:
    """Score the states from the bottom: each layer given the one above, the topmost drawn one under the prior."""
    machine = found.machine
    for child, parent in machine.structure.chain:
        state = found.state(child.name)
        if parent is None and machine.prior_machine is not None:
            found.log_p[child.name] = rbm_log_density(machine.prior_machine, state)
            continue
        place = machine.place(child, parent, found.inner, step)
        terms = found.scored[child.name] = machine.factors[child.name].score(place, state)
        found.log_p[child.name] = terms.log_density


def log_densities(machine: HelmholtzMachine, x: Array) -> Floats:
    """log p(v) (rows,) in nats of visible rows (rows, units) under a machine without hidden layers."""
    with workers(machine.arena) as pool:
        passes = sampled(machine, Tape(machine.arena), x, 1, (Key(0, 0), 0), pool)
    return np.concatenate([host(found.log_p[machine.visible]) for found in passes])


def rbm_log_density(rbm: BoltzmannMachine, state: Array) -> Floats:
    """log p* (rows,) of the lower layer of an RBM prior, without its log Z."""
    return -rbm.marginal_energy({"v": state}, ("h1",))
