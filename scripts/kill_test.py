"""Kill small training runs at random moments and check that each can be read and ends as if it had never been stopped.

    python scripts/kill_test.py --kills 200

A child process trains through boltz.train(out=...) or goes on through boltz.resume, and is sent SIGKILL after a random
time. Prints one JSON object; exit code 1 if a run could not be read, or ended with other numbers than the unbroken one.
"""

from __future__ import annotations

import os

from boltz.storage import metrics

os.environ["OPENBLAS_NUM_THREADS"] = "1"  # no thread of the parent may be alive at a fork

import argparse
import json
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import boltz
from boltz.storage import run_folder

COMMON = {"batch_size": 15, "seed": 3}
Kind = tuple[Callable[[Any], Any], dict[str, Any]]
KINDS: list[Kind] = [
    (lambda x: boltz.rbm(12, 8, x), {"epochs": 4, "chains": 20, "momentum": 0.9, "momentum_epochs": 1}),
    (
        lambda x: boltz.dbm([12, 8, 5], x),
        {"epochs": 2, "chains": 20, "pretrain_epochs": 1, "optimizer": "adam", "learning_rate": 0.01},
    ),
    (lambda x: boltz.sbn([12, 8, 5], x=x), {"epochs": 4, "objective": "nvil", "learning_rate": 0.01}),
    (
        lambda x: boltz.dbm([12, 6, 5], x),
        {
            "epochs": 3,
            "chains": 20,
            "pretrain_epochs": 0,
            "sparsity_cost": 0.01,
            "optimizer": "nesterov",
            "momentum": 0.5,
        },
    ),
    (lambda x: boltz.vae([12, [8], [6]], [5, 3], x), {"epochs": 4, "objective": "iwae", "samples": 3}),
    (
        lambda x: boltz.rbm(12, 8, x),
        {"epochs": 4, "rule": "cd", "k": 2, "binarize": "fixed", "l2": 1e-3, "schedule": "inverse"},
    ),
    (lambda x: boltz.dbn([12, 8, 5], x), {"epochs": 2, "chains": 20, "k": 2, "pretrain_epochs": 1}),
]
CLOCKS = ("seconds", "rows_per_second", "line")


def main() -> int:
    """Kill until enough kills have hit; report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=200, help="how often to kill (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default 0)")
    options = parser.parse_args()
    boltz.threads(1)
    rows = np.random.default_rng(1).random((70, 12)).astype(np.float32)
    with tempfile.TemporaryDirectory() as place:
        report = kill(rows, Path(place), options.kills, random.Random(options.seed))
    print(json.dumps(report))
    return 1 if report["unreadable"] or report["different"] else 0


def kill(rows: Any, place: Path, kills: int, chance: random.Random) -> dict[str, Any]:
    """The counts: kills, runs finished, runs that could not be read, runs that ended differently."""
    found: Counter[str] = Counter()
    wanted = [outcome(train(kind, rows, place / f"unbroken-{i}")) for i, kind in enumerate(KINDS)]
    began = time.perf_counter()
    for i, kind in enumerate(KINDS):
        train(kind, rows, place / f"timed-{i}")
    span, began = (time.perf_counter() - began) / len(KINDS), time.perf_counter()
    share = max(kills // len(KINDS), 1)  # so that every kind of run is killed, however fast the machine
    number = 0
    while found["kills"] < kills:
        kind = number % len(KINDS)
        most = min(share, kills - found["kills"])
        ended = until_complete(KINDS[kind], rows, place / f"run-{number}", (span, most), chance, found)
        found["runs"] += 1
        if ended is not None and not same(ended, wanted[kind]):
            found["different"] += 1
        number += 1
    names = ("kills", "runs", "before_the_folder", "skipped", "unreadable", "different")
    return {n: found[n] for n in names} | {"seconds": round(time.perf_counter() - began, 1)}


def until_complete(
    kind: Kind, rows: Any, folder: Path, limits: tuple[float, int], chance: random.Random, found: Counter[str]
) -> Any:
    """Start and kill one run until a child finishes it; its outcome, or None where it broke.

    limits: the longest time until a kill in seconds, and the number of kills after which the child is left alone.
    """
    first = found["kills"]
    while True:
        threads = 1 + chance.randrange(2)
        child = fork(partial(go_on, kind, rows, folder, threads))
        if found["kills"] < first + limits[1]:
            time.sleep(chance.uniform(0, limits[0]))
            os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFEXITED(status):
            try:
                if os.WEXITSTATUS(status) == 0:
                    return outcome(boltz.resume(folder))
            except boltz.BoltzError as problem:
                print(problem, file=sys.stderr)
            found["unreadable"] += 1
            return None
        found["kills"] += 1
        if not folder.exists():
            found["before_the_folder"] += 1
            continue
        try:
            run_folder.read_settings(folder)
            found["skipped"] += len(run_folder.load_checkpoint(folder)[2])
            metrics.read_metrics(folder)
        except boltz.BoltzError as problem:
            print(problem, file=sys.stderr)
            found["unreadable"] += 1
            return None


def fork(work: Any) -> int:
    """Run a function in a child process; its exit code is 0, or 1 with a traceback."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def go_on(kind: Kind, rows: Any, folder: Path, threads: int) -> None:
    """Start the run, or continue it where it stands."""
    boltz.threads(threads)
    if folder.exists():
        boltz.resume(folder, rows)
    else:
        train(kind, rows, folder)


def train(kind: Kind, rows: Any, folder: Path) -> boltz.Run:
    """One whole run that saves at every step."""
    make, settings = kind
    return boltz.train(make(rows), rows, out=folder, checkpoint_seconds=0.0, **COMMON, **settings)


def outcome(run: boltz.Run) -> tuple[Any, Any]:
    """Parameters, rates and snapshots, and the records without their clocks."""
    records = [{k: v for k, v in record.items() if k not in CLOCKS} for record in run.history]
    rates = {f"rate {n}": r for n, r in run.model.rates.items()}
    kept = {f"snapshot {i}": machine.arena for i, machine in enumerate(run.trajectory)}
    return {**run.model.params, **rates, **kept}, records


def same(one: tuple[Any, Any], other: tuple[Any, Any]) -> bool:
    """Whether two outcomes agree in every bit."""
    arrays = one[0].keys() == other[0].keys() and all(np.array_equal(x, other[0][n]) for n, x in one[0].items())
    return arrays and one[1] == other[1]


if __name__ == "__main__":
    sys.exit(main())
