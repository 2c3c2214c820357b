"""Catches importance sampling that differs from enumeration on a kind of machine, wrong bounds L_k, endless memory."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit, logsumexp
from support import stats
from support.machines import change_row, machine_of

import boltz
from boltz.estimators import closed_forms, log_weights
from boltz.estimators.estimate import from_log_weights
from boltz.estimators.marginals import MARGINALS

ROWS, SAMPLES = 60, 4000
AIS = from_log_weights(np.random.default_rng(1).normal(3.0, 0.4, 500), 10, "made up")


@pytest.fixture
def no_enumeration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every machine as too large to enumerate."""
    monkeypatch.setattr(closed_forms, "QUICK_HIDDEN", -1)


def directed(kind: str, seed: int = 3) -> boltz.HelmholtzMachine:
    """A small machine with random parameters of every kind, in float64."""
    machine = boltz.dbn([5, 4, 3], dtype=np.float64) if kind == "dbn" else boltz.sbn([5, 3, 2]).astype(np.float64)
    machine.arena[...] = np.random.default_rng(seed).normal(0, 0.35, machine.arena.size)
    return machine


def bernoulli(logits: np.ndarray, states: np.ndarray) -> np.ndarray:
    return -np.logaddexp(0, np.where(states == 1, -logits, logits)).sum(axis=-1)


def exact_log_p(machine: boltz.HelmholtzMachine, x: np.ndarray) -> np.ndarray:
    """log p(x) (rows,) from the parameters by name, every hidden state in turn; an RBM prior by its full table."""
    p = machine.params
    first = machine.units["h1"]
    h1 = enumeration.bits(first)
    if machine.prior_machine is not None:
        h2 = enumeration.bits(machine.units["h2"])
        joint = h1 @ p["prior/edge/v-h1/weight"] @ h2.T + (h1 @ p["prior/layer/v/bias"])[:, None]
        joint = joint + h2 @ p["prior/layer/h1/bias"]
        log_h = logsumexp(joint, axis=1) - logsumexp(joint)
    else:
        h2 = enumeration.bits(machine.units["h2"])
        top = bernoulli(p["prior/bias"], h2)
        below = h2 @ p["generative/h1/0/weight"] + p["generative/h1/0/bias"]
        log_h = logsumexp([bernoulli(logits, h1) + t for logits, t in zip(below, top, strict=True)], axis=0)
    logits = h1 @ p["generative/v/0/weight"] + p["generative/v/0/bias"]
    return np.array([logsumexp(bernoulli(logits, row) + log_h) for row in x])


def case(kind: str) -> tuple[Any, np.ndarray, np.ndarray]:
    """A machine, rows, and their exact log-likelihoods."""
    x = np.random.default_rng(2).integers(0, 2, (ROWS, 5)).astype(float)
    if kind == "dbm":
        table = Table.random([5, 4, 3], 1.3, 11)
        return machine_of(table), x, enumeration.log_likelihood(table, x)
    machine = directed(kind)
    return machine, x, exact_log_p(machine, x)


KINDS = pytest.mark.parametrize("kind", ["dbm", "dbn", "sbn"])


@pytest.mark.parametrize("kind", ["dbn", "sbn"])
def test_exact_by_enumeration_and_sums_to_one(kind: str) -> None:
    machine, x, truth = case(kind)
    found = boltz.log_likelihood(machine, x)
    assert found.kind == "exact" and found.trusted and found.per_row is not None
    assert np.abs(found.per_row - truth).max() < 1e-12
    every = boltz.log_likelihood(machine, enumeration.bits(5)).per_row
    assert every is not None and abs(logsumexp(every)) < 1e-12


@pytest.mark.usefixtures("no_enumeration")
@KINDS
def test_the_same_estimator_is_within_four_standard_errors_of_the_exact_value(kind: str) -> None:
    """4,000 samples of 60 rows; false-alarm rate 7e-5 a machine, with a fixed key.

    Catches a term of log w left out or counted twice, q of other means, rows and samples mixed up.
    """
    machine, x, truth = case(kind)
    found = boltz.log_likelihood(machine, x, samples=SAMPLES, seed=4)
    assert found.kind == "lower" and found.trusted and found.standard_error < 0.01
    assert abs(found.value - truth.mean()) < 4 * found.standard_error
    assert found.per_row is not None and not np.array_equal(found.per_row, truth)


