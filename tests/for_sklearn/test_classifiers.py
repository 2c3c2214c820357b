"""Deep machines as classifiers: would catch broken checks, rows that pretraining misses, a fit that goes on wrongly."""

from __future__ import annotations

import pickle
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from checks import sklearn_estimators
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import boltz
from boltz.sklearn import DBMClassifier, DBMTransformer, DBNClassifier, DBNTransformer

OUTSIDE = "ignore:X holds numbers from"  # which many tests here do on purpose
pytestmark = pytest.mark.filterwarnings(OUTSIDE, "ignore:y holds -1 and 1 alone")  # the latter in their checks
RNG = np.random.default_rng(8)
LABELS = np.repeat(["no", "yes"], 40)
ROWS = (RNG.random((80, 9)) < np.where(LABELS[:, None] == "yes", 0.8, 0.3)).astype(np.float64)
MORE = (RNG.random((30, 9)) < 0.5).astype(np.float64)
SHORT: dict[str, Any] = {"layers": (5, 4), "pretrain_epochs": 2, "epochs": 1, "chains": 10, "random_state": 1}
QUICK: dict[str, Any] = SHORT | {"fine_tune_epochs": 3, "batch_size": 40, "fine_tune_learning_rate": 0.05}
KINDS: list[Any] = [DBMClassifier(**QUICK), DBNClassifier(k=1, **QUICK)]
FITTED = {type(each).__name__: clone(each).fit(ROWS, LABELS) for each in KINDS}


def spread(estimator: Any) -> Any:
    """The estimator with a machine that tells points in the plane apart after few updates of the network."""
    machine = (boltz.dbm if isinstance(estimator, DBMClassifier) else boltz.dbn)([2, 20, 10])
    machine.arena[...] = np.random.default_rng(0).normal(0, 2, machine.arena.size)
    return clone(estimator).set_params(machine=machine, batch_size=30, fine_tune_epochs=6, fine_tune_learning_rate=0.1)


@parametrize_with_checks(KINDS)
def test_scikit_learn_is_content(estimator: Any, check: Any) -> None:
    learns = check.func.__name__ == "check_classifiers_train"  # wants 83 % of 300 points right
    check(spread(estimator) if learns else estimator)


@pytest.mark.parametrize("name", FITTED)
def test_probabilities_are_those_of_the_network(name: str) -> None:
    fitted = FITTED[name]
    found = fitted.predict_proba(ROWS)
    np.testing.assert_allclose(found, boltz.classify(fitted.network_, ROWS), rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12)
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.predict(ROWS).tolist() == fitted.classes_[found.argmax(axis=1)].tolist()
    assert np.array_equal(fitted.predict_log_proba(ROWS), np.log(found))
    other = clone(fitted).fit(sp.csr_array(ROWS), LABELS)
    assert other.predict_proba(sp.csc_array(ROWS)).tobytes() == found.tobytes()


@pytest.mark.parametrize("name", FITTED)
def test_what_is_said_of_a_row_follows_from_the_row_alone(name: str) -> None:
    real, order = RNG.normal(size=(50, 9)), RNG.permutation(50)
    real[::3, 2:5] = np.nan
    fitted = pickle.loads(pickle.dumps(FITTED[name])).set_params(missing="infer", n_jobs=2)
    whole = fitted.predict_proba(real)
    assert np.array_equal(fitted.predict_proba(real[order]), whole[order])
    assert np.array_equal(fitted.predict_proba(real[3:4]), whole[3:4])


def test_rows_without_labels_serve_the_pretraining() -> None:
    sklearn_estimators.check_unlabelled_rows()


def test_sparse_rows_without_labels_are_put_below_the_others() -> None:
    dense = clone(KINDS[0]).fit(ROWS, LABELS, unlabelled=MORE).machine_.arena.tobytes()
    for rows, more in (
        (sp.csr_array(ROWS), MORE),
        (ROWS, sp.csc_array(MORE)),
        (sp.csr_array(ROWS), sp.csr_array(MORE)),
    ):
        assert clone(KINDS[0]).fit(rows, LABELS, unlabelled=more).machine_.arena.tobytes() == dense


