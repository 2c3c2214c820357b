"""Quick checks of annealing downwards, resampling, RAISE, tempered transitions, Bennett's ratio, fitted schedules."""

from __future__ import annotations

import numpy as np
from checks import annealing
from oracles import chains, enumeration
from oracles.enumeration import Table
from scipy.special import expit, logsumexp
from support import stats
from support.machines import base_of, machine_of, rates_of

import boltz
from boltz import numerics
from boltz.estimators.exact import exact_samples
from boltz.estimators.replica_exchange import bennett, influences
from boltz.estimators.reverse_ais import reverse_ais
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, anneal, systematic
from boltz.sampling.temperatures import fitted
from boltz.sampling.tempered_transitions import tempered_transition
from boltz.targets import path_to

BETAS = np.array([0.0, 0.5, 1.0])
RBM = Table.random((4, 3), 1.0, 301)
DEEP = Table.random((2, 3, 2), 1.0, 302)


def check_reverse_annealing() -> None:
    """The mean weight of a walk down is 1 / Z within its own error, and its value the log of it; alpha 1e-6."""
    found = reverse_ais(machine_of(RBM), None, 10_000, np.linspace(0, 1, 5), 1, rates_of(RBM))
    assert stats.detectable_ratio(0.08, found.standard_error)
    p = stats.ratio_test(-found.value, -enumeration.log_z(RBM), found.standard_error, 10_000)
    stats.accept(p, "reverse annealing is biased")
    log_mean = logsumexp(-found.log_weights) - np.log(10_000)
    assert abs(found.value + log_mean) < 1e-9, "the value is not that of the mean inverse weight"
    assert found.kind == "upper"


def check_exact_samples() -> None:
    """Chi-square of the states of all layers together; alpha 1e-6."""
    for table in (RBM, DEEP):
        state = exact_samples(machine_of(table), 20_000, 2)
        assert tuple(state) == tuple(table.layers)
        law = enumeration.marginal(table, tuple(state))
        stats.accept(
            stats.chi_square(enumeration.counts(table, state, tuple(state)), law), "exact samples are not exact"
        )


def check_resampling() -> None:
    """Labels that travel with the chains tell their ancestors, and weights start anew at each resampling."""
    gains = np.random.default_rng(3).normal(0, 0.7, (6, 30))
    state = {"label": np.arange(30.0)[:, None]}
    found = anneal(annealing.Labels(gains), state, np.linspace(0, 1, 7), Key(1, 2), 1.0)
    np.testing.assert_array_equal(found.eve, state["label"][:, 0])
    np.testing.assert_allclose(found.log_weights, gains[5, found.eve], atol=1e-12)
    assert found.resamplings == 5
    counts = [np.bincount(systematic(gains[0], u), minlength=30) for u in (np.arange(500) + 0.5) / 500]
    np.testing.assert_allclose(np.mean(counts, axis=0), 30 * np.exp(gains[0] - logsumexp(gains[0])), atol=0.01)


def check_resampled_annealing() -> None:
    """150 runs that resample at every step: the mean estimate over Z, its spread that among the runs; alpha 1e-6."""
    model, base, truth = machine_of(RBM), rates_of(RBM), enumeration.log_z(RBM)
    ratio = np.exp([boltz.ais(model, 40, 4, seed, base, 1.0).value - truth for seed in range(150)])
    assert stats.detectable_mean(150, 0.15, float(ratio.var(ddof=1)))
    stats.accept(stats.mean_test(ratio, 1.0, float(ratio.var(ddof=1))), "resampled annealing is biased")


