"""Gradient ascent on a flat arena: momentum, Nesterov momentum, Adam; decay acts on weights, never on biases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache, reduce
from operator import and_
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.arrays import on_device
from boltz.parallel import Workers
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

    def spans(self) -> list[tuple[slice, bool]]:
        """The arena as slices, and whether decay acts on them."""


@dataclass(frozen=True)
class Step:
    """What one update needs: learning rate, momentum, and the number of this update from 1."""

    rate: float
    momentum: float
    count: int


def _momentum(part: slice, parameter: Array, gradient: Array, state: OptState, step: Step, s: Common) -> bool:
    nesterov = s.optimizer == "nesterov"
    arrays = parameter[part], gradient[part], state["velocity"][part]
    return kernels.momentum_update(*arrays, step.rate, step.momentum, nesterov, s.l2, s.l1)


def _adam(part: slice, parameter: Array, gradient: Array, state: OptState, step: Step, s: Common) -> bool:
    moments = state["first"][part], state["second"][part]
    arrays = parameter[part], gradient[part], moments
    return kernels.adam_update(*arrays, step.rate, betas(s), s.adam_epsilon, step.count, s.l2, s.l1)


def betas(settings: Common) -> tuple[float, float]:
    """How much of the first and of the second moments Adam keeps."""
    return settings.adam_beta1, 0.999


UPDATES: dict[str, tuple[tuple[str, ...], Callable[..., bool]]] = {
    "momentum": (("velocity",), _momentum),
    "nesterov": (("velocity",), _momentum),
    "adam": (("first", "second"), _adam),
}


def init(settings: Common, machine: Learner) -> OptState:
    """The zero state of the optimizer; second moments start at adam_second."""
    state = {name: np.zeros_like(machine.arena) for name in UPDATES[settings.optimizer][0]}
    if "second" in state:
        state["second"][...] = settings.adam_second
    return state


def apply(settings: Common, machine: Learner, gradient: Array, state: OptState, step: Step, pool: Workers) -> Any:
    """Update the arena in place; True if every parameter stays finite, an array of one truth value on a device."""
    update = UPDATES[settings.optimizer][1]
    plain, chunk = _without_decay(settings), max(pool.least, -(-gradient.size // pool.count))
    jobs = []
    for span, decayed in machine.spans() if settings.l2 or settings.l1 else [(slice(0, gradient.size), False)]:
        for first in range(span.start, span.stop, chunk):
            jobs.append((slice(first, min(first + chunk, span.stop)), settings if decayed else plain))
    finite = pool.map(lambda job: update(job[0], machine.arena, gradient, state, step, job[1]), jobs)
    if settings.max_norm > 0:
        for name, parameter in machine.params.items():
            if name.endswith("weight"):
                _clip_columns(parameter, settings.max_norm)
    return reduce(and_, finite, True)


@lru_cache(maxsize=16)  # the stages of the runs at work; a long process sees any number of settings
def _without_decay(settings: Common) -> Common:
    return replace(settings, l2=0.0, l1=0.0)


def _clip_columns(weight: Array, most: float) -> None:
    """Scale the incoming weights of each upper unit to a norm of at most most (Srebro & Shraibman 2005)."""
    norms = np.sqrt(np.einsum("ij,ij->j", weight, weight, dtype=np.float64))
    if on_device(weight) or norms.max() > most:  # a look would make the host wait
        weight *= np.minimum(1, most / np.maximum(norms, most)).astype(weight.dtype)