@KINDS
def test_bounds_rise_to_the_truth_from_below(kind: str) -> None:
    """L_1 < L_2 < L_6 < log p(x), each gap beyond what 1e-6 allows by chance; the last within 4 standard errors.

    Each row's L_k is a mean over independent groups, so errors are those of means over rows.
    """
    machine, x, truth = case(kind)
    bounds = boltz.importance_bounds(machine, x, (1, 2, 6, SAMPLES), seed=5)
    values = [found.value for found in bounds]
    for low, high in pairwise(bounds[:3]):
        error = np.hypot(low.standard_error, high.standard_error)
        assert high.value - low.value > 5 * error, "L_k does not rise"
    below = [truth.mean() - found.value for found in bounds[:3]]
    assert all(gap > 5 * found.standard_error for gap, found in zip(below, bounds[:3], strict=True))
    assert abs(values[-1] - truth.mean()) < 4 * bounds[-1].standard_error
    assert all(found.kind == "lower" for found in bounds)


def test_l_k_has_its_enumerated_expectation() -> None:
    """k = 2 of a sigmoid belief net by all pairs of hidden states, 4,000 groups; alpha 1e-6.

    Catches groups that overlap, groups of another size, a mean of logs for a log of the mean.
    """
    machine, x = directed("sbn"), np.array([[1.0, 0, 1, 1, 0]])
    p = machine.params
    h1, h2 = (states.reshape(-1, n) for states, n in zip(_grid(3, 2), (3, 2), strict=True))
    up, upper = (p[f"recognition/{n}/0/bias"] for n in ("h1", "h2"))
    log_q = bernoulli(x @ p["recognition/h1/0/weight"] + up, h1)
    log_q = log_q + bernoulli(h1 @ p["recognition/h2/0/weight"] + upper, h2)
    log_p = bernoulli(p["prior/bias"], h2) + bernoulli(h2 @ p["generative/h1/0/weight"] + p["generative/h1/0/bias"], h1)
    log_p = log_p + bernoulli(h1 @ p["generative/v/0/weight"] + p["generative/v/0/bias"], x)
    log_w, q = log_p - log_q, np.exp(log_q)
    pairs = np.logaddexp(log_w[:, None], log_w) - np.log(2)
    mean = float(q @ pairs @ q)
    variance = float(q @ pairs**2 @ q - mean**2)
    groups = 4000
    found = boltz.importance_bounds(machine, np.tile(x, (groups, 1)), (2, 1), seed=6)
    per_row = found[0].per_row
    assert per_row is not None
    stats.accept(stats.mean_test(per_row, mean, variance), "L_2 has another expectation")
    assert stats.detectable_mean(groups, mean - float(q @ log_w), variance)
    one = found[1].per_row
    assert one is not None and np.all(one <= per_row + 1e-12), "the mean of logs of the same two weights is smaller"


