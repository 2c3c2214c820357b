"""Catches annealing over hidden units with v clamped whose log p(v) is not that of enumeration or quadrature.

Exact checks of densities, conditionals, gradients and trajectories are in posterior_checks; those of transitions by
their laws are in faults/quick_posterior, where planted faults must fail them. Every statistical test has a fixed key
and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import posterior
from checks.posterior import BINARY, SMOOTH, random, row_of
from oracles import enumeration
from oracles.directed import Directed, log_evidence, log_p
from oracles.enumeration import Table
from scipy.special import logsumexp
from support import stats
from support.machines import SMALL, change_row, machine_of

import boltz
from boltz.estimators import posterior_ais
from boltz.estimators.estimate import from_log_weights
from boltz.estimators.marginals import MARGINALS

CHECKS = sorted(name for name in vars(posterior) if name.startswith("check_"))
CASES = ["dbm3", "ring", "strong", "strong, float32", "three layers", "three layers, float32", "nets", "deep nets"]
CASES += ["gaussian v", "dbn", "deep dbn", "deep dbn, float32"]
NORMAL = 4.76  # standard errors that a one-sided normal test at 1e-6 allows
NOISY = from_log_weights(np.random.default_rng(1).normal(13.0, 0.4, 500), 10, "made up")
DBM = Table.random([4, 3, 3], 1.3, 41)
HARD = Table.random([3, 4, 4], 4.0, 41)  # whose mean field is far from the posterior
VAE = random(boltz.vae([4, [4], [3]], [1, 1]), 0.5, 42)


@pytest.mark.parametrize("name", CHECKS)
def test_exact_check(name: str) -> None:
    getattr(posterior, name)()


def clamped(table: Table, row: np.ndarray) -> float:
    """log p*(v) by enumeration."""
    rest, constant = enumeration.clamp(table, {"v": row})
    return constant + enumeration.log_z(rest)


def case(name: str) -> tuple[Any, np.ndarray, float]:
    """A machine, one row, and log p*(v) by enumeration."""
    kind, _, dtype = name.partition(", ")
    if kind in SMALL:
        machine = machine_of(SMALL[kind], dtype or np.float64)
        return machine, row_of(machine), clamped(SMALL[kind], row_of(machine)[0])
    found = BINARY[kind]
    return found.astype(dtype or np.float64), row_of(found), float(log_evidence(Directed.of(found), row_of(found))[0])


@pytest.mark.parametrize("name", CASES)
def test_weights_average_to_p(name: str) -> None:
    """8,000 chains over six temperatures; catches a bias of 0.18 nats, as of a term of p or of q left out."""
    machine, row, truth = case(name)
    found = boltz.posterior_ais(machine, row, 8000, 6, 0.0 if _undirected(machine) else None, seed=5)
    assert found.kind == "lower" and "8000 chains a row, 6 temperatures" in found.method
    stats.accept(stats.ratio_test(found.value, truth, found.standard_error, 8000), "weights do not average to p*(v)")
    assert stats.detectable_ratio(0.18, found.standard_error), found.standard_error


def _undirected(machine: Any) -> bool:
    return isinstance(machine, boltz.BoltzmannMachine) or machine.prior_machine is not None


def quadrature(machine: boltz.HelmholtzMachine, x: np.ndarray) -> np.ndarray:
    """log p(x) (rows,) of a machine with two layers of one Gaussian unit each, on a grid."""
    nodes = np.linspace(-12, 12, 241)
    z1, z2 = (z.reshape(-1, 1) for z in np.meshgrid(nodes, nodes, indexing="ij"))
    plain, area = Directed.of(machine), 2 * np.log(nodes[1] - nodes[0])
    terms = [log_p(plain, {"v": np.tile(row, (len(z1), 1)), "h1": z1, "h2": z2}) for row in x]
    return np.array([logsumexp(sum(found.values())) + area for found in terms])


def test_a_vae_of_two_layers_against_quadrature() -> None:
    """Catches a bias of 0.3 nats; every visible state counts, as their probabilities add up to 1."""
    every = enumeration.bits(4)
    truth = quadrature(VAE, every)
    assert abs(logsumexp(truth)) < 1e-8
    found = boltz.posterior_ais(VAE, every[5:6], 4000, 8, seed=6)
    stats.accept(stats.ratio_test(found.value, truth[5], found.standard_error, 4000), "weights do not average to p(v)")
    assert stats.detectable_ratio(0.3, found.standard_error), found.standard_error


def truths(model: Any, x: np.ndarray) -> np.ndarray:
    """log p(v) (rows,) of all rows, log Z included."""
    if isinstance(model, boltz.BoltzmannMachine):
        return enumeration.log_likelihood(HARD, enumeration.bits(3))[x.astype(int) @ [4, 2, 1]]
    if model is VAE:
        return quadrature(VAE, enumeration.bits(4))[x.astype(int) @ [8, 4, 2, 1]]
    if model.prior_machine is None:
        return log_evidence(Directed.of(model), x)
    every = log_evidence(Directed.of(model), enumeration.bits(model.units["v"]))
    return log_evidence(Directed.of(model), x) - logsumexp(every)


@pytest.mark.parametrize("kind", ["dbm", "three layers", "dbn", "vae"])
def test_the_sandwich_holds_the_truth(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forward below, reverse above log p(v) in expectation: one-sided over rows; catches bounds that change places."""
    model = {"dbm": machine_of(HARD), "vae": VAE}.get(kind) or BINARY[kind]
    rows: list[np.ndarray] = []
    drawn = MARGINALS[type(model)].simulated
    change_row(monkeypatch, MARGINALS, type(model), simulated=lambda *a: rows.append((s := drawn(*a))["v"]) or s)
    found = boltz.posterior_sandwich(model, 2000 if kind == "dbm" else 300, 1, 2, seed=7)
    assert (found.lower.kind, found.upper.kind) == ("lower", "upper") and found.upper.trusted
    truth = truths(model, rows[0])
    for estimate, sign in ((found.lower, 1), (found.upper, -1)):
        assert estimate.per_row is not None
        beyond = sign * (estimate.per_row - truth)
        assert beyond.mean() < NORMAL * beyond.std(ddof=1) / np.sqrt(len(truth)), "a bound is on the wrong side"
    assert found.gap == pytest.approx(found.upper.value - found.lower.value, abs=1e-9)
    assert found.gap > 1.5 * NORMAL * found.gap_error
    assert found.upper.standard_error == found.gap_error > 0


