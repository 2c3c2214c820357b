"""Schedules of learning rate, momentum and sweeps as functions of the epochs done so far (fractions count)."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

from boltz import checks
from boltz.training.settings import BeliefSettings, Common, Settings


def _constant(settings: Common, done: float) -> float:
    return 1.0


def _linear(settings: Common, done: float) -> float:
    return max(0.0, 1.0 - done / settings.epochs)


def _inverse(settings: Common, done: float) -> float:
    """1 / (1 + t / tau): the sum diverges, the sum of squares converges (Robbins & Monro 1951)."""
    return 1.0 / (1.0 + done / settings.decay_epochs)


def _hold(settings: Common, done: float) -> float:
    """1 for a third of the epochs, then linear to 0, which is how parameters are averaged best."""
    return min(1.0, 1.5 * _linear(settings, done))


def _cosine(settings: Common, done: float) -> float:
    """Half a cosine wave from 1 to 0 (Loshchilov & Hutter 2017, eq. 5, without restarts)."""
    return 0.5 * (1 + cos(pi * min(done / settings.epochs, 1.0)))


def _exponential(settings: Common, done: float) -> float:
    """Halved every decay_epochs."""
    return float(0.5 ** (done / settings.decay_epochs))


def _per_sweep(settings: Common, done: float) -> float:
    """1 / k: steps of more sweeps cost more and are smaller (the second pair of Salakhutdinov & Hinton 2009)."""
    assert isinstance(settings, Settings | BeliefSettings)
    return 1.0 / sweeps(settings.k, settings.epochs, int(done))


def _stages(settings: Common, done: float) -> float:
    """Stage i lasts 3^i epochs at the factor 10^(-i/7), rounded to two digits (Burda et al. 2016, section 5)."""
    stage, end = 0, 1
    while done >= end:
        stage += 1
        end += 3**stage
    return round(10 ** (1 - stage / 7), 1) / 10


FACTORS: dict[str, Callable[[Common, float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "hold": _hold,
    "cosine": _cosine,
    "exponential": _exponential,
    "inverse": _inverse,
    "stages": _stages,
    "per-sweep": _per_sweep,
}


def learning_rate(settings: Common, done: float) -> float:
    """The learning rate after done epochs, never below rate_floor of its start."""
    return settings.learning_rate * max(FACTORS[settings.schedule](settings, done), settings.rate_floor)


def momentum(settings: Common, done: float) -> float:
    """initial_momentum for the first momentum_epochs, then momentum (Hinton 2012, section 9)."""
    return settings.initial_momentum if done < settings.momentum_epochs else settings.momentum


def sweeps(k: int | str, epochs: int, epoch: int) -> int:
    """k in an epoch, counted from 0, of a stage: A:B gives each number from A to B an equal share of the epochs."""
    first, last = checks.rising(k, "k", 1)
    return min(first + epoch * (last - first + 1) // max(epochs, 1), last)
