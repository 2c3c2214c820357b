"""Catches a bend of the base-rate path with a wrong slope in d log f / d beta, and estimates along it that go wrong.

Statistical tests have a fixed key and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checks.ladders import check_bend_of
from oracles import enumeration
from support import stats
from support.machines import SMALL, machine_of, rates_of

import boltz
from boltz.estimators import replica_exchange
from boltz.estimators.estimate import from_annealed
from boltz.rng import Key
from boltz.sampling import ladder_fitting
from boltz.sampling.annealing import GibbsPath, anneal
from boltz.sampling.ladder_fitting import bent
from boltz.targets import BaseRatePath, path_to


def path_of(name: str) -> BaseRatePath:
    return path_to(machine_of(SMALL[name]), rates_of(SMALL[name]))


@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3"])
def test_the_bend_stills_the_end_of_the_path(name: str) -> None:
    check_bend_of(name)


@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm4"])
def test_a_detour_changes_neither_end(name: str) -> None:
    path = path_of(name)
    detour = replace(path, bend={n: np.linspace(-2, 3, u) for n, u in path.machine.units.items()})
    state = path.sample_start(Key(1, 2), 9)
    for beta in (0.0, 1.0):
        np.testing.assert_array_equal(detour.log_density(state, beta), path.log_density(state, beta))
        for layer in path.machine.units:
            np.testing.assert_array_equal(detour.bias(layer, beta), path.bias(layer, beta))
    for layer, bend in detour.bend.items():
        wanted = path.exact_bias(layer, 0.3) + 0.21 * bend
        np.testing.assert_allclose(detour.exact_bias(layer, 0.3), wanted, rtol=0, atol=1e-12)
    assert detour.start_log_z == path.start_log_z


@pytest.mark.parametrize("name", ["rbm", "dbm3"])
def test_annealing_along_a_detour_is_unbiased(name: str) -> None:
    """Catches held layers weighed by the straight biases: 0.05 nats."""
    path = path_of(name)
    path = replace(path, bend={n: np.linspace(-1, 1.5, u) for n, u in path.machine.units.items()})
    key = Key(3, 4)
    found = anneal(GibbsPath(path), path.sample_start(key, 40_000), np.linspace(0, 1, 9), key)
    estimate = from_annealed(found, path.start_log_z, 8, "detour")
    p = stats.ratio_test(estimate.value, enumeration.log_z(SMALL[name]), estimate.standard_error, 40_000)
    stats.accept(p, "weights along a detour are biased")
    assert stats.detectable_ratio(0.05, estimate.standard_error)


def test_nothing_is_bent_without_need() -> None:
    """Independent units at their own rates: d log f / d beta is constant."""
    rng = np.random.default_rng(5)
    model = boltz.from_arrays([np.zeros((6, 5))], [np.zeros(6), np.zeros(5)])
    path = path_to(model, {"v": np.full(6, 0.5), "h1": np.full(5, 0.5)})
    samples = {n: (rng.random((200, model.units[n])) < 0.5).astype(float) for n in path.held}
    assert bent(path, samples) is path


def test_ladders_of_trained_machines_are_bent(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a fitted ladder says so by its path, whatever else it is."""
    seen: list[Any] = []
    monkeypatch.setattr(ladder_fitting, "bent", lambda path, samples: seen.append(samples) or path)
    machine = machine_of(SMALL["rbm"])
    ladder = ladder_fitting.fitted_ladder(machine, (), rates_of(SMALL["rbm"]), 0)
    assert len(seen) == 1 and len(next(iter(seen[0].values()))) == ladder_fitting.COPIES * ladder_fitting.BEND_SAMPLES
    assert isinstance(ladder, replica_exchange.Temperatures) and not ladder.path.bend