@pytest.mark.parametrize(("kind", "transformer"), [(DBMClassifier, DBMTransformer), (DBNClassifier, DBNTransformer)])
def test_a_trained_machine_takes_the_place_of_the_pretraining(kind: Any, transformer: Any) -> None:
    machine = transformer(**SHORT).fit(ROWS).machine_
    before = machine.arena.copy()
    fitted = kind(machine=machine, **QUICK).fit(ROWS, LABELS)
    assert fitted.machine_ is machine and np.array_equal(machine.arena, before)
    assert {record["stage"] for record in fitted.history_} == {"outputs", "network"}
    assert {record["stage"] for record in FITTED[kind.__name__].history_} > {"outputs", "network"}
    wrong = boltz.vae([9, 4], 2) if kind is DBMClassifier else boltz.dbm([9, 4, 3])
    for problem, what in ((wrong, "machine must be a"), (transformer(**SHORT).fit(MORE[:, :5]).machine_, "5")):
        with pytest.raises(boltz.InputError, match=what):
            kind(machine=problem, **QUICK).fit(ROWS, LABELS)
    with pytest.raises(boltz.InputError, match="unlabelled rows serve the pretraining"):
        kind(machine=machine, **QUICK).fit(ROWS, LABELS, unlabelled=MORE)


