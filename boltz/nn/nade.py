"""NADE, the neural autoregressive distribution estimator: p(v) as a product of p(unit | units before it)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.arrays import on_device
from boltz.errors import InputError
from boltz.kernels import cpu
from boltz.kernels.cpu.nade import SPAN, nade_draw, nade_gradient, nade_logits, nade_signal
from boltz.kernels.cpu.words import NotRecordedError
from boltz.kernels.reference_nade import Nets
from boltz.nn.arena import Part, zeros
from boltz.nn.dense import Job, Params, contractions, glorot, total
from boltz.nn.factors import Place, Rows, Scored, Shapes, fitting
from boltz.rng import Key, Stream

Array = NDArray[Any]
ACTIVATIONS = ("sigmoid", "relu")


def on_cpu(part: Part, kind: str) -> None:
    """Raise InputError for a block on a GPU, where this kind of factor has no passes; NotRecordedError in a program."""
    if on_device(part.tape.like):
        raise InputError(f"a {kind} works on the CPU alone, got a machine on a GPU; model.to('cpu') moves it back.")
    if kernels.backend(part.tape.like) is not cpu:
        raise NotRecordedError(f"a {kind} is no operation of a program.")


def no_slope() -> tuple[Array, float]:
    """What a factor of binary units answers when it is asked for derivatives by them; raises InputError."""
    raise InputError("states must be real to have derivatives, got a layer of units in {0, 1}.")


@dataclass(frozen=True)
class Nade:
    """Binary units, each given those before it, through hidden units that share their weights (Larochelle & Murray
    2011).

    In the order of the units, hidden units are act(c + sum of v_j W_j over the units before), and the logit of a unit
    is b_i + V_i . h. With units given, U g joins the first and their own linear term the second, as in Bornschein &
    Bengio (2015). order names the units as they are visited; () is their own order. Raises InputError.
    """

    units: int
    hidden: int
    given: int = 0
    activation: str = "sigmoid"
    order: tuple[int, ...] = ()
    kinds = ("bernoulli",)
    fitted_rows = 10_000

    def __post_init__(self) -> None:
        for name, least in (("units", 1), ("hidden", 1), ("given", 0)):
            checks.integer(getattr(self, name), name, least)
        checks.choice(self.activation, "activation", ACTIVATIONS)
        if self.order and sorted(self.order) != list(range(self.units)):
            raise InputError(
                f"order must name each unit from 0 to {self.units - 1} once, got {checks.brief(self.order)}."
            )

    @cached_property
    def visits(self) -> NDArray[np.int64]:
        """The numbers of the units as they are visited."""
        return np.array(self.order or range(self.units), np.int64)

    def shapes(self, name: str) -> Shapes:
        """Weights from units to hidden units and back, and those from what is given to both."""
        found: Shapes = {
            f"{name}/hidden/weight": (self.units, self.hidden),
            f"{name}/hidden/bias": (self.hidden,),
            f"{name}/units/weight": (self.units, self.hidden),
            f"{name}/units/bias": (self.units,),
        }
        if self.given:
            found[f"{name}/given/hidden/weight"] = (self.given, self.hidden)
            found[f"{name}/given/units/weight"] = (self.given, self.units)
        return found

    def start(self, name: str, params: Params, key: Key) -> None:
        """Uniform weights as in Glorot & Bengio (2010); biases stay 0."""
        for own, shape in self.shapes(name).items():
            if own.endswith("weight"):
                glorot(own, params, sum(shape), key)

    def fit(self, place: Place, state: Array) -> None:
        place.params[f"{place.name}/units/bias"][...] = fitting(state)

    @property
    def inner(self) -> str:
        """What is between the units, as an architecture tells it."""
        return f"{self.hidden}"

    def score(self, place: Place, state: Array) -> Scored:
        on_cpu(place.part, "nade")
        score, field = self._heard(place)
        nade_logits(field, _nets(place.name, place.params), self.visits, state, self._relu, score)
        log_density = zeros(score)
        kernels.bernoulli_score(score, place.params[f"{place.name}/units/bias"], state, log_density)

        def pull(weights: Array | None, signal: bool = True, keep: bool = True) -> Array | None:
            found = self._sent(place, state, weights, signal, keep) if self.given else None
            if keep:
                kernels.repeated(state, place.part.get(f"{place.name}/state", self.units))
                if weights is not None:
                    kernels.weighted(score, weights, False, score)
            return found

        return Scored(log_density, no_slope, pull)

    def products(self, place: Place, gradient: Params) -> list[Job]:
        name, part, visits, relu = place.name, place.part, self.visits, self._relu
        state, score, field = (part.get(f"{name}/{own}", n) for own, n in self._buffers)
        nets, found = _nets(name, place.params), _nets(name, gradient)
        jobs: list[Job] = [
            partial(
                nade_gradient, field, nets, visits, state, score, relu, (first, min(first + SPAN, self.hidden)), found
            )
            for first in range(0, self.hidden, SPAN)
        ]
        jobs.append(total(score, gradient[f"{name}/units/bias"]))
        if self.given:
            above, after = part.get(place.given, self.given), part.get(f"{name}/delta", self.hidden)
            jobs += contractions(above, after, gradient[f"{name}/given/hidden/weight"], team=part.tape.team)
            jobs += contractions(above, score, gradient[f"{name}/given/units/weight"], team=part.tape.team)
        return jobs

    def draw(self, place: Place, state: Array, stream: Stream, rows: Rows) -> None:
        on_cpu(place.part, "nade")
        logits, field = self._heard(place)
        logits += place.params[f"{place.name}/units/bias"]
        nade_draw(field, _nets(place.name, place.params), self.visits, self._relu, logits, stream, rows, state)

    @property
    def _relu(self) -> bool:
        return self.activation == "relu"

    @property
    def _buffers(self) -> tuple[tuple[str, int], ...]:
        return ("state", self.units), ("score", self.units), ("field", self.hidden)

    def _heard(self, place: Place) -> tuple[Array, Array]:
        """What logits and hidden units hear from what is given, in buffers of the tape."""
        _, logits, field = (place.part.get(f"{place.name}/{own}", n) for own, n in self._buffers)
        if not self.given:
            logits[...] = field[...] = 0
            return logits, field
        above = place.part.get(place.given, self.given)
        kernels.product(above, place.params[f"{place.name}/given/units/weight"], logits)
        kernels.product(above, place.params[f"{place.name}/given/hidden/weight"], field)
        return logits, field

    def _sent(self, place: Place, state: Array, weights: Array | None, signal: bool, keep: bool) -> Array | None:
        """The derivative by what is given, or None; keep leaves that by the field of the hidden units, weighted."""
        name, params, part = place.name, place.params, place.part
        _, score, field = (part.get(f"{name}/{own}", n) for own, n in self._buffers)
        after, found = part.get(f"{name}/delta", self.hidden), None
        nade_signal(field, _nets(name, params), self.visits, state, score, self._relu, after)
        if signal:
            found, linear = part.get(f"{name}/signal", self.given), part.get(f"{name}/linear", self.given)
            kernels.product(after, params[f"{name}/given/hidden/weight"].T, found)
            kernels.product(score, params[f"{name}/given/units/weight"].T, linear)
            kernels.add(found, linear, found)
        if keep and weights is not None:
            kernels.weighted(after, weights, False, after)
        return found


def _nets(name: str, params: Params) -> Nets:
    own = ("hidden/weight", "hidden/bias", "units/weight")
    return Nets(*(params[f"{name}/{each}"] for each in own))