def test_more_temperatures_close_the_sandwich() -> None:
    machine = BINARY["three layers"]
    coarse, fine = (boltz.posterior_sandwich(machine, 200, 4, betas, seed=8) for betas in (2, 40))
    assert abs(fine.gap) < 0.25 * coarse.gap


def machines() -> dict[str, tuple[Any, np.ndarray]]:
    rng = np.random.default_rng(43)
    found = {"dbm": machine_of(DBM), "sbn": BINARY["two layers"], "dbn": BINARY["dbn"], "vae": SMOOTH["two layers"]}
    return {n: (m, rng.integers(0, 2, (21, m.layers[0].units)).astype(float)) for n, m in found.items()}


@pytest.mark.parametrize("kind", machines())
def test_results_depend_neither_on_threads_nor_on_groups_of_rows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain has the noise of its number; catches chains that are counted from the start of a block."""
    machine, x = machines()[kind]
    before = boltz.threads()
    wanted = boltz.posterior_ais(machine, x, 5, 4).per_row
    assert wanted is not None
    monkeypatch.setattr(posterior_ais, "TOGETHER", 35)
    try:
        boltz.threads(2)
        found = boltz.posterior_ais(machine, x, 5, 4).per_row
    finally:
        boltz.threads(before)
    assert found is not None and np.abs(found - wanted).max() < 1e-9
    same = boltz.posterior_ais(machine, np.tile(x[:1], (21, 1)), 5, 4).per_row
    assert same is not None and len(np.unique(same.round(9))) > 15, "rows or groups share their noise"
    other = boltz.posterior_ais(machine, x, 5, 4, seed=1).per_row
    assert other is not None and np.abs(other - wanted).max() > 1e-4
    down = [boltz.posterior_sandwich(machine, 12, 5, 4).upper.per_row]
    monkeypatch.setattr(posterior_ais, "TOGETHER", 2048)
    down.append(boltz.posterior_sandwich(machine, 12, 5, 4).upper.per_row)
    assert np.abs(np.subtract(*down)).max() < 1e-9


def test_an_rbm_is_exact() -> None:
    table = Table.random([4, 3], 1.0, 1)
    found = boltz.posterior_ais(machine_of(table), enumeration.bits(4))
    assert found.kind == "exact" and found.value == pytest.approx(
        enumeration.log_likelihood(table, enumeration.bits(4)).mean()
    )
    both = boltz.posterior_sandwich(machine_of(table), 7)
    assert both.lower.kind == both.upper.kind == "exact" and both.gap == both.gap_error == 0


@pytest.mark.parametrize(
    ("log_z", "kind"), [(13.0, "lower"), (NOISY, "none"), (None, "lower")], ids=["a number", "an estimate", "none"]
)
def test_kind_and_trust(log_z: Any, kind: str) -> None:
    machine, x = machine_of(DBM), enumeration.bits(4)
    few, many = (boltz.posterior_ais(machine, x, chains, 20, log_z) for chains in (10, 220))
    assert few.kind == many.kind == kind and not few.trusted and many.trusted
    assert many.per_row is not None and len(many.per_row) == 16 and many.value == pytest.approx(many.per_row.mean())
    grey = boltz.posterior_ais(machine, np.full((1, 4), 0.5), 220, 20, log_z)
    assert grey.kind == "none" and not grey.trusted


def test_one_chain_has_no_error() -> None:
    found = boltz.posterior_ais(BINARY["one layer"], enumeration.bits(3), 1, 3)
    assert found.standard_error == np.inf and not found.trusted


def test_progress_is_told_over_all_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posterior_ais, "TOGETHER", 4)
    seen: list[tuple[int, int]] = []
    boltz.posterior_ais(
        machine_of(DBM), enumeration.bits(4)[:3], 2, 3, 0.0, progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(i, 6) for i in range(1, 7)]
    seen.clear()
    boltz.posterior_sandwich(machine_of(DBM), 3, 2, 3, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and set(seen) == {(i, 12) for i in range(1, 13)}


MIXED = boltz.helmholtz([3, 2, 2], ["bernoulli", "bernoulli", "gaussian"])
WIDE = boltz.dbn([3, 25, 22])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: boltz.posterior_ais(MIXED, np.zeros((1, 3))), "model must have hidden layers of one kind"),
        (lambda: boltz.posterior_ais("rbm", np.zeros((1, 3))), "model must be"),
        (lambda: boltz.posterior_ais(VAE, np.zeros((1, 3))), "x must have shape"),
        (lambda: boltz.posterior_ais(VAE, np.zeros((1, 4)), 0), "chains must be"),
        (lambda: boltz.posterior_ais(VAE, np.zeros((1, 4)), betas="adaptive"), "betas must be"),
        (lambda: boltz.posterior_ais(VAE, np.zeros((1, 4)), log_z=1.0), "log_z must be None"),
        (lambda: boltz.posterior_ais(VAE, np.zeros((1, 4)), seed=-1), "seed must be"),
        (lambda: boltz.posterior_ais(VAE, np.zeros((3, 4)), 2**31), "rows times chains must be below"),
        (lambda: boltz.posterior_sandwich(VAE, 0), "rows must be"),
        (lambda: boltz.posterior_sandwich(WIDE, 5), "exact samples exist for at most 20 units"),
    ],
    ids=["mixed", "model", "shape", "chains", "betas", "log_z", "seed", "many", "rows", "wide"],
)
def test_bad_input_is_refused(call: Any, message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        call()
