"""Numba parameter updates: one pass over flat arrays."""

from __future__ import annotations

import math

import numpy as np

from boltz.kernels.cpu.vectors import kernel


@kernel
def _finite(x):
    return x - x == 0


@kernel
def _momentum(parameter, gradient, velocity, rate, momentum, nesterov, l2, l1):
    bad = 0
    if len(velocity) == 0:  # a third of the memory is left alone where nothing is kept
        for i in range(len(parameter)):
            w = parameter[i]
            w = w + rate * (gradient[i] - l2 * w - l1 * np.sign(w))
            parameter[i] = w
            bad |= 0 if _finite(w) else 1
        return bad == 0
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
def _adam_step(parameter, gradient, moments, rate, betas, epsilon, count, decays):
    """Adam at a count: what depends on it is found in double, as 1 - 0.999 loses five digits in float32."""
    (beta1, beta2), (first, second), (l2, l1) = betas, moments, decays
    done, kind = np.float64(count), parameter.dtype.type
    corrected, correction = rate / (1 - math.pow(beta1, done)), 1 / (1 - math.pow(beta2, done))
    weights = kind(beta1), kind(beta2), kind(1 - beta1), kind(1 - beta2)
    numbers = kind(epsilon), kind(correction), l2, l1
    return _adam(parameter, gradient, first, second, kind(corrected), *weights, *numbers)


@kernel
def _adam(parameter, gradient, first, second, rate, beta1, beta2, rest1, rest2, epsilon, correction, l2, l1):
    bad, decays = 0, l2 != 0 or l1 != 0  # the loop is compiled with and without decay
    for i in range(len(parameter)):
        w = parameter[i]
        g = gradient[i] - l2 * w - l1 * np.sign(w) if decays else gradient[i]
        m = beta1 * first[i] + rest1 * g
        v = beta2 * second[i] + rest2 * g * g
        first[i] = m
        second[i] = v
        w = w + rate * m / (np.sqrt(v * correction) + epsilon)
        parameter[i] = w
        bad |= 0 if _finite(w) and _finite(v) else 1  # an infinite v would only freeze w
    return bad == 0


@kernel
def _accumulate(total, gradient, rate, single):
    for i in range(len(total)):
        g = gradient[i] * rate
        gradient[i] = g
        total[i] += g
        single[i] = total[i]


def _flat(*arrays):
    return [a.reshape(-1) for a in arrays]


def momentum_update(parameter, gradient, velocity, rate, momentum, nesterov, l2, l1):
    kind = parameter.dtype.type
    arrays = _flat(parameter, gradient, velocity)
    return _momentum(*arrays, kind(rate), kind(momentum), bool(nesterov), kind(l2), kind(l1))


def accumulate(total, gradient, rate, single):
    _accumulate(*_flat(total, gradient), gradient.dtype.type(rate), single.reshape(-1))


def adam_update(parameter, gradient, moments, rate, betas, epsilon, count, l2, l1):
    kind = parameter.dtype.type
    parameter, gradient, *moments = _flat(parameter, gradient, *moments)
    betas, decays = tuple(map(float, betas)), (kind(l2), kind(l1))
    return _adam_step(parameter, gradient, tuple(moments), float(rate), betas, float(epsilon), count, decays)
