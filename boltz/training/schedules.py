"""Learning-rate and momentum schedules as functions of the epochs done so far (fractions count)."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi

from boltz.training.settings import Common


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
}


def learning_rate(settings: Common, done: float) -> float:
    """The learning rate after done epochs."""
    return settings.learning_rate * FACTORS[settings.schedule](settings, done)


def momentum(settings: Common, done: float) -> float:
    """initial_momentum for the first momentum_epochs, then momentum (Hinton 2012, section 9)."""
    return settings.initial_momentum if done < settings.momentum_epochs else settings.momentum
