"""How far work is: what is told of it, and on standard error a bar, or in a log lines that become fewer.

A Report is told what is done, steps done, and steps in all. What comes after a colon is a detail of the work, such as
the machine that is measured; 0 of 0 steps is a line alone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any

from boltz import checks
from boltz.errors import InputError
from boltz.foreign import shown, shown_lines

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

Record = Mapping[str, Any]
Report = Callable[[str, int, int], object]
Steps = Callable[[int, int], None]
Asked = bool | Callable[[str, int, int], Any] | None  # True for a bar, or a function of (stage, done, total)
WHOLE = "joint"  # the stage of a training that has no others
LINE_SECONDS, LINE_SHARE, MOST_LINE_SECONDS = 5.0, 0.05, 300.0  # between lines: least, share of the time so far, most
SILENT_SECONDS = 2.0  # after which work says what it is
PAINT_SECONDS, PAINTS = 0.5, 100  # in a notebook a bar is painted anew this seldom, and about so many times at most


class Progress:
    """Shows how far named pieces of work are; the bar of rich where stderr is a terminal, one of HTML in a notebook."""

    def __init__(self) -> None:
        self.bars: Bars | None = None
        self.tasks: dict[str, int] = {}
        self.began: dict[str, tuple[float, int]] = {}
        self.first = self.last = float("-inf")
        self.notebook = in_notebook()
        self.painted: dict[str, tuple[Any, float, int]] = {}

    def __enter__(self) -> Progress:
        if not self.notebook and _paints():
            self.bars = _bars()
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()

    def report(self, what: str, done: int, total: int) -> None:
        """As update, for what a Report is told: a detail after a colon, a line alone where total is 0."""
        if total == 0:
            _say(what)
            return
        name, _, detail = what.partition(": ")
        self.update(name, done, total, detail)

    def update(self, name: str, done: int, total: int, detail: str = "") -> None:
        """Piece of work `name` has done so many of its steps; detail is shown beside it."""
        name, detail = shown(name), shown(detail)
        if self.bars is not None:
            if name not in self.tasks:
                self.tasks[name] = self.bars.add_task(name, total=total, detail=detail)
            self.bars.update(self.tasks[name], completed=done, total=total, detail=detail)  # type: ignore[arg-type]
            return
        now = time.monotonic()
        since, first = self.began.setdefault(name, (now, done))
        parts = [f"{name} {done:,}/{total:,}", *([detail] if detail else [])]
        if first < done < total:
            parts.append(f"about {duration((now - since) / (done - first) * (total - done))} left")
        if self.notebook:
            self._paint(name, (done, total), ", ".join(parts), now)
        elif now - self.last >= self._pause(now) or done >= total:
            self.last = now
            _say(", ".join(parts))

    def _pause(self, now: float) -> float:
        """Seconds between two lines: a log of hours of work is not much longer than one of minutes."""
        if self.first == float("-inf"):
            self.first = now
        return min(max(LINE_SECONDS, LINE_SHARE * (now - self.first)), MOST_LINE_SECONDS)

    def _paint(self, name: str, place: tuple[int, int], text: str, now: float) -> None:
        """Put a bar into the cell, or paint the one that is there anew, seldom enough for a slow front end."""
        from IPython.display import display

        done, total = place
        handle, last, before = self.painted.get(name, (None, 0.0, 0))
        if handle is not None and done < total and (now - last < PAINT_SECONDS or (done - before) * PAINTS < total):
            return
        bar = f"<progress value='{done}' max='{total}'></progress> {escape(text)}"
        bundle = {"text/plain": text, "text/html": bar}
        if handle is None:
            handle = display(bundle, raw=True, display_id=True)
        else:
            handle.update(bundle, raw=True)
        self.painted[name] = handle, now, done


@contextmanager
def saying(what: str) -> Iterator[None]:
    """Within the block, once it takes longer than 2 s, a line on standard error says what is being done."""
    timer = threading.Timer(SILENT_SECONDS, _say, [f"{what} ..."])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _paints() -> bool:
    """Whether standard error is a terminal on which a bar can be painted anew."""
    there = sys.stderr is not None and sys.stderr.isatty()
    return there and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def in_notebook() -> bool:
    """Whether this Python runs the cells of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


def check(progress: Any) -> None:
    """Raise InputError unless progress is True, False, None, or a function of (stage, done, total)."""
    if not isinstance(progress, bool):
        if progress is not None and not callable(progress):
            wanted = "True, a function of (stage, done, total), or None"
            raise InputError(f"progress must be {wanted}, got {checks.brief(progress)}.")
        checks.callback(progress, "progress", 3)


@contextmanager
def shown_epochs(progress: Asked, words: Callable[[Record], str]) -> Iterator[Callable[[Record], None]]:
    """What shows each epoch's record: a bar, with words beside it, the caller's own function, or nothing."""
    if progress is True:
        with Progress() as bar:
            yield on_bar(bar, words)
    elif callable(progress):
        show = progress
        yield lambda record: show(record["stage"], record["epoch"], record["epochs"])
    else:
        yield lambda record: None


def on_bar(bar: Progress, words: Callable[[Record], str]) -> Callable[[Record], None]:
    """What shows each epoch's record on a bar, with words beside it; a stage is named where there are several."""
    stages: set[str] = set()

    def show(record: Record) -> None:
        stages.add(record["stage"])
        alone = stages == {WHOLE}
        bar.update("epoch" if alone else f"{record['stage']} epoch", record["epoch"], record["epochs"], words(record))

    return show


def heard(progress: Report | None) -> Report:
    """The caller's function, or one that does nothing. Raises InputError."""
    checks.callback(progress, "progress", 3)
    return _silent if progress is None else progress


def steps(progress: Report, what: str) -> Steps:
    """What a single piece of work tells of its steps."""

    def show(done: int, total: int) -> None:
        progress(what, done, total)

    return show


def parts(progress: Report, names: Sequence[str]) -> Steps:
    """What pieces of work that follow one another tell: one ends where all of its steps are done."""
    ended = 0

    def show(done: int, total: int) -> None:
        nonlocal ended
        progress(names[min(ended, len(names) - 1)], done, total)
        ended += done == total

    return show


def attempts(progress: Report, names: Sequence[str]) -> Steps:
    """As parts, where the same pieces come again at each attempt."""
    ended = 0

    def show(done: int, total: int) -> None:
        nonlocal ended
        attempt, part = divmod(ended, len(names))
        progress(f"attempt {attempt + 1}, {names[part]}", done, total)
        ended += done == total

    return show


def _silent(what: str, done: int, total: int) -> None:
    return None


def _say(text: str) -> None:
    """A line on stderr, fit for a terminal; work goes on silently when nobody reads it any more."""
    with suppress(OSError, ValueError):
        if sys.stderr is not None:
            print(shown_lines(text), file=sys.stderr, flush=True)


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    left = TextColumn("{task.description}", markup=False), BarColumn(12), MofNCompleteColumn()
    right = TextColumn("{task.fields[detail]}", markup=False), TimeRemainingColumn(compact=True)
    return Bars(*left, *right, console=Console(stderr=True))


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
