"""Turns: how contenders are timed side by side, and what the commands that do it share."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from contenders import ContenderError, Work
from report import grid, number

import boltz

PAUSE = 0.03  # longer than the idle threads of any pool spin
# Left alone, idle threads of GNU OpenMP spin for milliseconds, those of OpenBLAS for 50, of Intel's OpenMP for 200, and
# take a core from the next contender. Spins as short as these cost nobody anything on a quiet machine.
QUIET = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1", "OPENBLAS_THREAD_TIMEOUT": "20"}


def say(text: str) -> None:
    """Progress goes to stderr, so that stdout holds the result alone."""
    print(text, file=sys.stderr, flush=True)


def numbers(text: str) -> list[int]:
    """Whole numbers above 0 with commas between, as an option gives them."""
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"must be whole numbers above 0 with commas between, got {text!r}")
    return [int(part) for part in parts]


def count(text: str) -> int:
    """A whole number above 0, as an option gives it."""
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, got {text!r}")
    return int(text)


def options_of(text: str, threads: str) -> argparse.Namespace:
    """The command line of a table beside PyTorch: what the command does, and the usual numbers of threads."""
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=numbers, default=threads, help="numbers of threads, commas between")
    parser.add_argument("--repeats", type=count, default=7, help="rounds; each contender has one turn a round")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


@dataclass(frozen=True)
class Line:
    """A line of a table: how its contenders are made, boltz among them, how much a unit of work does, in what unit, and
    the seconds of a turn.
    """

    name: str
    make: Callable[[], Mapping[str, Work]]
    size: int
    unit: str
    seconds: float


def beside_torch(lines: list[Line], options: argparse.Namespace) -> int:
    """Time each line with each number of threads, and print the table of boltz beside the quickest of the others."""
    import torch

    found = []
    for line, threads in product(lines, options.threads):
        boltz.threads(threads)
        torch.set_num_threads(threads)
        turn, least = (0.001, 1) if options.smoke else (line.seconds, 5)
        times = race(line.make(), options.repeats, turn, least)
        best = min((n for n in times if n != "boltz"), key=lambda n: np.median(times[n]))
        ratio = ratios(times[best], times["boltz"])
        told = f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})"
        rate = f"{number(line.size / np.median(times['boltz']))} {line.unit}"
        found.append([line.name, str(threads), rate, best, told])
        say(f"{line.name}, threads {threads}: done")
    print(grid(["line", "threads", "boltz", "best peer", "its time over that of boltz"], found))
    return 0


def needs_torch(script: str) -> None:
    """Raise InputError where PyTorch is not installed."""
    if find_spec("torch") is None:
        raise boltz.InputError(f"benchmarks/{script} needs PyTorch: python -m pip install torch.")


def race(works: Mapping[str, Work], rounds: int, seconds: float, least: int) -> dict[str, list[float]]:
    """Seconds a unit of work for each contender and round, in turns; boltz sets how many units make a turn."""
    for work in works.values():
        work.run(least)
    start = time.perf_counter()
    works["boltz"].run(least)
    count = max(least, round(least * seconds / (time.perf_counter() - start)))
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            time.sleep(PAUSE)
            start = time.perf_counter()
            work.run(count)
            times[name].append((time.perf_counter() - start) / count)
    return times


def ratios(times: list[float], ours: list[float]) -> dict[str, float]:
    """How many times as long, from the two turns of each round."""
    found = [theirs / mine for theirs, mine in zip(times, ours, strict=True)]
    return {"median": statistics.median(found), "min": min(found), "max": max(found)}


def writable(folder: str | None) -> Path | None:
    """The folder for results, made if need be; InputError if there can be none."""
    if folder is None:
        return None
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        raise boltz.InputError(
            f"--out must name a folder that can be written, got {folder!r} ({problem.strerror})."
        ) from problem
    return Path(folder)


def write(folder: Path, results: dict[str, Any], page: str) -> None:
    """Results for programs and for readers."""
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (folder / "table.md").write_text(page + "\n", encoding="utf-8")


def command(run: Callable[[Any], int], arguments: Callable[[], argparse.Namespace]) -> int:
    """The exit code of a command: 2 on bad input, as that of boltz, 1 if a contender fails, 130 on Ctrl-C."""
    options = arguments()
    if not QUIET.keys() <= os.environ.keys():  # libraries read these when they load, and numpy has loaded
        os.execve(sys.executable, [sys.executable, *sys.argv], QUIET | os.environ)
    try:
        return run(options)
    except (boltz.InputError, ContenderError) as problem:
        say(str(problem))
        return 2 if isinstance(problem, boltz.InputError) else 1
    except KeyboardInterrupt:
        say("Interrupted.")
        return 130
