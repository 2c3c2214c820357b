"""Quick checks of the estimators for scikit-learn, each of what a planted fault would spoil."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
from oracles import enumeration
from scipy.special import expit
from sklearn.base import clone
from support.machines import machine_of

import boltz
from boltz.parallel import Workers
from boltz.rng import Key
from boltz.sklearn import (
    BernoulliRBM,
    DBMClassifier,
    DBMTransformer,
    DBNClassifier,
    DBNTransformer,
    RBMTransformer,
    VAETransformer,
)
from boltz.sklearn.parameters import drawn_seed, generator
from boltz.sklearn.rows import at_means, row_numbers
from boltz.training.contrastive import Workspace
from boltz.training.pcd_rbm import gradients

RNG = np.random.default_rng(11)
BITS = (RNG.random((40, 6)) < np.linspace(0.2, 0.8, 6)).astype(float)
TINY: dict[str, Any] = {"epochs": 1, "batch_size": 10, "random_state": 3, "learning_rate": 0.05}
DEEP: dict[str, Any] = TINY | {"pretrain_epochs": 1, "chains": 5}
TRANSFORMERS: list[Any] = [
    RBMTransformer(4, chains=5, **TINY),
    DBMTransformer((4,), **DEEP),
    DBMTransformer((4, 3), **DEEP),
    DBNTransformer((4, 3), **DEEP),
    VAETransformer((5,), 2, warmup_epochs=1, **TINY),
]


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
    rng = np.random.default_rng(21)  # its own, so that no other check before it decides
    machine = BernoulliRBM(random_state=2, missing="infer")
    machine.components_ = rng.normal(size=(50, 70)) / 5
    machine.intercept_hidden_, machine.intercept_visible_ = rng.normal(size=50), rng.normal(size=70)
    rows = np.where(rng.random((500, 70)) < 0.3, np.nan, rng.integers(0, 2, (500, 70)))
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


def check_scores_of_labelled_rows() -> None:
    """A classifier's score is the share of right classes among the rows with labels."""
    rows = (RNG.random((30, 6)) < 0.4).astype(float)
    y = np.where(np.arange(30) < 20, rows[:, 0] + 3, -1)
    shared: dict[str, Any] = {"layers": (4, 3), "pretrain_epochs": 1, "epochs": 1, "chains": 5, "random_state": 3}
    found = DBMClassifier(fine_tune_epochs=2, **shared).fit(rows, y)
    assert found.score(rows, y) == np.mean(found.predict(rows[:20]) == y[:20])


def check_grey_scores() -> None:
    """Numbers between 0 and 1 have no likelihood, which a score says; 0/1 have one."""
    machine = BernoulliRBM(3, n_iter=1, random_state=1).fit(BITS)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        machine.score(BITS)
        machine.score_samples(BITS)
        assert not found
        machine.score(BITS / 2)
    assert [each.category for each in found] == [UserWarning]


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
        machine.transform(rows / 16)
        machine.transform(rows)
    assert [each.category for each in found] == [UserWarning]
    assert "from 0 to 16" in str(found[0].message) and "divide X by 16" in str(found[0].message)


def check_variational_score() -> None:
    """For a machine without weights, log p(v) of independent units."""
    machine = boltz.dbm([4, 16, 2])  # so many that they are not enumerated
    machine.arena[:-22] = 0
    machine.arena[-22:] = RNG.normal(size=22)
    rows = RNG.integers(0, 2, (6, 4)).astype(float)
    fitted = DBMTransformer((16, 2), pretrain_epochs=0, epochs=0, chains=5).fit(rows)
    fitted.machine_ = machine
    wanted = (rows * machine.bias("v") - np.logaddexp(0, machine.bias("v"))).sum(axis=1)
    np.testing.assert_allclose(fitted.score_samples(rows), wanted, rtol=1e-5)


def check_means_of_known_entries() -> None:
    """Unknown entries to learn from are at the mean of the known ones of their column."""
    x = np.array([[1.0, np.nan, 4.0], [np.nan, np.nan, 2.0], [2.0, np.nan, np.nan]])
    assert at_means(x).tolist() == [[1, 0, 4], [1.5, 0, 2], [2, 0, 3]]


def with_machine(estimator: Any, machine: Any) -> Any:
    """The estimator, fitted, with another machine in the place of its own."""
    fitted = clone(estimator).fit(BITS[:, : machine.layers[0].units])
    fitted.machine_ = machine
    return fitted


