"""Statistical tests with a stated false-alarm rate, each beside the arithmetic that says what it can detect.

A test returns a p-value; accept(p, fault) fails below alpha and names the fault that the test is there for. A companion
detectable_... computes from the sample size alone, before any draw, whether an effect is caught with power >= POWER
(after tensorflow probability's statistical testing: the alarm rate and the smallest visible error are two assertions).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]

ALPHA = 1e-6
POWER = 0.999
SMALLEST = 20.0  # expected count below which cells of a chi-square test are pooled


def accept(p_value: float, fault: str, alpha: float = ALPHA) -> None:
    """Fail if p_value is below the false-alarm rate alpha; fault says what such a result means."""
    assert 0 <= p_value <= 1, f"{p_value} is not a p-value"
    assert p_value >= alpha, f"p = {p_value:.2e} < {alpha:.0e}: {fault}"


def pool(expected: Floats, smallest: float = SMALLEST) -> NDArray[np.int64]:
    """Cell number of each state, small expectations put together until every cell expects at least smallest."""
    group = np.zeros(len(expected), np.int64)
    total, cell = 0.0, 0
    for i in np.argsort(expected, kind="stable"):
        if total >= smallest:
            total, cell = 0.0, cell + 1
        group[i] = cell
        total += expected[i]
    if total < smallest and cell > 0:
        group[group == cell] = cell - 1
    return group


def chi_square(counts: Any, probabilities: Any) -> float:
    """p-value of Pearson's test that counts (states,) come from probabilities (states,), small cells pooled.

    A count where the probability is zero gives 0.
    """
    counts, p = np.asarray(counts, np.float64), np.asarray(probabilities, np.float64)
    assert counts.shape == p.shape and abs(p.sum() - 1) < 1e-9 and p.min() >= 0 and counts.sum() > 0
    if counts[p == 0].any():
        return 0.0
    group = pool(counts.sum() * p)
    assert group.max() > 0, "too few draws: every state falls into one cell"
    found, expected = np.bincount(group, counts), np.bincount(group, counts.sum() * p)
    return float(stats.chi2.sf(((found - expected) ** 2 / expected).sum(), group.max()))


def detectable_chi_square(draws: int, probabilities: Any, effect: Any, alpha: float = ALPHA) -> bool:
    """Whether chi_square tells draws from the distribution effect (states,) apart from probabilities (states,)."""
    p, q = np.asarray(probabilities, np.float64), np.asarray(effect, np.float64)
    assert p.shape == q.shape and abs(q.sum() - 1) < 1e-9
    group = pool(draws * p)
    freedom, cell_p, cell_q = int(group.max()), np.bincount(group, p), np.bincount(group, q)
    if freedom == 0:
        return False
    shift = draws * float(((cell_q - cell_p) ** 2 / cell_p).sum())
    return bool(stats.ncx2.sf(stats.chi2.isf(alpha, freedom), freedom, shift) >= POWER)


def binomial_table(successes: Any, trials: int, probabilities: Any) -> float:
    """p-value of the smallest of many two-sided binomial tests, one a cell, corrected for their number.

    successes and probabilities have any equal shape. The correction is that of independent cells, which at small
    p-values equals Bonferroni's.
    """
    k, p = np.asarray(successes, np.float64), np.asarray(probabilities, np.float64)
    assert k.shape == p.shape and k.min() >= 0 and k.max() <= trials
    tail = np.minimum(stats.binom.cdf(k, trials, p), stats.binom.sf(k - 1, trials, p))
    smallest = min(1.0, 2 * float(tail.min()))
    return 1.0 if smallest == 1 else float(-np.expm1(k.size * np.log1p(-smallest)))


def detectable_binomial(trials: int, probability: float, effect: float, cells: int = 1, alpha: float = ALPHA) -> bool:
    """Whether binomial_table with this many cells catches one cell whose probability is effect instead."""
    tail = alpha / cells / 2
    low = stats.binom.ppf(tail, trials, probability) - 1
    high = stats.binom.isf(tail, trials, probability) + 1
    caught = stats.binom.cdf(low, trials, effect) + stats.binom.sf(high - 1, trials, effect)
    return bool(caught >= POWER)


def mean_test(sample: Any, mean: float, variance: float) -> float:
    """p-value (normal, two-sided) that independent draws (n,) have this mean, their variance being known exactly."""
    x = np.asarray(sample, np.float64)
    assert x.ndim == 1 and variance > 0
    return float(2 * stats.norm.sf(abs(x.mean() - mean) / np.sqrt(variance / len(x))))


def detectable_mean(draws: int, effect: float, variance: float, alpha: float = ALPHA) -> bool:
    """Whether mean_test catches a mean that is off by effect."""
    return _normal_power(abs(effect) / np.sqrt(variance / draws), alpha)


def ratio_test(value: float, truth: float, standard_error: float, chains: int) -> float:
    """p-value (Student, two-sided) that an estimate exp(value) is unbiased for exp(truth), both in nats.

    standard_error is that of value by the delta method, so exp(value) errs by exp(value) times it; the unbiased ratio
    exp(value - truth) is compared with 1, not the logarithm, which is biased.
    """
    assert standard_error > 0 and chains > 1
    ratio = np.exp(value - truth)
    return float(2 * stats.t.sf(abs(ratio - 1) / (ratio * standard_error), chains - 1))


def detectable_ratio(effect: float, standard_error: float, alpha: float = ALPHA) -> bool:
    """Whether ratio_test catches an estimate whose value is off by effect nats."""
    return _normal_power(min(np.expm1(abs(effect)), -np.expm1(-abs(effect))) / standard_error, alpha)


def correlation_test(x: Any, y: Any) -> float:
    """p-value (normal, two-sided) that two samples (n,) of independent pairs are uncorrelated."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    assert x.shape == y.shape and x.ndim == 1 and x.std() > 0 and y.std() > 0
    return float(2 * stats.norm.sf(abs(np.corrcoef(x, y)[0, 1]) * np.sqrt(len(x))))


def detectable_correlation(draws: int, effect: float, alpha: float = ALPHA) -> bool:
    """Whether correlation_test catches a correlation of this size."""
    return _normal_power(abs(effect) * np.sqrt(draws), alpha)


def uniform_test(p_values: Any) -> float:
    """p-value of the Kolmogorov-Smirnov test that p_values (n,) are uniform on (0, 1)."""
    return float(stats.kstest(np.asarray(p_values, np.float64), "uniform").pvalue)


def smallest_of(p_values: Any) -> float:
    """One p-value from several, by Bonferroni: the smallest times their number."""
    return float(min(1.0, np.size(p_values) * np.min(p_values)))


def _normal_power(shift: float, alpha: float) -> bool:
    return bool(stats.norm.sf(stats.norm.isf(alpha / 2) - shift) >= POWER)