def _grid(first: int, second: int) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of states of two layers."""
    a, b = enumeration.bits(first), enumeration.bits(second)
    return np.repeat(a, len(b), axis=0), np.tile(b, (len(a), 1))


def test_an_rbm_has_one_value_for_every_k() -> None:
    table = Table.random([4, 3], 1.0, 1)
    x = enumeration.bits(4)
    bounds = boltz.importance_bounds(machine_of(table), x, (1, 50))
    assert [found.kind for found in bounds] == ["exact", "exact"] and bounds[0].value == bounds[1].value
    assert bounds[0].value == pytest.approx(enumeration.log_likelihood(table, x).mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("kind", "samples", "log_z", "bound"),
    [("sbn", 0, None, "exact"), ("sbn", 5, None, "lower"), ("dbn", 5, None, "lower"), ("dbn", 5, 3.0, "lower"),
     ("dbn", 0, AIS, "upper"), ("dbn", 5, AIS, "none")],
)  # fmt: skip
def test_the_kind_says_what_is_certified(kind: str, samples: int, log_z: Any, bound: str) -> None:
    """A directed machine has log Z = 0; that of a deep belief net by annealing is an under-estimate."""
    machine, x, _ = case(kind)
    found = boltz.log_likelihood(machine, x, log_z, samples)
    assert found.kind == bound and ("log Z" in found.method) == (kind == "dbn")


def test_a_directed_machine_takes_no_log_z() -> None:
    machine, x, _ = case("sbn")
    for call in (boltz.log_likelihood, boltz.importance_bounds):
        with pytest.raises(boltz.InputError, match="log_z must be None for a directed machine"):
            call(machine, x, log_z=0.0)


@pytest.mark.parametrize("threads", [1, 3])
def test_values_depend_on_neither_blocks_nor_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draws of a row belong to its number, and those of a sample to its own; catches noise that blocks share."""
    machine, x, _ = case("sbn")
    before = boltz.threads()
    wanted = boltz.log_likelihood(machine, x, samples=40).per_row
    change_row(monkeypatch, MARGINALS, boltz.HelmholtzMachine, rows=7)
    monkeypatch.setattr(log_weights, "CHUNK", 21)
    try:
        boltz.threads(threads)
        found = boltz.log_likelihood(machine, x, samples=40).per_row
    finally:
        boltz.threads(before)
    assert wanted is not None and found is not None and np.abs(found - wanted).max() < 1e-12
    assert len(np.unique(np.round(boltz.log_likelihood(machine, np.tile(x[:1], (50, 1)), samples=3).per_row, 9))) > 10


def test_memory_does_not_grow_with_rows() -> None:
    """Eight times the rows at 2,000 samples each: the peak grows by less than half; catches weights that are kept."""

    def peak(rows: int) -> int:
        x = np.zeros((rows, 30), np.float32)
        tracemalloc.start()
        boltz.log_likelihood(machine, x, samples=2000)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    machine = boltz.vae([30, 8], 3)
    peak(32)
    small = peak(64)
    assert peak(512) < 1.5 * small


def test_active_units_are_those_whose_posterior_mean_moves() -> None:
    """One unit hears the data, one is constant; the other layer hears a draw of the first; variances by hand."""
    machine = boltz.vae([2], 2).astype(np.float64)
    for value in machine.params.values():
        value[...] = 0
    weight = machine.params["recognition/h1/0/weight"]
    weight[0, 0] = 3.0
    weight[1, 1] = 0.1
    x = enumeration.bits(2)
    variances = boltz.posterior_variances(machine, x)
    assert np.allclose(variances["h1"], [9 / 4, 0.01 / 4], atol=1e-12)
    assert boltz.active_units(machine, x) == {"h1": 1}
    table = Table.random([4, 3], 1.0, 1)
    means = expit(enumeration.bits(4) @ table.edges["v", "h1"] + table.biases["h1"])
    assert np.allclose(
        boltz.posterior_variances(machine_of(table), enumeration.bits(4))["h1"], means.var(axis=0), atol=1e-9
    )


def test_too_many_samples_are_refused() -> None:
    with pytest.raises(boltz.InputError, match="rows times samples must be below"):
        boltz.log_likelihood(boltz.vae([3], 2), np.zeros((5, 3)), samples=2**30)


def test_trust_of_a_bound_is_that_of_its_own_samples() -> None:
    """L_200 from 25 groups is trusted only if a single group of 200 would be; catches trust in the mean over groups."""
    machine, x = directed("sbn"), np.random.default_rng(2).integers(0, 2, (20, 5)).astype(float)
    machine.arena[...] *= 8
    alone = boltz.importance_bounds(machine, x, (200,))[0]
    grouped = boltz.importance_bounds(machine, x, (200, 5000))[0]
    assert not alone.trusted and not grouped.trusted and grouped.standard_error < alone.standard_error
    easy = boltz.importance_bounds(directed("dbn"), x, (200, 5000))
    assert easy[0].trusted and easy[1].trusted