def test_rows_are_held_out_where_they_can_tell_which_epoch_is_best() -> None:
    few, many = (clone(KINDS[1]).set_params(validation_fraction=f).fit(ROWS, LABELS) for f in (0.1, 0.5))
    assert few.history_[-1]["error"] is None and 0 <= many.history_[-1]["error"] <= 1


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"optimizer": "foo"}, "optimizer must be one of"),
        ({"dropout": 2}, "dropout must be a finite number in"),
        ({"optimizer": "lbfgs", "input_dropout": 0.1}, "which lbfgs cannot follow"),
        ({"validation_fraction": 1.0}, "validation_fraction must be a finite number in"),
        ({"patience": -1}, "patience must be a whole number"),
        ({"fine_tune_epochs": 1.5}, "fine_tune_epochs must be a whole number"),
        ({"fine_tune_learning_rate": -1}, "fine_tune_learning_rate must be a finite number in"),
        ({"layers": 4}, "layers must be a sequence, got int"),
        ({"layers": (4,)}, r"layers must name at least two hidden layers, got \[4\]"),
    ],
)
def test_what_is_wrong_with_a_setting_is_said_before_the_pretraining(
    settings: dict[str, Any], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_training(*_: Any, **__: Any) -> None:
        raise AssertionError("a pretraining began")

    monkeypatch.setattr("boltz.sklearn.machines.train", no_training)
    for kind in KINDS:
        with pytest.raises(boltz.InputError, match=what):
            clone(kind).set_params(**settings).fit(ROWS, LABELS)


def test_patience_waits_for_nothing_where_no_rows_are_held_out() -> None:
    patient = clone(KINDS[1]).set_params(patience=1).fit(ROWS, LABELS)
    assert np.array_equal(patient.predict_proba(ROWS), FITTED["DBNClassifier"].predict_proba(ROWS))


def test_rows_beyond_the_range_of_float32_are_refused() -> None:
    for rows in (1e39 * ROWS, sp.csr_array(-1e39 * ROWS)):
        with pytest.raises(boltz.InputError, match="X must hold finite numbers within the range of float32"):
            FITTED["DBMClassifier"].predict(rows)


def test_one_class_and_whole_numbers_are_classes() -> None:
    assert clone(KINDS[1]).fit(ROWS, np.full(80, "all")).predict(ROWS).tolist() == ["all"] * 80
    fitted = clone(KINDS[1]).fit(ROWS, np.where(LABELS == "yes", 7, -2))
    assert fitted.classes_.tolist() == [-2, 7] and set(fitted.predict(ROWS)) <= {-2, 7}
    np.testing.assert_array_equal(fitted.predict_proba(ROWS), FITTED["DBNClassifier"].predict_proba(ROWS))


def test_classifiers_work_in_searches() -> None:
    with joblib.parallel_config("threading"):
        search = GridSearchCV(KINDS[1], {"fine_tune_epochs": [0, 3]}, cv=2, n_jobs=2, error_score="raise")
        search.fit(ROWS, LABELS)
    assert search.best_estimator_.score(ROWS, LABELS) == np.mean(search.predict(ROWS) == LABELS)


def test_classes_come_bit_by_bit_and_a_fit_goes_on() -> None:
    sklearn_estimators.check_classes_come_bit_by_bit()
    sklearn_estimators.check_nothing_is_learnt_at_rate_zero()


@pytest.mark.parametrize("kind", [DBMClassifier, DBNClassifier])
def test_parts_with_labels_are_learnt(kind: Any) -> None:
    """Accuracy after 20 passes in parts of 20 rows, a fixed seed, half is chance; catches parts that are forgotten."""
    fitted = kind(fine_tune_learning_rate=0.05, batch_size=10, **SHORT)
    order = np.random.default_rng(0).permutation(80)
    for part in 20 * np.array_split(order, 4):
        fitted.partial_fit(ROWS[part], LABELS[part], classes=["yes", "no"])
    assert fitted.score(ROWS, LABELS) > 0.8 and {record["stage"] for record in fitted.history_} >= {"network"}
    before = fitted.network_.arena.copy()
    assert np.array_equal(fitted.partial_fit(ROWS[:5], np.full(5, -1)).network_.arena, before)


def test_a_warm_start_goes_on_from_the_network() -> None:
    """As many epochs more, with the next seed: the same as boltz.fine_tune from the network that was there."""
    fitted = clone(KINDS[1]).set_params(warm_start=True, validation_fraction=0.0).fit(ROWS, LABELS)
    network, seed = fitted.network_, np.random.RandomState(1)
    seeds = [int(seed.randint(0, 2**63 - 1, dtype=np.int64)) for _ in range(2)]
    how: dict[str, Any] = {"epochs": 3, "batch_size": 40, "learning_rate": 0.05, "optimizer": "adam"}
    codes = (LABELS == "yes").astype(int)
    wanted = boltz.fine_tune(network, ROWS, codes, output_epochs=0, validation=0.0, seed=seeds[1], **how).network
    epochs = len(fitted.history_)
    assert fitted.fit(ROWS, LABELS).network_.arena.tobytes() == wanted.arena.tobytes()
    assert len(fitted.history_) == epochs + 3
    for change, what in (
        ({"y": np.where(LABELS == "yes", "maybe", "no")}, "y must hold the 2 classes of the fit"),
        ({"unlabelled": MORE}, "which warm_start leaves out"),
    ):
        with pytest.raises(boltz.InputError, match=what):
            fitted.fit(**{"X": ROWS, "y": LABELS, **change})
    with pytest.raises(boltz.InputError, match="layers 9, 5, 4, but the parameters ask for another, with 9, 6, 4"):
        fitted.set_params(layers=(6, 4)).fit(ROWS, LABELS)


def test_what_is_wrong_with_classes_is_said() -> None:
    fresh = clone(KINDS[1])
    with pytest.raises(boltz.InputError, match="classes must be given in the first call of partial_fit"):
        fresh.partial_fit(ROWS, LABELS)
    fitted = fresh.partial_fit(ROWS, LABELS, classes=["no", "yes", "perhaps"])
    assert fitted.predict_proba(ROWS).shape == (80, 3)
    with pytest.raises(boltz.InputError, match="classes must be the 3 of the first call, got no, yes"):
        fitted.partial_fit(ROWS, LABELS, classes=["no", "yes"])
    with pytest.raises(boltz.InputError, match="y must hold some of the 3 classes, got also never"):
        fitted.partial_fit(ROWS[:2], np.array(["yes", "never"]))
