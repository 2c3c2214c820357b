"""Time boltz and its peers on the same work, in turns, beside what the machine allows."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import limits
from check import verify
from contenders import Contender, Lesson, Problem, available
from problems import BETAS, DATA, TABLE, Row, Source
from report import Line, against, machine, page
from turns import PAUSE, command, count, numbers, race, ratios, say, writable, write

import boltz

LONGER = 5  # times the temperatures of the shorter of two annealings


def _names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in TABLE:
            raise argparse.ArgumentTypeError(f"must be among {', '.join(TABLE)}, got {name!r}")
    return names


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--threads", type=numbers, default="1,2", help="numbers of threads, commas between")
    parser.add_argument("--repeats", type=count, default=15, help="rounds; each contender has one turn a round")
    parser.add_argument("--only", type=_names, default=",".join(TABLE), help="lines of the table, commas between")
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="digits, cut at half grey")
    parser.add_argument("--weights", metavar="FILE", help="a trained RBM instead of the one trained here and kept")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the table")
    parser.add_argument("--out", metavar="FOLDER", help="also write table.md and results.json there, after every line")
    parser.add_argument("--against", metavar="FILE", help="results.json of an earlier run, to show the change")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def timed(
    row: Row, problem: Problem | Lesson, contenders: list[Contender], threads: int, options: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds a unit of work by contender and round, those that offer it, and of the dense products alone."""
    works = {}
    for contender in contenders:
        contender.use_threads(threads)
        if row.kind in contender.makers:
            works[contender.name] = contender.makers[row.kind](problem, threads)
    shapes = limits.needed(row.kind, problem)
    works |= {f"{name} products": limits.work(library, shapes) for name, library in limits.libraries().items()}
    return race(works, options.repeats, 0.001 if options.smoke else 0.25, row.least)


def extended(short: dict[str, list[float]], long: dict[str, list[float]], betas: int) -> dict[str, list[float]]:
    """Seconds of BETAS temperatures from those of so many and of LONGER times as many, by their difference."""
    steps = (BETAS - betas) / (LONGER * betas - betas)
    return {
        name: [max(a + steps * (b - a), b) for a, b in zip(times, long[name], strict=True)]
        for name, times in short.items()
    }


def earlier(options: argparse.Namespace) -> dict[str, Any] | None:
    """The results of an earlier run; InputError where the file holds none."""
    if options.against is None:
        return None
    try:
        found = json.loads(Path(options.against).read_text(encoding="utf-8"))
        against(found["rows"], found["rows"])
        return {"file": options.against, "cpu": found["machine"]["cpu"], "rows": found["rows"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise boltz.InputError(
            f"--against must name a results.json of this command, got {options.against!r} ({problem})."
        ) from problem


def measure(
    row: Row, problem: Problem | Lesson, contenders: list[Contender], threads: int, options: argparse.Namespace
) -> Line:
    """One line of the table, for those contenders that offer the work, and for the dense products alone."""
    shapes = limits.needed(row.kind, problem)
    names = {name: f"{name} products" for name in limits.libraries()}
    times = timed(row, problem, contenders, threads, options)
    if row.kind == "ais":
        assert isinstance(problem, Problem)
        longer = replace(problem, betas=LONGER * problem.betas)
        times = extended(times, timed(row, longer, contenders, threads, options), problem.betas)
        shapes = Counter({shape: n * BETAS // problem.betas for shape, n in shapes.items()})
    say(f"{row.title}, threads {threads}: done")
    alone = {name: times.pop(names[name]) for name in names}
    fastest = min(alone, key=lambda name: statistics.median(alone[name]))
    flop, limit = limits.flop(shapes), statistics.median(alone[fastest])
    return {
        "row": row.name,
        "title": row.title,
        "unit": row.unit,
        "threads": threads,
        "activity": problem.activity,
        "limit": {
            "median": row.shown(limit),
            "flop": flop,
            "gflops": {name: 1e-9 * flop / statistics.median(t) for name, t in alone.items()},
            "library": fastest,
            "seconds": alone,
        },
        "contenders": {
            name: {
                "median": row.shown(statistics.median(t)),
                "ratio": ratios(t, times["boltz"]),
                "fraction": ratios(alone[fastest], t),
                "seconds": t,
            }
            for name, t in times.items()
        },
    }


def run(options: argparse.Namespace) -> int:
    """Check the contenders, time them, print; 1 if a contender's loop is wrong."""
    before, folder, contenders = earlier(options), writable(options.out), available(say)
    source = Source(options.data, options.weights, options.smoke, say)
    rows = source.rows()
    if options.weights is not None:
        source.machine("rbm", rows)  # a file that does not serve is refused before minutes of work
    if not verify(contenders, {TABLE[name].kind for name in options.only}, say):
        return 1
    results: dict[str, Any] = {"machine": machine(), "versions": {c.name: c.version for c in contenders}}
    results |= {"data": options.data, "limits": [], "rows": []}
    for threads in options.threads:
        for contender in contenders:
            contender.use_threads(threads)
        results["limits"].append(limits.measure(threads, options.smoke, PAUSE))
    for name in options.only:
        boltz.threads(max(options.threads))
        problem = source.problem(TABLE[name], rows)
        for threads in options.threads:
            results["rows"].append(measure(TABLE[name], problem, contenders, threads, options))
            if before is not None:
                results["against"] = before | {"lines": against(results["rows"], before["rows"])}
                del results["against"]["rows"]
            if folder is not None:
                write(folder, results, page(results))
    print(json.dumps(results) if options.json else page(results))
    return 0


if __name__ == "__main__":
    sys.exit(command(run, arguments))
