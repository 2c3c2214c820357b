"""Estimates of log Z of the Ising model on a torus beside its exact value (Kaufman 1949).

Even sites are visible, odd ones hidden. As in calibrate_log_z.py, one JSON line a run, then a table, here
over couplings and sides. The rates "with" are 1/2 for every unit, the means of all machines without a field.
"""

from __future__ import annotations

import argparse
import json
from itertools import product
from pathlib import Path

import calibrate_log_z as calibrate
from support import fooling

import boltz

WHAT = ("coupling", "side", "estimator", "rates", "seed")
Job = tuple[float, int, str, str, int, int, float]


def measured(job: Job) -> calibrate.Line:
    """The line of one run."""
    coupling, side, how, rates, seed, betas, budget = job
    machine, truth = fooling.checkerboard(side, side, coupling)
    if rates == "with":
        machine = boltz.BoltzmannMachine(machine.graph, machine.arena, fooling.halves(machine))
    line = dict(zip(WHAT, job, strict=False)) | {"name": f"{side}x{side}, K {coupling}", "truth": truth}
    return line | calibrate.estimate(machine, how, seed, budget, betas)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", default="6,8,10,12,14,16")
    parser.add_argument("--couplings", default="0.3,0.4,0.44,0.5,0.6,0.7")
    parser.add_argument("--estimators", default="ais")
    parser.add_argument("--rates", default="without", choices=["with", "without", "both"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--betas", type=int, default=2000, help="temperatures of ais")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of log_z")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("ising.jsonl"))
    return parser.parse_args()


def main() -> None:
    o = options()
    rates = ["without", "with"] if o.rates == "both" else [o.rates]
    sides, couplings = map(int, o.sides.split(",")), map(float, o.couplings.split(","))
    done = {tuple(line[key] for key in WHAT) for line in calibrate.read(o.out)}
    wanted = product(couplings, sides, o.estimators.split(","), rates, [o.seed])
    jobs = [(*job, o.betas, o.budget) for job in wanted if job not in done]
    for line in calibrate.run(jobs, measured, o.processes, o.out):
        print(json.dumps(line), flush=True)
    lines = calibrate.read(o.out)
    print(calibrate.table(lines, ("coupling", "side")), *calibrate.fooled(lines), sep="\n")


if __name__ == "__main__":
    main()
