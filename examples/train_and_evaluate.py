"""Train a restricted Boltzmann machine on the digits that ship with boltz and measure it, through the Python API.

Run: python examples/train_and_evaluate.py [--epochs 20] [--hidden 200]     (about half a minute on two cores)
"""

from __future__ import annotations

import argparse

import numpy as np

import boltz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--hidden", type=int, default=200)
    parser.add_argument("--limit", type=int, default=None, help="use only the first rows")
    options = parser.parse_args()

    digits = boltz.load_data("mnist-mini", limit=options.limit)
    unseen = boltz.load_data("mnist-mini", split="test", limit=options.limit)

    model = boltz.rbm(784, options.hidden, x=digits.x)
    # patience=0: test rows show how the run goes, but choose no parameters
    run = boltz.train(model, digits, epochs=options.epochs, held_out=unseen, patience=0, watch=show)

    # grey levels become one fixed sample of black and white, recorded with any published figure
    rows = (unseen.x > 127).astype(np.float32)
    log_z = boltz.ais(run.model, chains=100, betas=2000)
    result = boltz.log_likelihood(run.model, rows, log_z)
    low, high = log_z.interval
    print(f"log Z {log_z.value:.2f}, 95 % interval {low:.2f} to {high:.2f}, {log_z.ess:.0f} effective chains of 100")
    print(f"test log-likelihood {result.value:.2f} nats a digit ({result.kind} bound), trusted: {result.trusted}")

    start = {"v": rows[:5]}
    fantasies = boltz.sample(run.model, chains=5, sweeps=500, start=start)
    print("pixels on in the data and after 500 sweeps:", rows[:5].sum(axis=1), fantasies["v"].sum(axis=1))


def show(record: dict) -> None:
    """One line an epoch."""
    if record["epoch"] % 5 == 0:
        print(f"epoch {record['epoch']:3d}  pseudo-likelihood {record['pseudo_likelihood']:8.2f}")


if __name__ == "__main__":
    main()
