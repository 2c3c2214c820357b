"""Categorical units: one of several states, as one-hot columns; log-partition log(sum of exp(fields))."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.numerics import logsumexp
from boltz.rng import Stream
from boltz.units.damping import damp

Array = NDArray[Any]


@dataclass(frozen=True)
class Categorical:
    """Potts units (Potts 1952), columns of which one is 1 and the others 0."""

    columns: int
    support: tuple[float, ...] = (0.0, 1.0)
    binary: bool = False
    joint: bool = False

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {}

    def bound(self, parameters: Mapping[str, Array]) -> Categorical:
        return self

    def statistics(self, state: Array) -> dict[str, Array]:
        return {}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {}

    def by_unit(self, x: Array) -> Array:
        """A view (..., units, columns) of an array (..., units times columns)."""
        return x.reshape(*x.shape[:-1], -1, self.columns)

    def log_partition(self, field: Array) -> Array:
        return logsumexp(self.by_unit(field), axis=-1)

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        return self.log_partition(field.astype(np.float64)).sum(axis=-1)

    def mean(self, field: Array) -> Array:
        parts = self.by_unit(field)
        p = np.exp(parts - parts.max(axis=-1, keepdims=True))
        return (p / p.sum(axis=-1, keepdims=True)).reshape(field.shape)

    def variance(self, field: Array) -> Array:
        """p (1 - p), with 1 - p as the sum of the others, which loses no digits where p is almost 1."""
        p = self.by_unit(self.mean(field))
        others = np.repeat(p[..., None, :], self.columns, axis=-2)
        others[..., np.arange(self.columns), np.arange(self.columns)] = 0
        return (p * others.sum(axis=-1)).reshape(field.shape)

    def entropy(self, mean: Array) -> Array:
        """Of each unit, (..., units)."""
        p = self.by_unit(mean)
        return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)

    def base_energy(self, state: Array) -> Array:
        return np.zeros_like(state, shape=(len(state),))

    def mean_energy(self, mean: Array) -> Array:
        return self.base_energy(mean)

    def natural(self, mean: Array) -> Array:
        return np.log(mean)

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.categorical_sample(inputs, scale, bias, self.columns, stream, first_row, state)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.categorical_from_mean(mean, self.columns, stream, first_row, state)

    def relax(self, inputs: Array, scale: float, bias: Array, damping: float, mean: Array) -> float:
        return damp(mean, self.mean(inputs.dtype.type(scale) * inputs + bias), damping)

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
        kind = inputs.dtype.type
        before, after = (kind(s) * inputs + b for s, b in zip(scales, biases, strict=True))
        change = self.log_partition(after) - self.log_partition(before)
        increment += change.sum(axis=-1, dtype=np.float64)
        self.sample(inputs, scales[1], biases[1], stream, first_row, state)
