"""One run in its folder, whatever it trains: its checkpoints and metrics, and signals while it is in work.

Ctrl-C and SIGTERM only ask at first, and all is saved; what goes on later is bit for bit what would have gone on.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from boltz.errors import FileError, Interrupted
from boltz.storage import metrics, run_folder
from boltz.training import guards
from boltz.training.watching import Heard, unheard

Tensors = dict[str, NDArray[Any]]
MARK = "settings"  # in a checkpoint: the run.toml that it belongs to


@dataclass(frozen=True)
class Saved:
    """A checkpoint: its tensors, what else it says, and a sentence on each damaged one that was passed over."""

    tensors: Tensors
    told: Mapping[str, str]
    notes: tuple[str, ...]


def saved_in(folder: Path) -> Saved:
    """The newest checkpoint of a run that can be read; raises FileError, also where run.toml was changed since."""
    tensors, told, notes = run_folder.load_checkpoint(folder)
    if told.get(MARK, run_folder.mark(folder)) != run_folder.mark(folder):
        raise FileError(
            f"{folder / run_folder.SETTINGS} was changed since the run was saved: put it back or start anew."
        )
    return Saved(tensors, told, tuple(notes))


@dataclass
class Runner:
    """What keeps a run in its folder while its training goes on.

    command goes on with the run; seconds lie between checkpoints; lines of metrics.jsonl belong to the state that the
    training starts from, and later to where it stands; heard is told of each epoch.
    """

    folder: Path
    command: str
    seconds: float
    lines: int
    heard: Heard = unheard
    asked: list[str] = field(default_factory=list)  # signals
    written: float = 0.0
    tabulated: int | None = None  # lines of metrics.csv, where it was written by this process
    mark: str = ""

    @contextmanager
    def running(self) -> Iterator[None]:
        """The time of the training, in which signals only ask; lines of metrics beyond its start are cut off."""
        with stop_requests() as self.asked:
            self.lines = metrics.trim_metrics(self.folder, self.lines)
            self.mark, self.written = run_folder.mark(self.folder), time.monotonic()
            if self.lines or (self.folder / metrics.TABLE).exists():
                self._tabulate()
            try:
                yield
            except BaseException:
                with suppress(FileError):  # what went wrong first is what is told
                    self._tabulate()
                raise

    def record(self, record: dict[str, Any], copy: Callable[[], Any]) -> bool:
        """Keep the record of an epoch and tell of it, with what copies the model; whether the caller ends the run."""
        self.lines = metrics.append_metrics(self.folder, record)
        return self.heard(record, copy)

    @property
    def due(self) -> bool:
        """Whether the state is to be saved now: a signal asks for it, or the last time is long ago."""
        return bool(self.asked) or time.monotonic() - self.written >= self.seconds

    def save(self, tensors: Tensors, place: str, told: Mapping[str, str] | None = None) -> None:
        """Write a checkpoint of the state at a place in words, and metrics.csv.

        Raises NumericalError where the state is not finite. Endless scores among totals are no parameters, and stay.
        """
        guards.check_state({name: x for name, x in tensors.items() if name != "totals"}, place)
        run_folder.save_checkpoint(self.folder, tensors, {MARK: self.mark, **(told or {})})
        self._tabulate()
        self.written = time.monotonic()

    def _tabulate(self) -> None:
        """Write metrics.csv anew, once there is an epoch that it lacks."""
        if self.lines != self.tabulated:
            metrics.write_table(self.folder)
            self.tabulated = self.lines

    def stop(self) -> None:
        """Raise Interrupted after a signal, once all is saved."""
        if self.asked:
            again = f"continue with: {self.command} --resume {self.folder}"
            raise Interrupted(f"Stopped by {self.asked[0]} after saving; {again}")


@contextmanager
def stop_requests() -> Iterator[list[str]]:
    """Names of the signals received; the first only asks, a second one of the same kind acts as usual."""
    asked: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        asked.append(signal.Signals(number).name)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
