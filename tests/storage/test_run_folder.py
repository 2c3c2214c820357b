"""Catches run folders half made, with two writers, without the newest good checkpoint, or torn lines after kills."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boltz import system
from boltz.errors import FileError, InputError
from boltz.storage import atomic, metrics, run_folder
from boltz.storage import tensors as checkpoint

SETTINGS = {
    "model": {"layers": [784, 500, 1000], "kind": "dbm"},
    "training": {"rule": "pcd", "learning_rate": 0.05, "nesterov": True, "seed": 0, "note": 'é "quoted" \n line'},
    "versions": {"boltz": "0.1.0", "numpy": np.__version__},
    "data": {"name": "mnist-mini", "fingerprint": "ab" * 32},
}
TENSORS = {"step": np.array(0), "edge/v-h1/weight": np.ones((3, 2), np.float32)}


def make(path: Path, step: int = 0, force: bool = False) -> Path:
    return run_folder.create(path, SETTINGS, {"step": np.array(step)}, {"lines": "0"}, force=force)


def step_of(folder: Path) -> int:
    return int(run_folder.load_checkpoint(folder)[0]["step"])


def raiser(problem: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise problem

    return fail


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


# ---- creation --------------------------------------------------------------------------------------------------


def test_a_new_run_holds_settings_and_checkpoint(tmp_path: Path) -> None:
    folder = run_folder.create(tmp_path / "dbm", SETTINGS, TENSORS, {"lines": "0"})
    assert folder == tmp_path / "dbm"
    assert run_folder.read_settings(folder) == SETTINGS
    tensors, metadata, skipped = run_folder.load_checkpoint(folder)
    assert metadata == {"lines": "0"} and skipped == []
    assert all(np.array_equal(tensors[name], TENSORS[name]) for name in TENSORS) and len(tensors) == len(TENSORS)
    assert os.listdir(tmp_path) == ["dbm"] and sorted(os.listdir(folder)) == [
        run_folder.CHECKPOINT,
        run_folder.SETTINGS,
    ]


def test_settings_become_plain_toml(tmp_path: Path) -> None:
    given = {
        "a": {"rate": np.float32(0.5), "units": np.int64(3), "limit": None, "path": Path("x/y"), "on": np.bool_(True)},
        "layers": (784, 500),
        "betas": np.array([0.0, 1.0]),
        "huge": 1e300,
    }
    folder = run_folder.create(tmp_path / "r", given, {}, {})
    plain = {"rate": 0.5, "units": 3, "path": "x/y", "on": True}
    assert run_folder.read_settings(folder) == {"a": plain, "layers": [784, 500], "betas": [0.0, 1.0], "huge": 1e300}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"a": {"b": object()}}, r"settings\.a\.b is a object"),
        ({"a": {3: 1}}, r"settings\.a has a key"),
        ({"a": [1, None]}, "TOML"),
        ({"a": [1, {2j}]}, r"settings\.a\[1\] is a set"),
        ({"a": "\ud800"}, "Unicode"),
        ({"a": "x" * (1 << 14)}, "expected at most"),
    ],
)
def test_settings_that_toml_cannot_hold_are_refused(tmp_path: Path, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_folder.create(tmp_path / "r", settings, TENSORS, {})
    assert os.listdir(tmp_path) == []


def test_bad_tensors_make_no_run_and_the_error_names_the_run(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="float16"):
        run_folder.create(tmp_path / "r", SETTINGS, {"x": np.zeros(1, np.float16)}, {})
    with pytest.raises(InputError) as caught:
        run_folder.create(tmp_path / "r", SETTINGS, {}, {"sha256": "x"})
    assert str(tmp_path / "r" / run_folder.CHECKPOINT) in str(caught.value) and os.listdir(tmp_path) == []


@pytest.mark.parametrize("force", [False, True])
def test_what_is_there_is_never_overwritten(tmp_path: Path, force: bool) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("file", "full", "link"):
        with pytest.raises(InputError, match="--resume nor --force"):
            make(tmp_path / name, force=force)
    assert (tmp_path / "file").read_text() == "mine" and os.listdir(tmp_path / "full") == ["thesis.tex"]
    assert sorted(os.listdir(tmp_path)) == ["file", "full", "link"]


def test_an_existing_run_needs_force(tmp_path: Path) -> None:
    make(tmp_path / "r", 1)
    metrics.append_metrics(tmp_path / "r", {"epoch": 1})
    (tmp_path / "r" / "samples.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"--resume.*--force"):
        make(tmp_path / "r", 2)
    assert step_of(tmp_path / "r") == 1
    make(tmp_path / "r", 2, force=True)
    assert step_of(tmp_path / "r") == 2 and metrics.read_metrics(tmp_path / "r") == []
    assert os.listdir(tmp_path) == ["r"] and sorted(os.listdir(tmp_path / "r")) == [
        run_folder.CHECKPOINT,
        run_folder.SETTINGS,
    ]


@pytest.mark.parametrize("foreign", ["notes.txt", "data.npz", "sub/", "samples.png/"])
def test_force_keeps_its_hands_off_foreign_content(tmp_path: Path, foreign: str) -> None:
    make(tmp_path / "r", 1)
    path = tmp_path / "r" / foreign
    path.mkdir() if foreign.endswith("/") else path.write_text("mine")
    with pytest.raises(InputError, match=foreign.strip("/")):
        make(tmp_path / "r", 2, force=True)
    assert step_of(tmp_path / "r") == 1 and path.exists() and os.listdir(tmp_path) == ["r"]


def test_force_does_not_replace_a_run_in_use(tmp_path: Path) -> None:
    make(tmp_path / "r", 1)
    with run_folder.lock(tmp_path / "r"), pytest.raises(InputError, match="in use"):
        make(tmp_path / "r", 2, force=True)
    assert step_of(tmp_path / "r") == 1 and os.listdir(tmp_path) == ["r"]


def test_an_empty_folder_is_filled_but_never_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    assert step_of(make(tmp_path / "empty", 3)) == 3
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in (".", "", tmp_path / "here"):
        with pytest.raises(InputError, match="current folder"):
            make(name)  # type: ignore[arg-type]
    assert step_of(make(Path("r"), 4)) == 4
    monkeypatch.chdir("r")
    assert step_of(Path()) == 4 and run_folder.read_settings(".") == SETTINGS
    with run_folder.lock("."):
        assert metrics.append_metrics(".", {"a": 1}) == 1


def test_a_folder_that_appears_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def other(path: Path, tensors: Any, metadata: Any) -> None:
        (tmp_path / "r").mkdir()
        (tmp_path / "r" / run_folder.SETTINGS).write_text("theirs")

    monkeypatch.setattr(checkpoint, "write_tensors", other)
    with pytest.raises(InputError, match="--resume"):
        make(tmp_path / "r")
    assert (tmp_path / "r" / run_folder.SETTINGS).read_text() == "theirs" and os.listdir(tmp_path) == ["r"]


def test_parents_that_cannot_hold_a_run_are_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FileError, match=r"missing/r could not be made: the folder .*missing does not exist\."):
        make(tmp_path / "missing" / "r")
    with pytest.raises(FileError, match=r"file/r could not be made: .*file is not a folder\."):
        make(tmp_path / "file" / "r")
    monkeypatch.setattr(run_folder.os, "mkdir", raiser(OSError(errno.EROFS, "Read-only file system")))
    with pytest.raises(FileError, match=r"r could not be made: Read-only file system\."):
        make(tmp_path / "r")
    assert os.listdir(tmp_path) == ["file"]


CALLS = ("mkdir", "open", "write", "fsync", "close", "rename", "replace", "ftruncate", "utime", "unlink", "rmdir")


class Crash(BaseException):
    """The process is gone: nothing after it reaches the disk."""


def crashing(patch: pytest.MonkeyPatch, at: int, problem: BaseException) -> list[str]:
    """Let system call number `at` fail; after a Crash every later one fails too, cleaning up included."""
    log: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            log.append(name)
            number = len(log) - 1
            if name == "close":  # descriptors of a dead process are closed, too
                with suppress(OSError):
                    real(*args, **named)
            if number == at or (number > at >= 0 and isinstance(problem, Crash)):
                raise problem
            return None if name == "close" else real(*args, **named)

        return call

    for name in CALLS:
        patch.setattr(os, name, wrap(name, getattr(os, name)))
    return log


@pytest.mark.parametrize("force", [False, True])
def test_a_failing_call_leaves_the_old_run_or_the_new_one(tmp_path: Path, force: bool) -> None:
    number, failures = 0, 0
    while True:
        parent = tmp_path / str(number)
        parent.mkdir()
        if force:
            make(parent / "r", 1)
        with pytest.MonkeyPatch.context() as patch:
            log = crashing(patch, number, OSError(errno.EIO, "Input/output error"))
            try:
                make(parent / "r", 2, force=force)
            except FileError as problem:
                assert str(parent / "r") in str(problem) or str(problem).startswith(str(parent)), log
                failures += 1
        if len(log) <= number:
            break
        if force or (parent / "r").exists():
            assert step_of(parent / "r") in ((1, 2) if force else (2,)), (number, log)
        if log[number] not in ("unlink", "rmdir"):  # where cleaning up itself failed, the next run does it
            assert not [name for name in os.listdir(parent) if name.endswith(".tmp")], (number, log)
        number += 1
    assert failures >= 15  # the test reached the calls that matter


@pytest.mark.parametrize("force", [False, True])
def test_after_a_crash_at_any_call_the_old_run_or_the_new_one_comes_back(tmp_path: Path, force: bool) -> None:
    number, found = 0, set()
    while True:
        parent = tmp_path / str(number)
        parent.mkdir()
        if force:
            make(parent / "r", 1)
        with pytest.MonkeyPatch.context() as patch:
            log = crashing(patch, number, Crash())
            with suppress(Crash):
                make(parent / "r", 2, force=force)
        if len(log) <= number:
            break
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(atomic, "_PROCESS", "0" * 8)  # the next process
            if force:
                run_folder.read_settings(parent / "r")
            if (parent / "r").exists():
                with run_folder.lock(parent / "r") as folder:
                    found.add(step_of(folder))
            else:
                found.add(0)
                make(parent / "r", 3)
            make(parent / "r", 4, force=True)
            assert step_of(parent / "r") == 4 and os.listdir(parent) == ["r"], (number, log)
        number += 1
    assert found == ({1, 2} if force else {0, 2})


def test_a_run_moved_aside_is_not_deleted_while_something_else_has_its_name(tmp_path: Path) -> None:
    make(tmp_path / "r", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_PROCESS", "0" * 8)
        old = atomic.temporary(tmp_path / "r", "old")
    os.rename(tmp_path / "r", old)
    (tmp_path / "r").mkdir()
    with pytest.raises(FileError, match="not a run folder"):
        run_folder.read_settings(tmp_path / "r")
    assert old.is_dir()
    (tmp_path / "r").rmdir()
    assert step_of(tmp_path / "r") == 1 and os.listdir(tmp_path) == ["r"]


def test_temporaries_of_dead_processes_are_swept_and_no_others(tmp_path: Path) -> None:
    make(tmp_path / "r", 1)
    live = atomic.temporary(tmp_path / "r" / run_folder.CHECKPOINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "_PROCESS", "0" * 8)
        dead = atomic.temporary(tmp_path / "r" / run_folder.CHECKPOINT)
        sibling, stranger = atomic.temporary(tmp_path / "s"), atomic.temporary(tmp_path / "t")
    for path in (live, dead):
        path.write_bytes(b"half a checkpoint")
    for path in (sibling, stranger):
        path.mkdir()
        (path / run_folder.SETTINGS).write_text("")
    with run_folder.lock(tmp_path / "r"):
        assert live.exists() and not dead.exists()
    make(tmp_path / "s")
    assert not sibling.exists() and stranger.exists()


# ---- settings and checkpoints ----------------------------------------------------------------------------------


def test_what_is_no_run_folder_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name, words in {"missing": "does not exist", "file": "is not a folder", "empty": "has no run.toml"}.items():
        for call in (run_folder.read_settings, run_folder.load_checkpoint, lambda p: run_folder.lock(p).__enter__()):
            with pytest.raises(FileError, match=words):
                call(tmp_path / name)
    assert os.listdir(tmp_path / "empty") == []


@pytest.mark.parametrize(
    "content",
    [
        b"a = ",
        b"a = 1\na = 2",
        b"\xff",
        b"a = " + b"[" * 12_000,
        b"a" + b".a" * 8000 + b" = 1\nb",
        b"\0",
        b"a = 1\n" * 10_000,
        b"a = " + b"9" * 6000,
    ],
)
def test_damaged_or_hostile_settings_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = make(tmp_path / "r")
    (folder / run_folder.SETTINGS).write_bytes(content)
    begin = time.perf_counter()
    with pytest.raises(FileError, match=r"run\.toml"):
        run_folder.read_settings(folder)
    assert time.perf_counter() - begin < 5


def test_the_checkpoint_before_is_kept_and_used_when_the_newest_is_damaged(tmp_path: Path) -> None:
    folder = make(tmp_path / "r", 0)
    for step in range(1, 5):
        run_folder.save_checkpoint(folder, {"step": np.array(step)}, {"step": str(step)})
        assert step_of(folder) == step
        assert checkpoint.read_tensors(folder / run_folder.PREVIOUS)[0]["step"] == step - 1
    damage(folder / run_folder.CHECKPOINT)
    tensors, metadata, skipped = run_folder.load_checkpoint(folder)
    assert tensors["step"] == 3 and metadata == {"step": "3"}
    assert len(skipped) == 1 and str(folder / run_folder.CHECKPOINT) in skipped[0]
    os.unlink(folder / run_folder.CHECKPOINT)
    assert step_of(folder) == 3
    damage(folder / run_folder.PREVIOUS)
    with pytest.raises(FileError, match=r"checkpoint\.previous\.safetensors is damaged"):
        run_folder.load_checkpoint(folder)
    shutil.copy(folder / run_folder.PREVIOUS, folder / run_folder.CHECKPOINT)
    with pytest.raises(FileError, match=r"checkpoint\.safetensors is.*checkpoint\.previous\.safetensors is"):
        run_folder.load_checkpoint(folder)
    for name in (run_folder.CHECKPOINT, run_folder.PREVIOUS):
        os.unlink(folder / name)
    with pytest.raises(FileError, match="holds no checkpoint"):
        run_folder.load_checkpoint(folder)


def test_a_save_after_damage_restores_a_good_checkpoint(tmp_path: Path) -> None:
    folder = make(tmp_path / "r", 1)
    damage(folder / run_folder.CHECKPOINT)
    run_folder.save_checkpoint(folder, {"step": np.array(2)}, {})
    assert step_of(folder) == 2 and run_folder.load_checkpoint(folder)[2] == []


def test_a_failed_save_keeps_both_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "r", 0)
    run_folder.save_checkpoint(folder, {"step": np.array(1)}, {})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", raiser(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(FileError, match="No space left"):
            run_folder.save_checkpoint(folder, {"step": np.array(2)}, {})
    assert step_of(folder) == 1 and checkpoint.read_tensors(folder / run_folder.PREVIOUS)[0]["step"] == 0


CHILD = """
import sys
from pathlib import Path
import numpy as np
from boltz.storage.tensors import write_tensors
folder, step = Path(sys.argv[1]), int(sys.argv[2])
while True:
    step += 1
    tensors = {"a": np.full(2000 + 5000 * (step % 2), step, np.int64), "step": np.array(step)}
    write_tensors(folder / "checkpoint.safetensors", tensors, {"step": str(step)},
                  keep=folder / "checkpoint.previous.safetensors")
    print(step, flush=True)
