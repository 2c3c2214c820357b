"""Catches trust that likelihoods of rows do not deserve: missed modes, float32 at large weights, words of others."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import logsumexp
from scipy.stats import t as student
from support import calibration, stats
from support.machines import SMALL, change_row, machine_of

import boltz
from boltz.estimators import closed_forms, importance, likelihood, second_look
from boltz.estimators.estimate import error_of_rows, exact, from_log_weights, interval, joint_interval
from boltz.estimators.likelihood import error_of_mean, variational_bound
from boltz.estimators.log_weights import weigher
from boltz.estimators.marginals import MARGINALS
from boltz.estimators.precision import above_zero, accurate
from boltz.estimators.two_sided import difference
from boltz.estimators.weight_means import mean_and_error
from boltz.sampling.gibbs import turned_weights
from boltz.sampling.mixtures import mixture_of

Floats = NDArray[np.float64]


def two_moded(strength: float = 4.0) -> boltz.BoltzmannMachine:
    """A DBM of 4-6-1 units whose hidden units are all off or all on given v = 0, with odds of 1 to 1."""
    up, upper = np.zeros((4, 6)), np.full((6, 1), 2 * strength)
    return boltz.from_arrays([up, upper], [np.zeros(4), np.full(6, -strength), np.full(1, -6 * strength)])


def one_sided(odds: float = 0.0) -> tuple[boltz.HelmholtzMachine, Floats]:
    """A belief net whose posterior given v = 1, 1 has h = 1, 0 and 0, 1 with odds exp(odds), and whose q knows one."""
    net = boltz.sbn([2, 2]).astype(np.float64)
    for values in net.params.values():
        values[...] = 0
    net.params["generative/v/0/weight"][...] = 40.0
    net.params["generative/v/0/bias"][...] = -20.0
    net.params["prior/bias"][...] = [-14.0 + odds, -14.0]
    net.params["recognition/h1/0/bias"][...] = [12.0, -12.0]
    return net, np.ones((1, 2))


# what samples miss


def test_a_dbm_is_measured_in_both_mixture_of_a_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mean field ends all off or all on, log 2 too low; 1,000 samples of a row, within 5 errors (alpha 6e-7).

    Catches fixed points from one start only, and one that is thrown away as found before.
    """
    monkeypatch.setattr(closed_forms, "QUICK_HIDDEN", -1)
    model, x = two_moded(), np.zeros((40, 4))
    truth = boltz.exact_log_z(model).value - 4 * np.log(2)  # all visible states are alike
    found = boltz.log_likelihood(model, x, 0.0, 1000, seed=1)
    assert found.trusted and abs(found.value - truth) < 5 * found.standard_error < 0.05
    assert abs(boltz.log_likelihood(model, x, 0.0).value - truth) > 0.5, "mean field sees one mode"


@pytest.mark.parametrize("name", ["dbm2", "dbm3", "ring"])
def test_the_mixture_is_a_distribution_and_draws_from_itself(name: str) -> None:
    """q sums to 1 over all states, and 40,000 draws follow it (alpha 1e-6); catches a share that is not its own."""
    model = machine_of(SMALL[name])
    v = enumeration.bits(model.units["v"])[-2:]
    q = mixture_of(model, v, 5, boltz.Key.from_seed(2))
    held = model.graph.colours[1]
    every = enumeration.states(SMALL[name], held)
    count = len(every[held[0]])
    log_q = np.array([q.log_density({n: np.repeat(every[n][i][None], 2, axis=0) for n in held}) for i in range(count)])
    assert logsumexp(log_q, axis=0) == pytest.approx(np.zeros(2), abs=1e-9)
    wide = mixture_of(model, v[:1], 5, boltz.Key.from_seed(2)).repeated(40_000)
    state = {n: np.zeros((40_000, model.units[n])) for n in held}
    wide.draw(boltz.Key.from_seed(3), 0, 0, state)
    counts = np.bincount(enumeration.numbers(SMALL[name], state, held), minlength=count)
    stats.accept(stats.chi_square(counts, np.exp(log_q[:, 0])), "draws are not from q")


