"""Flows: priors whose log-density is that of noise plus a log-determinant, and a flow for the posterior.

A prior takes states z (rows, units) to eps by a map of steps: log p(z) = log N(eps; 0, 1) + log |det deps/dz|. The
autoregressive flow is the prior of the variational lossy autoencoder (Chen et al. 2017, section 3.2), the coupling flow
that of Dinh et al. (2017). The inverse autoregressive flow takes a Gaussian draw to a draw of the posterior (Kingma et
al. 2016). All of them start as maps that change nothing but the order of units.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import boltz.kernels as kernels
from boltz.nn.dense import Job, Params
from boltz.nn.factors import Array, Place, Rows, Scored, Shapes
from boltz.nn.invertible import CouplingSteps, Mapped, Steps
from boltz.rng import Key, Stream


@dataclass(frozen=True)
class _Prior:
    """What the priors share: a standard normal density behind a map from states to noise."""

    units: int
    steps: int = 2
    widths: tuple[int, ...] = (320,)
    kind: str = "mean-only"
    activation: str = "relu"
    given: ClassVar[int] = 0
    kinds: ClassVar[tuple[str, ...]] = ("gaussian",)
    fitted_rows: ClassVar[int] = 0
    of: ClassVar[type[Steps]] = Steps

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", self.map.widths)

    @cached_property
    def map(self) -> Steps:
        """The map from states to noise; raises InputError where a setting is wrong."""
        return self.of(self.units, self.steps, self.widths, kind=self.kind, activation=self.activation)

    def shapes(self, name: str) -> Shapes:
        return self.map.shapes(name)

    def start(self, name: str, params: Params, key: Key) -> None:
        """The density of a new machine is standard normal."""
        self.map.start(name, params, key)

    def fit(self, place: Place, state: Array) -> None:
        """There are no binary units."""

    @property
    def inner(self) -> str:
        """What is between the units and noise, as an architecture tells it."""
        return f"{self.steps} steps of " + "-".join(map(str, self.widths))

    def score(self, place: Place, state: Array) -> Scored:
        mapped = self.map.forward(place, state)
        log_density = mapped.log_det.copy()
        kernels.normal_score(mapped.value, log_density)
        fresh = list[Array]()  # the derivative by the state, while its deltas wait on the tape without weights

        def by_state() -> tuple[Array, float]:
            if not fresh:
                fresh.append(mapped.pullback(-mapped.value, 1)[0])
            return fresh[0], 1.0

        def pull(weights: Array | None, signal: bool = True, keep: bool = True) -> Array | None:
            if keep:
                by_state()
            if keep and weights is not None:
                self.map.weigh(place, weights)
                fresh.clear()
            return None

        return Scored(log_density, by_state, pull)

    def products(self, place: Place, gradient: Params) -> list[Job]:
        return self.map.products(place, gradient)

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        kernels.normal(stream, rows, state)
        state[...] = self.map.inverse(place, state).value

    def forward(self, place: Place, state: Array) -> Mapped:
        """Noise eps (rows, units) and log |det deps/dz| (rows,) of states."""
        return self.map.forward(place, state)

    def inverse(self, place: Place, noise: Array) -> Mapped:
        """States (rows, units) of noise eps, and log |det dz/deps| (rows,)."""
        return self.map.inverse(place, noise)


@dataclass(frozen=True)
class AutoregressiveFlow(_Prior):
    """A prior of real units in so many autoregressive steps, each a masked net with these hidden widths.

    kind is "mean-only" for steps z_i - m_i(z_<i), or "affine" for (z_i - m_i) exp(-s_i) with |s_i| < 3. A density takes
    one pass, a draw goes unit by unit. Where states stay in the tens, they come back from their noise to 1e-10 in
    float64 and to 1e-4 in float32. Raises InputError.
    """


@dataclass(frozen=True)
class CouplingFlow(_Prior):
    """A prior of two or more real units in so many coupling steps: half of the units moves given the other half.

    kind and accuracy are as in AutoregressiveFlow. Densities and draws take one pass. All units move in two steps or
    more. Raises InputError.
    """

    kind: str = "affine"
    of: ClassVar[type[Steps]] = CouplingSteps


@dataclass(frozen=True)
class InverseAutoregressiveFlow(Steps):
    """A posterior flow: a draw z0 (rows, units) of a Gaussian becomes z by so many autoregressive steps.

    The nets hear a context, so many outputs of the recognition net, in the buffer place.given. Parameters and buffers
    are under place.name. A draw and its density take one pass:

        mapped = flow.forward(place, z0)                # z = mapped.value
        log_q = log_q0 - mapped.log_det                 # of this draw, log_q0 that of z0
        by_z0, by_context = mapped.pullback(signal, slope, weights)
        jobs = flow.products(whole, gradient)           # once, with the place of all rows of a batch

    signal (rows, units) is the derivative by z, and slope that by mapped.log_det: a number or one a row. Derivatives by
    z0 and by the context (rows, context) come without weights; row weights (rows,) enter the parameter product only.
    For a given z it goes unit by unit, with the same pullback: by z, the context and the parameters at a fixed z.

        mapped = flow.inverse(place, z)                 # z0 = mapped.value
        log_q = log_q0 + mapped.log_det
        by_z, by_context = mapped.pullback(signal, slope, weights)

    The two pullbacks are flow.pull(place, ...) and flow.pull_inverse(place, z0, ...). Of one place, a pullback belongs
    to the last call of forward or inverse. Raises InputError.
    """
