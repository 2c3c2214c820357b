"""Catches a run that was stopped anywhere, by anything, and does not end bit for bit as the one that was not."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checks import training as checks
from support.training import plain_train

import boltz
from boltz.errors import BoltzError, FileError, InputError, Interrupted
from boltz.storage import run_folder
from boltz.storage.tensors import read_tensors, write_tensors
from boltz.training import held_out as looks
from boltz.training.loop import Loop
from boltz.training.runner import Runner
from boltz.training.stages import kind_of_settings

CLOCKS = ("seconds", "rows_per_second", "line")
ROWS = np.random.default_rng(110).random((20, 6)).astype(np.float32)
KINDS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "pcd": (lambda: boltz.rbm(6, 4, ROWS), {"momentum": 0.9, "initial_momentum": 0.5, "momentum_epochs": 1}),
    "cd": (lambda: boltz.rbm(6, 4, ROWS), {
        "rule": "cd", "k": 2, "binarize": "fixed", "optimizer": "nesterov", "momentum": 0.5
    }),
    "centred": (lambda: boltz.dbm([6, 4, 3], ROWS), {
        "center": True, "sparsity_cost": 0.05, "schedule": "inverse", "max_norm": 0.5
    }),
    "pretrained": (lambda: boltz.dbm([6, 4, 3], ROWS), {
        "pretrain_epochs": 1, "optimizer": "adam", "l2": 1e-3, "averaging": "exponential", "average_decay": 0.8
    }),
    "collapsed": (lambda: boltz.dbm([6, 4, 3], ROWS), {
        "positive": "collapsed", "positive_draws": 2, "averaging": "last", "average_share": 0.5
    }),
    "gibbs": (lambda: boltz.dbm([6, 4, 3, 2], ROWS), {"positive": "gibbs", "center": True, "batch_size": 7}),
    "rising": (lambda: boltz.dbm([6, 4, 3], ROWS), {
        "k": "1:3", "schedule": "per-sweep", "rate_floor": 0.5, "chain_start": "noise", "negative": "means",
        "pretrain_epochs": (1, 2), "pretrain_k": (1, "1:2"), "pretrain_l2": 1e-3, "sparsity_cost": 0.05,
    }),
    "two-stage": (lambda: boltz.dbm([6, 4, 3], ROWS), {
        "pretrain": "two-stage", "pretrain_epochs": 1, "averaging": "last", "average_share": 0.5, "center": True
    }),
    "bottom": (lambda: boltz.dbm([6, 4, 3], ROWS), {"pretrain": "bottom", "pretrain_epochs": 1, "l1": 1e-4}),
    "l1b": (lambda: boltz.dbm([6, 4, 3], ROWS), {"l1b": (0.2, 0.05), "momentum": 0.5, "averaging": "last"}),
    "bm": (lambda: boltz.boltzmann(6, 3, lateral="both", x=ROWS), {"positive": "gibbs", "center": True, "l2": 1e-3}),
    "bm swept": (lambda: boltz.boltzmann(6, 3, lateral="hidden", x=ROWS), {"positive": "collapsed", "rule": "cd"}),
    "bm visible": (lambda: boltz.boltzmann(6, x=ROWS), {"momentum": 0.5, "averaging": "last"}),
    "bm sparse": (
        lambda: boltz.graph({"v": 6, "h": 3}, {("v", "h"): None, ("v", "v"): boltz.lattice([2, 3], 0.1)}, x=ROWS),
        {"positive": "collapsed", "center": True, "averaging": "last"},
    ),
    "views": (lambda: boltz.multimodal({"a": 4, "b": 2}, {"a": [3], "b": [2]}, 2, ROWS), {
        "pretrain": "bottom", "pretrain_epochs": 1, "positive": "gibbs", "center": True
    }),
    "pathways": (lambda: boltz.multimodal({"a": 4, "b": 2}, {"a": [3, 2], "b": [2, 2]}, 2, ROWS), {
        "pretrain": "doubling", "pretrain_epochs": 1, "averaging": "last", "positive": "collapsed"
    }),
    "iwae": (lambda: boltz.vae([6, [5], [4]], [3, 2], ROWS), {
        "objective": "iwae", "samples": 3, "schedule": "stages", "adam_second": 1.0, "learning_rate": 0.01
    }),
    "warm-up": (lambda: boltz.vae([6, 5], 3, ROWS, visible="gaussian"), {
        "warmup_epochs": 2.5, "free_bits": 0.05, "optimizer": "momentum", "momentum": 0.9, "shuffle": False
    }),
    "nvil": (lambda: boltz.sbn([6, 4, 3], x=ROWS), {"objective": "nvil", "learning_rate": 0.01}),
    "rws": (lambda: boltz.sbn([6, 4, 3], [3], ROWS), {"objective": "rws", "samples": 3, "l2": 1e-3}),
    "iaf": (lambda: boltz.vae([6, [5], [4]], [3, 2], ROWS, posterior="iaf", flow_widths=[5]), {
        "objective": "stl", "samples": 2, "learning_rate": 0.01
    }),
    "nade": (lambda: boltz.nade(6, 4, ROWS), {"learning_rate": 0.01}),
    "made": (lambda: boltz.made(6, [4], ROWS, masks=2), {"optimizer": "adamax", "l2": 1e-3}),
    "pixelcnn": (lambda: boltz.pixelcnn(6, ROWS, image=(2, 3), receptive_field=2, filters=2), {
        "optimizer": "adamax", "averaging": "exponential", "average_decay": 0.8
    }),
    "lossy": (lambda: boltz.vae([6, 4], 2, ROWS, decoder="pixelcnn", prior="flow", image=(2, 3), flow_widths=[3]), {
        "optimizer": "adamax", "free_bits": 0.4, "soft_free_bits": True, "averaging": "exponential"
    }),
    "resnet": (lambda: boltz.vae([6, 4], 2, ROWS, encoder="resnet", residual_maps=(2,), image=(2, 3)), {
        "dropout": 0.3, "samples": 2, "objective": "iwae"
    }),
    "dropout": (lambda: boltz.sbn([6, 4, 3], [5], ROWS), {"dropout": 0.3, "objective": "vimco", "samples": 3}),
    "up-down pcd": (lambda: boltz.dbn([6, 4, 3], ROWS), {"pretrain_epochs": 1, "k": 2, "optimizer": "nesterov"}),
    "up-down cd": (lambda: boltz.dbn([6, 4, 3], ROWS), {"rule": "cd", "pretrain_epochs": 1, "k": 1, "momentum": 0.5}),
}  # fmt: skip
PRETRAINED = {
    "pretrained": 2,
    "rising": 3,
    "two-stage": 2,
    "bottom": 1,
    "views": 2,
    "pathways": 5,
    "up-down pcd": 2,
    "up-down cd": 2,
}  # stages before the last one
LIMIT = 10**6  # seconds between saves: never but at the end


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out fsync, which only a power cut would miss and which takes most of the time here, and most of a look.

    A run looks at its machine when it ends: ten steps of the 300 do.
    """
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    monkeypatch.setattr(looks, "STEPS", 10)


