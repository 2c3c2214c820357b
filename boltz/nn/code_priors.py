"""Priors of codes that a game matches by their draws (Makhzani et al. 2016): wide normal, mixture, box, and points.

Each is a factor that is given nothing. Those with components can draw from the component that a label names.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import host
from boltz.errors import InputError
from boltz.kernels.reference import HALF_LOG_TWO_PI
from boltz.nn.arena import zeros
from boltz.nn.dense import Job, Params
from boltz.nn.factors import Place, Rows, Scored, Shapes
from boltz.rng import Key, Stream

Array = NDArray[Any]
Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
MOST_POINTS, MOST_NUMBERS = 10**6, 10**8


class CodePrior(Protocol):
    """What a game draws codes (rows, units) from."""

    @property
    def components(self) -> int:
        """How many components a label may name, 0 for a prior without any."""

    def draw_from(self, place: Place, state: Array, stream: Stream, rows: Rows, labels: Labels | None) -> None:
        """Draw in place; labels (rows,) name components, -1 any of them, None all of them."""


@dataclass(frozen=True)
class _Fixed:
    """What the priors share: no nets, nothing to learn."""

    units: int
    given: ClassVar[int] = 0
    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)
    fitted_rows: ClassVar[int] = 0
    components: ClassVar[int] = 0

    @property
    def inner(self) -> str:
        return ""

    def shapes(self, name: str) -> Shapes:
        return {}

    def start(self, name: str, params: Params, key: Key) -> None:
        """There is nothing to fill."""

    def fit(self, place: Place, state: Array) -> None:
        """There are no binary units."""

    def products(self, place: Place, gradient: Params) -> list[Job]:
        return []

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        self.draw_from(place, state, stream, rows, None)

    def draw_from(self, place: Place, state: Array, stream: Stream, rows: Rows, labels: Labels | None) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class WideNormal(_Fixed):
    """Independent normal units of mean 0 with a standard deviation of their own."""

    sigma: float = 5.0

    def __post_init__(self) -> None:
        checks.number(self.sigma, "prior_sigma", 1e-6, 1e6)

    def score(self, place: Place, state: Array) -> Scored:
        scaled = state / state.dtype.type(self.sigma)
        log_density = zeros(state)
        kernels.normal_score(scaled, log_density)
        log_density -= self.units * np.log(self.sigma)
        slope = scaled / state.dtype.type(self.sigma)
        return Scored(log_density, lambda: (slope, -1.0), _nothing)

    def draw_from(self, place: Place, state: Array, stream: Stream, rows: Rows, labels: Labels | None) -> None:
        kernels.normal(stream, rows, state)
        state *= state.dtype.type(self.sigma)


@dataclass(frozen=True)
class Ring(_Fixed):
    """A mixture of Gaussians in the plane, spread evenly on a circle, each long along its radius."""

    components: int = 10  # type: ignore[misc]  # a setting here
    radius: float = 2.0
    along: float = 0.5
    across: float = 0.1

    def __post_init__(self) -> None:
        if self.units != 2:
            raise InputError(f"prior mixture is of 2 units, got latent {self.units}: give latent=2, or prior normal.")
        checks.integer(self.components, "components", 1, 10**4)
        for name in ("radius", "along", "across"):
            checks.number(getattr(self, name), name, 1e-6, 1e6)

    @cached_property
    def axes(self) -> Floats:
        """The radial and the tangential unit vector of each component, (components, 2, 2)."""
        angle = 2 * np.pi * np.arange(self.components) / self.components
        radial = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return np.stack([radial, np.stack([-radial[:, 1], radial[:, 0]], axis=1)], axis=1)

    @cached_property
    def spread(self) -> Floats:
        return np.array([self.along, self.across])

    def score(self, place: Place, state: Array) -> Scored:
        z = host(state).astype(np.float64)
        u = (np.einsum("ni,kai->nka", z, self.axes) - [self.radius, 0.0]) / self.spread  # (rows, components, axes)
        each = -0.5 * np.square(u).sum(axis=2) - np.log(self.spread).sum() - 2 * HALF_LOG_TWO_PI
        total = logsumexp(each, axis=1)
        share = np.exp(each - total[:, None])
        slope = np.einsum("nk,nka,kai->ni", share, u / self.spread, self.axes)
        found = np.asarray(slope, state.dtype)
        return Scored(total - np.log(self.components), lambda: (found, -1.0), _nothing)

    def draw_from(self, place: Place, state: Array, stream: Stream, rows: Rows, labels: Labels | None) -> None:
        noise = np.empty_like(state, shape=(len(state), 3))
        kernels.normal(stream, rows, noise)
        which = chosen(noise[:, 2], labels, self.components)
        local = noise[:, :2] * self.spread + [self.radius, 0.0]
        state[...] = np.einsum("na,nai->ni", local, self.axes[which])


@dataclass(frozen=True)
class Box(_Fixed):
    """Independent units, uniform from -1 to 1."""

    def score(self, place: Place, state: Array) -> Scored:
        raise InputError(
            "a uniform prior has no density outside its box, where an encoder may put codes: likelihoods need a prior "
            "that is normal or a mixture."
        )

    def draw_from(self, place: Place, state: Array, stream: Stream, rows: Rows, labels: Labels | None) -> None:
        kernels.normal(stream, rows, state)
        state[...] = 2 * ndtr(state) - 1


@dataclass(frozen=True)
class Points(_Fixed):
    """Draws of a prior without a density, such as a swiss roll or a function: as many points as are kept with it.

    With components, the points of each lie one after the other, in equal shares.
    """

    count: int = 10_000
    components: int = 0  # type: ignore[misc]  # a setting here

    def __post_init__(self) -> None:
        checks.integer(self.count, "count", 1, MOST_POINTS)
        checks.integer(self.units * self.count, "the numbers of all points", 1, MOST_NUMBERS)
        checks.integer(self.components, "components", 0, self.count)

    def shapes(self, name: str) -> Shapes:
        return {f"{name}/points": (self.count, self.units)}

    def score(self, place: Place, state: Array) -> Scored:
        raise InputError(
            "the prior of this machine is known by its draws alone and has no density: likelihoods need a prior that "
            "is normal or a mixture."
        )

    def draw_from(self, place: Place, state: Array, stream: Stream, rows: Rows, labels: Labels | None) -> None:
        points = place.params[f"{place.name}/points"]
        noise = np.empty_like(state, shape=(len(state), 2))
        kernels.normal(stream, rows, noise)
        parts = max(self.components, 1)
        which = chosen(noise[:, 1], labels if self.components else None, parts)
        first, last = which * self.count // parts, (which + 1) * self.count // parts
        number = first + np.floor(ndtr(host(noise[:, 0]).astype(np.float64)) * (last - first)).astype(np.int64)
        state[...] = points[np.minimum(number, last - 1)]


CODE_PRIORS = (WideNormal, Ring, Box, Points)


def chosen(noise: Array, labels: Labels | None, components: int) -> Labels:
    """The component of each row: that of its label, and a random one by standard normal noise (rows,) where it has
    none.
    """
    drawn = np.floor(ndtr(host(noise).astype(np.float64)) * components).astype(np.int64)
    drawn = np.minimum(drawn, components - 1)
    return drawn if labels is None else np.where(labels >= 0, labels, drawn)


def swiss_roll(count: int, generator: np.random.Generator) -> Floats:
    """Points (count, 2) of a swiss roll of two turns and a quarter, from its inner end outwards."""
    angle = np.linspace(0.9, 5.4, count) * np.pi
    radius = angle / (5.4 * np.pi) * 3.0
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) + 0.05 * generator.normal(size=(count, 2))


def _nothing(weights: Array | None, signal: bool = True, keep: bool = True) -> None:
    """A prior hears no layer and learns nothing."""
