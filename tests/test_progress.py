"""Catches a bar that says the wrong place, floods a notebook or a log, or is left open; and a progress never called."""

from __future__ import annotations

import io
import re
import sys
import threading
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import boltz
from boltz import progress as module
from boltz.errors import InputError
from boltz.progress import Progress, duration, saying

X = (np.random.default_rng(3).random((30, 8)) < 0.5).astype(np.float32)
SHORT: dict[str, Any] = {"batch_size": 10, "chains": 5, "snapshots": 0}
PLACES = [("joint", 1, 3), ("joint", 2, 3), ("joint", 3, 3)]


class Clock:
    """A clock that the test turns."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a terminal; not in a fixture, since pytest captures anew when the test begins."""
    found = Terminal()
    monkeypatch.setattr(sys, "stderr", found)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return found


class Cell:
    """The output of a notebook's cell: what was put into it, each as it was painted from first to last."""

    def __init__(self) -> None:
        self.outputs: list[list[dict[str, str]]] = []

    def display(self, bundle: dict[str, str], raw: bool, display_id: bool) -> Any:
        assert raw and display_id
        painted = [bundle]
        self.outputs.append(painted)
        return SimpleNamespace(update=lambda bundle, raw: painted.append(bundle))


@pytest.fixture
def cell(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cell]:
    """IPython as the kernel of a notebook has it."""
    found = Cell()
    ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    display.display = found.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    yield found


def test_a_log_gets_about_a_line_in_five_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as progress:
        for epoch in range(1, 21):
            progress.update("joint epoch", epoch, 20, "fine")
            clock.now += 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "joint epoch 1/20, fine" and lines[-1] == "joint epoch 20/20, fine"
    assert lines[1] == "joint epoch 6/20, fine, about 14 s left" and len(lines) == 5


