"""Catches a watch that gets another machine than the one that stands, changes the training, or cannot end it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import boltz
from boltz.errors import InputError

RNG = np.random.default_rng(4)
X = (RNG.random((40, 8)) < RNG.random(8)).astype(np.float32)
Y = X[:, 0].astype(int)
SHORT: dict[str, Any] = {"epochs": 3, "batch_size": 10, "checkpoint_seconds": 1000}
CHAINS: dict[str, Any] = {"chains": 5, "snapshots": 0}
MACHINES: dict[str, tuple[Any, dict[str, Any]]] = {
    "rbm": (lambda: boltz.rbm(8, 4, X), CHAINS),
    "dbm": (lambda: boltz.dbm([8, 4, 3], X), CHAINS | {"pretrain_epochs": 2}),
    "dbm, bottom": (lambda: boltz.dbm([8, 4, 3], X), CHAINS | {"pretrain_epochs": 2, "pretrain": "bottom"}),
    "dbn": (lambda: boltz.dbn([8, 4, 3], X), {"pretrain_epochs": 2, "chains": 5}),
    "vae": (lambda: boltz.vae([8, 5], 2, X), {}),
    "gaussian": (lambda: boltz.vae([8, 5], 2, x=None, visible="gaussian"), {}),
}


class Kept:
    """A watch that keeps what it sees, and ends the run after so many epochs."""

    def __init__(self, last: int = 10**9) -> None:
        self.last, self.models, self.records = last, list[Any](), list[Any]()

    def __call__(self, record: dict[str, Any], model: Any) -> bool:
        self.records.append(record)
        self.models.append(model)
        return len(self.models) == self.last


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("name", MACHINES)
def test_the_machine_is_the_one_that_a_run_that_ends_there_has(name: str, folder: bool, tmp_path: Path) -> None:
    """In every epoch of every stage, those of pretraining included, against runs that are stopped there."""
    make, settings = MACHINES[name]
    kept = Kept()
    whole = boltz.train(make(), X, tmp_path / "whole" if folder else None, watch=kept, **SHORT, **settings)
    assert kept.records == [{k: v for k, v in record.items() if k != "line"} for record in whole.history]
    for epoch, model in enumerate(kept.models, 1):
        out = tmp_path / f"{epoch}" if folder else None
        run = boltz.train(make(), X, out, watch=Kept(epoch), **SHORT, **settings)
        assert len(run.history) == epoch
        assert model.arena.tobytes() == run.model.arena.tobytes()
        assert boltz.sample(model, 3)["v"].shape == (3, 8)
        if folder:
            assert boltz.load(run.path).arena.tobytes() == model.arena.tobytes()


def test_what_the_caller_does_to_its_copy_changes_nothing() -> None:
    make, settings = MACHINES["dbm"]

    def spoil(record: dict[str, Any], model: Any) -> None:
        boltz.ais(model, chains=5, betas=5)
        boltz.log_likelihood(model, X, log_z=boltz.exact_log_z(model))
        model.arena[...] = np.nan
        record.clear()

    wanted = boltz.train(make(), X, **SHORT, **settings)
    spoiled = boltz.train(make(), X, watch=spoil, **SHORT, **settings)
    assert spoiled.model.arena.tobytes() == wanted.model.arena.tobytes()
    assert [record["epoch"] for record in spoiled.history] == [record["epoch"] for record in wanted.history]


def test_a_resumed_run_is_watched_too(tmp_path: Path) -> None:
    make, settings = MACHINES["rbm"]
    kept, more = Kept(), {**SHORT, **settings, "checkpoint_seconds": 0}

    def stop(record: dict[str, Any]) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        boltz.train(make(), X, tmp_path / "run", watch=stop, **more)
    run = boltz.resume(tmp_path / "run", X, watch=kept)
    assert [record["epoch"] for record in kept.records] == [1, 2, 3]  # the first was not saved before it was told
    assert kept.models[-1].arena.tobytes() == run.model.arena.tobytes() != kept.models[0].arena.tobytes()


# ---------------------------------------------------------------- which functions


def named(record: Any, model: Any = "none") -> Any:
    """A second parameter that need not be given, but is called model."""
    CALLS.append((record, model))


def other(record: Any, number: Any = "none") -> Any:
    CALLS.append((record, number))


def two(record: Any, whatever: Any) -> Any:
    CALLS.append((record, whatever))


def any_number(*arguments: Any) -> Any:
    CALLS.append(arguments)


class Object:
    def method(self, record: Any, model: Any) -> Any:
        CALLS.append((record, model))

    def __call__(self, record: Any) -> Any:
        CALLS.append((record,))


CALLS: list[Any] = []


@pytest.mark.parametrize(
    ("watch", "with_model"),
    [
        (named, True),
        (two, True),
        (Object().method, True),
        (partial(two, whatever=1), False),
        (other, False),
        (any_number, False),
        (Object(), False),
        (lambda record: CALLS.append((record,)), False),
    ],
)
def test_a_function_gets_what_it_takes(watch: Any, with_model: bool) -> None:
    CALLS.clear()
    boltz.train(boltz.rbm(8, 4, X), X, watch=watch, epochs=1, **CHAINS)
    (call,) = CALLS
    assert call[0]["epoch"] == 1
    assert any(isinstance(part, boltz.BoltzmannMachine) for part in call) == with_model


def test_a_function_of_c_that_says_nothing_gets_the_record() -> None:
    found: dict[str, Any] = {}
    boltz.train(boltz.rbm(8, 4, X), X, watch=found.update, epochs=1, **CHAINS)
    assert found["epoch"] == 1


@pytest.mark.parametrize("bad", [lambda: None, lambda a, b, c: None, lambda *, record: None, 3, "print"])
def test_other_functions_are_refused_before_rows_are_read(bad: Any, tmp_path: Path) -> None:
    model = boltz.rbm(8, 4, X)
    for second, call in (
        ("model", lambda: boltz.train(model, "no rows", watch=bad)),
        ("model", lambda: boltz.resume(tmp_path, watch=bad)),
        ("network", lambda: boltz.fine_tune(model, "no rows", watch=bad)),
        ("network", lambda: boltz.resume_tuning(tmp_path, watch=bad)),
    ):
        wanted = rf"^watch must be a function of \(record\) or of \(record, {second}\), or None, got .*\.$"
        with pytest.raises(InputError, match=wanted):
            call()


@pytest.mark.parametrize(("answer", "epochs"), [(True, 1), (np.True_, 1), (1, 3), ("yes", 3), (None, 3), (False, 3)])
def test_only_true_ends_a_run(answer: Any, epochs: int) -> None:
    run = boltz.train(boltz.rbm(8, 4, X), X, watch=lambda record: answer, **SHORT, **CHAINS)
    assert len(run.history) == epochs


# ---------------------------------------------------------------- of a fine-tuning

TUNING: dict[str, dict[str, Any]] = {
    "adam": {"validation": 0.0},
    "held out": {"validation": 0.3},
    "lbfgs": {"optimizer": "lbfgs", "validation": 0.0},
    "refit": {"validation": 0.3, "refit": True},
}


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("name", TUNING)
def test_a_fine_tuning_that_ends_there_has_the_network(name: str, folder: bool, tmp_path: Path) -> None:
    """Its parameters as they stand, or the best on held-out rows so far; and it is complete, without another round."""
    settings = {"epochs": 3, "output_epochs": 2, **TUNING[name]}
    model, kept = boltz.rbm(8, 4, X), Kept()
    whole = boltz.fine_tune(model, X, Y, watch=kept, **settings)
    assert len(kept.models) == len(whole.history) >= 4
    for last in range(1, len(whole.history) + 1):
        out = tmp_path / f"{last}" if folder else None
        tuned = boltz.fine_tune(model, X, Y, out=out, watch=Kept(last), **settings)
        assert [record["epoch"] for record in tuned.history] == [r["epoch"] for r in whole.history[:last]]
        scores = {
            (r["error"], r["loss"]): i
            for i, r in reversed(list(enumerate(tuned.history)))
            if r["stage"] == "network" and r["loss"] is not None
        }
        judged = scores and not tuned.history[-1]["stage"].endswith("again")
        place = scores[min(scores)] if judged else last - 1
        assert tuned.network.arena.tobytes() == kept.models[place].arena.tobytes()
        record = tuned.history[place]
        assert tuned.epoch == (record["epoch"] if record["stage"].startswith("network") else 0)
        if folder:
            again = boltz.resume_tuning(tuned.path, X, Y)
            assert again.network.arena.tobytes() == tuned.network.arena.tobytes() and again.epoch == tuned.epoch
            assert len(again.history) == last