"""


def test_kills_lose_nothing_that_was_saved(tmp_path: Path) -> None:
    """Ten kills, and more, up to thirty, until one has come in the middle of a write."""
    folder, step, draw, stale, kills = make(tmp_path / "r", 0), 0, random.Random(7), 0, 0
    while kills < 10 or (kills < 30 and not stale):
        kills += 1
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(folder), str(step)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        first = child.stdout.readline()
        time.sleep(draw.random() * 0.03)
        child.send_signal(signal.SIGKILL)
        saved = [int(word) for word in (first + child.communicate()[0]).split(b"\n")[:-1]]
        stale += sum(name.endswith(".tmp") for name in os.listdir(folder))
        with run_folder.lock(folder):
            assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]
        tensors, metadata, skipped = run_folder.load_checkpoint(folder)
        step = int(tensors["step"])
        assert skipped == [] and metadata == {"step": str(step)} and (tensors["a"] == step).all()
        assert len(tensors["a"]) == 2000 + 5000 * (step % 2)
        assert step in (saved[-1], saved[-1] + 1)  # every acknowledged save is there
        before = checkpoint.read_tensors(folder / run_folder.PREVIOUS)[0]
        assert before["step"] in (step - 1, step)
    assert stale > 0


# ---- metrics ---------------------------------------------------------------------------------------------------


def test_metrics_come_back_in_order_and_not_finite_numbers_are_null(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    assert metrics.read_metrics(folder) == []
    first = {"epoch": np.int64(1), "rate": np.float32(0.5), "gap": np.nan, "norm": np.inf, "per_layer": (1, -np.inf)}
    second = {"stage": "é\n", "array": np.array([[1.0, np.nan]]), "none": None, "on": True}
    assert metrics.append_metrics(folder, first) == 1 and metrics.append_metrics(folder, second) == 2
    expected = [
        {"line": 1, "epoch": 1, "rate": 0.5, "gap": None, "norm": None, "per_layer": [1, None]},
        {"line": 2, "stage": "é\n", "array": [[1.0, None]], "none": None, "on": True},
    ]
    assert metrics.read_metrics(folder) == expected
    lines = (folder / metrics.METRICS).read_text().splitlines()
    assert [json.loads(line, parse_constant=raiser(ValueError())) for line in lines] == expected


@pytest.mark.parametrize("record", [{"line": 3}, {"x": object()}, {"x": {1: 2}}, {3: 1}, {"x": 1j}])
def test_records_that_json_cannot_hold_are_refused(tmp_path: Path, record: Any) -> None:
    folder = make(tmp_path / "r")
    with pytest.raises(InputError):
        metrics.append_metrics(folder, record)
    assert not (folder / metrics.METRICS).exists()


def test_a_torn_last_line_is_dropped_at_every_byte(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    for epoch in range(3):
        metrics.append_metrics(folder, {"epoch": epoch, "value": 0.1 * epoch})
    path = folder / metrics.METRICS
    content = path.read_bytes()
    for size in range(len(content) + 1):
        whole = content[:size].count(b"\n")
        path.write_bytes(content[:size])
        assert [record["epoch"] for record in metrics.read_metrics(folder)] == list(range(whole))
        assert metrics.append_metrics(folder, {"epoch": 99}) == whole + 1
        assert metrics.read_metrics(folder)[-1] == {"line": whole + 1, "epoch": 99}
        path.write_bytes(content[:size])
        assert metrics.trim_metrics(folder, 2) == min(whole, 2)
        assert path.read_bytes() == b"".join(content.splitlines(keepends=True)[: min(whole, 2)])


def test_trim_keeps_the_first_valid_lines(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    assert metrics.trim_metrics(folder, 5) == 0 and not (folder / metrics.METRICS).exists()
    for epoch in range(5):
        metrics.append_metrics(folder, {"epoch": epoch})
    inode = (folder / metrics.METRICS).stat().st_ino
    assert metrics.trim_metrics(folder, 9) == 5
    assert (folder / metrics.METRICS).stat().st_ino == inode  # nothing to do, nothing written
    assert metrics.trim_metrics(folder, 3) == 3
    assert [record["epoch"] for record in metrics.read_metrics(folder)] == [0, 1, 2]
    assert metrics.append_metrics(folder, {"epoch": 3}) == 4
    assert metrics.trim_metrics(folder, 0) == 0 and metrics.read_metrics(folder) == []


def test_the_table_has_a_column_for_each_field_of_any_record(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    for record in ({"stage": "a,b", "loss": -0.1}, {"stage": "=1+1", "bound": None}, {"loss": 1e-300, "bound": 7}):
        metrics.append_metrics(folder, record)
    metrics.write_table(folder)
    text = (folder / metrics.TABLE).read_text()
    assert text == 'line,stage,loss,bound\n1,"a,b",-0.1,\n2,\'=1+1,,\n3,,1e-300,7\n'
    with open(folder / metrics.METRICS, "a") as file:
        file.write('{"line": 4, "stage": "\\ud800", "loss": [1, {}]}\n')  # by a stranger
    metrics.write_table(folder)
    assert (folder / metrics.TABLE).read_text().splitlines()[-1] == '4,?,"[1, {}]",'


def test_a_table_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "r")
    metrics.append_metrics(folder, {"epoch": 1})
    metrics.write_table(folder)
    metrics.append_metrics(folder, {"epoch": 2})
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", raiser(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(FileError, match=r"metrics\.csv could not be written: No space left on device\."):
            metrics.write_table(folder)
    assert (folder / metrics.TABLE).read_text() == "line,epoch\n1,1\n"


@pytest.mark.parametrize("line", [b"{", b"[1]", b'{"a": NaN}', b"\xff", b"", b"[" * 200_000, b"9" * 9000, b"\0\0"])
def test_a_damaged_line_is_named_by_read_and_removed_by_trim(tmp_path: Path, line: bytes) -> None:
    folder = make(tmp_path / "r")
    path = folder / metrics.METRICS
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 2}\n{"a": 3}\n')
    with pytest.raises(FileError, match=r"metrics\.jsonl is damaged: line 2"):
        metrics.read_metrics(folder)
    assert metrics.trim_metrics(folder, 2) == 2
    assert [record["a"] for record in metrics.read_metrics(folder)] == [1, 2]


@pytest.mark.parametrize("name", ["write", "fsync", "open", "pread", "ftruncate", "lseek"])
def test_a_failed_append_adds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = make(tmp_path / "r")
    metrics.append_metrics(folder, {"epoch": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, name, raiser(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(FileError, match=r"metrics\.jsonl could not be written: No space left on device\."):
            metrics.append_metrics(folder, {"epoch": 2})
    assert [record["epoch"] for record in metrics.read_metrics(folder)] == [1]
    assert metrics.append_metrics(folder, {"epoch": 2}) == 2


def test_short_reads_of_metrics_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may give fewer bytes than asked for; what was not read must not be cut off."""
    folder, real = make(tmp_path / "r"), os.pread
    for epoch in range(20):
        assert metrics.append_metrics(folder, {"epoch": epoch}) == epoch + 1
    for most in (1, 7, 100):
        monkeypatch.setattr(atomic.os, "pread", lambda d, n, at, most=most: real(d, min(n, most), at))
        assert metrics.append_metrics(folder, {"epoch": most}) == len(metrics.read_metrics(folder))
    assert [record["epoch"] for record in metrics.read_metrics(folder)] == [*range(20), 1, 7, 100]
    before = (folder / metrics.METRICS).read_bytes()
    monkeypatch.setattr(atomic.os, "pread", lambda *_: b"")
    with pytest.raises(FileError, match="it became shorter while it was read"):
        metrics.append_metrics(folder, {"epoch": 0})
    assert (folder / metrics.METRICS).read_bytes() == before


