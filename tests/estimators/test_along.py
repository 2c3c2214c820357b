"""Catches a log-likelihood along training that differs from enumeration; statistical tests have stats.ALPHA = 1e-6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import enumeration
from oracles.enumeration import Table
from scipy.stats import t as student
from support import stats
from support.training import plain_train

import boltz
from boltz.sampling import ladder_fitting

ROWS = np.repeat(np.random.default_rng(24).integers(0, 2, (3, 6)), 20, axis=0).astype(np.float64)
X = ROWS[::20]


@pytest.fixture(scope="module", params=[(6, 4), (6, 4, 3)], ids=["rbm", "dbm"])
def run(request: pytest.FixtureRequest) -> boltz.Run:
    """A short run of a tiny machine with snapshots, in memory."""
    machine = boltz.dbm(request.param, dtype=np.float64)
    return plain_train(machine, ROWS, epochs=60, batch_size=20, learning_rate=0.2, chains=20, snapshots=8)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pilot runs of small machines need not be long."""
    monkeypatch.setattr(ladder_fitting, "PILOT_ROUNDS", 16)


def truth_of(machine: boltz.BoltzmannMachine) -> tuple[float, float]:
    """By enumeration: the mean of log p*(v) of an RBM, or of its mean-field bound for a DBM, and log Z."""
    table = Table.of(machine)
    log_z = enumeration.log_z(table)
    if len(table.layers) == 2:
        log_p = enumeration.log_likelihood(table, X)
    else:
        log_p = enumeration.variational_bound(table, X, enumeration.mean_field(table, X))
    return float(log_p.mean()) + log_z, log_z


def test_every_snapshot_has_the_log_likelihood_of_enumeration(run: boltz.Run, quick: None) -> None:
    """Catches a value that is off by 0.1 nats, and so log Z of a neighbouring snapshot, or errors of other rungs."""
    machine, members = run.model, run.trajectory
    assert isinstance(machine, boltz.BoltzmannMachine) and len(members) >= 5
    heard: list[tuple[int, int]] = []
    found = boltz.likelihood_along(machine, members, X, 360, progress=lambda done, total: heard.append((done, total)))
    log_p, log_z = np.array([truth_of(m) for m in (*members, machine)]).T
    assert found.values.shape == found.errors.shape == log_p.shape and found.ladder.estimate.trusted
    assert found.ladder.estimate.kind == "none"
    p_values = 2 * student.sf(np.abs(found.values - (log_p - log_z)) / found.errors, 63)
    stats.accept(stats.smallest_of(p_values), "log-likelihoods along training are not those of enumeration")
    assert all(stats.detectable_ratio(0.1, error) for error in found.errors), found.errors
    assert np.abs(np.diff(log_z)).max() > 0.1, "one place too far would be seen"
    assert found.errors[-1] == found.ladder.estimate.standard_error == found.ladder.errors[-1]
    assert found.errors[0] < found.errors[-1], "errors add up along the ladder"
    last = log_p[-1] - found.ladder.estimate.value
    assert found.values[-1] == pytest.approx(last, abs=1e-3)  # mean field ends at a tolerance
    n = len(members) + 1
    assert heard[-n:] == [(i + 1, n) for i in range(n)] and heard[-n - 1][0] == heard[-n - 1][1]


def test_results_depend_on_the_seed_alone(run: boltz.Run, quick: None) -> None:
    machine = run.model
    assert isinstance(machine, boltz.BoltzmannMachine)
    members, arena = list(run.trajectory[-2:]), machine.arena.tobytes()
    found = [boltz.likelihood_along(machine, members, X, 20, seed).values for seed in (0, 0, 1)]
    assert (found[0] == found[1]).all() and found[0][-1] != found[2][-1] and machine.arena.tobytes() == arena
    ladder = boltz.exchange_log_z(machine, members, rounds=20, seed=1)
    assert found[2][-1] + ladder.estimate.value == pytest.approx(found[0][-1] + log_z_of(machine, members), abs=1e-9)


def log_z_of(machine: boltz.BoltzmannMachine, members: Any) -> float:
    return boltz.exchange_log_z(machine, members, rounds=20).estimate.value


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"trajectory": ()}, r"^trajectory must hold at least one snapshot, got none\.$"),
        ({"trajectory": None}, r"^trajectory must be a sequence, got NoneType\.$"),
        ({"trajectory": [boltz.rbm(6, 3)]}, r"^trajectory\[0\] must be a machine of the same layers and type"),
        ({"trajectory": [boltz.sbn([6, 4])]}, r"^trajectory\[0\] must be a machine"),
        ({"x": np.zeros((2, 5))}, r"^x must have"),
        ({"rounds": 19}, r"^rounds must be"),
        ({"rounds": 20.5}, r"^rounds must be"),
        ({"seed": -1}, r"^seed must be"),
        ({"model": boltz.sbn([6, 4])}, r"^model must be a BoltzmannMachine, got HelmholtzMachine\.$"),
    ],
)
def test_bad_input_is_refused_by_name(words: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"model": boltz.rbm(6, 4), "trajectory": [boltz.rbm(6, 4)], "x": X, **words}
    with pytest.raises(boltz.InputError, match=message):
        boltz.likelihood_along(**given)
