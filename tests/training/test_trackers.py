"""Catches a number that does not reach TensorBoard, Weights & Biases or MLflow, or reaches it at the wrong place."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from support.trackers import fakes

import boltz
from boltz.errors import InputError

X = (np.random.default_rng(5).random((30, 6)) < 0.5).astype(np.float32)
SHORT: dict[str, Any] = {"epochs": 2, "pretrain_epochs": 1, "batch_size": 10, "chains": 5, "snapshots": 0}
MEASURES = ("reconstruction_error", "gradient_norm", "learning_rate", "seconds")
MAKERS = {"tensorboard": lambda: boltz.watch_tensorboard("f"), "wandb": lambda: boltz.watch_wandb("p")}
MAKERS |= {"mlflow": boltz.watch_mlflow}


def trained(watch: Any) -> list[dict[str, Any]]:
    return boltz.train(boltz.dbm([6, 4, 3], X), X, watch=watch, **SHORT).history


def wanted(record: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record under their names, written anew."""
    left = {name: value for name, value in record.items() if name not in ("stage", "epoch", "epochs")}
    return {f"{record['stage']}/{name}": value for name, value in left.items() if value is not None}


def test_tensorboard_gets_each_number_at_its_epoch() -> None:
    with fakes() as told:
        history = trained(boltz.watch_tensorboard("logs"))
    assert told[0] == ("folder", "logs") and told[-1] == ("flush",) and told.count(("flush",)) == len(history)
    scalars = [entry for entry in told if len(entry) == 3]
    assert scalars == [(name, x, record["epoch"]) for record in history for name, x in wanted(record).items()]
    assert {f"joint/{name}" for name in MEASURES} <= {entry[0] for entry in scalars}
    assert {entry[0].partition("/")[0] for entry in scalars} == {record["stage"] for record in history} > {"joint"}


def test_wandb_gets_each_number_and_the_epoch_of_its_stage() -> None:
    with fakes() as told:
        history = trained(boltz.watch_wandb("digits", name="first", mode="offline"))
    assert told[0] == ("init", {"project": "digits", "name": "first", "mode": "offline"})
    assert told[1:] == [("log", wanted(r) | {f"{r['stage']}/epoch": r["epoch"]}) for r in history]


def test_mlflow_gets_each_number_at_its_epoch() -> None:
    with fakes() as told:
        history = trained(boltz.watch_mlflow())
    assert told == [("metrics", wanted(record), record["epoch"]) for record in history]


def test_what_is_no_finite_number_is_left_out_and_stages_have_no_blanks() -> None:
    """As in the records of a fine-tuning that trains again on all rows."""
    record = {"stage": "network again", "epoch": 3, "loss": float("nan"), "error": None, "text": "a", "flag": True}
    with fakes() as told:
        boltz.watch_mlflow()(record | {"train_loss": 0.5, "line": 9})
    assert told == [("metrics", {"network-again/train_loss": 0.5}, 3)]


def test_a_fine_tuning_is_watched_too() -> None:
    with fakes() as told:
        model, tiny = boltz.rbm(6, 4, X), {"epochs": 2, "output_epochs": 1, "validation": 0.0}
        history = boltz.fine_tune(model, X, X[:, 0], watch=boltz.watch_mlflow(), **tiny).history
    assert [entry[2] for entry in told] == [record["epoch"] for record in history] == [1, 1, 2]
    assert "network/train_loss" in told[-1][1]


@pytest.mark.parametrize("package", MAKERS)
def test_a_package_that_is_not_installed_is_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (package, f"{package}.summary"):
        monkeypatch.setitem(sys.modules, name, None)
    sentence = rf"^boltz\.watch_{package} needs the package {package}, .*: python3 -m pip install {package}\.$"
    with pytest.raises(InputError, match=sentence):
        MAKERS[package]()


@pytest.mark.parametrize("bad", [None, "", 3, ["p"]])
def test_a_project_has_a_name(bad: Any) -> None:
    with fakes() as told, pytest.raises(InputError, match=r"^project must be the name of a project, got"):
        boltz.watch_wandb(bad)
    assert not told


def test_nothing_is_imported_until_it_is_used() -> None:
    code = f"import sys, boltz\nboltz.watch_mlflow\nprint([name for name in {[*MAKERS]} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout == "[]\n"
