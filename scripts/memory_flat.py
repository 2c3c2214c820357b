"""Small trainings in one process for some minutes: does its memory stay flat?

Prints the resident memory after a warm-up of one minute, after each further minute, and at the end, with its growth in
percent. Each round makes machines of all kinds, trains them with settings of their own (one into a run folder, which
is loaded again), and measures and samples them. Exit code 1 where memory grew by more than --most percent.

    python scripts/memory_flat.py --minutes 60
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import boltz

ROWS = (np.random.default_rng(0).random((60, 16)) < 0.3).astype(np.float32)
LABELS = np.arange(60) % 3
WARM = 60.0  # seconds


def resident() -> float:
    """Resident memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def trainings(number: int, folder: Path) -> int:
    """Train a few machines with settings that no round before had; returns how many."""
    rate = 0.01 + 1e-7 * number
    rbm = boltz.train(boltz.rbm(16, 8, x=ROWS), ROWS, epochs=1, batch_size=20, learning_rate=rate, l2=1e-4, seed=number)
    boltz.log_likelihood(rbm.model, ROWS[:10], boltz.exact_log_z(rbm.model))
    boltz.sample(rbm.model, 10, 5, seed=number)
    boltz.train(boltz.dbm([16, 6, 4], x=ROWS), ROWS, epochs=1, learning_rate=rate, center=True, pretrain_epochs=1)
    vae = boltz.train(boltz.vae([16, 8], latent=3, x=ROWS), ROWS, epochs=1, learning_rate=rate, l2=1e-4, seed=number)
    boltz.importance_bounds(vae.model, ROWS[:10], samples=(1, 5))
    boltz.train(boltz.sbn([16, 6], x=ROWS), ROWS, epochs=1, learning_rate=rate)
    boltz.train(boltz.dbn([16, 6, 4], x=ROWS), ROWS, epochs=1, pretrain_epochs=1, learning_rate=rate)
    boltz.fine_tune(rbm.model, ROWS, LABELS, epochs=1, learning_rate=rate)
    run = boltz.train(boltz.rbm(16, 8), ROWS, folder / "run", force=True, epochs=1, learning_rate=rate)
    assert run.path is not None
    boltz.load(run.path)
    return 7


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="how long, after the warm-up (default 60)")
    parser.add_argument("--most", type=float, default=1.0, help="growth in percent that is still flat (default 1)")
    asked = parser.parse_args()
    begun, done, shown, first = time.monotonic(), 0, 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        while True:
            done += trainings(done, Path(name))
            seconds = time.monotonic() - begun - WARM
            if seconds < 0:
                continue
            if seconds >= 60 * shown:
                gc.collect()
                now = resident()
                first = first or now
                print(
                    f"{shown:4d} min  {done:7,d} trainings  {now:8.2f} MB  {100 * (now / first - 1):+6.2f} %",
                    flush=True,
                )
                shown += 1
            if seconds >= 60 * asked.minutes:
                break
    gc.collect()
    growth = 100 * (resident() / first - 1)
    word = "flat" if growth <= asked.most else "NOT flat"
    print(f"end       {done:7,d} trainings  {resident():8.2f} MB  {growth:+6.2f} %: {word}")
    return int(growth > asked.most)


if __name__ == "__main__":
    sys.exit(main())
