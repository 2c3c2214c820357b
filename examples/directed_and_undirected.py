"""Train a deep Boltzmann machine, a sigmoid belief net and a variational autoencoder on the same digits and measure all
three with the same estimator: importance-weighted bounds L_k that rise with k to log p(v).

Run: python examples/directed_and_undirected.py [--epochs 30] [--samples 500]     (about four minutes on two cores)
"""

from __future__ import annotations

import argparse

import numpy as np

import boltz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--samples", type=int, default=500, help="largest k of the bounds")
    parser.add_argument("--rows", type=int, default=500, help="test rows to measure")
    parser.add_argument("--limit", type=int, default=None, help="train on the first rows only")
    options = parser.parse_args()

    digits = boltz.load_data("mnist-mini", limit=options.limit)
    unseen = boltz.load_data("mnist-mini", split="test", limit=options.rows)
    numbers = np.arange(len(unseen.x), dtype=np.int64)
    rows = boltz.binarize(unseen.x, unseen.levels, "dynamic", boltz.Key.from_seed(0), 0, numbers)

    settings = {"epochs": options.epochs, "held_out": unseen, "patience": 0}  # test rows choose no parameters
    runs = {
        "DBM 200-200": boltz.train(
            boltz.dbm([784, 200, 200], digits.x),
            digits,
            pretrain_epochs=options.epochs,
            **settings,
        ),
        "SBN 200-200": boltz.train(
            boltz.sbn([784, 200, 200], x=digits.x), digits, objective="vimco", samples=10, **settings
        ),
        "VAE 200-200-[50]": boltz.train(
            boltz.vae([784, 200, 200], 50, digits.x), digits, objective="iwae", samples=5, **settings
        ),
    }
    sizes = sorted({1, min(10, options.samples), options.samples})
    print("nats a digit".ljust(18), *(f"L_{k}".rjust(10) for k in sizes), "  what the last one is")
    for name, run in runs.items():
        bounds = boltz.importance_bounds(run.model, rows, sizes)
        last = bounds[-1]
        said = {"lower": "lower bound", "none": "no bound: log Z was under-estimated"}.get(last.kind, last.kind)
        print(name.ljust(18), *(f"{bound.value:10.2f}" for bound in bounds), f"  {said}")
        print(" " * 18, "active units:", boltz.active_units(run.model, rows))


if __name__ == "__main__":
    main()
