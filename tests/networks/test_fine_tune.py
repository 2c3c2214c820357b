"""Catches fine-tuning that keeps the wrong epoch, learns from the wrong rows, resumes wrongly or takes bad labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import fine_tuning as checks
from checks.fine_tuning import UNITS, X, Y, followed, learner, machine, networks, tuner_of

import boltz
from boltz.errors import FileError, InputError, NumericalError
from boltz.networks.loop import Course, Progress
from boltz.parallel import workers

CHECKS = [
    checks.check_choice_of_the_epoch,
    checks.check_split,
    checks.check_rare_classes,
    checks.check_refit,
    checks.check_output_stage,
    checks.check_interruptions,
    checks.check_fixed_binarisation,
    checks.check_lbfgs,
]
FEW: dict[str, Any] = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_faults_are_planted_against(check: Any) -> None:
    check()


def test_every_machine_learns_and_none_is_changed() -> None:
    """Training loss falls, for classes and for the rows themselves."""
    for name in checks.MACHINES:
        model = machine(name)
        before = model.arena.tobytes()
        for network, y in ((boltz.classifier(model, range(4)), Y), (boltz.autoencoder(model), None)):
            start = network.arena.tobytes()
            tuned = boltz.fine_tune(network, X, y, epochs=25, batch_size=10, learning_rate=0.05, validation=0.0)
            losses = [record["train_loss"] for record in tuned.history]
            assert losses[-1] < losses[0] - 0.03, name
            assert network.arena.tobytes() == start and model.arena.tobytes() == before
            assert tuned.network.net == network.net and np.isfinite(tuned.network.arena).all()


def test_without_validation_the_last_epoch_stays() -> None:
    course, records, kept = followed(learner(), validation=0.0)
    assert (course.progress.network.arena == kept[-1]["arena"]).all() and course.progress.chosen == 6
    assert all(record["error"] is None and record["loss"] is None for record in records)
    assert [(r["stage"], r["epoch"], r["epochs"]) for r in records] == [
        *(("outputs", i, 2) for i in (1, 2)),
        *(("network", i, 6) for i in range(1, 7)),
    ]


def test_patience() -> None:
    """Training stops so many epochs after the best one, here before the end."""
    course, records, _ = followed(learner(), validation=0.4, learning_rate=0.5, epochs=60, patience=4)
    last = records[-1]["epoch"]
    assert last == course.progress.chosen + 4 < 60
    unhurried = followed(learner(), validation=0.4, learning_rate=0.5, epochs=60)[1]
    assert unhurried[-1]["epoch"] == 60
    timed = ("seconds", "rows_per_second")
    for one, other in zip(records, unhurried, strict=False):
        assert {k: v for k, v in one.items() if k not in timed} == {k: v for k, v in other.items() if k not in timed}


def test_held_out_rows_choose_the_epoch() -> None:
    """Those that are given, and then no row of x is held out."""
    others, labels = X[:7] ** 2, Y[:7]
    course, records, _ = followed(learner(), held_out=(others, labels), epochs=5)
    lesson = checks.split_of(course)
    assert len(lesson.rows) == 36, "test of the test: without others a tenth is held out"
    best = min(records[2:], key=lambda record: (record["error"], record["loss"]))
    p = boltz.classify(course.progress.network, others.astype(np.float32))
    assert abs(-np.log(p[np.arange(7), labels]).mean() - best["loss"]) < 1e-9
    assert best["epoch"] == course.progress.chosen
    back = followed(networks("rbm")["autoencoder"], held_out=others, epochs=5)
    best = min(back[1][2:], key=lambda record: record["loss"])
    assert best["error"] is None and best["epoch"] == back[0].progress.chosen


def test_no_dropout_where_rows_are_judged() -> None:
    """Neither in the loss of held-out rows nor in probabilities."""
    network = networks("dbm of 2")["classifier"]
    data, rows = checks.examples_of(network), np.arange(20)
    with workers(network.arena) as pool:
        found = [tuner_of(network, pool, dropout=share).measure(data, rows) for share in (0.0, 0.9)]
    assert found[0] == found[1]
    p = boltz.classify(network, X)
    assert (p == boltz.classify(network, X)).all()
    assert abs(-np.log(p[rows, Y[rows]]).mean() - (found[0]["loss"] or 0)) < 1e-12


def test_dropout_reaches_what_is_learnt() -> None:
    ends = [
        boltz.fine_tune(learner(), X, Y, **FEW, **share).network.arena
        for share in ({}, {"dropout": 0.5}, {"input_dropout": 0.5}, {"dropout": 0.5, "seed": 1})
    ]
    for i, one in enumerate(ends):
        assert all((one != other).any() for other in ends[:i])
    again = boltz.fine_tune(learner(), X, Y, **FEW, dropout=0.5).network.arena
    assert (again == ends[1]).all()


@pytest.mark.parametrize("name", ["dbm of 2", "vae"])
def test_threads_change_no_bit(name: str) -> None:
    """In float32, where rows are shared out by the number of threads."""
    rng = np.random.default_rng(1)
    x, y = (rng.random((700, 30)) < 0.4).astype(np.float32), rng.integers(0, 3, 700)
    model = boltz.dbm([30, 20, 10], x) if name == "dbm of 2" else boltz.vae([30, 20], 5, x)
    before, ends = boltz.threads(), []
    try:
        for count in (1, 2):
            boltz.threads(count)
            tuned = boltz.fine_tune(model, x, y, epochs=2, batch_size=300, dropout=0.3)
            ends.append([tuned.network.arena, boltz.classify(tuned.network, x), boltz.features(model, x, "all")])
    finally:
        boltz.threads(before)
    assert all((one == other).all() for one, other in zip(*ends, strict=True))


def test_a_checkpoint_of_another_network_is_refused() -> None:
    course, _, kept = followed(learner())
    whole = kept[-1]
    assert Progress.restored(whole, course.start, "here").epoch == 6
    broken: list[dict[str, Any]] = [{n: x for n, x in whole.items() if n != name} for name in ("arena", "counters")]
    broken += [whole | {"arena": whole["arena"][1:]}, whole | {"best": whole["best"][1:]}]
    broken += [whole | {"arena": whole["arena"].astype(np.float32)}, whole | {"counters": whole["counters"][1:]}]
    broken += [whole | {"counters": -whole["counters"]}, whole | {"totals": whole["totals"][:1]}]
    broken += [whole | {"optimizer/first": kept[0]["optimizer/first"]}, whole | {"best": whole["best"].astype("f4")}]
    broken += [whole | {"optimizer/first": whole["optimizer/first"][1:]}, whole | {"totals": np.array(["a"] * 3)}]
    for tensors in broken:
        with pytest.raises(FileError, match=r"^here (is not the checkpoint|does not fit).*\.$"):
            Progress.restored(tensors, course.start, "here")
    other = Progress.restored({n: x for n, x in whole.items() if n != "optimizer/first"}, course.start, "here")
    with pytest.raises(FileError, match=r"must hold the state of adam\.$"):
        Course(course.settings, course.start, course.given, course.others, other)


def test_a_course_that_diverges_stops() -> None:
    with pytest.raises(boltz.NumericalError, match=r"^Fine-tuning stopped at network, epoch \d+: .* are not finite"):
        boltz.fine_tune(
            boltz.autoencoder(checks.gaussian().astype(np.float32)), 1e18 * X, epochs=9, learning_rate=1e5, **BIG
        )


BIG: dict[str, Any] = {"optimizer": "momentum", "output_epochs": 0}


# ---------------------------------------------------------------- labels


LABELS: dict[str, Any] = {
    "ints": Y,
    "small ints": Y.astype(np.uint8),
    "negative": Y - 2,
    "a list": Y.tolist(),
    "text": np.array(["zero", "one", "two", "three"])[Y],
    "a list of text": [f"{label}!" for label in Y],
    "objects of text": np.array([f"{label}!" for label in Y], object),
    "fractions": Y / 4,
    "bool": Y > 1,
    "one class": np.full(len(Y), 7),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind(kind: str) -> None:
    """Numbered in their order; equal labels of another kind give the same parameters."""
    tuned = boltz.fine_tune(machine("rbm"), X, LABELS[kind], **FEW)
    plain = list(LABELS[kind].tolist() if isinstance(LABELS[kind], np.ndarray) else LABELS[kind])
    assert tuned.network.classes == tuple(sorted(set(plain)))
    assert {type(label) for label in tuned.network.classes} == {type(label) for label in plain}
    p = boltz.classify(tuned.network, X)
    assert p.shape == (len(X), len(set(plain))) and np.abs(p.sum(axis=1) - 1).max() < 1e-12
    if kind in ("small ints", "negative", "a list", "fractions"):
        assert (tuned.network.arena == boltz.fine_tune(machine("rbm"), X, Y, **FEW).network.arena).all()


def test_labels_that_the_data_bring_along() -> None:
    digits = boltz.load_data("mnist-mini", limit=40)
    tuned = boltz.fine_tune(boltz.rbm(784, 5), digits, **FEW)
    assert tuned.network.classes == tuple(sorted(set(digits.labels.tolist())))
    again = boltz.fine_tune(boltz.rbm(784, 5), digits, digits.labels, held_out=digits, **FEW)
    assert again.network.classes == tuned.network.classes


BROKEN: dict[str, Any] = {
    "too few": Y[1:],
    "a column": Y[:, None],
    "one": 3,
    "a word": "labels",
    "NaN": np.where(np.arange(len(Y)) == 3, np.nan, Y),
    "None among them": [None, *Y[1:]],
    "text and numbers": np.array([*Y[1:], "a"], object),
    "ragged": [[1], [1, 2]],
    "lists": np.array([[1], [2, 3]] * 20, object),
    "complex": Y.astype(complex),
    "bytes": Y.astype("S"),
    "dates": Y.astype("M8[s]"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("model", ["a machine", "a network"])
def test_broken_labels_are_refused(kind: str, model: str) -> None:
    """By name, also those of held-out rows."""
    given = machine("rbm") if model == "a machine" else learner()
    with pytest.raises(InputError, match=r"^y must .*\.$"):
        boltz.fine_tune(given, X, BROKEN[kind], **FEW)
    with pytest.raises(InputError, match=r"^the labels of held_out must .*\.$"):
        boltz.fine_tune(given, X, Y, (X, BROKEN[kind]), **FEW)


def test_labels_that_are_missing_unknown_or_too_many() -> None:
    with pytest.raises(InputError, match=r"^y must hold the label of each row of x"):
        boltz.fine_tune(machine("rbm"), X, **FEW)
    with pytest.raises(InputError, match=r"^y must be given"):
        boltz.fine_tune(learner(), X, **FEW)
    with pytest.raises(InputError, match=r"^the labels of held_out must be given"):
        boltz.fine_tune(learner(), X, Y, X, **FEW)
    with pytest.raises(InputError, match=r"^y must hold classes of the network, 0, 1, 2, 3, got 9\.$"):
        boltz.fine_tune(learner(), X, np.where(Y == 3, 9, Y), **FEW)
    with pytest.raises(InputError, match=r"^the labels of held_out must hold classes of the network, .* got 'a'\.$"):
        boltz.fine_tune(learner(), X, Y, (X, ["a"] * 40), **FEW)
    for given, others in ((Y, None), (None, (X, Y))):
        with pytest.raises(InputError, match=r"must not be given: an autoencoder"):
            boltz.fine_tune(boltz.autoencoder(machine("rbm")), X, given, others, **FEW)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "lbfgs", "dropout": 0.1}, "dropout and input_dropout are noise"),
        ({"optimizer": "lbfgs", "input_dropout": 0.1}, "dropout and input_dropout are noise"),
        ({"optimizer": "lbfgs", "l1": 0.1}, "l1, l1b and max_norm"),
        ({"optimizer": "lbfgs", "l1b": 0.1}, "l1, l1b and max_norm"),
        ({"optimizer": "lbfgs", "max_norm": 2.0}, "l1, l1b and max_norm"),
        ({"refit": True, "validation": 0}, "refit trains for the epochs"),
        ({"refit": 1}, "refit must be True or False"),
        ({"binarize": "dynamic"}, "binarize must be one of fixed, none, threshold"),
        ({"dropout": 1.0}, "dropout must be a finite number in"),
        ({"input_dropout": -0.1}, "input_dropout must be"),
        ({"validation": 1.0}, "validation must be"),
        ({"patience": -1}, "patience must be"),
        ({"output_epochs": 1.5}, "output_epochs must be"),
        ({"optimizer": "sgd"}, "optimizer must be one of adam, adamax, lbfgs, momentum, nesterov"),
        ({"rule": "cd"}, "no setting 'rule'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        boltz.fine_tune(learner(), X, Y, **settings)


def test_lbfgs_leaves_a_plateau() -> None:
    """The gradient at the start of a small net with outputs at zero is below the usual tolerance of L-BFGS."""
    rng = np.random.default_rng(0)
    x, y = rng.random((300, 60)), rng.integers(0, 3, 300)
    x[np.arange(300), y] += 1
    tuned = boltz.fine_tune(boltz.dbn([60, 10, 8], seed=1), x / 2, y, epochs=60, optimizer="lbfgs")
    assert np.mean(boltz.classify(tuned.network, x / 2).argmax(axis=1) == y) > 0.9


@pytest.mark.parametrize("settings", [{"optimizer": "lbfgs"}, {"optimizer": "momentum", "learning_rate": 1e6}], ids=str)
def test_networks_whose_outputs_are_no_numbers_are_not_returned(settings: dict[str, Any]) -> None:
    network = boltz.classifier(boltz.vae([UNITS, 20, 20, 20, 20], 5, None, 1, "relu"), [0, 1, 2, 3])
    if settings["optimizer"] == "lbfgs":
        network.arena[...] = 1e20 * np.random.default_rng(0).normal(size=network.arena.size)
    with pytest.raises(NumericalError, match="Fine-tuning stopped at"):
        boltz.fine_tune(network, X, Y, validation=0.0, epochs=1, output_epochs=1, batch_size=1000, **settings)


def test_patience_needs_rows_to_judge_by() -> None:
    with pytest.raises(InputError, match="patience waits for a better epoch on rows that are held out"):
        boltz.fine_tune(learner(), X, Y, validation=0.0, patience=2)


def test_held_out_rows_are_not_learnt_from_in_the_end() -> None:
    with pytest.raises(InputError, match="refit adds the rows that were held out of x"):
        boltz.fine_tune(learner(), X, Y, (X, Y), refit=True)


@pytest.mark.parametrize("bad", [X[:, 1:], np.full((40, UNITS), np.nan), X + 1, X[0], "words", None, X[:0]], ids=str)
def test_rows_that_do_not_fit_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r"^x .*must .*\.$"):
        boltz.fine_tune(learner(), bad, Y, **FEW)
    if bad is not None:
        with pytest.raises(InputError, match=r"^held_out .*must .*\.$"):
            boltz.fine_tune(learner(), X, Y, (bad, Y), **FEW)


def test_gaussian_rows_are_not_binarised() -> None:
    with pytest.raises(InputError, match=r"^binarize must be none for Gaussian visible units"):
        boltz.fine_tune(checks.gaussian(), X, Y, binarize="threshold")


@pytest.mark.parametrize("model", [None, "digits", 3, {}, X], ids=lambda m: type(m).__name__)
def test_what_is_no_machine_is_refused(model: Any) -> None:
    with pytest.raises(InputError, match=r"^model must be a BoltzmannMachine"):
        boltz.fine_tune(model, X, Y)


def test_one_row_and_one_epoch_are_enough() -> None:
    for settings in ({}, {"refit": True}, {"validation": 0.0, "output_epochs": 0}):
        tuned = boltz.fine_tune(machine("rbm"), X[:1], Y[:1], epochs=1, **settings)
        assert np.isfinite(tuned.network.arena).all() and tuned.epoch == 1
    assert boltz.fine_tune(machine("rbm"), X, Y, epochs=0).epoch == 0
