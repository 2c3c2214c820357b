"""Annealed importance sampling: its path and transitions exactly, its weights by matrix products, its draws by tests.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6 unless it says otherwise.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import calibration
import numpy as np
import oracle
import oracle_chains as chains
import pytest
import stats
from machines import FORTY, SMALL, machine_of
from oracle import Table
from scipy.special import expit, logit, logsumexp

import boltz
from boltz.estimators import annealed
from boltz.models import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.rates import base_rates
from boltz.targets import BaseRatePath
from boltz.units.bernoulli import Bernoulli

BETAS = (0.0, 0.1, 0.35, 0.6, 0.8, 1.0)


@pytest.fixture(params=SMALL)
def table(request: pytest.FixtureRequest) -> Table:
    return SMALL[request.param]


def rates_of(table: Table, seed: int = 31) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {n: expit(rng.normal(0, 0.8, units)) for n, units in table.layers.items()}


def path_of(table: Table, dtype: Any = np.float64) -> BaseRatePath:
    return annealed.path_to(machine_of(table, dtype), rates_of(table))


def base_of(table: Table) -> dict[str, np.ndarray]:
    return {n: logit(rate) for n, rate in rates_of(table).items()}


def both_ways(table: Table) -> list[BaseRatePath]:
    """The path that boltz takes and the one that holds the other colour class."""
    path = path_of(table)
    return [path, BaseRatePath(path.machine, path.base, path.summed, path.held)]


def test_the_path_holds_the_smaller_colour_class(table: Table) -> None:
    path = path_of(table)
    size = {names: sum(table.layers[n] for n in names) for names in (path.held, path.summed)}
    assert {path.held, path.summed} == set(oracle.colours(table)) and size[path.held] <= size[path.summed]


def test_log_density_is_that_of_the_intermediate_machine(table: Table) -> None:
    """At every state of either class and every temperature; catches beta on weights or biases only, a swapped base."""
    for path in both_ways(table):
        every = oracle.states(table, path.held)
        for beta in BETAS:
            expected = -oracle.free_energy(chains.intermediate(table, base_of(table), beta), path.held)
            assert np.abs(path.log_density(every, beta) - expected).max() < 1e-10


def test_the_path_leads_from_the_base_to_the_machine(table: Table) -> None:
    for path in both_ways(table):
        every = oracle.states(table, path.held)
        assert abs(logsumexp(path.log_density(every, 0.0)) - path.start_log_z) < 1e-10
        assert path.start_log_z == pytest.approx(-sum(np.log(1 - r).sum() for r in rates_of(table).values()), abs=1e-10)
        assert np.abs(path.log_density(every, 1.0) + path.machine.free_energy(every)).max() < 1e-10


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3"])
def test_starts_follow_the_base_rates(name: str, dtype: Any) -> None:
    """Chi-square of 200,000 starts; catches rates taken for logits, the machine's biases, layers that share numbers."""
    table, rows = SMALL[name], 200_000
    path = path_of(table, dtype)
    state = path.sample_start(Key(1, 2), rows)
    every, base = oracle.states(table, path.held), base_of(table)

    def start(gain: float) -> np.ndarray:
        return np.prod(
            [np.where(every[n] == 1, m, 1 - m).prod(1) for n in every for m in [expit(gain * base[n])]], axis=0
        )

    law = start(1.0)
    stats.accept(stats.chi_square(oracle.counts(table, state, path.held), law), "starts do not follow the base rates")
    assert all((state[n] == 0).all() and state[n].dtype == dtype for n in path.summed)
    assert stats.detectable_chi_square(rows, law, start(1.1))  # logits off by 10 %


Step = dict[str, tuple[np.ndarray, np.ndarray]]  # layer -> the means that it was drawn from, and its states


