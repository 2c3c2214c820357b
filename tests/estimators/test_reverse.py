"""Catches errors in annealing downwards, in the exact draws that it starts from, and in annealing with resampling.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6 unless it says otherwise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import annealing
from numpy.typing import NDArray
from oracles import chains, enumeration
from oracles.enumeration import Table
from scipy.special import logsumexp
from scipy.stats import binom, chi2
from support import calibration, stats
from support.machines import SMALL, base_of, machine_of, rates_of

import boltz
from boltz import numerics, targets
from boltz.estimators import reverse_ais
from boltz.estimators.exact import drawn_class
from boltz.rng import Key
from boltz.sampling.annealing import anneal, systematic

BETAS = (0.0, 0.1, 0.35, 0.6, 0.8, 1.0)
Floats = NDArray[np.float64]


def path_of(table: Table, betas: Any = BETAS) -> chains.Path:
    """The enumerated path over the colour class that boltz holds."""
    held = targets.path_to(machine_of(table), rates_of(table)).held
    return chains.reduced_path(table, base_of(table), betas, held)


# ---------------------------------------------------------------- downwards


@pytest.mark.parametrize(("name", "count"), [("rbm", 20_000), ("wide", 20_000), ("dbm2", 60_000), ("dbm3", 60_000)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reverse_weights_have_their_exact_mean_and_spread(name: str, count: int, dtype: Any) -> None:
    """Mean of weights relative to 1 / Z, and for one machine their mean square, from exact draws of the machine.

    Catches a bias of 10 % of 1 / Z, and chains that do not move, whose mean is right but not their spread.
    """
    table = SMALL[name]
    path = path_of(table)
    log_moment = {p: chains.reverse_ais_log_moment(path, p) + p * path.log_ratio for p in (1, 2, 4)}
    assert log_moment[1] == pytest.approx(0, abs=1e-10)
    found = reverse_ais.reverse_ais(machine_of(table, dtype), None, count, np.array(BETAS), 3, rates_of(table))
    assert (found.kind, found.steps, found.chains) == ("upper", len(BETAS) - 1, count)
    inverse = np.exp(enumeration.log_z(table) - found.log_weights)
    second = float(np.exp(log_moment[2]))
    stats.accept(stats.mean_test(inverse, 1.0, second - 1), "reverse weights do not have mean 1 / Z")
    assert stats.detectable_mean(count, 0.1, second - 1)
    assert found.value == pytest.approx(-float(logsumexp(-found.log_weights) - np.log(count)), abs=1e-9)
    if name == "rbm":
        fourth = float(np.exp(log_moment[4])) - second**2
        stats.accept(stats.mean_test(inverse**2, second, fourth), "reverse weights spread differently")
        still = chains.Path(path.log_f, path.forward, [np.eye(len(m)) for m in path.backward])
        frozen = float(np.exp(chains.reverse_ais_log_moment(still, 2) + 2 * path.log_ratio))
        assert stats.detectable_mean(count, frozen - second, fourth)


@pytest.mark.parametrize("name", ["dbm2", "dbm2 tall", "dbm3", "strong"])
def test_forward_is_below_and_reverse_above_in_expectation(name: str) -> None:
    """1,000 groups of 5 chains each; both one-sided, and catch an excess of 0.2 nats.

    That the bounds are strict shows the other way: with their signs turned, both tests fail.
    """
    table, groups = SMALL[name], 1000
    model, base, truth = machine_of(table), rates_of(table), enumeration.log_z(table)
    up = boltz.ais(model, 5 * groups, np.array(BETAS), 5, base).log_weights.reshape(groups, 5)
    down = reverse_ais.reverse_ais(model, None, 5 * groups, np.array(BETAS), 5, base).log_weights.reshape(groups, 5)
    lower = logsumexp(up, axis=1) - np.log(5)
    upper = -(logsumexp(-down, axis=1) - np.log(5))
    stats.accept(annealing.bound_test(lower, truth), "forward annealing is no lower bound")
    stats.accept(annealing.bound_test(-upper, -truth), "reverse annealing is no upper bound")
    assert annealing.detectable_excess(lower, 0.2) and annealing.detectable_excess(upper, 0.2)
    assert max(annealing.bound_test(-lower, -truth), annealing.bound_test(upper, truth)) < stats.ALPHA


def test_starts_of_reverse_runs_and_what_they_certify() -> None:
    """Given states are kept as they are; only exact ones, or those that the caller calls exact, make a bound."""
    model = machine_of(SMALL["dbm2"])
    start = drawn_class(model, 50, seed=4)
    before = {n: x.copy() for n, x in start.items()}
    claimed = reverse_ais.reverse_ais(model, start, betas=9, seed=4, exact_start=True)
    own = reverse_ais.reverse_ais(model, None, 50, 9, seed=4)
    plain = reverse_ais.reverse_ais(model, start, betas=9, seed=4)
    assert (claimed.kind, own.kind, plain.kind) == ("upper", "upper", "none")
    assert (claimed.log_weights == own.log_weights).all() and (plain.log_weights == own.log_weights).all()
    assert all((start[n] == x).all() for n, x in before.items())
    assert "diagnostic" in plain.method and "diagnostic" not in own.method
    more = {n: np.zeros((50, u)) for n, u in model.graph.units.items()} | start
    assert (reverse_ais.reverse_ais(model, more, betas=9, seed=4).log_weights == own.log_weights).all()


@pytest.mark.parametrize(
    ("start", "name"),
    [
        ({"h1": np.zeros((0, 3))}, "start"),
        ({"h1": np.zeros((4, 2))}, r"start\['h1'\]"),
        ({"h1": np.full((4, 3), 0.5)}, r"start\['h1'\]"),
        ({"v": np.zeros((4, 3))}, "start"),
        (np.zeros((4, 3)), "start"),
    ],
)
def test_starts_that_are_no_states_are_refused(start: Any, name: str) -> None:
    with pytest.raises(boltz.InputError, match=rf"^{name} must "):
        reverse_ais.reverse_ais(machine_of(SMALL["dbm2"]), start, betas=5)


def test_large_machines_have_no_exact_start() -> None:
    with pytest.raises(boltz.InputError, match="at most 20 units"):
        reverse_ais.reverse_ais(boltz.rbm(21, 21), betas=5)


@pytest.mark.parametrize("name", ["rbm", "wide", "dbm2", "dbm4", "ring", "strong"])
def test_exact_samples_follow_the_machine(name: str) -> None:
    """Chi-square of 30,000 draws of the smaller class; catches weights that are a fifth too strong."""
    table, count = SMALL[name], 30_000
    state = drawn_class(machine_of(table, np.float32), count, seed=8)
    names = tuple(state)
    law = enumeration.marginal(table, names)
    stats.accept(stats.chi_square(enumeration.counts(table, state, names), law), "exact samples follow another law")
    strong = Table(table.layers, {pair: 1.2 * w for pair, w in table.edges.items()}, table.biases)
    assert stats.detectable_chi_square(count, law, enumeration.marginal(strong, names)) or name == "strong"
    sizes = [sum(table.layers[n] for n in colour) for colour in enumeration.colours(table)]
    assert sum(table.layers[n] for n in names) == min(sizes)


# ---------------------------------------------------------------- resampling


def test_systematic_resampling_has_its_exact_counts() -> None:
    """Over a fine grid of offsets each chain occurs n w / sum w times on average, and never a whole time off."""
    log_w = np.random.default_rng(3).normal(0, 2, 12) + 700
    share = np.exp(log_w - logsumexp(log_w)) * len(log_w)
    offsets = (np.arange(2000) + 0.5) / 2000
    counts = np.array([np.bincount(systematic(log_w, u), minlength=12) for u in offsets])
    assert (counts.sum(axis=1) == 12).all()
    assert np.abs(counts - share).max() < 1
    np.testing.assert_allclose(counts.mean(axis=0), share, atol=2 / 2000)
    assert (systematic(np.full(9, -3.0), 0.5) == np.arange(9)).all()
    assert (systematic(np.array([0.0, -2000.0, -2000.0]), 0.999) == 0).all()


@pytest.mark.parametrize("resample", [0.0, 0.5, 1.0])
def test_ancestors_and_collected_weights_are_kept(resample: float) -> None:
    """Labels travel with the chains: eve names them, and the trace is the log-weight since the last resampling."""
    gains = np.random.default_rng(5).normal(0, 0.7, (8, 40))
    state = {"label": np.arange(40.0)[:, None]}
    found = anneal(annealing.Labels(gains), state, np.linspace(0, 1, 9), Key(1, 2), resample)
    assert (found.eve == state["label"][:, 0]).all()
    assert (found.resamplings > 1) == (resample > 0) and (found.collected != 0) == (resample > 0)
    assert found.trace.shape == (9, 40) and (found.betas == np.linspace(0, 1, 9)).all()
    if resample == 1.0:  # at every step but the last
        assert found.resamplings == 7
        np.testing.assert_allclose(found.log_weights, gains[7, found.eve], atol=1e-12)
    if resample == 0.0:
        np.testing.assert_allclose(found.log_weights, gains.sum(axis=0), atol=1e-12)
        np.testing.assert_allclose(found.trace, np.concatenate([np.zeros((1, 40)), gains.cumsum(axis=0)]), atol=1e-12)


def test_resampled_annealing_is_unbiased_and_its_error_is_safe() -> None:
    """400 runs of 200 chains that resample about three times: mean of the estimate over Z, errors against the spread.

    Catches a bias of 5 % of Z. The error of families is that of multinomial resampling, which systematic resampling
    undercuts: intervals must cover with 0.92 at least, which catches the plain error of the last weights (they cover
    with 0.4); and the error must be below 1.5 times the right one, which catches one that is twice as large.
    """
    table, runs = SMALL["strong"], 400
    model, base, truth = machine_of(table, np.float32), rates_of(table), enumeration.log_z(table)
    found = [boltz.ais(model, 200, np.linspace(0, 1, 9) ** 1.5, seed, base, 0.9) for seed in range(runs)]
    ratio = np.exp([f.value - truth for f in found])
    spread, errors = float(ratio.var(ddof=1)), np.array([f.standard_error for f in found])
    stats.accept(stats.mean_test(ratio, 1.0, spread), "resampled annealing is biased")
    assert stats.detectable_mean(runs, 0.05, spread)
    hits = sum(f.interval[0] <= truth <= f.interval[1] for f in found)
    stats.accept(float(binom.cdf(hits, runs, calibration.LOW)), f"intervals cover {hits / runs:.3f}")
    most = (errors.mean() / 1.5) ** 2
    stats.accept(float(chi2.cdf((runs - 1) * spread / most, runs - 1)), "the error of families is far too large")
    assert binom.cdf(int(binom.isf(1e-3, runs, 0.75)), runs, calibration.LOW) < stats.ALPHA
    assert chi2.cdf(chi2.isf(1e-3, runs - 1) * (1.5 / 2) ** 2, runs - 1) < stats.ALPHA
    assert all(f.kind == "lower" and f.method.endswith(", resampled") for f in found)


def test_family_error_without_resampling_is_the_delta_method() -> None:
    log_w = np.random.default_rng(7).normal(400, 1.3, 50)
    error, ess = numerics.family_error(log_w, np.arange(50))
    assert error == pytest.approx(numerics.log_mean_error(log_w), rel=1e-10)
    assert ess == pytest.approx(numerics.effective_sample_size(log_w), rel=1e-10)
    assert numerics.family_error(np.zeros(1), np.zeros(1, np.int64)) == (np.inf, 1.0)


def test_family_error_by_hand() -> None:
    """Weights 1, 1, 2 in families {0, 0, 2} after one resampling: shares 1/2, 1/2."""
    error, ess = numerics.family_error(np.log([1.0, 1, 2]), np.array([0, 0, 2]))
    assert ess == pytest.approx(2)
    assert error == pytest.approx(np.sqrt(1 - 1.5 * 0.5))  # families as single weights, since 1.5^2 / 2 exceeds 1
    error, ess = numerics.family_error(np.log([1.0, 1, 2]), np.array([1, 1, 1]))
    assert (error, ess) == (1.0, pytest.approx(1)), "one family knows nothing of its error"


@pytest.mark.parametrize("resample", [-0.1, 1.5, np.nan, "all"])
def test_bad_shares_are_refused(resample: Any) -> None:
    with pytest.raises(boltz.InputError, match=r"^resample must "):
        boltz.ais(machine_of(SMALL["one"]), 10, 5, resample=resample)


@pytest.mark.parametrize("threads", [2, 3])
def test_results_do_not_depend_on_threads(threads: int) -> None:
    model, before = machine_of(SMALL["strong"], np.float32), boltz.threads()

    def results() -> list[Floats]:
        up = boltz.ais(model, 300, 30, 1, resample=0.9)
        return [up.log_weights, up.path, reverse_ais.reverse_ais(model, None, 300, 30, 1).log_weights]

    try:
        boltz.threads(1)
        one = results()
        boltz.threads(threads)
        many = results()
    finally:
        boltz.threads(before)
    assert all((a == b).all() for a, b in zip(one, many, strict=True))
