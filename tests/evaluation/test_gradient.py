"""Gradients of one batch: would catch a wrong phase, layer or sign, and rules that are not those of training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import directed
from checks import quick_pieces as checks
from oracles import enumeration
from support import stats
from support.machines import machine_of

import boltz


def test_exact_gradients_are_the_enumerated_ones() -> None:
    checks.check_exact_gradient()


def test_estimates_are_those_of_the_rules() -> None:
    checks.check_estimated_gradients()


def test_many_sweeps_lead_to_the_exact_gradient() -> None:
    """PCD with 40,000 chains and 30 sweeps: each bias of v within alpha 1e-6, detects 0.02; catches a wrong sign."""
    model, rows = machine_of(checks.RBM), np.eye(4)
    exact = boltz.gradient(model, rows)["layer/v/bias"]
    found = boltz.gradient(model, rows, "pcd", k=30, chains=40_000, seed=3)["layer/v/bias"]
    mean = enumeration.moments(checks.RBM)["layer/v/bias"]
    values = [stats.mean_test(np.full(40_000, f), e, m * (1 - m)) for f, e, m in zip(found, exact, mean, strict=True)]
    stats.accept(stats.smallest_of(values), "the estimate does not come to the exact gradient")
    assert all(stats.detectable_mean(40_000, 0.03, m * (1 - m)) for m in mean)


def test_the_exact_gradient_climbs() -> None:
    """A step along it raises the exact log-likelihood by its squared length, to first order."""
    model, rows = machine_of(checks.DBM), np.eye(3)
    found, step = boltz.gradient(model, rows), 1e-5
    moved = machine_of(checks.DBM)
    for name, value in found.items():
        moved.params[name][...] += step * value
    gain = boltz.log_likelihood(moved, rows).value - boltz.log_likelihood(model, rows).value
    assert abs(gain / step - sum((value**2).sum() for value in found.values())) < 1e-3


@pytest.mark.parametrize(("layers", "rule", "k"), [("3b 2g", "iwae", 4), ("3b 2b", "vimco", 5), ("3g 2g", "vae", 1)])
def test_directed_machines_take_their_objectives(layers: str, rule: str, k: int) -> None:
    """The gradient of a batch is that of the objective's own code with this key."""
    from boltz.parallel import Workers
    from boltz.rng import Key
    from boltz.training.directed_settings import DirectedSettings
    from boltz.training.rules import Clock
    from boltz.training.variational import DirectedWorkspace, Variational

    machine = directed.machine_of(layers, [[3]])
    x, key = directed.rows_of(machine), Key.from_seed(2).derive("gradient")
    made = Variational(DirectedSettings(objective=rule, samples=k))
    state = made.init(machine, x, key, len(x))
    wanted = made.gradient(DirectedWorkspace(machine), x, state, Clock(key, 0), Workers(1, None))
    found = boltz.gradient(machine, x, rule, k, seed=2)
    assert found.keys() == machine.params.keys()
    for name, value in wanted.items():
        np.testing.assert_array_equal(found[name], value)


def test_inputs_stay_and_results_are_new() -> None:
    model, rows = machine_of(checks.RBM, np.float32), np.eye(4, dtype=np.float32)
    rows.flags.writeable = False
    before = model.arena.copy()
    for rule in ("exact", "cd", "pcd", "ptt", "ucd", "multi-prediction"):
        one, two = (boltz.gradient(model, rows, rule, chains=20, seed=4) for _ in range(2))
        for name, shape in ((n, p.shape) for n, p in model.params.items()):
            assert one[name].shape == shape and one[name].dtype == (np.float64 if rule == "exact" else np.float32)
            np.testing.assert_array_equal(one[name], two[name])
            assert not np.shares_memory(one[name], two[name]) and not np.shares_memory(one[name], model.arena)
    np.testing.assert_array_equal(model.arena, before)


@pytest.mark.parametrize(
    ("model", "change", "words"),
    [
        (boltz.rbm(30, 21), {}, "at most 20 units in its smaller colour class for rule='exact', got 21"),
        (boltz.dbm([4, 15, 12]), {}, "at most 14 units in h1 for rule='exact', got 15"),
        (boltz.rbm(4, 3), {"rule": "vae"}, "rule must be one of cd, exact, multi-prediction, pcd, ptt, ucd"),
        (boltz.sbn([4, 3]), {}, "rule must be one of ciwae"),
        (boltz.sbn([4, 3]), {"rule": "vae"}, "not defined for binary layers"),
        (boltz.sbn([4, 3]), {"rule": "vimco"}, "k must be at least 2"),
        (boltz.dbn([4, 3, 2]), {"rule": "rws"}, "must not be a deep belief net"),
    ],
)
def test_what_a_rule_cannot_do_is_said(model: Any, change: dict[str, Any], words: str) -> None:
    with pytest.raises(boltz.InputError, match=words):
        boltz.gradient(**({"model": model, "x": np.zeros((2, model.layers[0].units))} | change))
