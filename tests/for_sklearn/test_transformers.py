"""Machines as transformers: would catch a broken rule of scikit-learn, wrong features, likelihoods or visible means."""

from __future__ import annotations

import pickle
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from checks import sklearn_estimators
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks
from support import stats

import boltz
from boltz.estimators.importance import reduced_alone
from boltz.estimators.weight_means import mean_and_error
from boltz.presets import preset
from boltz.sampling.meanfield import MeanField, variational_free_energy
from boltz.sklearn import BernoulliRBM, DBMTransformer, DBNTransformer, RBMTransformer, VAETransformer

OUTSIDE = "ignore:X holds numbers from"  # which many tests here do on purpose
pytestmark = pytest.mark.filterwarnings(OUTSIDE)
RNG = np.random.default_rng(6)
LABELS = np.repeat([0, 1], 40)
ROWS = (RNG.random((80, 9)) < np.where(LABELS[:, None] == 1, 0.8, 0.3)).astype(np.float64)
QUICK: dict[str, Any] = {"random_state": 1, "epochs": 3, "batch_size": 40}
DBM = DBMTransformer((5, 4), pretrain_epochs=2, chains=10, **QUICK)
DBN = DBNTransformer((5, 4), pretrain_epochs=2, chains=10, k=1, **QUICK)
VAE = VAETransformer((6,), 3, **QUICK)
RBM = RBMTransformer(5, chains=10, **QUICK)
DEEP = [DBM, DBN, VAE, RBM]
FITTED = {type(each).__name__: clone(each).fit(ROWS) for each in DEEP}


CHECKED = [
    *DEEP,
    clone(DBM).set_params(layer="all", missing="infer", n_jobs=2),
    clone(DBM).set_params(layers=(5,)),
    clone(RBM).set_params(missing="infer", n_jobs=2),
    clone(VAE).set_params(visible="gaussian"),
    clone(RBM).set_params(units="gaussian", hidden_units="spin", missing="infer"),
    clone(DBM).set_params(units="gaussian"),
]


