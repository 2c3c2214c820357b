"""How often intervals of log Z hold the truth for random machines with layers of mixed kinds, RBMs and DBMs.

Machines are those of tests/checks/mixed_machines.py, whose exact log Z is a sum over states and quadrature. Estimators:
`ais`: boltz.ais of 100 chains over 100 temperatures from rates that the caller names; `reverse`: boltz.reverse_ais from
exact draws; `exchange`: boltz.exchange_log_z. One JSON line each: runs, the share that is trusted, and the share of the
trusted 95 % intervals that hold the truth.

    python scripts/calibrate_kinds.py --runs 1000
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("BOLTZ_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from checks.mixed_machines import machine

import boltz

MACHINES = 60


def _ais(model: Any, seed: int) -> Any:
    rows = boltz.exact_samples(model, 50, seed=seed)["v"]
    return boltz.ais(model, chains=100, betas=100, base=rows, seed=seed)


def _reverse(model: Any, seed: int) -> Any:
    return boltz.reverse_ais(model, boltz.exact_samples(model, 100, seed=seed), betas=100, seed=seed)


def _exchange(model: Any, seed: int) -> Any:
    return boltz.exchange_log_z(model, seed=seed)


ESTIMATORS: dict[str, Callable[[Any, int], Any]] = {"ais": _ais, "reverse": _reverse, "exchange": _exchange}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--only", choices=ESTIMATORS, help="one estimator")
    options = parser.parse_args()
    machines = [machine(number) for number in range(MACHINES)]
    truths = [oracle.log_z() for _, oracle in machines]
    for name, estimate in ESTIMATORS.items():
        if options.only not in (None, name):
            continue
        begun, trusted, held, skipped = time.time(), 0, 0, 0
        for run in range(options.runs):
            (model, _), truth = machines[run % MACHINES], truths[run % MACHINES]
            try:
                found = estimate(model, run)
            except boltz.InputError:
                skipped += 1
                continue
            trusted += found.trusted
            held += found.trusted and found.interval[0] <= truth <= found.interval[1]
        counts = {"runs": options.runs - skipped, "refused": skipped, "trusted": trusted / (options.runs - skipped)}
        print(
            json.dumps({"estimator": name, **counts, "covered": held / trusted, "seconds": time.time() - begun}),
            flush=True,
        )


if __name__ == "__main__":
    main()
