"""Progress on stderr: a bar on a terminal, else about one line in five seconds."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from boltz.cli.common import say
from boltz.foreign import shown

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from boltz.training.settings import Common

LINE_SECONDS, COMPILE_SECONDS = 5.0, 3.0
SIDE = 64  # rows, units and chains that are enough for every kernel
TWO = {"layers": ((SIDE, SIDE),)}
TINY: dict[str, dict[str, Any]] = {
    "rbm": {"layers": ((SIDE,),)},
    "dbm": TWO,
    "dbn": TWO,
    "sbn": TWO,
    "vae": TWO | {"latent": (2,)},
}


class Progress:
    """Shows how far named pieces of work are; the bar of rich where stderr is a terminal."""

    def __init__(self) -> None:
        self.bars: Bars | None = None
        self.tasks: dict[str, int] = {}
        self.began: dict[str, tuple[float, int]] = {}
        self.last = float("-inf")

    def __enter__(self) -> Progress:
        if sys.stderr is not None and sys.stderr.isatty():
            self.bars = _bars()
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()

    def report(self, what: str, done: int, total: int) -> None:
        """As update, of what a function of boltz.evaluation tells: a detail after a colon, a line where total is 0."""
        if total == 0:
            say(what)
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
        if now - self.last < LINE_SECONDS and done < total:
            return
        self.last = now
        parts = [f"{name} {done:,}/{total:,}", *([detail] if detail else [])]
        if first < done < total:
            parts.append(f"about {duration((now - since) / (done - first) * (total - done))} left")
        say(", ".join(parts))


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


def compile_kernels(kind: str, settings: Common, device: str = "cpu") -> None:
    """Train and measure a small machine, so that kernels are compiled before the clock of the large one runs.

    Those of the CPU say so themselves; the compiling for a GPU is announced here if it takes long.
    """
    import numpy as np

    import boltz
    from boltz.cli.machines import MACHINES
    from boltz.models.blueprint import undirected

    tiny: dict[str, Any] = {name: getattr(settings, name) for name in ("optimizer", "rule") if hasattr(settings, name)}
    if hasattr(settings, "objective"):
        tiny |= {"objective": settings.objective, "samples": 2}
    else:
        tiny |= {"chains": SIDE} | ({"pretrain_epochs": 1} if kind in ("dbm", "dbn") else {})
    timer = threading.Timer(COMPILE_SECONDS, say, ["compiling kernels of the GPU (first use)"])
    if device != "cpu":
        timer.start()
    try:
        rows = np.full((SIDE, SIDE), 0.5, np.float32)
        shape = {**MACHINES[kind].shape, **TINY[kind]}
        model = MACHINES[kind].build(SIDE, shape, None, 0).to(device)
        run = boltz.train(model, rows, epochs=1, batch_size=SIDE, **tiny)
        machine = undirected(run.model)
        if machine is not None:
            boltz.ais(machine, chains=SIDE, betas=2)
    finally:
        timer.cancel()
