"""Catches commands that break on a mapped .npy file, or whose results differ from those of the rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.commands import SMALL, UNITS, invoke, result_of

import boltz
from boltz.data import readers
from boltz.evaluation import rows as measure

ROWS = np.random.default_rng(8).integers(0, 256, (50, UNITS)).astype(np.uint8)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", ROWS)
    return tmp_path / "rows.npy"


def test_training_and_measuring_do_not_depend_on_where_the_rows_lie(
    rows: Path, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []
    for most, out in ((readers.MAPPED_BYTES, "read"), (1, "mapped")):
        monkeypatch.setattr(readers, "MAPPED_BYTES", most)
        assert invoke("train", "rbm", *SMALL, "--data", rows, "--out", out, "--no-evaluate").exit_code == 0
        likelihood = result_of("evaluate", run, "--data", rows, "--split", "train", "--limit", 20)
        described = result_of("data", rows)
        found.append(
            (boltz.load(Path(out)).arena.tobytes(), likelihood["log_likelihood"], likelihood["rows"], described)
        )
    assert found[0] == found[1] and found[0][2] == 20


def test_rows_that_do_not_fit_into_memory_are_refused(rows: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("evaluate", run, "--data", rows, "--split", "train")
    monkeypatch.setattr(measure, "memory", lambda: 4.0 * ROWS.size - 1)
    refused = invoke(*words)
    assert refused.exit_code == 2 and "name fewer with --limit" in refused.stderr
    assert invoke(*words, "--limit", len(ROWS) - 1).exit_code == 0


def test_the_memory_of_this_computer_is_plausible() -> None:
    assert measure.memory() > 2**27
