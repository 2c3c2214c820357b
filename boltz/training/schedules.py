"""Learning-rate and momentum schedules as functions of the epochs done so far (fractions count)."""

from __future__ import annotations

from collections.abc import Callable

from boltz.training.settings import Settings


def _constant(settings: Settings, done: float) -> float:
    return 1.0


def _linear(settings: Settings, done: float) -> float:
    return max(0.0, 1.0 - done / settings.epochs)


def _inverse(settings: Settings, done: float) -> float:
    """1 / (1 + t / tau): the sum diverges, the sum of squares converges (Robbins & Monro 1951)."""
    return 1.0 / (1.0 + done / settings.decay_epochs)


FACTORS: dict[str, Callable[[Settings, float], float]] = {
    "constant": _constant,
    "linear": _linear,
    "inverse": _inverse,
}


def learning_rate(settings: Settings, done: float) -> float:
    """The learning rate after done epochs."""
    return settings.learning_rate * FACTORS[settings.schedule](settings, done)


def momentum(settings: Settings, done: float) -> float:
    """initial_momentum for the first momentum_epochs, then momentum (Hinton 2012, section 9)."""
    return settings.initial_momentum if done < settings.momentum_epochs else settings.momentum