@parametrize_with_checks(CHECKED)
def test_scikit_learn_is_content(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("name", FITTED)
@pytest.mark.parametrize("layer", ["top", "all", 1])
def test_features_are_those_of_the_machine(name: str, layer: Any) -> None:
    fitted = FITTED[name]
    if name in ("DBMTransformer", "DBNTransformer"):
        fitted = clone(fitted).set_params(layer=layer).fit(ROWS)
    wanted = boltz.features(fitted.machine_, ROWS, fitted.layer)
    found = fitted.transform(ROWS)
    assert found.dtype == np.float64 and np.array_equal(found, wanted) and found.shape[1] == wanted.shape[1]
    assert fitted.transform(ROWS.astype(np.float32)).dtype == np.float32
    assert len(set(fitted.get_feature_names_out())) == found.shape[1] and fitted.model_ is fitted.machine_
    assert [record["epoch"] for record in fitted.history_][-1] == 3


@pytest.mark.parametrize("name", FITTED)
def test_sparse_rows_give_what_dense_ones_do(name: str) -> None:
    fitted, dense = clone(FITTED[name]).fit(sp.csr_array(ROWS)), FITTED[name]
    assert fitted.machine_.arena.tobytes() == dense.machine_.arena.tobytes()
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


def test_the_score_of_a_boltzmann_machine_is_exact_or_its_variational_bound() -> None:
    sklearn_estimators.check_scores()
    fitted = clone(DBM).set_params(layers=(16, 4)).fit(ROWS)
    free, _ = variational_free_energy(fitted.machine_.astype(np.float64), ROWS, MeanField(1e-12, 5000))
    wanted = -free - boltz.exact_log_z(fitted.machine_).value
    np.testing.assert_allclose(fitted.score_samples(ROWS), wanted, rtol=1e-5)
    assert fitted.score(ROWS) == fitted.score_samples(ROWS).mean()
    large = DBMTransformer((30, 30), pretrain_epochs=1, chains=10, betas=50, **QUICK).fit(RNG.random((40, 30)))
    wanted = variational_free_energy(
        large.machine_.astype(np.float64), ROWS[:4, :1] * np.ones(30), MeanField(1e-9, 5000)
    )[0]
    found = large.score_samples(ROWS[:4, :1] * np.ones(30))
    np.testing.assert_allclose(found + wanted, -boltz.ais(large.machine_, betas=50).value, rtol=1e-5)


@pytest.mark.parametrize("name", ["DBNTransformer", "VAETransformer"])
def test_the_score_of_a_directed_machine_is_its_importance_weighted_bound(name: str) -> None:
    """The mean weight of a row is an unbiased estimate of p(v), known by enumeration for a net of binary units."""
    fitted = FITTED[name]
    model, samples = fitted.machine_, 4000
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
    for fitted, model in ((rbm, rbm.machine_), (FITTED["DBMTransformer"], FITTED["DBMTransformer"].machine_)):
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
    assert np.array_equal(fitted.transform(lacking), boltz.features(fitted.machine_, lacking))


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
    assert list(found.columns) == [f"dbmtransformer_h2_{i}" for i in range(4)]


def test_progress_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    clone(VAE).set_params(verbose=1).fit(ROWS)
    assert "[VAETransformer] joint, epoch 3 of 3: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("estimator", "what"),
    [
        (DBMTransformer(()), r"layers must name at least one hidden layer, got \[\]"),
        (DBMTransformer((5,), pretrain_epochs=-1), "pretrain_epochs must be a whole number of at least 0"),
        (RBMTransformer(0), "n_components must be a whole number of at least 1"),
        (RBMTransformer(5, learning_rate=-1.0), "learning_rate must be a finite number in"),
        (RBMTransformer(5, warm_start="yes"), "warm_start must be True or False"),
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
    assert np.array_equal(fitted.transform(ROWS), boltz.features(fitted.machine_, ROWS, "all"))
    assert len(fitted.get_feature_names_out()) == 9
    with pytest.raises(boltz.InputError, match="layer must be top, all, 1 to 2"):
        fitted.set_params(layer=3).transform(ROWS)


def test_grey_values_are_drawn_cut_or_taken_as_they_are() -> None:
    grey = RNG.random((30, 9))
    found = {how: clone(DBM).set_params(binarize=how).fit(grey) for how in ("dynamic", "fixed", "threshold", "none")}
    assert len({each.machine_.arena.tobytes() for each in found.values()}) == 4
    cut = found["threshold"]
    assert np.array_equal(cut.transform(grey), cut.transform((grey >= 0.5).astype(float)))
    assert not np.array_equal(found["none"].transform(grey), found["none"].transform((grey >= 0.5).astype(float)))


def test_the_way_back_gives_visible_means() -> None:
    sklearn_estimators.check_the_way_back_of_an_rbm()
    sklearn_estimators.check_the_way_back_of_a_dbm()
    sklearn_estimators.check_the_way_back_of_a_belief_net()


@pytest.mark.parametrize("visible", ["bernoulli", "gaussian"])
def test_the_way_back_of_an_autoencoder_is_its_decoder(visible: str) -> None:
    """Means by the weights, written out: one tanh layer; Gaussian units in the mean and spread of their column."""
    rows = ROWS if visible == "bernoulli" else 10 * RNG.normal(size=(80, 9)) + 50
    fitted = clone(VAE).set_params(visible=visible).fit(rows)
    p, z = fitted.machine_.params, RNG.normal(size=(50, 3))
    inner = np.tanh(z @ p["generative/v/0/weight"] + p["generative/v/0/bias"])
    wanted = inner @ p["generative/v/1/weight"] + p["generative/v/1/bias"]
    if visible == "gaussian":
        wanted = wanted[:, :9] * rows.std(axis=0) + rows.mean(axis=0)
    else:
        wanted = 1 / (1 + np.exp(-wanted))
    np.testing.assert_allclose(fitted.inverse_transform(z), wanted, rtol=1e-4)


@pytest.mark.parametrize("name", FITTED)
def test_the_way_back_follows_from_the_row_alone(name: str) -> None:
    fitted = pickle.loads(pickle.dumps(FITTED[name])).set_params(n_jobs=2)
    found = fitted.transform(ROWS)
    whole, order = fitted.inverse_transform(found), RNG.permutation(80)
    assert whole.shape == ROWS.shape and whole.dtype == np.float64 and 0 < whole.min() < whole.max() < 1
    assert fitted.inverse_transform(found.astype(np.float32)).dtype == np.float32
    assert np.array_equal(fitted.inverse_transform(found[order]), whole[order])
    assert np.array_equal(fitted.inverse_transform(found[3:4]), whole[3:4])
    assert np.array_equal(fitted.inverse_transform(sp.csr_array(found)), whole)
    for rows, what in ((found[:, 1:], "features that transform gives"), (1e39 * found + 1e39, "range of float32")):
        with pytest.raises(boltz.InputError, match=what):
            fitted.inverse_transform(rows)


def test_names_of_features_tell_layers_apart() -> None:
    sklearn_estimators.check_feature_names()
    assert FITTED["RBMTransformer"].get_feature_names_out().tolist() == [f"rbmtransformer{i}" for i in range(5)]
    assert FITTED["VAETransformer"].get_feature_names_out().tolist() == [f"vaetransformer_h1_{i}" for i in range(3)]


def test_going_on_is_training_from_the_machine_that_is_there() -> None:
    sklearn_estimators.check_going_on()
    sklearn_estimators.check_nothing_is_learnt_at_rate_zero()


@pytest.mark.parametrize(("estimator", "rate"), [(RBM, 0.05), (VAE, 0.01)])
def test_rows_that_come_in_parts_are_learnt(estimator: Any, rate: float) -> None:
    """Rows that are all on or all off: log 2 nats a row are the best, 9 log 2 those of independent units.

    Seeds are fixed. Catches parts that are forgotten, or gradients of the wrong sign.
    """
    rows = np.random.default_rng(0).permutation(np.hstack([np.repeat([[0.0], [1.0]], 100, axis=0)] * 9))
    fitted = clone(estimator).set_params(batch_size=10, learning_rate=rate)
    for _ in range(12):
        for part in np.array_split(rows, 2):
            fitted.partial_fit(part)
    assert fitted.n_samples_seen_ == 12 * 200
    assert fitted.score(rows) > boltz.independent_units(rows, rows).value + 1.5


def test_what_a_warm_start_cannot_go_on_from_is_refused() -> None:
    fitted = clone(DBM).set_params(warm_start=True).fit(ROWS)
    with pytest.raises(boltz.InputError, match=r"layers 9, 5, 4, but the parameters ask for another, with 9, 6, 4"):
        fitted.set_params(layers=(6, 4)).fit(ROWS)
    with pytest.raises(ValueError, match="9 features"):
        fitted.set_params(layers=(5, 4)).fit(ROWS[:, :5])
    with pytest.raises(ValueError, match="9 features"):
        fitted.partial_fit(ROWS[:, :5])
    assert fitted.set_params(layers=(6, 4), warm_start=False).fit(ROWS[:, :5]).machine_.units["h1"] == 6


def test_one_search_chooses_the_depth_of_a_machine() -> None:
    """Binary digits, machines of one, two and three hidden layers by the likelihood of unseen rows; a fixed seed.

    So few units that all likelihoods are exact: the odd layers have at most 14.
    """
    digits = boltz.load_data("mnist-mini").x[:300].reshape(-1, 28, 28)[:, ::2, ::2].reshape(300, 196)
    rows, grid = (digits > 127).astype(np.float32), {"layers": [(8,), (8, 4), (8, 4, 2)]}
    deep = DBMTransformer(pretrain_epochs=20, pretrain_learning_rate=0.2, epochs=1, chains=20, random_state=0)
    search = GridSearchCV(deep, grid, cv=2, error_score="raise").fit(rows)
    machine, found = search.best_estimator_.machine_, search.cv_results_["mean_test_score"]
    assert len(machine.layers) == len(search.best_params_["layers"]) + 1
    assert search.best_score_ == max(found) and len(set(found)) == 3
    assert search.score(rows) == pytest.approx(boltz.log_likelihood(machine, rows).value, rel=1e-9)
    alone = [boltz.independent_units(*parts).value for parts in ((rows[:150], rows[150:]), (rows[150:], rows[:150]))]
    assert min(found) > np.mean(alone) + 0.5


def test_the_defaults_of_the_rbm_are_those_of_boltz(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those of scikit-learn, of which the average is kept, end far above independent units on 1,000 digits (-202).

    Without the average five seeds ended from -240 to -192, with it at -144. Catches defaults that were mixed up, and
    last parameters in the place of their average.
    """
    digits = [(boltz.load_data("mnist-mini", split=s).x[:1000] > 127).astype(np.float32) for s in ("train", "test")]
    seen: list[Any] = []

    def few(*arguments: Any, **settings: Any) -> Any:
        seen.append(settings)
        return boltz.train(*arguments, **settings | {"epochs": 0})

    monkeypatch.setattr("boltz.sklearn.machines.train", few)
    RBMTransformer(64, random_state=0).fit(digits[0])
    assert preset("rbm", 1000, 784, held_out=False).items() <= seen[0].items()
    alone = boltz.independent_units(*digits).value
    assert BernoulliRBM(64, random_state=0).fit(digits[0]).score(digits[1]) > alone + 40


def test_an_estimator_in_place_of_its_machine_is_told_apart() -> None:
    rows = (np.random.default_rng(1).random((20, 6)) < 0.5).astype(float)
    for fitted in (RBMTransformer(3, epochs=1).fit(rows), BernoulliRBM(3, n_iter=1).fit(rows)):
        for function in (boltz.evaluate, boltz.log_likelihood, boltz.diagnose):
            with pytest.raises(boltz.InputError, match=r"^model must be .*, got .*RBM.*; use its \.machine_\.$"):
                function(fitted, rows)
    with pytest.raises(boltz.InputError, match=r"got RBMTransformer\.$"):
        boltz.log_likelihood(RBMTransformer(3), rows)