def test_weights_are_those_of_the_energy() -> None:
    """log p*(v, h) by the machine itself, for float32 and float64; catches a layer left out, or counted twice."""
    for name in ("dbm2", "dbm3", "dbm4", "ring"):
        for dtype, tolerance in ((np.float64, 1e-10), (np.float32, 1e-4)):
            model = machine_of(SMALL[name], dtype)
            rng = np.random.default_rng(4)
            state = {n: rng.integers(0, 2, (30, model.units[n])).astype(dtype) for n in model.graph.units}
            held = {n: state[n] for n in model.graph.colours[1]}
            summed = [n for n in model.graph.colours[0] if n != "v"]
            wanted = -model.marginal_energy({"v": state["v"], **held}, summed)
            found = weigher(model, state["v"], turned_weights(model)).log_density(held)
            assert np.abs(found - wanted).max() < tolerance


@pytest.mark.parametrize("odds", [0.0, 2.0, -2.0])
def test_a_mode_that_recognition_does_not_know_is_found(odds: float) -> None:
    """A third to nine tenths of the posterior is missed, samples look perfect; catches chains that start at q."""
    net, x = one_sided(odds)
    found = boltz.importance_bounds(net, x, (1000,))[0]
    truth = boltz.log_likelihood(net, x)
    assert truth.kind == "exact" and found.value < truth.value - 0.1
    assert found.standard_error < 0.02, "samples look as if they were enough"
    assert not found.trusted and "of the posterior of 1 row" in found.doubts[0]
    counted, _, _ = likelihood.log_marginal(net, x, 1000, 0)
    seen = second_look.look(net, x, counted, 1000, boltz.Key.from_seed(3))
    assert seen.missed == pytest.approx(-np.expm1(found.value - truth.value), abs=0.05)


def test_a_recognition_model_that_is_right_is_trusted() -> None:
    """q knows half of both modes; catches a look that doubts what is well, or compares with single weights."""
    net, x = one_sided()
    net.params["recognition/h1/0/bias"][...] = 0
    rows = np.repeat(x, 70, axis=0)
    found = boltz.importance_bounds(net, rows, (1000,))[0]
    assert found.trusted and abs(found.value - boltz.log_likelihood(net, x).value) < 5 * found.standard_error


def test_what_is_missed_by_chance_is_let_pass() -> None:
    """Twice the share of the largest weight is missed by chance now and then; a larger mass is named, in percent."""
    assert second_look.Look(3, 0.01, 0.01).doubts(0.001) == ()
    assert second_look.Look(3, 0.02, 0.01).doubts(0.1) == ()
    (told,) = second_look.Look(3, 0.2, 0.01).doubts(0.001)
    assert told == "the samples missed 20.00% of the posterior of 3 rows, which annealed chains found"


def test_the_look_depends_on_neither_threads_nor_on_being_repeated() -> None:
    net, x = one_sided()
    before = boltz.threads()
    counted, _, _ = likelihood.log_marginal(net, np.repeat(x, 9, axis=0), 300, 0)
    found = []
    try:
        for threads in (1, 3, 1):
            boltz.threads(threads)
            found.append(second_look.look(net, np.repeat(x, 9, axis=0), counted, 300, boltz.Key.from_seed(3)))
    finally:
        boltz.threads(before)
    assert found[0] == found[1] == found[2]


def test_errors_of_rows_with_few_effective_samples_add_up() -> None:
    """Two good rows in squares, three poor ones added; catches poor rows that hide in the mean."""
    errors, share = np.array([0.3, 0.4, 1.0, 1.0, 1.0]), np.array([0.9, 0.31, 0.29, 0.0, 0.1])
    assert error_of_mean(errors, share) == pytest.approx(np.hypot(0.5, 3.0) / 5)
    assert error_of_mean(errors[:2], share[:2]) == pytest.approx(0.25)
    columns = mean_and_error(np.array([[0.0, -1.0, 2.0], [1.0, 1.0, 1.0]]))
    assert columns.shape == (2, 4) and columns[:, 3].tolist() == [2.0, 1.0]


