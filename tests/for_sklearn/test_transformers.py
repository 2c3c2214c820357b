"""Deep machines as transformers: scikit-learn's checks, features and likelihoods that belong to a row alone."""

from __future__ import annotations

import pickle
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from support import stats

import boltz
from boltz.estimators.importance import mean_and_error, reduced_alone
from boltz.sampling.meanfield import MeanField, variational_free_energy
from boltz.sklearn import BernoulliRBM, DBMTransformer, DBNTransformer, VAETransformer

OUTSIDE = "ignore:X holds numbers from"  # which many tests here do on purpose
pytestmark = pytest.mark.filterwarnings(OUTSIDE)
RNG = np.random.default_rng(6)
LABELS = np.repeat([0, 1], 40)
ROWS = (RNG.random((80, 9)) < np.where(LABELS[:, None] == 1, 0.8, 0.3)).astype(np.float64)
QUICK: dict[str, Any] = {"random_state": 1, "epochs": 3, "batch_size": 40}
DBM = DBMTransformer((5, 4), pretrain_epochs=2, chains=10, **QUICK)
DBN = DBNTransformer((5, 4), pretrain_epochs=2, chains=10, k=1, **QUICK)
VAE = VAETransformer((6,), 3, **QUICK)
DEEP = [DBM, DBN, VAE]
FITTED = {type(each).__name__: clone(each).fit(ROWS) for each in DEEP}


