"""Factors of a generative model: p(layer | layer above) and, on top, p(layer) that is given nothing.

A factor owns its nets. It scores states, draws them, and pulls row weights back to its parameters, to the layer above
and to the states themselves. Its parameters and its buffers on the tape are under its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.nn.arena import Part, Tape, zeros
from boltz.nn.conditionals import Conditional
from boltz.nn.dense import Job, Net, Params, total
from boltz.nn.residual import AnyNet, inner
from boltz.numerics import logit
from boltz.rng import Key, Stream

Array = NDArray[Any]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
Shapes = dict[str, tuple[int, ...]]
FITTED_IMAGES = 100  # rows that convolutions start from


@dataclass(frozen=True)
class Place:
    """Where a factor works: its name, parameters by name, the rows of a tape, and the buffer of the layer above.

    given is "" where there is no layer above. step counts the steps of training, for factors that change from one to
    the next; None outside training.
    """

    name: str
    params: Params
    part: Part
    given: str = ""
    step: int | None = None


@dataclass(frozen=True)
class Scored:
    """What scoring leaves: log-densities (rows,) in nats, and the ways to their derivatives.

    by_state() gives an array and a sign: the first columns of the array times the sign are the derivative by the
    states; it is asked before pull, which may overwrite them. pull(weights, signal, keep) returns the derivative by
    the layer above, without weights, or None where signal is False. Where keep is True it leaves on the tape what
    `products` needs for the parameters under row weights (rows,), ones where weights is None.
    """

    log_density: Floats
    by_state: Callable[[], tuple[Array, float]]
    pull: Callable[..., Array | None]


class Factor(Protocol):
    """A distribution of the states (rows, units) of a layer given those of the layer above, or given nothing."""

    @property
    def units(self) -> int:
        """Units of the layer."""

    @property
    def given(self) -> int:
        """Units of the layer above, 0 where the factor is given nothing."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of units that the layer may have."""

    @property
    def inner(self) -> str:
        """What is between the layer and the one above, as an architecture tells it."""

    def shapes(self, name: str) -> Shapes:
        """Shapes of the parameters by name, in the order of the arena."""

    def start(self, name: str, params: Params, key: Key) -> None:
        """Fill the parameters of a new machine, which are zero."""

    @property
    def fitted_rows(self) -> int:
        """How many rows `fit` takes at most."""

    def fit(self, place: Place, state: Array) -> None:
        """Let the parameters of a new machine start from states (rows, units) of binary units."""

    def score(self, place: Place, state: Array) -> Scored:
        """Log-densities of states, which may have fewer rows than the layer above: each then stands for as many
        consecutive rows of it.
        """

    def products(self, place: Place, gradient: Params) -> list[Job]:
        """The parameter gradients from what pull left for all rows of place, as pieces of work."""

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        """Draw states in place; rows (rows,) are the numbers of the chains."""


def fitting(state: Array) -> Floats:
    """Biases of binary units with the means of these states (rows, units), kept away from 0 and 1."""
    return logit(np.clip(state.mean(axis=0, dtype=np.float64), 0.001, 0.999))


def fit_net(net: AnyNet, name: str, place: Place) -> None:
    """Let the convolutions of a net of this name start from some of the rows that the buffer place.given holds."""
    if isinstance(net, Net):
        return
    rows = place.part.get(place.given, net.sizes[0])[:FITTED_IMAGES]
    tape = Tape(place.part.tape.like)
    tape.get(place.given, *rows.shape)[...] = rows
    net.fit(name, place.params, place.given, tape.whole(len(rows)))


