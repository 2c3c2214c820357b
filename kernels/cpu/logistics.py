"""Numba versions of the kernels of discretised logistic mixtures, pixel by pixel in double precision."""

from __future__ import annotations

import math

import numpy as np

from boltz.kernels import reference_logistics as reference
from boltz.kernels.cpu.vectors import kernel
from boltz.kernels.reference_logistics import LEAST, TINY


@kernel
def _log_sigmoid(x):
    return x - math.log1p(math.exp(x)) if x < 0.0 else -math.log1p(math.exp(-x))


@kernel
def _sigmoid(x):
    return math.exp(x) / (1.0 + math.exp(x)) if x < 0.0 else 1.0 / (1.0 + math.exp(-x))


@kernel
def _pixel(f, x, half, k, at, step, joint):
    """Log-probability of x given the outputs of a pixel, step apart from at on, which become its derivative."""
    most = -np.inf
    for i in range(k):
        most = max(most, f[at + i * step])
    weight = 0.0
    for i in range(k):
        weight += math.exp(f[at + i * step] - most)
    log_weight = most + math.log(weight)
    channels = len(x)
    for i in range(k):
        logit = f[at + i * step] - log_weight
        value, place = logit, at + (k + i) * step
        for c in range(channels):
            mean = np.float64(f[place])
            for d in range(c):
                mean += math.tanh(np.float64(f[place + (2 + d) * k * step])) * x[d]
            raw = np.float64(f[place + k * step])
            precision = math.exp(-max(raw, LEAST))
            a, b, width = (x[c] + half - mean) * precision, (x[c] - half - mean) * precision, 2.0 * half * precision
            upper, lower, by_scale = 0.0, 0.0, 0.0
            lowest, highest = x[c] <= half - 1.0, x[c] >= 1.0 - half
            if not highest:
                value += _log_sigmoid(a)
                upper = _sigmoid(-a)
                by_scale -= a * upper
            if not lowest:
                value += _log_sigmoid(-b)
                lower = _sigmoid(b)
                by_scale += b * lower
            if not (lowest or highest):
                if width < TINY:
                    value += math.log(2.0 * half) - max(raw, LEAST)
                    by_scale -= 1.0
                else:
                    value += math.log(-math.expm1(-width))
                    by_scale -= width * math.exp(-width) / -math.expm1(-width)
            by_mean = precision * (lower - upper)
            f[place] = by_mean
            f[place + k * step] = by_scale if raw >= LEAST else 0.0
            for d in range(c):
                t = math.tanh(np.float64(f[place + (2 + d) * k * step]))
                f[place + (2 + d) * k * step] = by_mean * (1.0 - t * t) * x[d]
            place += (2 + c) * k * step
        f[at + i * step] = logit
        joint[i] = value
    most, total = joint.max(), 0.0
    for i in range(k):
        total += math.exp(joint[i] - most)
    total = most + math.log(total)
    for i in range(k):
        share = math.exp(joint[i] - total)
        f[at + i * step] = share - math.exp(f[at + i * step])
        place = at + (k + i) * step
        for c in range(channels):
            for d in range(2 + c):
                f[place + d * k * step] *= share
            place += (2 + c) * k * step
    return total


@kernel
def _score(field, state, repeat, mixture, log_density):
    channels, levels, k = mixture
    pixels, half = state.shape[1] // channels, 1.0 / (levels - 1)
    x, joint = np.empty(channels), np.empty(k)
    for i in range(len(field)):
        s, total = state[i // repeat], 0.0
        for pixel in range(pixels):
            for c in range(channels):
                x[c] = 2.0 * np.rint((s[c * pixels + pixel] + 1.0) / 2.0 * (levels - 1)) / (levels - 1) - 1.0
            total += _pixel(field[i], x, half, k, pixel, pixels, joint)
        log_density[i] += total


@kernel
def _drawn(f, bits, mixture, step, values):
    """values (channels,), points from -1 to 1, from the outputs of a pixel, step apart, and its random bits
    (1 + channels,).
    """
    channels, levels, k = mixture
    most, total, poison = np.float64(f[0]), 0.0, 0.0
    for i in range(k):
        most = max(most, np.float64(f[i * step]))
    for i in range(k):
        total += math.exp(f[i * step] - most)
    reach, chosen = (bits[0] + 0.5) * 2.0**-32 * total, 0
    below = math.exp(f[0] - most)
    while below <= reach and chosen < k - 1:
        chosen += 1
        below += math.exp(f[chosen * step] - most)
    place = (k + chosen) * step
    for i in range(k * (1 + 2 * channels + channels * (channels - 1) // 2)):
        poison += f[i * step] - f[i * step]
    for c in range(channels):
        mean = np.float64(f[place])
        for d in range(c):
            mean += math.tanh(np.float64(f[place + (2 + d) * k * step])) * values[d]
        u = (bits[1 + c] + 0.5) * 2.0**-32
        drawn = mean + math.exp(max(np.float64(f[place + k * step]), LEAST)) * (math.log(u) - math.log1p(-u))
        level = np.rint((min(max(drawn, -1.0), 1.0) + 1.0) / 2.0 * (levels - 1))
        values[c] = 2.0 * level / (levels - 1) - 1.0 + poison
        place += (2 + c) * k * step


def logistic_score(field, state, mixture, log_density):
    if field.dtype == np.float32:
        _score(field, state, len(field) // max(len(state), 1), tuple(mixture), log_density)
    else:
        reference.logistic_score(field, state, mixture, log_density)
