"""How rates grow with hidden units, batch, chains, depth and threads: boltz, PyTorch and JAX, in turns.

Machines are not trained: weights of N(0, 0.01²), visible biases of the base rates of the digits, hidden biases that
leave three units in ten on, as many as in the trained RBM of compare.py.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from check import verify
from contenders import Array, Contender, Problem, available
from problems import DATA, Source
from report import grid, header, machine, number
from turns import command, count, race, ratios, say, writable, write

PEERS = ("boltz", "PyTorch", "PyTorch oneDNN", "JAX")
ACTIVITY, SD = 0.3, 0.01
UNITS, BATCH, CHAINS = 500, 100, 1000
SWEEPS = 5  # a turn at least: boltz.sample checks and copies its states at every call
GIBBS = "Gibbs updates of a unit/s"


@dataclass(frozen=True)
class Study:
    """A quantity that grows while others stand still: make turns its value into a kind of work and a problem.

    A unit of the work on a problem counts for amount(problem) in the rate, whose name is unit.
    """

    name: str
    title: str
    unit: str
    values: tuple[int, ...]  # with --quick the first two
    make: Callable[[int, Array], tuple[str, Problem]]
    amount: Callable[[Problem], float]
    least: int = 1  # units of work a turn


def problem(rows: Array, hidden: list[int], batch: int = BATCH, chains: int = BATCH) -> Problem:
    """A machine with these hidden layers and its chains, at the activity of trained ones."""
    generator, rates = np.random.default_rng(0), {"v": np.clip(rows.mean(axis=0, dtype=np.float64), 0.001, 0.999)}
    rates |= {f"h{i}": np.full(n, ACTIVITY) for i, n in enumerate(hidden, 1)}
    units = [rows.shape[1], *hidden]
    weights = tuple((SD * generator.standard_normal(shape, np.float32)) for shape in pairwise(units))
    biases = tuple(np.log(r / (1 - r)).astype(np.float32) for r in rates.values())
    start = {"v": rows[np.arange(chains) % len(rows)]}
    for i, n in enumerate(hidden, 1):
        start[f"h{i}"] = (generator.random((chains, n), np.float32) < ACTIVITY).astype(np.float32)
    return Problem(weights, biases, rows, start, rates, batch=batch)


def _rows(given: Problem) -> float:
    return given.batch


def _updates(given: Problem) -> float:
    return given.chains * sum(len(b) for b in given.biases)


def _deep(depth: int, rows: Array) -> tuple[str, Problem]:
    return "pcd" if depth == 1 else "dbm" if depth == 2 else "deep", problem(rows, [UNITS] * depth)


def studies(cores: int) -> list[Study]:
    """All of them; the last is measured for each number of threads, the others on one."""
    threads = tuple(sorted({*(2**i for i in range(cores.bit_length())), cores}))
    pcd = "rows/s"
    return [
        Study(
            "hidden",
            f"PCD-1, 784 visible and so many hidden units, batch {BATCH}",
            pcd,
            (100, 250, 500, 1000, 2000, 4000, 8000),
            lambda n, rows: ("pcd", problem(rows, [n])),
            _rows,
        ),
        Study(
            "batch",
            f"PCD-1, 784-{UNITS}, so many rows and chains a step",
            pcd,
            (10, 25, 50, 100, 250, 500, 1000),
            lambda n, rows: ("pcd", problem(rows, [UNITS], n, n)),
            _rows,
        ),
        Study(
            "chains",
            f"block Gibbs, 784-{UNITS}, so many chains",
            GIBBS,
            (100, 1000, 10_000, 100_000),
            lambda n, rows: ("gibbs", problem(rows, [UNITS], chains=n)),
            _updates,
            SWEEPS,
        ),
        Study(
            "depth",
            f"784 visible units and so many hidden layers of {UNITS}; from two on, 10 mean-field sweeps",
            pcd,
            (1, 2, 3, 4),
            _deep,
            _rows,
        ),
        Study(
            "threads",
            f"PCD-1, 784-{UNITS}, batch {BATCH}, on so many threads",
            pcd,
            threads,
            lambda n, rows: ("pcd", problem(rows, [UNITS])),
            _rows,
        ),
        Study(
            "threads-gibbs",
            f"block Gibbs, 784-{UNITS}, {CHAINS:,} chains, on so many threads",
            GIBBS,
            threads,
            lambda n, rows: ("gibbs", problem(rows, [UNITS], chains=CHAINS)),
            _updates,
            SWEEPS,
        ),
    ]


def measure(study: Study, value: int, rows: Array, contenders: list[Contender], options: argparse.Namespace) -> Any:
    """Rates of the contenders at one value: median of the rounds, and the ratio of times to boltz."""
    kind, given = study.make(value, rows)
    threads, works = value if study.name.startswith("threads") else 1, {}
    for contender in contenders:
        contender.use_threads(threads)
        works[contender.name] = contender.makers[kind](given, threads)
    times = race(works, options.repeats, 0.001 if options.smoke else 0.1 if options.quick else 0.25, study.least)
    say(f"{study.title}: {value:,}, done")
    return {
        "study": study.name,
        "value": value,
        "threads": threads,
        "rates": {name: study.amount(given) / statistics.median(t) for name, t in times.items()},
        "ratios": {name: ratios(t, times["boltz"]) for name, t in times.items()},
        "seconds": times,
    }


def page(results: dict[str, Any], found: list[Study]) -> str:
    """A markdown table for each study."""
    text = [header(results["machine"], results["versions"]), ""]
    for study in found:
        lines = [line for line in results["lines"] if line["study"] == study.name]
        if lines:
            names = list(lines[0]["rates"])
            head = [study.name, *(f"{name}, {study.unit}" for name in names)]
            text += [f"{study.title}:", "", grid(head, [_cells(line, names) for line in lines]), ""]
    return "\n".join(
        (*text, "In bold: time of the peer over that of boltz, median of the rounds; above 1 boltz is faster.")
    )


def _cells(line: dict[str, Any], names: list[str]) -> list[str]:
    cells = [number(line["rates"][name]) for name in names]
    bold = [f"; **{line['ratios'][name]['median']:.2f}**" if name != "boltz" else "" for name in names]
    return [f"{line['value']:,}", *(cell + more for cell, more in zip(cells, bold, strict=True))]


def picture(results: dict[str, Any], found: list[Study], path: Path) -> None:
    """A panel for each study, both axes logarithmic, a line for each contender."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    for study, axes in zip(found, figure.subplots(2, 3).flat, strict=True):
        lines = [line for line in results["lines"] if line["study"] == study.name]
        for name in results["versions"]:
            axes.plot([x["value"] for x in lines], [x["rates"][name] for x in lines], "o-", label=name)
        axes.set(xscale="log", yscale="log", title=study.name, ylabel=study.unit)
        values = [x["value"] for x in lines]
        axes.set_xticks(values, [f"{value:,}" for value in values], rotation=30)
        axes.set_xticks([], minor=True)
        axes.grid(True, which="both", alpha=0.2)
    figure.axes[0].legend()
    figure.savefig(path, dpi=120)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", metavar="FOLDER", required=True, help="for results.json, table.md and scaling.png")
    parser.add_argument("--repeats", type=count, default=5, help="rounds; each contender has one turn a round")
    parser.add_argument("--data", choices=DATA, default=DATA[0], help="digits, cut at half grey")
    parser.add_argument("--quick", action="store_true", help="two values a study and short turns")
    parser.add_argument("--smoke", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """Check the contenders, measure, and write after each line; 1 if a contender's loop is wrong."""
    folder, rows = writable(options.out), Source(options.data, small=options.smoke).rows()
    contenders = [x for x in available(say) if x.name in PEERS]
    found = studies(os.cpu_count() or 1)
    if not verify(contenders, {"pcd", "gibbs", "dbm", "deep"}, say):
        return 1
    results: dict[str, Any] = {"machine": machine(), "versions": {c.name: c.version for c in contenders}, "lines": []}
    for study in found:
        for value in study.values[: 2 if options.quick else None]:
            results["lines"].append(measure(study, value, rows, contenders, options))
            write(folder, results, page(results, found))
    picture(results, found, folder / "scaling.png")
    print(page(results, found))
    return 0


if __name__ == "__main__":
    sys.exit(command(run, arguments))
