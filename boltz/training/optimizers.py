"""Gradient ascent on a flat arena: momentum, Nesterov, Adam, Adamax; decay acts on weights, never on biases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, reduce
from operator import and_
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import on_device
from boltz.models.graph import bias_key
from boltz.parallel import Workers
from boltz.training.meaning import largest
from boltz.training.schedules import learning_rate, momentum
from boltz.training.settings import Common

Array = NDArray[Any]
OptState = dict[str, Array]


class Learner(Protocol):
    """What an optimizer updates: a machine or a network over a flat arena."""

    @property
    def arena(self) -> Array:
        """All parameters."""

    @property
    def params(self) -> Mapping[str, Array]:
        """Views of the arena by name."""

    def views(self, arena: Array) -> Mapping[str, Array]:
        """Another arena of this shape, such as a gradient, by name."""

    def spans(self) -> list[tuple[slice, bool]]:
        """The arena as slices, and whether decay acts on them."""


@dataclass(frozen=True)
class Step:
    """What one update needs: learning rates and momenta, one or by pairs of layers, and its number from 1.

    offsets: those of the layers of a machine whose gradient is that of the centred one, by their names.
    """

    rates: Sequence[Any]
    momenta: Sequence[Any]
    count: Any
    offsets: Mapping[str, Array] = field(default_factory=dict)


def parts(settings: Common) -> list[Common]:
    """The settings by pairs of layers, where they differ between pairs, else these alone."""
    return [settings.of_pair(pair) for pair in range(max(settings.several.values(), default=1))]


def step_at(settings: Common, done: float, count: int, rule: Mapping[str, Array] = MappingProxyType({})) -> Step:
    """The step of a number after so many epochs (fractions count), with the offsets among the arrays of a rule."""
    own = parts(settings)
    offsets = {name.removeprefix("offset/"): x for name, x in rule.items() if name.startswith("offset/")}
    return Step([learning_rate(each, done) for each in own], [momentum(each, done) for each in own], count, offsets)


class Update(Protocol):
    """The update of a slice of the arena with a rate and a momentum; whether all parameters stay finite."""

    def __call__(
        self, arrays: tuple[Array, Array, OptState], rate: Any, momentum: Any, count: Any, s: Common
    ) -> bool: ...


def _momentum(arrays: tuple[Array, Array, OptState], rate: Any, momentum: Any, count: Any, s: Common) -> bool:
    parameter, gradient, state = arrays
    nesterov, velocity = s.optimizer == "nesterov", state["velocity"]
    if s.momentum == s.initial_momentum == 0 and not on_device(velocity):
        velocity = velocity[:0]  # which nobody will read
    return kernels.momentum_update(parameter, gradient, velocity, rate, momentum, nesterov, s.l2, s.l1)


def _adam(arrays: tuple[Array, Array, OptState], rate: Any, momentum: Any, count: Any, s: Common) -> bool:
    parameter, gradient, state = arrays
    moments = state["first"], state["second"]
    return kernels.adam_update(parameter, gradient, moments, rate, betas(s), s.adam_epsilon, count, s.l2, s.l1)


def betas(settings: Common) -> tuple[float, float]:
    """How much of the first and of the second moments Adam keeps."""
    return settings.adam_beta1, 0.999


def _adamax(arrays: tuple[Array, Array, OptState], rate: Any, momentum: Any, count: Any, s: Common) -> bool:
    """Ascent step of Adamax (Kingma & Ba 2015, Algorithm 2); True if all stays finite."""
    parameter, gradient, state = arrays
    first, largest = state["first"], state["largest"]
    kept, forgets = betas(s)
    sound = np.isfinite(largest).all()  # a maximum hides what is minus infinity
    slope = gradient - s.l2 * parameter - s.l1 * np.sign(parameter)
    first += (1 - kept) * (slope - first)
    np.maximum(forgets * largest, np.abs(slope), out=largest)
    parameter += rate / (1 - kept**count) * first / (largest + s.adam_epsilon)
    sound &= np.isfinite(parameter).all() & np.isfinite(largest).all()
    found: Any = sound if on_device(parameter) else bool(sound)
    return found


UPDATES: dict[str, tuple[tuple[str, ...], Update]] = {
    "momentum": (("velocity",), _momentum),
    "nesterov": (("velocity",), _momentum),
    "adam": (("first", "second"), _adam),
    "adamax": (("first", "largest"), _adamax),
}
ONE_OPERATION = ("momentum", "nesterov", "adam")  # optimizers whose update is one operation of a program


def init(settings: Common, machine: Learner) -> OptState:
    """The zero state of the optimizer; second moments start at adam_second."""
    state = {name: np.zeros_like(machine.arena) for name in UPDATES[settings.optimizer][0]}
    if "second" in state:
        state["second"][...] = settings.adam_second
    return state


def apply(settings: Common, machine: Learner, gradient: Array, state: OptState, step: Step, pool: Workers) -> Any:
    """Update the arena in place; True if every parameter stays finite, an array of one truth value on a device."""
    update = UPDATES[settings.optimizer][1]
    own = parts(settings)
    gradient = _less_l1b(machine, gradient, own, step.offsets)
    chunk = max(pool.least, -(-gradient.size // pool.count))
    jobs = []
    for span, decayed, pair in _spans(machine, own):
        for first in range(span.start, span.stop, chunk):
            part = slice(first, min(first + chunk, span.stop))
            jobs.append((part, own[pair] if decayed else _without_decay(own[pair]), pair))

    def run(job: tuple[slice, Common, int]) -> bool:
        part, chosen, pair = job
        arrays = machine.arena[part], gradient[part], {name: x[part] for name, x in state.items()}
        return update(arrays, step.rates[pair], step.momenta[pair], step.count, chosen)

    finite = pool.map(run, jobs)
    if largest(settings.max_norm) > 0:
        for pair, name in enumerate(_weights(machine)):
            _clip_columns(machine.params[name], own[min(pair, len(own) - 1)].max_norm)
    return reduce(and_, finite, True)


def _spans(machine: Learner, own: Sequence[Common]) -> list[tuple[slice, bool, int]]:
    """The arena as slices: whether decay acts on them, and the pair of layers whose settings they have."""
    if len(own) == 1:
        decayed = own[0].l2 or own[0].l1
        found = machine.spans() if decayed else [(slice(0, machine.arena.size), False)]
        return [(span, weights, 0) for span, weights in found]
    by_pair: list[tuple[slice, bool, int]] = machine.pair_spans()  # type: ignore[attr-defined]  # pairs are of machines
    return by_pair


@lru_cache(maxsize=16)  # the stages of the runs at work; a long process sees any number of settings
def _without_decay(settings: Common) -> Common:
    return replace(settings, l2=0.0, l1=0.0)


def _weights(machine: Learner) -> list[str]:
    """The names of the weights, by pairs of layers where the machine has some."""
    return [name for name in machine.params if name.endswith("weight")]


def _less_l1b(machine: Learner, gradient: Array, own: Sequence[Common], offsets: Mapping[str, Array]) -> Array:
    """A copy of the gradient less the slope of l1b / (2 n) times the sum over units of the squared sum of the absolute
    n weights that come into each (Tubiana, Cocco & Monasson 2019, eLife 8:e39397, eq. 8); itself where l1b is 0.

    Where there are offsets the slope is that in the parameters of the centred machine, too: what it takes off a weight
    goes to the biases of both sides, at the offsets of the other one. Else trainings would end beside the maximum.
    """
    if not any(each.l1b for each in own):
        return gradient
    found = gradient.copy()
    slopes = machine.views(found)
    graph: Any = machine.graph if offsets else None  # type: ignore[attr-defined]  # centred ones are Boltzmann machines
    edges = {edge.key: edge for edge in graph.edges} if offsets else {}
    for pair, name in enumerate(_weights(machine)):
        weight, strength = machine.params[name], own[min(pair, len(own) - 1)].l1b
        means = np.abs(weight).mean(axis=0)
        slope = weight.dtype.type(strength) * means * np.sign(weight)
        slopes[name][...] -= slope
        if name in edges:
            slopes[bias_key(edges[name].lower)][...] += slope @ offsets[edges[name].upper]
            slopes[bias_key(edges[name].upper)][...] += offsets[edges[name].lower] @ slope
    return found


def _clip_columns(weight: Array, most: float) -> None:
    """Scale the incoming weights of each upper unit to a norm of at most most (Srebro & Shraibman 2005); 0: not."""
    if not most:
        return
    norms = np.sqrt(np.einsum("ij,ij->j", weight, weight, dtype=np.float64))
    if on_device(weight) or norms.max() > most:  # a look would make the host wait
        weight *= np.minimum(1, most / np.maximum(norms, most)).astype(weight.dtype)
