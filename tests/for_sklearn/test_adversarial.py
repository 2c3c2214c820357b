"""Adversarial autoencoders for scikit-learn: would catch broken checks, classes and clusters mixed up, wrong codes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from checks import sklearn_adversarial
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import boltz
from boltz.sklearn import AAEClassifier, AAEClusterer, AAETransformer

OUTSIDE = "ignore:X holds numbers from"  # which many tests here do on purpose
pytestmark = pytest.mark.filterwarnings(OUTSIDE, "ignore:y holds -1 and 1 alone")  # the latter in their checks
RNG = np.random.default_rng(9)
GROUPS = np.repeat([0, 1], 40)
ROWS = (RNG.random((80, 9)) < np.where(GROUPS[:, None] == 1, 0.9, 0.1)).astype(np.float64)
QUICK: dict[str, Any] = {
    "layers": (6,),
    "latent": 2,
    "epochs": 2,
    "batch_size": 40,
    "discriminator_widths": (8,),
    "random_state": 1,
}
LONGER = {"epochs": 20, "batch_size": 10, "learning_rate": 0.02, "generator_rate": 0.02, "discriminator_rate": 0.02}
KINDS: list[Any] = [AAETransformer(**QUICK), AAEClassifier(**QUICK), AAEClusterer(2, **QUICK)]
FITTED = {type(each).__name__: clone(each).fit(ROWS, GROUPS) for each in KINDS}
CHECKED = [
    *KINDS,
    clone(KINDS[0]).set_params(visible="gaussian", prior="mixture", adversary="mmd", missing="infer", n_jobs=2),
    clone(KINDS[2]).set_params(visible="gaussian", embed=True),
]


def able(estimator: Any, check: Any) -> Any:
    """The estimator with as many steps as a check asks for that looks at what is learnt."""
    changes: dict[str, Any] = {}
    if check.func.__name__ == "check_classifiers_train":  # wants 83 % of 300 points right
        changes = {"layers": (20,), "visible": "gaussian", "batch_size": 30, "label_rate": 0.03}
    if check.func.__name__ == "check_clustering":  # wants three clusters of 50 points
        changes = {"layers": (20,), "visible": "gaussian", "discriminator_widths": (20,), **LONGER, "epochs": 12}
    return clone(estimator).set_params(**changes) if changes else estimator


@parametrize_with_checks(CHECKED)
def test_scikit_learn_is_content(estimator: Any, check: Any) -> None:
    check(able(estimator, check))


def test_checks() -> None:
    sklearn_adversarial.check_classes_are_taught()
    sklearn_adversarial.check_probabilities_of_classes()
    sklearn_adversarial.check_clusters_and_what_the_decoder_hears()
    sklearn_adversarial.check_labels_of_clusters()
    sklearn_adversarial.check_codes()
    sklearn_adversarial.check_no_row_is_held_out()


def test_few_labels_are_enough() -> None:
    """Two groups of rows of which two rows each have a label; a fixed seed, half right is chance.

    Catches labels that teach nobody, and -1 that is taught as a class.
    """
    words = np.array(["dark", "light"], object)[GROUPS]
    y = np.where(np.isin(np.arange(80), [0, 1, 78, 79]), words, -1)
    fitted = AAEClassifier(**QUICK | LONGER, label_rate=0.02).fit(ROWS, y)
    assert fitted.classes_.tolist() == ["dark", "light"]
    assert np.mean(fitted.predict(ROWS) == words) > 0.95
    assert fitted.score(ROWS, y) == np.mean(fitted.predict(ROWS)[[0, 1, 78, 79]] == y[[0, 1, 78, 79]])


def test_minus_one_beside_one_other_class_is_a_class() -> None:
    with pytest.warns(UserWarning, match="taken for two classes"):
        fitted = clone(KINDS[1]).fit(ROWS, 3 * GROUPS - 1)
    assert fitted.classes_.tolist() == [-1, 2] and set(fitted.predict(ROWS)) <= {-1, 2}


def test_clusters_find_groups() -> None:
    """Two groups that no label tells apart, but by a fixed seed; half right is chance."""
    found = AAEClusterer(2, **QUICK | LONGER).fit_predict(ROWS)
    assert max(np.mean(found == GROUPS), np.mean(found != GROUPS)) > 0.95


@pytest.mark.parametrize("name", FITTED)
def test_what_is_said_of_a_row_follows_from_the_row_alone(name: str) -> None:
    fitted, real = FITTED[name], RNG.normal(size=(50, 9))
    real[::3, 2:5] = np.nan
    fitted = pickle.loads(pickle.dumps(fitted)).set_params(missing="infer", n_jobs=2)
    order = RNG.permutation(50)
    for method in ("transform", "predict_proba", "predict"):
        if hasattr(fitted, method):
            told = getattr(fitted, method)
            whole = told(real)
            assert np.array_equal(told(real[order]), whole[order]) and np.array_equal(told(real[3:4]), whole[3:4])


@pytest.mark.parametrize("name", FITTED)
def test_sparse_rows_and_threads_change_nothing(name: str) -> None:
    fitted, other = FITTED[name], clone(FITTED[name]).set_params(n_jobs=2).fit(sp.csr_array(ROWS), GROUPS)
    assert other.machine_.arena.tobytes() == fitted.machine_.arena.tobytes()


@pytest.mark.parametrize("clusters", [1, 2])
def test_scores_are_importance_bounds(clusters: int) -> None:
    """Of rows by 2,000 samples, beside as many of boltz.log_likelihood: a fixed seed, noise of 0.1 nats at most.

    Catches a sum over two labels that is not their mean, which is log 2 too much.
    """
    for fitted in (
        clone(KINDS[0]).set_params(evaluation_samples=2000).fit(ROWS),
        AAEClusterer(clusters, evaluation_samples=2000, **QUICK).fit(ROWS),
    ):
        wanted = boltz.log_likelihood(fitted.machine_, ROWS[:5], samples=2000).per_row
        np.testing.assert_allclose(fitted.score_samples(ROWS[:5]), wanted, atol=0.3)


def test_one_cluster_holds_all_rows() -> None:
    fitted = clone(KINDS[2]).set_params(n_clusters=1).fit(ROWS)
    assert set(fitted.labels_) == {0}
    assert np.array_equal(fitted.transform(ROWS), boltz.features(fitted.machine_, ROWS))


@pytest.mark.parametrize(
    ("estimator", "y", "what"),
    [
        (AAETransformer(()), None, r"layers must name at least one hidden layer, got \[\]"),
        (AAETransformer((4,), prior="mixture", latent=3), None, "prior mixture is of 2 units"),
        (AAETransformer((4,), adversary="friend"), None, "adversary must be one of gan, mmd"),
        (AAETransformer((4,), discriminator_widths=(0,)), None, "discriminator_widths must be a whole number"),
        (AAEClassifier((4,)), np.full(80, "all"), "y must hold at least two classes, got one class, all"),
        (AAEClassifier((4,)), np.full(80, -1), "y must hold labels, got -1 alone"),
        (AAEClusterer(0), None, "n_clusters must be a whole number of at least 1"),
        (AAEClusterer(2, embed="yes"), None, "embed must be True or False"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_with_a_setting_is_said(estimator: Any, y: Any, what: str) -> None:
    with pytest.raises(boltz.InputError, match=what):
        estimator.fit(ROWS, y)


def test_what_a_warm_start_cannot_go_on_from_is_refused() -> None:
    fitted = clone(KINDS[1]).set_params(warm_start=True).fit(ROWS, GROUPS)
    with pytest.raises(boltz.InputError, match="y must hold the 2 classes of the fit"):
        fitted.fit(ROWS, np.arange(80) % 3)
    with pytest.raises(boltz.InputError, match="layers 9, 2, but the parameters ask for another, with 9, 3"):
        fitted.set_params(latent=3).fit(ROWS, GROUPS)


def test_names_of_features_and_progress(capsys: pytest.CaptureFixture[str]) -> None:
    assert FITTED["AAETransformer"].get_feature_names_out().tolist() == ["aaetransformer0", "aaetransformer1"]
    assert FITTED["AAEClusterer"].get_feature_names_out().tolist() == [f"aaeclusterer{i}" for i in range(4)]
    clone(KINDS[0]).set_params(verbose=1).fit(ROWS)
    assert "[AAETransformer] game, epoch 2 of 2: " in capsys.readouterr().out
