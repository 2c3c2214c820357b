"""Catches early stopping that keeps the wrong epoch, ends a stage at another, or differs after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from checks import quick_held_out
from support.training import plain_train

import boltz
from boltz import presets
from boltz.data import dataset
from boltz.data.from_arrays import given
from boltz.data.sparse import SparseRows
from boltz.rng import Key
from boltz.storage import snapshots
from boltz.training import held_out
from boltz.training.held_out import SCORE

RNG = np.random.default_rng(5)
PATTERNS = (RNG.random((3, 12)) < 0.5).astype(np.float32)


def rows(count: int, seed: int) -> Any:
    """Noisy copies of three patterns of twelve units."""
    rng = np.random.default_rng(seed)
    return np.abs(PATTERNS[rng.integers(0, 3, count)] - (rng.random((count, 12)) < 0.15)).astype(np.float32)


TRAIN, VALID = rows(30, 1), rows(300, 2)  # few enough to be learnt by heart
SHORT: dict[str, Any] = {"epochs": 60, "batch_size": 10, "learning_rate": 0.3, "schedule": "constant", "chains": 20}


def scores(run: boltz.Run) -> list[float]:
    return [record[SCORE] for record in run.history if record[SCORE] is not None]


@pytest.mark.parametrize(
    "make",
    [lambda: boltz.rbm(12, 40, TRAIN), lambda: boltz.dbm([12, 20, 8], TRAIN)],
    ids=["rbm", "dbm"],
)
def test_the_epoch_that_held_out_rows_like_best_is_kept(make: Any) -> None:
    """The same seed trained for just so many epochs ends with the same parameters."""
    run = plain_train(make(), TRAIN, held_out=VALID, patience=10, snapshots=0, **SHORT)
    best = max((r for r in run.history if r[SCORE] is not None), key=lambda r: r[SCORE])
    assert best["epoch"] < len(run.history) < 60 and len(run.history) - best["epoch"] >= 10
    again = plain_train(make(), TRAIN, snapshots=0, **(SHORT | {"epochs": best["epoch"]}))
    assert run.model.arena.tobytes() == again.model.arena.tobytes()
    assert any(f"The parameters of epoch {best['epoch']} are kept" in note for note in run.notes)


def test_the_collapsed_bound_is_that_of_enumeration() -> None:
    quick_held_out.check_collapsed_bound()


def test_the_score_is_the_log_likelihood() -> None:
    """Quick annealing of a small machine against enumeration: a lower bound of log Z, here within 0.1 nats.

    The log-weights of 50 chains over 300 temperatures have a standard deviation below 0.1 on such a machine, so that
    their mean weight is off by more than 0.1 with a probability below 1e-9; one seed is looked at.
    """
    model = plain_train(boltz.rbm(12, 6, TRAIN), TRAIN, **(SHORT | {"epochs": 5, "learning_rate": 0.05})).model
    found = held_out.undirected(model, TRAIN, VALID, boltz.MeanField(), Key.from_seed(0))
    exact = boltz.log_likelihood(model, VALID, boltz.exact_log_z(model)).value
    assert abs(found - exact) < 0.1


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: boltz.vae([12, 10], 3, TRAIN), {"optimizer": "adam", "learning_rate": 0.05}),
        (lambda: boltz.sbn([12, 6], x=TRAIN), {"optimizer": "adam", "learning_rate": 0.05}),
        (lambda: boltz.dbn([12, 8, 6], TRAIN), {"pretrain_epochs": 3, "pretrain_learning_rate": 0.3}),
    ],
    ids=["vae", "sbn", "dbn"],
)
def test_directed_machines_are_judged_too(make: Any, settings: dict[str, Any]) -> None:
    chosen = {"epochs": 40, "batch_size": 10, "schedule": "constant", "patience": 40, **settings}
    run = plain_train(make(), TRAIN, held_out=VALID, **chosen)
    joint = [r for r in run.history if r["stage"] == run.history[-1]["stage"]]
    assert len(joint) == 40 and all(r[SCORE] is not None for r in joint)
    best = held_out.best_epoch(run.history, joint[0]["stage"])
    if "pretrain_epochs" in settings:  # whose stages are judged, too
        return
    again = plain_train(make(), TRAIN, **(chosen | {"epochs": best, "patience": 0}))
    assert run.model.arena.tobytes() == again.model.arena.tobytes()


def test_without_held_out_rows_nothing_is_judged() -> None:
    run = plain_train(boltz.rbm(12, 4, TRAIN), TRAIN, **SHORT)
    assert not scores(run) and len(run.history) == 60
    with pytest.raises(
        boltz.InputError, match="patience waits for a better epoch on held-out rows: give held_out, or validation"
    ):
        plain_train(boltz.rbm(12, 4, TRAIN), TRAIN, patience=3, **SHORT)


@pytest.mark.parametrize("stop_at", [3, 9])
def test_an_interrupted_run_keeps_the_same_epoch(tmp_path: Path, stop_at: int) -> None:
    settings = {**SHORT, "patience": 10, "checkpoint_seconds": 0.0, "snapshots": 8}
    whole = plain_train(boltz.rbm(12, 40, TRAIN), TRAIN, tmp_path / "whole", VALID, **settings)

    def cut(record: dict[str, Any]) -> None:
        if record["epoch"] == stop_at:
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        plain_train(boltz.rbm(12, 40, TRAIN), TRAIN, tmp_path / "cut", VALID, watch=cut, **settings)
    resumed = boltz.resume(tmp_path / "cut", TRAIN, VALID)
    assert resumed.model.arena.tobytes() == whole.model.arena.tobytes()
    assert [r[SCORE] for r in resumed.history] == [r[SCORE] for r in whole.history]
    assert resumed.notes == whole.notes == boltz.resume(tmp_path / "cut", TRAIN, VALID).notes
    names = [[path.name for path in snapshots.listed(tmp_path / name)] for name in ("whole", "cut")]
    assert names[0] == names[1]


def test_snapshots_after_the_kept_epoch_are_dropped(tmp_path: Path) -> None:
    """The trajectory ends before the machine that is kept."""
    settings = {**SHORT, "patience": 10, "snapshots": 100}
    run = plain_train(boltz.rbm(12, 40, TRAIN), TRAIN, tmp_path / "run", VALID, **settings)
    best = max((r for r in run.history if r[SCORE] is not None), key=lambda r: r[SCORE])["epoch"]
    updates = [int(path.stem) for path in snapshots.listed(tmp_path / "run")]
    assert 0 < max(updates) <= best * 3 < len(run.history) * 3
    memory = plain_train(boltz.rbm(12, 40, TRAIN), TRAIN, held_out=VALID, **settings)
    assert len(memory.trajectory) == len(updates)


def test_a_watch_that_returns_true_ends_the_run(tmp_path: Path) -> None:
    wanted = plain_train(boltz.rbm(12, 5, TRAIN), TRAIN, **(SHORT | {"epochs": 4}))
    for out in (None, tmp_path / "run"):
        run = plain_train(boltz.rbm(12, 5, TRAIN), TRAIN, out, watch=lambda r: r["epoch"] == 4, **SHORT)
        assert len(run.history) == 4 and run.model.arena.tobytes() == wanted.model.arena.tobytes()
    assert boltz.resume(tmp_path / "run", TRAIN).model.arena.tobytes() == wanted.model.arena.tobytes()


def test_a_watch_that_ends_pretraining_leaves_what_was_trained() -> None:
    settings = {**SHORT, "epochs": 2, "pretrain": "bottom", "pretrain_epochs": 30}
    model = boltz.dbm([12, 6, 4], TRAIN)
    run = plain_train(model, TRAIN, watch=lambda r: r["epoch"] == 3, **settings)
    assert [r["stage"] for r in run.history] == ["pretrain-1"] * 3
    first = "edge/v-h1/weight"
    assert np.abs(run.model.params[first] - model.params[first]).max() > 0.01
    above = run.model.params["edge/h1-h2/weight"] / model.params["edge/h1-h2/weight"]
    np.testing.assert_allclose(above, above[0, 0], rtol=1e-5)  # as it was, but for its scale


def test_a_watch_that_raises_keeps_what_was_trained() -> None:
    def fail(record: dict[str, Any]) -> None:
        if record["epoch"] == 4:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        plain_train(boltz.rbm(12, 5, TRAIN), TRAIN, watch=fail, **SHORT)
    wanted = plain_train(boltz.rbm(12, 5, TRAIN), TRAIN, **(SHORT | {"epochs": 4}))
    run = caught.value.run  # type: ignore[attr-defined]
    assert len(run.history) == 4 and run.model.arena.tobytes() == wanted.model.arena.tobytes()


# ---------------------------------------------------------------- a share of the rows


def test_a_share_of_the_rows_is_held_out() -> None:
    """As if both parts were given by hand."""
    settings = {**SHORT, "patience": 10, "snapshots": 0}
    data = given(rows(60, 4), "x", 12)
    run = plain_train(boltz.rbm(12, 40, TRAIN), data, validation=0.25, seed=3, **settings)
    learnt, held = dataset.parted(data, 0.25, 3)
    assert (len(learnt.x), len(held.x)) == (45, 15)
    assert sorted(map(bytes, [*learnt.x, *held.x])) == sorted(map(bytes, data.x))
    wanted = plain_train(boltz.rbm(12, 40, TRAIN), learnt, held_out=held, seed=3, **settings)
    assert run.model.arena.tobytes() == wanted.model.arena.tobytes() and scores(run) == scores(wanted)


def test_a_resumed_run_holds_out_the_same_rows(tmp_path: Path) -> None:
    settings = {**SHORT, "epochs": 20, "patience": 9, "validation": 0.2, "checkpoint_seconds": 0.0}
    whole = plain_train(boltz.rbm(12, 40, TRAIN), TRAIN, **settings)

    def cut(record: dict[str, Any]) -> None:
        if record["epoch"] == 3:
            raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        plain_train(boltz.rbm(12, 40, TRAIN), TRAIN, tmp_path / "cut", watch=cut, **settings)
    assert boltz.resume(tmp_path / "cut", TRAIN).model.arena.tobytes() == whole.model.arena.tobytes()


def test_sparse_rows_are_parted_as_dense_ones() -> None:
    for share in (0.0, 0.3, 0.94):
        assert dataset.held_rows(30, share) == {0.0: 0, 0.3: 9, 0.94: 28}[share]
    assert dataset.held_rows(2, 0.01) == 1 and dataset.held_rows(2, 0.95) == 1
    dense, sparse = (dataset.parted(given(x, "x", 12), 0.3, 0) for x in (TRAIN, sp.csr_array(TRAIN)))
    for a, b in zip(dense, sparse, strict=True):
        assert isinstance(b.x, SparseRows) and np.array_equal(a.x, b.x[np.arange(len(b.x))])


def test_few_rows_are_not_learnt_by_heart() -> None:
    """Without rows to judge by, the defaults hold out a tenth of few rows, but nothing where epochs is named."""
    stop = {"watch": lambda record: True, "snapshots": 0}
    model = boltz.rbm(12, 4, TRAIN)
    assert plain_train(model, TRAIN, **stop).settings.validation == presets.VALIDATION
    assert plain_train(model, TRAIN, held_out=VALID, **stop).settings.validation == 0
    assert boltz.train(model, TRAIN, epochs=3, **stop).settings.validation == 0
    assert presets.preset("rbm", presets.FEW, 12, held_out=False)["validation"] == 0
    assert presets.preset("rbm", presets.FEW, 12, held_out=False)["patience"] == 0
    with pytest.raises(boltz.InputError, match="validation holds out some of the rows, but held_out gives others"):
        plain_train(model, TRAIN, held_out=VALID, validation=0.1)


# ---------------------------------------------------------------- presets


@pytest.mark.parametrize("rows_", [1, 9, 100, 400, 1600, 5000, 10_000, 60_000, 10**6, 10**8])
def test_defaults_make_thousands_of_updates(rows_: int) -> None:
    found = presets.preset("rbm", rows_, 100)
    updates = found["epochs"] * -(-rows_ // found["batch_size"])
    batches = -(-rows_ // found["batch_size"])
    least = min(presets.LEAST_UPDATES, presets.MOST_EPOCHS * batches, presets.EPOCHS_A_ROW * rows_)
    assert updates >= least and found["patience"] >= 1
    assert found["epochs"] == 1 or updates <= 1.5 * presets.MOST_UPDATES
    assert presets.LEAST_BATCH <= found["batch_size"] <= presets.BATCH


def test_one_row_is_not_seen_thousands_of_times() -> None:
    """A row or two teach nothing more after so long; the four rows of a truth table are still seen as often as any."""
    epochs = [presets.preset(kind, rows_, 9)["epochs"] for kind in ("rbm", "vae") for rows_ in (1, 2, 3, 4, 20)]
    assert epochs == [500, 1000, 1500, 2000, 2000, 750, 1500, 2250, 3000, 3000]


def test_few_rows_a_unit_are_learnt_slowly() -> None:
    """It would catch a rate that knows neither rows nor units: VAEs lost 4 nats a row of nips by it, RBMs 5."""
    for kind, rates in presets.RATES.items():
        for name, rate in rates.items():
            assert presets.preset(kind, 5000, 1000)[name] == rate
            assert presets.preset(kind, 400, 500)[name] == pytest.approx(rate * 400 / 2500)
    assert "pretrain_learning_rate" not in presets.preset("vae", 400, 500)


def test_very_many_rows_have_no_chain_each() -> None:
    """Chains of ten million rows would fill memory and every checkpoint."""
    found = {rows_: presets.preset("dbm", rows_, 10)["positive"] for rows_ in (1, 500_000, 500_001, 10**7)}
    assert found == {1: "gibbs", 500_000: "gibbs", 500_001: "collapsed", 10**7: "collapsed"}
    assert "positive" not in presets.preset("rbm", 10**7, 10)


def test_the_defaults_of_python_are_the_preset() -> None:
    model = boltz.rbm(12, 4, TRAIN)
    run = plain_train(model, TRAIN, held_out=VALID, batch_size=30, watch=lambda record: True)
    wanted = presets.preset("rbm", 30, 12, 30)
    assert {name: getattr(run.settings, name) for name in wanted} == wanted
    named = boltz.train(model, TRAIN, held_out=VALID, epochs=4).settings
    assert named == boltz.Settings(**{**presets.preset("rbm", 30, 12), "epochs": 4, "patience": 2})


@pytest.mark.parametrize(("epochs", "patience"), [(400, 5), (400, 50), (10, 3), (41, 1)])
def test_looks_are_as_frequent_as_patience_needs(epochs: int, patience: int) -> None:
    looks = [epoch for epoch in range(1, epochs + 1) if held_out.due(epoch, epochs, patience)]
    assert looks[-1] == epochs and max(np.diff([0, *looks])) <= patience
    assert len(looks) <= max(2 * held_out.LOOKS, epochs // patience + 1)


def test_records_of_an_edited_file_have_no_note() -> None:
    odd = [{"epoch": 1}, {"stage": "joint", "epoch": 2, SCORE: "abc"}, {"stage": "joint", "epoch": None, SCORE: 1.0}]
    assert held_out.kept_epoch(odd) == held_out.kept_epoch(odd[:1]) == held_out.kept_epoch([]) == ()