def check_scores() -> None:
    """The score is the mean of log p(v) by enumeration of all units, for every machine whose likelihood is exact."""
    for table, estimator in (
        (enumeration.Table.random([4, 3], 1.0, 1), RBMTransformer(3, epochs=0)),
        (enumeration.Table.random([4, 3, 2], 1.0, 2), DBMTransformer((3, 2), pretrain_epochs=0, epochs=0)),
        (enumeration.Table.random([3, 2, 2, 2], 1.0, 3), DBMTransformer((2, 2, 2), pretrain_epochs=0, epochs=0)),
    ):
        rows = enumeration.bits(table.layers["v"])[1:]
        fitted = with_machine(estimator, machine_of(table))
        np.testing.assert_allclose(fitted.score(rows), enumeration.log_likelihood(table, rows).mean(), rtol=1e-6)
    table = enumeration.Table.random([4, 3], 1.0, 4)
    plain = BernoulliRBM(3, random_state=0)
    plain.components_, plain.n_features_in_ = table.edges["v", "h1"].T, 4
    plain.intercept_visible_, plain.intercept_hidden_ = table.biases["v"], table.biases["h1"]
    rows = enumeration.bits(4)[3:]
    np.testing.assert_allclose(plain.score(rows), enumeration.log_likelihood(table, rows).mean(), rtol=1e-9)


def check_the_way_back_of_an_rbm() -> None:
    """Visible means given hidden states are those of the enumerated distribution, clamped at the hidden states."""
    table = enumeration.Table.random([4, 3], 1.0, 5)
    hidden = enumeration.bits(3)
    wanted = [enumeration.moments(enumeration.clamp(table, {"h1": h})[0])["layer/v/bias"] for h in hidden]
    fitted = with_machine(RBMTransformer(3, epochs=0), machine_of(table, np.float32))
    np.testing.assert_allclose(fitted.inverse_transform(hidden), wanted, rtol=1e-5)
    plain = BernoulliRBM(3)
    plain.components_ = table.edges["v", "h1"].T
    plain.intercept_visible_, plain.intercept_hidden_ = table.biases["v"], table.biases["h1"]
    np.testing.assert_allclose(plain.inverse_transform(hidden), wanted, rtol=1e-9)


def check_the_way_back_of_a_dbm() -> None:
    """From the top the mean field of both other layers, iterated here; else from the lowest layer given alone.

    Weights are small, so that mean field has one fixed point.
    """
    table = enumeration.Table.random([5, 4, 3], 0.4, 6)
    lower, upper = table.edges["v", "h1"], table.edges["h1", "h2"]
    fitted = with_machine(DBMTransformer((4, 3), pretrain_epochs=0, epochs=0), machine_of(table, np.float32))
    top, middle = RNG.random((7, 3)), RNG.random((7, 4))
    v = np.full((7, 5), 0.5)
    for _ in range(1000):
        h1 = expit(v @ lower + top @ upper.T + table.biases["h1"])
        v = expit(h1 @ lower.T + table.biases["v"])
    np.testing.assert_allclose(fitted.inverse_transform(top), v, rtol=1e-4)
    wanted = expit(middle @ lower.T + table.biases["v"])
    np.testing.assert_allclose(fitted.set_params(layer=1).inverse_transform(middle), wanted, rtol=1e-5)
    both = np.hstack([middle, top])
    np.testing.assert_allclose(fitted.set_params(layer="all").inverse_transform(both), wanted, rtol=1e-5)


def check_the_way_back_of_a_belief_net() -> None:
    """From the top to the layer below by the RBM, and on by the generative weights, written out here."""
    fitted = clone(TRANSFORMERS[3]).fit(BITS)
    machine = fitted.machine_
    machine.arena[...] = RNG.normal(size=machine.arena.size)
    p, top = machine.params, RNG.random((7, 3))
    h1 = expit(top @ p["prior/edge/v-h1/weight"].T + p["prior/layer/v/bias"])
    wanted = expit(h1 @ p["generative/v/0/weight"] + p["generative/v/0/bias"])
    np.testing.assert_allclose(fitted.inverse_transform(top), wanted, rtol=1e-4)
    middle = RNG.random((7, 4))
    wanted = expit(middle @ p["generative/v/0/weight"] + p["generative/v/0/bias"])
    np.testing.assert_allclose(fitted.set_params(layer=1).inverse_transform(middle), wanted, rtol=1e-4)


def check_feature_names() -> None:
    """The column of each name is the unit that the name says, by boltz.features of the layer that the name says."""
    for estimator in TRANSFORMERS[2:4]:
        fitted = clone(estimator).set_params(layer="all").fit(BITS)
        columns = dict(zip(fitted.get_feature_names_out(), fitted.transform(BITS).T, strict=True))
        assert len(columns) == 7
        for layer, units in (("h1", 4), ("h2", 3)):
            wanted = boltz.features(fitted.machine_, BITS, layer)
            for i in range(units):
                assert np.array_equal(columns[f"{type(fitted).__name__.lower()}_{layer}_{i}"], wanted[:, i])


def seeds(count: int, random_state: int = 3) -> list[int]:
    """The first seeds of a random_state."""
    generator = np.random.RandomState(random_state)
    return [int(generator.randint(0, 2**63 - 1, dtype=np.int64)) for _ in range(count)]


