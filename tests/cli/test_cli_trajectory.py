"""Catches `boltz train --snapshots` that takes wrong snapshots, and `boltz info` that describes them wrongly."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.commands import SMALL, invoke, result_of
from support.training import plain_train

import boltz
from boltz.storage import snapshots


def test_snapshots_are_kept_and_told(data: Path) -> None:
    words = ("train", "rbm", *SMALL, "--data", data, "--out", "r", "--no-evaluate")
    assert invoke(*words, "--snapshots", 4).exit_code == 0
    files = snapshots.listed(Path("r"))
    assert [path.stem for path in files] == ["00000001", "00000002", "00000004"]  # of nine updates
    assert len(boltz.trajectory("r")) == 3
    size = sum(len(path.read_bytes()) for path in files)
    assert result_of("info", "r")["trajectory"] == {"snapshots": 3, "bytes": size} and size > 0
    assert re.search(r"trajectory: +3 snapshots, 0\.0 MB", invoke("info", "r").stdout)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("rbm", "--snapshots", "-1"), "snapshots must be a whole number of at least 0 and at most 1000, got -1"),
        (("rbm", "--snapshots", "1001"), "snapshots must be a whole number of at least 0 and at most 1000, got 1001"),
        (("vae", "--snapshots", "3"), "--snapshots is an option of rbm, dbm, bm and multimodal, not of vae"),
        (("dbn", "--snapshots", "3"), "--snapshots is an option of rbm, dbm, bm and multimodal, not of dbn"),
    ],
)
def test_numbers_and_machines_that_do_not_fit_are_refused(words: tuple[str, ...], message: str, data: Path) -> None:
    found = invoke("train", *words, "--data", data, "--out", "r")
    assert found.exit_code == 2 and message in found.stderr and not Path("r").exists()


def test_info_of_a_run_without_snapshots_and_of_a_broken_one() -> None:
    plain_train(boltz.rbm(6, 4), np.eye(6), out="r", epochs=1, snapshots=0)
    assert result_of("info", "r")["trajectory"] == {"snapshots": 0, "bytes": 0}
    Path("r/trajectory").write_text("mine")
    found = invoke("info", "r")
    assert found.exit_code == 2 and found.stderr == "Error: r/trajectory could not be read: Not a directory.\n"
