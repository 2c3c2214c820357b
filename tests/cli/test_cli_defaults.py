"""Catches a training in Python that has other defaults than the same one on the command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import invoke

import boltz
from boltz.cli.starting import prepared
from boltz.cli.train import train
from boltz.errors import InputError

ROWS = (np.random.default_rng(5).random((600, 9)) < 0.5).astype(np.uint8)
MAKE: dict[str, tuple[Any, tuple[str, ...]]] = {
    "rbm": (lambda x: boltz.rbm(9, 4, x), ("--layers", "4")),
    "dbm": (lambda x: boltz.dbm([9, 4, 3], x), ("--layers", "4,3")),
    "dbn": (lambda x: boltz.dbn([9, 4, 3], x), ("--layers", "4,3")),
    "sbn": (lambda x: boltz.sbn([9, 4], x=x), ("--layers", "4")),
    "vae": (lambda x: boltz.vae([9, 4], 2, x), ("--layers", "4", "--latent", "2")),
}
SHORT = {name: {"pretrain_epochs": 2} if name in ("dbm", "dbn") else {} for name in MAKE}  # so that it is quick
CASES: dict[str, dict[str, Any]] = {
    "epochs alone": {"epochs": 3},
    "no epochs at all": {"epochs": 0},
    "a rate and a batch": {"epochs": 3, "learning_rate": 0.01, "batch_size": 50},
    "patience": {"epochs": 4, "patience": 2},
    "validation": {"epochs": 4, "validation": 0.2},
    "held-out rows": {"epochs": 4},
    "held-out rows and patience": {"epochs": 4, "patience": 1},
}
MORE = {
    "rbm": {"rule": "cd", "center": False, "k": 2},
    "dbm": {"pretrain": "doubling", "mean_field_sweeps": 3},
    "dbn": {"k": 2, "pretrain_k": 2},
    "sbn": {"objective": "rws"},
    "vae": {"objective": "iwae"},
}


def options(settings: dict[str, Any]) -> list[str]:
    """Settings as the command line says them."""
    words = {True: "--{}", False: "--no-{}"}
    return [
        word
        for name, value in settings.items()
        for word in (
            [words[value].format(name.replace("_", "-"))]
            if isinstance(value, bool)
            else [f"--{name.replace('_', '-')}", str(value)]
        )
    ]


def asked(kind: str, settings: dict[str, Any], rows: int, held_out: int = 0) -> list[Any]:
    """The words of a command that trains on so many rows."""
    np.save("rows.npy", ROWS[:rows])
    np.save("others.npy", ROWS[:held_out])
    words = [kind, *MAKE[kind][1], "--data", "rows.npy", "--out", "run", "--no-evaluate", *options(settings)]
    return [*words, "--valid", "others.npy"] if held_out else words


def both(kind: str, settings: dict[str, Any], rows: int, held_out: int = 0) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings that the command trains with, and those of boltz.train, which is stopped after its first epoch."""
    told = prepared(train.make_context("train", list(map(str, asked(kind, settings, rows, held_out)))).params)
    x = ROWS[:rows]
    others = ROWS[:held_out] if held_out else None
    run = boltz.train(MAKE[kind][0](x), x, held_out=others, watch=lambda record: True, **settings)
    return told.settings.as_dict(), run.settings.as_dict()


@pytest.mark.parametrize("kind", MAKE)
def test_run_toml_has_them(kind: str) -> None:
    settings = SHORT[kind] | {"epochs": 3}
    done = invoke("train", *asked(kind, settings, 60))
    assert done.exit_code == 0, done.stderr
    told = tomllib.loads(Path("run/run.toml").read_text())["settings"]
    assert told == boltz.train(MAKE[kind][0](ROWS[:60]), ROWS[:60], **settings).settings.as_dict()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", MAKE)
def test_what_is_not_named_is_alike(kind: str, case: str) -> None:
    told, found = both(kind, CASES[case], 60, 20 if case.startswith("held") else 0)
    assert found == told


@pytest.mark.parametrize("rows", [3, 600])
@pytest.mark.parametrize("kind", MAKE)
def test_what_follows_the_rows_is_alike(kind: str, rows: int) -> None:
    """Rates, batches, samples of an objective that weighs several; 600 rows have batches of 12, fewer of 10."""
    told, found = both(kind, {"epochs": 1} | MORE[kind], rows)
    assert found == told and found["batch_size"] == {3: 10, 600: 12}[rows]


@pytest.mark.parametrize("kind", ["dbm", "dbn"])
def test_pretraining_is_shorter_where_epochs_are_named(kind: str) -> None:
    """As many times them as in the preset: 2 to 1 for a dbm, 1 to 0.2 for a dbn. None named: by the rows alone."""
    told, found = both(kind, {"epochs": 2}, 3)
    assert found == told and found["pretrain_epochs"] == {"dbm": 4, "dbn": 10}[kind]
    told, found = both(kind, {"epochs": 0}, 3)
    assert found == told and found["pretrain_epochs"] == {"dbm": 3000, "dbn": 1500}[kind]


@pytest.mark.parametrize("kind", ["dbm", "dbn"])
def test_a_machine_that_has_learnt_is_not_pretrained(kind: str) -> None:
    """Neither by boltz.train nor by --init; its next training would else begin with the loss of what it knows."""
    x = ROWS[:40]
    first = boltz.train(MAKE[kind][0](x), x, pretrain_epochs=1, epochs=1, out="first")
    again = boltz.train(first.model, x, epochs=1)
    assert again.settings.pretrain_epochs == 0 and {record["stage"] for record in again.history} <= {"joint", "up-down"}
    np.save("rows.npy", x)
    words = [kind, "--init", "first", "--data", "rows.npy", "--epochs", "1", "--out", "second"]
    assert prepared(train.make_context("train", words).params).settings == again.settings
    assert boltz.train(first.model, x, epochs=1, pretrain_epochs=1).settings.pretrain_epochs == 1


def test_patience_with_nothing_to_judge_by_is_refused_alike() -> None:
    np.save("rows.npy", np.resize(ROWS, (5000, 9)))
    done = invoke("train", "rbm", "--data", "rows.npy", "--epochs", 2, "--patience", 1, "--out", "run")
    assert done.exit_code == 2 and "patience" in done.stderr
    with pytest.raises(InputError, match="patience waits for a better epoch"):
        boltz.train(boltz.rbm(9, 4), np.resize(ROWS, (5000, 9)), epochs=2, patience=1)
