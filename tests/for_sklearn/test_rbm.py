"""BernoulliRBM beside scikit-learn's: would catch a broken check or attribute, and wrong scores, draws or means."""

from __future__ import annotations

import importlib
import pickle
import re
import sys
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.neural_network
from checks import sklearn_estimators
from scipy.special import expit
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks
from support import stats

import boltz
from boltz.sklearn import BernoulliRBM
from boltz.sklearn.rows import row_numbers
from boltz.training import pcd_rbm

OUTSIDE = "ignore:X holds numbers from"  # which many tests here do on purpose
pytestmark = pytest.mark.filterwarnings(OUTSIDE)
RNG = np.random.default_rng(4)
ROWS = (RNG.random((60, 7)) < RNG.random(7)).astype(np.float64)
REAL = RNG.normal(size=(40, 5)) * 3


def small(**settings: Any) -> BernoulliRBM:
    return BernoulliRBM(**({"n_components": 5, "n_iter": 3, "random_state": 1} | settings))


def ready() -> BernoulliRBM:
    """A machine whose parameters were put there by hand."""
    machine = BernoulliRBM(n_components=3, random_state=2)
    machine.components_ = RNG.normal(size=(3, 5))
    machine.intercept_hidden_, machine.intercept_visible_ = RNG.normal(size=3), RNG.normal(size=5)
    return machine


@parametrize_with_checks([BernoulliRBM(), BernoulliRBM(n_components=3, n_iter=2, n_jobs=2, missing="infer")])
def test_scikit_learn_is_content(estimator: Any, check: Any) -> None:
    check(estimator)


