"""Whether intervals cover as often as they say: a test with a stated false-alarm rate, and what it can detect."""

from __future__ import annotations

import stats
from scipy.stats import binom

LOW, HIGH = 0.92, 0.98  # what a nominal 95 % interval of a trusted estimate may cover


def coverage_test(hits: int, trials: int) -> float:
    """p-value (two one-sided binomial tests) that intervals cover the truth with a probability from LOW to HIGH."""
    return float(min(1.0, 2 * min(binom.cdf(hits, trials, LOW), binom.sf(hits - 1, trials, HIGH))))


def detectable_coverage(trials: int, effect: float) -> bool:
    """Whether coverage_test catches intervals that cover with probability effect."""
    low = binom.ppf(stats.ALPHA / 2, trials, LOW) - 1
    high = binom.isf(stats.ALPHA / 2, trials, HIGH) + 1
    return bool(binom.cdf(low, trials, effect) + binom.sf(high - 1, trials, effect) >= stats.POWER)
