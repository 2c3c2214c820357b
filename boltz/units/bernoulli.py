"""Bernoulli units: x in {0, 1}, log-partition softplus(field)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.numerics import binary_entropy, logit, sigmoid, softplus
from boltz.rng import Stream

Array = NDArray[Any]
FACTORS = 512


@dataclass(frozen=True)
class Bernoulli:
    """Binary units of a Boltzmann machine (Hinton & Sejnowski 1986)."""

    columns: int = 1
    support: tuple[float, ...] = (0.0, 1.0)
    binary: bool = True
    joint: bool = False

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {}

    def bound(self, parameters: Mapping[str, Array]) -> Bernoulli:
        return self

    def statistics(self, state: Array) -> dict[str, Array]:
        return {}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {}

    def log_partition(self, field: Array) -> Array:
        return softplus(field)

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        """max(field, 0) summed, plus logs of products of 1 + exp(-|field|), which at 512 factors cannot overflow."""
        size = np.abs(field)
        total = 0.5 * (field.sum(axis=-1, dtype=np.float64) + size.sum(axis=-1, dtype=np.float64))
        factors = 1 + np.exp(-size.astype(np.float64))
        for start in range(0, factors.shape[-1], FACTORS):
            total += np.log(np.prod(factors[..., start : start + FACTORS], axis=-1))
        return total

    def mean(self, field: Array) -> Array:
        return sigmoid(field)

    def variance(self, field: Array) -> Array:
        return sigmoid(field) * sigmoid(-field)

    def entropy(self, mean: Array) -> Array:
        return binary_entropy(mean)

    def base_energy(self, state: Array) -> Array:
        return np.zeros_like(state, shape=(len(state),))

    def mean_energy(self, mean: Array) -> Array:
        return self.base_energy(mean)

    def natural(self, mean: Array) -> Array:
        return logit(mean)

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.bernoulli_sample(inputs, scale, bias, stream, first_row, state)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.bernoulli_from_mean(mean, stream, first_row, state)

    def relax(self, inputs: Array, scale: float, bias: Array, damping: float, mean: Array) -> float:
        return kernels.bernoulli_relax(inputs, scale, bias, damping, mean)

    def anneal(
        self,
        inputs: Array,
        scales: tuple[float, float],
        biases: tuple[Array, Array],
        stream: Stream,
        first_row: int,
        state: Array,
        increment: NDArray[np.float64],
    ) -> None:
        kernels.bernoulli_anneal(inputs, scales, biases, stream, first_row, state, increment)
