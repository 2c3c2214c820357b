"""Numba versions of the primitives: one pass over each row, single-threaded, without the interpreter lock.

Loops are shaped so that LLVM vectorises them without fast-math: sixteen neighbouring units take their random bits from
sixteen neighbouring Philox blocks, sums run in sixteen independent lanes, and exp and log1p are polynomials in float32.
A NaN in a field stays a NaN in the mean and in the drawn state, so that the guards see it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from boltz.kernels.cpu_products import binary_contraction as binary_contraction
from boltz.kernels.cpu_products import binary_product as binary_product
from boltz.kernels.cpu_products import kernel

LANES = 16
TILE = 4 * LANES
FULL = np.float32(2**30)
LOG2E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
ROUNDER = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds a float32 to an integer in the low bits
EXP_TOP, EXP_BOTTOM = np.float32(88.0), np.float32(-87.0)
EXP_SERIES = tuple(np.float32(1 / math.factorial(k)) for k in range(8))  # remainder below 6e-9 for |r| <= ln(2)/2
ATANH_SERIES = tuple(np.float32(2 / (2 * k + 1)) for k in range(8))  # remainder below 2e-9 for s <= 1/3
ONE, TWO, ZERO = np.float32(1), np.float32(2), np.float32(0)


@intrinsic
def _bits_of(typingctx: Any, x: Any) -> Any:
    """The bit pattern of a float32 as int32."""
    return types.int32(types.float32), lambda context, builder, sig, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic
def _float_of(typingctx: Any, x: Any) -> Any:
    """The float32 with this int32 bit pattern."""
    return types.float32(types.int32), lambda context, builder, sig, args: builder.bitcast(args[0], ir.FloatType())


@kernel
def _exp32(x):
    x = EXP_TOP if x > EXP_TOP else x
    x = EXP_BOTTOM if x < EXP_BOTTOM else x
    shifted = x * LOG2E + ROUNDER
    n = shifted - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    s = EXP_SERIES
    p = ((((((s[7] * r + s[6]) * r + s[5]) * r + s[4]) * r + s[3]) * r + s[2]) * r + s[1]) * r + s[0]
    return p * _float_of(np.int32((_bits_of(shifted) + np.int32(127)) << np.int32(23)))


@kernel
def _log1p_unit32(t):
    """log(1 + t) for 0 <= t <= 1 by 2 atanh(t / (2 + t))."""
    s = t / (TWO + t)
    q = s * s
    c = ATANH_SERIES
    return s * (((((((c[7] * q + c[6]) * q + c[5]) * q + c[4]) * q + c[3]) * q + c[2]) * q + c[1]) * q + c[0])


def _sigmoid(x):
    raise TypeError("only inside compiled code")


def _softplus_sigmoid(x):
    raise TypeError("only inside compiled code")


@overload(_sigmoid)
def _sigmoid_overload(x):
    if x == types.float32:
        return lambda x: ONE / (ONE + _exp32(-x))
    return lambda x: 1.0 / (1.0 + math.exp(-x))


@overload(_softplus_sigmoid)
def _softplus_sigmoid_overload(x):
    """Both from one exponential, t = exp(-|x|)."""
    if x == types.float32:

        def both(x):
            t = _exp32(-abs(x))
            inverse = ONE / (ONE + t)
            return (ZERO if x < ZERO else x) + _log1p_unit32(t), (t if x < ZERO else ONE) * inverse

        return both

    def both64(x):
        t = math.exp(-abs(x))
        inverse = 1.0 / (1.0 + t)
        return (0.0 if x < 0.0 else x) + math.log1p(t), (t if x < 0.0 else 1.0) * inverse

    return both64


@kernel
def _high(a, b):
    return np.uint32((np.uint64(a) * np.uint64(b)) >> np.uint64(32))


@kernel
def _low(a, b):
    return np.uint32(np.uint64(a) * np.uint64(b))


@kernel
def _row_bits(key0, key1, chain, step, bits):
    """Fill bits (a multiple of TILE) with the words of one chain; ten Philox rounds a block."""
    for tile in range(len(bits) // TILE):
        for lane in range(LANES):
            c0 = np.uint32(tile * LANES + lane)
            c1 = np.uint32(chain)
            c2 = np.uint32(step)
            c3 = np.uint32(step >> np.uint64(32))
            k0, k1 = key0, key1
            for _ in range(10):
                h0, l0 = _high(np.uint32(0xD2511F53), c0), _low(np.uint32(0xD2511F53), c0)
                h1, l1 = _high(np.uint32(0xCD9E8D57), c2), _low(np.uint32(0xCD9E8D57), c2)
                c0, c1, c2, c3 = np.uint32(h1 ^ c1 ^ k0), l1, np.uint32(h0 ^ c3 ^ k1), l0
                k0, k1 = np.uint32(k0 + np.uint32(0x9E3779B9)), np.uint32(k1 + np.uint32(0xBB67AE85))
            start = tile * TILE + lane
            bits[start] = c0
            bits[start + LANES] = c1
            bits[start + 2 * LANES] = c2
            bits[start + 3 * LANES] = c3


@kernel
def _draw(bits, p, full):
    """1 with probability p, NaN if p is NaN."""
    return (1 if np.int32(bits >> np.uint32(2)) < np.int32(p * full) else 0) + (p - p)


@kernel
def _scratch(units):
    return np.empty((units + TILE - 1) // TILE * TILE, np.uint32)


@kernel
def _philox(key0, key1, step, first_row, out):
    bits = _scratch(out.shape[1])
    for i in range(len(out)):
        _row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        out[i] = bits[: out.shape[1]]


@kernel
def _from_mean(mean, key0, key1, step, rows, first_row, state):
    bits = _scratch(mean.shape[1])
    full = mean.dtype.type(FULL)
    for i in range(len(mean)):
        _row_bits(key0, key1, np.uint64(rows[i] if len(rows) else first_row + i), step, bits)
        p, s = mean[i], state[i]
        for j in range(len(p)):
            s[j] = _draw(bits[j], p[j], full)


@kernel
def _mean(field, scale, bias):
    for i in range(len(field)):
        f, b = field[i], bias[i % len(bias)]
        for j in range(len(f)):
            f[j] = _sigmoid(scale * f[j] + b[j])


@kernel
def _sample(field, scale, bias, key0, key1, step, first_row, state):
    bits = _scratch(field.shape[1])
    full = field.dtype.type(FULL)
    for i in range(len(field)):
        _row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        f, b, s = field[i], bias[i % len(bias)], state[i]
        for j in range(len(f)):
            p = _sigmoid(scale * f[j] + b[j])
            f[j] = p
            s[j] = _draw(bits[j], p, full)


@kernel
def _relax(field, scale, bias, damping, mean):
    units = field.shape[1]
    most = np.zeros(units, field.dtype)
    keep = field.dtype.type(1) - damping
    for i in range(len(field)):
        f, b, m = field[i], bias[i % len(bias)], mean[i]
        for j in range(units):
            old = m[j]
            new = damping * old + keep * _sigmoid(scale * f[j] + b[j])
            m[j] = new
            change = abs(new - old)
            most[j] = change if change > most[j] or change != change else most[j]  # a NaN stays
    change = 0.0
    for j in range(units):
        change = most[j] if most[j] > change or most[j] != most[j] else change
    return change


@kernel
def _anneal(field, scale0, scale1, bias0, bias1, key0, key1, step, first_row, state, increment):
    units = field.shape[1]
    bits = _scratch(units)
    difference = np.zeros(len(bits), field.dtype)
    lanes = np.empty(LANES, np.float64)
    full = field.dtype.type(FULL)
    for i in range(len(field)):
        _row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        f, s = field[i], state[i]
        for j in range(units):
            before, _ = _softplus_sigmoid(scale0 * f[j] + bias0[j])
            after, p = _softplus_sigmoid(scale1 * f[j] + bias1[j])
            difference[j] = after - before
            f[j] = p
        for j in range(units):  # apart from the loop above, which then vectorises
            s[j] = _draw(bits[j], f[j], full)
        lanes[:] = 0.0
        for start in range(0, len(bits), LANES):
            for lane in range(LANES):
                lanes[lane] += difference[start + lane]
        increment[i] += lanes.sum()


@kernel
def _finite(x):
    return x - x == 0


@kernel
def _momentum(parameter, gradient, velocity, rate, momentum, nesterov, l2, l1):
    bad = 0
    for i in range(len(parameter)):
        w = parameter[i]
        step = rate * (gradient[i] - l2 * w - l1 * np.sign(w))
        v = momentum * velocity[i] + step
        velocity[i] = v
        w = w + (momentum * v + step if nesterov else v)
        parameter[i] = w
        bad |= 0 if _finite(w) else 1
    return bad == 0


@kernel
def _adam(parameter, gradient, first, second, rate, beta1, beta2, rest1, rest2, epsilon, correction, l2, l1):
    bad = 0
    for i in range(len(parameter)):
        w = parameter[i]
        g = gradient[i] - l2 * w - l1 * np.sign(w)
        m = beta1 * first[i] + rest1 * g
        v = beta2 * second[i] + rest2 * g * g
        first[i] = m
        second[i] = v
        w = w + rate * m / (np.sqrt(v * correction) + epsilon)
        parameter[i] = w
        bad |= 0 if _finite(w) and _finite(v) else 1  # an infinite v would only freeze w
    return bad == 0


def _words(stream):
    return np.uint32(stream[0]), np.uint32(stream[1]), np.uint64(stream[2])


NO_ROWS = np.empty(0, np.int64)


def philox(stream, first_row, out):
    _philox(*_words(stream), first_row, out)


def bernoulli_from_mean(mean, stream, first_row, state):
    _from_mean(mean, *_words(stream), NO_ROWS, first_row, state)


def bernoulli_rows(mean, stream, rows, state):
    if len(mean):
        _from_mean(mean, *_words(stream), rows, 0, state)


def bernoulli_mean(field, scale, bias):
    _mean(field, field.dtype.type(scale), np.atleast_2d(bias))


def bernoulli_sample(field, scale, bias, stream, first_row, state):
    _sample(field, field.dtype.type(scale), np.atleast_2d(bias), *_words(stream), first_row, state)


def bernoulli_relax(field, scale, bias, damping, mean):
    kind = field.dtype.type
    return _relax(field, kind(scale), np.atleast_2d(bias), kind(damping), mean)


def bernoulli_anneal(field, scales, biases, stream, first_row, state, increment):
    kind = field.dtype.type
    _anneal(field, kind(scales[0]), kind(scales[1]), *biases, *_words(stream), first_row, state, increment)


def _flat(*arrays):
    return [a.reshape(-1) for a in arrays]


def momentum_update(parameter, gradient, velocity, rate, momentum, nesterov, l2, l1):
    kind = parameter.dtype.type
    arrays = _flat(parameter, gradient, velocity)
    return _momentum(*arrays, kind(rate), kind(momentum), bool(nesterov), kind(l2), kind(l1))


def adam_update(parameter, gradient, moments, rate, betas, epsilon, count, l2, l1):
    kind = parameter.dtype.type
    rate, correction = rate / (1 - betas[0] ** count), 1 / (1 - betas[1] ** count)
    rest = 1 - betas[0], 1 - betas[1]  # in double: 1 - 0.999 loses five digits in float32
    numbers = (kind(x) for x in (rate, *betas, *rest, epsilon, correction, l2, l1))
    return _adam(*_flat(parameter, gradient, *moments), *numbers)
