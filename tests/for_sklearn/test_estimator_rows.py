"""Catches rows of scikit-learn users read wrongly: not yet scaled, in part without labels, sparse with rare units."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from checks import sklearn_estimators
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

import boltz
from boltz.sklearn import (
    BernoulliRBM,
    DBMClassifier,
    DBMTransformer,
    DBNClassifier,
    DBNTransformer,
    RBMTransformer,
    VAETransformer,
)

DIGITS, DIGIT = (part[:60] for part in load_digits(return_X_y=True))
SHORT: dict[str, Any] = {"random_state": 1, "epochs": 1}
DEEP: dict[str, Any] = SHORT | {"layers": (6, 5), "pretrain_epochs": 1, "chains": 5, "batch_size": 30}
ESTIMATORS: list[Any] = [
    BernoulliRBM(6, n_iter=1, random_state=1),
    DBMTransformer(**DEEP),
    DBNTransformer(**DEEP),
    VAETransformer((6,), 3, **SHORT),
    DBMClassifier(fine_tune_epochs=1, **DEEP),
    DBNClassifier(fine_tune_epochs=1, **DEEP),
    RBMTransformer(6, chains=5, **SHORT),
]
METHODS = ("transform", "score_samples", "gibbs", "predict", "predict_proba")


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("shape", [np.asarray, sp.csr_array])
def test_rows_that_are_not_scaled_are_warned_of_once_a_call_with_the_remedy(estimator: Any, shape: Any) -> None:
    said = r"^X holds numbers from 0 to 16, but the visible units are within \[0, 1\], .*divide X by 16, or .*MinMaxSca"
    with pytest.warns(UserWarning, match=said) as found:
        fitted = clone(estimator).fit(shape(DIGITS), DIGIT)
    assert len(found) == 1
    calls = [getattr(fitted, name) for name in METHODS if hasattr(fitted, name)]
    assert len(calls) >= 2
    for call in calls:
        with pytest.warns(UserWarning, match=said) as found:
            call(shape(DIGITS))
        assert len(found) == len({str(each.message) for each in found}) == 1, call
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = clone(estimator).fit(shape(DIGITS / 16), DIGIT)
        for name in METHODS:
            if hasattr(fitted, name):
                getattr(fitted, name)(shape((DIGITS > 8) / 1.0))


def test_rows_below_zero_are_warned_of_and_scaled_rows_and_gaussian_units_are_not() -> None:
    rows, rounded = DIGITS - 8, np.where(DIGITS == 16, 1 + 3e-16, DIGITS / 16)
    with pytest.warns(UserWarning, match=r"from -8 to 8, .*: put MinMaxScaler\(clip=True\) before\.$"):
        clone(ESTIMATORS[0]).fit(rows)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clone(ESTIMATORS[0]).fit(rounded)
        make_pipeline(MinMaxScaler(clip=True), clone(ESTIMATORS[0])).fit(rows).transform(2 * rows)
        clone(ESTIMATORS[3]).set_params(visible="gaussian").fit(rows).score_samples(rows)


def test_likelihoods_of_rows_outside_the_units_are_never_positive_in_silence() -> None:
    fitted = clone(ESTIMATORS[1]).fit(DIGITS / 16)
    with pytest.warns(UserWarning, match="likelihoods"):
        assert fitted.score(1000 * DIGITS) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fitted.score(DIGITS > 8) < 0


@pytest.mark.parametrize("estimator", [each for each in ESTIMATORS if hasattr(each, "score_samples")], ids=str)
@pytest.mark.parametrize("shape", [np.asarray, sp.csr_array])
def test_grey_rows_have_no_score_in_silence(estimator: Any, shape: Any) -> None:
    fitted = clone(estimator).fit(DIGITS / 16)
    for call in (fitted.score, fitted.score_samples):
        with pytest.warns(
            UserWarning, match=r"^X holds numbers between 0 and 1, .*: score X > 0.5, or [^.]*\.$"
        ) as found:
            call(shape(DIGITS / 16))
        assert len(found) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted.score(DIGITS > 8)
        if hasattr(fitted, "binarize"):
            fitted.set_params(binarize="threshold").score(shape(DIGITS / 16))


def test_rows_without_a_label_do_not_count_in_scores() -> None:
    """Whatever stands in the rows themselves; where -1 is a class it counts."""
    y = np.where(np.arange(60) % 3, -1, DIGIT % 2)
    fitted = DBNClassifier(fine_tune_epochs=3, **DEEP).fit(DIGITS / 16, y)
    labelled = y != -1
    wanted = np.mean(fitted.predict(DIGITS[labelled] / 16) == y[labelled])
    assert fitted.score(DIGITS / 16, y) == fitted.score(sp.csr_array(DIGITS / 16), y) == wanted
    weight = np.arange(60.0)
    weighted = np.average(fitted.predict(DIGITS[labelled] / 16) == y[labelled], weights=weight[labelled])
    assert fitted.score(DIGITS / 16, y, weight) == pytest.approx(weighted)
    with pytest.raises(boltz.InputError, match="got -1 alone"):
        fitted.score(DIGITS / 16, np.full(60, -1))
    with pytest.warns(UserWarning, match="taken for two classes"):
        other = DBNClassifier(fine_tune_epochs=1, **DEEP).fit(DIGITS / 16, 2 * (DIGIT % 2) - 1)
    assert other.score(DIGITS / 16, 2 * (DIGIT % 2) - 1) == np.mean(other.predict(DIGITS / 16) == 2 * (DIGIT % 2) - 1)


def test_minus_one_that_looks_like_a_class_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    """Beside 0 and 1, each as frequent; not where most rows have no label, or where the classes are other numbers."""
    known = DBNClassifier(fine_tune_epochs=1, **DEEP)
    with pytest.warns(UserWarning, match=r"^y holds -1 in 20 rows beside 0, 1: .*; if -1 is a class, number") as found:
        fitted = known.fit(DIGITS / 16, np.arange(60) % 3 - 1)
    assert len(found) == 1 and fitted.classes_.tolist() == [0, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known.fit(DIGITS / 16, np.where(np.arange(60) < 40, -1, np.arange(60) % 2))
        known.fit(DIGITS / 16, np.where(np.arange(60) < 57, np.arange(60) % 2, -1))
        clone(known).set_params(verbose=1).fit(DIGITS / 16, np.array([-1, 2, 5])[np.arange(60) % 3])
    assert "[DBNClassifier] 40 of 60 rows have a label\n" in capsys.readouterr().out


@pytest.mark.parametrize("missing", [None, np.nan], ids=str)
def test_missing_labels_are_refused_with_the_remedy(missing: Any) -> None:
    y = np.array([missing if i == 7 else i % 2 for i in range(60)])
    with pytest.raises(boltz.InputError, match=r"^Input y contains (None|NaN)\. Row 7 .* without a label by -1\.$"):
        DBMClassifier(**DEEP).fit(DIGITS / 16, y)


def test_rows_with_minus_one_have_no_label() -> None:
    sklearn_estimators.check_rows_without_labels()


@pytest.mark.parametrize("kind", [DBMClassifier, DBNClassifier])
def test_labels_of_any_type_beside_minus_one(kind: Any) -> None:
    """The same network and machine from words beside -1, numbers, and sparse rows; -1 is never predicted."""
    words = np.where(DIGIT > 4, "high", "low").astype(object)
    numbers = np.where(DIGIT > 4, 0, 1)
    words[::2], numbers[::2] = -1, -1
    found = [
        kind(fine_tune_epochs=2, **DEEP).fit(rows, y)
        for rows, y in (
            (DIGITS / 16, numbers),
            (DIGITS / 16, numbers.astype(float)),
            (DIGITS / 16, words),
            (sp.csr_array(DIGITS / 16), numbers),
        )
    ]
    assert found[0].classes_.tolist() == [0, 1] and found[2].classes_.tolist() == ["high", "low"]
    assert len({each.network_.arena.tobytes() for each in found}) == 1
    assert set(found[0].predict(DIGITS / 16)) <= {0, 1}
    more = kind(fine_tune_epochs=2, **DEEP).fit(DIGITS / 16, numbers, unlabelled=DIGITS[:7] / 16)
    assert more.machine_.arena.tobytes() != found[0].machine_.arena.tobytes()


@pytest.mark.parametrize(
    ("y", "shown"),
    [
        (np.where(DIGIT > 4, 1, -1), "-1 and 1 alone"),
        (np.where(DIGIT > 4, 1.0, -1.0), "-1 and 1.0 alone"),
        (np.where(DIGIT > 4, 7, -1), "-1 and 7 alone"),
    ],
)
def test_minus_one_beside_one_class_is_a_class_and_warned_of(y: Any, shown: str) -> None:
    """As scikit-learn's own checks want it; what to do for rows without a label is said."""
    for kind in (DBMClassifier, DBNClassifier):
        with pytest.warns(UserWarning, match="^y holds ") as found:
            fitted = kind(fine_tune_epochs=1, **DEEP).fit(DIGITS / 16, y)
        text = str(found[0].message)
        assert len(found) == 1 and shown in text and "as unlabelled" in text and len(text) <= 300
        assert fitted.classes_.tolist() == sorted(set(y.tolist()))


