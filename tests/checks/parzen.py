"""Checks of Parzen windows against direct sums, SciPy, and a bandwidth known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm

import boltz
from boltz.estimators import parzen
from boltz.sampling.inferred import visible_draws


def check_densities() -> None:
    """Log densities are those of a direct sum of products of normal densities, and of SciPy, in blocks of any size."""
    generator = np.random.default_rng(0)
    rows, draws, widths = generator.normal(size=(7, 3)), generator.normal(size=(23, 3)), np.array([0.05, 0.7, 30.0])
    direct = np.array([[norm.logpdf(x, draws, s).sum(axis=1) for x in rows] for s in widths])
    expected = np.logaddexp.reduce(direct, axis=2) - np.log(len(draws))
    for block in (parzen.BLOCK, 4):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parzen, "BLOCK", block)
            assert np.allclose(parzen.log_densities(rows, draws, widths), expected, rtol=1e-12, atol=1e-9)
    one = generator.normal(size=(1, 50))
    width = 0.3 / one.std(ddof=1)
    found = parzen.log_densities(rows[:, :1], one.T, np.array([0.3]))[0]
    assert np.allclose(found, gaussian_kde(one, width).logpdf(rows[:, 0]))
    far = parzen.log_densities(np.full((1, 3), 1e4), draws, widths[:1])  # a plain sum of exponentials is 0
    assert np.isfinite(far).all()


def check_bandwidth() -> None:
    """The bandwidth is the one under which validation rows are the most likely.

    Of a single sample it is the root of the mean squared distance a unit; of many it beats all of a fine grid, but for
    what 2 % of the bandwidth change.
    """
    generator = np.random.default_rng(1)
    rows, one = generator.normal(size=(40, 3)), np.zeros((1, 3))
    found, doubts = parzen.best_bandwidth(rows, one)
    assert abs(found / np.sqrt(np.square(rows).mean()) - 1) < 0.02 and not doubts
    draws = generator.normal(size=(60, 3))
    found, _ = parzen.best_bandwidth(rows, draws)
    grid = np.geomspace(0.1, 3, 400)
    best = grid[parzen.log_densities(rows, draws, grid).mean(axis=1).argmax()]
    assert abs(found / best - 1) < 0.025
    for near in (0.01, 0.03, 0.1, 0.3):  # the search begins with bandwidths that lie further apart the nearer rows are
        rows = draws[:30] + near * generator.normal(size=(30, 3))
        grid = np.geomspace(near / 3, 3, 2000)
        best = grid[parzen.log_densities(rows, draws, grid).mean(axis=1).argmax()]
        assert abs(parzen.best_bandwidth(rows, draws)[0] / best - 1) < 0.02
    found, doubts = parzen.best_bandwidth(draws[:5], draws)
    assert doubts and found < 0.01


def check_window() -> None:
    """The estimate is that of windows around the samples of the machine, by the bandwidth of the validation rows."""
    machine, generator = boltz.rbm(5, 3), np.random.default_rng(2)
    machine.arena[...] = generator.normal(size=machine.arena.size)
    x, others = generator.integers(0, 2, (12, 5)), generator.integers(0, 2, (9, 5))
    found = boltz.parzen_window(machine, x, others, samples=30, seed=4)
    draws = visible_draws(machine, 30, 4).astype(np.float64)
    bandwidth, _ = parzen.best_bandwidth(others.astype(float), draws)
    per_row = parzen.log_densities(x.astype(float), draws, np.array([bandwidth]))[0]
    assert np.allclose(found.per_row, per_row) and np.isclose(found.bandwidth, bandwidth)
    assert np.isclose(found.value, per_row.mean())
    assert np.isclose(found.standard_error, per_row.std(ddof=1) / np.sqrt(12))
    assert (found.samples, found.validation_rows) == (30, 9)


def check_draws_with_labels() -> None:
    """Samples of a decoder that hears labels hear one each, and all are drawn alike: no mean over labels.

    The weights make each sample the one-hot picture of its label. A wrong share of labels is told from 300 draws: the
    chance that a share of 1/3 falls outside 0.2 to 0.47 is below 1e-6.
    """
    machine = boltz.aae([3, 4], 2, labels="decoder", classes=3)
    machine.arena[...] = 0
    decoder = {name: value for name, value in machine.params.items() if name.startswith("generative/v")}
    first, last = decoder["generative/v/0/weight"], decoder["generative/v/1/weight"]
    first[2:, :3], last[:3] = np.eye(3) * 4, np.eye(3) * 20
    decoder["generative/v/1/bias"][:3] = -40
    drawn = visible_draws(machine, 300, 0)
    shares = (drawn > 0.9).mean(axis=0)
    assert (drawn.max(axis=1) > 0.9).all() and ((shares > 0.2) & (shares < 0.47)).all()
