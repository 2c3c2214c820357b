"""Gradient ascent on a flat arena: momentum, Nesterov momentum, Adam; decay acts on weights, never on biases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz.models.boltzmann import BoltzmannMachine
from boltz.sampling.driver import Workers
from boltz.training.settings import Settings

Array = NDArray[Any]
OptState = dict[str, Array]
CHUNK = 1 << 16


@dataclass(frozen=True)
class Step:
    """What one update needs: learning rate, momentum, and the number of this update from 1."""

    rate: float
    momentum: float
    count: int


def _momentum(part: slice, parameter: Array, gradient: Array, state: OptState, step: Step, s: Settings) -> bool:
    nesterov = s.optimizer == "nesterov"
    arrays = parameter[part], gradient[part], state["velocity"][part]
    return kernels.momentum_update(*arrays, step.rate, step.momentum, nesterov, s.l2, s.l1)


def _adam(part: slice, parameter: Array, gradient: Array, state: OptState, step: Step, s: Settings) -> bool:
    moments = state["first"][part], state["second"][part]
    betas = (0.9, 0.999)
    return kernels.adam_update(parameter[part], gradient[part], moments, step.rate, betas, 1e-8, step.count, s.l2, s.l1)


UPDATES: dict[str, tuple[tuple[str, ...], Callable[..., bool]]] = {
    "momentum": (("velocity",), _momentum),
    "nesterov": (("velocity",), _momentum),
    "adam": (("first", "second"), _adam),
}


def init(settings: Settings, machine: BoltzmannMachine) -> OptState:
    """The zero state of the optimizer."""
    return {name: np.zeros_like(machine.arena) for name in UPDATES[settings.optimizer][0]}


def apply(
    settings: Settings, machine: BoltzmannMachine, gradient: Array, state: OptState, step: Step, pool: Workers
) -> bool:
    """Update the arena in place; True if every parameter stays finite."""
    update = UPDATES[settings.optimizer][1]
    weights = sum(machine.params[e.key].size for e in machine.graph.edges)
    plain = _without_decay(settings)
    jobs = [(slice(a, min(a + CHUNK, weights)), settings) for a in range(0, weights, CHUNK)]
    jobs.append((slice(weights, machine.arena.size), plain))
    finite = pool.map(lambda job: update(job[0], machine.arena, gradient, state, step, job[1]), jobs)
    if settings.max_norm > 0 and all(finite):
        for edge in machine.graph.edges:
            _clip_columns(machine.params[edge.key], settings.max_norm)
    return all(finite)


@cache
def _without_decay(settings: Settings) -> Settings:
    return replace(settings, l2=0.0, l1=0.0)


def _clip_columns(weight: Array, most: float) -> None:
    """Scale the incoming weights of each upper unit to a norm of at most most (Srebro & Shraibman 2005)."""
    norms = np.sqrt(np.einsum("ij,ij->j", weight, weight, dtype=np.float64))
    if norms.max() > most:
        weight *= np.minimum(1, most / np.maximum(norms, most)).astype(weight.dtype)