def check_family_error() -> None:
    """The delta method without resampling; families by their sums, and never below families as single weights."""
    log_w = np.log([4.0, 3, 1])
    error, ess = numerics.family_error(log_w, np.arange(3))
    assert abs(error - numerics.log_mean_error(log_w)) < 1e-12 and abs(ess - 64 / 26) < 1e-12
    many = np.log(np.random.default_rng(4).uniform(0.9, 1.1, 50))
    eve = np.repeat(np.arange(25), 2)
    crowd = float(np.sum(np.exp(logsumexp(many.reshape(25, 2), axis=1) - logsumexp(many)) ** 2))
    error, _ = numerics.family_error(many, eve)
    assert abs(error - np.sqrt(1 - 50 / 49 * (1 - crowd))) < 1e-12
    twice, _ = numerics.family_error(np.zeros(50), np.arange(50) // 10 * 10)
    assert abs(twice - np.sqrt(1 - (50 / 49) * (1 - 0.2))) < 1e-12, "never below that of families as single weights"


def check_raise() -> None:
    """RAISE at every visible state against the annealing model, variances by matrix products; alpha 1e-6."""
    for table in (RBM, DEEP):
        rows = enumeration.bits(table.layers["v"])
        path = chains.reduced_path(table, base_of(table), BETAS, enumeration.colours(table)[0])
        law, variance = annealing.raise_law(table, path, boltz.mean_field(machine_of(table), rows))
        found = boltz.raise_likelihood(machine_of(table), rows, 1500, BETAS, 5, rates_of(table))
        relative = np.exp(found.log_weights) / law[:, None]
        p = [stats.mean_test(r, 1.0, v) for r, v in zip(relative, variance / law**2, strict=True)]
        stats.accept(stats.smallest_of(p), "RAISE is biased for the annealing model")
        assert found.per_row is not None and found.kind == "none"
        np.testing.assert_allclose(found.per_row, np.log(relative.mean(axis=1)) + np.log(law), atol=1e-9)


def check_tempered_transition() -> None:
    """Chi-square after one transition from an exact start; chains that are rejected stay; alpha 1e-6."""
    path = GibbsPath(path_to(machine_of(RBM), rates_of(RBM)))
    held, count = path.density.held, 40_000
    state = enumeration.draw(RBM, count, 6)
    before = {n: state[n].copy() for n in held}
    accepted = tempered_transition(path, state, BETAS, Key(7, 8))
    exact = chains.reduced_path(RBM, base_of(RBM), BETAS, held)
    law, share = annealing.tempered_law(exact)
    late, _ = annealing.tempered_law(exact, late=True)
    assert stats.detectable_chi_square(count, law, late)
    stats.accept(stats.chi_square(enumeration.counts(RBM, state, held), law), "the law of the machine drifts")
    stats.accept(stats.binomial_table(accepted.sum(), count, share), "another share is accepted")
    assert all((state[n][~accepted] == before[n][~accepted]).all() for n in held)


def check_bennett() -> None:
    """The root of its equation, a constant ratio, and influences that add up to zero and follow a small change."""
    generator = np.random.default_rng(9)
    up, down = generator.normal(2, 3, (4, 40)), generator.normal(-1, 2, (4, 40))
    x = bennett(up, down)
    left, right = expit(up - x[:, None]).sum(axis=1), expit(down + x[:, None]).sum(axis=1)
    np.testing.assert_allclose(left, right, rtol=1e-9)
    assert abs(bennett(np.full((1, 3), 4.5), np.full((1, 3), -4.5))[0] - 4.5) < 1e-12
    pull = influences(up.reshape(4, 10, 4), down.reshape(4, 10, 4), x)
    assert np.abs(pull.sum(axis=1)).max() < 1e-10
    more = [np.concatenate([np.repeat(y, 100, axis=1), y.reshape(4, 10, 4)[:, :, 0]], axis=1) for y in (up, down)]
    np.testing.assert_allclose(100 * (bennett(*more) - x), pull[:, 0], atol=0.03 * np.abs(pull).max())


def check_fitted_schedule() -> None:
    """Three times the spread takes three times the steps; gains that never forget count as they add up."""
    basis = np.random.default_rng(1).normal(size=(32, 21))
    basis[:, 0] = 1
    columns = np.linalg.qr(basis)[0][:, 1:].T
    edges, spread = np.linspace(0, 1, 21), np.where(np.arange(20) < 10, 1.0, 3.0)
    values = fitted(edges, spread[:, None] * columns, 2000)
    assert values[0] == 0 and values[-1] == 1 and (np.diff(values) > 0).all()
    assert abs(np.mean(values <= 0.5) - 0.25) < 0.02
    cost = np.sqrt(2 * np.arange(1, 21) - 1)
    slow = fitted(edges, np.repeat(columns[:1], 20, axis=0), 2000)
    assert abs(np.mean(slow <= 0.5) - cost[:10].sum() / cost.sum()) < 0.02
