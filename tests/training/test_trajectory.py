"""Catches snapshots at the wrong place or of another machine, lost in crashes, or read without care."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from support.training import plain_train

import boltz
from boltz.errors import FileError, InputError
from boltz.storage import atomic, run_folder, snapshots
from boltz.storage.tensors import read_tensors, write_tensors
from boltz.training.loop import Loop
from boltz.training.runner import Runner
from boltz.training.snapshots import marks

ROWS = np.random.default_rng(120).random((20, 6)).astype(np.float32)
COMMON: dict[str, Any] = {"batch_size": 8, "chains": 5, "seed": 4, "schedule": "constant", "checkpoint_seconds": 0.0}
PER_EPOCH = 3  # updates
KINDS: dict[str, tuple[Callable[[], boltz.BoltzmannMachine], dict[str, Any], int]] = {
    "rbm": (lambda: boltz.rbm(6, 4, ROWS), {"momentum": 0.5}, 0),
    "dbm": (lambda: boltz.dbm([6, 4, 3], ROWS), {"center": True}, 0),
    "bottom": (lambda: boltz.dbm([6, 4, 3], ROWS), {"pretrain": "bottom", "pretrain_epochs": 2}, 1),
    "doubling": (lambda: boltz.dbm([6, 4, 3, 2], ROWS), {"pretrain": "doubling", "pretrain_epochs": 1}, 3),
}  # machine, settings, stages of pretraining


@pytest.fixture(autouse=True)
def no_syncs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out fsync, which only a power cut would miss."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


class CrashError(Exception):
    """Stands for the death of the process."""


def train(kind: str = "rbm", out: Path | None = None, **more: Any) -> boltz.Run:
    make, settings, _ = KINDS[kind]
    return plain_train(make(), ROWS, out=out, **({"epochs": 3} | COMMON | settings | more))


def arenas(machines: Any) -> list[bytes]:
    return [machine.arena.tobytes() for machine in machines]


def contents(folder: Path) -> dict[str, Any]:
    """What the files of a trajectory hold to the bit."""
    return {path.name: content(path) for path in (folder / snapshots.FOLDER).iterdir()}


def content(path: Path) -> Any:
    if path.suffix == ".tmp":
        return path.read_bytes()
    tensors, told = read_tensors(path)
    return told, {name: (x.dtype.str, x.shape, x.tobytes()) for name, x in tensors.items()}


def total(kind: str) -> int:
    """Updates of a whole run of three epochs."""
    return PER_EPOCH * (3 + KINDS[kind][1].get("pretrain_epochs", 0) * KINDS[kind][2])


# ---------------------------------------------------------------- where


@pytest.mark.parametrize(
    ("updates", "wanted", "found"),
    [
        (0, 32, []),
        (1, 32, []),
        (1, 1, []),
        (50, 0, []),
        (50, 1, [1]),
        (2, 2, [1]),
        (9, 32, [1, 2, 3, 4, 5, 6, 7, 8]),
        (10**6, 4, [1, 100, 10**4]),
        (10**15, 6, [1, 10**3, 10**6, 10**9, 10**12]),
        (16, 9, [1, 2, 3, 4, 6, 8, 11]),  # 2^(i/2): 1 1.4 2 2.8 4 5.7 8 11.3 16
    ],
)
def test_marks_are_known_where_they_are_simple(updates: int, wanted: int, found: list[int]) -> None:
    assert marks(updates, wanted) == found


@pytest.mark.parametrize("updates", [2, 3, 17, 1000, 24_000, 10**7])
@pytest.mark.parametrize("wanted", [2, 5, 32, 1000])
def test_marks_rise_in_equal_ratios_up_to_rounding(updates: int, wanted: int) -> None:
    found = marks(updates, wanted)
    assert found == sorted(set(found)) and found[0] == 1 and found[-1] < updates and len(found) < wanted
    exact = np.exp(np.log(updates) * np.arange(wanted) / (wanted - 1))
    assert all(np.abs(exact - mark).min() <= 0.5 + 1e-6 * mark for mark in found)
    assert all(np.abs([*found, updates] - step).min() <= 0.5 + 1e-6 * step for step in exact)  # and none is left out


# ---------------------------------------------------------------- what


@pytest.mark.parametrize("kind", KINDS)
def test_each_snapshot_is_the_whole_machine_as_it_stood(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Composed here by the formulas from what each step left behind: weights as they are, inner biases averaged.

    After the bottom pair alone, the layer above starts on it.

    Would catch a snapshot that shares memory with the state, one of the pair alone, and a step more or fewer.
    """
    seen, original = [], Loop._step

    def step(loop: Loop, *arguments: Any) -> None:
        original(loop, *arguments)
        named = {name: p.copy() for name, p in loop.state.model.params.items()}
        pretraining = loop.plan[loop.state.stage].pair is not None
        for i, pair in enumerate(loop.state.pairs if pretraining else []):
            names = [layer.name for layer in loop.state.model.layers[i : i + 2]]
            named[f"edge/{names[0]}-{names[1]}/weight"] = pair.params["edge/v-h1/weight"].copy()
            lower, upper = pair.bias("v").copy(), pair.bias("h1").copy()
            named[f"layer/{names[0]}/bias"] = lower if i == 0 else (named[f"layer/{names[0]}/bias"] + lower) / 2
            named[f"layer/{names[1]}/bias"] = upper
        if pretraining and kind == "bottom":  # the layer above starts: scale 0.05, units on with probability 0.1
            above = named["edge/h1-h2/weight"]
            above *= 0.05 / above.std()
            named["layer/h2/bias"][...] = np.log(0.1 / 0.9)
            named["layer/h1/bias"] -= above @ expit(named["layer/h2/bias"])
        seen.append(named)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_step", step)
        run = train(kind)
    assert len(seen) == total(kind)
    wanted = [seen[mark - 1] for mark in marks(total(kind), 32)]
    for machine, named in zip(run.trajectory, wanted, strict=True):
        assert machine.graph == run.model.graph and not machine.rates
        assert all(np.array_equal(p, named[name]) for name, p in machine.params.items())
    assert len(set(arenas([*run.trajectory, run.model]))) == len(wanted) + 1  # every step moved it


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_ends_earlier_ends_in_a_snapshot(kind: str) -> None:
    """With a constant rate a shorter run is the beginning of a longer one; taking snapshots changes neither."""
    run = train(kind)
    found = dict(zip(marks(total(kind), 32), arenas(run.trajectory), strict=True))
    for epochs in range(3):
        short = train(kind, epochs=epochs, snapshots=0)
        assert short.trajectory == ()
        update = total(kind) - PER_EPOCH * (3 - epochs)
        assert epochs == update == 0 or arenas([short.model]) == [found[update]]
    assert arenas([train(kind, snapshots=0).model]) == arenas([run.model])


