"""Catches log-likelihoods and bounds that differ from enumeration, or call themselves another kind than they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit, logsumexp
from support import calibration, stats
from support.machines import FORTY, SMALL, change_row, machine_of

import boltz
from boltz.estimators import ais, closed_forms, exact, likelihood
from boltz.estimators.estimate import from_log_weights, interval, joint_interval
from boltz.estimators.marginals import MARGINALS
from boltz.sampling import mixtures
from boltz.units.bernoulli import Bernoulli

DBMS = ["dbm2", "dbm2 tall", "dbm3", "dbm4", "ring"]
HARD = {
    "dbm2": (Table.random([3, 3, 2], 2.0, 61), 0),
    "dbm3": (Table.random([2, 2, 2, 2], 2.0, 61), 3),
    "dbm4": (Table.random([2, 2, 1, 2, 1], 2.5, 61), 3),
}  # machines and visible states whose mean field misses the posterior by 0.09 to 0.46 nats
AIS = from_log_weights(np.random.default_rng(1).normal(13.0, 0.4, 500), 10, "made up")


@pytest.fixture
def no_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every DBM as too large to enumerate."""
    monkeypatch.setattr(closed_forms, "QUICK_HIDDEN", -1)


def rows_of(table: Table, rows: int = 30) -> np.ndarray:
    return np.random.default_rng(2).integers(0, 2, (rows, table.layers["v"])).astype(float)


@pytest.mark.parametrize("name", FORTY)
def test_exact_log_likelihood_of_forty_machines_row_by_row(name: str) -> None:
    table = FORTY[name]
    x = rows_of(table)
    found = boltz.log_likelihood(machine_of(table), x)
    assert found.kind == "exact" and found.trusted and found.standard_error == 0
    assert found.per_row is not None and np.abs(found.per_row - enumeration.log_likelihood(table, x)).max() < 1e-9
    assert found.value == pytest.approx(found.per_row.mean(), abs=1e-12)
    of_rows = found.per_row.std(ddof=1) / np.sqrt(30)
    assert found.standard_error_rows == pytest.approx(of_rows, rel=1e-12)
    assert found.interval == pytest.approx(interval(found.value, of_rows, 30), rel=1e-12)


@pytest.mark.parametrize("name", SMALL)
def test_probabilities_of_all_visible_states_sum_to_one(name: str) -> None:
    """In float64 and, within rounding, in float32; catches a log Z and a log p*(v) of different machines."""
    table = SMALL[name]
    x = enumeration.bits(table.layers["v"])
    for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
        found = boltz.log_likelihood(machine_of(table, dtype), x)
        assert found.per_row is not None and abs(logsumexp(found.per_row)) < tolerance


@pytest.mark.usefixtures("no_enumeration")
@pytest.mark.parametrize("name", DBMS)
def test_the_variational_bound_is_that_of_the_means(name: str) -> None:
    """Equal to a sum over every hidden state at boltz's means, and below the exact value; also for grey rows."""
    table = SMALL[name]
    machine, x = (
        machine_of(table),
        np.concatenate([rows_of(table), np.random.default_rng(3).random((4, table.layers["v"]))]),
    )
    found = boltz.log_likelihood(machine, x)
    assert found.kind == "none" and not found.trusted and found.method.endswith("not 0/1") and found.standard_error == 0
    states = boltz.log_likelihood(machine, rows_of(table))
    assert states.kind == "lower" and states.trusted and "variational" in states.method
    assert found.per_row is not None
    # the bound is flat at its maximum: means within 1e-5 of the fixed point give it to about 1e-9
    assert np.abs(found.per_row - enumeration.variational_bound(table, x, boltz.mean_field(machine, x))).max() < 1e-8
    truth = enumeration.log_likelihood(table, x)
    assert (found.per_row <= truth + 1e-10).all() and (found.per_row < truth - 1e-6).any()


