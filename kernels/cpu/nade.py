"""Numba passes of a neural autoregressive distribution estimator; kernels.reference_nade is their truth.

Hidden units change only where a unit is not 0, so an activation is worked out once for each of those, not once for each
unit. A group of rows meets the weights of a unit together. A row's result does not depend on the rows beside it, and
sums over rows run in the order of the rows. Gradients are found for a span of hidden units at a time, whose values at
all changes stay in the second-level cache.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from boltz.kernels.cpu.bernoulli import FULL, _draw, _sigmoid
from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import (
    DOT,
    INT64,
    LANES,
    fold_dot,
    fused,
    fused_vectors,
    kernel,
    load,
    repeated,
    spread,
    store,
)

GROUP = 16  # rows that meet the weights of a unit together
SPAN = 128  # hidden units of a span


@kernel
def _act(relu, field, row, count, h, place):
    """The first hidden units of a row of h from their inputs."""
    zero = field.dtype.type(0)
    if relu:
        for c in range(count):
            x = field[row, c]
            h[place, c] = zero if x < zero else x
    else:
        for c in range(count):
            h[place, c] = _sigmoid(field[row, c])


@kernel
def _begin(field, bias, source, span, target, row):
    """The inputs of a span of hidden units before any unit is heard."""
    for c in range(span[1] - span[0]):
        target[row, c] = field[source, span[0] + c] + bias[span[0] + c]


@kernel
def _hear(x, weight, unit, span, field, row):
    """A row of inputs += x times what a unit sends to a span of hidden units."""
    for c in range(span[1] - span[0]):
        field[row, c] = fused(x, weight[unit, span[0] + c], field[row, c])


@kernel
def _read(source, unit, span, target):
    for c in range(span[1] - span[0]):
        target[c] = source[unit, span[0] + c]


@kernel
def _write(source, row, span, target, unit):
    for c in range(span[1] - span[0]):
        target[unit, span[0] + c] = source[row, c]


@kernel
def _logits(field, nets, order, state, repeat, relu, logits, key0, key1, step, rows):
    """Logits of a state, or where rows are given of the state that is drawn."""
    weight, bias, decoder = nets
    units, hidden = weight.shape
    kind = field.dtype
    full, one, zero = kind.type(FULL), kind.type(1), kind.type(0)
    wide = (hidden + DOT - 1) // DOT * DOT
    inputs, h, decoded = np.zeros((GROUP, hidden), kind), np.zeros((GROUP, wide), kind), np.zeros(wide, kind)
    whole = np.uintp(0), np.uintp(hidden)
    source, row_size = np.zeros(GROUP, np.int64), wide * h.itemsize
    size = len(scratch(units)) if len(rows) else 0
    bits = np.empty((GROUP, size), np.uint32)
    for start in range(0, len(field), GROUP):
        count = min(GROUP, len(field) - start)
        for r in range(count):
            _begin(field, bias, start + r, whole, inputs, r)
            _act(relu, inputs, r, hidden, h, r)
            source[r] = (start + r) // repeat
            if len(rows):
                row_bits(key0, key1, np.uint64(rows[start + r]), step, bits[r])
        for k in range(units):
            i = order[k]
            _read(decoder, i, whole, decoded)
            for r in range(count):
                x = logits[start + r, i] + fold_dot(decoded.ctypes.data, h.ctypes.data + r * row_size, wide // DOT, one)
                logits[start + r, i] = x
                if len(rows):
                    state[start + r, i] = _draw(bits[r, i], _sigmoid(x), full, one)
                s = state[source[r], i]
                if s != zero and k + 1 < units:
                    _hear(s, weight, i, whole, inputs, r)
                    _act(relu, inputs, r, hidden, h, r)


@kernel
def _values(inputs, weight, order, state, source, relu, span, row, h):
    """Hidden units of a span at the start, and after each unit that is not 0, one after the other; their number.

    h holds a stretch of len(order) for each row of a group.
    """
    place = row * len(order)
    _act(relu, inputs, row, SPAN, h, place)
    for k in range(len(order) - 1):
        s = state[source, order[k]]
        if s != 0:
            place += 1
            _hear(s, weight, order[k], span, inputs, row)
            _act(relu, inputs, row, SPAN, h, place)
    return place


@kernel
def _close(relu, h, place, signal, after, row):
    """after += signal times the slope of the hidden units, and signal := 0: the end of the units that hear them."""
    zero, one = h.dtype.type(0), h.dtype.type(1)
    for c in range(SPAN):
        x = h[place, c]
        slope = (one if x > zero else zero) if relu else x - x * x
        after[row, c] = fused(signal[row, c], slope, after[row, c])
        signal[row, c] = zero


@kernel
def _add(x, values, row, span, total, unit):
    for c in range(span[1] - span[0]):
        total[unit, span[0] + c] = fused(x, values[row, c], total[unit, span[0] + c])


@intrinsic
def _meet(
    typingctx: Any, rows: Any, scores: Any, values: Any, signals: Any, decoded: Any, total: Any, like: Any
) -> Any:
    """A unit meets so many rows: total += score * values, and each row's signal += score * decoded, all of a span.

    At addresses: scores and its step in bytes, those of the rows' values, signals one after the other, decoded, total.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, scores, values, signals, decoded, total, like = arguments
        (score, down), kind = (builder.extract_value(scores, i) for i in range(2)), ir.VectorType(like.type, LANES)
        size = LANES * (4 if like.type == ir.FloatType() else 8)
        vectors = range(SPAN // LANES)
        weights, held = ([load(builder, x, size * v, kind=kind) for v in vectors] for x in (decoded, total))

        def row(r: Any, kept: list[Any]) -> list[Any]:
            x = load(builder, builder.add(score, builder.mul(r, down)), kind=like.type)
            x = spread(builder, x, LANES)
            h = load(builder, builder.add(values, builder.mul(r, INT64(8))), align=8, kind=INT64)
            signal = builder.add(signals, builder.mul(r, INT64(size * len(vectors))))
            for v, weight in enumerate(weights):
                sent = fused_vectors(builder, x, weight, load(builder, signal, size * v, kind=kind))
                store(builder, sent, signal, size * v)
            return [fused_vectors(builder, x, load(builder, h, size * v, kind=kind), kept[v]) for v in vectors]

        for v, value in enumerate(repeated(builder, rows, held, row)):
            store(builder, value, total, size * v)
        return context.get_dummy_value()

    pair = types.UniTuple(types.int64, 2)
    return types.void(types.int64, pair, *[types.int64] * 4, like), codegen


@kernel
def _back(field, nets, order, state, repeat, score, relu, span, learn, gradient, out):
    """Derivatives of a span of hidden units: with learn sums over rows by the parameters, else by field, in out."""
    (weight, bias, decoder), (d_weight, d_bias, d_decoder) = nets, gradient
    units, kind = len(order), field.dtype
    h, inputs = np.empty((GROUP * units, SPAN), kind), np.zeros((GROUP, SPAN), kind)
    signal, after = np.zeros((GROUP, SPAN), kind), np.zeros((GROUP, SPAN), kind)
    decoded, total = np.zeros(SPAN, kind), np.zeros((1, SPAN), kind)
    source, now, places = np.zeros(GROUP, np.int64), np.zeros(GROUP, np.int64), np.zeros(GROUP, np.int64)
    one, size = kind.type(1), h.itemsize
    for start in range(0, len(field), GROUP):
        count = min(GROUP, len(field) - start)
        for r in range(count):
            source[r] = (start + r) // repeat
            _begin(field, bias, start + r, span, inputs, r)
            now[r] = _values(inputs, weight, order, state, source[r], relu, span, r, h)
            for c in range(SPAN):
                after[r, c] = 0
        for k in range(units - 1, -1, -1):
            i = order[k]
            for r in range(count):
                s = state[source[r], i]
                if s != 0 and k + 1 < units:
                    _close(relu, h, now[r], signal, after, r)
                    now[r] -= 1
                    if learn:
                        _add(s, after, r, span, d_weight, i)
                places[r] = h.ctypes.data + now[r] * SPAN * size
            _read(decoder, i, span, decoded)
            if learn:
                _read(d_decoder, i, span, total[0])
            scores = score.ctypes.data + start * score.strides[0] + i * size, score.strides[0]
            _meet(count, scores, places.ctypes.data, signal.ctypes.data, decoded.ctypes.data, total.ctypes.data, one)
            if learn:
                _write(total, 0, span, d_decoder, i)
        for r in range(count):
            _close(relu, h, now[r], signal, after, r)
            if learn:
                for c in range(span[1] - span[0]):
                    d_bias[span[0] + c] += after[r, c]
            else:
                _write(after, r, span, out, start + r)


NO_ROWS = np.empty(0, np.int64)


def _repeat(field, state):
    return len(field) // max(len(state), 1)


def _spans(first, last):
    """Spans from first to last; a loop over numbers without sign asks for none below 0, and LLVM vectorises it."""
    return [(np.uintp(start), np.uintp(min(start + SPAN, last))) for start in range(first, last, SPAN)]


def nade_logits(field, nets, order, state, relu, logits):
    _logits(field, nets, order, state, _repeat(field, state), relu, logits, *words((0, 0, 0)), NO_ROWS)


def nade_signal(field, nets, order, state, score, relu, out):
    for span in _spans(0, field.shape[1]):
        _back(field, nets, order, state, _repeat(field, state), score, relu, span, False, nets, out)


def nade_gradient(field, nets, order, state, score, relu, hidden, gradient):
    for span in _spans(*hidden):
        for part in gradient:
            part[..., slice(*span)] = 0
        _back(field, nets, order, state, _repeat(field, state), score, relu, span, True, gradient, field)


def nade_draw(field, nets, order, relu, logits, stream, rows, state):
    if len(field):
        _logits(field, nets, order, state, 1, relu, logits, *words(stream), rows)
