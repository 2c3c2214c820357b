"""Catches an acceptance ratio off its root, off exact cases and Gaussian work, or with errors of the wrong size.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit
from support import calibration, stats

from boltz.estimators.replica_exchange import bennett, influences

Floats = NDArray[np.float64]


def gaussians(pairs: int, samples: int, apart: float, log_ratio: float, seed: int) -> tuple[Floats, Floats]:
    """Log-density ratios at exact samples of N(0, 1) and of exp(log_ratio) N(apart, 1)."""
    x, y = np.random.default_rng(seed).normal(size=(2, pairs, samples))
    up = apart * x - apart**2 / 2 + log_ratio
    down = -(apart * (y + apart) - apart**2 / 2 + log_ratio)
    return up, down


def test_the_ratio_is_the_root_of_its_equation() -> None:
    generator = np.random.default_rng(1)
    up, down = generator.normal(3, 5, (40, 30)), generator.normal(-1, 9, (40, 30))
    x = bennett(up, down)[:, None]
    left, right = expit(up - x).sum(axis=1), expit(down + x).sum(axis=1)
    np.testing.assert_allclose(left, right, rtol=1e-9)
    for shift in (-1e-6, 1e-6):
        moved = expit(up - x - shift).sum(axis=1) - expit(down + x + shift).sum(axis=1)
        assert (np.sign(moved) == -np.sign(shift)).all()


@pytest.mark.parametrize("constant", [-700.0, -1.5, 0.0, 2.0, 1e5])
def test_a_constant_ratio_is_found_as_it_is(constant: float) -> None:
    up = np.full((1, 7), constant)
    assert bennett(up, -up) == pytest.approx(constant, rel=1e-12)
    pull = influences(up[:, :, None], -up[:, :, None], np.array([constant]))
    assert np.abs(pull).max() < 1e-12


def test_turning_the_pair_round_turns_the_sign() -> None:
    up, down = gaussians(20, 50, 1.5, 2.0, 2)
    np.testing.assert_allclose(bennett(down, up), -bennett(up, down), atol=1e-9)
    np.testing.assert_allclose(bennett(up + 3.25, down - 3.25), bennett(up, down) + 3.25, atol=1e-9)


def test_influences_add_up_to_zero_and_are_the_derivative() -> None:
    """Of the root by the weight of a group: a finite difference, in which one group counts a hundredth more often."""
    up, down = (x.reshape(2, 25, 6) for x in gaussians(2, 150, 2.0, -1.0, 3))
    flat = up.reshape(2, -1), down.reshape(2, -1)
    ratio = bennett(*flat)
    found = influences(up, down, ratio)
    assert found.shape == (2, 6) and np.abs(found.sum(axis=1)).max() < 1e-10
    size = 0.03 * np.abs(found).max()
    for group in range(6):
        more = [np.concatenate([np.repeat(x.reshape(2, -1), 100, axis=1), x[:, :, group]], axis=1) for x in (up, down)]
        np.testing.assert_allclose(100 * (bennett(*more) - ratio), found[:, group], rtol=0.03, atol=size)


def test_gaussian_work_has_its_ratio_and_intervals_cover_it() -> None:
    """5,000 pairs of 100 samples each way, the error from influences of single samples: coverage from 0.92 to 0.98.

    Catches an error that is 0.8 of the right one, and a ratio that is off by a fifth of an error.
    """
    pairs, samples, truth = 5000, 100, 1.25
    up, down = gaussians(pairs, samples, 2.0, truth, 4)
    ratio = bennett(up, down)
    pull = influences(up[:, None], down[:, None], ratio)
    error = np.sqrt((pull**2).sum(axis=1))
    hits = int((np.abs(ratio - truth) < 1.96 * error).sum())
    stats.accept(calibration.coverage_test(hits, pairs), f"intervals cover {hits / pairs:.3f}")
    assert calibration.detectable_coverage(pairs, 0.883)
    spread = float(ratio.var(ddof=1))
    stats.accept(stats.mean_test(ratio, truth, spread), "Bennett's ratio is biased")
    assert stats.detectable_mean(pairs, 0.2 * float(error.mean()), spread)


def test_pairs_are_worked_on_apart() -> None:
    up, down = gaussians(5, 40, 1.0, 0.5, 6)
    alone = [bennett(up[i : i + 1], down[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(bennett(up, down), alone, rtol=1e-12)
