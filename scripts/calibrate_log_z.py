"""Whether an estimate of log Z that calls itself trusted is right, on four hundred machines that may fool it.

The machines are those of tests/fooling.py, with known answers. One JSON line a run; a run that the file holds already
is not repeated. At the end a table: of each family and estimator the runs, the share that is trusted, the share of
trusted 95 % intervals that hold the truth, and the worst misses among trusted runs: |value - truth| in standard
errors, and the distance from the interval in half its width. The rates "with" are those a training would have kept.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("BOLTZ_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import calibration, fooling

import boltz
from boltz.estimators import two_sided as sandwich

Line = dict[str, Any]
Job = tuple[str, int, str, str, int, float]
WHAT = ("family", "number", "estimator", "rates", "seed")


def two_sided(model: boltz.BoltzmannMachine, seed: int, budget: float) -> boltz.Estimate:
    """boltz.log_z without its enumeration of small machines."""
    if hasattr(sandwich, "two_sided"):
        return sandwich.two_sided(model, error=0.25, budget=budget, seed=seed).estimate
    sandwich.QUICK_UNITS = -1
    return sandwich.from_both_sides(model, error=0.25, budget=budget, seed=seed).estimate


def estimate(model: boltz.BoltzmannMachine, how: str, seed: int, budget: float, betas: int = 1000) -> Line:
    """The number, error and trust of an estimate, and what speaks against it if the estimate says so, for a line."""
    began = time.monotonic()
    if how == "exchange":
        ladder = boltz.exchange_log_z(model, rounds=600, seed=seed)
        found, doubts = ladder.estimate, ladder.doubts
    else:
        found = two_sided(model, seed, budget) if how == "log_z" else boltz.ais(model, 200, betas, seed)
        doubts = getattr(found, "doubts", ())
    numbers = {"value": found.value, "error": found.standard_error, "interval": list(found.interval)}
    said = {"trusted": bool(found.trusted), "doubts": list(doubts)}
    return numbers | said | {"seconds": round(time.monotonic() - began, 2)}


@cache
def machine(family: str, number: int) -> fooling.Case:
    """A machine, made once in a process."""
    return fooling.families()[family](number)


def measured(job: Job) -> Line | None:
    """The line of one run; None where the machine's rates are not known."""
    family, number, how, rates, seed, budget = job
    case = machine(family, number)
    if rates == "with" and case.rates is None:
        return None
    line = dict(zip(WHAT, job, strict=False)) | {"name": f"{family} {number}: {case.name}", "truth": case.truth}
    return line | estimate(case.with_rates() if rates == "with" else case.machine, how, seed, budget)


def beyond(line: Line) -> float:
    """How far the truth lies outside the interval of a line, in half its width."""
    return calibration.beyond(line["interval"], line["truth"])


def miss(line: Line) -> float:
    """|value - truth| of a line in standard errors."""
    return calibration.miss(line["value"], line["error"], line["truth"])


def table(lines: list[Line], groups: Sequence[str] = ("family",)) -> str:
    """Markdown: a row of each group, estimator and kind of rates, then those of all groups together."""
    heads = [*groups, "estimator", "rates", "runs", "trusted", "of these hold the truth", "worst miss, errors"]
    rows = [[*heads, "worst, half-widths outside", "seconds a run"]]
    rows.append(["---"] * len(rows[0]))
    kinds = sorted({(line["estimator"], line["rates"]) for line in lines})
    names = sorted({tuple(line[g] for g in groups) for line in lines})
    for name, (how, rates) in product([*names, None], kinds):
        own = [x for x in lines if (x["estimator"], x["rates"]) == (how, rates)]
        own = [x for x in own if name is None or tuple(x[g] for g in groups) == name]
        if own:
            rows.append([*map(str, name or ["all"] * len(groups)), how, rates, *summary(own)])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def summary(lines: list[Line]) -> list[str]:
    """Runs, trusted ones, those of them that hold the truth, worst misses, time."""
    sure = [line for line in lines if line["trusted"]]
    holding = sum(beyond(line) == 0 for line in sure)
    parts = [str(len(lines)), f"{len(sure)} ({len(sure) / len(lines):.0%})"]
    parts += [f"{holding} ({holding / len(sure):.0%})"] if sure else ["-"]
    parts += [f"{max(map(f, sure)):.1f}" if sure else "-" for f in (miss, beyond)]
    return [*parts, f"{sum(line['seconds'] for line in lines) / len(lines):.1f}"]


def fooled(lines: list[Line], most: float = 5.0) -> list[str]:
    """Trusted runs that are off by more than so many errors and whose interval fails, the worst first."""
    wrong = sorted((x for x in lines if x["trusted"] and beyond(x) > 0 and miss(x) > most), key=miss, reverse=True)
    return [
        f"{x['estimator']} {x['rates']} rates, {x['name']}: {x['value']:.3f} "
        f"+- {x['error']:.3f}, truth {x['truth']:.3f}"
        for x in wrong
    ]


def read(path: Path) -> list[Line]:
    """The lines of a file, none if there is no file."""
    return [json.loads(text) for text in path.read_text().splitlines()] if path.exists() else []


def run(jobs: list[Any], measure: Callable[[Any], Line | None], processes: int, out: Path) -> Iterator[Line]:
    """The lines of all jobs as they come, each also written to the file."""
    with ProcessPoolExecutor(processes) as pool, out.open("a") as file:
        for line in pool.map(measure, jobs):
            if line is not None:
                file.write(json.dumps(line) + "\n")
                file.flush()
                yield line


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--families", default=",".join(fooling.families()))
    parser.add_argument("--machines", type=int, default=fooling.MACHINES, help="the first so many of each family")
    parser.add_argument("--estimators", default="ais,log_z,exchange")
    parser.add_argument("--rates", default="both", choices=["with", "without", "both"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of log_z")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("calibration.jsonl"))
    return parser.parse_args()


def main() -> None:
    o = options()
    rates = ["without", "with"] if o.rates == "both" else [o.rates]
    wanted = product(o.families.split(","), range(o.machines), o.estimators.split(","), rates, [o.seed])
    done = {tuple(line[key] for key in WHAT) for line in read(o.out)}
    jobs = [(*job, o.budget) for job in wanted if job not in done]
    for line in run(jobs, measured, o.processes, o.out):
        print(json.dumps(line), flush=True)
    lines = read(o.out)
    print(table(lines), *fooled(lines), sep="\n")


if __name__ == "__main__":
    main()
