"""Importance sampling of log p*(v): log-weights log p*(v, h) - log q(h | v) of any machine (nats).

q is the recognition model of a Helmholtz machine, and for a Boltzmann machine a mixture of mean-field posteriors
(sampling/mixtures.py) of the layers next to v, the others summed out. L_k = E log 1/k sum_i w_i is a lower bound that
rises with k to log p*(v) (Burda, Grosse & Salakhutdinov 2016, eq. 8 and theorem 1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host, on_device
from boltz.errors import InputError
from boltz.estimators.precision import accurate
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.numerics import log_mean_exp, pareto_shape
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.gibbs import Scratch, layer_input, turned_weights
from boltz.sampling.mixtures import mixture_of
from boltz.sampling.recognition import draw, encode, streams

Array = NDArray[Any]
Floats = NDArray[np.float64]
Reduce = Callable[[Floats], Floats]
LEAST_TAIL, HEAVY = 100, 0.7
MEAN_FIELD_ROWS, ENCODED_ROWS = 256, 16  # rows a block of a Boltzmann and of a Helmholtz machine
CHUNK, DEVICE_CHUNK = 1024, 1 << 17  # samples of a Helmholtz machine that are in memory with all layers


def reduced(model: Model, x: Array, samples: int, key: Key, reduce: Reduce) -> Floats:
    """reduce(log-weights (rows, samples)) of all rows, block by block, so that memory does not grow with the data."""
    if len(x) * samples >= 2**32:
        raise InputError(f"rows times samples must be below 2^32, got {len(x):,} x {samples:,}.")

    model, x = accurate(model, x)
    turned = turned_weights(model) if isinstance(model, BoltzmannMachine) else {}

    def work(part: slice) -> Floats:
        if isinstance(model, BoltzmannMachine):
            return reduce(host(_mean_field_weights(model, x[part], part.start, samples, key, turned)))
        rows = part.start + np.arange(len(x[part]))
        return reduce(host(_recognition_weights(model, x[part], rows, samples, key)))

    parts = blocks(len(x), MEAN_FIELD_ROWS if isinstance(model, BoltzmannMachine) else ENCODED_ROWS, x)
    with workers(x) as pool:
        return np.concatenate(pool.map(work, parts))


def mean_and_error(log_w: Floats) -> Floats:
    """(rows, 4): log of the mean weight over the samples, its standard error by the delta method, the share of the
    samples that is effective, 0 where the tail of the weights is too heavy for an error, and the largest log-weight.
    """
    value, count, largest = log_mean_exp(log_w, 1), log_w.shape[1], log_w.max(axis=1)
    if count == 1:
        return np.stack([value, np.full(len(log_w), np.inf), np.zeros(len(log_w)), largest], axis=1)
    relative = np.exp(log_w - value[:, None])
    error = relative.std(axis=1, ddof=1) / np.sqrt(count)
    share = np.where(heavy(log_w), 0.0, 1 / (1 + error**2 * (count - 1)))
    return np.stack([value, error, share, largest], axis=1)


def heavy(log_w: Floats) -> NDArray[np.bool_]:
    """Whether the weights (rows, samples) of a row have a tail too heavy for the error of their mean, (rows,).

    Effective samples cannot tell: they look sufficient until the tail is met. The limit on its shape is that of Vehtari
    et al. (2024); below 100 samples, which are never trusted, nothing is said.
    """
    if log_w.shape[1] < LEAST_TAIL:
        return np.zeros(len(log_w), bool)
    return np.asarray(pareto_shape(log_w) > HEAVY)


def bounds_and_errors(log_w: Floats, sizes: Sequence[int]) -> Floats:
    """(rows, sizes, 4): unbiased L_k for each k, the mean over groups of k samples; its standard error; the share of a
    group's samples that is effective, the mean over groups, 0 where the tail of the weights is too heavy; and the
    largest log-weight of all.
    """
    found, told, largest = [], ~heavy(log_w), log_w.max(axis=1)
    for k in sizes:
        groups = log_w.shape[1] // k
        grouped = log_w[:, : groups * k].reshape(len(log_w), groups, k)
        each = log_mean_exp(grouped, 2)
        weights = np.exp(grouped - each[:, :, None])
        share = (k / np.sum(weights**2, axis=2)).mean(axis=1)
        alone = groups == 1
        error = mean_and_error(log_w[:, :k])[:, 1] if alone else each.std(axis=1, ddof=1) / np.sqrt(groups)
        found.append(np.stack([each.mean(axis=1), error, share * told, largest], axis=1))
    return np.stack(found, axis=1)


@dataclass(frozen=True, eq=False)
class Weigher:
    """log p*(v, h) of the layers next to v with the others summed out, what v sends being worked out once, in float64.

    constant (rows,): what does not depend on h; sent: layer -> (rows, units), fields of the layers next to v.
    """

    machine: BoltzmannMachine
    constant: Floats
    sent: dict[str, Floats]
    turned: Mapping[Any, Any]
    scratch: Scratch

    def log_density(self, state: Mapping[str, Array]) -> Floats:
        """log p*(v, h) (rows,) of states (rows, units)."""
        machine, total = self.machine, self.constant.copy()
        for layer, fields in self.sent.items():
            total += np.einsum("ij,ij->i", fields, state[layer].astype(np.float64))
            total -= machine.unit_type(layer).base_energy(state[layer])
        for layer in machine.graph.colours[0]:
            if layer != machine.visible:
                inputs = layer_input(machine, layer, state, self.scratch, self.turned)
                inputs += machine.bias(layer)
                total += machine.unit_type(layer).total_log_partition(inputs)
        return total


def weigher(machine: BoltzmannMachine, rows: Array, turned: Mapping[Any, Any]) -> Weigher:
    """log p*(v, h) for visible rows (rows, units); turned holds turned_weights of the machine."""
    wide = machine.astype(np.float64)
    v = {machine.visible: rows.astype(np.float64)}
    sent = {layer: wide.field(layer, v) for layer in machine.graph.colours[1]}
    return Weigher(machine, -wide.marginal_energy(v, ()), sent, turned, Scratch(machine.arena))


def _mean_field_weights(
    model: BoltzmannMachine, rows: Array, first: int, samples: int, key: Key, turned: Mapping[Any, Any]
) -> Floats:
    q, p = mixture_of(model, rows, first, key), weigher(model, rows, turned)
    drawn = {layer: model.zeros(len(rows), layer) for layer in model.graph.colours[1]}
    log_w = np.empty_like(rows, shape=(len(rows), samples), dtype=np.float64)
    for i in range(samples):
        q.draw(key, i, first, drawn)
        log_w[:, i] = p.log_density(drawn) - q.log_density(drawn)
    return log_w


def reduced_alone(
    model: HelmholtzMachine, x: Array, numbers: NDArray[np.int64], samples: int, key: Key, reduce: Reduce
) -> Floats:
    """As reduced, but each row by itself with the chains of its number (rows,), times samples below 2^32.

    What comes out for a row follows from the row and its number alone, to the last bit.
    """

    def work(i: int) -> Floats:
        return reduce(host(_recognition_weights(model, x[i : i + 1], numbers[i : i + 1], samples, key)))

    with workers(x) as pool:
        return np.concatenate(pool.map(work, list(range(len(x)))))


def _recognition_weights(
    model: HelmholtzMachine, rows: Array, numbers: NDArray[np.int64], samples: int, key: Key
) -> Floats:
    """The rows are encoded once; their samples then come in chunks, by the chains of the numbers of the rows."""
    tape, count = Tape(model.arena), len(rows)
    part = Part(tape, slice(0, count), count)
    part.get(f"state/{model.visible}", model.units[model.visible])[...] = rows
    encoded, _ = encode(model, part)
    drawn, log_w = streams(model, key, 0), np.empty_like(rows, shape=(count, samples), dtype=np.float64)
    chains = numbers[:, None] * samples + np.arange(samples)
    chunk = max(1, (DEVICE_CHUNK if on_device(rows) else CHUNK) // count)
    for start in range(0, samples, chunk):
        some = np.ascontiguousarray(chains[:, start : start + chunk])
        found = draw(model, part, encoded, some.shape[1], drawn, beside(some.reshape(-1), rows))
        log_w[:, start : start + chunk] = found.log_weights()
    return log_w
