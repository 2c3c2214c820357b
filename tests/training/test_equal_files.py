"""Catches two equal runs whose files differ in a byte; the clock, where it is kept, stands still here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.training import plain_train

import boltz
from boltz.storage import run_folder

ROWS = (np.random.default_rng(5).random((30, 9)) < 0.4).astype(np.float32)
SETTINGS: dict[str, Any] = {"epochs": 2, "batch_size": 10, "seed": 4}
RUNS: dict[str, Callable[[Path], Any]] = {
    "rbm": lambda out: plain_train(boltz.rbm(9, 4, x=ROWS), ROWS, out, snapshots=3, **SETTINGS),
    "dbm": lambda out: plain_train(boltz.dbm([9, 4, 3]), ROWS, out, pretrain_epochs=1, optimizer="adam", **SETTINGS),
    "vae": lambda out: plain_train(boltz.vae([9, 6], 2), ROWS, out, **SETTINGS),
    "made": lambda out: plain_train(boltz.made(9, [5], masks=2), ROWS, out, **SETTINGS),
    "vlae": lambda out: plain_train(boltz.vae([9, 5], 2, decoder="pixelcnn", prior="flow"), ROWS, out, **SETTINGS),
    "resnet": lambda out: plain_train(
        boltz.vae([9, 5], 2, encoder="resnet", residual_maps=(2,)), ROWS, out, dropout=0.2, **SETTINGS
    ),
    "dbn": lambda out: plain_train(boltz.dbn([9, 4, 3]), ROWS, out, pretrain_epochs=1, **SETTINGS),
    "classifier": lambda out: boltz.fine_tune(boltz.dbm([9, 4, 3]), ROWS, np.arange(30) % 3, out=out, **SETTINGS),
}


@pytest.mark.parametrize("kind", RUNS)
def test_equal_runs_write_equal_files(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for clock in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(f"time.{clock}", lambda: 1.0)
    for name in ("one", "two", "three"):
        RUNS[kind](tmp_path / name)
    found = [
        {str(file.relative_to(tmp_path / name)): file.read_bytes() for file in (tmp_path / name).rglob("*.*")}
        for name in ("one", "two", "three")
    ]
    for files in found:
        files.pop(run_folder.LOCK, None)
    assert found[0] == found[1] == found[2]
    wanted = {
        run_folder.SETTINGS,
        run_folder.CHECKPOINT,
        run_folder.NETWORK if kind == "classifier" else run_folder.MODEL,
    }
    assert wanted <= found[0].keys() and (kind != "rbm" or len(found[0]) > 5)
