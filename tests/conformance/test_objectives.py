"""Catches a registered objective with wrong weights, with settings it should refuse, or no proof of its gradient."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from checks import directed as checks
from checks.directed import CLOCK, gradient_of, machine_of, plenty

from boltz.errors import InputError
from boltz.training.directed_settings import DirectedSettings
from boltz.training.objectives import OBJECTIVES, Knobs, Weights, check

PROVED = {
    "vae": checks.check_paths,
    "stl": checks.check_partial_paths,
    "iwae": checks.check_paths,
    "dreg": checks.check_dreg_is_unbiased,
    "miwae": checks.check_paths,
    "ciwae": checks.check_paths,
    "piwae": checks.check_partial_paths,
    "wake-sleep": checks.check_shares_of_wake_and_sleep,
    "rws": checks.check_reweighted_wake,
    "reinforce": checks.check_reinforce,
    "nvil": checks.check_nvil,
    "vimco": checks.check_vimco,
}  # objective -> the check that its expected gradient is that of its bound, or of what its paper says
MACHINES = {"binary": "3b 2b 2b", "gaussian": "3b 2g 2g", "mixed": "3b 2g 2b"}
ROWS, GROUPS, SAMPLES = 5, 3, 2


@pytest.fixture(params=OBJECTIVES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def knobs_of(name: str) -> Knobs:
    """Six samples a row in all, with numbers between the ends of what the objective takes."""
    grouped = "groups" in OBJECTIVES[name].uses
    return Knobs(SAMPLES if grouped else GROUPS * SAMPLES, GROUPS if grouped else 1, 0.3, 0.4, 0.6)


def weights_of(name: str, log_w: Any, baseline: Any = None) -> Weights:
    zero = np.zeros(len(log_w)) if baseline is None else baseline
    return OBJECTIVES[name].weights(log_w, knobs_of(name), zero)


def arrays(weights: Weights) -> list[np.ndarray]:
    return [w for w in (weights.a, weights.b, weights.c, weights.score) if w is not None]


def log_weights(scale: float = 1.5) -> np.ndarray:
    return np.random.default_rng(1).normal(-90, scale, (ROWS, GROUPS * SAMPLES))


def test_its_expected_gradient_is_proved(name: str) -> None:
    assert name in PROVED, "add the check of its expected gradient to tests/directed_checks.py and to PROVED"
    PROVED[name]()


def test_its_equation_is_documented(name: str) -> None:
    assert re.search(r"\(.*\b(19|20)\d\d\b.*\)", OBJECTIVES[name].weights.__doc__ or ""), "cite its paper"


def test_weights_are_of_one_shape_and_those_of_theta_sum_to_one(name: str) -> None:
    log_w = log_weights()
    kept, weights = log_w.copy(), weights_of(name, log_w)
    assert (log_w == kept).all(), "log w is not to be changed"
    assert all(w.shape == log_w.shape and w.dtype == np.float64 for w in arrays(weights))
    assert (weights.a >= 0).all()
    np.testing.assert_allclose(weights.a.sum(axis=1), 1, rtol=0, atol=1e-14)
    assert weights.b is not None or weights.c is not None, "without b, c must be said"


def test_a_constant_in_log_w_and_in_the_baseline_changes_nothing(name: str) -> None:
    log_w, shift = log_weights(), np.linspace(-1000, 1000, ROWS)
    one = weights_of(name, log_w, np.zeros(ROWS))
    two = weights_of(name, log_w + shift[:, None], shift)
    for w, moved in zip(arrays(one), arrays(two), strict=True):
        np.testing.assert_allclose(moved, w, rtol=0, atol=1e-10)


def test_samples_are_exchangeable_within_their_group(name: str) -> None:
    order = np.array([1, 0, 4, 5, 3, 2]) if "groups" in OBJECTIVES[name].uses else np.array([3, 5, 0, 1, 4, 2])
    log_w = log_weights()
    for w, moved in zip(arrays(weights_of(name, log_w)), arrays(weights_of(name, log_w[:, order])), strict=True):
        np.testing.assert_allclose(moved, w[:, order], rtol=0, atol=1e-13)


def test_rows_do_not_mix(name: str) -> None:
    log_w = log_weights()
    for w, alone in zip(arrays(weights_of(name, log_w)), arrays(weights_of(name, log_w[2:3])), strict=True):
        np.testing.assert_allclose(w[2:3], alone, rtol=0, atol=1e-13)


def test_equal_samples_have_equal_weights(name: str) -> None:
    for w in arrays(weights_of(name, np.full((ROWS, GROUPS * SAMPLES), -3.25))):
        np.testing.assert_allclose(w, w[0, 0], rtol=0, atol=1e-14)
    np.testing.assert_allclose(weights_of(name, log_weights(0.0)).a, 1 / (GROUPS * SAMPLES), rtol=0, atol=1e-14)


@pytest.mark.parametrize("scale", [300.0, 1e4])
def test_log_weights_far_apart_overflow_nowhere(name: str, scale: float) -> None:
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        weights = weights_of(name, log_weights(scale))
    assert all(np.isfinite(w).all() for w in arrays(weights))
    np.testing.assert_allclose(weights.a.sum(axis=1), 1, rtol=0, atol=1e-13)


@pytest.mark.parametrize("layers", MACHINES)
def test_it_takes_a_machine_or_says_why_not(name: str, layers: str) -> None:
    """What is accepted has a finite gradient that is not zero in any weight; what is not, a reason."""
    machine, objective = machine_of(MACHINES[layers]), OBJECTIVES[name]
    samples = max(2, objective.least)
    smooth = [c.reparameterised for n, c in machine.conditionals.items() if n != "v"]
    fits = not (objective.smooth and not all(smooth)) and not (objective.discrete and all(smooth))
    if not fits:
        with pytest.raises(InputError, match=f"the objective {name} is not defined for .*layers"):
            check(name, Knobs(samples), machine.structure)
        return
    check(name, Knobs(samples), machine.structure)
    found = gradient_of(machine, plenty(machine), DirectedSettings(objective=name, samples=samples))
    assert all(np.isfinite(value).all() and np.abs(value).max() > 1e-8 for value in found.values())


def test_it_refuses_a_belief_net(name: str) -> None:
    with pytest.raises(InputError, match=f"the objective {name} is not defined for a deep belief net"):
        check(name, Knobs(5), machine_of("3b 2b 2b rbm").structure)


@pytest.mark.parametrize("setting", ["groups", "alpha", "beta", "sleep_share"])
def test_it_refuses_settings_that_mean_nothing_to_it(name: str, setting: str) -> None:
    structure = machine_of("3b 2g" if OBJECTIVES[name].smooth else "3b 2b").structure
    knobs = Knobs(**{"samples": 5, setting: 3 if setting == "groups" else 0.25})
    if setting in OBJECTIVES[name].uses:
        check(name, knobs, structure)
        return
    with pytest.raises(InputError, match=f"{setting} is a setting of the objective .*, not of {name}"):
        check(name, knobs, structure)


def test_it_refuses_too_few_samples(name: str) -> None:
    structure = machine_of("3b 2g" if OBJECTIVES[name].smooth else "3b 2b").structure
    check(name, Knobs(OBJECTIVES[name].least), structure)
    for samples in range(1, OBJECTIVES[name].least):
        with pytest.raises(InputError, match="must have at least"):
            check(name, Knobs(samples), structure)


def test_every_log_weight_counts_as_much_at_an_exact_posterior(name: str) -> None:
    """Where log w is log p(x) at every sample, theta learns from each draw alike, whatever the objective."""
    machine, _ = checks.solved(2)
    if OBJECTIVES[name].discrete:
        return
    x = plenty(machine)
    grouped = "groups" in OBJECTIVES[name].uses
    settings = DirectedSettings(objective=name, samples=2 if grouped else 6, groups=3 if grouped else 1)
    wanted = gradient_of(machine, x, DirectedSettings(objective="vae", samples=6), clock=CLOCK)
    checks.assert_equal(gradient_of(machine, x, settings, clock=CLOCK), wanted, "generative")
