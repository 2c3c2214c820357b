"""What a busy neighbour costs: rates of boltz alone, and beside a process that keeps one core at work."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from contenders import Work, boltz_side
from problems import DATA, TABLE, Source
from report import grid, number
from turns import command, count, numbers, race, say

import boltz

LINES = ("pcd", "cd25", "gibbs1000", "vae")


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that computes all the time."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
        try:
            yield
        finally:
            busy.kill()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=numbers, default="1,2", help="numbers of threads, commas between")
    parser.add_argument("--repeats", type=count, default=5, help="turns alone, and as many beside the neighbour")
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="digits, cut at half grey")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def measure(work: Work, least: int, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a unit of work, medians: alone and beside the neighbour, in turns."""
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(options.repeats):
        for found, place in ((alone, nullcontext), (beside, neighbour)):
            with place():
                found += race({"boltz": work}, 1, 0.001 if options.smoke else 0.5, least)["boltz"]
    return statistics.median(alone), statistics.median(beside)


def run(options: argparse.Namespace) -> int:
    """Measure line by line and print the table."""
    source = Source(options.data, small=options.smoke, say=say)
    rows, lines = source.rows(), []
    (contender,) = boltz_side.contenders()
    for name in LINES:
        row = TABLE[name]
        boltz.threads(max(options.threads))
        problem = source.problem(row, rows)
        for threads in options.threads:
            contender.use_threads(threads)
            alone, beside = measure(contender.makers[row.kind](problem, threads), row.least, options)
            rates = [f"{number(row.amount / seconds)} {row.unit}" for seconds in (alone, beside)]
            lines.append([row.title, str(threads), *rates, f"{alone / beside:.2f}"])
            say(f"{row.title}, threads {threads}: done")
    print(grid(["line", "threads", "alone", "beside a neighbour", "share"], lines))
    return 0


if __name__ == "__main__":
    sys.exit(command(run, arguments))