def recorded(table: Table, count: int, monkeypatch: pytest.MonkeyPatch) -> tuple[boltz.Estimate, list[Step]]:
    """A run of boltz.ais over BETAS, and what each of its steps drew, the start of the held layers first."""
    calls: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}

    def spied(method: Any) -> Any:
        def record(self: Bernoulli, inputs: np.ndarray, *rest: Any) -> None:
            method(self, inputs, *rest)
            calls.setdefault(rest[3], []).append((inputs.copy(), rest[4].copy()))  # rest[3] is the first row

        return record

    for name in ("sample", "anneal"):
        monkeypatch.setattr(Bernoulli, name, spied(getattr(Bernoulli, name)))
    found = boltz.ais(machine_of(table), count, np.array(BETAS), seed=8, base=rates_of(table))
    monkeypatch.undo()
    path = path_of(table)
    starts, calls[0] = calls[0][: len(path.held)], calls[0][len(path.held) :]
    steps, order = [dict(zip(path.held, starts, strict=True))], (*path.summed, *path.held)
    for t in range(len(BETAS) - 1):
        parts = [calls[row][t * len(order) : (t + 1) * len(order)] for row in sorted(calls)]
        layers = [
            tuple(np.concatenate(pair) for pair in zip(*layer, strict=True)) for layer in zip(*parts, strict=True)
        ]
        steps.append(dict(zip(order, layers, strict=True)))
    return found, steps


