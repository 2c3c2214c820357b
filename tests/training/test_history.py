"""Catches a history as a table that loses epochs or mixes fields up, takes None for 0, fails on foreign files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import boltz

X = (np.random.default_rng(2).random((30, 8)) < 0.5).astype(np.float32)
SHORT: dict[str, Any] = {"epochs": 3, "batch_size": 10, "chains": 5, "snapshots": 0}


def deep(out: Path | None = None) -> boltz.Run:
    return boltz.train(boltz.dbm([8, 4, 3], X), X, out, pretrain="doubling", pretrain_epochs=2, **SHORT)


@pytest.mark.parametrize("folder", [False, True])
def test_a_table_holds_every_number_of_every_record(folder: bool, tmp_path: Path) -> None:
    run = deep(tmp_path / "run" if folder else None)
    table = run.history_table()
    assert set(table) == {name for record in run.history for name in record}
    assert table["stage"].tolist() == ["pretrain-1"] * 2 + ["pretrain-2"] * 2 + ["joint"] * 3
    assert table["epoch"].dtype == np.int64 and table["epoch"].tolist() == [1, 2, 1, 2, 1, 2, 3]
    for name, column in table.items():
        assert len(column) == len(run.history)
        for found, record in zip(column, run.history, strict=True):
            wanted = record.get(name)
            assert np.isnan(found) if wanted is None else found == wanted, name


def test_what_is_not_measured_is_nan() -> None:
    table = deep().history_table()
    assert np.isnan(table["mode_gap"]).tolist() == [True] * 4 + [False] * 3
    assert table["free_energy_gap"].dtype == np.float64 and np.isnan(table["free_energy_gap"]).all()


def test_a_fine_tuning_has_one_too() -> None:
    tuned = boltz.fine_tune(boltz.rbm(8, 4, X), X, X[:, 0], epochs=2)
    table = tuned.history_table()
    assert table["stage"].tolist() == ["outputs"] * 2 + ["network"] * 2
    assert table["train_loss"].tolist() == [record["train_loss"] for record in tuned.history]


def test_no_epochs_are_no_columns() -> None:
    assert boltz.train(boltz.rbm(8, 4, X), X, epochs=0).history_table() == {}


def test_foreign_records_become_text_or_numbers_and_raise_nothing(tmp_path: Path) -> None:
    run = deep(tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    bad = {"stage": "\x1b[2J", "epoch": 10**400, "seconds": True, "gradient_norm": [1], "\x07bell": 1, "big": 2**63}
    lines[2] = json.dumps(json.loads(lines[2]) | bad)
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    table = boltz.resume(run.path, X).history_table()
    assert all(name.isprintable() and len(column) == 7 for name, column in table.items())
    assert table["stage"][2] == "\\x1b[2J" and table["stage"][3] == "pretrain-2"
    assert table["epoch"][2] == np.inf and table["epoch"][3] == 2
    assert table["seconds"][2] == "True" and table["gradient_norm"][2] == "[1]"
    assert table["big"][2] == 2.0**63 and np.isnan(table["big"][3])


def test_pandas_takes_a_table() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(deep().history_table())
    assert len(frame) == 7 and frame["epoch"].sum() == 12 and frame["mode_gap"].isna().sum() == 4
