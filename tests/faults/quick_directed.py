"""Quick checks of the estimators of directed machines; those of training are in directed_checks.py and its kin."""

from __future__ import annotations

import numpy as np
from directed_oracle import Directed, log_evidence
from scipy.special import logsumexp

import boltz
from boltz.estimators import importance
from boltz.training.guards import check_measures


def _belief() -> boltz.HelmholtzMachine:
    machine = boltz.sbn([4, 3, 2]).astype(np.float64)
    machine.arena[...] = np.random.default_rng(3).normal(0, 0.8, machine.arena.size)
    return machine


def check_enumerated() -> None:
    """log p(x) of every visible state against the oracle's sum over hidden states."""
    machine, x = _belief(), np.indices((2,) * 4).reshape(4, -1).T.astype(float)
    found = boltz.log_likelihood(machine, x).per_row
    assert found is not None and np.abs(found - log_evidence(Directed.of(machine), x)).max() < 1e-10


def check_bound_shares() -> None:
    """L_2 of four weights is the mean over two groups, and shares are those of each group."""
    log_w = np.log([[1.0, 3.0, 10.0, 10.0]])
    value, error, share, largest = importance.bounds_and_errors(log_w, [2])[0, 0]
    each = np.log([2.0, 10.0])
    assert abs(value - each.mean()) < 1e-12 and abs(error - each.std(ddof=1) / np.sqrt(2)) < 1e-12
    assert abs(share - np.mean([16 / (2 * 10), 1.0])) < 1e-12 and largest == log_w.max()


def check_sample_noise() -> None:
    """Equal rows and samples of one row have weights of their own."""
    rows: list[np.ndarray] = []

    def keep(log_w: np.ndarray) -> np.ndarray:
        rows.append(log_w)
        return logsumexp(log_w, axis=1, keepdims=True)

    machine = boltz.vae([3], 2)
    importance.reduced(machine, np.zeros((4, 3), np.float32), 5, boltz.Key.from_seed(1), keep)
    assert len(np.unique(np.concatenate(rows).round(9))) == 20


def check_diverged() -> None:
    """A measure of NaN stops a run, none at all does not."""
    check_measures({"bound": -1.0, "kl": None}, "here")
    try:
        check_measures({"bound": float("nan")}, "here")
    except boltz.NumericalError as problem:
        assert "bound" in str(problem)
    else:
        raise AssertionError("a bound of NaN passed")


def check_heavy_tails() -> None:
    """Weights 1 + 0.02 X with X Pareto of shape 1.3, whose mean is infinite: a quarter of the rows look effective.

    At 400 samples the fitted shape has median 1.13, and one in thirty is below the limit of 0.7; that more than 40 of
    400 rows pass has a probability below 1e-6. Without a look at the tail a hundred do.
    """
    rng = np.random.default_rng(5)
    _, error, share, _ = importance.mean_and_error(np.log1p(0.02 * (rng.random((400, 400)) ** -1.3 - 1))).T
    assert np.mean(1 / (1 + error**2 * 399) >= 0.3) > 0.1 and np.mean(share >= 0.3) <= 0.1
    share = importance.mean_and_error(0.3 * rng.normal(size=(400, 400)))[:, 2]
    assert np.mean(share >= 0.3) >= 0.99
