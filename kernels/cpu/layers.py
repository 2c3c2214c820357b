"""Numba passes of nets between their products: activations and their slopes, Gaussian units, weighted and pooled rows.

Each is one pass over rows in float32, shaped as those of bernoulli.py; in float64 the numpy code of the reference does.
"""

from __future__ import annotations

import math

import numpy as np

from boltz.kernels import reference
from boltz.kernels.cpu.bernoulli import ATANH_SERIES, EXP_BOTTOM, ONE, TWO, ZERO, _exp32
from boltz.kernels.cpu.vectors import LANES, fold_sum, fused, kernel

HALF = np.float32(0.5)
# tanh(x) / x as a ratio of polynomials in x^2 for |x| <= 9, beyond which it rounds to 1 (the one that Eigen takes):
# the largest relative error in float32 is below 4e-7
TANH_OVER = tuple(map(np.float32, (1, 1.340216100e-1, 3.520756727e-3, 2.102733560e-5, 1.394553628e-8)))
TANH_UNDER = tuple(map(np.float32, (1, 4.673548340e-1, 2.597254514e-2, 3.326951409e-4, 8.015776984e-7)))
TANH_END = np.float32(9)
FALL_SERIES = tuple(np.float32((-1) ** k / math.factorial(k + 1)) for k in range(8))  # (1 - exp(-x)) / x, to 1e-8


@kernel
def _horner4(c, x):
    return fused(fused(fused(fused(c[4], x, c[3]), x, c[2]), x, c[1]), x, c[0])


@kernel
def _tanh32(x):
    x = TANH_END if x > TANH_END else x
    x = -TANH_END if x < -TANH_END else x
    y = x * _horner4(TANH_OVER, x * x) / _horner4(TANH_UNDER, x * x)
    y = ONE if y > ONE else y
    return -ONE if y < -ONE else y


@kernel
def _softplus32(x):
    """max(x, 0) + log(1 + t) for t = exp(-|x|), as 2 atanh(t / (2 + t)); 0 where t leaves the normal numbers."""
    a = abs(x)
    t = ZERO if -a < EXP_BOTTOM else _exp32(-a)
    s = t / (TWO + t)
    q = s * s
    c = ATANH_SERIES
    p = fused(fused(fused(c[7], q, c[6]), q, c[5]), q, c[4])
    p = fused(fused(fused(fused(p, q, c[3]), q, c[2]), q, c[1]), q, c[0])
    return fused(s, p, ZERO if x < ZERO else x)


@kernel
def _fall32(v):
    """1 - exp(-v) for v >= 0."""
    c = FALL_SERIES
    p = fused(fused(fused(c[7], v, c[6]), v, c[5]), v, c[4])
    p = fused(fused(fused(fused(p, v, c[3]), v, c[2]), v, c[1]), v, c[0])
    return v * p if v < HALF else ONE - _exp32(-v)


@kernel
def _tanh(field, bias):
    for i in range(len(field)):
        f = field[i]
        for j in range(len(f)):
            f[j] = _tanh32(f[j] + bias[j])


@kernel
def _relu(field, bias):
    for i in range(len(field)):
        f = field[i]
        for j in range(len(f)):
            x = f[j] + bias[j]
            f[j] = ZERO if x < ZERO else x


@kernel
def _softplus(field, bias):
    for i in range(len(field)):
        f = field[i]
        for j in range(len(f)):
            f[j] = _softplus32(f[j] + bias[j])


@kernel
def _elu32(x):
    return -_fall32(-x) if x < ZERO else x


@kernel
def _elu(field, bias):
    for i in range(len(field)):
        f = field[i]
        for j in range(len(f)):
            f[j] = _elu32(f[j] + bias[j])


@kernel
def _tanh_slope(value, delta):
    for i in range(len(value)):
        v, d = value[i], delta[i]
        for j in range(len(v)):
            d[j] *= ONE - v[j] * v[j]


@kernel
def _relu_slope(value, delta):
    for i in range(len(value)):
        v, d = value[i], delta[i]
        for j in range(len(v)):
            d[j] *= ONE if v[j] > ZERO else ZERO


@kernel
def _softplus_slope(value, delta):
    for i in range(len(value)):
        v, d = value[i], delta[i]
        for j in range(len(v)):
            d[j] *= _fall32(v[j])


@kernel
def _elu_slope(value, delta):
    for i in range(len(value)):
        v, d = value[i], delta[i]
        for j in range(len(v)):
            d[j] *= ONE if v[j] > ZERO else ONE + v[j]


@kernel
def _sigmoid_slope(value, delta):
    for i in range(len(value)):
        v, d = value[i], delta[i]
        for j in range(len(v)):
            d[j] *= v[j] - v[j] * v[j]


