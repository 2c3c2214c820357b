"""Catches normal draws from wrong coefficients, inaccurate somewhere in their range, or of another law."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest
import scipy.stats
from scipy.special import ndtri
from support import stats

from boltz.kernels import cpu, reference
from boltz.kernels.cpu import bernoulli

BACKENDS = pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
LARGEST_W = 31 * math.log(2)  # -log(4 p (1 - p)) at p = 2^-33, the end of the range


def fit(low: float, high: float, degree: int, root: bool) -> tuple[np.ndarray, float]:
    """Coefficients in v - (low + high) / 2 of z / x, and the largest relative error on low <= v <= high.

    v is w, or sqrt(w). Least squares of the relative error, reweighted towards where it is largest (Lawson 1961).
    """
    nodes, radius = np.cos(np.linspace(0, np.pi, 4001)), (high - low) / 2
    v = (low + high) / 2 + radius * nodes
    w = np.maximum(v * v if root else v, 1e-10)
    x = np.sqrt(-np.expm1(-w))
    target = -ndtri(np.exp(-w) / (2 * (1 + x))) / x
    terms = np.polynomial.chebyshev.chebvander(nodes, degree) / target[:, None]
    weight = np.ones(len(nodes))
    for _ in range(60):
        scale = np.sqrt(weight)
        series = np.linalg.lstsq(terms * scale[:, None], scale, rcond=None)[0]
        error = np.abs(terms @ series - 1)
        weight = weight * (error / error.max() + 1e-3)
        weight /= weight.mean()
    return np.polynomial.chebyshev.cheb2poly(series) / radius ** np.arange(degree + 1), float(error.max())


@pytest.mark.parametrize(
    ("series", "interval", "centre", "root"),
    [
        (bernoulli.CENTRAL_SERIES, (0.0, float(bernoulli.SPLIT)), bernoulli.CENTRE, False),
        (bernoulli.TAIL_SERIES, (2.44, 4.64), bernoulli.TAIL, True),
    ],
    ids=["central", "tail"],
)
def test_coefficients_are_those_of_the_fit(series: Any, interval: tuple[float, float], centre: Any, root: bool) -> None:
    """As polynomials on their interval, to 1e-7; catches a wrong digit that the tolerance on draws lets pass."""
    low, high = interval
    assert not root or (low < math.sqrt(bernoulli.SPLIT) and math.sqrt(LARGEST_W) < high)
    assert math.isclose((low + high) / 2, float(centre), rel_tol=1e-6)
    expected, error = fit(low, high, len(series) - 1, root)
    assert error < 7e-8
    v = np.linspace(low, high, 1001) - (low + high) / 2
    found, wanted = (np.polynomial.polynomial.polyval(v, np.array(c, np.float64)) for c in (series, expected))
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


@numba.njit(error_model="numpy")
def quantiles(bits: Any, out: Any) -> None:
    """The compiled quantile of chosen bits, in the type of out."""
    for i in range(len(bits)):
        out[i] = bernoulli._normal_as(bits[i], out.dtype.type(0))


def grid() -> np.ndarray:
    """Bits of every magnitude: both ends, the middle, the seam of the polynomials, 2^20 random ones; complements."""
    ends = np.arange(2**16)
    seam = int(2**31 * (1 - math.sqrt(-math.expm1(-float(bernoulli.SPLIT)))))
    powers = (2.0 ** np.linspace(0, 31, 2**18)).astype(np.int64) - 1
    random = np.random.Generator(np.random.Philox(1)).integers(0, 2**31, 2**20)
    low = np.concatenate([ends, 2**31 - 1 - ends, seam - 2**15 + ends, powers, 2**31 - 1 - powers, random])
    assert low.min() == 0 and low.max() == 2**31 - 1
    return np.concatenate([low, 2**32 - 1 - low]).astype(np.uint32)


@DTYPES
def test_quantile_is_accurate_everywhere_and_odd(dtype: Any) -> None:
    """Against the inverse normal law, relative to each value, the smallest (3e-10) included; exactly mirrored."""
    bits = grid()
    found = np.empty(len(bits), dtype)
    quantiles(bits, found)
    expected = ndtri((bits + 0.5) / 2**32)
    np.testing.assert_allclose(found, expected, rtol={"f": 1e-6, "d": 1e-12}[np.dtype(dtype).char])
    half = len(bits) // 2
    assert (found[:half] == -found[half:]).all() and (found[:half] < 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reference_is_odd_at_the_bits_drawn(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits and complement, both ends and the middle among them; catches a half that is cut elsewhere than the other."""
    bits, out = grid()[:, None], np.empty((len(grid()), 1), dtype)
    monkeypatch.setattr(reference, "bits_of", lambda stream, rows, units: bits)
    reference.normal((0, 0, 0), np.arange(len(bits)), out)
    half = len(out) // 2
    assert (out[:half] == -out[half:]).all() and np.isfinite(out).all() and (out[:half] < 0).all()
    np.testing.assert_allclose(
        out[:, 0], ndtri((bits[:, 0] + 0.5) / 2**32), rtol={"f": 6e-8, "d": 1e-12}[out.dtype.char]
    )


