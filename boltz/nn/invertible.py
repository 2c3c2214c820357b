"""Invertible maps of real units in steps y = (x - m(x)) exp(-s(x)), with the order of the units reversed between steps.

m and s are outputs of a net. In an autoregressive step those of unit i hear the units before i alone, by masks on the
weights (Germain et al. 2015): y takes one pass, x from y goes unit by unit. In a coupling step the first half of the
units stays as it is, and m and s of the others hear that half (Dinh, Krueger & Bengio 2015, Dinh et al. 2017). Both
ways then take one pass. log |det dy/dx| is minus the sum of s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.arrays import on_device
from boltz.errors import InputError
from boltz.kernels.cpu.flows import settle
from boltz.nn.arena import zeros
from boltz.nn.banded import Banded, Counts
from boltz.nn.dense import ACTIVATIONS, Job, Net, Params
from boltz.nn.factors import Place, Shapes
from boltz.rng import Key

Array = NDArray[Any]
Floats = NDArray[np.float64]
Slopes = tuple[Array, Array | None]
Back = Callable[[Place, int, Array, Array], Array]
KINDS = ("affine", "mean-only")
LIMIT = 3.0  # |s| stays below it: s = LIMIT tanh(r / LIMIT) of the output r


@dataclass(frozen=True)
class Mapped:
    """What a map gives: y (rows, units), log |det dy/dx| (rows,) in nats, and the way back.

    pullback(signal, slope, weights=None) takes the derivatives of a number by y (rows, units) and by the
    log-determinant, a number or (rows,). It returns those by x (rows, units) and by the context (rows, context), None
    where there is none, without weights. On the tape it leaves what `Steps.products` needs for the parameters under row
    weights (rows,).
    """

    value: Array
    log_det: Floats
    pullback: Callable[..., Slopes]


@dataclass(frozen=True)
class Steps:
    """So many autoregressive steps of so many units, each with a net of these hidden widths.

    kind "mean-only" has s = 0. A context of so many units, in the buffer place.given, goes into every net. Raises
    InputError.
    """

    units: int
    steps: int = 2
    widths: tuple[int, ...] = (320,)
    context: int = 0
    kind: str = "affine"
    activation: str = "relu"
    coupling: ClassVar[bool] = False

    def __post_init__(self) -> None:
        checks.integer(self.units, "units", 1 + self.coupling)
        checks.integer(self.steps, "steps", 1)
        widths = tuple(checks.integer(width, "widths", 1) for width in checks.sequence(self.widths, "widths"))
        if not widths:
            raise InputError("widths must name at least one hidden layer, got none.")
        object.__setattr__(self, "widths", widths)
        checks.integer(self.context, "context")
        checks.choice(self.kind, "kind", KINDS)
        checks.choice(self.activation, "activation", ACTIVATIONS)

    @property
    def seen(self) -> int:
        """How many units, the first ones, a net hears."""
        return self.units

    @property
    def moved(self) -> int:
        """How many units, the last ones, a step changes."""
        return self.units

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sizes of the layers of a net: from context and units to m, or to pairs of m and s."""
        return self.context + self.seen, *self.widths, self.moved * (2 if self.kind == "affine" else 1)

    @cached_property
    def degrees(self) -> tuple[Counts, ...]:
        """Degrees of the units of each layer, rising: 0 of the context, i of the i-th unit.

        A hidden unit hears degrees up to its own, an output those below its own. Those of hidden units are spread
        evenly over what an output may hear.
        """
        low = 0 if self.context else 1
        spread = max(self.units - low, 1)
        inside = [low + np.arange(width) * spread // width for width in self.widths]
        inputs = np.maximum(np.arange(self.context + self.units) - self.context + 1, 0)
        return inputs, *inside, np.arange(self.sizes[-1]) * self.units // self.sizes[-1] + 1

    @cached_property
    def net(self) -> Banded:
        """The net of each step."""
        layers, last = list(pairwise(self.degrees)), len(self.widths)
        sides = ["left" if i == last else "right" for i in range(last + 1)]
        heard = [np.searchsorted(*pair, side) for pair, side in zip(layers, sides, strict=True)]  # type: ignore[call-overload]
        return Banded(Net(self.sizes, self.activation), tuple(heard))

    def shapes(self, name: str) -> Shapes:
        """Shapes of the parameters by name, step by step."""
        return {own: shape for t in range(self.steps) for own, shape in self.net.net.shapes(f"{name}/{t}").items()}

    def start(self, name: str, params: Params, key: Key) -> None:
        """Hidden layers as in Glorot & Bengio (2010), with the last layer 0: the map of a new machine changes nothing
        but the order of the units.
        """
        for t in range(self.steps):
            self.net.start(f"{name}/{t}", params, key, self.moved)
            params[f"{name}/{t}/{len(self.widths)}/weight"][...] = 0

    def forward(self, place: Place, x: Array) -> Mapped:
        """y and the log-determinant of x (rows, units), which has as many rows as place.part."""
        refuse_device(x)
        part, log_det = place.part, zeros(x)
        for t in range(self.steps):
            state = part.get(f"{place.name}/{t}/state", self.units)
            state[...] = x if t == 0 else x[:, ::-1]
            mean, log_scale = self._outputs(place, t, state)
            x = part.get(f"{place.name}/{t}/out", self.units)
            x[...] = state
            moved = x[:, self.units - self.moved :]
            moved -= mean
            if log_scale is not None:
                moved *= np.exp(-log_scale)
                log_det -= log_scale.sum(axis=1, dtype=np.float64)
        return Mapped(x, log_det, partial(self.pull, place))

    def _outputs(self, place: Place, t: int, state: Array) -> tuple[Array, Array | None]:
        """m (rows, moved) and s (rows, moved), None for 0, of step t at its states."""
        own = f"{place.name}/{t}"
        inputs = place.part.get(f"{own}/input", self.sizes[0])
        if self.context:
            inputs[:, : self.context] = place.part.get(place.given, self.context)
        inputs[:, self.context :] = state[:, : self.seen]
        value = self.net.forward(own, place.params, place.part)
        if self.kind == "mean-only":
            return value, None
        log_scale = place.part.get(f"{own}/scale", self.moved)
        np.multiply(value[:, 1::2], value.dtype.type(1 / LIMIT), out=log_scale)
        np.tanh(log_scale, out=log_scale)
        log_scale *= value.dtype.type(LIMIT)
        return value[:, ::2], log_scale

    def pull(self, place: Place, signal: Array, slope: Any, weights: Array | None = None) -> Slopes:
        """The pullback of `forward`: derivatives by x and by the context; signal is that by y, slope that by
        log |det dy/dx|.
        """
        return self._chain(place, reversed(range(self.steps)), self._back, (signal, slope, weights))

    def _chain(self, place: Place, steps: Iterable[int], back: Back, of: tuple[Array, Any, Array | None]) -> Slopes:
        """What the steps, in this order, make of a signal; back takes it through one of them, in place, and returns the
        derivative by the inputs of its net.
        """
        signal, slope, weights = of
        by_det, by_context = np.broadcast_to(np.asarray(slope, signal.dtype), len(signal)), None
        for n, t in enumerate(steps):
            below = place.part.get(f"{place.name}/{t}/by_state", self.units)
            below[...] = signal if n == 0 else signal[:, ::-1]
            found = back(place, t, below, by_det)
            if self.context:
                by_context = place.part.get(f"{place.name}/by_context", self.context)
                by_context[...] = found[:, : self.context] + (0 if n == 0 else by_context)
            signal = below
        if weights is not None:
            self.weigh(place, weights)
        return signal, by_context

    def _back(self, place: Place, t: int, signal: Array, by_det: Array) -> Array:
        """The derivative by y of step t becomes that by x."""
        moved = signal[:, self.units - self.moved :]
        by_y = moved.copy()
        if self.kind == "affine":
            moved *= np.exp(-self._log_scale(place, t))
        self._deltas(place, t, (-moved, -by_y, -by_det), slice(0, self.moved))
        found = self.net.pullback(f"{place.name}/{t}", place.params, place.part)
        signal[:, : self.seen] += found[:, self.context :]
        return found

    def _log_scale(self, place: Place, t: int) -> Array:
        """s (rows, moved) that the forward pass of step t left."""
        return place.part.get(f"{place.name}/{t}/scale", self.moved)

    def _deltas(self, place: Place, t: int, slopes: tuple[Array, Array, Array], units: slice) -> None:
        """Deltas of the outputs of step t for some of the units that move.

        slopes are the derivatives by x, by y and by log |det dx/dy|. For x = y exp(s) + m, m adds to x, s to the
        log-determinant, and s scales y like y itself. For y from x they come with the other sign.
        """
        by_x, by_y, by_det = slopes
        delta = place.part.get(f"{place.name}/{t}/{len(self.widths)}/delta", self.sizes[-1])
        if self.kind == "mean-only":
            delta[:, units] = by_x
            return
        log_scale = self._log_scale(place, t)[:, units]
        y = place.part.get(f"{place.name}/{t}/out", self.units)[:, self.units - self.moved :][:, units]
        bend = 1 - np.square(log_scale * log_scale.dtype.type(1 / LIMIT))
        delta[:, ::2][:, units] = by_x
        delta[:, 1::2][:, units] = (by_y * y + by_det[:, None]) * bend

    def weigh(self, place: Place, weights: Array) -> None:
        """Multiply the deltas that a pullback left by row weights (rows,)."""
        for t in range(self.steps):
            self.net.weigh(f"{place.name}/{t}", place.part, weights)

    def products(self, place: Place, gradient: Params, add: bool = False) -> list[Job]:
        """The parameter gradients from the deltas of all rows of place, as pieces of work; 0 for what is masked.

        add keeps what the gradient holds.
        """
        own = [f"{place.name}/{t}" for t in range(self.steps)]
        return [job for name in own for job in self.net.products(name, gradient, place.part, add)]

    def inverse(self, place: Place, y: Array) -> Mapped:
        """x and log |det dx/dy| of y (rows, units)."""
        refuse_device(y)
        log_det = zeros(y)
        for t in reversed(range(self.steps)):
            state = place.part.get(f"{place.name}/{t}/state", self.units)
            state[...] = y
            self._undo(place, t, state, log_det)
            y = state[:, ::-1] if t > 0 else state
        return Mapped(y, log_det, partial(self.pull_inverse, place, y))

    @cached_property
    def edges(self) -> list[list[int]]:
        """By layer but the last: the first unit of each degree, from 0 to one more than there are."""
        return [np.searchsorted(degrees, np.arange(self.units + 2)).tolist() for degrees in self.degrees[:-1]]

    def _undo(self, place: Place, t: int, state: Array, log_det: Floats) -> None:
        """y of step t becomes x: each unit is found from those before it, whose effect on the fields is kept."""
        own, part, last = f"{place.name}/{t}", place.part, len(self.widths)
        inputs = part.get(f"{own}/input", self.sizes[0])
        if self.context:
            inputs[:, : self.context] = part.get(place.given, self.context)
        fields = [part.get(f"{own}/{i}/field", size) for i, size in enumerate(self.sizes[1:])]
        for i, field in enumerate(fields):
            field[...] = place.params[f"{own}/{i}/bias"]
        values, outputs, limit = [inputs, *fields[:last]], self.sizes[-1] // self.units, state.dtype.type(LIMIT)
        reach = [(starts, np.full(*size)) for starts, size in zip(self.net.starts, pairwise(self.sizes), strict=True)]
        for unit in range(self.units):
            for i, value in enumerate(values):  # of units whose degree is that of the unit found last
                known, weight = self.edges[i][unit : unit + 2], place.params[f"{own}/{i}/weight"]
                settle(self.activation if i else "linear", value, known, reach[i], weight, fields[i])
            mean, *rest = fields[last][:, outputs * unit : outputs * (unit + 1)].T
            if rest:
                log_scale = limit * np.tanh(rest[0] / limit)
                state[:, unit] *= np.exp(log_scale)
                log_det += log_scale
            state[:, unit] += mean
            inputs[:, self.context + unit] = state[:, unit]

    def pull_inverse(self, place: Place, x: Array, signal: Array, slope: Any, weights: Array | None = None) -> Slopes:
        """The pullback of `inverse` for its result x: derivatives by y and by the context; signal is that by x, slope
        that by log |det dx/dy|.
        """
        self.forward(place, x)
        return self._chain(place, range(self.steps), self._solve, (signal, slope, weights))

    def _solve(self, place: Place, t: int, signal: Array, by_det: Array) -> Array:
        """The derivative by x of step t becomes that by y at fixed parameters.

        The last unit comes first, as it goes into no output. What the nets of later units say of a unit is known when
        its turn comes, and is added to its own derivative.
        """
        own, last = f"{place.name}/{t}", len(self.widths)
        found = [place.part.get(f"{own}/{i - 1}/delta" if i else f"{own}/signal", n) for i, n in enumerate(self.sizes)]
        turned = [np.ascontiguousarray(place.params[f"{own}/{i}/weight"].T) for i in range(last + 1)]
        for each in found[: last + 1]:
            each[...] = 0
        reach = [(np.zeros_like(heard), heard) for heard in self.net.heard]
        outputs = self.sizes[-1] // self.units
        for unit in reversed(range(self.units)):
            one = slice(unit, unit + 1)
            by_x = signal[:, one] + found[0][:, self.context :][:, one]
            signal[:, one] = by_x
            if self.kind == "affine":
                signal[:, one] *= np.exp(self._log_scale(place, t)[:, one])
            self._deltas(place, t, (by_x, signal[:, one], by_det), one)
            for i in reversed(range(last + 1)):
                known = self.edges[i + 1][unit : unit + 2] if i < last else [outputs * unit, outputs * (unit + 1)]
                if i < last:
                    self.net.bend(own, place.part, i, slice(*known))
                settle("linear", found[i + 1], known, reach[i], turned[i], found[i])
        return found[0]


@dataclass(frozen=True)
class CouplingSteps(Steps):
    """The same in coupling steps, for two or more units."""

    coupling: ClassVar[bool] = True

    @property
    def seen(self) -> int:
        return self.units // 2

    @property
    def moved(self) -> int:
        return self.units - self.seen

    @cached_property
    def net(self) -> Banded:
        heard = tuple(np.full(above, below) for below, above in pairwise(self.sizes))
        return Banded(Net(self.sizes, self.activation), heard)

    def _undo(self, place: Place, t: int, state: Array, log_det: Floats) -> None:
        mean, log_scale = self._outputs(place, t, state)
        moved = state[:, self.seen :]
        if log_scale is not None:
            moved *= np.exp(log_scale)
            log_det += log_scale.sum(axis=1, dtype=np.float64)
        moved += mean

    def _solve(self, place: Place, t: int, signal: Array, by_det: Array) -> Array:
        moved = signal[:, self.seen :]
        by_x = moved.copy()
        if self.kind == "affine":
            moved *= np.exp(self._log_scale(place, t))
        self._deltas(place, t, (by_x, moved, by_det), slice(0, self.moved))
        found = self.net.pullback(f"{place.name}/{t}", place.params, place.part)
        signal[:, : self.seen] += found[:, self.context :]
        return found


def refuse_device(x: Array) -> None:
    """Raise InputError where an array is on a GPU."""
    if on_device(x):
        raise InputError('flows run on the processor, but the machine is on a GPU: move it there with .to("cpu").')
