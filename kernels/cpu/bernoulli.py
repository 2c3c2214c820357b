"""Numba versions of the primitives: one pass over each row, single-threaded, without the interpreter lock.

Loops are shaped so that LLVM vectorises them without fast-math: sixteen neighbouring units take their random bits from
sixteen neighbouring Philox blocks, sums run in sixteen independent lanes, and exp, log and the normal quantile are
polynomials in float32.
A NaN in a field stays a NaN in the mean and in the drawn state, so that the guards see it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from boltz.kernels.cpu.notice import announce
from boltz.kernels.cpu.philox import LANES, row_bits, scratch, words
from boltz.kernels.cpu.vectors import fold_factors, fold_sum, fold_wide_factors, fused, kernel

FULL = np.float32(2**30)
LOG2E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
ROUNDER = np.float32(12582912.0)  # 1.5 * 2^23: adding it rounds a float32 to an integer in the low bits
EXP_TOP, EXP_BOTTOM = np.float32(88.0), np.float32(-87.0)
EXP_SERIES = tuple(np.float32(1 / math.factorial(k)) for k in range(8))  # remainder below 6e-9 for |r| <= ln(2)/2
ATANH_SERIES = tuple(np.float32(2 / (2 * k + 1)) for k in range(8))  # remainder below 2e-9 for s <= 1/3
# z / x, where x = 1 - 2 p, as a polynomial in w - 3 for w = -log(1 - x^2) < 6 and in sqrt(w) - 3.54 beyond (after Giles
# 2010): least squares of the relative error, made in tests/kernels/test_normal.py; largest relative error 6e-8
CENTRE, TAIL, SPLIT = np.float32(3), np.float32(3.54), np.float32(6)
CENTRAL_SERIES = tuple(map(np.float32, (
    2.29603523, 0.341716883, -0.00811557856, -0.00118238366, 0.000276445286, -1.80414422e-05, -2.66626542e-06,
    6.44290788e-07, -6.13040111e-09, -8.2403093e-09,
)))  # fmt: skip
TAIL_SERIES = tuple(map(np.float32, (
    4.77408147, 1.42499093, 0.00430775446, -0.00267530485, 0.00131755262, -0.000850912684, 0.000619687915,
    -0.000269675574, 3.67501706e-05,
)))  # fmt: skip
ROOT2 = math.sqrt(2)
HALF, LN2, UNIT = np.float32(0.5), np.float32(math.log(2)), np.float32(2**-32)
ROOT_HALF, TOP = np.int32(0x3F3504F3), np.int32(2**31 - 1)  # the bit pattern of sqrt(1/2)
FACTORS = 60  # vectors of numbers from 1 to 2 whose product stays below 2^1024
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
def _horner7(c, x):
    p = fused(fused(fused(c[7], x, c[6]), x, c[5]), x, c[4])
    return fused(fused(fused(fused(p, x, c[3]), x, c[2]), x, c[1]), x, c[0])


@kernel
def _exp32(x):
    x = EXP_TOP if x > EXP_TOP else x
    x = EXP_BOTTOM if x < EXP_BOTTOM else x
    shifted = fused(x, LOG2E, ROUNDER)
    n = shifted - ROUNDER
    r = fused(n, -LN2_LOW, fused(n, -LN2_HIGH, x))
    return _horner7(EXP_SERIES, r) * _float_of(np.int32((_bits_of(shifted) + np.int32(127)) << np.int32(23)))


@kernel
def _log32(x):
    """log(x) of a normal x > 0: x = 2^n m with m between sqrt(1/2) and sqrt(2), log(m) = 2 atanh((m - 1) / (m + 1))."""
    n = np.int32(np.int32(_bits_of(x) - ROOT_HALF) >> np.int32(23))
    m = _float_of(np.int32(_bits_of(x) - (n << np.int32(23))))
    s = (m - ONE) / (m + ONE)
    q = s * s
    c = ATANH_SERIES
    return s * ((((c[4] * q + c[3]) * q + c[2]) * q + c[1]) * q + c[0]) + np.float32(n) * LN2


@kernel
def _horner8(c, x):
    p = (((c[8] * x + c[7]) * x + c[6]) * x + c[5]) * x + c[4]
    return (((p * x + c[3]) * x + c[2]) * x + c[1]) * x + c[0]


@kernel
def _normal32(bits):
    """The normal quantile at (bits + 1/2) / 2^32; r counts the steps to the nearer end of the range."""
    lower = np.int32(bits) >= np.int32(0)
    r = np.int32(bits) if lower else np.int32(~bits)
    p = (np.float32(r) + HALF) * UNIT
    x = (np.float32(np.int32(TOP - r)) + HALF) * (TWO * UNIT)
    w = -_log32(np.float32(4) * p * (ONE - p))
    central = _horner8(CENTRAL_SERIES[1:], w - CENTRE) * (w - CENTRE) + CENTRAL_SERIES[0]
    tail = _horner8(TAIL_SERIES, math.sqrt(w) - TAIL)
    z = (central if w < SPLIT else tail) * x
    return -z if lower else z


def _sigmoid(x):
    raise TypeError("only inside compiled code")


def _exp(x):
    raise TypeError("only inside compiled code")


@overload(_exp)
def _exp_overload(x):
    if x == types.float32:
        return lambda x: _exp32(x)
    return lambda x: math.exp(x)


@overload(_sigmoid)
def _sigmoid_overload(x):
    if x == types.float32:
        return lambda x: ONE / (ONE + _exp32(-x))
    return lambda x: 1.0 / (1.0 + math.exp(-x))


def _normal_as(bits, like):
    raise TypeError("only inside compiled code")


@overload(_normal_as)
def _normal_overload(bits, like):
    """The normal quantile of bits in the type of like; in double one step of Halley's method from the float32 value."""
    if like == types.float32:
        return lambda bits, like: _normal32(bits)

    def normal64(bits, like):
        r = np.float64(min(bits, np.uint32(~bits))) + 0.5
        p, x = r / 2.0**32, 1.0 - r / 2.0**31
        z = abs(np.float64(_normal32(bits)))
        excess = 0.5 * math.erfc(z / ROOT2) - p if p < 0.25 else 0.5 * (x - math.erf(z / ROOT2))
        step = excess * math.exp(0.5 * z * z) * math.sqrt(2 * math.pi)
        z += step / (1.0 - 0.5 * z * step)
        return z if bits >> np.uint32(31) else -z

    return normal64


