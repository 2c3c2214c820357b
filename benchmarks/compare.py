"""Time boltz, scikit-learn's BernoulliRBM and a tuned PyTorch loop on the same work, taking turns in one process."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Mapping

from check import check
from contenders import Contender, Lesson, Problem, Work, available
from problems import TABLE, Row, Source
from report import Line, header, machine, table

import boltz

DATA = ("mnist-mini", "mnist")
PAUSE = 0.03  # longer than the idle threads of any pool spin
# GNU OpenMP's idle threads spin for milliseconds unless told otherwise, Intel's for 200. So short a spin costs PyTorch
# nothing and leaves the cores to the next contender. The libraries read these when they load.
QUIET = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}


def say(text: str) -> None:
    """Progress goes to stderr, so that stdout holds the result alone."""
    print(text, file=sys.stderr, flush=True)


def _numbers(text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"must be whole numbers above 0 with commas between, got {text!r}")
    return [int(part) for part in parts]


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in TABLE:
            raise argparse.ArgumentTypeError(f"must be among {', '.join(TABLE)}, got {name!r}")
    return names


def arguments(given: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=_numbers, default="1,2", help="numbers of threads, commas between")
    parser.add_argument("--repeats", type=_numbers, default="15", help="rounds; each contender has one turn a round")
    parser.add_argument("--only", type=_names, default=",".join(TABLE), help="lines of the table, commas between")
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="digits, cut at half grey")
    parser.add_argument("--weights", metavar="FILE", help="a trained RBM instead of the one trained here and kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(given)


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


def _ratio(times: list[float], ours: list[float]) -> dict[str, float]:
    """How many times as long as boltz, from the two turns of each round."""
    ratios = [theirs / mine for theirs, mine in zip(times, ours, strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def measure(
    row: Row, problem: Problem | Lesson, contenders: list[Contender], threads: int, options: argparse.Namespace
) -> Line:
    """One line of the table, for those contenders that offer the work."""
    works = {}
    for contender in contenders:
        contender.use_threads(threads)
        if row.kind in contender.makers:
            works[contender.name] = contender.makers[row.kind](problem, threads)
    times = race(works, options.repeats[0], 0.001 if options.smoke else 0.25, row.least)
    say(f"{row.title}, threads {threads}: done")
    return {
        "row": row.name,
        "title": row.title,
        "unit": row.unit,
        "threads": threads,
        "activity": problem.activity,
        "contenders": {
            name: {"median": row.shown(statistics.median(t)), "ratio": _ratio(t, times["boltz"]), "seconds": t}
            for name, t in times.items()
        },
    }


def verify(contenders: list[Contender], names: list[str]) -> bool:
    """Say what every contender's loop gives on a small machine; True if all pass."""
    for contender in contenders:
        contender.use_threads(1)
    findings = check(contenders, sorted({TABLE[name].kind for name in names}))
    for found in findings:
        say(f"check {found.kind:6s}{found.contender:15s}{found.text}{'' if found.passed else ': WRONG'}")
    return all(found.passed for found in findings)


def run(options: argparse.Namespace) -> int:
    """Check the contenders, time them, print; 1 if a contender's loop is wrong."""
    contenders = available(say)
    if not verify(contenders, options.only):
        return 1
    source = Source(options.data, options.weights, options.smoke, say)
    rows, lines = source.rows(), []
    for name in options.only:
        boltz.threads(max(options.threads))
        problem = source.problem(TABLE[name], rows)
        lines += [measure(TABLE[name], problem, contenders, n, options) for n in options.threads]
    found, versions = machine(), {c.name: c.version for c in contenders}
    if options.json:
        print(json.dumps({"machine": found, "versions": versions, "data": options.data, "rows": lines}))
    else:
        print(header(found, versions) + "\n" + table(lines, list(versions)))
    return 0


def main(given: list[str] | None = None) -> int:
    """Run the command; 2 on bad input, as the command line of boltz does."""
    options = arguments(given)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return run(options)
    except boltz.InputError as problem:
        say(str(problem))
        return 2


if __name__ == "__main__":
    sys.exit(main())
