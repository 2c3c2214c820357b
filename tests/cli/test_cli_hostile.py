"""Catches foreign text and files that do harm: edited run.toml, loops of links, words that are formulas, full disks."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from support.commands import TEST, TRAIN, UNITS, invoke, result_of

import boltz
from boltz.cli.common import failures
from boltz.storage import atomic, run_folder

PAINTED = True
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e]")
ESCAPES = "red \x1b[31m\x07\r\u202e\u2028\u200b [bold]markup[/] "
BAD: list[Any] = [[1, 2], ESCAPES * 30, float("nan"), -1, 10**30, {}, {"a": 1}, [[1]], True, 0.5]
BAD += [date(2020, 1, 1), datetime(2020, 1, 1), time(1)]
WORDS = ["$a$", "x$", "=1+1", "@SUM(1)", "+a", "-b", "-1e3", "$\\frac{1}{$", "[/red]", "\x1b[31mred\u202e"]


def entries(table: dict[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every entry of nested tables."""
    for name, value in table.items():
        yield (*place, name)
        if isinstance(value, dict):
            yield from entries(value, (*place, name))


def edited(run: Path, place: tuple[str, ...], value: Any) -> Path:
    """A copy of a run in whose run.toml one entry is another."""
    shutil.rmtree("edited", ignore_errors=True)
    shutil.copytree(run, "edited")
    table = tomllib.loads((run / run_folder.SETTINGS).read_text())
    inner = table
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    Path("edited", run_folder.SETTINGS).write_text(tomli_w.dumps(table))
    return Path("edited")


# ---- boltz info ------------------------------------------------------------------------------------------------


def test_info_takes_any_run_file(run: Path) -> None:
    """Each entry in turn is each bad value: told or refused in one sentence, nothing that a terminal would obey."""
    table, told = tomllib.loads((run / run_folder.SETTINGS).read_text()), 0
    places = [*entries(table), ("task",), ("init",), ("recipe",)]
    for i, place in enumerate(places):
        for value in BAD[i % 4 :: 4] if len(place) > 1 else BAD:
            folder = edited(run, place, value)
            for more in ((), ("--json",)):
                found = invoke("info", folder, *more)
                assert found.exit_code in (0, 2), (place, value)
                assert CONTROL.search(found.output) is None and len(found.output) < 10_000, (place, value)
                if found.exit_code == 0 and more:
                    json.loads(found.stdout, parse_constant=pytest.fail)
                if found.exit_code == 2:
                    assert found.stderr.startswith("Error: edited") and len(found.stderr) < 300, (place, value)
            told += found.exit_code == 0
    assert told > 50


@pytest.mark.parametrize("task", [["classifier"], {"a": 1}, 3, "", date(2020, 1, 1)])
def test_a_task_of_any_kind_is_refused_by_name(run: Path, task: Any) -> None:
    found = invoke("info", edited(run, ("task",), task))
    assert found.exit_code == 2 and "is not the folder of a fine-tuning" in found.stderr


def test_dates_and_nan_come_through_as_json(run: Path) -> None:
    folder = edited(run, ("init",), {"day": date(2020, 1, 2), "rate": float("nan"), "many": 10**4000, "x": [1e999]})
    init = result_of("info", folder)["init"]
    assert (init["day"], init["rate"], init["x"]) == ("2020-01-02", None, [None]) and len(init["many"]) <= 80


def test_info_shows_little_of_a_large_result(run: Path) -> None:
    shutil.copytree(run, "r")
    test = {"log_likelihood": {"value": "\x1b[2J" * 200_000}}
    Path("r", run_folder.RESULT).write_text(json.dumps({"run": "r", "test": test}))
    for more in ((), ("--json",)):
        found = invoke("info", "r", *more)
        assert found.exit_code == 0 and len(found.output) < 10_000 and CONTROL.search(found.output) is None
    for value in ("much", None, [1.0], float("nan")):
        Path("r", run_folder.RESULT).write_text(json.dumps({"run": "r", "test": {"log_likelihood": {"value": value}}}))
        assert invoke("info", "r").exit_code == invoke("info", "r", "--json").exit_code == 0


def test_info_shows_little_of_many_or_long_labels() -> None:
    words = [f"\x1b[31m{'w' * 70}{i}" for i in range(5000)]
    boltz.classifier(boltz.rbm(4, 2), words).save("many")
    boltz.classifier(boltz.rbm(4, 2), ["a" * 400_000, "b" * 400_000]).save("long")
    for name, most in (("many", 100_000), ("long", 1000)):
        assert len(invoke("info", name).stdout) < 3000
        assert len(invoke("info", name, "--json").stdout) < most
    found = result_of("info", "many")
    assert len(found["classes"]) == 1000 and found["layers"][-1] == 5000


