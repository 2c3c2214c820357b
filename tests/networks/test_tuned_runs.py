"""Catches fine-tuning in a run folder that ends otherwise than in memory, or otherwise after a stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks.fine_tuning_runs import CHECKS, DBM, QUICK, X, Y

import boltz
from boltz.errors import FileError, InputError, Interrupted
from boltz.networks import fine_tune
from boltz.networks.loop import Course
from boltz.storage import metrics, run_folder
from boltz.storage.tensors import read_tensors, write_tensors

KINDS: dict[str, tuple[Callable[[], Any], Any, dict[str, Any]]] = {
    "classes": (lambda: DBM, Y, {"dropout": 0.3, "refit": True, "binarize": "fixed"}),
    "momentum": (lambda: DBM, Y, {"optimizer": "momentum", "momentum": 0.5, "shuffle": False, "patience": 1}),
    "autoencoder": (lambda: boltz.autoencoder(DBM), None, {"l2": 1e-3}),
    "lbfgs": (lambda: DBM, Y, {"optimizer": "lbfgs", "refit": True}),
}
CLOCKS = ("seconds", "rows_per_second", "line")


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out fsync, which only a power cut would miss."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_what_faults_are_planted_against(check: Callable[[], None]) -> None:
    check()


def settings_of(kind: str, seconds: float) -> dict[str, Any]:
    return QUICK | KINDS[kind][2] | {"checkpoint_seconds": seconds}


def plain(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: x for name, x in record.items() if name not in CLOCKS} for record in history]


def contents(folder: Path) -> tuple[Any, ...]:
    """Network, progress but its clock, and metrics of a complete folder."""
    tensors, _ = read_tensors(folder / run_folder.CHECKPOINT)
    tensors["totals"] = tensors["totals"][:2]
    held = {name: (x.dtype, x.tobytes()) for name, x in tensors.items()}
    network = boltz.load_network(folder)
    return network.arena.tobytes(), network.classes, held, plain(metrics.read_metrics(folder))


@pytest.mark.parametrize("kind", list(KINDS))
def test_in_a_folder_as_in_memory(kind: str, tmp_path: Path) -> None:
    model, y, _ = KINDS[kind]
    wanted = boltz.fine_tune(model(), X, y, **settings_of(kind, 1e6))
    seen: list[dict[str, Any]] = []
    found = boltz.fine_tune(model(), X, y, out=tmp_path / "r", watch=seen.append, **settings_of(kind, 0))
    assert found.network.arena.tobytes() == wanted.network.arena.tobytes() and found.epoch == wanted.epoch
    assert plain(found.history) == plain(wanted.history) == plain(seen) and found.path == tmp_path / "r"
    assert boltz.load_network(tmp_path / "r").arena.tobytes() == wanted.network.arena.tobytes()
    again = boltz.resume_tuning(tmp_path / "r")  # complete: needs no data
    assert again.network.arena.tobytes() == wanted.network.arena.tobytes() and again.epoch == wanted.epoch


class CrashError(Exception):
    """Stands for a kill."""


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("seconds", [0.0, 1e6])
def test_a_crash_at_any_batch_and_resume(
    kind: str, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, y, _ = KINDS[kind]
    values = settings_of(kind, seconds)
    boltz.fine_tune(model(), X, y, out=tmp_path / "whole", **values)
    left, original = [0], Course.run

    def run(course: Course) -> None:
        pause = course.pause

        def crash() -> None:
            left[0] -= 1
            if left[0] < 0:
                raise CrashError
            pause()

        course.pause = crash
        original(course)

    monkeypatch.setattr(Course, "run", run)
    for batches in (0, 1, 5, 9, 14, 1):
        left[0] = batches
        try:
            if not (tmp_path / "broken").exists():
                boltz.fine_tune(model(), X, y, out=tmp_path / "broken", **values)
            else:
                boltz.resume_tuning(tmp_path / "broken", X, y)
        except CrashError:
            pass
    left[0] = 10**6
    boltz.resume_tuning(tmp_path / "broken", X, y)
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [1, 3])
def test_a_signal_saves_the_last_epoch_and_raises(number: signal.Signals, at: int, tmp_path: Path) -> None:
    model, y, _ = KINDS["classes"]
    values = settings_of("classes", 1e6)
    boltz.fine_tune(model(), X, y, out=tmp_path / "whole", **values)

    def watch(record: dict[str, Any]) -> None:
        if record["line"] == at if "line" in record else len(metrics.read_metrics(tmp_path / "r")) == at:
            signal.raise_signal(number)

    with pytest.raises(Interrupted, match=f"{number.name} after saving; continue with: boltz classify --resume"):
        boltz.fine_tune(model(), X, y, out=tmp_path / "r", watch=watch, **values)
    assert read_tensors(tmp_path / "r" / run_folder.CHECKPOINT)[1]["lines"] == str(at)
    assert not (tmp_path / "r" / run_folder.NETWORK).exists()
    resumed = boltz.resume_tuning(tmp_path / "r", X, y)
    assert contents(tmp_path / "r") == contents(tmp_path / "whole") and resumed.path == tmp_path / "r"


def begun(folder: Path) -> Path:
    """A folder whose training was stopped at its first batch."""

    def stopped(*arguments: Any) -> Any:
        raise CrashError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(fine_tune, "_in_folder", stopped)
        boltz.fine_tune(DBM, X, Y, held_out=(X[:4], Y[:4]), out=folder, **QUICK)
    return folder


def test_data_that_changed_are_refused(tmp_path: Path) -> None:
    folder, held = begun(tmp_path / "r"), (X[:4], Y[:4])
    for given, said in (
        ((None, None, held), "give it again as x"),
        ((X, None, held), "labels given apart from the rows"),
        ((X[::-1], Y, held), "the fingerprint of x differs"),
        ((X, np.roll(Y, 1), held), "the labels of the data of .* changed"),
        ((X, Y[:5], held), "one label for each of the 24 rows"),
        ((X, np.repeat("z", 24), held), "y must hold classes of the network"),
        ((X, Y, None), "give it again as held_out"),
        ((X, Y, (X[:4], Y[1:5])), "the labels of the held_out of .* changed"),
    ):
        with pytest.raises(InputError, match=said):
            boltz.resume_tuning(folder, *given)
    assert boltz.resume_tuning(folder, X, Y, held).path == folder


def test_a_damaged_folder_is_told(tmp_path: Path) -> None:
    folder = begun(tmp_path / "r")
    tensors, _ = read_tensors(folder / run_folder.CHECKPOINT)
    for patch, told, said in (
        ({}, {"settings": "other"}, "was changed since the run was saved"),
        ({}, {"lines": "x"}, "how many epochs"),
        ({"arena": np.zeros(3, np.float32)}, {}, "does not fit the settings"),
        ({"counters": np.array([9, 0, 0, 0])}, {}, "does not fit the settings"),
        ({"counters": np.array([0, 9, 0, 0])}, {}, "does not fit the settings"),
        ({"totals": np.zeros(1)}, {}, "not the checkpoint of a fine-tuning|does not fit"),
    ):
        write_tensors(folder / run_folder.CHECKPOINT, tensors | patch, {"settings": run_folder.mark(folder)} | told)
        with pytest.raises(FileError, match=said):
            boltz.resume_tuning(folder, X, Y, (X[:4], Y[:4]))
    (folder / run_folder.SETTINGS).write_text('task = "classifier"\nsettings = {epochs = "x"}\n')
    with pytest.raises(FileError, match="does not describe a fine-tuning"):
        boltz.resume_tuning(folder, X, Y)
    other = run_folder.create(tmp_path / "train", {"model": {}}, {}, {})
    with pytest.raises(FileError, match="is not the folder of a fine-tuning"):
        boltz.resume_tuning(other)
    with pytest.raises(FileError, match="does not exist"):
        boltz.resume_tuning(tmp_path / "nowhere")


def test_a_folder_in_use_stays_as_it_is(tmp_path: Path) -> None:
    folder = begun(tmp_path / "r")
    with pytest.raises(InputError, match="already holds a run"):
        boltz.fine_tune(DBM, X, Y, out=folder, **QUICK)
    with run_folder.lock(folder), pytest.raises(InputError, match="in use by another process"):
        boltz.resume_tuning(folder, X, Y, (X[:4], Y[:4]))
    assert boltz.fine_tune(DBM, X, Y, out=folder, force=True, **QUICK).path == folder


def test_named_data_are_loaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "d.npz", x_train=X, y_train=np.arange(24) % 3)
    data = boltz.load_data(str(tmp_path / "d.npz"))
    monkeypatch.setattr(fine_tune, "_in_folder", lambda course, runner: None)
    boltz.fine_tune(DBM, data, out=tmp_path / "r", **QUICK)
    monkeypatch.undo()
    found = boltz.resume_tuning(tmp_path / "r")
    assert found.network.classes == (0, 1, 2) and len(found.history) == 4
