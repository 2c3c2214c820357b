"""Quick checks of what is told while a training runs, and of names that may have been meant."""

from __future__ import annotations

import csv
import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from support.trackers import fakes

import boltz
from boltz.foreign import near
from boltz.storage import metrics

X = (np.random.default_rng(8).random((30, 6)) < 0.5).astype(np.float32)
SHORT: dict[str, Any] = {"epochs": 2, "pretrain_epochs": 1, "batch_size": 10, "chains": 5, "snapshots": 0}


def check_table() -> None:
    """metrics.csv has the epochs of the run, and a column for each field of any record."""
    with tempfile.TemporaryDirectory() as place, mock.patch.object(os, "fsync", lambda descriptor: None):
        folder = Path(place) / "run"
        run = boltz.train(boltz.dbm([6, 4, 3], X), X, folder, checkpoint_seconds=0, **SHORT)
        told = [(record["stage"], str(record["epoch"])) for record in run.history]
        assert [(row["stage"], row["epoch"]) for row in _rows(folder)] == told
        metrics.append_metrics(folder, {"extra": 0.25})
        metrics.write_table(folder)
        assert [row.get("extra") for row in _rows(folder)] == [""] * len(told) + ["0.25"]


def check_trackers() -> None:
    """Each number goes under the name of its stage."""
    with fakes() as told:
        run = boltz.train(boltz.dbm([6, 4, 3], X), X, watch=boltz.watch_mlflow(), **SHORT)
    for record, (_, values, step) in zip(run.history, told, strict=True):
        assert values.get(f"{record['stage']}/gradient_norm") == record["gradient_norm"] and step == record["epoch"]


def check_near() -> None:
    """A slip of the hand is mended, and a word that is no name suggests nothing."""
    names = ("train", "evaluate", "compare", "complete", "data")
    for wrong, wanted in (("trian", "train"), ("Evalute", "evaluate"), ("dta", "data"), ("compar", "compare")):
        assert near(wrong, names) == f": did you mean {wanted}?", wrong
    assert near("comp", names) == ": did you mean compare or complete?"
    assert near("xyz", names) == near("", names) == near("rbm", names) == ""


def _rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / metrics.TABLE, newline="") as file:
        return list(csv.DictReader(file))
