"""Unit types: each is its log-partition function of the total input (field); one file and one line here adds one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.rng import Stream
from boltz.units.bernoulli import Bernoulli
from boltz.units.binomial import MOST_TRIALS, Binomial
from boltz.units.categorical import Categorical
from boltz.units.counts import LONGEST, Counts
from boltz.units.drelu import DReLU
from boltz.units.gaussian import Gaussian
from boltz.units.rectified import Rectified
from boltz.units.spin import Spin

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
        """The values that a column can take, None where these are all real numbers of a range, or too many."""

    @property
    def binary(self) -> bool:
        """Whether states are 0 and 1, without a base energy: rows of data may then be probabilities."""

    @property
    def joint(self) -> bool:
        """Whether all columns of a layer are a single unit, as the counts of the words of a document are."""

    def shapes(self, units: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the own parameters of so many units, by name."""

    def bound(self, parameters: Mapping[str, Array]) -> Units:
        """The type with the parameters of a layer, by name, the bias among them."""

    def statistics(self, state: Array) -> dict[str, Array]:
        """The derivative of -base energy of states by each own parameter, (chains, ...)."""

    def field_statistics(self, field: Array) -> dict[str, Array]:
        """The expectation of these statistics of units with such fields, (chains, ...)."""

    def log_partition(self, field: Array) -> Array:
        """log of the sum over states of exp(field x - base energy), of each unit (nats)."""

    def total_log_partition(self, field: Array) -> NDArray[np.float64]:
        """Sum of the log-partitions of a row's units, (chains,) in float64."""

    def mean(self, field: Array) -> Array:
        """First derivative of the log-partition."""

    def variance(self, field: Array) -> Array:
        """Second derivative of the log-partition, of each column."""

    def entropy(self, mean: Array) -> Array:
        """Entropy of each unit with this mean (nats)."""

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


UNITS: dict[str, Units] = {
    "bernoulli": Bernoulli(),
    "spin": Spin(),
    "gaussian": Gaussian(),
    "rectified": Rectified(),
    "drelu": DReLU(),
    "counts": Counts(),
}
FAMILIES: dict[str, Callable[[int], Units]] = {"categorical": Categorical, "counts": Counts, "binomial": Binomial}
"""Types that come with a number: categorical:21 of 21 states, counts:50 of documents of 50 words, binomial:20 up to 20.
"""
MOST_STATES = 1000
NUMBERS = {
    "categorical": (2, MOST_STATES, "STATES", "states"),
    "counts": (1, LONGEST, "WORDS", "words of a document"),
    "binomial": (1, MOST_TRIALS, "TRIALS", "trials"),
}
"""The least and the greatest of these numbers, and what they are of, in kinds and in words."""


def units_of(kind: str) -> Units:
    """The unit type of a kind, such as spin or categorical:21; raises InputError for one that there is none of."""
    name, colon, number = kind.partition(":")
    if name in UNITS and not colon:
        return UNITS[name]
    if name not in FAMILIES:
        raise InputError(f"units must be of kind {', '.join(names())}, got {kind!r:.40}.")
    least, most, _, what = NUMBERS[name]
    if not (number.isascii() and number.isdecimal() and len(number) < 8 and least <= int(number) <= most):
        raise InputError(
            f"units of kind {name} need a number of {what}, {least} to {most}, such as {name}:21, got {kind!r:.40}."
        )
    return FAMILIES[name](int(number))


def names() -> list[str]:
    """The kinds that there are, in words."""
    return [*UNITS, *(f"{name}:{NUMBERS[name][2]}" for name in FAMILIES)]


def is_kind(kind: str) -> bool:
    """Whether there are units of a kind."""
    return kind in UNITS or kind.partition(":")[0] in FAMILIES


def kind_of(value: Any, name: str) -> str:
    """A kind as a caller names it, "spin", "categorical:21" or ("categorical", 21); name is what errors call it.

    Raises InputError.
    """
    if isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str):
        least, most, *_ = NUMBERS.get(value[0], (0, None))
        value = f"{value[0]}:{checks.integer(value[1], f'{name}[1]', least, most)}"
    if not isinstance(value, str):
        raise InputError(f"{name} must be a kind of units among {', '.join(names())}, got {checks.brief(value)}.")
    units_of(value)
    return value