def test_metrics_that_are_no_regular_file_are_refused(tmp_path: Path) -> None:
    folder, mine = make(tmp_path / "r"), tmp_path / "mine"
    mine.write_text("mine\n")
    path = folder / metrics.METRICS
    for prepare in (lambda: os.mkfifo(path), lambda: path.symlink_to(mine), lambda: path.mkdir()):
        prepare()
        with pytest.raises(FileError, match=r"metrics\.jsonl"):
            metrics.append_metrics(folder, {"epoch": 1})
        path.rmdir() if path.is_dir() else path.unlink()
    assert mine.read_text() == "mine\n"


# ---- lock and names --------------------------------------------------------------------------------------------


def test_a_second_writer_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    with run_folder.lock(folder) as held:
        assert held == folder
        with (
            pytest.raises(InputError, match=rf"in use by another process \(pid {os.getpid()}\)"),
            run_folder.lock(folder),
        ):
            raise AssertionError("two writers")
    with run_folder.lock(folder):
        pass


def test_a_dead_process_leaves_no_lock(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    script = (
        "import sys, time\nfrom boltz.storage import run_folder\n"
        "with run_folder.lock(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"held\n"
    with pytest.raises(InputError, match=f"pid {child.pid}"), run_folder.lock(folder):
        raise AssertionError("two writers")
    child.kill()
    child.communicate()
    with run_folder.lock(folder):
        assert (folder / run_folder.LOCK).read_text() == f"{os.getpid()}\n"


def test_the_lock_of_a_replaced_folder_is_worth_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "r")
    with run_folder.lock(folder):
        pass

    def replaced(descriptor: int, operation: int) -> None:
        os.unlink(folder / run_folder.LOCK)
        (folder / run_folder.LOCK).write_text("")

    monkeypatch.setattr(system.fcntl, "flock", replaced)
    with pytest.raises(InputError, match="replaced"), run_folder.lock(folder):
        raise AssertionError("two writers")


@pytest.mark.parametrize("name", ["open", "ftruncate", "write"])
def test_a_folder_that_cannot_be_written_is_a_file_error(tmp_path: Path, name: str) -> None:
    folder = make(tmp_path / "r")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, name, raiser(OSError(errno.EROFS, "Read-only file system")))
        with pytest.raises(FileError, match="Read-only file system"), run_folder.lock(folder):
            raise AssertionError("locked")
    with run_folder.lock(folder):
        pass


def test_file_systems_without_locks_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "r")
    monkeypatch.setattr(system.fcntl, "flock", raiser(OSError(errno.ENOLCK, "No locks available")))
    with pytest.raises(FileError, match="cannot lock"), run_folder.lock(folder):
        raise AssertionError("locked")


def test_errors_of_the_block_pass_the_lock_unchanged(tmp_path: Path) -> None:
    folder = make(tmp_path / "r")
    with pytest.raises(OSError, match="from inside"), run_folder.lock(folder):
        raise OSError("from inside")
    with run_folder.lock(folder):
        pass


def test_next_free_counts_up_and_makes_nothing(tmp_path: Path) -> None:
    parent = tmp_path / "runs"
    assert run_folder.next_free(parent, "dbm") == parent / "dbm" and not parent.exists()
    parent.mkdir()
    make(parent / "dbm")
    assert run_folder.next_free(parent, "dbm") == parent / "dbm-2"
    (parent / "dbm-2").write_text("")
    (parent / "dbm-3").symlink_to("nowhere")
    assert run_folder.next_free(parent, "dbm") == parent / "dbm-4"
    assert run_folder.next_free(str(parent), "rbm") == parent / "rbm"