def test_a_run_without_a_step_has_no_snapshots(tmp_path: Path) -> None:
    assert train(epochs=0).trajectory == () == train(epochs=0, out=tmp_path / "r").trajectory
    assert not (tmp_path / "r" / snapshots.FOLDER).exists()


@pytest.mark.parametrize("make", [lambda: boltz.sbn([6, 4, 3], x=ROWS), lambda: boltz.dbn([6, 4, 3], ROWS)])
def test_directed_machines_have_none(make: Callable[[], Any], tmp_path: Path) -> None:
    """Nor the RBMs that a deep belief net is pretrained by."""
    more = {"pretrain_epochs": 1} if make().structure.prior == "rbm" else {}
    for out in (None, tmp_path / "r"):
        assert plain_train(make(), ROWS, out=out, epochs=1, **more).trajectory == ()
    assert boltz.trajectory(tmp_path / "r") == [] and not (tmp_path / "r" / snapshots.FOLDER).exists()
    with pytest.raises(InputError, match="no setting 'snapshots'"):
        plain_train(make(), ROWS, snapshots=3)


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_folder_holds_what_a_run_in_memory_keeps(kind: str, tmp_path: Path) -> None:
    run = train(kind, tmp_path / "r", snapshots=6)
    wanted = marks(total(kind), 6)
    assert sorted(contents(tmp_path / "r")) == [f"{mark:08d}.safetensors" for mark in wanted] and len(wanted) > 3
    assert arenas(run.trajectory) == arenas(boltz.trajectory(tmp_path / "r")) == arenas(train(kind, snapshots=6).kept)
    assert (
        arenas([boltz.load(tmp_path / "r" / snapshots.FOLDER / "00000001.safetensors")]) == arenas(run.trajectory)[:1]
    )
    assert arenas(boltz.resume(tmp_path / "r").trajectory) == arenas(run.trajectory)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["snapshot", "checkpoint"])
