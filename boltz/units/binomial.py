"""Binomial units: x in {0, ..., n}, log-partition n softplus(field)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

import boltz.kernels as kernels
from boltz.arrays import beside, host
from boltz.numerics import binary_entropy, logit, sigmoid, softplus
from boltz.rng import Stream
from boltz.units.bernoulli import Bernoulli
from boltz.units.damping import damp

Array = NDArray[Any]
Floats = NDArray[np.float64]
BITS = Bernoulli()
MOST_TRIALS = 1000  # 2^-n is then a normal number of double precision
TOGETHER = 4096  # means whose sums over states a cache holds


@cache
def _states(trials: int) -> tuple[float, ...]:
    return tuple(float(x) for x in range(trials + 1))


@dataclass(frozen=True)
class Binomial:
    """The sum of so many binary units that share their field (rate-coded units, Teh & Hinton 2001).

    trials: the largest state n. The base energy is -log of the binomial coefficient C(n, x), so that the mean is
    n sigmoid(field).
    """

    trials: int
    columns: int = 1
    binary: bool = False
    joint: bool = False

    @property
    def support(self) -> tuple[float, ...]:
        """0 to n."""
        return _states(self.trials)

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        return {}

    def bound(self, parameters: Mapping[str, Array]) -> Binomial:
        return self

    def statistics(self, state: Array) -> dict[str, Array]:
        return {}

    def field_statistics(self, field: Array) -> dict[str, Array]:
        return {}

    def log_partition(self, field: Array) -> Array:
        return self.trials * softplus(field)

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        return self.trials * BITS.total_log_partition(field)

    def mean(self, field: Array) -> Array:
        return self.trials * sigmoid(field)

    def variance(self, field: Array) -> Array:
        return self.trials * BITS.variance(field)

    def entropy(self, mean: Array) -> Array:
        """That of n binary units less what their order tells, which is the mean log-coefficient."""
        each = np.asarray(host(mean), np.float64)
        found = self.trials * binary_entropy(each / self.trials) - _mean_log_coefficient(each, self.trials)
        return beside(found.astype(mean.dtype), mean)

    def base_energy(self, state: Array) -> Array:
        x = np.asarray(host(state), np.float64)
        each = gammaln(x + 1) + gammaln(self.trials - x + 1) - gammaln(self.trials + 1)
        return beside(each.sum(axis=1).astype(state.dtype), state)

    def mean_energy(self, mean: Array) -> Array:
        each = _mean_log_coefficient(np.asarray(host(mean), np.float64), self.trials)
        return beside(-each.sum(axis=1).astype(mean.dtype), mean)

    def natural(self, mean: Array) -> Array:
        return logit(mean / self.trials)

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.bernoulli_mean(inputs, scale, bias)
        inputs *= self.trials
        self.draw(inputs, stream, first_row, state)

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        kernels.binomial_from_mean(mean, self.trials, stream, first_row, state)

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
        """The log-partition is n times that of a binary unit, whose draw is overwritten."""
        change = np.zeros_like(increment)
        kernels.bernoulli_anneal(inputs, scales, biases, stream, first_row, state, change)
        increment += self.trials * change
        inputs *= self.trials
        self.draw(inputs, stream, first_row, state)


def _mean_log_coefficient(mean: Floats, trials: int) -> Floats:
    """Expectation of log C(n, x) for each mean of x, summed over x from the end that is nearer to it.

    That of x = 0 and of x = n is 0.
    """
    states = np.arange(trials + 1.0)
    logs = gammaln(trials + 1) - gammaln(states + 1) - gammaln(trials - states + 1)
    found = np.empty(mean.size)
    for start in range(0, mean.size, TOGETHER):
        some = mean.reshape(-1)[start : start + TOGETHER]
        share = np.minimum(some, trials - some) / trials
        odds, total = share / (1 - share), np.zeros_like(share)
        term = (1 - share) ** trials
        for x in range(trials - 1):
            term *= odds * ((trials - x) / (x + 1))
            total += term * logs[x + 1]
        found[start : start + TOGETHER] = total
    return found.reshape(mean.shape)