def check_going_on() -> None:
    """Calls of partial_fit are boltz.train, one call after the other, on one pass at a rate that does not fall.

    And fit with warm_start is boltz.train from the machine that is there; each call has a seed of its own.
    """
    for estimator in (TRANSFORMERS[0], *TRANSFORMERS[2:]):
        settings = {n: getattr(estimator, n) for n in estimator.SETTINGS} | {"pretrain_epochs": 0, "warmup_epochs": 0.0}
        settings = {n: settings[n] for n in estimator.SETTINGS}
        if "mean_field_sweeps" in settings:  # the preset of boltz.train has others
            settings |= {"positive": "mean-field", "averaging": "none"}
        first, second, third = (BITS[i::3] for i in range(3))
        found = clone(estimator).fit(first)
        machine = found.machine_
        for call, rows in enumerate((second, third), 1):
            one_pass = settings | {
                "schedule": "constant",
                "averaging": "none",
                "epochs": 1,
                "seed": seeds(call + 1)[call],
            }
            machine = boltz.train(machine, rows, **one_pass).model
            found.partial_fit(rows)
            assert found.machine_.arena.tobytes() == machine.arena.tobytes()
        assert found.n_samples_seen_ == 40 and len({record["seconds"] for record in found.history_}) >= 3
        found.set_params(warm_start=True, epochs=2).fit(first)
        wanted = boltz.train(machine, first, **settings | {"epochs": 2, "seed": seeds(4)[3]}).model
        assert found.machine_.arena.tobytes() == wanted.arena.tobytes()


def check_nothing_is_learnt_at_rate_zero() -> None:
    """A machine that goes on is not pretrained again, nor made anew: without a rate it stays as it is."""
    for estimator in TRANSFORMERS:
        fitted = clone(estimator).fit(BITS)
        before = fitted.machine_.arena.copy()
        fitted.set_params(learning_rate=0.0, warm_start=True).fit(BITS).partial_fit(BITS)
        assert np.array_equal(fitted.machine_.arena, before)
    y = (BITS[:, 0] + 2).astype(int)
    for kind in (DBMClassifier, DBNClassifier):
        tuned = kind((4, 3), fine_tune_epochs=2, **DEEP).fit(BITS, y)
        network, machine = tuned.network_.arena.copy(), tuned.machine_
        tuned.set_params(fine_tune_learning_rate=0.0, warm_start=True).fit(BITS, y).partial_fit(BITS, y)
        assert np.array_equal(tuned.network_.arena, network) and tuned.machine_ is machine


def check_classes_come_bit_by_bit() -> None:
    """Calls of partial_fit, of which each sees one class alone, are fine_tune on the network, call after call."""
    y = np.where(BITS[:, 0] > 0, "on", "off")
    tuned = DBNClassifier((4, 3), fine_tune_learning_rate=0.01, **DEEP)
    machine = DBNTransformer((4, 3), **DEEP).set_params(epochs=1).fit(BITS[y == "on"]).machine_
    network = boltz.classifier(machine, range(2))
    how: dict[str, Any] = {"epochs": 1, "output_epochs": 0, "validation": 0.0, "schedule": "constant"}
    how |= {"learning_rate": 0.01, "optimizer": "adam", "batch_size": 10}
    tuned.set_params(k=10).partial_fit(BITS[y == "on"], y[y == "on"], classes=["on", "off"])
    tuned.partial_fit(BITS[y == "off"], y[y == "off"])
    for number, label in enumerate(("on", "off")):
        rows = BITS[y == label]
        codes = np.full(len(rows), int(label == "on"))
        network = boltz.fine_tune(network, rows, codes, seed=seeds(2)[number], **how).network
    assert tuned.classes_.tolist() == ["off", "on"] and tuned.network_.arena.tobytes() == network.arena.tobytes()


def check_fit_is_its_steps() -> None:
    """A program of many steps leaves the bits of gradients batch by batch, added up here, whatever the threads.

    What is kept is the mean over the last 19 of the 64 steps.
    """
    rows, settings = (RNG.random((157, 12)) < 0.4).astype(np.float32), {"batch_size": 10, "random_state": 1}
    start, rng = BernoulliRBM(9, n_iter=0, **settings).fit(rows), generator(1)
    rng.normal(size=(9, 12))  # the weights, before the seed of the chains
    single = start.machine_.astype(np.float32)
    total, work = single.arena.astype(np.float64), Workspace(single)
    mean = np.zeros_like(total)
    state = {"chain/v": np.zeros((10, 12), np.float32), "chain/h1": np.zeros((10, 9), np.float32)}
    gradient, step = gradients(work, state, Key.from_seed(drawn_seed(rng)), Workers(1, None)), 0
    for _ in range(4):
        for first in range(0, 157, 10):
            gradient(rows[first : first + 10], step)
            total += work.gradient * np.float32(0.1)
            single.arena[...], step = total, step + 1
            if step > 64 - 19:
                mean += (total - mean) * (1 / (step - 45))
    single.arena[...] = mean
    wanted = single.params["edge/v-h1/weight"].T
    for n_jobs in (1, 2, 3):
        found = BernoulliRBM(9, n_iter=4, n_jobs=n_jobs, **settings).fit(rows)
        assert np.array_equal(found.components_, wanted) and np.array_equal(found.h_samples_, state["chain/h1"])
