"""Gaussian units: x any real number, log-partition variance field^2 / 2 + log(2 pi variance) / 2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import numbers
from boltz.rng import Stream
from boltz.units.damping import damp

Array = NDArray[Any]
LOG_TWO_PI = float(np.log(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Normal units given their field (Welling, Rosen-Zvi & Hinton 2005; log-variances as in Cho, Ilin & Raiko 2011).

    The mean is variance times field, so that weights here are those that other authors write as W / sigma^2.
    log_variance (units,) is a view of the parameters of the machine, 0 where the units are bound to none.
    """

    log_variance: Array = field(default_factory=lambda: np.zeros(1))
    columns: int = 1
    support: tuple[float, ...] | None = None
    binary: bool = False
    joint: bool = False

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {"log_variance": (units,)}

    def bound(self, parameters: Mapping[str, Array]) -> Gaussian:
        return replace(self, log_variance=parameters["log_variance"])

    def _variance(self, like: Array) -> Array:
        """The variances (units,) in the type of an array."""
        return np.exp(self.log_variance.astype(like.dtype, copy=False))

    def statistics(self, state: Array) -> dict[str, Array]:
        return {"log_variance": state * state / (2 * self._variance(state))}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {"log_variance": (self._variance(field) * field * field + 1) / 2}

    def log_partition(self, field: Array) -> Array:
        log_variance = self.log_variance.astype(field.dtype, copy=False)
        return (np.exp(log_variance) * field * field + log_variance + field.dtype.type(LOG_TWO_PI)) / 2

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        return self.log_partition(field.astype(np.float64)).sum(axis=-1)

    def mean(self, field: Array) -> Array:
        return self._variance(field) * field

    def variance(self, field: Array) -> Array:
        return np.broadcast_to(self._variance(field), field.shape)

    def entropy(self, mean: Array) -> Array:
        each = (self.log_variance.astype(mean.dtype, copy=False) + mean.dtype.type(LOG_TWO_PI + 1)) / 2
        return np.broadcast_to(each, mean.shape)

    def base_energy(self, state: Array) -> Array:
        return (state * state / (2 * self._variance(state))).sum(axis=1)

    def mean_energy(self, mean: Array) -> Array:
        return self.base_energy(mean) + mean.dtype.type(mean.shape[1] / 2)

    def natural(self, mean: Array) -> Array:
        return mean / self._variance(mean)

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        inputs *= inputs.dtype.type(scale)
        inputs += bias
        inputs *= self._variance(inputs)
        self.draw(inputs, stream, first_row, state)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.normal(stream, numbers(first_row, first_row + len(state), state), state)
        state *= np.sqrt(self._variance(state))
        state += mean

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
        """The difference of squares as a product, which loses no digits where temperatures are close."""
        kind = inputs.dtype.type
        before, after = (kind(s) * inputs + b for s, b in zip(scales, biases, strict=True))
        change = (after - before) * (after + before) * self._variance(inputs)
        increment += change.sum(axis=1, dtype=np.float64) / 2
        self.sample(inputs, scales[1], biases[1], stream, first_row, state)
