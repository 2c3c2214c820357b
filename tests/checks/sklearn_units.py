"""Checks of estimators for scikit-learn whose units are others than 0 and 1, against the functions of boltz."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from sklearn.base import clone

import boltz
from boltz import presets
from boltz.sklearn import DBMTransformer, RBMTransformer, machines

RNG = np.random.default_rng(9)
ROWS: dict[Any, Any] = {
    "spin": RNG.choice([-1.0, 1.0], (40, 5)),
    "gaussian": RNG.normal([5, -2, 0, 1, 300], [0.1, 1, 2, 3, 40], (40, 5)),
    ("categorical", 3): RNG.integers(0, 3, (40, 5)).astype(float),
    ("binomial", 7): RNG.integers(0, 8, (40, 5)).astype(float),
}
QUICK: dict[str, Any] = {"epochs": 2, "batch_size": 20, "chains": 10, "random_state": 1}
HIDDEN = {"spin": "gaussian", "gaussian": "spin", ("categorical", 3): "drelu", ("binomial", 7): "binomial:2"}


def fitted() -> list[tuple[Any, Any, Any]]:
    """(estimator, the kind of its visible units, rows) for each kind, of RBMs and of deeper machines."""
    found: list[tuple[Any, Any, Any]] = []
    for kind, rows in ROWS.items():
        alone = RBMTransformer(4, units=kind, hidden_units=HIDDEN[kind], **QUICK)
        deep = DBMTransformer((4, 2), units=kind, hidden_units="spin", pretrain="bottom", pretrain_epochs=1, **QUICK)
        found += [(each.fit(rows), kind, rows) for each in (alone, deep)]
    return found


def check_features() -> None:
    """Those of boltz.features of the machine; catches rows that reach it in other units, or as codes."""
    for estimator, _, rows in fitted():
        found = estimator.transform(rows)
        assert np.array_equal(found, boltz.features(estimator.machine_, rows)) and np.ptp(found) > 0
        assert estimator.n_features_in_ == 5 and found.shape == (40, len(estimator.get_feature_names_out()))


def check_scores() -> None:
    """Those of boltz.log_likelihood, in the units of the data; catches spreads and entropies left out."""
    for estimator, _, rows in fitted():
        wanted = boltz.log_likelihood(estimator.machine_, rows)
        np.testing.assert_allclose(estimator.score_samples(rows), wanted.per_row, rtol=1e-5, atol=1e-4)
        assert abs(estimator.score(rows) - wanted.value) < 1e-3


def check_bounds() -> None:
    """The variational bound of a DBM too large to enumerate, without weights: the likelihood of independent units.

    Catches base energies at means, and entropies of other units.
    """
    for kind, rows in ROWS.items():
        deep = DBMTransformer((16, 2), units=kind, hidden_units="spin", pretrain_epochs=0, **QUICK | {"epochs": 0})
        deep.fit(rows)
        machine = deep.machine_
        for edge in machine.graph.edges:
            machine.params[edge.key][...] = 0
        wanted = boltz.log_likelihood(machine, rows).per_row
        np.testing.assert_allclose(deep.score_samples(rows), wanted, rtol=1e-4, atol=1e-3)


def check_the_way_back() -> None:
    """Visible means in the units of the data, and codes of categorical units; catches one-hot columns."""
    for estimator, kind, rows in fitted():
        features = estimator.transform(rows)
        found = estimator.inverse_transform(features)
        wanted = boltz.decode(estimator.machine_, features)
        if kind == ("categorical", 3):
            wanted = wanted.reshape(40, 5, 3).argmax(axis=2)
        assert found.shape == rows.shape and np.allclose(found, wanted)


def check_training() -> None:
    """The same as boltz.train with the settings; catches kinds that do not reach the machine or the preset."""
    for kind, rows in ROWS.items():
        estimator = RBMTransformer(4, units=kind, hidden_units=HIDDEN[kind], epochs=2, random_state=1, chains=10)
        with mock.patch.object(machines, "train", wraps=boltz.train) as called:
            estimator.fit(rows)
        clipped = presets.CLIP_NORM if "gaussian" in (kind, HIDDEN[kind]) else 0
        assert called.call_args.kwargs["clip_norm"] == clipped, kind
        seed = int(np.random.RandomState(1).randint(0, 2**63 - 1, dtype=np.int64))
        machine = boltz.rbm(rows.shape[1], 4, rows, seed, units=kind, hidden_units=HIDDEN[kind])
        run = boltz.train(machine, rows, epochs=2, chains=10, seed=seed, binarize="none", snapshots=0)
        assert run.model.arena.tobytes() == estimator.machine_.arena.tobytes(), kind


def check_unknown_entries() -> None:
    """Unknown units are at means given the others, as in boltz.features; fit refuses them where means are no states."""
    for estimator, kind, rows in fitted():
        lacking = np.where(RNG.random(rows.shape) < 0.2, np.nan, rows)
        some = clone(estimator).set_params(missing="infer").fit(rows)
        np.testing.assert_allclose(
            some.transform(lacking), boltz.features(some.machine_, lacking), rtol=1e-4, atol=1e-5
        )
        if kind == "gaussian":
            assert np.isfinite(some.fit(lacking).transform(lacking)).all()
            continue
        try:
            some.fit(lacking)
        except boltz.InputError as problem:
            assert str(problem).startswith("X must have no NaN to learn from")
        else:
            raise AssertionError("means are taken for states")
