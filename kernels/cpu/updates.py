"""Numba parameter updates: one pass over flat arrays."""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu.vectors import kernel


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
