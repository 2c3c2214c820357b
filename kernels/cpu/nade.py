"""Numba passes of a neural autoregressive distribution estimator; kernels.reference_nade is their truth.

Hidden units change only where a unit is not 0, so an activation is worked out once for each of those, not once for each
unit. A group of rows meets the weights of a unit together. A row's result does not depend on the rows beside it, and
sums over rows run in the order of the rows. Gradients are found for a span of hidden units at a time, whose values at
all changes stay in the second-level cache.
"""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu.bernoulli import FULL, _draw, _sigmoid
from boltz.kernels.cpu.notice import announce
from boltz.kernels.cpu.philox import row_bits, scratch, words
from boltz.kernels.cpu.vectors import DOT, fold_dot, fused, kernel

GROUP = 8  # rows that meet the weights of a unit together
SPAN = 64  # hidden units of a span


@kernel
def _act(relu, field, h):
    zero = field.dtype.type(0)
    if relu:
        for c in range(len(field)):
            h[c] = zero if field[c] < zero else field[c]
    else:
        for c in range(len(field)):
            h[c] = _sigmoid(field[c])


@kernel
def _hear(x, weight, first, field):
    """field += x * weight, from its number first on."""
    for c in range(min(len(field), len(weight) - first)):
        field[c] = fused(x, weight[first + c], field[c])


@kernel
def _read(source, first, target):
    """target := source from its number first on, as many as there are."""
    for c in range(min(len(target), len(source) - first)):
        target[c] = source[first + c]


@kernel
def _begin(field, bias, first, target):
    for c in range(min(len(target), len(field) - first)):
        target[c] = field[first + c] + bias[first + c]


@kernel
def _logits(field, weight, bias, decoder, order, state, repeat, relu, logits, key0, key1, step, rows):
    """Logits of a state, or where rows are given of the state that is drawn."""
    units, hidden = weight.shape
    kind = field.dtype.type
    full, one, zero = kind(FULL), kind(1), kind(0)
    wide = (hidden + DOT - 1) // DOT * DOT
    inputs, h, decoded = (
        np.zeros((GROUP, hidden), field.dtype),
        np.zeros((GROUP, wide), field.dtype),
        np.zeros(wide, field.dtype),
    )
    size = len(scratch(units)) if len(rows) else 0
    bits = np.empty((GROUP, size), np.uint32)
    for start in range(0, len(field), GROUP):
        count = min(GROUP, len(field) - start)
        for r in range(count):
            _begin(field[start + r], bias, 0, inputs[r])
            _act(relu, inputs[r], h[r, :hidden])
            if len(rows):
                row_bits(key0, key1, np.uint64(rows[start + r]), step, bits[r])
        for k in range(units):
            i = order[k]
            _read(decoder[i], 0, decoded)
            for r in range(count):
                row = start + r
                x = logits[row, i] + fold_dot(decoded.ctypes.data, h[r].ctypes.data, wide // DOT, one)
                logits[row, i] = x
                if len(rows):
                    state[row, i] = _draw(bits[r, i], _sigmoid(x), full, one)
                s = state[row // repeat, i]
                if s != zero and k + 1 < units:
                    _hear(s, weight[i], 0, inputs[r])
                    _act(relu, inputs[r], h[r, :hidden])


@kernel
def _values(field, weight, bias, order, state, relu, first, h):
    """Hidden units from first on at the start, and after each unit that is not 0, one after the other; their number."""
    inputs = np.zeros(SPAN, field.dtype)
    _begin(field, bias, first, inputs)
    _act(relu, inputs, h[0])
    count = 0
    for k in range(len(order) - 1):
        s = state[order[k]]
        if s != 0:
            count += 1
            _hear(s, weight[order[k]], first, inputs)
            _act(relu, inputs, h[count])
    return count


@kernel
def _close(relu, h, signal, after):
    """after += signal times the slope of the hidden units, and signal := 0: the end of the units that hear h."""
    zero, one = h.dtype.type(0), h.dtype.type(1)
    for c in range(SPAN):
        slope = (one if h[c] > zero else zero) if relu else h[c] - h[c] * h[c]
        after[c] = fused(signal[c], slope, after[c])
        signal[c] = zero


@kernel
def _add(x, values, total):
    for c in range(SPAN):
        total[c] = fused(x, values[c], total[c])


@kernel
def _write(source, first, last, target):
    for c in range(last - first):
        target[first + c] = source[c]


@kernel
def _clear(x):
    for c in range(len(x)):
        x[c] = 0


@kernel
def _back(
    field, weight, bias, decoder, order, state, repeat, score, relu, span, learn, d_weight, d_bias, d_decoder, out
):
    """Derivatives of a span of hidden units: with learn sums over rows by the parameters, else by field, in out."""
    units, (first, last) = len(order), span
    kind = field.dtype
    h = np.empty((GROUP, units, SPAN), kind)
    signal, after, now = np.zeros((GROUP, SPAN), kind), np.zeros((GROUP, SPAN), kind), np.zeros(GROUP, np.int64)
    decoded, mine, bias_sum = np.zeros(SPAN, kind), np.zeros(SPAN, kind), np.zeros(SPAN, kind)
    for start in range(0, len(field), GROUP):
        count = min(GROUP, len(field) - start)
        for r in range(count):
            row = start + r
            now[r] = _values(field[row], weight, bias, order, state[row // repeat], relu, first, h[r])
            _clear(after[r])
        for k in range(units - 1, -1, -1):
            i = order[k]
            for r in range(count):
                s = state[(start + r) // repeat, i]
                if s != 0 and k + 1 < units:
                    _close(relu, h[r, now[r]], signal[r], after[r])
                    now[r] -= 1
                    if learn:
                        _read(d_weight[i], first, mine)
                        _add(s, after[r], mine)
                        _write(mine, first, last, d_weight[i])
            _read(decoder[i], first, decoded)
            if learn:
                _read(d_decoder[i], first, mine)
                for r in range(count):
                    _add(score[start + r, i], h[r, now[r]], mine)
                _write(mine, first, last, d_decoder[i])
            for r in range(count):
                _add(score[start + r, i], decoded, signal[r])
        for r in range(count):
            _close(relu, h[r, 0], signal[r], after[r])
            if learn:
                _add(bias.dtype.type(1), after[r], bias_sum)
            else:
                _write(after[r], first, last, out[start + r])
    if learn:
        _write(bias_sum, first, last, d_bias)


announce()
NO_ROWS = np.empty(0, np.int64)


def _repeat(field, state):
    return len(field) // max(len(state), 1)


def _spans(first, last):
    return [(start, min(start + SPAN, last)) for start in range(first, last, SPAN)]


def nade_logits(field, nets, order, state, relu, logits):
    _logits(field, *nets, order, state, _repeat(field, state), relu, logits, *words((0, 0, 0)), NO_ROWS)


def nade_signal(field, nets, order, state, score, relu, out):
    for span in _spans(0, field.shape[1]):
        _back(field, *nets, order, state, _repeat(field, state), score, relu, span, False, *nets, out)


def nade_gradient(field, nets, order, state, score, relu, hidden, gradient):
    for first, last in _spans(*hidden):
        for part in gradient:
            part[..., first:last] = 0
        _back(field, *nets, order, state, _repeat(field, state), score, relu, (first, last), True, *gradient, field)


def nade_draw(field, nets, order, relu, logits, stream, rows, state):
    if len(field):
        _logits(field, *nets, order, state, 1, relu, logits, *words(stream), rows)