# float32 at large weights


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("units", [[9, 6], [8, 5, 4]], ids=["rbm", "dbm"])
def test_float32_machines_are_measured_in_float64(units: list[int], scale: float, monkeypatch: Any) -> None:
    """log p(v) of a float32 machine is that of enumeration of every state in float64, to its rounding, and below 0.

    Catches log p* in float32 beside log Z in float64, which is off by 0.1 nats at weights of 1e4 and by 10 at 1e6.
    """
    rng = np.random.default_rng(6)
    weights = [rng.normal(0, scale, shape) for shape in pairwise(units)]
    narrow = boltz.from_arrays(weights, [rng.normal(0, scale, n) for n in units]).astype(np.float32)
    x, wide = enumeration.bits(units[0]), narrow.astype(np.float64)
    largest = scale * 1e-12 * sum(units) ** 2
    for samples in (0, 20):
        if samples:
            monkeypatch.setattr(closed_forms, "QUICK_HIDDEN", -1)
        found, wanted = (boltz.log_likelihood(model, x, samples=samples, seed=3) for model in (narrow, wide))
        assert found.per_row is not None and wanted.per_row is not None
        assert np.abs(found.per_row - wanted.per_row).max() < (1e-3 if samples else largest)
        assert samples or found.per_row.max() < largest
        assert samples or np.abs(found.per_row - enumeration.log_likelihood(Table.of(wide), x)).max() < 10 * largest
        assert not any("above 0" in doubt for doubt in found.doubts)
    bound, same = (variational_bound(model, x) for model in (narrow, wide))
    assert bound.per_row is not None and same.per_row is not None
    assert bound.per_row.max() < largest
    assert scale > 1 or np.abs(bound.per_row - same.per_row).max() < 1e-3


def test_only_large_weights_are_widened() -> None:
    model = boltz.dbm([784, 500, 1000])
    x = np.zeros((2, 784), np.float32)
    assert accurate(model, x)[0] is model and accurate(model.astype(np.float64), x)[0].dtype == np.float64
    model.arena[...] *= 1e4
    wide, rows = accurate(model, x)
    assert wide.dtype == rows.dtype == np.float64


def test_a_log_likelihood_above_zero_is_doubted() -> None:
    """A log Z that is too small by 50; catches no doubt at all, and one that asks for log p* (log Z = 0) raises."""
    model, x = machine_of(SMALL["rbm"]), enumeration.bits(4)
    true = boltz.exact_log_z(model).value
    assert boltz.log_likelihood(model, x, true).trusted and boltz.log_likelihood(model, x, 0.0).trusted
    found = boltz.log_likelihood(model, x, true - 50)
    assert found.doubts == ("log p(v) of binary rows is above 0, which cannot be",)
    noisy = from_log_weights(np.random.default_rng(1).normal(true - 50, 0.4, 500), 10, "made up")
    assert not boltz.log_likelihood(model, x, noisy).trusted
    errors = np.array([0.1, 0.1])
    assert above_zero(np.array([-1.0, 0.5]), errors, exact(3.0, "")) and not above_zero(errors, errors, exact(3.0, ""))


# what an interval is of


def test_the_error_of_rows_by_hand() -> None:
    values = np.array([-1.0, -2.0, -4.0, -5.0])  # variance 10 / 3
    assert error_of_rows(values, np.zeros(4)) == pytest.approx(np.sqrt(10 / 12), rel=1e-12)
    noise = np.array([0.0, 1.0, 1.0, np.inf])
    assert error_of_rows(values, noise) == pytest.approx(np.sqrt((10 / 3 - 0.5) / 4), rel=1e-12)
    assert error_of_rows(values, np.full(4, 9.0)) == 0 and error_of_rows(values[:1], noise[:1]) == np.inf


def test_a_joint_interval_by_hand() -> None:
    """Errors 3 and 4 of 11 and 5 values: joint 5; degrees 625 / (81 / 10 + 256 / 4) = 8.67; of one part, its own."""
    reach = 5 * student.ppf(0.975, 625 / (81 / 10 + 256 / 4))
    assert joint_interval(1.0, (3.0, 11), (4.0, 5)) == pytest.approx((1 - reach, 1 + reach), rel=1e-12)
    assert joint_interval(1.0, (3.0, 11), (0.0, 5)) == pytest.approx(interval(1.0, 3.0, 11), rel=1e-12)
    assert joint_interval(1.0, (0.0, 5)) == (1.0, 1.0)
    assert joint_interval(1.0, (3.0, 11), (np.inf, 1)) == joint_interval(1.0, (1e-9, 1)) == (-np.inf, np.inf)


