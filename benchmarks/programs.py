"""Training step by step and by programs of many steps, in turns: rows a second, and whether the bits are equal."""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import Any

import numpy as np

import boltz
from boltz.training import loop

STEPS = 1 << 60  # more updates than a program is made for


def trained(rows: Any, options: argparse.Namespace, settings: dict[str, Any], worth: int) -> tuple[float, Any]:
    """The median rate of the epochs of a run, and its parameters; a program is made for so many updates or more."""
    kept, loop.WORTH = loop.WORTH, worth
    try:
        machine = boltz.rbm(rows.shape[1], options.hidden, x=rows, seed=1)
        run = boltz.train(machine, rows, epochs=options.epochs, patience=0, snapshots=0, rule="pcd", **settings)
    finally:
        loop.WORTH = kept
    return statistics.median(record["rows_per_second"] for record in run.history), run.model.arena


def main(given: list[str] | None = None) -> int:
    """Run the command; 1 where bits differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--units", type=int, default=784)
    parser.add_argument("--batches", type=int, default=100, help="of an epoch")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2", help="numbers of threads, commas between")
    options = parser.parse_args(given)
    rng, equal = np.random.default_rng(0), True
    print(f"{'threads':>7}{'batch':>7}{'centred':>9}{'steps, rows/s':>15}{'programs':>10}{'ratio (least-most)':>22}")
    for threads in map(int, options.threads.split(",")):
        boltz.threads(threads)
        for size, center in ((100, False), (100, True), (10, False), (10, True)):
            rows = (rng.random((size * options.batches, options.units)) * 255).astype(np.uint8)
            settings = {"batch_size": size, "chains": size, "center": center}
            pairs = []
            for _ in range(options.rounds):
                (slow, one), (quick, other) = (trained(rows, options, settings, n) for n in (STEPS, loop.WORTH))
                pairs.append((slow, quick))
                equal &= np.array_equal(one, other)
            ratios = [quick / slow for slow, quick in pairs]
            slow, quick = (statistics.median(x) for x in zip(*pairs, strict=True))
            told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            print(f"{threads:>7}{size:>7}{center!s:>9}{slow:>15,.0f}{quick:>10,.0f}{told:>22}", flush=True)
    print("equal bits" if equal else "bits differ")
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
