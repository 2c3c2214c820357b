"""Whether intervals cover as often as they say: a test with a stated false-alarm rate, and what it can detect."""

from __future__ import annotations

from scipy.stats import binom
from support import stats

LOW, HIGH = 0.92, 0.98  # what a nominal 95 % interval of a trusted estimate may cover
ROUNDING = 1e-6  # relative to log Z: an interval without width that is so near holds the truth


def miss(value: float, error: float, truth: float) -> float:
    """|value - truth| in standard errors; 0 within rounding."""
    off, slack = abs(value - truth), ROUNDING * max(1.0, abs(truth))
    return 0.0 if off <= slack else off / max(error, slack)


def beyond(interval: tuple[float, float], truth: float) -> float:
    """How far the truth lies outside an interval, in half its width; 0 inside and within rounding."""
    (low, high), slack = interval, ROUNDING * max(1.0, abs(truth))
    outside = max(low - truth, truth - high)
    return 0.0 if outside <= slack else outside / max((high - low) / 2, slack)


def coverage_test(hits: int, trials: int) -> float:
    """p-value (two one-sided binomial tests) that intervals cover the truth with a probability from LOW to HIGH."""
    return float(min(1.0, 2 * min(binom.cdf(hits, trials, LOW), binom.sf(hits - 1, trials, HIGH))))


def low_coverage_test(hits: int, trials: int) -> float:
    """p-value (one-sided binomial test) that intervals cover the truth with a probability of at least LOW."""
    return float(binom.cdf(hits, trials, LOW))


def detectable_low_coverage(trials: int, effect: float) -> bool:
    """Whether low_coverage_test catches intervals that cover with probability effect."""
    return bool(binom.cdf(binom.ppf(stats.ALPHA, trials, LOW) - 1, trials, effect) >= stats.POWER)


def detectable_coverage(trials: int, effect: float) -> bool:
    """Whether coverage_test catches intervals that cover with probability effect."""
    low = binom.ppf(stats.ALPHA / 2, trials, LOW) - 1
    high = binom.isf(stats.ALPHA / 2, trials, HIGH) + 1
    return bool(binom.cdf(low, trials, effect) + binom.sf(high - 1, trials, effect) >= stats.POWER)