@dataclass(frozen=True)
class Dense:
    """Units that are independent given the outputs of a net over the layer above."""

    net: AnyNet
    conditional: Conditional
    units: int
    kinds = ("bernoulli", "gaussian")
    fitted_rows = 10_000

    @property
    def given(self) -> int:
        return self.net.sizes[0]

    @property
    def inner(self) -> str:
        return "-".join(inner(self.net))

    def shapes(self, name: str) -> Shapes:
        return self.net.shapes(name)

    def start(self, name: str, params: Params, key: Key) -> None:
        """Uniform weights as in Glorot & Bengio (2010); mean and log sigma of a Gaussian count as separate outputs."""
        self.net.start(name, params, key, self.units)

    @property
    def hears_noise(self) -> bool:
        """Whether `fit` looks at the layer above, which holds noise then."""
        return not isinstance(self.net, Net)

    def fit(self, place: Place, state: Array) -> None:
        fit_net(self.net, place.name, place)
        self.net.bias(place.name, place.params)[...] = fitting(state)

    def head(self, place: Place) -> tuple[Array, Array]:
        """Outputs (rows, outputs) without their bias, and the bias."""
        value, _ = self.net.forward(place.name, place.params, place.given, place.part)
        return value, self.net.bias(place.name, place.params)

    def score(self, place: Place, state: Array) -> Scored:
        value, pullback = self.net.forward(place.name, place.params, place.given, place.part)
        log_density = zeros(value)
        self.conditional.score(value, self.net.bias(place.name, place.params), state, log_density)

        def pull(weights: Array | None, signal: bool = True, keep: bool = True) -> Array | None:
            return pullback(value, weights, signal, keep)

        return Scored(log_density, lambda: (value, -1.0), pull)

    def products(self, place: Place, gradient: Params) -> list[Job]:
        return self.net.products(place.name, (place.params, gradient), place.given, place.part)

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        offset = place.part.get(f"{place.name}/offset", self.units)
        self.conditional.sample(self.head(place), stream, rows, state, offset)


@dataclass(frozen=True)
class Coins:
    """A factorial prior of binary units with biases."""

    units: int
    given = 0
    inner = ""
    kinds = ("bernoulli",)
    fitted_rows = 10_000

    def shapes(self, name: str) -> Shapes:
        return {f"{name}/bias": (self.units,)}

    def start(self, name: str, params: Params, key: Key) -> None:
        """Biases stay 0."""

    def fit(self, place: Place, state: Array) -> None:
        place.params[f"{place.name}/bias"][...] = fitting(state)

    def score(self, place: Place, state: Array) -> Scored:
        score, log_density = place.part.get(f"{place.name}/delta", self.units), zeros(state)
        score[...] = 0
        kernels.bernoulli_score(score, place.params[f"{place.name}/bias"], state, log_density)

        def pull(weights: Array | None, signal: bool = True, keep: bool = True) -> Array | None:
            if keep and weights is not None:
                kernels.weighted(score, weights, False, score)
            return None

        return Scored(log_density, lambda: (score, -1.0), pull)

    def products(self, place: Place, gradient: Params) -> list[Job]:
        return [total(place.part.get(f"{place.name}/delta", self.units), gradient[f"{place.name}/bias"])]

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        inputs = np.zeros_like(state)
        kernels.bernoulli_sample(
            inputs, 1.0, place.params[f"{place.name}/bias"], stream, int(place.part.rows.start), state
        )


@dataclass(frozen=True)
class StandardNormal:
    """The prior of independent standard normal units."""

    units: int
    given = 0
    inner = ""
    kinds = ("gaussian",)
    fitted_rows = 0

    def shapes(self, name: str) -> Shapes:
        return {}

    def start(self, name: str, params: Params, key: Key) -> None:
        """There is nothing to fill."""

    def fit(self, place: Place, state: Array) -> None:
        """There are no binary units."""

    def score(self, place: Place, state: Array) -> Scored:
        log_density = zeros(state)
        kernels.normal_score(state, log_density)
        return Scored(log_density, lambda: (state, -1.0), lambda weights, signal=True, keep=True: None)

    def products(self, place: Place, gradient: Params) -> list[Job]:
        return []

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        kernels.normal(stream, rows, state)
