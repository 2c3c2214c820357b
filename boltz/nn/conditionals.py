"""Conditionals on top of a net's outputs: Bernoulli from logits, and the diagonal Gaussian from mean and log sigma.

Each draws a state, adds its log-density (nats) and turns the outputs into the score, the derivative of the log-density
by the outputs at a fixed state. For the Gaussian the derivative by the state is minus the score of the mean, and the
derivative of the state by (mean, log sigma) at fixed noise is (1, state - mean) (Kingma & Welling 2014, section 2.4).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.kernels.reference import HALF_LOG_TWO_PI
from boltz.numerics import softplus
from boltz.rng import Stream

Array = NDArray[Any]
Rows = NDArray[np.int64]
Head = tuple[Array, Array]  # field and bias


class Conditional(Protocol):
    """A distribution of (rows, units) given outputs (rows, outputs) of a net; fields come without their bias."""

    @property
    def reparameterised(self) -> bool:
        """Whether a draw is a smooth function of the outputs and of noise."""

    def outputs(self, units: int) -> int:
        """Number of outputs that the net must have."""

    def mean(self, field: Array, bias: Array) -> Array:
        """Means (rows, units)."""

    def sample(self, head: Head, stream: Stream, rows: Rows, state: Array, offset: Array) -> None:
        """Draw state, in place, with its offset from the mean where it has one; rows (rows,) are the chain numbers."""

    def score(self, field: Array, bias: Array, state: Array, log_density: NDArray[np.float64]) -> None:
        """log_density (rows,) += log-density of state, and field := score, in place.

        state may have fewer rows: each then stands for as many consecutive rows of field.
        """

    def table(self, field: Array, bias: Array, state: Array) -> NDArray[np.float64]:
        """Log-density (states, fields) of every state (states, units) given every row of fields."""

    def table_of_known(self, field: Array, bias: Array, state: Array, known: Array) -> NDArray[np.float64]:
        """The same of the known units of each state alone, known (states, units)."""

    def path(self, signal: Array, offset: Array, out: Array) -> None:
        """out (rows, outputs) := the derivative by the outputs that a signal (rows, units) at the drawn state gives."""


@dataclass(frozen=True)
class Bernoulli:
    """Units in {0, 1} from logits."""

    reparameterised: bool = False

    def outputs(self, units: int) -> int:
        return units

    def mean(self, field: Array, bias: Array) -> Array:
        mean = field.copy()
        kernels.bernoulli_mean(mean, 1.0, bias)
        return mean

    def sample(self, head: Head, stream: Stream, rows: Rows, state: Array, offset: Array) -> None:
        kernels.bernoulli_rows(self.mean(*head), stream, rows, state)

    def score(self, field: Array, bias: Array, state: Array, log_density: NDArray[np.float64]) -> None:
        kernels.bernoulli_score(field, bias, state, log_density)

    def table(self, field: Array, bias: Array, state: Array) -> NDArray[np.float64]:
        logits = (field + bias).astype(np.float64)
        return state @ logits.T - softplus(logits).sum(axis=1)

    def table_of_known(self, field: Array, bias: Array, state: Array, known: Array) -> NDArray[np.float64]:
        logits = (field + bias).astype(np.float64)
        found: NDArray[np.float64] = np.where(known, state, 0) @ logits.T - known @ softplus(logits).T
        return found

    def path(self, signal: Array, offset: Array, out: Array) -> None:
        out[...] = 0  # a draw does not move with the logits


@dataclass(frozen=True)
class Gaussian:
    """Real units with mean and log sigma from the first and the second half of the outputs.

    log_units (units,), 0 where there are none, are taken off the log-density (nats): logs of the units that states are
    given in. learnt (outputs,) is 0 at the outputs of units that nothing is learnt of, whose draws are their means, and
    1 at the others; None: of all.
    """

    reparameterised: bool = True
    log_units: Any = field(default=0.0, compare=False)
    learnt: Any = field(default=None, compare=False)

    @cached_property
    def log_unit(self) -> float:
        """The sum of the logs of all units."""
        return float(np.sum(self.log_units))

    def outputs(self, units: int) -> int:
        return 2 * units

    def mean(self, field: Array, bias: Array) -> Array:
        units = len(bias) // 2
        return field[:, :units] + bias[:units]

    def sample(self, head: Head, stream: Stream, rows: Rows, state: Array, offset: Array) -> None:
        field, bias = head
        units = len(bias) // 2
        kernels.normal(stream, rows, state)
        if self.learnt is not None:
            state *= self.learnt[:units]
        kernels.gaussian_shift(field, bias, state, offset)

    def score(self, field: Array, bias: Array, state: Array, log_density: NDArray[np.float64]) -> None:
        constant = len(bias) // 2 * HALF_LOG_TWO_PI + self.log_unit
        kernels.gaussian_score(field, bias, state, constant, log_density)
        if self.learnt is not None:
            field *= self.learnt

    def table(self, field: Array, bias: Array, state: Array) -> NDArray[np.float64]:
        units = len(bias) // 2
        outputs, constant = (field + bias).astype(np.float64), units * HALF_LOG_TWO_PI + self.log_unit
        found = np.empty_like(outputs, shape=(len(state), len(outputs)))
        for i, (mean, log_sigma) in enumerate(zip(outputs[:, :units], outputs[:, units:], strict=True)):
            z = (state - mean) * np.exp(-log_sigma)
            found[:, i] = -0.5 * np.einsum("ij,ij->i", z, z) - log_sigma.sum() - constant
        return found

    def table_of_known(self, field: Array, bias: Array, state: Array, known: Array) -> NDArray[np.float64]:
        units = len(bias) // 2
        outputs = (field + bias).astype(np.float64)
        mean, log_sigma = outputs[:, :units], outputs[:, units:]
        found = -(known @ (log_sigma + (HALF_LOG_TWO_PI + self.log_units)).T)
        precision = np.exp(-log_sigma)
        for each, some, total in zip(state, known, found, strict=True):
            z = (each - mean) * precision
            total -= 0.5 * np.square(z) @ some
        return np.asarray(found)

    def path(self, signal: Array, offset: Array, out: Array) -> None:
        kernels.gaussian_path(signal, offset, out)


CONDITIONALS: dict[str, Conditional] = {"bernoulli": Bernoulli(), "gaussian": Gaussian()}
