"""A contender in a process of its own, for libraries whose threads are fixed when they start.

The parent starts one child for each number of threads and gives it turns over a pipe: a line of JSON asks, a line
answers, arrays go through files. Between the lines one side waits in read, so that no two contenders ever work at once.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy as np

import boltz

from . import Array, ContenderError, Lesson, Noise, Problem, Slope, Work

PARTS = ("weights", "biases", "start", "rates")
SCRIPT = Path(__file__).parents[1] / "child.py"


@dataclass
class Child:
    """The parent's end: a process that imports module and offers the work of its function makers().

    environment is set before the child starts, so that its libraries find it. Raises ContenderError in one sentence
    when the child fails or is gone.
    """

    name: str
    module: str
    threads: int
    environment: Mapping[str, str]
    works: int = 0
    process: subprocess.Popen[str] | None = field(default=None, init=False)
    folder: tempfile.TemporaryDirectory[str] = field(init=False, default_factory=tempfile.TemporaryDirectory)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Give the child a turn; its answer."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, str(SCRIPT), self.module, str(self.threads)],
                env=os.environ | dict(self.environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            atexit.register(self.close)
        asked, answered = self.process.stdin, self.process.stdout
        try:
            print(json.dumps(request), file=asked, flush=True)
            line = answered.readline() if answered else ""
        except BrokenPipeError:
            line = ""
        if not line:
            raise ContenderError(f"The process of {self.name} ended with code {self.process.wait()} during its turn.")
        found = json.loads(line)
        if "error" in found:
            raise ContenderError(f"The process of {self.name} failed: {found['error']}.")
        return found

    def close(self) -> None:
        """End the child, which has nothing to lose."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.folder.cleanup()

    def make(self, kind: str, problem: Problem | Lesson) -> Work:
        """The child's work on a problem; it keeps one at a time, so this ends the one before."""
        self.works += 1
        work, folder = self.works, Path(self.folder.name)

        def ask(**request: Any) -> dict[str, Any]:
            if work != self.works:
                raise ContenderError(f"The work of {self.name} has made room for another.")
            return self.ask(**request)

        def probe(noise: Noise) -> Slope:
            np.savez(folder / "noise.npz", **noise)
            bound = ask(do="probe", folder=str(folder))["bound"]
            return bound, _loaded(folder / "slope.npz")

        def result() -> tuple[Array, ...]:
            ask(do="result", folder=str(folder))
            return tuple(_loaded(folder / "result.npz").values())

        write(problem, folder)
        ask(do="make", kind=kind, folder=str(folder))
        return Work(lambda count: void(ask(do="run", count=count)), result, probe)


def void(_: object) -> None:
    """Drop a value."""


def _loaded(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as found:
        return dict(found)


def write(problem: Problem | Lesson, folder: Path) -> None:
    """The problem as files in the folder: arrays, numbers, and the machine of a lesson."""
    arrays: dict[str, Array] = {"rows": problem.rows}
    numbers = {name: x for name, x in vars(problem).items() if isinstance(x, int | float | str)}
    if isinstance(problem, Lesson):
        problem.machine.save(folder / "machine.safetensors")
    else:
        for part in PARTS:
            given = getattr(problem, part)
            pairs = given.items() if isinstance(given, Mapping) else enumerate(given)
            arrays |= {f"{part}/{key}": x for key, x in pairs}
    np.savez(folder / "problem.npz", **arrays)
    (folder / "problem.json").write_text(json.dumps(numbers | {"directed": isinstance(problem, Lesson)}))


def read(folder: Path) -> Problem | Lesson:
    """What `write` has written."""
    arrays, numbers = _loaded(folder / "problem.npz"), json.loads((folder / "problem.json").read_text())
    if numbers.pop("directed"):
        return Lesson(boltz.load(folder / "machine.safetensors"), arrays["rows"], **numbers)
    parts = {part: {k.partition("/")[2]: x for k, x in arrays.items() if k.startswith(part + "/")} for part in PARTS}
    lists = {name: tuple(parts.pop(name).values()) for name in ("weights", "biases")}
    return Problem(rows=arrays["rows"], **lists, **parts, **numbers)


def serve(module: str, threads: int, asked: IO[str], answers: IO[str]) -> None:
    """The child's end: import the module when the first work is wanted, and answer until the parent closes the pipe."""
    work: list[Work] = []

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request["do"] == "run":
            work[0].run(request["count"])
            return {}
        folder = Path(request["folder"])
        if request["do"] == "make":
            work.clear()
            work.append(import_module(module).makers()[request["kind"]](read(folder), threads))
        elif request["do"] == "result":
            np.savez(folder / "result.npz", *work[0].result())
        else:
            bound, slopes = work[0].probe(_loaded(folder / "noise.npz"))
            np.savez(folder / "slope.npz", **slopes)
            return {"bound": bound}
        return {}

    for line in asked:
        try:
            found = answer(json.loads(line))
        except Exception as problem:  # the parent says it in one sentence
            first = (str(problem).splitlines() or [""])[0]
            found = {"error": f"{type(problem).__name__}: {first.rstrip('.')}"}
        print(json.dumps(found), file=answers, flush=True)
