"""Quick checks of the estimators for scikit-learn, each of what a planted fault would spoil."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp

import boltz
from boltz.sklearn import BernoulliRBM, DBMClassifier, DBMTransformer
from boltz.sklearn.parameters import drawn_seed
from boltz.sklearn.rows import at_means, row_numbers

RNG = np.random.default_rng(11)


def check_pseudo_likelihood() -> None:
    """log p(v_i | rest) x units, from the free energies of both states of the unit, also far outside [0, 1]."""
    machine = BernoulliRBM(random_state=2)
    machine.components_ = RNG.normal(size=(3, 5))
    machine.intercept_hidden_, machine.intercept_visible_ = RNG.normal(size=3), RNG.normal(size=5)
    rows = np.vstack([3 * RNG.normal(size=(40, 5)), RNG.integers(0, 2, (20, 5))])
    flipped, unit = rows.copy(), row_numbers(rows, drawn_seed(2)) % np.uint64(5)
    for row, i in zip(flipped, unit, strict=True):
        row[i] = 1 - row[i]
    free, other = machine.machine_.free_energy(rows), machine.machine_.free_energy(flipped)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = machine.score_samples(rows)
    np.testing.assert_allclose(found, -5 * np.logaddexp(0, free - other), rtol=1e-9)


def check_units_flipped_in_rows_with_unknown_ones() -> None:
    """The pseudo-likelihood of a row with unknown units is the same beside 499 and beside 32 others, but for rounding.

    Catches units chosen by what was filled in: in float64 its last bits differ, and most rows then flip another unit.
    """
    machine = BernoulliRBM(random_state=2, missing="infer")
    machine.components_ = RNG.normal(size=(50, 70)) / 5
    machine.intercept_hidden_, machine.intercept_visible_ = RNG.normal(size=50), RNG.normal(size=70)
    rows = np.where(RNG.random((500, 70)) < 0.3, np.nan, RNG.integers(0, 2, (500, 70)))
    np.testing.assert_allclose(machine.score_samples(rows)[:33], machine.score_samples(rows[:33]), rtol=1e-9)


def check_unlabelled_rows() -> None:
    """The machine of a classifier is that of a transformer which sees the rows with and without labels."""
    rows, more = ((RNG.random((n, 6)) < 0.4).astype(float) for n in (20, 11))
    shared: dict[str, Any] = {"layers": (4, 3), "pretrain_epochs": 1, "epochs": 1, "chains": 5, "random_state": 3}
    found = DBMClassifier(fine_tune_epochs=1, **shared).fit(rows, rows[:, 0], unlabelled=more)
    wanted = DBMTransformer(**shared).fit(np.concatenate([rows, more])).machine_
    assert found.machine_.arena.tobytes() == wanted.arena.tobytes()


def check_rows_without_labels() -> None:
    """Rows with -1 are seen by the pretraining alone, and -1 is no class; where it may be one of two it is refused."""
    rows = (RNG.random((30, 6)) < 0.4).astype(float)
    y = np.where(np.arange(30) < 20, rows[:, 0] + 3, -1)
    shared: dict[str, Any] = {"layers": (4, 3), "pretrain_epochs": 1, "epochs": 1, "chains": 5, "random_state": 3}
    found = DBMClassifier(fine_tune_epochs=2, **shared).fit(rows, y)
    assert found.classes_.tolist() == [3, 4]
    assert found.machine_.arena.tobytes() == DBMTransformer(**shared).fit(rows).machine_.arena.tobytes()
    wanted = DBMClassifier(fine_tune_epochs=2, machine=found.machine_, **shared).fit(rows[:20], y[:20])
    assert found.network_.arena.tobytes() == wanted.network_.arena.tobytes()


def check_base_rates() -> None:
    """Without learning the visible biases are the logits of the means, drawn a little to 1/2; so of sparse rows."""
    rows = (RNG.random((50, 6)) < np.linspace(0, 1, 6)).astype(float)
    mean = (rows.sum(axis=0) + 1) / 52
    for x in (rows, sp.csr_array(rows)):
        machine = BernoulliRBM(3, learning_rate=0, n_iter=1, random_state=1).fit(x)
        np.testing.assert_allclose(machine.intercept_visible_, np.log(mean / (1 - mean)), rtol=1e-5)


def check_warning() -> None:
    """Rows of 0 to 16 are warned of, by their range and with the remedy; those of 0 to 1 are not."""
    rows = RNG.integers(0, 17, (20, 4)).astype(float)
    rows[0, 0] = 16
    machine = BernoulliRBM(3, n_iter=1, random_state=1).fit(rows / 16)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        machine.score_samples(rows / 16)
        machine.score_samples(rows)
    assert [each.category for each in found] == [UserWarning]
    assert "from 0 to 16" in str(found[0].message) and "divide X by 16" in str(found[0].message)


def check_variational_score() -> None:
    """For a machine without weights, log p(v) of independent units."""
    machine = boltz.dbm([4, 3, 2])
    machine.arena[:-9] = 0
    machine.arena[-9:] = RNG.normal(size=9)
    rows = RNG.integers(0, 2, (6, 4)).astype(float)
    fitted = DBMTransformer((3, 2), pretrain_epochs=0, epochs=0, chains=5).fit(rows)
    fitted.machine_ = machine
    wanted = (rows * machine.bias("v") - np.logaddexp(0, machine.bias("v"))).sum(axis=1)
    np.testing.assert_allclose(fitted.score_samples(rows), wanted, rtol=1e-5)


def check_means_of_known_entries() -> None:
    """Unknown entries to learn from are at the mean of the known ones of their column."""
    x = np.array([[1.0, np.nan, 4.0], [np.nan, np.nan, 2.0], [2.0, np.nan, np.nan]])
    assert at_means(x).tolist() == [[1, 0, 4], [1.5, 0, 2], [2, 0, 3]]
