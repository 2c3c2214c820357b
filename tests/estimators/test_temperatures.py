"""Catches fitted schedules of inverse temperatures that break their promise or put their steps in the wrong place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.machines import SMALL, machine_of, rates_of

import boltz
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath
from boltz.sampling.temperatures import DEFAULT_STEPS, adaptive, adaptive_steps, fitted, schedule
from boltz.targets import path_to

Floats = NDArray[np.float64]
STRETCHES, CHAINS = 40, 64


def profile(spread: Floats, remembered: bool = False) -> Floats:
    """Gains (stretches, chains) of exactly these standard deviations: uncorrelated stretches, or the same all along."""
    basis = np.random.default_rng(1).normal(size=(CHAINS, len(spread) + 1))
    basis[:, 0] = 1
    columns = np.linalg.qr(basis)[0][:, 1:].T * np.sqrt(CHAINS - 1)
    return spread[:, None] * (columns[:1] if remembered else columns)


def share_below(values: Floats, beta: float) -> float:
    return float(np.mean(values[1:] <= beta))


def test_steps_go_where_the_friction_is() -> None:
    """Three times the spread in the upper half: three quarters of the steps there; speed is the inverse root."""
    edges = np.linspace(0, 1, STRETCHES + 1)
    values = fitted(edges, profile(np.where(np.arange(STRETCHES) < 20, 1.0, 3.0)), 4000)
    assert abs(share_below(values, 0.5) - 0.25) < 0.02
    even = fitted(edges, profile(np.ones(STRETCHES)), 4000)
    np.testing.assert_allclose(even, np.linspace(0, 1, 4001), atol=1e-9)


def test_weights_that_stay_correlated_count_as_they_add_up() -> None:
    """The same gain in every stretch: the variance grows as k^2, so that the friction is 2 k - 1."""
    edges = np.linspace(0, 1, STRETCHES + 1)
    values = fitted(edges, profile(np.ones(STRETCHES), remembered=True), 4000)
    cost = np.sqrt(2 * np.arange(1, STRETCHES + 1) - 1)
    assert abs(share_below(values, 0.5) - cost[:20].sum() / cost.sum()) < 0.01
    assert abs(share_below(values, 0.5) - 0.5) > 0.1


def test_stretches_of_other_lengths_count_by_their_length() -> None:
    """The same friction everywhere over unequal stretches: uniform steps."""
    edges = np.concatenate([np.linspace(0, 0.2, 31)[:-1], np.linspace(0.2, 1, 11)])
    values = fitted(edges, profile(np.sqrt(np.diff(edges))), 1000)
    assert np.abs(values - np.linspace(0, 1, 1001)).max() < 0.01


def test_no_stretch_is_left_without_steps() -> None:
    """One without any friction still has a twentieth of the mean density, less what its neighbours lend it."""
    edges = np.linspace(0, 1, STRETCHES + 1)
    values = fitted(edges, profile(np.where(np.arange(STRETCHES) < 20, 0.0, 1.0)), 4000)
    assert 0.02 < share_below(values, 0.5) < 0.1
    assert np.diff(values).max() < 1 / (0.04 * 4000)


def test_a_machine_without_friction_has_uniform_steps() -> None:
    np.testing.assert_allclose(fitted(np.linspace(0, 1, 11), np.zeros((10, 64)), 7), np.linspace(0, 1, 8), atol=1e-12)


@pytest.mark.parametrize("steps", [1, 2, 60, 1000])
@pytest.mark.parametrize("name", ["rbm", "dbm3", "strong", "free"])
def test_adaptive_schedules_rise_strictly_from_0_to_1(name: str, steps: int) -> None:
    path = GibbsPath(path_to(machine_of(SMALL[name]), rates_of(SMALL[name])))
    values = adaptive(path, steps, Key(1, 2))
    assert len(values) == steps + 1 and values[0] == 0 and values[-1] == 1 and (np.diff(values) > 0).all()
    np.testing.assert_array_equal(schedule(values), values)
    np.testing.assert_array_equal(adaptive(path, steps, Key(1, 2)), values)


def test_ais_takes_adaptive_temperatures() -> None:
    table = SMALL["strong"]
    found = boltz.ais(machine_of(table), 200, "adaptive:300", seed=2, base=rates_of(table))
    assert found.steps == 300 and len(found.path) > 1
    even = boltz.ais(machine_of(table), 200, 300, seed=2, base=rates_of(table))
    assert found.value != even.value


def test_names_of_adaptive_schedules_are_read() -> None:
    assert (adaptive_steps("adaptive"), adaptive_steps("adaptive:17")) == (DEFAULT_STEPS, 17) == (14_500, 17)
    for other in ("sm2008", 20, [0, 1], None, "adapt", "adaptive17", ""):
        assert adaptive_steps(other) is None


@pytest.mark.parametrize(
    "betas",
    [
        "adaptive:",
        "adaptive:0",
        "adaptive:-3",
        "adaptive:2.5",
        "adaptive:x",
        "adaptive: 5",
        "adaptive:1e3",
        "adaptive:1234567890",
        "adaptive:\u0663",
        "adapted",
        "adaptive 5",
        "Adaptive",
    ],
)
def test_bad_names_are_refused(betas: Any) -> None:
    with pytest.raises(boltz.InputError, match=r"(betas|the number of adaptive temperatures) must "):
        boltz.ais(machine_of(SMALL["one"]), 10, betas)
