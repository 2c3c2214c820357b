"""Catches log-space arithmetic that differs from exact rationals and closed forms, far outside the range of exp."""

from __future__ import annotations

from fractions import Fraction
from math import log

import numpy as np
import pytest
from scipy import stats as stats_of

from boltz import numerics

WEIGHTS = [Fraction(n, 7) for n in (3, 1, 4, 1, 5, 9, 2, 6)]
LOGS = np.array([log(w) for w in WEIGHTS])
SHIFTS = pytest.mark.parametrize("shift", [0.0, 1e4, -1e4, 700.0, -800.0])


@SHIFTS
def test_the_log_of_a_mean(shift: float) -> None:
    expected = log(sum(WEIGHTS) / len(WEIGHTS)) + shift
    assert numerics.log_mean_exp(LOGS + shift) == pytest.approx(expected, rel=1e-13)
    assert numerics.log_mean_exp((LOGS + shift).tolist()) == pytest.approx(expected, rel=1e-13)


def test_the_log_of_a_mean_along_an_axis() -> None:
    table = LOGS.reshape(2, 4)
    rows = [log(sum(WEIGHTS[4 * i : 4 * i + 4]) / 4) for i in range(2)]
    assert numerics.log_mean_exp(table, axis=1) == pytest.approx(rows, rel=1e-13)
    assert numerics.log_mean_exp(table.astype(np.float32), axis=0).dtype == np.float64
    assert numerics.log_mean_exp(table) == pytest.approx(numerics.log_mean_exp(LOGS), rel=1e-14)


@SHIFTS
def test_effective_sample_size(shift: float) -> None:
    expected = float(sum(WEIGHTS) ** 2 / sum(w * w for w in WEIGHTS))
    assert numerics.effective_sample_size(LOGS + shift) == pytest.approx(expected, rel=1e-11)
    assert numerics.effective_sample_size(np.full(9, shift)) == pytest.approx(9, rel=1e-11)
    assert numerics.effective_sample_size(np.array([shift, shift - 800, shift - 900])) == pytest.approx(1, rel=1e-11)


@SHIFTS
def test_the_error_of_a_log_mean(shift: float) -> None:
    """sd(w) / mean(w) / sqrt(n), sd with n - 1."""
    count, mean = len(WEIGHTS), sum(WEIGHTS) / len(WEIGHTS)
    variance = sum((w - mean) ** 2 for w in WEIGHTS) / (count - 1)
    expected = float(variance / mean**2 / count) ** 0.5
    assert numerics.log_mean_error(LOGS + shift) == pytest.approx(expected, rel=1e-10)
    assert numerics.log_mean_error(np.array([shift])) == np.inf


def test_softplus_without_overflow_and_without_loss() -> None:
    x = np.array([-1e4, -800, -40, -1, 0, 1, 40, 800, 1e4])
    expected = [0, 0, np.exp(-40), np.log1p(np.exp(-1)), np.log(2), 1 + np.log1p(np.exp(-1)), 40, 800, 1e4]
    assert numerics.softplus(x) == pytest.approx(expected, rel=1e-14, abs=1e-300)
    assert numerics.softplus(x.astype(np.float32)).dtype == np.float32


def test_logit() -> None:
    p = np.array([1e-300, 1e-7, 0.25, 0.5, 0.75, 1 - 1e-7])
    expected = [-300 * log(10), log(1e-7) + 1e-7, -log(3), 0, log(3), -log(1e-7) - 1e-7]
    assert numerics.logit(p) == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.7, 1.2])
def test_the_shape_of_a_pareto_tail_is_found(shape: float) -> None:
    """Mean over 40 samples of 4,000 draws; the fit scatters by about 0.1, its prior draws it to 1/2 by a twentieth.

    So the mean is within 0.15 of the truth but for a probability below 1e-6 (5 errors of 0.016, and the prior).
    Catches a sign, a tail of the wrong size, and weights taken for their logarithms.
    """
    draws = stats_of.genpareto.rvs(shape, size=(40, 4000), random_state=np.random.default_rng(3))
    assert abs(numerics.pareto_shape(np.log1p(draws)).mean() - shape) < 0.15


def test_tails_that_cannot_be_fitted() -> None:
    assert numerics.pareto_shape(np.zeros((2, 100))).tolist() == [-np.inf, -np.inf]
    assert numerics.pareto_shape(np.repeat(np.arange(4.0), 50)[None]).tolist() == [-np.inf]
    assert numerics.pareto_shape(np.zeros((1, 24))).tolist() == [np.inf]
