"""Whether paired comparisons are right: intervals, decisions and rankings of machines with a known difference.

An enumerable machine draws 50, 200 or 1,000 rows; two machines near it, an RBM each or a DBM each, are compared on
them. The true difference is that of their mean log-likelihoods over all rows that may be drawn, by enumeration. Kinds,
by what errs beside the choice of rows:
`exact`: nothing; `strong`: nothing, weights of standard deviation 2 to 3; `log z`: log Z by 100 values; `few chains`:
log Z by 5 values; `samples`: that and the value of each row; `ais`: boltz.ais of 100 chains over 30 temperatures;
`importance`: boltz.log_likelihood by 200 samples a row, log Z exact, DBMs only.
One JSON line a kind: the share of 95 % intervals that hold the truth, the share that is decided, the decisions that
are wrong, the Brier score of the probabilities of being best beside the one expected if they are right, and for bins of
told probabilities their mean, the share of wins, and their number.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("BOLTZ_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import numpy as np
from checks.quick_paired import Case, calibration, case, covered, family, numbers_of_rows
from oracles.enumeration import bits
from support.machines import machine_of

import boltz
from boltz.evaluation.paired import Entry, pairs

KINDS = ("exact", "strong", "log z", "few chains", "samples", "ais", "importance")
APART = 10**6  # seeds of one kind from those of the next
BINS = (0.0, 0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)


def measured(kind: str, number: int) -> Case:
    """A case whose machines boltz itself measures: with log Z by annealing, or rows by importance samples."""
    group = family(2 * number + (kind == "importance"), 2)
    drawn = numbers_of_rows(group, np.random.default_rng(number))
    x, entries = bits(group.source.layers["v"])[drawn], []
    for i, table in enumerate(group.near):
        model, seed = machine_of(table), 2 * number + i
        log_z = boltz.ais(model, 100, 30, seed) if kind == "ais" else boltz.exact_log_z(model)
        samples = 200 if kind == "importance" else 0
        entries.append(Entry(f"machine {i}", boltz.log_likelihood(model, x, log_z, samples, seed)))
    return Case(tuple(entries), group.truth)


def made(kind: str, number: int) -> Case:
    """A case of a kind."""
    if kind in ("ais", "importance"):
        return measured(kind, number)
    return case("exact" if kind == "strong" else kind, family(number, 2, kind == "strong"), number)


def summary(kind: str, cases: list[Case]) -> dict[str, Any]:
    """How intervals, decisions and probabilities of pairs fare."""
    found = [pairs(each.entries)[0] for each in cases]
    truth = [float(each.truth[0] - each.truth[1]) for each in cases]
    hits = [covered(pair, wanted) for pair, wanted in zip(found, truth, strict=True)]
    decided = ["better" in pair.verdict for pair in found]
    wrong = [sure and pair.difference * d < 0 for sure, pair, d in zip(decided, found, truth, strict=True)]
    line = {"kind": kind, "pairs": len(cases), "covered": round(float(np.mean(hits)), 4)}
    line |= {"decided": round(float(np.mean(decided)), 3), "wrong": int(np.sum(wrong))}
    line |= {"trusted": round(float(np.mean([pair.trusted for pair in found])), 3)}
    believed = [each for each, pair in zip(cases, found, strict=True) if pair.trusted]
    told, won = calibration(believed)
    line |= {"brier": round(float(np.mean((told - won) ** 2)), 4), "expected": round(float(np.mean(told - told**2)), 4)}
    place, rows = np.digitize(told, BINS[1:-1]), []
    for i in range(len(BINS) - 1):
        some = place == i
        if some.any():
            rows.append([round(float(told[some].mean()), 3), round(float(won[some].mean()), 3), int(some.sum())])
    return line | {"bins": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; all unless named")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    for kind in asked.kinds or KINDS:
        began = time.monotonic()
        first = asked.first + APART * KINDS.index(kind)
        cases = [made(kind, number) for number in range(first, first + asked.count)]
        line = summary(kind, cases)
        print(json.dumps(line | {"seconds": round(time.monotonic() - began, 1)}), flush=True)


if __name__ == "__main__":
    main()
