"""Quick checks of the estimators of directed machines; those of training are in directed_checks.py and its kin."""

from __future__ import annotations

import numpy as np
from oracles.directed import Directed, log_evidence
from scipy.special import logsumexp
from support.training import plain_train

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


def _columns() -> tuple[np.ndarray, np.ndarray, float]:
    """Rows, the same in other units, and the sum of the logs of their ratios."""
    x, ratio = np.random.default_rng(4).normal(size=(40, 3)), np.array([0.01, 1, 1000])
    return x, x * ratio + np.array([5.0, 0, 1e6]), float(np.log(ratio).sum())


def check_units_of_columns() -> None:
    """Densities, by samples and exact, and draws follow the units of the rows."""
    x, y, log_ratio = _columns()
    smooth, binary = ([3, 4], ["gaussian", "gaussian"]), ([3, 2], ["gaussian", "bernoulli"])
    for shape in (smooth, binary):
        pair = [(boltz.helmholtz(*shape, x=rows), rows) for rows in (x, y)]
        one, other = (boltz.log_likelihood(*each).per_row for each in pair)
        assert one is not None and other is not None and np.abs(one - other - log_ratio).max() < 1e-3
        drawn, again = ((boltz.sample(m, 30)["v"] - rows.mean(axis=0)) / rows.std(axis=0) for m, rows in pair)
        assert np.abs(drawn - again).max() < 1e-3


def check_constant_column() -> None:
    """A column of 0.1 is known as constant, and no weight leads to it or from it after training."""
    x = np.tile(_columns()[0], (25, 1))
    x[:, 1] = 0.1
    found = plain_train(boltz.vae([3, 4], 2, x, visible="gaussian"), x, epochs=1, batch_size=250).model
    assert isinstance(found, boltz.HelmholtzMachine) and found.scaling is not None
    assert found.scaling.constant.tolist() == [False, True, False]
    assert (found.params["generative/v/1/weight"][:, [1, 4]] == 0).all()
    assert (found.params["recognition/h1/0/weight"][1] == 0).all()
