"""Catches learning rates or momentum that are wrong functions of the epochs done."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from checks import training as checks

from boltz.training.directed_settings import DirectedSettings
from boltz.training.schedules import FACTORS, learning_rate, momentum
from boltz.training.settings import SCHEDULES, SWEEP_SCHEDULES, Settings


def test_every_schedule_is_there() -> None:
    assert set(FACTORS) == set(SWEEP_SCHEDULES) and set(SWEEP_SCHEDULES) - set(SCHEDULES) == {"per-sweep"}


@pytest.mark.parametrize("schedule", SWEEP_SCHEDULES)
def test_schedules_start_at_the_rate_and_never_rise_or_go_below_zero(schedule: str) -> None:
    settings = Settings(learning_rate=0.3, epochs=7, schedule=schedule)
    rates = [learning_rate(settings, done) for done in np.linspace(0, 7, 200)]
    assert rates[0] == 0.3
    assert all(a >= b >= 0 for a, b in pairwise(rates))


def test_constant_is_constant() -> None:
    assert {learning_rate(Settings(learning_rate=0.3, schedule="constant"), done) for done in (0, 0.5, 3, 10)} == {0.3}


def test_linear_reaches_zero_at_the_end_and_half_in_the_middle() -> None:
    settings = Settings(learning_rate=0.4, epochs=8, schedule="linear")
    assert learning_rate(settings, 8) == 0
    assert learning_rate(settings, 4) == pytest.approx(0.2, abs=1e-15)
    assert learning_rate(settings, 7.75) == pytest.approx(0.4 * 0.25 / 8, abs=1e-15)


def test_hold_stands_for_a_third_and_falls_to_zero() -> None:
    checks.check_hold()


def test_a_cosine_and_an_exponential() -> None:
    checks.check_curves()


def test_inverse_keeps_the_conditions_of_robbins_and_monro() -> None:
    """rate = a / (1 + t / tau): equal sums over doublings of t (divergence), a falling sum of squares (convergence)."""
    settings = Settings(learning_rate=0.4, decay_epochs=5.0, schedule="inverse")
    assert learning_rate(settings, 5) == pytest.approx(0.2, abs=1e-15)
    rates = np.array([learning_rate(settings, done) for done in range(2**16)])
    sums = [rates[2**i : 2 ** (i + 1)].sum() for i in range(10, 16)]
    np.testing.assert_allclose(sums, 0.4 * 5 * np.log(2), rtol=0.02)
    squares = [(rates[2**i : 2 ** (i + 1)] ** 2).sum() for i in range(10, 16)]
    assert all(b < 0.6 * a for a, b in pairwise(squares))


def test_stages_are_those_of_the_paper() -> None:
    checks.check_stages()


def test_stages_do_not_depend_on_the_length_of_the_run() -> None:
    rates = {
        epochs: [
            learning_rate(DirectedSettings(learning_rate=0.5, epochs=epochs, schedule="stages"), done)
            for done in (0, 0.99, 1, 3.99, 4, 12.99, 13, 39.5, 40)
        ]
        for epochs in (1, 50, 3280)
    }
    assert rates[1] == rates[50] == rates[3280]
    np.testing.assert_allclose(rates[1], 0.5 * np.array([1, 1, 0.72, 0.72, 0.52, 0.52, 0.37, 0.37, 0.27]), rtol=1e-14)


def test_momentum_steps_once() -> None:
    settings = Settings(initial_momentum=0.5, momentum=0.9, momentum_epochs=5)
    assert [momentum(settings, done) for done in (0, 4.99, 5, 5.01, 100)] == [0.5, 0.5, 0.9, 0.9, 0.9]
    assert momentum(Settings(momentum=0.9, momentum_epochs=0), 0) == 0.9
