"""Numpy versions of the kernels of discretised logistic mixtures (Salimans et al. 2017, section 2.1).

A pixel has channels whose levels 0 to levels - 1 are points x from -1 to 1, evenly spaced. Of each component the
outputs are its logit; of each channel a mean, the log of a scale, and for each channel before it a number whose tanh
times that channel's x is added to the mean. The probability of a level is what the logistic law has between the middles
to its neighbours, and beyond the ends for the two at the ends. So the levels sum to 1 exactly. Outputs are planes of
pixels side by side: all logits, then for each channel means, log scales, and numbers of each channel before it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

Array = NDArray[Any]
LEAST = -7.0  # log scales below count as this
TINY = 1e-8  # below it 1 - exp(-x) is x in double precision


class Mixture(NamedTuple):
    """How many channels a pixel has, levels a channel, and components the law of a pixel."""

    channels: int
    levels: int
    components: int

    @property
    def outputs(self) -> int:
        """Outputs of a pixel."""
        return self.components * (1 + 2 * self.channels + self.channels * (self.channels - 1) // 2)


def _parts(mixture: Mixture, outputs: Array) -> tuple[Array, list[tuple[Array, Array, Array]]]:
    """Views of logits (components, ...), and by channel of means, log scales and numbers (before, components, ...)."""
    k = mixture.components
    found, start = [], k
    for c in range(mixture.channels):
        before = outputs[start + 2 * k : start + (2 + c) * k].reshape(c, k, *outputs.shape[1:])
        found.append((outputs[start : start + k], outputs[start + k : start + 2 * k], before))
        start += (2 + c) * k
    return outputs[:k], found


def nearest(points: Array, levels: int) -> Array:
    """The points of the levels nearest to some points from -1 to 1."""
    return np.asarray(2 * np.rint((points + 1) / 2 * (levels - 1)) / (levels - 1) - 1)


def logistic_score(field: Array, state: Array, mixture: Mixture, log_density: NDArray[np.float64]) -> None:
    """log_density (rows,) += log-probability of state (rows, channels * pixels), and field := its derivative.

    field (rows, outputs * pixels) holds outputs. state holds points from -1 to 1, which are taken as the levels nearest
    to them, so that rounding of 32 bits moves no end of a level. It may have fewer rows: each then stands for as many
    consecutive rows of field. With a and b the ends of a level, (end - mean) / scale, its log-probability is
    log sigmoid(a) + log sigmoid(-b) + log(1 - exp(b - a)), of which an end level has one term.
    """
    rows, half = len(field), 1 / (mixture.levels - 1)
    values = np.repeat(state, rows // max(len(state), 1), axis=0).astype(np.float64)
    x = nearest(values, mixture.levels).reshape(rows, mixture.channels, -1).swapaxes(0, 1)
    outputs = field.astype(np.float64).reshape(rows, mixture.outputs, -1).swapaxes(0, 1)
    score = np.zeros_like(outputs)
    (logits, channels), (by_logits, by_channels) = _parts(mixture, outputs), _parts(mixture, score)
    weights = logits - logsumexp(logits, axis=0)
    joint = weights.copy()
    for c, (mean, raw, before) in enumerate(channels):
        m = mean + np.sum(np.tanh(before) * x[:c, None], axis=0)
        precision = np.exp(-np.maximum(raw, LEAST))
        a, b = (x[c] + half - m) * precision, (x[c] - half - m) * precision
        lowest, highest, width = x[c] <= half - 1, x[c] >= 1 - half, 2 * half * precision
        joint += np.where(highest, 0, -np.logaddexp(0, -a)) + np.where(lowest, 0, -np.logaddexp(0, b))
        wide = width < TINY  # where the law is so wide that all of its inner levels have the same density
        safe = np.where(wide, 1, width)
        inner = np.where(wide, np.log(2 * half) - np.maximum(raw, LEAST), np.log(-np.expm1(-safe)))
        joint += np.where(lowest | highest, 0, inner)
        upper, lower = np.where(highest, 0, expit(-a)), np.where(lowest, 0, expit(b))
        by_mean, by_log_scale, by_before = by_channels[c]
        by_mean[...] = precision * (lower - upper)
        ratio = np.where(wide, 1, safe * np.exp(-safe) / -np.expm1(-safe))
        by_log_scale[...] = b * lower - a * upper - np.where(lowest | highest, 0, ratio)
        by_log_scale *= raw >= LEAST
        by_before[...] = by_mean * (1 - np.tanh(before) ** 2) * x[:c, None]
    total = logsumexp(joint, axis=0)
    share = np.exp(joint - total)
    for found in by_channels:
        for part in found:
            part *= share
    by_logits[...] = share - np.exp(weights)
    log_density += total.sum(axis=1)
    field[...] = score.swapaxes(0, 1).reshape(field.shape)


def logistic_draw(outputs: Array, chance: Array, mixture: Mixture) -> Array:
    """Levels (rows, channels) as points from -1 to 1, from outputs (rows, outputs) of a pixel.

    chance (rows, 1 + channels) lies between 0 and 1: the first takes the component, the others are quantiles. A NaN
    gives NaN.
    """
    logits, channels = _parts(mixture, outputs.astype(np.float64).T)
    below = np.cumsum(np.exp(logits - logits.max(axis=0)), axis=0)
    chosen = np.sum(below[:-1] <= chance[:, 0] * below[-1], axis=0)
    x, rows = np.zeros((mixture.channels, len(outputs))), np.arange(len(outputs))
    for c, (mean, raw, before) in enumerate(channels):
        m = mean[chosen, rows] + np.sum(np.tanh(before[:, chosen, rows]) * x[:c], axis=0)
        u = chance[:, 1 + c]
        drawn = m + np.exp(np.maximum(raw[chosen, rows], LEAST)) * (np.log(u) - np.log1p(-u))
        x[c] = nearest(np.clip(drawn, -1, 1), mixture.levels)
    return x.T + (outputs - outputs).sum(axis=1, dtype=np.float64)[:, None]
