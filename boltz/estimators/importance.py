"""Importance sampling of log p*(v): log-weights log p*(v, h) - log q(h | v) of any machine (nats).

q is the recognition model of a Helmholtz machine, and for a Boltzmann machine the mean-field posterior of the layers
next to v, the others summed out. L_k = E log 1/k sum_i w_i is a lower bound that rises with k to log p*(v) (Burda,
Grosse & Salakhutdinov 2016, eq. 8 and theorem 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import beside, host, on_device
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape, zeros
from boltz.numerics import log_mean_exp, pareto_shape
from boltz.rng import Key
from boltz.sampling.driver import blocks, workers
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import MeanField, solve
from boltz.sampling.recognition import draw, encode, streams

Array = NDArray[Any]
Floats = NDArray[np.float64]
Reduce = Callable[[Floats], Floats]
LEAST_TAIL, HEAVY = 100, 0.7
ENCODED_ROWS, CHUNK, DEVICE_CHUNK = (
    16,
    1024,
    1 << 17,
)  # rows a block of a Helmholtz machine, and samples that are in memory with all layers


def reduced(model: Model, x: Array, samples: int, key: Key, reduce: Reduce) -> Floats:
    """reduce(log-weights (rows, samples)) of all rows, block by block, so that memory does not grow with the data."""
    if len(x) * samples >= 2**32:
        raise InputError(f"rows times samples must be below 2^32, got {len(x):,} x {samples:,}.")

    def work(part: slice) -> Floats:
        if isinstance(model, BoltzmannMachine):
            return reduce(host(_mean_field_weights(model, x[part], part.start, samples, key)))
        rows = part.start + np.arange(len(x[part]))
        return reduce(host(_recognition_weights(model, x[part], rows, samples, key)))

    parts = blocks(len(x), like=x) if isinstance(model, BoltzmannMachine) else blocks(len(x), ENCODED_ROWS, x)
    with workers(x) as pool:
        return np.concatenate(pool.map(work, parts))


def mean_and_error(log_w: Floats) -> Floats:
    """(rows, 3): log of the mean weight over the samples, its standard error by the delta method, and the share of the
    samples that is effective, 0 where the tail of the weights is too heavy for an error.
    """
    value, count = log_mean_exp(log_w, 1), log_w.shape[1]
    if count == 1:
        return np.stack([value, np.full(len(log_w), np.inf), np.zeros(len(log_w))], axis=1)
    relative = np.exp(log_w - value[:, None])
    error = relative.std(axis=1, ddof=1) / np.sqrt(count)
    share = np.where(heavy(log_w), 0.0, 1 / (1 + error**2 * (count - 1)))
    return np.stack([value, error, share], axis=1)


def heavy(log_w: Floats) -> NDArray[np.bool_]:
    """Whether the weights (rows, samples) of a row have a tail too heavy for the error of their mean, (rows,).

    Effective samples cannot tell: they look sufficient until the tail is met. The limit on its shape is that of Vehtari
    et al. (2024); below 100 samples, which are never trusted, nothing is said.
    """
    if log_w.shape[1] < LEAST_TAIL:
        return np.zeros(len(log_w), bool)
    return np.asarray(pareto_shape(log_w) > HEAVY)


def bounds_and_errors(log_w: Floats, sizes: Sequence[int]) -> Floats:
    """(rows, sizes, 3): unbiased L_k for each k, the mean over groups of k samples; its standard error; and the share
    of a group's samples that is effective, the mean over groups, 0 where the tail of the weights is too heavy.
    """
    found, told = [], ~heavy(log_w)
    for k in sizes:
        groups = log_w.shape[1] // k
        grouped = log_w[:, : groups * k].reshape(len(log_w), groups, k)
        each = log_mean_exp(grouped, 2)
        weights = np.exp(grouped - each[:, :, None])
        share = (k / np.sum(weights**2, axis=2)).mean(axis=1)
        alone = groups == 1
        error = mean_and_error(log_w[:, :k])[:, 1] if alone else each.std(axis=1, ddof=1) / np.sqrt(groups)
        found.append(np.stack([each.mean(axis=1), error, share * told], axis=1))
    return np.stack(found, axis=1)


def _mean_field_weights(model: BoltzmannMachine, rows: Array, first: int, samples: int, key: Key) -> Floats:
    visible = model.graph.visible
    scratch = Scratch(model.arena)
    means = solve(model, {visible: rows}, MeanField(), scratch)
    drawn = {layer: np.empty_like(means[layer]) for layer in model.graph.colours[1]}
    fields = {layer: model.unit_type(layer).natural(_inside(means[layer])) for layer in drawn}
    q = {layer: model.unit_type(layer).mean(fields[layer]).astype(model.dtype) for layer in drawn}
    summed = [layer for layer in model.graph.colours[0] if layer != visible]
    log_w = np.empty_like(rows, shape=(len(rows), samples), dtype=np.float64)
    for i in range(samples):
        log_q = zeros(rows)
        for layer, state in drawn.items():
            kind = model.unit_type(layer)
            kind.draw(q[layer], key.derive(layer).stream(i), first, state)
            log_q += np.sum(state * fields[layer], axis=1) - kind.total_log_partition(fields[layer])
        log_w[:, i] = -model.marginal_energy({visible: rows, **drawn}, summed) - log_q
    return log_w


def _inside(mean: Array) -> Array:
    """Means kept off 0 and 1, so that q gives every state a chance."""
    return np.clip(mean.astype(np.float64), 1e-7, 1 - 1e-7)


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