class CrashError(Exception):
    """Stands for the death of the process."""


def start(kind: str, out: Path | None, every: float = 0.0, **more: Any) -> boltz.Run:
    make, settings = KINDS[kind]
    model = make()
    common: dict[str, Any] = {"epochs": 3, "batch_size": 8, "seed": 4, "checkpoint_seconds": every}
    if hasattr(kind_of_settings(model.plan), "chains"):
        common["chains"] = 9
    return plain_train(model, ROWS, out=out, **(common | settings | more))


def crash_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Die before the given step of this process, counted from 0."""
    count, original = iter(range(10**6)), Loop._step

    def step(loop: Loop, *arguments: Any) -> None:
        if next(count) == number:
            raise CrashError
        original(loop, *arguments)

    monkeypatch.setattr(Loop, "_step", step)


def outcome(run: boltz.Run) -> tuple[bytes, list[bytes], list[dict[str, Any]]]:
    records = [{k: v for k, v in r.items() if k not in CLOCKS} for r in run.history]
    return run.model.arena.tobytes(), [r.tobytes() for r in run.model.rates.values()], records


def assert_same(run: boltz.Run, wanted: boltz.Run) -> None:
    assert outcome(run) == outcome(wanted)
    assert [m.arena.tobytes() for m in run.trajectory] == [m.arena.tobytes() for m in wanted.trajectory]
    if run.path is not None:
        assert outcome(boltz.Run(boltz.load(run.path), run.history, None, run.settings)) == outcome(wanted)


def steps_of(kind: str) -> int:
    """Three batches an epoch, over all stages."""
    return 3 * (3 + PRETRAINED.get(kind, 0))


# ---------------------------------------------------------------- crashes


@pytest.mark.parametrize("kind", KINDS)
def test_a_crash_before_any_step(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save at every step; death before each step of the run in turn, the first one included."""
    wanted = start(kind, None)
    for number in range(steps_of(kind)):
        folder = tmp_path / str(number)
        with monkeypatch.context() as patch, pytest.raises(CrashError):
            crash_at(patch, number)
            start(kind, folder)
        assert_same(boltz.resume(folder, ROWS), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_crash_after_crash(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process manages two steps and dies before its third."""
    wanted, run, folder = start(kind, None), None, tmp_path / "run"
    for number in range(steps_of(kind)):
        with monkeypatch.context() as patch:
            crash_at(patch, 2)
            try:
                run = start(kind, folder) if number == 0 else boltz.resume(folder, ROWS)
                break
            except CrashError:
                continue
    assert run is not None
    assert_same(run, wanted)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1, 4, 8])
def test_a_crash_before_the_first_save(kind: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what the run was made with is there; the records of lost epochs are dropped."""
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        crash_at(patch, number)
        start(kind, tmp_path / "run", every=LIMIT)
    assert_same(boltz.resume(tmp_path / "run", ROWS), start(kind, None))


def test_a_crash_between_the_model_and_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = start("centred", tmp_path / "whole")
    (tmp_path / "whole" / "model.safetensors").unlink()
    assert_same(boltz.resume(tmp_path / "whole", ROWS), wanted)  # the model is made again

    original = Runner.save

    def save(runner: Runner, *what: Any) -> None:
        if (runner.folder / "model.safetensors").exists():
            raise CrashError
        original(runner, *what)

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(Runner, "save", save)
        start("centred", tmp_path / "run")
    assert_same(boltz.resume(tmp_path / "run", ROWS), wanted)


def test_a_torn_metrics_line_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        crash_at(patch, 7)
        start("pcd", tmp_path / "run")
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"line": 3, "epoch": 3}\n{"line": 4, "ep')
    assert_same(boltz.resume(tmp_path / "run", ROWS), start("pcd", None))


@pytest.mark.parametrize("kind", ["pcd", "pretrained"])
def test_the_table_of_metrics_has_the_rows_of_a_run_that_was_stopped_anywhere(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a crash, on going on, and where the run was killed with a table of later epochs."""
    folder = tmp_path / "run"

    def rows() -> list[dict[str, Any]]:
        with open(folder / "metrics.csv", newline="") as file:
            return [{name: text for name, text in row.items() if text} for row in csv.DictReader(file)]

    def told() -> list[dict[str, Any]]:
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{name: str(x) for name, x in record.items() if x is not None} for record in records]

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        crash_at(patch, 7)
        start(kind, folder)
    assert rows() == told() != []
    (folder / "metrics.csv").write_text("line,epoch\n1,1\n2,2\n3,3\n4,4\n5,5\n")
    run = boltz.resume(folder, ROWS)
    assert rows() == told() and len(rows()) == len(run.history)


def test_a_damaged_checkpoint_falls_back_on_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        crash_at(patch, 7)
        start("pretrained", tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    run = boltz.resume(tmp_path / "run", ROWS)
    assert "checkpoint.safetensors" in run.notes[0] and not any("checkpoint" in note for note in run.notes[1:])
    assert_same(run, start("pretrained", None))


@pytest.mark.parametrize("kind", ["centred", "iwae", "nvil", "rws", "up-down pcd"])
def test_threads_may_change_in_between(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setenv("BOLTZ_NUM_THREADS", "1")
        crash_at(patch, 4)
        start(kind, tmp_path / "run")
    monkeypatch.setenv("BOLTZ_NUM_THREADS", "3")
    assert_same(boltz.resume(tmp_path / "run", ROWS), start(kind, None))


# ---------------------------------------------------------------- signals


def send(number: int, at: int) -> Callable[[dict[str, Any]], None]:
    """A watcher that signals its own process at one epoch record, counted from 0."""
    count = iter(range(10**6))

    def watch(record: dict[str, Any]) -> None:
        if next(count) == at:
            os.kill(os.getpid(), number)

    return watch


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("at", [0, 1])
def test_a_signal_saves_and_raises(kind: str, number: int, at: int, tmp_path: Path) -> None:
    before = signal.getsignal(number)
    with pytest.raises(
        Interrupted, match=f"Stopped by {signal.Signals(number).name} after saving; continue with: boltz"
    ):
        start(kind, tmp_path / "run", every=LIMIT, watch=send(number, at))
    assert signal.getsignal(number) is before
    tensors, _ = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert tensors["counters"][4] == at + 1  # epochs kept
    assert_same(boltz.resume(tmp_path / "run", ROWS), start(kind, None))


def test_a_signal_in_the_middle_of_an_epoch_waits_for_the_end_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, original = iter(range(10**6)), Loop._step

    def step(loop: Loop, *arguments: Any) -> None:
        number = next(count)
        if number == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        original(loop, *arguments)

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(Loop, "_step", step)
        start("pcd", tmp_path / "run", every=LIMIT)
    tensors, _ = read_tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert list(tensors["counters"]) == [0, 1, 2, 5, 1]  # stage, epoch, batch, step, lines
    assert_same(boltz.resume(tmp_path / "run", ROWS), start("pcd", None))


def test_signal_after_signal(tmp_path: Path) -> None:
    folder, wanted = tmp_path / "run", start("pretrained", None)
    with pytest.raises(Interrupted):
        start("pretrained", folder, every=LIMIT, watch=send(signal.SIGTERM, 0))
    for _ in range(4):
        with pytest.raises(Interrupted):
            boltz.resume(folder, ROWS, watch=send(signal.SIGINT, 0))
    assert_same(boltz.resume(folder, ROWS), wanted)


def test_a_second_signal_of_a_kind_acts_as_usual(tmp_path: Path) -> None:
    """The first Ctrl-C asks, the second one is a KeyboardInterrupt."""

    def watch(record: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        start("pcd", tmp_path / "run", watch=watch)
    assert_same(boltz.resume(tmp_path / "run", ROWS), start("pcd", None))


def test_without_a_folder_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen = []
    start("pcd", None, watch=lambda record: seen.append(signal.getsignal(signal.SIGINT)))
    assert set(seen) == {before}
    with pytest.raises(KeyboardInterrupt):
        start("pcd", None, watch=send(signal.SIGINT, 0))


def test_another_thread_trains_without_touching_signals(tmp_path: Path) -> None:
    found: list[boltz.Run] = []
    worker = threading.Thread(target=lambda: found.append(start("pcd", tmp_path / "run")))
    worker.start()
    worker.join()
    assert_same(found[0], start("pcd", None))


# ---------------------------------------------------------------- complete runs, wrong data, wrong settings


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = [p for p in folder.rglob("*") if p.is_file() and p.name != ".lock"]
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in files}


@pytest.mark.parametrize("kind", ["pretrained", "iwae", "nvil", "up-down pcd"])
def test_a_complete_run_is_returned_untouched(kind: str, tmp_path: Path) -> None:
    run = start(kind, tmp_path / "run")
    before = contents(tmp_path / "run")
    for given in (None, ROWS):
        again = boltz.resume(tmp_path / "run", given)
        assert again.history == run.history
        assert_same(again, run)
    assert contents(tmp_path / "run") == before


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that died in its second epoch."""
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        crash_at(patch, 5)
        start("pretrained", tmp_path / "run", held_out=ROWS[:5])
    return tmp_path / "run"


def changed(x: np.ndarray) -> np.ndarray:
    other = x.copy()
    other[3, 2] = 0.25
    return other


@pytest.mark.parametrize(
    ("x", "held_out", "words"),
    [
        (changed(ROWS), ROWS[:5], "the data of .* changed"),
        (ROWS[::-1], ROWS[:5], "the data of .* changed"),
        (ROWS[:19], ROWS[:5], "the data of .* changed"),
        (ROWS[:, :5], ROWS[:5], "must have shape"),
        (None, ROWS[:5], "was trained on an array; give it again as x"),
        (ROWS, None, "was trained on an array; give it again as held_out"),
        (ROWS, changed(ROWS)[:5], "the held_out of .* changed"),
    ],
)
def test_other_data_are_refused(x: Any, held_out: Any, words: str, stopped: Path) -> None:
    before = contents(stopped)
    with pytest.raises(InputError, match=words):
        boltz.resume(stopped, x, held_out)
    assert contents(stopped) == before
    assert boltz.resume(stopped, ROWS, ROWS[:5]).path == stopped and (stopped / "model.safetensors").exists()


EDITS = {
    "chains": "10",
    "batch_size": "1000",
    "epochs": "1",
    "seed": "5",
    "optimizer": '"momentum"',
    "rule": '"cd"',
    "center": "true",
    "sparsity_cost": "0.5",
    "pretrain": '"bottom"',
    "pretrain_epochs": "0",
    "learning_rate": "0.5",
    "units": "[6, 4, 2]",
    "dtype": '"float64"',
    "kind": '"spin"',
}


@pytest.mark.parametrize("name", EDITS)
def test_other_settings_are_refused(name: str, stopped: Path) -> None:
    """run.toml must be that of the checkpoint: anything else could not end as the unbroken run."""
    path = stopped / "run.toml"
    text = path.read_text()
    edited, count = re.subn(rf"(?ms)^{name} = (\[.*?\]|.*?)$", f"{name} = {EDITS[name]}", text, count=1)
    assert count == 1 and edited != text
    path.write_text(edited)
    with pytest.raises(FileError, match=re.escape(str(stopped))):
        boltz.resume(stopped, ROWS, ROWS[:5])
    path.write_text(text)
    assert boltz.resume(stopped, ROWS, ROWS[:5]).path == stopped and (stopped / "model.safetensors").exists()


DIRECTED_EDITS: dict[str, dict[str, str]] = {
    "nvil": {
        "objective": '"reinforce"',
        "samples": "2",
        "learning_rate": "0.5",
        "shuffle": "false",
        "adam_beta1": "0.5",
        "adam_second": "1.0",
        "activation": '"relu"',
        "prior": '"rbm"',
        "widths": "[[], [5]]",
        "layers": '[["v", 6, "bernoulli"], ["h1", 4, "bernoulli"]]',
        "dtype": '"float64"',
    },
    "iwae": {"objective": '"vimco"', "groups": "2", "samples": "2", "schedule": '"linear"', "widths": "[[5], [3]]"},
    "up-down pcd": {"rule": '"cd"', "chains": "10", "pretrain_epochs": "0", "k": "3", "prior": '"factorial"'},
}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, edits in DIRECTED_EDITS.items() for name in edits])
def test_other_settings_of_directed_runs_are_refused(
    kind: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that no machine of this structure has, such as an objective that needs other layers."""
    folder = died(kind, tmp_path, monkeypatch)
    path = folder / "run.toml"
    text = path.read_text()
    edited, count = re.subn(rf"(?ms)^{name} = (\[.*?^\]|.*?)$", f"{name} = {DIRECTED_EDITS[kind][name]}", text, count=1)
    assert count == 1 and edited != text
    path.write_text(edited)
    with pytest.raises(FileError, match=re.escape(str(folder))):
        boltz.resume(folder, ROWS)
    path.write_text(text)
    assert_same(boltz.resume(folder, ROWS), start(kind, None))


@pytest.mark.parametrize(
    "text", ["", "[settings]\n", '[model]\nunits = "many"\n', "[model]\nunits = [6, 4]\nkind = 3\n"]
)
def test_a_run_file_that_says_nothing_is_refused(text: str, stopped: Path) -> None:
    (stopped / "run.toml").write_text(text)
    with pytest.raises(FileError, match=r"run\.toml"):
        boltz.resume(stopped, ROWS, ROWS[:5])


def edits_of_a_checkpoint() -> dict[str, Callable[[dict[str, np.ndarray]], Any]]:
    def put(name: str, value: Any) -> Callable[[dict[str, np.ndarray]], Any]:
        return lambda tensors: tensors.__setitem__(name, value)

    return {
        "no arena": lambda t: t.pop("arena/model"),
        "short arena": lambda t: t.__setitem__("arena/model", t["arena/model"][:-1]),
        "long arena": lambda t: t.__setitem__("arena/model", np.append(t["arena/model"], t["arena/model"][:1])),
        "no pair": lambda t: t.pop("arena/pair-0"),
        "second pair alone": lambda t: t.__setitem__("arena/pair-1", t.pop("arena/pair-0")),
        "no optimizer": lambda t: t.pop("optimizer/first"),
        "other optimizer": lambda t: t.__setitem__("optimizer/velocity", t.pop("optimizer/first")),
        "short moment": lambda t: t.__setitem__("optimizer/first", t["optimizer/first"][1:]),
        "particles of nobody": put("rule/chain/v", np.zeros((9, 6), np.float32)),
        "no counters": lambda t: t.pop("counters"),
        "four counters": lambda t: t.__setitem__("counters", t["counters"][:4]),
        "six counters": lambda t: t.__setitem__("counters", np.append(t["counters"], 1)),
        "a table of counters": lambda t: t.__setitem__("counters", t["counters"][:, None].repeat(2, 1)),
        "no totals": lambda t: t.pop("totals"),
        "one total": lambda t: t.__setitem__("totals", t["totals"][:1]),
        "a stage before the first": lambda t: t["counters"].__setitem__(0, -1),
        "a stage beyond the last": lambda t: t["counters"].__setitem__(0, 9),
        "a batch before the first": lambda t: t["counters"].__setitem__(2, -1),
        "a batch beyond the data": lambda t: t["counters"].__setitem__(2, 3),
        "moments of another type": lambda t: t.__setitem__("optimizer/first", t["optimizer/first"].astype(np.float64)),
    }


@pytest.mark.parametrize("what", edits_of_a_checkpoint())
def test_a_checkpoint_of_another_run_is_refused(what: str, stopped: Path) -> None:
    path = stopped / "checkpoint.safetensors"
    tensors, told = read_tensors(path)
    edits_of_a_checkpoint()[what](tensors)
    write_tensors(path, tensors, told)
    with pytest.raises(FileError, match=re.escape(str(stopped))):
        boltz.resume(stopped, ROWS, ROWS[:5])


def died(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that died in the first epoch of its last stage."""
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        crash_at(patch, 3 * PRETRAINED.get(kind, 0) + 2)
        start(kind, tmp_path / "run")
    return tmp_path / "run"


DIRECTED_TENSORS: dict[str, dict[str, Callable[[dict[str, np.ndarray]], Any]]] = {
    "nvil": {
        "short arena": lambda t: t.__setitem__("arena/model", t["arena/model"][:-1]),
        "long arena": lambda t: t.__setitem__("arena/model", np.append(t["arena/model"], t["arena/model"][:1])),
        "no mean": lambda t: t.pop("rule/baseline/mean"),
        "two means": lambda t: t.__setitem__("rule/baseline/mean", np.zeros(2)),
        "a mean of another type": lambda t: t.__setitem__("rule/baseline/mean", np.zeros(1, np.float32)),
        "no net": lambda t: t.pop("rule/baseline/arena"),
        "short net": lambda t: t.__setitem__("rule/baseline/arena", t["rule/baseline/arena"][1:]),
        "no moment of the net": lambda t: t.pop("rule/baseline/second"),
        "no moment": lambda t: t.pop("optimizer/second"),
    },
    "rws": {"a baseline of nobody": lambda t: t.__setitem__("rule/baseline/mean", np.zeros(1))},
    "iwae": {"velocity": lambda t: t.__setitem__("optimizer/velocity", t.pop("optimizer/first"))},
    "up-down pcd": {
        "no chains": lambda t: t.pop("rule/chain/v"),
        "fewer chains": lambda t: t.__setitem__("rule/chain/h1", t["rule/chain/h1"][1:]),
        "second pair alone": lambda t: t.pop("arena/pair-0"),
        "a third pair": lambda t: t.__setitem__("arena/pair-2", t["arena/pair-1"]),
        "short pair": lambda t: t.__setitem__("arena/pair-0", t["arena/pair-0"][1:]),
    },
    "up-down cd": {"chains of nobody": lambda t: t.__setitem__("rule/chain/v", np.zeros((8, 4), np.float32))},
}


@pytest.mark.parametrize(("kind", "what"), [(kind, what) for kind, edits in DIRECTED_TENSORS.items() for what in edits])
def test_a_checkpoint_of_another_directed_run_is_refused(
    kind: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = died(kind, tmp_path, monkeypatch)
    path = folder / "checkpoint.safetensors"
    tensors, told = read_tensors(path)
    DIRECTED_TENSORS[kind][what](tensors)
    write_tensors(path, tensors, told)
    with pytest.raises(FileError, match=re.escape(str(folder))):
        boltz.resume(folder, ROWS)


def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    problems: list[BoltzError] = []

    def watch(record: dict[str, Any]) -> None:
        for again in (lambda: boltz.resume(tmp_path / "run", ROWS), lambda: start("pcd", tmp_path / "run", force=True)):
            try:
                again()
            except InputError as problem:
                problems.append(problem)

    run = start("pcd", tmp_path / "run", watch=watch)
    assert len(problems) == 2 * 3 and all("in use by another process" in str(p) for p in problems)
    assert_same(run, start("pcd", None))


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(FileError, match=re.escape(str(path))):
            boltz.resume(path)


def test_a_run_on_named_data_needs_no_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    data = boltz.load_data(tmp_path / "rows.npy", limit=17)
    model = boltz.rbm(6, 4, data.x)
    wanted = plain_train(model, data, epochs=3, batch_size=8, chains=9)
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        crash_at(patch, 4)
        plain_train(model, data, epochs=3, batch_size=8, chains=9, out=tmp_path / "run", checkpoint_seconds=0.0)
    monkeypatch.chdir(os.sep)
    assert_same(boltz.resume(tmp_path / "run"), wanted)
    (tmp_path / "run" / "model.safetensors").unlink()
    np.save(tmp_path / "rows.npy", changed(ROWS))
    with pytest.raises(InputError, match="changed"):
        boltz.resume(tmp_path / "run")


def test_a_finished_run_is_not_overwritten(tmp_path: Path) -> None:
    start("pcd", tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run"):
        start("cd", tmp_path / "run")
    assert contents(tmp_path / "run") == before
    start("cd", tmp_path / "run", force=True)
    assert run_folder.read_settings(tmp_path / "run")["settings"]["rule"] == "cd"


# ---------------------------------------------------------------- SIGKILL


def test_kills_at_random_moments_lose_nothing() -> None:
    """Runs of all seven kinds, with 1 and 2 threads by turns; scripts/kill_test.py does 200 when called by hand."""
    script = Path(__file__).parents[2] / "scripts" / "kill_test.py"
    done = subprocess.run([sys.executable, script, "--kills", "14"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["kills"] == 14 and report["runs"] >= 7
    assert report["unreadable"] == report["different"] == 0


def test_checks_can_fail(tmp_path: Path) -> None:
    """The comparison used above tells runs apart that differ in one bit."""
    run = start("pcd", None)
    other = start("pcd", None)
    checks.assert_close({"a": run.model.arena}, {"a": other.model.arena}, 0)
    other.model.arena.view(np.uint32)[3] ^= 1
    with pytest.raises(AssertionError):
        assert_same(run, other)
