"""Catches statistical tests that are not uniform under the null, or weaker than their companions say."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom
from support import stats

KS_ALPHA = 1e-4
REPEATS = 2_000
CELLS = np.random.default_rng(5).dirichlet(np.full(40, 0.7))
FEW = np.array([0.1, 0.2, 0.7])
TILTED = 0.97 * CELLS + 0.03 / 40
TABLE = np.linspace(0.1, 0.9, 12).reshape(3, 4)  # cell 7 holds 0.609
RAISED, LOWERED = (np.where(np.arange(12).reshape(3, 4) == 7, TABLE + shift, TABLE) for shift in (0.02, -0.02))

Draw = Callable[[np.random.Generator, int], float]


def draw_chi_square(rng: np.random.Generator, n: int, p: np.ndarray = CELLS) -> float:
    return stats.chi_square(rng.multinomial(n, p), CELLS)


def draw_few_cells(rng: np.random.Generator, n: int) -> float:
    return stats.chi_square(rng.multinomial(n, FEW), FEW)


def draw_binomial(rng: np.random.Generator, n: int, p: np.ndarray = TABLE) -> float:
    return stats.binomial_table(rng.binomial(n, p), n, TABLE)


def draw_mean(rng: np.random.Generator, n: int, mean: float = 0.5) -> float:
    return stats.mean_test(rng.uniform(size=n) + (mean - 0.5), 0.5, 1 / 12)


def draw_ratio(rng: np.random.Generator, n: int, value: float = 0.0) -> float:
    weights = np.exp(rng.normal(-0.045, 0.3, n))
    error = weights.std(ddof=1) / weights.mean() / np.sqrt(n)
    return stats.ratio_test(float(np.log(weights.mean())) + value, 0.0, error, n)


def draw_correlation(rng: np.random.Generator, n: int, shared: float = 0.0) -> float:
    x = rng.random(n) < 0.3
    y = np.where(rng.random(n) < shared, x, rng.random(n) < 0.3)
    return stats.correlation_test(x, y)


@pytest.mark.parametrize(
    ("test", "draws"),
    [
        (draw_chi_square, 20_000),
        (draw_few_cells, 20_000),
        (draw_binomial, 200_000),
        (draw_mean, 200),
        (draw_ratio, 1_000),
        (draw_correlation, 2_000),
    ],
)
def test_p_values_are_uniform_under_the_null(test: Draw, draws: int) -> None:
    """Catches a wrong null law: degrees of freedom, a one-sided tail, a lost correction. KS, alpha 1e-4."""
    rng = np.random.default_rng(11)
    found = [test(rng, draws) for _ in range(REPEATS)]
    stats.accept(stats.uniform_test(found), "the p-values are not uniform", KS_ALPHA)


def test_the_uniform_test_sees_bent_p_values() -> None:
    u = np.random.default_rng(3).random(REPEATS)
    stats.accept(stats.uniform_test(u), "uniform draws refused", KS_ALPHA)
    assert stats.uniform_test(u**1.25) < KS_ALPHA
    assert stats.uniform_test(u / 2) < KS_ALPHA


def test_the_chi_square_tail_is_honest_where_cells_are_small() -> None:
    """Catches pooling that leaves cells too small for the chi-square law: a rate above twice the nominal 1e-3."""
    rng = np.random.default_rng(17)
    uneven = rng.dirichlet(np.full(200, 0.3))
    alarms = sum(stats.chi_square(rng.multinomial(5_000, uneven), uneven) < 1e-3 for _ in range(4_000))
    stats.accept(float(binom.sf(alarms - 1, 4_000, 2e-3)), "too many false alarms")


PLANTED: list[tuple[Callable[[int], bool], Draw]] = [
    (lambda n: stats.detectable_chi_square(n, CELLS, TILTED), lambda rng, n: draw_chi_square(rng, n, TILTED)),
    (lambda n: stats.detectable_binomial(n, 0.609, 0.629, 12), lambda rng, n: draw_binomial(rng, n, RAISED)),
    (lambda n: stats.detectable_binomial(n, 0.609, 0.589, 12), lambda rng, n: draw_binomial(rng, n, LOWERED)),
    (lambda n: stats.detectable_mean(n, 0.02, 1 / 12), lambda rng, n: draw_mean(rng, n, 0.52)),
    (lambda n: stats.detectable_ratio(0.05, 0.3 / np.sqrt(n)), lambda rng, n: draw_ratio(rng, n, 0.05)),
    (lambda n: stats.detectable_correlation(n, 0.02), lambda rng, n: draw_correlation(rng, n, 0.02)),
]


@pytest.mark.parametrize(("detectable", "draw"), PLANTED)
def test_planted_effects_are_caught_from_the_stated_size_on(detectable: Callable[[int], bool], draw: Draw) -> None:
    """The smallest sample that detectable_... accepts catches the effect in 200 of 200, and a quarter of it does not.

    With power 0.999 more than five misses in 200 happen with probability 5e-8.
    """
    draws = 100
    while not detectable(draws):
        draws = int(1.1 * draws)
    rng = np.random.default_rng(23)
    caught = sum(draw(rng, draws) < stats.ALPHA for _ in range(200))
    assert caught >= 195, f"{caught} of 200 with {draws} draws"
    assert sum(draw(rng, draws // 4) < stats.ALPHA for _ in range(200)) < 160


def test_accept_fails_below_alpha_and_names_the_fault() -> None:
    stats.accept(1e-5, "never")
    with pytest.raises(AssertionError, match="stale layer"):
        stats.accept(1e-7, "stale layer")
    with pytest.raises(AssertionError, match="not a p-value"):
        stats.accept(float("nan"), "never")


def test_impossible_states_are_refused() -> None:
    assert stats.chi_square([50, 49, 1], [0.5, 0.5, 0.0]) == 0
    assert stats.chi_square([50, 50, 0], [0.5, 0.5, 0.0]) == 1
    with pytest.raises(AssertionError, match="too few"):
        stats.chi_square([3, 1], [0.5, 0.5])


def test_probabilities_of_zero_and_one_allow_nothing_else() -> None:
    assert stats.binomial_table([0, 100], 100, [0.0, 1.0]) == 1
    assert stats.binomial_table([1, 100], 100, [0.0, 1.0]) == 0
    assert stats.binomial_table([0, 99], 100, [0.0, 1.0]) == 0


def test_pooled_cells_are_large_enough_and_lose_nothing() -> None:
    expected = np.array([1.0, 30, 2, 3, 50, 15, 4, 0])
    group = stats.pool(expected)
    assert np.bincount(group, expected).min() >= stats.SMALLEST
    assert np.bincount(group, expected).sum() == expected.sum()
    assert len(set(group)) == 3


def test_smallest_of_corrects_for_the_number_of_tests() -> None:
    assert stats.smallest_of([0.2, 0.001]) == pytest.approx(0.002)
    assert stats.smallest_of([0.9, 0.8]) == 1
