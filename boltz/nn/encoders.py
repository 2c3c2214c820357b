"""Encoders of a recognition model: q(layer | layer below) by a net, perhaps with a flow behind its draw.

Without a flow, q is the conditional on the outputs of the net. With one, a draw z0 of the Gaussian becomes z = f(z0),
and the nets of the flow hear mean and log sigma (Kingma et al. 2016): log q(z) = log q0(z0) - log |det dz/dz0|.

The slope of log q(z) at a fixed z is a derivative through the draw, so that one way back serves all objectives. With
r = d log q / dz, and a parameter t of the flow: d log q(z; t) / dt = -d log |det| / dt - r df(z0; t) / dt.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.nn.arena import zeros
from boltz.nn.conditionals import Conditional
from boltz.nn.dense import Job, Params, Pullback
from boltz.nn.factors import Place, fit_net
from boltz.nn.flows import InverseAutoregressiveFlow
from boltz.nn.residual import AnyNet
from boltz.rng import Stream

Array = NDArray[Any]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Encoder:
    """A distribution of the states (rows, units) of a layer given those of the layer below, in place.given.

    Methods take the outputs of the net, (rows, outputs) without their bias. Where these become the score, it is the
    derivative of log q by the outputs at fixed states; with a flow, that of log q0 at fixed z0.
    """

    net: AnyNet
    conditional: Conditional
    units: int
    flow: InverseAutoregressiveFlow | None = None
    noise: int = 0

    def encode(self, place: Place) -> tuple[Array, Pullback]:
        """Outputs for the states of the layer below, and their pullback."""
        return self.net.forward(place.name, place.params, self.heard(place), place.part)

    def heard(self, place: Place) -> str:
        """The buffer that the net hears: the layer below, and beside it units of noise, which are 0 but in a game."""
        if not self.noise:
            return place.given
        units, source = self.net.sizes[0] - self.noise, f"{place.name}/beside"
        heard = place.part.get(source, self.net.sizes[0])
        heard[:, :units], heard[:, units:] = place.part.get(place.given, units), 0
        return source

    def fit(self, place: Place) -> None:
        """Let a new net start from the states of the layer below."""
        fit_net(self.net, place.name, place)

    def head(self, place: Place, outputs: Array) -> tuple[Array, Array]:
        """Outputs and their bias."""
        return outputs, self.net.bias(place.name, place.params)

    def draw(self, place: Place, outputs: Array, state: Array, stream: Stream, rows: Rows) -> Floats:
        """Draw states in place; returns log q (rows,) in nats, and the outputs become the score."""
        base = state if self.flow is None else self._base(place)
        self.conditional.sample(self.head(place, outputs), stream, rows, base, self.offset(place))
        log_q = zeros(outputs)
        if self.flow is not None:
            mapped = self.flow.forward(self._behind(place, outputs), base)
            state[...] = mapped.value
            log_q -= mapped.log_det
        self.conditional.score(*self.head(place, outputs), base, log_q)
        return log_q

    def score(self, place: Place, outputs: Array, state: Array) -> Floats:
        """log q (rows,) of given states in nats; the outputs become the score."""
        base, log_q = state, zeros(outputs)
        if self.flow is not None:
            mapped = self.flow.inverse(self._behind(place, outputs), state)
            base = self._base(place)
            base[...] = mapped.value
            log_q += mapped.log_det
        self.conditional.score(*self.head(place, outputs), base, log_q)
        return log_q

    def code(self, place: Place, outputs: Array) -> Array:
        """Means (rows, units); with a flow, what it makes of the mean of z0, since its own mean has no closed form."""
        mean = self.conditional.mean(*self.head(place, outputs))
        return mean if self.flow is None else self.flow.forward(self._behind(place, outputs), mean).value.copy()

    def spread(self, place: Place, outputs: Array) -> Array:
        """Standard deviations (rows, units) of a Gaussian; with a flow, those to first order around its code."""
        bias = self.net.bias(place.name, place.params)
        sigma = np.exp(outputs[:, self.units :] + bias[self.units :])
        if self.flow is None:
            return sigma
        own = self._behind(place, outputs)
        self.flow.forward(own, self.conditional.mean(outputs, bias))
        found, signal = np.empty_like(sigma), np.zeros_like(sigma)
        for unit in range(self.units):
            signal[:, unit] = 1
            found[:, unit] = np.linalg.norm(self.flow.pull(own, signal, 0)[0] * sigma, axis=1)
            signal[:, unit] = 0
        return found

    def offset(self, place: Place) -> Array:
        """Where a draw of the conditional is, from its mean."""
        return place.part.get(f"{place.name}/offset", self.units)

    def pull(self, place: Place, score: Array, weight: float) -> tuple[Array, float]:
        """Multiply the score that `score` left by a weight; returns an array and a sign, as Scored.by_state does.

        These are weight times the derivative of log q by the states, and the score becomes that by the outputs. On the
        tape stays what `products` needs for the parameters of a flow.
        """
        score *= weight
        if self.flow is None:
            return score, -1.0
        by_state, by_context = self.flow.pull_inverse(
            self._flow_place(place), self._base(place), -score[:, : self.units], weight
        )
        assert by_context is not None
        score += by_context
        return by_state, 1.0

    def pull_draw(
        self, place: Place, score: Array, signal: Array | None, weights: tuple[Array | None, Array]
    ) -> tuple[Array, Array]:
        """The way back through the flow that `draw` went; returns derivatives by z0, at fixed mean and sigma, and by
        the outputs that the flow hears.

        The number that is derived is signal (rows, units) times z, None for no signal, and for each row its weights:
        -through times log q as a function of z alone, and c times log q at a fixed z; weights are (through + c, c), the
        first None where it is 0. Of c log q the part by the outputs of the net at a fixed z0, c score, is left out.
        """
        assert self.flow is not None
        extra, c = weights
        own, mean = self._flow_place(place), score[:, : self.units]
        if extra is not None:
            slope = self.flow.pull_inverse(own, self._base(place), -mean, 1)[0]
            rest = -extra[:, None] * slope
            signal = rest if signal is None else signal + rest
        assert signal is not None
        by_base, by_context = self.flow.pull(own, signal, -c)
        assert by_context is not None
        return by_base - c[:, None] * mean, by_context

    def products(self, place: Place, gradient: Params, samples: int = 1, add: bool = False) -> list[Job]:
        """The parameter gradients from what the ways back left for all rows, each of which was drawn for so often.

        add keeps what the gradient holds.
        """
        jobs = self.net.products(place.name, (place.params, gradient), place.given, place.part, add)
        if self.flow is not None:
            own = replace(self._flow_place(place), part=place.part.times(samples))
            jobs += self.flow.products(own, gradient, add)
        return jobs

    def _base(self, place: Place) -> Array:
        """z0 (rows, units) behind the states."""
        return place.part.get(f"{place.name}/base", self.units)

    def _flow_place(self, place: Place) -> Place:
        return Place(f"{place.name}/flow", place.params, place.part, f"{place.name}/heard")

    def _behind(self, place: Place, outputs: Array) -> Place:
        """Where the flow works, with mean and log sigma as what it hears."""
        own = self._flow_place(place)
        np.add(*self.head(place, outputs), out=place.part.get(own.given, outputs.shape[1]))
        return own
