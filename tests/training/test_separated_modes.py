"""Catches separated modes unmet: chains that do not cross, and a watch that is silent where chains are off the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import training as checks
from support.training import plain_train

import boltz
from boltz.errors import InputError
from boltz.training import exchanging
from boltz.training.loop import Loop

ROWS = checks.coin_rows(60, 12, 200).astype(np.float32)
SETTINGS: dict[str, Any] = {"rule": "ptt", "rungs": 3, "chains": 40, "epochs": 2, "batch_size": 12}
KINDS: dict[str, tuple[list[int], dict[str, Any]]] = {
    "rbm": ([12, 7], {"k": 2}),
    "centred": ([12, 6, 4], {"center": True, "sparsity_cost": 0.05}),
    "pretrained": ([12, 6, 4, 3], {"pretrain": "bottom", "pretrain_epochs": 1}),
    "doubled": ([12, 6, 4], {"pretrain_epochs": 1}),
}


class CrashError(Exception):
    """Stands for the death of the process."""


def train(kind: str, dtype: Any = np.float32, **more: Any) -> boltz.Run:
    units, settings = KINDS[kind]
    return plain_train(boltz.dbm(units, ROWS, dtype=dtype), ROWS, **(SETTINGS | settings | more))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_machines_of_any_depth(kind: str, dtype: Any) -> None:
    run = train(kind, dtype)
    assert run.model.dtype == dtype and np.isfinite(run.model.arena).all()
    for record in run.history:
        chains = record["stage"] == "joint" or kind == "pretrained"  # doubled inputs are learnt without persistent ones
        assert (record["mode_gap"] is not None) is chains
        if chains:
            assert 0 <= record["mode_gap"] <= 1 and record["mode_gap_limit"] > 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_resume_with_snapshots(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A snapshot at every step: a run killed in the middle of its last epoch ends bit for bit as the unbroken one."""
    monkeypatch.setattr(exchanging, "FARTHEST", -1.0)
    whole, original, left = train(kind), Loop._step, [0]

    def step(loop: Loop, *arguments: Any) -> None:
        left[0] += 1
        if left[0] == 8 + 5 * (kind == "pretrained") + 10 * (kind == "doubled"):
            raise CrashError
        original(loop, *arguments)

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(Loop, "_step", step)
        train(kind, out=tmp_path / "run", checkpoint_seconds=0.0)
    again = boltz.resume(tmp_path / "run", ROWS)
    assert again.model.arena.tobytes() == whole.model.arena.tobytes()
    gaps = [[record["mode_gap"] for record in run.history] for run in (again, whole)]
    assert gaps[0] == gaps[1] and again.notes == whole.notes


def test_snapshots_are_left_when_the_machine_moves_on() -> None:
    left = []

    def count(original: Any) -> Any:
        def leave(*arguments: Any) -> None:
            left.append(1)
            original(*arguments)

        return leave

    rows = np.repeat([[0.0], [1.0]], 60, axis=0) + np.zeros(20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exchanging, "_leave_snapshot", count(exchanging._leave_snapshot))
        plain_train(boltz.rbm(20, 6, rows), rows, rule="ptt", rungs=2, epochs=50, batch_size=40, learning_rate=0.2)
    assert 1 <= len(left) < 75


def test_a_run_from_a_trained_machine() -> None:
    """The first ladder then spans the way from independent units to it."""
    first = train("rbm", epochs=1).model
    assert np.isfinite(plain_train(first, ROWS, **SETTINGS).model.arena).all()


def test_a_note_stays_with_its_run(tmp_path: Path) -> None:
    rows = np.repeat([[0.0], [1.0]], 60, axis=0) + np.zeros(20)
    run = plain_train(boltz.rbm(20, 5, rows), rows, out=tmp_path / "run", epochs=60, learning_rate=0.2)
    assert len(run.notes) == 2 and "worse than a mixture of 20 products" in run.notes[0]  # for what it lost
    assert "--rule ptt" in run.notes[1]
    assert boltz.resume(tmp_path / "run", rows).notes == run.notes


def test_no_chains_no_gap() -> None:
    assert all(r["mode_gap"] is None for r in plain_train(boltz.rbm(12, 4), ROWS, rule="cd", epochs=1).history)
    assert plain_train(boltz.sbn([12, 4]), ROWS, epochs=1).history[0]["mode_gap"] is None


def test_rule_is_refused_where_it_does_not_apply() -> None:
    with pytest.raises(InputError, match="rule must be"):
        plain_train(boltz.dbn([12, 4, 3]), ROWS, rule="ptt")
    for rungs in (1, 2.5, True, 10**9):
        with pytest.raises(InputError, match="rungs"):
            boltz.Settings(rule="ptt", rungs=rungs)
