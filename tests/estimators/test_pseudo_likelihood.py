"""Pseudo-likelihoods: would catch a bias, a layer or a unit left out of the conditionals, and a wrong mean or scale."""

from __future__ import annotations

import numpy as np
import pytest
from checks import quick_pieces as checks
from oracles.enumeration import Table
from support import stats
from support.machines import machine_of

import boltz


def test_pseudo_likelihoods_are_the_enumerated_ones() -> None:
    checks.check_pseudo_likelihood()


def test_grey_rows_are_worked_out_and_not_trusted() -> None:
    checks.check_pseudo_likelihood_of_grey_rows()


def test_units_without_weights_have_their_likelihood() -> None:
    """Independent units: the pseudo-likelihood is the likelihood; 300 rows go through several blocks."""
    bias = np.random.default_rng(1).normal(0, 1, 5)
    model = boltz.from_arrays([np.zeros((5, 2))], [bias, np.zeros(2)]).astype("float32")
    rows = (np.random.default_rng(2).random((300, 5)) < 0.5).astype(np.uint8)
    found, wanted = boltz.pseudo_likelihood(model, rows), boltz.log_likelihood(model, rows)
    np.testing.assert_allclose(found.per_row, wanted.per_row, rtol=0, atol=1e-5)
    assert found.standard_error == 0 and found.standard_error_rows > 0


def test_scikit_learn_has_its_mean_over_units() -> None:
    """Their score_samples takes one random unit a row: the mean of 4,000 of them, alpha 1e-6, detects 0.5 nats."""
    from sklearn.neural_network import BernoulliRBM

    table, row = Table.random([4, 3], 1.0, 3), np.array([[1.0, 0, 0, 1]])
    theirs = BernoulliRBM(n_components=3, random_state=0)
    theirs.components_ = table.edges["v", "h1"].T
    theirs.intercept_visible_, theirs.intercept_hidden_ = table.biases["v"], table.biases["h1"]
    theirs.n_features_in_ = 4
    drawn = theirs.score_samples(np.repeat(row, 4000, axis=0))
    terms = np.unique(drawn.round(9))
    assert len(terms) == 4
    found = boltz.pseudo_likelihood(machine_of(table), row).value
    assert abs(found - terms.mean()) < 1e-6
    stats.accept(stats.mean_test(drawn, found, terms.var()), "the mean over random units is another one")
    assert stats.detectable_mean(4000, 0.5, terms.var())


def test_deep_machines_beyond_enumeration_are_refused() -> None:
    model = boltz.dbm([4, 15, 2])
    with pytest.raises(boltz.InputError, match="at most 14 units to enumerate in h1, got 15"):
        boltz.pseudo_likelihood(model, np.zeros((2, 4)))
    with pytest.raises(boltz.InputError, match="model must be a BoltzmannMachine"):
        boltz.pseudo_likelihood(boltz.sbn([4, 2]), np.zeros((2, 4)))


def test_sparse_rows_and_levels() -> None:
    import scipy.sparse

    model, rows = machine_of(checks.RBM), np.eye(4)
    wanted = boltz.pseudo_likelihood(model, rows).per_row
    np.testing.assert_array_equal(boltz.pseudo_likelihood(model, scipy.sparse.csr_matrix(rows)).per_row, wanted)
    whole = (20 * rows).astype(int)
    np.testing.assert_array_equal(boltz.pseudo_likelihood(model.with_levels(20), whole).per_row, wanted)
