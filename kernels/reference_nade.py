"""The numpy truth of the passes of a neural autoregressive distribution estimator, written for reading.

The units are visited in an order. Hidden units hear the units before: h = act(field + bias + sum of state_j weight_j),
with weight (units, hidden) and field (rows, hidden). Unit i hears them: its logit is logits_i + decoder_i . h, with
decoder (units, hidden) and logits (rows, units) (Larochelle & Murray 2011). State may have fewer rows than
field: each then stands for as many consecutive ones. Score (rows, units) is the derivative by the logits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from boltz.kernels.reference import Array, Stream, _fires, bits_of


class Nets(NamedTuple):
    """weight (units, hidden), bias (hidden,), decoder (units, hidden)."""

    weight: Array
    bias: Array
    decoder: Array


def _hidden(relu: bool, field: Array) -> tuple[Array, Array]:
    """Hidden units and their slopes."""
    h = np.maximum(field, 0) if relu else expit(field)
    return h, (h > 0).astype(h.dtype) if relu else h - h * h


def _repeated(state: Array, field: Array) -> Array:
    return np.repeat(state, len(field) // max(len(state), 1), axis=0)


def _visits(field: Array, nets: Nets, order: NDArray[np.int64], state: Array) -> Iterator[tuple[int, Array]]:
    """Each unit in turn with the inputs (rows, hidden) of the hidden units that it hears."""
    inputs = field + nets.bias
    for i in order:
        yield i, inputs
        inputs = inputs + state[:, i, None] * nets.weight[i]


def nade_logits(field: Array, nets: Nets, order: NDArray[np.int64], state: Array, relu: bool, logits: Array) -> None:
    """logits gains what each unit hears of those before it."""
    for i, inputs in _visits(field, nets, order, _repeated(state, field)):
        logits[:, i] += _hidden(relu, inputs)[0] @ nets.decoder[i]


def nade_signal(
    field: Array, nets: Nets, order: NDArray[np.int64], state: Array, score: Array, relu: bool, out: Array
) -> None:
    """out (rows, hidden) := the derivative by field."""
    out[...] = 0
    for i, inputs in _visits(field, nets, order, _repeated(state, field)):
        out += score[:, i, None] * nets.decoder[i] * _hidden(relu, inputs)[1]


def nade_gradient(
    field: Array,
    nets: Nets,
    order: NDArray[np.int64],
    state: Array,
    score: Array,
    relu: bool,
    hidden: tuple[int, int],
    gradient: Nets,
) -> None:
    """gradient := the sums over rows of the derivatives by the parameters of the hidden units first to last - 1."""
    state, (first, last) = _repeated(state, field), hidden
    mine, out = Nets(*(x[..., first:last] for x in nets)), Nets(*(x[..., first:last] for x in gradient))
    after, steps = np.zeros_like(field[:, first:last]), list(_visits(field[:, first:last], mine, order, state))
    for i, inputs in reversed(steps):
        h, slope = _hidden(relu, inputs)
        out.weight[i] = state[:, i] @ after
        out.decoder[i] = score[:, i] @ h
        after += score[:, i, None] * mine.decoder[i] * slope
    out.bias[...] = after.sum(axis=0)


def nade_draw(
    field: Array,
    nets: Nets,
    order: NDArray[np.int64],
    relu: bool,
    logits: Array,
    stream: Stream,
    rows: NDArray[np.int64],
    state: Array,
) -> None:
    """As nade_logits, and each unit drawn as it is visited; rows names each row's chain number."""
    bits = bits_of(stream, rows, state.shape[1])
    for i, inputs in _visits(field, nets, order, state):
        logits[:, i] += _hidden(relu, inputs)[0] @ nets.decoder[i]
        state[:, i] = _fires(bits[:, i], expit(logits[:, i])) + (logits[:, i] - logits[:, i])
