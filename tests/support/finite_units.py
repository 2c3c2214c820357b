"""A unit type of any few states and base energies, by plain sums over them: what the engine must be right for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import logsumexp, softmax

from boltz.kernels import reference

Array = Any


@dataclass(frozen=True)
class Finite:
    """Units with these states and base energies (Boltzmann 1868); the mean decides the law, found by bisection."""

    support: tuple[float, ...]
    energies: tuple[float, ...]
    columns: int = 1
    binary: bool = False
    joint: bool = False

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {}

    def bound(self, parameters: Mapping[str, Array]) -> Finite:
        return self

    def statistics(self, state: Array) -> dict[str, Array]:
        return {}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {}

    def _exponents(self, field: Array) -> Array:
        return np.asarray(field, np.float64)[..., None] * np.array(self.support) - np.array(self.energies)

    def _probabilities(self, field: Array) -> Array:
        return softmax(self._exponents(field), axis=-1)

    def log_partition(self, field: Array) -> Array:
        return logsumexp(self._exponents(field), axis=-1).astype(np.asarray(field).dtype)

    def total_log_partition(self, field: Array) -> Array:
        return logsumexp(self._exponents(field), axis=-1).sum(axis=-1)

    def mean(self, field: Array) -> Array:
        return (self._probabilities(field) @ np.array(self.support)).astype(np.asarray(field).dtype)

    def variance(self, field: Array) -> Array:
        p, x = self._probabilities(field), np.array(self.support)
        return (p @ x**2 - (p @ x) ** 2).astype(np.asarray(field).dtype)

    def natural(self, mean: Array) -> Array:
        mean = np.asarray(mean, np.float64)
        low, high = np.full(mean.shape, -700.0), np.full(mean.shape, 700.0)
        for _ in range(200):
            middle = (low + high) / 2
            below = self._probabilities(middle) @ np.array(self.support) < mean
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return (low + high) / 2

    def _of_mean(self, mean: Array) -> Array:
        return self._probabilities(self.natural(mean))

    def entropy(self, mean: Array) -> Array:
        p = self._of_mean(mean)
        return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)

    def base_energy(self, state: Array) -> Array:
        nearest = np.abs(np.asarray(state, np.float64)[..., None] - np.array(self.support)).argmin(axis=-1)
        return np.array(self.energies)[nearest].sum(axis=1)

    def mean_energy(self, mean: Array) -> Array:
        return (self._of_mean(mean) @ np.array(self.energies)).sum(axis=1)

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Any, first_row: int, state: Array) -> None:
        inputs[...] = self.mean(inputs.dtype.type(scale) * inputs + bias)
        self.draw(inputs, stream, first_row, state)

    def draw(self, mean: Array, stream: Any, first_row: int, state: Array) -> None:
        bits = np.empty(mean.shape, np.uint32)
        reference.philox(stream, first_row, bits)
        steps = np.cumsum(self._of_mean(mean), axis=-1)[..., :-1]
        state[...] = np.array(self.support)[((bits + 0.5) / 2**32)[..., None].__gt__(steps).sum(axis=-1)]

    def relax(self, inputs: Array, scale: float, bias: Array, damping: float, mean: Array) -> float:
        new = damping * mean + (1 - damping) * self.mean(inputs.dtype.type(scale) * inputs + bias)
        change = float(np.abs(new - mean).max(initial=0.0))
        mean[...] = new
        return change

    def anneal(
        self, inputs: Array, scales: Any, biases: Any, stream: Any, first_row: int, state: Array, increment: Array
    ) -> None:
        before, after = (s * inputs + b for s, b in zip(scales, biases, strict=True))
        increment += self.total_log_partition(after) - self.total_log_partition(before)
        self.sample(inputs, scales[1], biases[1], stream, first_row, state)


KINDS = {
    "three": Finite((-1.0, 0.0, 2.0), (0.4, -0.9, 1.3)),
    "two": Finite((-1.0, 1.0), (0.0, 1.7)),
}