@kernel
def _draw(bits, p, full, one):
    """1 with probability p, NaN if p is NaN; full is 2^30 and one 1 in the type of p."""
    return (one if np.int32(bits >> np.uint32(2)) < np.int32(p * full) else one - one) + (p - p)


@kernel
def _from_mean(mean, key0, key1, step, rows, first_row, state):
    bits = scratch(mean.shape[1])
    full, one = mean.dtype.type(FULL), mean.dtype.type(1)
    for i in range(len(mean)):
        row_bits(key0, key1, np.uint64(rows[i] if len(rows) else first_row + i), step, bits)
        p, s = mean[i], state[i]
        for j in range(len(p)):
            s[j] = _draw(bits[j], p[j], full, one)


@kernel
def _mean(field, scale, bias):
    for i in range(len(field)):
        f, b = field[i], bias[i % len(bias)]
        for j in range(len(f)):
            f[j] = _sigmoid(scale * f[j] + b[j])


@kernel
def _sample(field, scale, bias, key0, key1, step, first_row, state):
    bits = scratch(field.shape[1])
    full, one = field.dtype.type(FULL), field.dtype.type(1)
    for i in range(len(field)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        f, b, s = field[i], bias[i % len(bias)], state[i]
        for j in range(len(f)):
            p = _sigmoid(scale * f[j] + b[j])
            f[j] = p
            s[j] = _draw(bits[j], p, full, one)


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
    """Change of log-partition: the large parts max(a, 0) one by one, the rest as logs of products of 1 + exp(-|a|)."""
    units = field.shape[1]
    bits = scratch(units)
    size = len(bits)
    full, one = field.dtype.type(FULL), field.dtype.type(1)
    zero = one - one
    change, before, after = np.zeros(size, field.dtype), np.zeros(size, field.dtype), np.zeros(size, field.dtype)
    for i in range(len(field)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        f, s = field[i], state[i]
        for j in range(units):  # loops over few arrays each, which LLVM then vectorises
            a = scale0 * f[j] + bias0[j]
            change[j] = zero if a < zero else a
            before[j] = _exp(-abs(a))
        for j in range(units):
            b = scale1 * f[j] + bias1[j]
            u = _exp(-abs(b))
            change[j] = (zero if b < zero else b) - change[j]
            after[j] = u
            f[j] = (u if b < zero else one) / (one + u)
        for j in range(units):
            s[j] = _draw(bits[j], f[j], full, one)
        total = 0.0
        for part in range(0, size, FACTORS * LANES):
            vectors = min(FACTORS, (size - part) // LANES)
            lower = fold_factors(before[part:].ctypes.data, vectors, one)
            upper = fold_factors(after[part:].ctypes.data, vectors, one)
            total += fold_sum(change[part:].ctypes.data, vectors, one) + math.log(upper / lower)
        increment[i] += total


def _log_factors(rest):
    raise TypeError("only inside compiled code")


@overload(_log_factors)
def _log_factors_overload(rest):
    """The sum of log(1 + t) for 0 <= t <= 1 to rounding, also where all t are small: in double, or term by term."""
    if rest.dtype == types.float64:
        return lambda rest: np.log1p(rest).sum()

    def log_factors(rest):
        total = 0.0
        for part in range(0, len(rest), FACTORS * LANES):
            vectors = min(FACTORS, (len(rest) - part) // LANES)
            total += math.log(fold_wide_factors(rest[part:].ctypes.data, vectors, ONE))
        return total

    return log_factors


@kernel
def _score(field, bias, state, repeat, log_density):
    """Terms s f - max(f, 0), which cancel exactly where s is 1, less the log of the product of 1 + exp(-|f|)."""
    units = field.shape[1]
    size = (units + LANES - 1) // LANES * LANES
    terms, rest = np.zeros(size, field.dtype), np.zeros(size, field.dtype)
    zero, one = field.dtype.type(0), field.dtype.type(1)
    for i in range(len(field)):
        f, s = field[i], state[i // repeat]
        for j in range(units):
            x = f[j] + bias[j]
            f[j] = x
            rest[j] = _exp(-abs(x))
        for j in range(units):
            x, t = f[j], rest[j]
            terms[j] = s[j] * x - (zero if x < zero else x)
            f[j] = s[j] - (t if x < zero else one) / (one + t)
        log_density[i] += fold_sum(terms.ctypes.data, size // LANES, one) - _log_factors(rest)


@kernel
def _normal(key0, key1, step, rows, out):
    bits = scratch(out.shape[1])
    like = out.dtype.type(0)
    for i in range(len(out)):
        row_bits(key0, key1, np.uint64(rows[i]), step, bits)
        z = out[i]
        for j in range(len(z)):
            z[j] = _normal_as(bits[j], like)


announce()
NO_ROWS = np.empty(0, np.int64)


def bernoulli_from_mean(mean, stream, first_row, state):
    _from_mean(mean, *words(stream), NO_ROWS, first_row, state)


def bernoulli_rows(mean, stream, rows, state):
    if len(mean):
        _from_mean(mean, *words(stream), rows, 0, state)


def bernoulli_mean(field, scale, bias):
    _mean(field, field.dtype.type(scale), np.atleast_2d(bias))


def bernoulli_sample(field, scale, bias, stream, first_row, state):
    _sample(field, field.dtype.type(scale), np.atleast_2d(bias), *words(stream), first_row, state)


def bernoulli_relax(field, scale, bias, damping, mean):
    kind = field.dtype.type
    return _relax(field, kind(scale), np.atleast_2d(bias), kind(damping), mean)


def bernoulli_anneal(field, scales, biases, stream, first_row, state, increment):
    kind = field.dtype.type
    _anneal(field, kind(scales[0]), kind(scales[1]), *biases, *words(stream), first_row, state, increment)


def bernoulli_score(field, bias, state, log_density):
    _score(field, bias, state, len(field) // max(len(state), 1), log_density)


def normal(stream, rows, out):
    _normal(*words(stream), rows, out)