@pytest.mark.parametrize(("seconds", "most"), [(60, 14), (3600, 100), (36_000, 210)])
def test_a_log_of_hours_has_hardly_more_lines(
    seconds: int, most: int, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """And never five minutes without one."""
    told = [clock.now]
    with Progress() as progress:
        for epoch in range(1, seconds + 1):
            progress.update("joint epoch", epoch, seconds)
            if capsys.readouterr().err:
                told.append(clock.now)
            clock.now += 1
    assert seconds // 300 < len(told) - 1 <= most
    assert max(np.diff(told)) <= 301


@pytest.mark.parametrize("terminal", ["dumb", "unknown", None])
def test_a_terminal_that_cannot_go_back_gets_lines(terminal: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = on_terminal(monkeypatch)
    if terminal is None:
        monkeypatch.delenv("TERM")
    else:
        monkeypatch.setenv("TERM", terminal)
    with Progress() as progress:
        progress.update("joint epoch", 1, 2)
        progress.update("joint epoch", 2, 2)
    assert stream.getvalue() == "joint epoch 1/2\njoint epoch 2/2\n"


def test_work_says_what_it_is_once_it_takes_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.01)
    with saying("reading the data"):
        deadline = time.monotonic() + 20
        said = ""
        while not said and time.monotonic() < deadline:
            time.sleep(0.01)
            said = capsys.readouterr().err
    assert said == "reading the data ...\n"
    monkeypatch.setattr(module, "SILENT_SECONDS", 60.0)
    before = threading.active_count()
    with pytest.raises(KeyError), saying("nothing"):
        raise KeyError
    assert capsys.readouterr().err == "" and threading.active_count() <= before + 1


def test_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with Progress() as progress:
        progress.update("joint epoch", 1, 4, "fine")
        progress.update("joint epoch", 4, 4, "done")
    assert "joint epoch" in terminal.getvalue() and "4/4" in terminal.getvalue() and "done" in terminal.getvalue()


@pytest.mark.parametrize(("epochs", "seconds"), [(200, 0.01), (200, 3.0), (5000, 1.0), (3, 60.0)])
def test_a_notebook_has_one_bar_a_piece_of_work_that_is_seldom_painted(
    epochs: int, seconds: float, cell: Cell, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = on_terminal(monkeypatch)
    with Progress() as progress:
        for name in ("pretrain-1 epoch", "joint <epoch>"):
            for epoch in range(1, epochs + 1):
                progress.update(name, epoch, epochs, "-80.0 <b>")
                clock.now += seconds
    assert len(cell.outputs) == 2 and terminal.getvalue() == ""
    for painted in cell.outputs:
        assert 2 <= len(painted) <= min(epochs, max(103, 2 + epochs * seconds / 0.5), 203)
        assert f"<progress value='{epochs}' max='{epochs}'>" in painted[-1]["text/html"]
        assert painted[-1]["text/plain"].endswith(f" {epochs:,}/{epochs:,}, -80.0 <b>")
        assert set(re.findall(r"<[^>]*>", painted[-1]["text/html"])) <= {
            f"<progress value='{epochs}' max='{epochs}'>",
            "</progress>",
        }


def test_python_in_a_terminal_is_no_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython without a kernel has the bar of a terminal."""
    terminal = on_terminal(monkeypatch)
    ipython = ModuleType("IPython")
    ipython.get_ipython = lambda: SimpleNamespace()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    with Progress() as progress:
        progress.update("joint epoch", 2, 2)
    assert "2/2" in terminal.getvalue()


@pytest.mark.parametrize("stream", [None, "closed"])
def test_work_goes_on_where_nobody_reads(stream: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stderr", None if stream is None else SimpleNamespace(isatty=bool, write=gone.write))
    assert len(boltz.train(boltz.rbm(8, 4, X), X, epochs=2, progress=True, **SHORT).history) == 2


@pytest.mark.parametrize(
    ("seconds", "words"), [(4.2, "4 s"), (185, "3 min 5 s"), (7860, "2 h 11 min"), (59.7, "1 min 0 s")]
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


# ---------------------------------------------------------------- of a training


def test_a_training_shows_its_epochs_on_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    run = boltz.train(boltz.rbm(8, 4, X), X, epochs=3, progress=True, **SHORT)
    assert "joint" not in terminal.getvalue() and "epoch" in terminal.getvalue() and "3/3" in terminal.getvalue()
    assert f"pseudo-likelihood {run.history[-1]['pseudo_likelihood']:.1f}" in terminal.getvalue()


def test_the_bar_is_closed_when_a_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)

    def fail(record: dict[str, Any]) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        boltz.train(boltz.rbm(8, 4, X), X, epochs=3, watch=fail, progress=True, **SHORT)
    assert terminal.getvalue().endswith("\x1b[?25h")  # the cursor is back


@pytest.mark.parametrize("folder", [None, "run"])
def test_a_function_hears_of_every_epoch(folder: str | None, tmp_path: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    out = None if folder is None else tmp_path / folder
    boltz.train(boltz.rbm(8, 4, X), X, out, epochs=3, progress=lambda *place: seen.append(place), **SHORT)
    assert seen == PLACES


def stop(record: dict[str, Any]) -> None:
    if record["epoch"] == 2:
        raise KeyError


def test_a_run_that_goes_on_shows_the_rest(tmp_path: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    with pytest.raises(KeyError):
        boltz.train(boltz.rbm(8, 4, X), X, tmp_path / "run", epochs=3, watch=stop, checkpoint_seconds=0, **SHORT)
    boltz.resume(tmp_path / "run", X, progress=lambda *place: seen.append(place))
    assert seen == PLACES[1:]


def test_a_fine_tuning_has_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    terminal = on_terminal(monkeypatch)
    seen: list[tuple[str, int, int]] = []
    model, more = boltz.rbm(8, 4, X), {"epochs": 3, "output_epochs": 1, "validation": 0.0, "checkpoint_seconds": 0}
    wanted = [("outputs", 1, 1), *(("network", epoch, 3) for epoch in (1, 2, 3))]
    boltz.fine_tune(model, X, X[:, 0], progress=lambda *place: seen.append(place), **more)
    assert seen == wanted
    boltz.fine_tune(model, X, X[:, 0], progress=True, **more)
    assert "network epoch" in terminal.getvalue() and "3/3" in terminal.getvalue()
    with pytest.raises(KeyError):
        boltz.fine_tune(model, X, X[:, 0], out=tmp_path / "run", watch=stop, **more)
    boltz.resume_tuning(tmp_path / "run", X, X[:, 0], progress=lambda *place: seen.append(place))
    assert seen == [*wanted, *wanted[2:]]


@pytest.mark.parametrize("bad", [1, "yes", 0.5, len, lambda stage: None])
def test_what_cannot_be_called_is_refused_before_rows_are_read(bad: Any, tmp_path: Any) -> None:
    for call in (
        lambda: boltz.train(boltz.rbm(8, 4, X), "no rows", progress=bad),
        lambda: boltz.resume(tmp_path, progress=bad),
        lambda: boltz.fine_tune(boltz.rbm(8, 4, X), "no rows", progress=bad),
        lambda: boltz.resume_tuning(tmp_path, progress=bad),
    ):
        with pytest.raises(InputError, match=r"^progress must be"):
            call()


def test_false_and_none_show_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for progress in (None, False):
        boltz.train(boltz.rbm(8, 4, X), X, epochs=1, progress=progress, **SHORT)
    assert capsys.readouterr() == ("", "")