@pytest.fixture
def one_q(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same q for equal rows, none of its fixed points from random starts; many rows at a time, for speed."""
    monkeypatch.setattr(mixtures, "RANDOM_STARTS", 0)
    change_row(monkeypatch, MARGINALS, boltz.BoltzmannMachine, rows=8192)


def weights_of(table: Table, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """log w of every state of the drawn layers for one row, the rest summed out, and its probability under q."""
    drawn = enumeration.colours(table)[1]
    rest, constant = enumeration.clamp(table, {"v": v})
    q, every = (
        mixtures.mixture_of(machine_of(table), v[None], 0, boltz.Key.from_seed(0)),
        enumeration.states(rest, drawn),
    )
    probability = np.zeros(len(every[drawn[0]]))
    for m, share in enumerate(np.exp(q.log_share[0])):
        means = {n: expit(q.fields[n][0, m]) for n in drawn}
        each = [np.where(every[n] == 1, means[n], 1 - means[n]).prod(axis=1) for n in drawn]
        probability += share * np.prod(each, axis=0)
    return constant - enumeration.free_energy(rest, drawn) - np.log(probability), probability


@pytest.mark.usefixtures("no_enumeration", "one_q")
@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("name", HARD)
def test_the_weighted_bound_has_its_enumerated_expectation(name: str, samples: int) -> None:
    """L_k by every k-tuple of drawn states, and E[w] = p(v); equal rows, as many as it takes, alpha 1e-6 each.

    Catches q of other means, a weight without a layer, samples that repeat, a mean of logs for a log of the mean.
    """
    table, number = HARD[name]
    v = enumeration.bits(table.layers["v"])[number]
    log_w, q = weights_of(table, v)
    picks = np.indices((len(q),) * samples).reshape(samples, -1)
    p = np.prod(q[picks], axis=0)
    values = logsumexp(log_w[picks], axis=0) - np.log(samples)
    bound, truth = float(p @ values), float(logsumexp(log_w + np.log(q)))
    variance = float(p @ values**2 - bound**2)
    other = float(q @ log_w)  # a mean of logs: the bound of one sample
    effect = truth - bound if samples == 1 else min(truth - bound, bound - other)
    count = next((n for n in range(5000, 60_000, 5000) if stats.detectable_mean(n, effect, variance)), 60_000)
    found = boltz.log_likelihood(machine_of(table), np.tile(v, (count, 1)), 0.0, samples, seed=7)
    assert found.kind == "lower" and found.per_row is not None
    stats.accept(stats.mean_test(found.per_row, bound, variance), "the bound has another expectation")
    relative = float(p @ np.exp(2 * (values - truth)) - 1)
    stats.accept(stats.mean_test(np.exp(found.per_row - truth), 1.0, relative), "the mean weight is not p(v)")
    assert stats.detectable_mean(count, effect, variance)


@pytest.mark.usefixtures("no_enumeration", "one_q")
@pytest.mark.parametrize("name", HARD)
def test_values_and_errors_follow_from_the_states_drawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight of each drawn state by enumeration, then log mean and delta method; catches a sum rescaled wrongly."""
    table, number = HARD[name]
    v, drawn = enumeration.bits(table.layers["v"])[number], enumeration.colours(table)[1]
    seen: list[np.ndarray] = []
    draw = Bernoulli.draw

    def spy(self: Bernoulli, mean: Any, stream: Any, first_row: int, state: np.ndarray) -> None:
        draw(self, mean, stream, first_row, state)
        seen.append(state.copy())

    monkeypatch.setattr(Bernoulli, "draw", spy)
    values, errors, _, _ = likelihood.log_marginal(machine_of(table), v[None], 60, 5)[0].T
    states = [{n: seen[len(drawn) * i + j] for j, n in enumerate(drawn)} for i in range(60)]
    log_w = weights_of(table, v)[0][[int(enumeration.numbers(table, state, drawn)[0]) for state in states]]
    weights = np.exp(log_w - log_w.max())
    assert len(seen) == 60 * len(drawn) and len(set(log_w)) > 1
    assert values[0] == pytest.approx(log_w.max() + np.log(weights.mean()), abs=1e-9)
    assert errors[0] == pytest.approx(weights.std(ddof=1) / weights.mean() / np.sqrt(60), rel=1e-6)


@pytest.mark.usefixtures("no_enumeration", "one_q")
def test_standard_errors_of_the_weighted_bound_cover_the_truth() -> None:
    """5,000 equal rows of 200 samples: value +- 1.96 errors covers the truth with a probability from 0.92 to 0.98.

    alpha 1e-6; catches a variance of w instead of its mean, or of a running mean that is rescaled wrongly.
    """
    (table, number), count = HARD["dbm2"], 5000
    v = enumeration.bits(table.layers["v"])[number]
    x = np.tile(v, (count, 1))
    found, kind, _ = likelihood.log_marginal(machine_of(table), x, 200, 3)
    values, errors, _, _ = found.T
    truth = enumeration.log_likelihood(table, v[None])[0] + enumeration.log_z(table)
    hits = int(np.sum(np.abs(values - truth) <= 1.96 * errors))
    stats.accept(calibration.coverage_test(hits, count), f"intervals cover {hits / count:.3f}")
    assert calibration.detectable_coverage(count, 0.883) and kind == "lower"
    found = boltz.log_likelihood(machine_of(table), x, AIS, 200, seed=3)
    assert found.standard_error == pytest.approx(
        np.hypot(AIS.standard_error, np.sqrt(np.sum(errors**2)) / count), rel=1e-12
    )


@pytest.mark.usefixtures("no_enumeration")
def test_the_weighted_bound_approaches_the_truth() -> None:
    """10,000 samples a row: within 6 of its own standard errors of the exact value, errors below 0.05 nats."""
    table = SMALL["dbm2"]
    x = enumeration.bits(3)
    found = boltz.log_likelihood(machine_of(table), x, samples=10_000, seed=1)
    truth = enumeration.log_likelihood(table, x)
    values, errors, _, _ = likelihood.log_marginal(machine_of(table), x, 10_000, 1)[0].T
    assert (np.abs(values - truth - enumeration.log_z(table)) < 6 * errors).all() and errors.max() < 0.05
    assert abs(found.value - truth.mean()) < 6 * found.standard_error
    joint = joint_interval(found.value, (found.standard_error, 80_000), (found.standard_error_rows, 8))
    assert found.interval == pytest.approx(joint, rel=1e-9), "the interval joins both errors"


@pytest.mark.usefixtures("no_enumeration")
def test_one_sample_has_no_known_error() -> None:
    found = boltz.log_likelihood(machine_of(SMALL["dbm2"]), enumeration.bits(3), samples=1)
    assert found.standard_error == np.inf and found.interval == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("name", "samples", "log_z", "kind"),
    [
        ("rbm", 0, None, "exact"),
        ("rbm", 0, 3.0, "exact"),
        ("rbm", 0, AIS, "upper"),
        ("rbm", 5, AIS, "upper"),
        ("dbm3", 0, None, "lower"),
        ("dbm3", 0, 3.0, "lower"),
        ("dbm3", 0, AIS, "none"),
        ("dbm3", 5, None, "lower"),
        ("dbm3", 5, AIS, "none"),
    ],
)
@pytest.mark.usefixtures("no_enumeration")
def test_the_kind_says_what_is_certified(name: str, samples: int, log_z: Any, kind: str) -> None:
    """log Z by annealing is a lower bound, so log p(v) from it errs upwards, and a lower bound minus it is no bound."""
    table = SMALL[name]
    found = boltz.log_likelihood(machine_of(table), rows_of(table), log_z, samples)
    assert found.kind == kind
    if log_z is AIS:
        assert (found.ess, found.chains, found.steps) == (AIS.ess, AIS.chains, AIS.steps)
        assert (
            found.trusted == (AIS.trusted and not (name == "dbm3" and samples == 5))
            and (found.log_weights == AIS.log_weights).all()
        )
    if log_z is AIS and samples == 0:
        assert found.standard_error == AIS.standard_error
        joint = joint_interval(found.value, (AIS.standard_error, AIS.chains), (found.standard_error_rows, 30))
        assert found.interval == pytest.approx(joint, rel=1e-12)
        free = boltz.log_likelihood(machine_of(table), rows_of(table), 0.0, samples)
        assert found.value == pytest.approx(free.value - AIS.value, abs=1e-12)


