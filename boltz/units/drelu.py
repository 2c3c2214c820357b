"""Double rectified linear units: x any real number, with a density of its own on either side of 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import on_device
from boltz.errors import InputError
from boltz.rng import Stream
from boltz.units.damping import damp
from boltz.units.half_normal import drawn, field_of, log_mass, moments

Array = NDArray[Any]
Floats = NDArray[np.float64]


def uniforms(stream: Stream, first_row: int, state: Array, columns: int) -> Floats:
    """Numbers in (0, 1), (rows, units * columns), on the host; raises InputError for units on a device."""
    if on_device(state):
        raise InputError("rectified units live on the processor: give the machine device='cpu'.")
    bits = np.empty((len(state), state.shape[1] * columns), np.uint32)
    kernels.philox(stream, first_row, bits)
    return (bits + 0.5) / 2.0**32


@dataclass(frozen=True, eq=False)
class DReLU:
    """Double rectified linear units (Tubiana, Cocco & Monasson 2019, Learning compositional representations ...).

    The base energy is e^-a x^2 / 2 for x > 0, e^a x^2 / 2 for x < 0, plus threshold |x|. The asymmetry a and the
    threshold are learnt; together with the bias they are the four parameters of that work, less the scale of x, which
    weights have, too. At 0 units are normal, at a large threshold they are rarely far from 0 or, where it is negative,
    have two modes.
    """

    asymmetry: Array = field(default_factory=lambda: np.zeros(1))
    threshold: Array = field(default_factory=lambda: np.zeros(1))
    columns: int = 1
    support: tuple[float, ...] | None = None
    binary: bool = False
    joint: bool = False

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {"asymmetry": (units,), "threshold": (units,)}

    def bound(self, parameters: Mapping[str, Array]) -> DReLU:
        return replace(self, asymmetry=parameters["asymmetry"], threshold=parameters["threshold"])

    def _sides(self, x: Array) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]]:
        """(field, precision) of |x| on the positive and on the negative side."""
        field, bend = np.asarray(x, np.float64), np.asarray(self.threshold, np.float64)
        a = np.asarray(self.asymmetry, np.float64)
        ones = np.ones_like(field)
        return (field - bend, np.exp(-a) * ones), (-field - bend, np.exp(a) * ones)

    def _shares(self, field: Array) -> tuple[Floats, Floats, Floats]:
        """The log-partition, and the probabilities of both sides."""
        up, down = (log_mass(*side) for side in self._sides(field))
        total = np.logaddexp(up, down)
        return total, np.exp(up - total), np.exp(down - total)

    def _moments(self, field: Array) -> tuple[Floats, Floats, Floats, Floats]:
        """E[x; x > 0], E[-x; x < 0], E[x^2; x > 0], E[x^2; x < 0]."""
        _, above, below = self._shares(field)
        up, down = self._sides(field)
        (first, square), (other, other_square) = moments(*up), moments(*down)
        return above * first, below * other, above * square, below * other_square

    def statistics(self, state: Array) -> dict[str, Array]:
        a = self.asymmetry.astype(state.dtype, copy=False)
        up, down = np.maximum(state, 0), np.minimum(state, 0)
        return {
            "asymmetry": (np.exp(-a) * up * up - np.exp(a) * down * down) / 2,
            "threshold": -np.abs(state),
        }

    def field_statistics(self, field: Array) -> dict[str, Array]:
        up, down, square, other = self._moments(field)
        a = np.asarray(self.asymmetry, np.float64)
        found = {"asymmetry": (np.exp(-a) * square - np.exp(a) * other) / 2, "threshold": -(up + down)}
        return {name: x.astype(field.dtype) for name, x in found.items()}

    def log_partition(self, field: Array) -> Array:
        return self._shares(field)[0].astype(field.dtype)

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        return self._shares(field)[0].sum(axis=-1)

    def mean(self, field: Array) -> Array:
        up, down, _, _ = self._moments(field)
        return (up - down).astype(field.dtype)

    def variance(self, field: Array) -> Array:
        up, down, square, other = self._moments(field)
        return (square + other - (up - down) ** 2).astype(field.dtype)

    def entropy(self, mean: Array) -> Array:
        field = self.natural(mean)
        total, _, _ = self._shares(field)
        return (total - field * mean + self._expected_energy(field)).astype(mean.dtype)

    def _expected_energy(self, field: Array) -> Floats:
        up, down, square, other = self._moments(field)
        a = np.asarray(self.asymmetry, np.float64)
        return (np.exp(-a) * square + np.exp(a) * other) / 2 + self.threshold * (up + down)

    def base_energy(self, state: Array) -> Array:
        a = self.asymmetry.astype(state.dtype, copy=False)
        bent = np.exp(np.where(state > 0, -a, a)) * state * state / 2
        return (bent + self.threshold.astype(state.dtype, copy=False) * np.abs(state)).sum(axis=1)

    def mean_energy(self, mean: Array) -> Array:
        return self._expected_energy(self.natural(mean)).sum(axis=1).astype(mean.dtype)

    def natural(self, mean: Array) -> Array:
        return field_of(mean, lambda field: np.asarray(self.mean(field)))

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        inputs *= inputs.dtype.type(scale)
        inputs += bias
        self._draw(inputs, stream, first_row, state)
        inputs[...] = self.mean(inputs)

    def _draw(self, field: Array, stream: Stream, first_row: int, state: Array) -> None:
        """State drawn at fields, in place: one uniform number decides the side, the other one how far from 0."""
        side, far = np.split(uniforms(stream, first_row, state, 2), 2, axis=1)
        up, down = self._sides(field)
        above = side < self._shares(field)[1]
        signed = [np.where(above, a, b) for a, b in zip(up, down, strict=True)]
        state[...] = np.where(above, 1, -1) * drawn(signed[0], signed[1], far)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        self._draw(self.natural(mean), stream, first_row, state)

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