@pytest.mark.parametrize("damage", ["text", "cut", "a checkpoint", "a folder", "a loop"])
def test_a_run_is_complete_only_if_its_machine_reads(run: Path, damage: str) -> None:
    shutil.copytree(run, "r")
    model = Path("r", run_folder.MODEL)
    content = model.read_bytes()
    model.unlink()
    if damage == "a folder":
        model.mkdir()
    elif damage == "a loop":
        model.symlink_to(model.name)
    else:
        checkpoint_file = Path("r", run_folder.CHECKPOINT).read_bytes()
        model.write_bytes({"text": b"hello", "cut": content[:-1], "a checkpoint": checkpoint_file}[damage])
    found = result_of("info", "r")
    assert found["complete"] is False and run_folder.MODEL in found["problem"]
    text = " ".join(invoke("info", "r").stdout.split())
    assert "complete: no; r/model.safetensors" in text and "Remove that file and continue with: boltz train" in text
    if damage != "a folder":
        model.unlink()
        assert "problem" not in result_of("info", "r")
        assert invoke("train", "--resume", "r").exit_code == 0
        assert model.read_bytes() == content and result_of("info", "r")["complete"] is True


def test_info_tells_the_settings_that_the_machine_has(run: Path) -> None:
    """An rbm has no mean field and no pretraining; momentum is 0.0 and counts, Adam's are idle, as are rungs."""
    settings = result_of("info", run)["settings"]
    assert {"epochs", "learning_rate", "rule", "k", "chains", "momentum"} <= settings.keys()
    idle = {"mean_field_sweeps", "pretrain", "pretrain_k", "rungs", "adam_beta1", "sparsity_target", "decay_epochs"}
    assert not idle & settings.keys()


# ---- loops of links, run.toml that cannot be read, full disks ----------------------------------------------------


def test_loops_of_links_are_one_sentence(run: Path) -> None:
    for name in ("loop", "loop.npy"):
        Path(name).symlink_to(name)
    for words in (
        ("compare", "loop", run),
        ("compare", run, "loop"),
        *((command, "loop") for command in ("info", "logz", "evaluate", "diagnose", "sample")),
        ("train", "--resume", "loop"),
        ("train", "rbm", "--data", "loop.npy"),
        ("classify", run, "--data", "loop.npy", "--test-labels", "loop.npy"),
        ("sample", run, "--out", "loop/s.npy"),
    ):
        found = invoke(*words)
        assert found.exit_code == 2 and found.stderr.splitlines()[-1].startswith("Error: "), words
        assert "loop" in found.stderr, words