def states_of(step: Step, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {n: step[n][1] for n in names}


def test_weights_sum_differences_of_the_log_density_along_the_chain(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chain by chain; catches a lost bias change, a temperature off by one, a weight taken after the move."""
    path = path_of(table)
    found, steps = recorded(table, 300, monkeypatch)
    expected = np.full(300, path.start_log_z)
    for step, below, above in zip(steps[:-1], BETAS[:-1], BETAS[1:], strict=True):
        held = states_of(step, path.held)
        expected += path.log_density(held, above) - path.log_density(held, below)
    assert np.abs(found.log_weights - expected).max() < 1e-10


def law_of_class(table: Table, names: tuple[str, ...], means: dict[str, Any], given: np.ndarray) -> np.ndarray:
    """p(state of some layers | number of the state that their means, one row a chain, were computed from)."""
    every = oracle.states(table, names)
    chosen = np.array([np.flatnonzero(given == i)[0] for i in range(given.max() + 1)])  # fails if one was never visited
    matrix = np.ones((len(chosen), len(every[names[0]])))
    for n in names:
        for unit, mean in enumerate(means[n][chosen].T):
            matrix *= np.where(every[n][:, unit] == 1, mean[:, None], 1 - mean[:, None])
    return matrix


def transitions(table: Table, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """The transitions on held states from the means that each step drew from, at every state before and between."""
    path, (_, steps) = path_of(table), recorded(table, 60_000, monkeypatch)
    found = []
    for before, step in pairwise(steps):
        start = oracle.numbers(table, states_of(before, path.held), path.held)
        between = oracle.numbers(table, states_of(step, path.summed), path.summed)
        assert len(np.unique(start)) == 2 ** sum(table.layers[n] for n in path.held)
        assert len(np.unique(between)) == 2 ** sum(table.layers[n] for n in path.summed)
        means = {n: step[n][0] for n in step}
        found.append(law_of_class(table, path.summed, means, start) @ law_of_class(table, path.held, means, between))
    return found


@pytest.mark.parametrize("name", ["rbm", "one", "dbm2", "dbm3", "dbm4", "ring"])
def test_expected_weights_by_matrix_products(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """E[w] = Z / Z_0 to 1e-10 with the log densities and transitions that boltz computes; catches any bias.

    The transitions are those of the enumerated path as well, and leave each intermediate law invariant.
    """
    table = SMALL[name]
    path = path_of(table)
    every = oracle.states(table, path.held)
    log_f = np.array([path.log_density(every, beta) for beta in BETAS])
    matrices = transitions(table, monkeypatch)
    measured = chains.Path(log_f, matrices, matrices)
    truth = oracle.log_z(table) - path.start_log_z
    assert abs(chains.ais_log_moment(measured) - truth) < 1e-10
    assert abs(chains.reverse_ais_log_moment(measured) + truth) < 1e-10
    enumerated = chains.reduced_path(table, base_of(table), BETAS, path.held)
    for t, (mine, theirs) in enumerate(zip(matrices, enumerated.forward, strict=True), start=1):
        assert np.abs(mine - theirs).max() < 1e-12
        assert chains.invariance_defect(measured.distribution(t), mine) < 1e-12
        assert chains.reversal_defect(measured.distribution(t), mine, mine) < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3", "dbm4", "strong"])
def test_weights_have_their_exact_mean(name: str, dtype: Any) -> None:
    """Mean of 100,000 weights over Z, their variance by matrix products.

    Catches a bias of 4 % of Z (0.04 nats), such as chains that share numbers with the weights' own draws.
    """
    table, count = SMALL[name], 100_000
    path = chains.reduced_path(table, base_of(table), BETAS, path_of(table).held)
    variance = chains.relative_variance(chains.ais_log_moment(path), chains.ais_log_moment(path, power=2))
    found = boltz.ais(machine_of(table, dtype), count, np.array(BETAS), seed=3, base=rates_of(table))
    relative = np.exp(found.log_weights - oracle.log_z(table))
    stats.accept(stats.mean_test(relative, 1.0, variance), "the weights do not have mean Z")
    assert stats.detectable_mean(count, 0.04, variance)
    assert found.steps == len(BETAS) - 1 and found.chains == count == len(found.log_weights)


def test_the_spread_of_weights_is_the_exact_one() -> None:
    """Empirical second moment of 100,000 weights within 5 % of the enumerated one (its own error is about 1 %).

    Catches chains that do not move: those have the right mean but another variance.
    """
    table, count = SMALL["rbm"], 100_000
    path = chains.reduced_path(table, base_of(table), BETAS, path_of(table).held)
    second = {p: chains.ais_log_moment(path, power=p) - p * chains.ais_log_moment(path) for p in (2, 4)}
    found = boltz.ais(machine_of(table), count, np.array(BETAS), seed=4, base=rates_of(table))
    squares = np.exp(2 * (found.log_weights - oracle.log_z(table)))
    variance = float(np.exp(second[4]) - np.exp(2 * second[2]))
    stats.accept(stats.mean_test(squares, float(np.exp(second[2])), variance), "the weights spread differently")
    frozen = chains.Path(path.log_f, [np.eye(len(m)) for m in path.forward], path.backward)
    still = chains.ais_log_moment(frozen, power=2) - 2 * chains.ais_log_moment(frozen)
    assert stats.detectable_mean(count, float(np.exp(still) - np.exp(second[2])), variance)


@pytest.mark.parametrize("name", FORTY)
def test_forty_machines_within_four_standard_errors(name: str) -> None:
    """1,000 chains, 1,000 temperatures, the default base rates.

    A correct estimator fails 4 standard errors with probability 6.3e-5, so one of forty with 2.5e-3 at a fresh key; the
    key is fixed. At least 300 effective chains, which trust demands, bound the standard error at 0.05 nats.
    Catches an error of 0.4 nats surely, and every estimate that does not trust itself on machines so small.
    """
    table = FORTY[name]
    found, truth = boltz.ais(machine_of(table), 1000, 1000, seed=9), oracle.log_z(table)
    assert (found.chains, found.steps, found.kind, found.trusted) == (1000, 1000, "lower", True)
    assert abs(found.value - truth) < 4 * found.standard_error
    assert stats.detectable_ratio(0.4, found.standard_error)


def test_intervals_of_ais_cover_log_z() -> None:
    """5,000 keys of 100 chains on one machine; coverage of trusted estimates from 0.92 to 0.98.

    Catches a standard error that is 0.8 of what it should be, chains counted twice, blocks with common numbers.
    """
    table, keys = Table.random([3, 3], 0.8, 51), 5000
    model, base, truth = machine_of(table), rates_of(table), oracle.log_z(table)
    found = [boltz.ais(model, 100, 4, seed=seed, base=base) for seed in range(keys)]
    assert all(estimate.trusted for estimate in found)
    hits = sum(estimate.interval[0] <= truth <= estimate.interval[1] for estimate in found)
    stats.accept(calibration.coverage_test(hits, keys), f"intervals cover {hits / keys:.3f}")
    assert calibration.detectable_coverage(keys, 0.883) and calibration.detectable_coverage(keys, 0.995)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_machine_without_weights_has_constant_weights(dtype: Any) -> None:
    """With its own activities as base every weight is Z; a drift over many temperatures shows.

    sm2008's 14,500 float32 steps must not drift: every weight within 1e-3 nats.
    """
    biases = [np.linspace(-2, 2, 9), np.linspace(-1, 3, 5)]
    model = boltz.from_arrays([np.zeros((9, 5), dtype)], [b.astype(dtype) for b in biases])
    truth = sum(np.logaddexp(0, b.astype(dtype).astype(float)).sum() for b in biases)
    own = {"v": expit(biases[0]), "h1": expit(biases[1])}
    found = boltz.ais(model, 100, "sm2008", seed=1, base=own)
    assert np.abs(found.log_weights - truth).max() < {np.float32: 1e-3, np.float64: 1e-9}[dtype]
    assert found.ess == pytest.approx(100, rel=1e-4) and found.trusted and found.steps == 14500


def test_more_temperatures_bring_the_weights_together() -> None:
    table = SMALL["dbm2"]
    spread = [
        boltz.ais(machine_of(table), 200, betas, seed=1, base=rates_of(table)).ess for betas in (1, 10, 100, 1000)
    ]
    assert spread == sorted(spread) and spread[-1] > 195 > spread[0] + 50


def test_schedules() -> None:
    assert annealed.schedule(4).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert annealed.schedule(np.int64(1)).tolist() == [0, 1]
    assert annealed.schedule([0, 0.3, 1]).tolist() == [0, 0.3, 1]
    values = annealed.schedule("sm2008")
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


def test_base_rates_by_layer_from_rows_from_training_and_from_a_pilot() -> None:
    table = SMALL["dbm2"]
    model, rates = machine_of(table), rates_of(table)
    assert all((base_rates(model, rates, 0)[n] == rates[n]).all() for n in rates)
    trained = BoltzmannMachine(model.graph, model.arena, rates)
    assert all((base_rates(trained, None, 0)[n] == rates[n]).all() for n in rates)
    rows = np.array([[1, 0, 1], [1, 0, 0]])
    found = base_rates(model, rows, 0)
    assert found["v"] == pytest.approx([0.75, 0.25, 0.5])
    means = boltz.mean_field(model, rows)
    assert found["h1"] == pytest.approx((means["h1"].sum(axis=0) + 1) / 4)
    assert base_rates(trained, rows, 0)["v"] == pytest.approx([0.75, 0.25, 0.5])
    pilot = base_rates(model, None, 0)
    assert list(pilot) == ["v", "h1", "h2"] and all(((r > 0) & (r < 1)).all() for r in pilot.values())


def test_the_pilot_finds_the_activities_of_the_machine() -> None:
    """100 chains, drawn a little to 1/2: within 6 standard deviations (0.05 each) and the pull of 0.01 of the truth."""
    table = Table.random([4, 4], 0.5, 61)
    moments = oracle.moments(table)
    pilot = base_rates(machine_of(table), None, 3)
    for n in table.layers:
        tail = np.abs(pilot[n] * 102 - 1 - 100 * moments[f"layer/{n}/bias"])
        assert (tail < 6 * np.sqrt(100 * 0.25)).all()


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"v": np.full(3, 0.5)}, "base must hold rates of layer h1, got v"),
        ({"v": np.full(3, 0.5), "h1": np.full(2, 0.5), "h2": np.full(2, 0.5)}, r"base\['h1'\] must have shape \(3\)"),
        ({"v": np.zeros(3), "h1": np.full(3, 0.5), "h2": np.full(2, 0.5)}, r"base\['v'\] must lie strictly between"),
        ({"v": np.ones(3), "h1": np.full(3, 0.5), "h2": np.full(2, 0.5)}, r"base\['v'\] must lie strictly between"),
        (np.zeros((4, 2)), r"base must have shape \(any, 3\), got \(4, 2\)"),
        (np.full((4, 3), 2.0), r"base must lie in \[0, 1\]"),
        (3, "base must have shape"),
        ("v", "base must be an array"),
    ],
)
def test_bases_that_do_not_fit_are_refused(base: Any, message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        boltz.ais(machine_of(SMALL["dbm2"]), 10, 5, base=base)


def test_results_are_reproducible_and_depend_on_the_seed() -> None:
    model = machine_of(SMALL["dbm2"])
    first, again, other = (boltz.ais(model, 200, 20, seed=seed).log_weights for seed in (1, 1, 2))
    assert (first == again).all() and not (first == other).any()
    few = boltz.ais(model, 40, 20, seed=1).log_weights
    assert np.abs(few - first[:40]).max() < 1e-9, "a chain depends on how many run beside it"


def test_progress_is_told_and_ends_at_the_last_temperature() -> None:
    seen: list[tuple[int, int]] = []
    boltz.ais(machine_of(SMALL["one"]), 5, 600, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(250, 600), (500, 600), (600, 600)]
