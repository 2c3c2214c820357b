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
    value, error, share = importance.bounds_and_errors(log_w, [2])[0, 0]
    each = np.log([2.0, 10.0])
    assert abs(value - each.mean()) < 1e-12 and abs(error - each.std(ddof=1) / np.sqrt(2)) < 1e-12
    assert abs(share - np.mean([16 / (2 * 10), 1.0])) < 1e-12


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