def draws(backend: Any, stream: tuple[int, int, int], rows: Any, units: int, dtype: Any = np.float32) -> np.ndarray:
    out = np.full((len(rows), units), np.nan, dtype)
    backend.normal(stream, np.asarray(rows, np.int64), out)
    return out


def gap(probability: float) -> float:
    """Largest distance of the empirical law of 1e6 draws from the truth, exceeded with this probability."""
    return float(scipy.stats.kstwo.isf(probability, 10**6))


def test_the_law_of_a_million_draws_is_normal() -> None:
    """False-alarm rate 1e-6 in all. Catches draws scaled by 1 % or shifted by 0.01, and any law that is off by 0.005.

    Kolmogorov-Smirnov catches what lies further off than the limit and the largest chance distance together.
    """
    assert gap(stats.ALPHA / 3) + gap(1 - stats.POWER) < 0.005
    sample = draws(cpu, (1, 2, 3), range(1000), 1000).reshape(-1).astype(np.float64)
    p = [
        float(scipy.stats.kstest(sample, "norm").pvalue),
        stats.mean_test(sample, 0, 1),
        stats.mean_test(sample**2, 1, 2),
    ]
    assert stats.detectable_mean(len(sample), 0.01, 1, stats.ALPHA / 3)
    assert stats.detectable_mean(len(sample), 0.02, 2, stats.ALPHA / 3)
    stats.accept(stats.smallest_of(p), "the draws do not follow the standard normal law")


def test_the_tails_hold_as_many_draws_as_they_should() -> None:
    """A million draws in eight cells; catches a tail polynomial that is not used, a sign that comes more often."""
    edges = np.array([-np.inf, -4, -3, -2, 0, 2, 3, 4, np.inf])
    law = np.diff(scipy.stats.norm.cdf(edges))
    tilted = law * np.repeat([0.985, 1.015], 4)
    heavy = law * np.array([1, 1.3, 1, 1, 1, 1, 1.3, 1])
    assert stats.detectable_chi_square(10**6, law, tilted / tilted.sum())
    assert stats.detectable_chi_square(10**6, law, heavy / heavy.sum())
    counts, _ = np.histogram(draws(cpu, (4, 5, 6), range(1000), 1000), edges)
    stats.accept(stats.chi_square(counts, law), "the draws are skewed or their tails are wrong")


@BACKENDS
@DTYPES
def test_draws_belong_to_key_step_row_and_unit_alone(backend: Any, dtype: Any) -> None:
    """Not to the rows beside, their order or the width; catches a counter made of the place in the call."""
    rows = np.array([7, 2**33 + 1, 0, 7, 12345])
    whole = draws(backend, (1, 2, 3), rows, 333, dtype)
    assert (whole[0] == whole[3]).all()
    for i, row in enumerate(rows):
        assert (draws(backend, (1, 2, 3), [row], 333, dtype)[0] == whole[i]).all()
    assert (draws(backend, (1, 2, 3), rows[::-1], 333, dtype) == whole[::-1]).all()
    for width in (1, 16, 63, 64, 65):
        assert (draws(backend, (1, 2, 3), rows, width, dtype) == whole[:, :width]).all()


@BACKENDS
def test_other_rows_and_steps_give_other_draws(backend: Any) -> None:
    """No draw is shared by two rows, steps or keys: 5 x 4,000 words hold a chance pair with probability 0.05.

    The keys are fixed and hold none. Then no correlation of the draws of neighbouring rows or steps, false-alarm rate
    1e-6 in all: it would tell of dependent bits, which a single shared word does not show.
    """
    streams = [(1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 1, 1), (1, 1, 2**32)]
    values = np.concatenate([draws(backend, stream, range(20), 200, np.float64).reshape(-1) for stream in streams])
    assert len(np.unique(values)) == len(values)
    z, later = (draws(cpu, (1, 1, step), range(501), 400) for step in (0, 1))
    assert stats.detectable_correlation(500 * 400, 0.02, stats.ALPHA / 3)
    pairs = [(z[:-1], z[1:]), (z[:-1], later[:-1]), (z[:-1, :-1], z[:-1, 1:])]
    p = [stats.correlation_test(a.reshape(-1), b.reshape(-1)) for a, b in pairs]
    stats.accept(stats.smallest_of(p), "draws of neighbouring rows, steps or units are correlated")