def test_a_run_file_that_cannot_be_read_is_a_file_error(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(run, "r")
    real = os.open

    def closed(path: Any, *rest: Any, **named: Any) -> int:
        if os.fspath(path).endswith(run_folder.SETTINGS):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return real(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", closed)
        for work in (lambda: boltz.resume("r"), lambda: run_folder.read_settings("r")):
            with pytest.raises(boltz.FileError, match=r"r/run\.toml could not be read: Permission denied\."):
                work()
        assert invoke("train", "--resume", "r").exit_code == 2
    shutil.rmtree("r")
    shutil.copytree(run, "r")
    Path("r", run_folder.SETTINGS).unlink()
    Path("r", run_folder.SETTINGS).mkdir()
    with pytest.raises(boltz.FileError, match=r"r/run\.toml is not a regular file"):
        boltz.resume("r")


def test_names_of_files_in_usage_errors_are_clean(run: Path) -> None:
    """What a shell puts in the place of * may be names that others gave."""
    for words in (("info", run, "b\x1b[31m"), ("b\x1b[31m",), ("logz", run, "--betas", "b\x1b[31m")):
        found = invoke(*words)
        assert found.exit_code == 2 and "b\\x1b[31m" in found.stderr and CONTROL.search(found.output) is None, words


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_the_machine_cannot_write_ends_with_code_1(run: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def full(*_: Any) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(atomic.os, "write", full)
    for words in (
        ("sample", run, "--chains", 2, "--sweeps", 1, "--out", "s.png"),
        ("train", "rbm", "--layers", 2, "--epochs", 1, "--data", "x.npy", "--out", "new"),
    ):
        np.save("x.npy", np.eye(4, dtype=np.float32))
        found = invoke(*words)
        assert found.exit_code == 1 and os.strerror(code) in found.stderr, words
        assert not Path("new").exists() and not Path("s.png").exists()


def test_what_was_named_wrongly_ends_with_code_2(run: Path) -> None:
    assert invoke("sample", run, "--chains", 2, "--sweeps", 1, "--out", "no/s.png").exit_code == 2
    with pytest.raises(Exception, match=r"x: Permission denied\.") as caught, failures():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "x")
    assert getattr(caught.value, "exit_code", None) == 2


def test_a_model_file_without_data_is_diagnosed_through_its_run(run: Path) -> None:
    found = invoke("diagnose", run / run_folder.MODEL)
    assert found.exit_code == 2
    assert f"give them with --data, or name its run, {run}." in found.stderr
    shutil.copy(run / run_folder.MODEL, "m.safetensors")
    assert "since there are no rows" in invoke("diagnose", "m.safetensors", "--sweeps", 40).stdout


# ---- words -------------------------------------------------------------------------------------------------------


def test_words_that_matplotlib_and_spreadsheets_would_run(run: Path) -> None:
    """Labels with $ end neither in a traceback nor without test.json; in the tables no cell is a formula."""
    generator = np.random.default_rng(3)
    x = generator.integers(0, 2, (TRAIN, UNITS)).astype(np.float32)
    np.save("x.npy", x)
    labels = [WORDS[i % len(WORDS)] for i in range(TRAIN)]
    Path("y.csv").write_text("\n".join(labels))
    begin = ("classify", run, "--data", "x.npy", "--labels", "y.csv", "--epochs", 1, "--out", "c")
    found = invoke(*begin, "--test", "x.npy", "--test-labels", "y.csv")
    assert found.exit_code == 0, found.stderr
    assert {"test.json", "confusion.png", "mistakes.png", "predictions.csv"} <= {p.name for p in Path("c").iterdir()}
    for name in ("predictions.csv", "confusion.csv"):
        with open(f"c/{name}", newline="") as stream:
            cells = [cell for line in csv.reader(stream) for cell in line]
        assert not [cell for cell in cells if cell[:1] in ("=", "+", "@", "\t", "\r") or cell in ("-b", "=1+1")]
        assert {"'=1+1", "'@SUM(1)", "'+a", "'-b", "-1e3", "$a$"} <= {*cells}
    assert CONTROL.search(found.output) is None


def test_a_folder_whose_name_is_a_formula_is_compared(run: Path) -> None:
    for name in ("$a$ [red]", "=b_{", "c\x1b[31m"):
        shutil.copytree(run, name)
    found = invoke("compare", "$a$ [red]", "=b_{", "c\x1b[31m", "--limit", 4, "--out", "o")
    assert found.exit_code == 0 and "$a$ [red]" in found.stdout and "c\\x1b[31m" in found.stdout
    assert CONTROL.search(found.output) is None and Path("o/compare.png").exists()


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["0", "inf"], "labels that are not finite"),
        (["0", "-Infinity"], "labels that are not finite"),
        (["0", "1e300"], "holds the label 1.0000000000000001e+300"),
        (["0.5", "9007199254740993"], "holds the label 9007199254740992"),
        (["0", "9223372036854775808"], "does not fit in 64 bits"),
    ],
)
def test_labels_that_would_merge_are_refused(run: Path, lines: list[str], said: str) -> None:
    np.save("x.npy", np.zeros((len(lines), UNITS), np.float32))
    Path("y.csv").write_text("\n".join(lines))
    found = invoke("classify", run, "--data", "x.npy", "--labels", "y.csv", "--out", "c")
    assert found.exit_code == 2 and said in found.stderr and not Path("c").exists()


def test_ids_beyond_2_53_stay_distinct(run: Path) -> None:
    ids = [2**53, 2**53 + 1, 2**62 + 1, -(2**63)]
    np.save("x.npy", np.random.default_rng(1).integers(0, 2, (TEST, UNITS)).astype(np.float32))
    Path("y.csv").write_text("\n".join(str(ids[i % 4]) for i in range(TEST)))
    found = invoke("classify", run, "--data", "x.npy", "--labels", "y.csv", "--epochs", 1, "--out", "c")
    assert found.exit_code == 0, found.stderr
    assert sorted(boltz.load_network("c").classes) == sorted(ids)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e300, 2.0**53])
def test_labels_in_arrays_that_would_merge_are_refused(run: Path, value: float) -> None:
    np.save("x.npy", np.zeros((2, UNITS), np.float32))
    np.save("y.npy", np.array([0.0, value]))
    assert invoke("classify", run, "--data", "x.npy", "--labels", "y.npy", "--out", "c").exit_code == 2
    with pytest.raises(boltz.InputError, match="floating number below 2"):
        boltz.fine_tune(boltz.rbm(UNITS, 2), np.load("x.npy"), [0.0, value])
    with pytest.raises(boltz.InputError, match="floating number below 2"):
        boltz.classifier(boltz.rbm(UNITS, 2), [0.0, value])