@kernel
def _gaussian_shift(field, bias, state, offset):
    units = state.shape[1]
    for i in range(len(state)):
        f, s, o = field[i], state[i], offset[i]
        for j in range(units):
            moved = _exp32(f[units + j] + bias[units + j]) * s[j]
            o[j] = moved
            s[j] = (f[j] + bias[j]) + moved


@kernel
def _gaussian_score(field, bias, state, repeat, constant, log_density):
    units = state.shape[1]
    size = (units + LANES - 1) // LANES * LANES
    terms = np.zeros(size, np.float32)
    for i in range(len(field)):
        f, s = field[i], state[i // repeat]
        for j in range(units):
            log_sigma = f[units + j] + bias[units + j]
            precision = _exp32(-log_sigma)
            z = (s[j] - (f[j] + bias[j])) * precision
            terms[j] = fused(HALF * z, z, log_sigma)
            f[j] = z * precision
            f[units + j] = z * z - ONE
        log_density[i] -= fold_sum(terms.ctypes.data, size // LANES, ONE) + constant


@kernel
def _normal_score(state, constant, log_density):
    units = state.shape[1]
    size = (units + LANES - 1) // LANES * LANES
    terms = np.zeros(size, np.float32)
    for i in range(len(state)):
        s = state[i]
        for j in range(units):
            terms[j] = HALF * s[j] * s[j]
        log_density[i] -= fold_sum(terms.ctypes.data, size // LANES, ONE) + constant


@kernel
def _gaussian_path(signal, offset, out):
    units = signal.shape[1]
    for i in range(len(signal)):
        s, o, target = signal[i], offset[i], out[i]
        for j in range(units):
            target[j] = s[j]
            target[units + j] = s[j] * o[j]


@kernel
def _weighted(x, weights, more, out):
    here = x.ctypes.data == out.ctypes.data  # a loop over one array then, which LLVM vectorises
    for i in range(len(out)):
        w, row, target = weights[i], x[i], out[i]
        if here and not more:
            for j in range(len(target)):
                target[j] *= w
        elif more:
            for j in range(len(target)):
                target[j] += w * row[j]
        else:
            for j in range(len(target)):
                target[j] = w * row[j]


@kernel
def _repeated(source, repeat, out):
    for i in range(len(out)):
        row, target = source[i // repeat], out[i]
        for j in range(len(target)):
            target[j] = row[j]


@kernel
def _pooled(x, count, more, out):
    for i in range(len(out)):
        target = out[i]
        if not more:
            for j in range(len(target)):
                target[j] = ZERO
        for k in range(i * count, (i + 1) * count):
            row = x[k]
            for j in range(len(target)):
                target[j] += row[j]


ACTIVATE = {"tanh": _tanh, "relu": _relu, "softplus": _softplus, "elu": _elu}
SLOPE = {
    "tanh": _tanh_slope,
    "relu": _relu_slope,
    "softplus": _softplus_slope,
    "sigmoid": _sigmoid_slope,
    "elu": _elu_slope,
}


def _single(x):
    return x.dtype == np.float32


def activate(kind, field, bias):
    if _single(field):
        ACTIVATE[kind](field, bias)
    else:
        reference.activate(kind, field, bias)


def slope(kind, value, delta):
    if _single(delta):
        SLOPE[kind](value, delta)
    else:
        reference.slope(kind, value, delta)


def gaussian_shift(field, bias, state, offset):
    if _single(field):
        _gaussian_shift(field, bias, state, offset)
    else:
        reference.gaussian_shift(field, bias, state, offset)


def gaussian_score(field, bias, state, constant, log_density):
    if _single(field):
        _gaussian_score(field, bias, state, len(field) // max(len(state), 1), float(constant), log_density)
    else:
        reference.gaussian_score(field, bias, state, constant, log_density)


def normal_score(state, log_density):
    if _single(state):
        _normal_score(state, state.shape[1] * reference.HALF_LOG_TWO_PI, log_density)
    else:
        reference.normal_score(state, log_density)


def gaussian_path(signal, offset, out):
    if _single(out):
        _gaussian_path(signal, offset, out)
    else:
        reference.gaussian_path(signal, offset, out)


def weighted(x, weights, more, out):
    if _single(out):
        _weighted(x, weights, more, out)
    else:
        reference.weighted(x, weights, more, out)


def repeated(source, out):
    if _single(out):
        _repeated(source, len(out) // max(len(source), 1), out)
    else:
        reference.repeated(source, out)


def pooled(x, more, out):
    if _single(out):
        _pooled(x, len(x) // max(len(out), 1), more, out)
    else:
        reference.pooled(x, more, out)
