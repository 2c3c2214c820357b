"""Spins: x in {-1, 1}, log-partition log(2 cosh(field))."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.numerics import binary_entropy, sigmoid
from boltz.rng import Stream
from boltz.units.bernoulli import Bernoulli

Array = NDArray[Any]
BITS = Bernoulli()


@dataclass(frozen=True)
class Spin:
    """Ising spins (Ising 1925): 2 s - 1 for binary units s whose field is twice as large."""

    columns: int = 1
    support: tuple[float, ...] = (-1.0, 1.0)
    binary: bool = False
    joint: bool = False

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {}

    def bound(self, parameters: Mapping[str, Array]) -> Spin:
        return self

    def statistics(self, state: Array) -> dict[str, Array]:
        return {}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {}

    def log_partition(self, field: Array) -> Array:
        size = np.abs(field)
        return size + np.log1p(np.exp(-2 * size))

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        return BITS.total_log_partition(2 * field) - field.sum(axis=-1, dtype=np.float64)

    def mean(self, field: Array) -> Array:
        return np.tanh(field)

    def variance(self, field: Array) -> Array:
        return 4 * sigmoid(2 * field) * sigmoid(-2 * field)

    def entropy(self, mean: Array) -> Array:
        return binary_entropy((1 + mean) / 2)

    def base_energy(self, state: Array) -> Array:
        return np.zeros_like(state, shape=(len(state),))

    def mean_energy(self, mean: Array) -> Array:
        return self.base_energy(mean)

    def natural(self, mean: Array) -> Array:
        return np.arctanh(mean)

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.bernoulli_sample(inputs, 2 * scale, 2 * bias, stream, first_row, state)
        _to_spins(inputs)
        _to_spins(state)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.bernoulli_from_mean((mean + 1) / 2, stream, first_row, state)
        _to_spins(state)

    def relax(self, inputs: Array, scale: float, bias: Array, damping: float, mean: Array) -> float:
        mean += 1
        mean /= 2
        change = kernels.bernoulli_relax(inputs, 2 * scale, 2 * bias, damping, mean)
        _to_spins(mean)
        return 2 * change

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
        """The log-partition of a spin is that of a binary unit at twice the field, less the field."""
        kind = inputs.dtype.type
        before, after = (kind(s) * inputs + b for s, b in zip(scales, biases, strict=True))
        increment -= (after - before).sum(axis=1, dtype=np.float64)
        doubled = (2 * scales[0], 2 * scales[1]), (2 * biases[0], 2 * biases[1])
        kernels.bernoulli_anneal(inputs, *doubled, stream, first_row, state, increment)
        _to_spins(inputs)
        _to_spins(state)


def _to_spins(x: Array) -> None:
    """x := 2 x - 1."""
    x *= 2
    x -= 1