def test_labels_of_no_row_are_refused() -> None:
    for y in (np.full(60, -1), np.full(60, -1.0), np.full(60, -1, object)):
        with pytest.raises(ValueError, match=r"^y must hold labels, got -1 alone, |Unknown label type"):
            DBNClassifier(**DEEP).fit(DIGITS / 16, y)


def test_rows_without_labels_stay_in_searches() -> None:
    y = np.where(np.arange(60) % 2, DIGIT % 3, -1)
    search = GridSearchCV(DBNClassifier(**DEEP), {"fine_tune_epochs": [0, 1]}, cv=2, error_score="raise")
    assert search.fit(DIGITS / 16, y).best_estimator_.classes_.tolist() == [0, 1, 2]


def test_visible_biases_start_at_base_rates() -> None:
    sklearn_estimators.check_base_rates()


def test_features_of_sparse_rows_with_rare_units_tell_rows_apart() -> None:
    """500 columns of density 0.02, five topics of 100 columns each; one fixed draw, so no chance of a false alarm.

    The mean features of the topics spread by 0.20 here (0.20 and 0.13 with two other draws), and by 0.005 where visible
    biases start at zero, as all hidden units are then on: 0.05 is ten times the latter and a quarter of the former.
    """
    topic = np.arange(600) % 5
    density = np.where(np.arange(500) // 100 == topic[:, None], 0.08, 0.005)
    rows = sp.csr_array((np.random.default_rng(0).random((600, 500)) < density).astype(float))
    assert 0.018 < rows.mean() < 0.022
    found = BernoulliRBM(20, n_iter=30, random_state=0).fit(rows).transform(rows)
    means = np.array([found[topic == t].mean(axis=0) for t in range(5)])
    assert np.median(means.std(axis=0)) > 0.05
    assert found.std(axis=0).min() > 0.02, "every feature differs between rows"
    assert 0.02 < found.mean() < 0.8, "hidden units are neither all on nor all off"
