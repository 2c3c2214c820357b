"""Unit types: each is its log-partition function of the total input (field); one file and one line here adds one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltz.rng import Stream
from boltz.units.bernoulli import Bernoulli

Array = NDArray[Any]


class Units(Protocol):
    """An exponential family p(x | field) proportional to exp(field x - base energy of x); arrays (chains, units).

    Arrays have a column for each unit, or several where columns says so: units then counts columns. A type may have
    parameters of its own beside the bias, which lie in the arena of a machine; bound gives the type that has them.
    """

    @property
    def columns(self) -> int:
        """Columns of a unit."""

    @property
    def support(self) -> tuple[float, ...] | None:
        """The values that a column can take, None where these are all real numbers of a range."""

    @property
    def binary(self) -> bool:
        """Whether states are 0 and 1, without a base energy: rows of data may then be probabilities."""

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the own parameters of so many units, by name."""

    def bound(self, parameters: Mapping[str, Array]) -> Units:
        """The type with the parameters of a layer, by name, the bias among them."""

    def statistics(self, state: Array) -> dict[str, Array]:
        """The derivative of -base energy of states by each own parameter, (chains, ...)."""

    def log_partition(self, field: Array) -> Array:
        """log of the sum over states of exp(field x - base energy), elementwise (nats)."""

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        """Sum of the log-partitions of a row's units, (chains,) in float64."""

    def mean(self, field: Array) -> Array:
        """First derivative of the log-partition."""

    def variance(self, field: Array) -> Array:
        """Second derivative of the log-partition."""

    def entropy(self, mean: Array) -> Array:
        """Entropy of a unit with this mean (nats)."""

    def base_energy(self, state: Array) -> Array:
        """Energy of a state without any field, summed over units, (chains,)."""

    def mean_energy(self, mean: Array) -> Array:
        """Expectation of the base energy of units with these means, summed over units, (chains,)."""

    def natural(self, mean: Array) -> Array:
        """The field that gives this mean."""

    def sample(self, inputs: Array, scale: float, bias: Array, stream: Stream, first_row: int, state: Array) -> None:
        """inputs := mean at field scale * inputs + bias; state drawn from it, in place."""

    def draw(self, mean: Array, stream: Stream, first_row: int, state: Array) -> None:
        """State drawn from given means, in place."""

    def relax(self, inputs: Array, scale: float, bias: Array, damping: float, mean: Array) -> float:
        """Damped mean-field step of mean, in place; returns the largest change."""

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
        """increment += change of log-partition between two temperatures; then sample at the second, in place."""


UNITS: dict[str, Units] = {"bernoulli": Bernoulli()}