def test_parameters_and_their_defaults_are_theirs() -> None:
    theirs = sklearn.neural_network.BernoulliRBM().get_params()
    assert {name: value for name, value in BernoulliRBM().get_params().items() if name in theirs} == theirs


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_attributes_have_the_shapes_and_the_type_of_theirs(kind: Any) -> None:
    rows = ROWS.astype(kind)
    ours, theirs = small().fit(rows), sklearn.neural_network.BernoulliRBM(5, n_iter=1).fit(rows)
    for name in ("components_", "intercept_hidden_", "intercept_visible_", "h_samples_"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert (one.shape, one.dtype) == (other.shape, other.dtype), name
    assert ours.transform(rows).dtype == kind and set(np.unique(ours.h_samples_)) <= {0, 1}


def test_what_was_learned_is_alike_in_both_types_and_for_sparse_rows() -> None:
    double = small().fit(ROWS)
    assert np.array_equal(small().fit(ROWS.astype(np.float32)).components_, double.components_.astype(np.float32))
    for rows in (sp.csr_matrix(ROWS), sp.csc_array(ROWS), sp.csr_array(ROWS.astype(bool))):
        other = small().fit(rows)
        assert other.components_.tobytes() == double.components_.tobytes()
        np.testing.assert_allclose(other.transform(rows), double.transform(ROWS), rtol=1e-12)
        np.testing.assert_allclose(other.score_samples(rows), double.score_samples(ROWS), rtol=1e-12)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = (RNG.random((150, 90)) < 0.3).astype(np.float64)
    found = []
    for little, n_jobs in ((pcd_rbm.LITTLE, 1), (pcd_rbm.LITTLE, 2), (0, 2)):
        monkeypatch.setattr(pcd_rbm, "LITTLE", little)
        found.append(small(n_components=70, batch_size=64, n_jobs=n_jobs).fit(wide).components_.tobytes())
    assert len(set(found)) == 1
    with pytest.raises(ValueError, match="threads must be a whole number"):
        small(n_jobs=0).fit(ROWS)


def test_a_fit_is_made_of_its_steps() -> None:
    sklearn_estimators.check_fit_is_its_steps()


def test_parameters_set_by_hand_are_used() -> None:
    machine, theirs = ready(), sklearn.neural_network.BernoulliRBM(n_components=3)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        setattr(theirs, name, getattr(machine, name))
    np.testing.assert_allclose(machine.transform(REAL), theirs.transform(REAL), rtol=1e-12)
    np.testing.assert_allclose(machine._mean_hiddens(REAL[3]), theirs._mean_hiddens(REAL[3]), rtol=1e-12)
    np.testing.assert_allclose(machine.machine_.free_energy(REAL), theirs._free_energy(REAL), rtol=1e-12)
    machine.h_samples_ = np.ones((4, 3))
    before = machine.components_.copy()
    assert machine.partial_fit(ROWS[:, :5]) is machine and machine.h_samples_.shape == (4, 3)
    assert 0 < np.abs(machine.components_ - before).max() <= 0.1  # the rate times a difference of two means in [0, 1]
    machine.intercept_visible_ = np.full(5, -100.0)
    machine.components_ = np.zeros((3, 5))
    assert not machine.gibbs(REAL).any()


def test_a_gibbs_step_draws_from_the_conditionals() -> None:
    """Frequencies of all states of the visible units, from one start, against enumeration of the hidden ones.

    False alarm in one of a million keys; catches visible units that do not hear the hidden ones.
    """
    machine, start = ready(), REAL[:1]
    weight, hidden = machine.components_.T, expit(start[0] @ machine.components_.T + machine.intercept_hidden_)
    wanted = np.zeros(32)
    states = np.array(list(np.ndindex(2, 2, 2, 2, 2)))
    for h in np.ndindex(2, 2, 2):
        mean = expit(weight @ np.array(h) + machine.intercept_visible_)
        weight_of_h = np.prod(np.where(h, hidden, 1 - hidden))
        wanted += weight_of_h * np.prod(np.where(states, mean, 1 - mean), axis=1)
    deaf = expit(machine.intercept_visible_)
    assert stats.detectable_chi_square(20_000, wanted, np.prod(np.where(states, deaf, 1 - deaf), axis=1))
    drawn = machine.gibbs(np.repeat(start, 20_000, axis=0))
    counts = np.bincount(drawn @ [16, 8, 4, 2, 1], minlength=32)
    stats.accept(stats.chi_square(counts, wanted), "hidden or visible units are not drawn from their conditionals")


def test_pseudo_likelihood_is_that_of_the_flipped_unit() -> None:
    sklearn_estimators.check_pseudo_likelihood()


def test_the_score_is_the_exact_mean_log_likelihood_and_the_way_back_its_conditional() -> None:
    sklearn_estimators.check_scores()
    sklearn_estimators.check_the_way_back_of_an_rbm()


def test_the_score_and_the_way_back_take_what_the_other_methods_take() -> None:
    """In both types, sparse or not, with unknown units at their means; large machines by annealing with one seed."""
    fitted = small().fit(ROWS)
    single = small().fit(ROWS.astype(np.float32))
    wanted = boltz.log_likelihood(fitted.machine_, ROWS).value
    assert fitted.score(ROWS) == fitted.score(sp.csr_array(ROWS)) and abs(fitted.score(ROWS) - wanted) < 1e-9
    assert abs(single.score(ROWS) - wanted) < 1e-4
    features = fitted.transform(ROWS)
    back = fitted.inverse_transform(features)
    assert back.shape == ROWS.shape and back.dtype == np.float64 and 0 < back.min() < back.max() < 1
    np.testing.assert_allclose(fitted.inverse_transform(sp.csr_array(features)), back, rtol=1e-12)
    assert fitted.inverse_transform(features.astype(np.float32)).dtype == np.float32
    with pytest.raises(boltz.InputError, match="X must hold the 5 features that transform gives, got 4 a row"):
        fitted.inverse_transform(features[:, 1:])
    lacking = np.where(RNG.random(ROWS.shape) < 0.3, np.nan, ROWS)
    inferred = clone(fitted).set_params(missing="infer").fit(ROWS)
    complete = boltz.complete(inferred.machine_, lacking, method="mean-field")
    with pytest.warns(UserWarning, match="numbers between 0 and 1"):  # of the complete rows alone
        np.testing.assert_allclose(inferred.score(lacking), fitted.score(complete), rtol=1e-5)
    wide = (RNG.random((30, 24)) < 0.4).astype(float)
    large = small(n_components=23).fit(wide)
    by_annealing = boltz.log_likelihood(large.machine_, wide, boltz.ais(large.machine_, betas=1000)).value
    assert large.score(wide) == large.set_params(random_state=7).score(wide) == pytest.approx(by_annealing, rel=1e-9)


def test_units_flipped_do_not_depend_on_what_was_filled_in() -> None:
    sklearn_estimators.check_units_flipped_in_rows_with_unknown_ones()


def test_pseudo_likelihood_follows_from_the_row_alone() -> None:
    machine, rows = ready(), np.vstack([REAL, ROWS[:20, :5]])
    found = machine.score_samples(rows)
    order = RNG.permutation(len(rows))
    np.testing.assert_allclose(machine.score_samples(rows[order]), found[order], rtol=1e-12)
    np.testing.assert_allclose(machine.score_samples(rows[7:8]), found[7:8], rtol=1e-12)
    machine.random_state = 3
    assert (machine.score_samples(rows) != found).mean() > 0.5
    assert np.isfinite(machine.score_samples(1e5 * REAL)).all()


def test_units_are_flipped_equally_often() -> None:
    """Over 7 units and 20,000 different rows; rows that differ in the sign of a zero are one row."""
    rows = np.random.default_rng(9).random((20_000, 7)).round(3)
    numbers = row_numbers(rows, 5)
    counts = np.bincount((numbers % np.uint64(7)).astype(int))
    stats.accept(stats.chi_square(counts, np.full(7, 1 / 7)), "some units are flipped more often than others")
    assert row_numbers(np.zeros((1, 3)), 5) == row_numbers(-np.zeros((1, 3)), 5) == row_numbers(sp.csr_array((1, 3)), 5)
    other = np.uint64(0xFFF8000000000001).view(np.float64)
    assert row_numbers(np.array([[np.nan, 1]]), 5) == row_numbers(np.array([[other, 1]]), 5)
    assert row_numbers(rows[:2], 5).tolist() == numbers[:2].tolist() != row_numbers(rows[:2], 6).tolist()


def test_a_fitted_machine_is_pickled() -> None:
    machine = small().fit(ROWS)
    other = pickle.loads(pickle.dumps(machine))
    assert other.transform(ROWS).tobytes() == machine.transform(ROWS).tobytes()
    assert boltz.exact_log_z(other.machine_).value == boltz.exact_log_z(machine.machine_).value


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"n_components": 0}, "n_components must be a whole number of at least 1"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"n_iter": -1}, "n_iter must be a whole number"),
        ({"learning_rate": "fast"}, "learning_rate must be a number"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said(settings: dict[str, Any], what: str) -> None:
    with pytest.raises(boltz.InputError, match=what):
        small(**settings).fit(ROWS)


def test_numbers_that_are_not_finite_stop_the_fit() -> None:
    with pytest.raises(boltz.NumericalError, match="not finite; try a smaller learning_rate"):
        small(learning_rate=1e6, n_iter=20).fit(1e36 * REAL)


def test_rows_beyond_the_range_of_float32_are_refused() -> None:
    for method in ("fit", "partial_fit", "transform", "gibbs", "score_samples", "score"):
        for rows in (1e39 * REAL, sp.csr_array(1e39 * REAL)):
            with pytest.raises(boltz.InputError, match="X must hold finite numbers within the range of float32, got"):
                getattr(small().fit(REAL), method)(rows)


def test_gibbs_takes_rows_of_every_form() -> None:
    machine, bits = ready(), ROWS[:, :5]
    found = []
    for rows in (bits, sp.coo_matrix(bits), sp.coo_array(bits), bits.astype(bool), bits.tolist()):
        machine.random_state_ = np.random.RandomState(3)
        found.append(machine.gibbs(rows))
        assert found[-1].dtype == bool and np.array_equal(found[-1], found[0])
    assert 0 < found[0].mean() < 1 and machine.gibbs(bits[0]).shape == (5,)


def test_parameters_set_by_hand_are_checked() -> None:
    machine = ready()
    wanted = clone(machine)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        setattr(wanted, name, getattr(machine, name).copy())
        setattr(machine, name, getattr(machine, name).tolist())
    assert np.array_equal(machine.transform(REAL), wanted.transform(REAL))
    assert np.array_equal(machine.partial_fit(REAL).components_, wanted.partial_fit(REAL).components_)
    for name, shape in (("components_", "(any, 5)"), ("intercept_hidden_", "(3)"), ("intercept_visible_", "(5)")):
        machine = ready()
        setattr(machine, name, np.ones((2, 2)))
        for method in (machine.partial_fit, machine.transform, machine.score_samples):
            with pytest.raises(boltz.InputError, match=re.escape(f"{name} must have shape {shape}, got (2, 2)")):
                method(REAL)
    machine = ready()
    machine.h_samples_ = np.ones((4, 2))
    with pytest.raises(boltz.InputError, match=re.escape("h_samples_ must have shape (any, 3), got (4, 2)")):
        machine.partial_fit(REAL)


def test_without_scikit_learn_one_sentence_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("boltz.sklearn")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    with pytest.raises(ImportError, match=r"^boltz.sklearn needs .* pip install '\.\[sklearn\]'\.$"):
        importlib.import_module("boltz.sklearn")