@parametrize_with_checks([*DEEP, clone(DBM).set_params(layer="all", missing="infer", n_jobs=2)])
def test_scikit_learn_is_content(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("layer", ["top", "all", 1])
def test_features_are_those_of_the_machine(name: str, layer: Any) -> None:
    fitted = clone(FITTED[name]).set_params(layer=layer if name != "VAETransformer" else "top").fit(ROWS)
    wanted = boltz.features(fitted.model_, ROWS, fitted.layer)
    found = fitted.transform(ROWS)
    assert found.dtype == np.float64 and np.array_equal(found, wanted) and found.shape[1] == wanted.shape[1]
    assert fitted.transform(ROWS.astype(np.float32)).dtype == np.float32
    assert fitted.get_feature_names_out().tolist() == [f"{name.lower()}{i}" for i in range(found.shape[1])]
    assert [record["epoch"] for record in fitted.history_][-1] == 3


@pytest.mark.parametrize("name", FITTED)
def test_sparse_rows_give_what_dense_ones_do(name: str) -> None:
    fitted, dense = clone(FITTED[name]).fit(sp.csr_array(ROWS)), FITTED[name]
    assert fitted.model_.arena.tobytes() == dense.model_.arena.tobytes()
    assert fitted.transform(sp.csc_matrix(ROWS)).tobytes() == dense.transform(ROWS).tobytes()
    assert fitted.score_samples(sp.coo_array(ROWS)).tobytes() == dense.score_samples(ROWS).tobytes()


@pytest.mark.parametrize("name", FITTED)
def test_what_is_said_of_a_row_follows_from_the_row_alone(name: str) -> None:
    fitted, real = FITTED[name], RNG.normal(size=(50, 9))
    real[::3, 2:5] = np.nan
    fitted = pickle.loads(pickle.dumps(fitted)).set_params(missing="infer", n_jobs=2)
    order = RNG.permutation(50)
    for method in (fitted.transform, fitted.score_samples):
        whole = method(real)
        assert np.isfinite(whole).all()
        np.testing.assert_allclose(method(real[order]), whole[order], rtol=1e-12)
        np.testing.assert_allclose(method(real[3:4]), whole[3:4], rtol=1e-12)


def test_the_score_of_a_boltzmann_machine_is_its_variational_bound() -> None:
    fitted = FITTED["DBMTransformer"]
    free, _ = variational_free_energy(fitted.model_.astype(np.float64), ROWS, MeanField(1e-12, 5000))
    wanted = -free - boltz.exact_log_z(fitted.model_).value
    np.testing.assert_allclose(fitted.score_samples(ROWS), wanted, rtol=1e-5)
    assert fitted.score(ROWS) == fitted.score_samples(ROWS).mean()
    large = DBMTransformer((30, 30), pretrain_epochs=1, chains=10, betas=50, **QUICK).fit(RNG.random((40, 30)))
    wanted = variational_free_energy(
        large.model_.astype(np.float64), ROWS[:4, :1] * np.ones(30), MeanField(1e-9, 5000)
    )[0]
    found = large.score_samples(ROWS[:4, :1] * np.ones(30))
    np.testing.assert_allclose(found + wanted, -boltz.ais(large.model_, betas=50).value, rtol=1e-5)


@pytest.mark.parametrize("name", ["DBNTransformer", "VAETransformer"])
def test_the_score_of_a_directed_machine_is_its_importance_weighted_bound(name: str) -> None:
    """The mean weight of a row is an unbiased estimate of p(v), known by enumeration for a net of binary units."""
    fitted = FITTED[name]
    model, samples = fitted.model_, 4000
    rows, numbers = ROWS[:5].astype(np.float32), np.array([7, 0, 11, 12, 13])
    value, error, _, _ = reduced_alone(model, rows, numbers, samples, boltz.Key(1, 2), mean_and_error).T
    if name == "DBNTransformer":
        truth = boltz.log_likelihood(model, rows, log_z=0.0).per_row
    else:
        truth = boltz.log_likelihood(model, rows, samples=100_000).per_row  # errs a fifth as much
    p_values = [stats.ratio_test(v, t, e, samples) for v, t, e in zip(value, truth, error, strict=True)]
    stats.accept(stats.smallest_of(p_values), "weights of single rows are not those of the machine")
    assert len(set(reduced_alone(model, rows[[0, 0]], numbers[:2], 3, boltz.Key(1, 2), mean_and_error)[:, 0])) == 2
    few, many = (clone(fitted).set_params(evaluation_samples=k).fit(ROWS).score(ROWS) for k in (1, 2000))
    assert few < many


def test_unknown_units_of_a_boltzmann_machine_are_at_their_mean_field_means() -> None:
    rbm = BernoulliRBM(4, n_iter=3, random_state=0, missing="infer").fit(ROWS)
    lacking = np.where(RNG.random(ROWS.shape) < 0.3, np.nan, ROWS)
    for fitted, model in ((rbm, rbm.machine_), (FITTED["DBMTransformer"], FITTED["DBMTransformer"].model_)):
        chosen = clone(fitted).set_params(missing="infer").fit(ROWS)
        complete = boltz.complete(model, lacking, method="mean-field")
        np.testing.assert_allclose(chosen.transform(lacking), chosen.transform(complete), rtol=1e-5)
        np.testing.assert_allclose(chosen.transform(sp.csr_array(lacking)), chosen.transform(complete), rtol=1e-5)
        means = np.where(np.isnan(lacking), np.nanmean(lacking, axis=0), lacking)
        assert np.array_equal(clone(chosen).fit(lacking).transform(ROWS), clone(chosen).fit(means).transform(ROWS))
        with pytest.raises(ValueError, match="NaN"):
            chosen.set_params(missing="error").transform(lacking)


@pytest.mark.parametrize("name", FITTED)
def test_features_of_rows_with_unknown_units_are_those_of_the_machine(name: str) -> None:
    lacking = np.where(RNG.random(ROWS.shape) < 0.3, np.nan, ROWS)
    fitted = clone(FITTED[name]).set_params(missing="infer").fit(ROWS)
    assert np.array_equal(fitted.transform(lacking), boltz.features(fitted.model_, lacking))


@pytest.mark.parametrize("estimator", DEEP, ids=lambda each: type(each).__name__)
def test_transformers_work_in_pipelines_and_searches(estimator: Any) -> None:
    pipeline = make_pipeline(estimator, LogisticRegression())
    grid = {f"{pipeline.steps[0][0]}__epochs": [0, 2]}
    with joblib.parallel_config("threading"):
        search = GridSearchCV(pipeline, grid, cv=2, n_jobs=2, error_score="raise").fit(ROWS, LABELS)
    alone = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(ROWS, LABELS)
    assert search.cv_results_["mean_test_score"].tolist() == alone.cv_results_["mean_test_score"].tolist()


def test_features_come_as_a_frame_where_that_is_asked_for() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(ROWS, columns=[f"unit {i}" for i in range(9)])
    found = clone(DBM).set_output(transform="pandas").fit(frame).transform(frame)
    assert list(found.columns) == [f"dbmtransformer{i}" for i in range(4)]


def test_progress_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    clone(VAE).set_params(verbose=1).fit(ROWS)
    assert "[VAETransformer] joint, epoch 3 of 3: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("estimator", "what"),
    [
        (DBMTransformer((5,)), r"layers must name at least two hidden layers, got \[5\]"),
        (DBNTransformer((5,)), r"layers must name at least two hidden layers, got \[5\]"),
        *((kind(4), "layers must be a sequence, got int") for kind in (DBMTransformer, DBNTransformer, VAETransformer)),
        (DBMTransformer((5, 4), layer=3), "layer must be top, all, 1 to 2"),
        (DBNTransformer((5, 0)), r"layers\[1\] must be a whole number of at least 1"),
        (VAETransformer((5,), objective="best"), "objective must be one of"),
        (DBMTransformer((5, 4), missing="drop"), "missing must be one of error, infer"),
        (DBMTransformer((5, 4), binarize="dynamic"), r"X must hold numbers in \[0, 1\]"),
        (DBMTransformer((5, 4), n_jobs=0), "threads must be a whole number"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_wrong_with_a_setting_is_said(estimator: Any, what: str) -> None:
    with pytest.raises(boltz.InputError, match=what):
        estimator.fit(3 * ROWS)


@pytest.mark.parametrize("name", FITTED)
def test_rows_beyond_the_range_of_float32_are_refused(name: str) -> None:
    lacking = np.where(RNG.random(ROWS.shape) < 0.3, np.nan, -1e39)
    fitted = pickle.loads(pickle.dumps(FITTED[name])).set_params(missing="infer")
    for method in (fitted.transform, fitted.score_samples, fitted.fit):
        for rows in (1e39 * ROWS, sp.csr_array(1e39 * ROWS), lacking):
            with pytest.raises(boltz.InputError, match="X must hold finite numbers within the range of float32, got"):
                method(rows)


def test_another_layer_may_be_asked_for_after_the_fit() -> None:
    fitted = clone(DBM).fit(ROWS).set_params(layer="all")
    assert np.array_equal(fitted.transform(ROWS), boltz.features(fitted.model_, ROWS, "all"))
    assert len(fitted.get_feature_names_out()) == 9
    with pytest.raises(boltz.InputError, match="layer must be top, all, 1 to 2"):
        fitted.set_params(layer=3).transform(ROWS)


def test_grey_values_are_drawn_cut_or_taken_as_they_are() -> None:
    grey = RNG.random((30, 9))
    found = {how: clone(DBM).set_params(binarize=how).fit(grey) for how in ("dynamic", "fixed", "threshold", "none")}
    assert len({each.model_.arena.tobytes() for each in found.values()}) == 4
    cut = found["threshold"]
    assert np.array_equal(cut.transform(grey), cut.transform((grey >= 0.5).astype(float)))
    assert not np.array_equal(found["none"].transform(grey), found["none"].transform((grey >= 0.5).astype(float)))
