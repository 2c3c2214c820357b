"""Rectified units: x at least 0, a normal density cut off at 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.rng import Stream
from boltz.units.damping import damp
from boltz.units.drelu import uniforms
from boltz.units.half_normal import drawn, field_of, log_mass, moments

Array = NDArray[Any]
ONE = np.ones(1)


@dataclass(frozen=True)
class Rectified:
    """Truncated normal units, x >= 0 with base energy x^2 / 2 (Su, Liao, Carin et al. 2016; the max(0, x) of Nair &
    Hinton 2010 with a law of its own).
    """

    columns: int = 1
    support: tuple[float, ...] | None = None
    binary: bool = False
    joint: bool = False

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {}

    def bound(self, parameters: Mapping[str, Array]) -> Rectified:
        return self

    def statistics(self, state: Array) -> dict[str, Array]:
        return {}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {}

    def log_partition(self, field: Array) -> Array:
        return log_mass(np.asarray(field, np.float64), ONE).astype(field.dtype)

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        return log_mass(np.asarray(field, np.float64), ONE).sum(axis=-1)

    def mean(self, field: Array) -> Array:
        return moments(np.asarray(field, np.float64), ONE)[0].astype(field.dtype)

    def variance(self, field: Array) -> Array:
        mean, square = moments(np.asarray(field, np.float64), ONE)
        return (square - mean * mean).astype(field.dtype)

    def entropy(self, mean: Array) -> Array:
        field = self.natural(mean)
        return (log_mass(field, ONE) - field * mean + moments(field, ONE)[1] / 2).astype(mean.dtype)

    def base_energy(self, state: Array) -> Array:
        return (state * state).sum(axis=1) / 2

    def mean_energy(self, mean: Array) -> Array:
        return moments(self.natural(mean), ONE)[1].sum(axis=1).astype(mean.dtype) / 2

    def natural(self, mean: Array) -> Array:
        return field_of(mean, lambda field: moments(field, ONE)[0])

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        inputs *= inputs.dtype.type(scale)
        inputs += bias
        state[...] = drawn(np.asarray(inputs, np.float64), ONE, uniforms(stream, first_row, state, 1))
        inputs[...] = self.mean(inputs)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        state[...] = drawn(self.natural(mean), ONE, uniforms(stream, first_row, state, 1))

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
        increment += self.total_log_partition(after) - self.total_log_partition(before)
        self.sample(inputs, scales[1], biases[1], stream, first_row, state)
