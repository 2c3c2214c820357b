"""Catches annealing whose weights have a wrong mean or spread, and schedules that do not rise.

That its intervals cover is in test_calibration. Every statistical test has a fixed key and the false-alarm rate
stats.ALPHA = 1e-6 unless it says otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import chains, enumeration
from oracles.enumeration import Table
from scipy.special import expit
from support import stats
from support.machines import FORTY, SMALL, base_of, machine_of, rates_of

import boltz
from boltz import targets
from boltz.sampling import annealing
from boltz.sampling.temperatures import schedule

BETAS = (0.0, 0.1, 0.35, 0.6, 0.8, 1.0)


def path_of(table: Table) -> chains.Path:
    """The enumerated path over the colour class that boltz holds."""
    held = targets.path_to(machine_of(table), rates_of(table)).held
    return chains.reduced_path(table, base_of(table), BETAS, held)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3", "dbm4", "strong"])
def test_weights_have_their_exact_mean(name: str, dtype: Any) -> None:
    """Mean of as many weights over Z as it takes, up to 100,000, their variance by matrix products.

    Catches a bias of 4 % of Z (0.04 nats), such as chains that share numbers with the weights' own draws.
    """
    table = SMALL[name]
    path = path_of(table)
    variance = chains.relative_variance(chains.ais_log_moment(path), chains.ais_log_moment(path, power=2))
    count = next((n for n in range(5000, 100_000, 5000) if stats.detectable_mean(n, 0.04, variance)), 100_000)
    found = boltz.ais(machine_of(table, dtype), count, np.array(BETAS), seed=3, base=rates_of(table))
    relative = np.exp(found.log_weights - enumeration.log_z(table))
    stats.accept(stats.mean_test(relative, 1.0, variance), "the weights do not have mean Z")
    assert stats.detectable_mean(count, 0.04, variance)
    assert found.steps == len(BETAS) - 1 and found.chains == count == len(found.log_weights)


def test_the_spread_of_weights_is_the_exact_one() -> None:
    """Empirical second moment of 100,000 weights within 5 % of the enumerated one (its own error is about 1 %).

    Catches chains that do not move: those have the right mean but another variance.
    """
    table, count = SMALL["rbm"], 100_000
    path = path_of(table)
    second = {p: chains.ais_log_moment(path, power=p) - p * chains.ais_log_moment(path) for p in (2, 4)}
    found = boltz.ais(machine_of(table), count, np.array(BETAS), seed=4, base=rates_of(table))
    squares = np.exp(2 * (found.log_weights - enumeration.log_z(table)))
    variance = float(np.exp(second[4]) - np.exp(2 * second[2]))
    stats.accept(stats.mean_test(squares, float(np.exp(second[2])), variance), "the weights spread differently")
    frozen = chains.Path(path.log_f, [np.eye(len(m)) for m in path.forward], path.backward)
    still = chains.ais_log_moment(frozen, power=2) - 2 * chains.ais_log_moment(frozen)
    assert stats.detectable_mean(count, float(np.exp(still) - np.exp(second[2])), variance)


@pytest.mark.parametrize("name", FORTY)
def test_forty_machines_within_four_standard_errors(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 chains, 200 temperatures, the default base rates; all chains in one block, for speed.

    A correct estimator fails 4 standard errors with probability 6.3e-5, so one of forty with 2.5e-3 at a fresh key; the
    key is fixed. The standard error is that of an error of 0.4 nats that is seen.
    Catches an error of 0.4 nats surely, and every estimate that does not trust itself on machines so small.
    """
    monkeypatch.setattr(annealing, "dealt", lambda chains, like, pool: [slice(0, chains)])
    table = FORTY[name]
    found, truth = boltz.ais(machine_of(table), 600, 200, seed=9), enumeration.log_z(table)
    assert (found.chains, found.steps, found.kind, found.trusted) == (600, 200, "lower", True)
    assert abs(found.value - truth) < 4 * found.standard_error
    assert stats.detectable_ratio(0.4, found.standard_error)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_machine_without_weights_has_constant_weights(dtype: Any) -> None:
    """With its own activities as base every weight is Z; a drift over many temperatures shows.

    sm2008's 14,500 float32 steps must not drift: every weight within 1e-3 nats; 1,000 steps show what float64 does.
    """
    betas, steps = {np.float32: ("sm2008", 14500), np.float64: (1000, 1000)}[dtype]
    biases = [np.linspace(-2, 2, 9), np.linspace(-1, 3, 5)]
    model = boltz.from_arrays([np.zeros((9, 5), dtype)], [b.astype(dtype) for b in biases])
    truth = sum(np.logaddexp(0, b.astype(dtype).astype(float)).sum() for b in biases)
    own = {"v": expit(biases[0]), "h1": expit(biases[1])}
    found = boltz.ais(model, 100, betas, seed=1, base=own)
    assert np.abs(found.log_weights - truth).max() < {np.float32: 1e-3, np.float64: 1e-9}[dtype]
    assert found.ess == pytest.approx(100, rel=1e-4) and found.trusted and found.steps == steps


def test_more_temperatures_bring_the_weights_together() -> None:
    table = SMALL["dbm2"]
    spread = [
        boltz.ais(machine_of(table), 200, betas, seed=1, base=rates_of(table)).ess for betas in (1, 10, 100, 1000)
    ]
    assert spread == sorted(spread) and spread[-1] > 195 > spread[0] + 50


def test_schedules() -> None:
    assert schedule(4).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert schedule(np.int64(1)).tolist() == [0, 1]
    assert schedule([0, 0.3, 1]).tolist() == [0, 0.3, 1]
    values = schedule("sm2008")
    assert len(values) == 14501 and values[0] == 0 and values[-1] == 1 and (np.diff(values) > 0).all()
    assert [int(np.sum(values < edge - 1e-12)) for edge in (0.5, 0.9, 1.0)] == [500, 4500, 14500]
    assert {float(f"{step:.3e}") for step in np.diff(values)} == {1e-3, 1e-4, 1e-5}


@pytest.mark.parametrize(
    "betas",
    [
        0,
        -3,
        2.5,
        True,
        None,
        "fast",
        [],
        [0],
        [1],
        [0, 0.5],
        [0.1, 1],
        [0, 0.5, 0.5, 1],
        [0, 0.7, 0.3, 1],
        [0, np.nan, 1],
        [[0, 1]],
        [[0], [0, 1]],
        {"a": 1},
        np.array(5),
        np.array([0, 2, 1]),
    ],
    ids=repr,
)
def test_schedules_that_do_not_rise_from_0_to_1_are_refused(betas: Any) -> None:
    with pytest.raises(boltz.InputError, match="betas"):
        boltz.ais(machine_of(SMALL["one"]), 10, betas)


def test_results_are_reproducible_and_depend_on_the_seed() -> None:
    model = machine_of(SMALL["dbm2"])
    first, again, other = (boltz.ais(model, 200, 20, seed=seed).log_weights for seed in (1, 1, 2))
    assert (first == again).all() and not (first == other).any()
    few = boltz.ais(model, 40, 20, seed=1).log_weights
    assert np.abs(few - first[:40]).max() < 1e-9, "a chain depends on how many run beside it"


def test_progress_is_told_and_ends_at_the_last_temperature() -> None:
    seen: list[tuple[int, int]] = []
    boltz.ais(machine_of(SMALL["one"]), 5, 625, progress=lambda done, total: seen.append((done, total)))
    assert seen == [*((done, 625) for done in range(10, 625, 10)), (625, 625)]