def test_one_row_tells_nothing_of_others() -> None:
    found = boltz.log_likelihood(machine_of(SMALL["rbm"]), enumeration.bits(4)[:1])
    assert found.standard_error == 0 and found.standard_error_rows == np.inf and found.trusted
    assert found.interval == (-np.inf, np.inf) and found.as_dict()["standard_error_rows"] is None


def test_both_errors_go_into_a_difference() -> None:
    model, x = machine_of(SMALL["rbm"]), enumeration.bits(4)
    log_z = from_log_weights(np.random.default_rng(1).normal(13.0, 0.4, 500), 10, "made up")
    first = boltz.log_likelihood(model, x, 0.0)
    found = difference(first, log_z)
    assert found.standard_error_rows == first.standard_error_rows > 0
    reach = np.hypot(first.interval[1] - first.value, log_z.interval[1] - log_z.value)
    assert found.interval[1] - found.value == pytest.approx(reach, rel=1e-12)


def test_joint_intervals_cover_the_mean_over_all_rows() -> None:
    """1,500 splits of 200 rows each, by samples with noise of half the spread: from 0.92 to 0.98, alpha 1e-6.

    Catches an interval of estimation alone, which covers 0.78.
    """
    rng, trials, rows = np.random.default_rng(8), 1500, 200
    hits = 0
    for _ in range(trials):
        truth, errors = rng.gamma(4, 1, rows), np.full(rows, 1.6)
        per_row = truth + errors * rng.normal(size=rows)
        value, sampled, of_rows = per_row.mean(), error_of_mean(errors, np.ones(rows)), error_of_rows(per_row, errors)
        low, high = joint_interval(value, (sampled, rows * 100), (of_rows, rows))
        hits += low <= 4 <= high
    stats.accept(calibration.coverage_test(hits, trials), f"intervals cover {hits / trials:.3f}")
    assert calibration.detectable_coverage(trials, 0.85)


def test_intervals_of_held_out_rows_cover_the_mean_of_their_pool() -> None:
    """600 splits of 200 of 120,000 rows drawn from an RBM, its log Z by annealing: from 0.92 to 0.98, alpha 1e-6."""
    rng = np.random.default_rng(9)
    model = boltz.from_arrays([rng.normal(0, 1, (10, 6))], [rng.normal(0, 1, n) for n in (10, 6)])
    hidden = boltz.exact_samples(model, 120_000, 1)
    x = boltz.sample(model, 120_000, 1, 2, hidden)["v"]
    pool = boltz.log_likelihood(model, x).value
    hits = 0
    for i in range(600):
        log_z = boltz.exact_log_z(model) if i % 2 else annealed(model, i)
        found = boltz.log_likelihood(model, x[200 * i : 200 * i + 200], log_z)
        hits += found.interval[0] <= pool <= found.interval[1]
    stats.accept(calibration.coverage_test(hits, 600), f"intervals cover {hits / 600:.3f}")
    assert calibration.detectable_coverage(600, 0.8)


def annealed(model: boltz.BoltzmannMachine, seed: int) -> boltz.Estimate:
    """log Z by a hundred chains whose weights are log-normal around the truth, as annealing has them."""
    weights = boltz.exact_log_z(model).value + np.random.default_rng(seed).normal(-0.125, 0.5, 100)
    return from_log_weights(weights, 10, "made up")


def test_importance_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fixed points from random starts, choices and draws belong to the row's number; catches noise of a block."""
    model, x = machine_of(SMALL["dbm3"]), np.random.default_rng(2).integers(0, 2, (50, 2)).astype(float)
    key = boltz.Key.from_seed(1)
    wanted = importance.reduced(model, x, 30, key, lambda log_w: log_w)
    change_row(monkeypatch, MARGINALS, boltz.BoltzmannMachine, rows=9)
    found = importance.reduced(model, x, 30, key, lambda log_w: log_w)
    assert np.abs(found - wanted).max() < 1e-3 and len(np.unique(wanted.round(6))) > 10