def test_log_z_is_enumerated_where_possible_and_annealed_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    table = SMALL["dbm2"]
    model, x = machine_of(table), rows_of(table)
    assert "enumeration" in boltz.log_likelihood(model, x).method
    monkeypatch.setattr(exact, "QUICK_UNITS", 1)
    real = boltz.ais
    monkeypatch.setattr(ais, "ais", lambda model, chains, betas, seed, progress: real(model, 100, 50, seed))
    found = boltz.log_likelihood(model, x, seed=5)
    log_z = boltz.ais(model, 100, 50, seed=5)
    assert found.value == boltz.log_likelihood(model, x, log_z).value and "annealed" in found.method
    assert (found.log_weights == log_z.log_weights).all()


def test_rows_may_be_grey_bytes_bits_or_lists() -> None:
    model = machine_of(SMALL["rbm"])
    bits = enumeration.bits(4)
    truth = boltz.log_likelihood(model, bits).per_row
    for same in (bits.astype(np.uint8), bits.astype(bool), bits.astype(np.float16), bits.tolist(), bits.astype(int)):
        assert (boltz.log_likelihood(model, same).per_row == truth).all()
    bytes_, parts = np.array([[0, 51, 102, 255]], np.uint8), np.array([[0, 0.2, 0.4, 1]])
    pair = [boltz.log_likelihood(model, x).value for x in (bytes_, parts)]
    assert pair[0] == pytest.approx(pair[1], abs=1e-12)


@pytest.mark.usefixtures("no_enumeration")
def test_the_seed_and_only_the_seed_decides_the_draws() -> None:
    model, x = machine_of(SMALL["dbm3"]), rows_of(SMALL["dbm3"])
    first, again, other = (boltz.log_likelihood(model, x, 0.0, 10, seed=seed).per_row for seed in (1, 1, 2))
    assert (first == again).all() and not (first == other).any()
    alone = boltz.log_likelihood(model, x[:7], 0.0, 10, seed=1).per_row
    assert np.abs(alone - first[:7]).max() < 1e-4, "a row depends on the rows beside it by more than the stopping rule"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x": np.zeros((2, 5))}, r"x must have shape \(any, 3\), got \(2, 5\)"),
        ({"samples": -1}, "samples must be a whole number of at least 0"),
        ({"samples": 1.5}, "samples must be a whole number"),
        ({"seed": -1}, "seed must be"),
        ({"log_z": np.nan}, "log_z must be a finite number"),
        ({"log_z": 10**400}, "log_z must be a finite number"),
        ({"log_z": "12"}, "log_z must be a number, got '12'"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        boltz.log_likelihood(machine_of(SMALL["dbm2"]), **{"x": np.zeros((2, 3)), **settings})