def test_a_crash_in_any_write_loses_no_snapshot(
    kind: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Would catch a checkpoint that is written before the snapshot of its step, which a resumed run does not repeat."""
    train(kind, tmp_path / "whole", snapshots=5)
    wanted, place = contents(tmp_path / "whole"), {"snapshot": (snapshots, "path_of"), "checkpoint": (Runner, "save")}
    module, name = place[where]
    crashes = len(marks(total(kind), 5)) if where == "snapshot" else 4
    for number in range(crashes):
        folder, count, original = tmp_path / str(number), iter(range(10**6)), getattr(module, name)

        def die(*arguments: Any, at: int = number, count: Any = count, original: Any = original) -> Any:
            if next(count) == at:
                raise CrashError
            return original(*arguments)

        with monkeypatch.context() as patch, pytest.raises(CrashError):
            patch.setattr(module, name, die)
            train(kind, folder, snapshots=5)
        lost = len(wanted) - len(snapshots.listed(folder))
        assert lost == len(wanted) - number if where == "snapshot" else lost > 0
        boltz.resume(folder, ROWS)
        assert contents(folder) == wanted


def test_lost_steps_write_the_same_files_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first checkpoint is there, and all the snapshots before the crash are."""
    train("doubling", tmp_path / "whole")
    count, original = iter(range(10**6)), Loop._step

    def step(loop: Loop, *arguments: Any) -> None:
        if next(count) == 11:
            raise CrashError
        original(loop, *arguments)

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(Loop, "_step", step)
        train("doubling", tmp_path / "r", checkpoint_seconds=10**6)
    before = contents(tmp_path / "r")
    assert len(before) == 11 and before == {n: x for n, x in contents(tmp_path / "whole").items() if n in before}
    boltz.resume(tmp_path / "r", ROWS)
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")


def test_temporaries_among_snapshots_are_swept_when_their_process_is_dead(tmp_path: Path) -> None:
    train(out=tmp_path / "r")
    wanted, path = contents(tmp_path / "r"), snapshots.path_of(tmp_path / "r", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_PROCESS", "0" * 8)
        dead = atomic.temporary(path)
    live = atomic.temporary(path)
    for file in (dead, live):
        file.write_bytes(b"half a snapshot")
    assert len(boltz.trajectory(tmp_path / "r")) == len(wanted)
    boltz.resume(tmp_path / "r")
    assert contents(tmp_path / "r") == wanted | {live.name: b"half a snapshot"}
    train(out=tmp_path / "r", force=True, snapshots=0)  # nor do they keep an old run from being replaced


@pytest.mark.parametrize("kept", [0, 4])
def test_force_removes_the_old_trajectory(kept: int, tmp_path: Path) -> None:
    train(out=tmp_path / "r")
    with pytest.raises(InputError, match="already holds a run"):
        train(out=tmp_path / "r", snapshots=kept)
    assert len(contents(tmp_path / "r")) == 8
    train(out=tmp_path / "r", force=True, snapshots=kept, seed=5)
    assert (tmp_path / "r" / snapshots.FOLDER).exists() == (kept > 0)
    assert arenas(boltz.trajectory(tmp_path / "r")) == arenas(train(snapshots=kept, seed=5).trajectory)
    assert os.listdir(tmp_path) == ["r"]


@pytest.mark.parametrize("foreign", ["thesis.tex", "0000001.safetensors", "model.safetensors", "00000001.safetensors/"])
def test_force_keeps_its_hands_off_what_is_no_snapshot(foreign: str, tmp_path: Path) -> None:
    train(out=tmp_path / "r", epochs=1)
    path = tmp_path / "r" / snapshots.FOLDER / foreign
    path.unlink(missing_ok=True)
    path.mkdir() if foreign.endswith("/") else path.write_text("mine")
    with pytest.raises(InputError, match=rf"holds trajectory/{foreign.strip('/')}, which is not part of a run"):
        train(out=tmp_path / "r", force=True)
    assert path.exists() and (tmp_path / "r" / run_folder.MODEL).exists()


@pytest.mark.parametrize("link", [False, True])
def test_force_keeps_its_hands_off_a_trajectory_that_is_no_folder(link: bool, tmp_path: Path) -> None:
    train(out=tmp_path / "r", snapshots=0)
    path = tmp_path / "r" / snapshots.FOLDER
    path.symlink_to(tmp_path) if link else path.write_text("mine")
    with pytest.raises(InputError, match=r"holds trajectory, which is not part of a run"):
        train(out=tmp_path / "r", force=True)
    assert path.exists()


# ---------------------------------------------------------------- reading


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A complete run with three snapshots."""
    train(out=tmp_path / "r", snapshots=4)
    assert len(contents(tmp_path / "r")) == 3
    return tmp_path / "r"


def rewritten(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tensors, told = read_tensors(path)
    change(tensors)
    write_tensors(path, tensors, told)


def as_folder(path: Path) -> None:
    """A folder with a good model in it, under the name of a snapshot."""
    path.unlink()
    path.mkdir()
    boltz.rbm(6, 4).save(path / "model.safetensors")


HOSTILE: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("a thesis"),
    "the half of it": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "a bit more": lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
    "a folder": as_folder,
    "a link to nowhere": lambda path: (path.unlink(), path.symlink_to("nowhere")),
    "a checkpoint": lambda path: path.write_bytes((path.parents[1] / run_folder.CHECKPOINT).read_bytes()),
    "more units": lambda path: boltz.rbm(6, 5).save(path),
    "more layers": lambda path: boltz.dbm([6, 4, 3]).save(path),
    "another type": lambda path: boltz.rbm(6, 4, dtype=np.float64).save(path),
    "a directed machine": lambda path: boltz.sbn([6, 4]).save(path),
    "no bias": lambda path: rewritten(path, lambda tensors: tensors.pop("layer/v/bias")),
    "NaN": lambda path: rewritten(path, lambda tensors: tensors["layer/v/bias"].fill(np.nan)),
    "whole numbers": lambda path: rewritten(path, lambda t: t.update({"layer/v/bias": np.zeros(6, np.int64)})),
}


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.parametrize("which", [0, 2])
def test_hostile_snapshots_are_refused(what: str, which: int, run: Path) -> None:
    """By their name, and a complete run with one is read back all the same."""
    path = snapshots.listed(run)[which]
    HOSTILE[what](path)
    with pytest.raises(FileError) as caught:
        boltz.trajectory(run)
    text = str(caught.value)
    assert path.name in text and text.endswith(".") and "\n" not in text
    again = boltz.resume(run)
    with pytest.raises(FileError, match=path.name):
        _ = again.trajectory


def test_a_trajectory_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    train(out=tmp_path / "r", snapshots=0)
    (tmp_path / "r" / snapshots.FOLDER).write_text("mine")
    with pytest.raises(FileError, match=r"trajectory could not be read: Not a directory\.$"):
        boltz.trajectory(tmp_path / "r")
    with pytest.raises(FileError, match=r"trajectory could not be made: File exists\.$"):
        snapshots.path_of(tmp_path / "r", 1)


def test_more_snapshots_than_any_run_has_are_refused(run: Path) -> None:
    for number in range(10, 1010):
        snapshots.path_of(run, number).touch()
    with pytest.raises(FileError, match="holds 1003 snapshots, expected at most 1000"):
        boltz.trajectory(run)


def test_snapshots_come_in_the_order_of_updates_and_other_files_are_passed_over(run: Path) -> None:
    first, *_, last = snapshots.listed(run)
    boltz.load(first).save(snapshots.path_of(run, 123_456_789))
    boltz.load(last).save(snapshots.path_of(run, 99_999_999))
    for name in ("notes.txt", "1.safetensors", "0123456789.safetensors", ".00000001.safetensors"):
        (run / snapshots.FOLDER / name).write_text("mine")
    found = arenas(boltz.trajectory(run))
    assert len(found) == 5 and found[-2:] == [found[2], found[0]] and found[0] != found[2]


def test_a_run_has_its_own_trajectory(tmp_path: Path) -> None:
    """Whether it has a folder or not; a run without snapshots has none."""
    rows = np.eye(4, dtype=np.float32)
    for out, count in ((None, 2), (tmp_path / "run", 2), (None, 0)):
        run = plain_train(boltz.rbm(4, 2), rows, out, epochs=4, batch_size=4, snapshots=count)
        found = boltz.trajectory(run)
        assert isinstance(found, list) and arenas(found) == arenas(list(run.trajectory)) and bool(found) == bool(count)


def test_where_there_is_none_and_where_there_is_no_run(run: Path, tmp_path: Path) -> None:
    assert boltz.trajectory(run / run_folder.MODEL) == []
    assert len(boltz.trajectory(str(run))) == 3
    with pytest.raises(FileError, match="missing does not exist"):
        boltz.trajectory(tmp_path / "missing")
    with pytest.raises(InputError, match=r"^path must be a path, got int\.$"):
        boltz.trajectory(3)  # type: ignore[arg-type]
    (run / run_folder.MODEL).unlink()
    with pytest.raises(FileError, match=r"model\.safetensors does not exist"):
        boltz.trajectory(run)  # a run under way has nothing to compare them with
