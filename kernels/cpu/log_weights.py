"""Numba passes over log-weights (rows, samples) in float64: their softmax, what one of them adds, their means."""

from __future__ import annotations

import math

import numpy as np

from boltz.kernels.cpu.vectors import kernel


@kernel
def _softmax(x, out):
    for i in range(len(x)):
        row, target, top, total = x[i], out[i], x[i, 0], 0.0
        for j in range(len(row)):
            top = max(top, row[j])
        for j in range(len(row)):
            target[j] = math.exp(row[j] - top)
            total += target[j]
        for j in range(len(row)):
            target[j] /= total


@kernel
def _without_one(x, out):
    """Sums of the numbers before and after each, over exp of the largest; for the largest, over exp of the second."""
    count = x.shape[1]
    scaled, before = np.empty(count), np.empty(count)
    for i in range(len(x)):
        row, target, best, total = x[i], out[i], 0, 0.0
        for j in range(count):
            best = j if row[j] > row[best] else best
            total += row[j]
        top, second, whole = row[best], -np.inf, 0.0
        for j in range(count):
            scaled[j] = math.exp(row[j] - top)
            before[j] = whole
            whole += scaled[j]
            if j != best and row[j] > second:
                second = row[j]
        log_whole, after = math.log(whole), 0.0
        for j in range(count - 1, -1, -1):
            others, height = before[j] + after, top
            if j == best:
                others, height = 0.0, second
                for k in range(count):
                    others += math.exp(row[k] - second) if k != best else 0.0
            mean = (total - row[j]) / (count - 1)
            target[j] = (top - height) + log_whole - math.log(others + math.exp(mean - height))
            after += scaled[j]


@kernel
def _row_means(x, out):
    for i in range(len(x)):
        total = 0.0
        for j in range(x.shape[1]):
            total += x[i, j]
        out[i] = total / x.shape[1]


def softmax(x, out):
    _softmax(np.ascontiguousarray(x), out)


def without_one(x, out):
    _without_one(np.ascontiguousarray(x), out)


def row_means(x, out):
    _row_means(np.ascontiguousarray(x), out)
