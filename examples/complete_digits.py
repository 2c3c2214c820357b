"""Complete half-hidden digits with a deep Boltzmann machine: what it expects in the hidden half, and three draws.

Run: python examples/complete_digits.py [--hide bottom] [--data mnist] [--out complete_digits.png]
     (half a minute on two cores)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib
import numpy as np

import boltz

matplotlib.use("Agg")
from matplotlib import pyplot as plt

HALVES = {"bottom": np.s_[14:, :], "top": np.s_[:14, :], "left": np.s_[:, :14], "right": np.s_[:, 14:]}
GREY = 0.5  # of what is hidden


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist-mini", help="mnist-mini or mnist")
    parser.add_argument("--hide", choices=HALVES, default="bottom")
    parser.add_argument("--epochs", type=int, default=15, help="passes of each stage of the training")
    parser.add_argument("--units", type=int, default=300, help="in each hidden layer")
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--limit", type=int, default=None, help="use the first rows only")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    options = parser.parse_args()

    digits = boltz.load_data(options.data, limit=options.limit)
    unseen = boltz.load_data(options.data, split="test", limit=options.limit)
    model = boltz.train(
        boltz.dbm([784, options.units, options.units], digits.x),
        digits,
        pretrain_epochs=options.epochs,
        epochs=options.epochs,
    ).model

    first = [int(np.flatnonzero(unseen.labels == label)[0]) for label in np.unique(unseen.labels)]
    x = (unseen.x[first] > 127).astype(np.float32)
    known = np.ones((28, 28), bool)
    known[HALVES[options.hide]] = False
    known = known.reshape(-1)
    mean = boltz.complete(model, x, known, sweeps=options.sweeps)
    draws = [boltz.complete(model, x, known, "sample", options.sweeps, seed) for seed in range(3)]
    print(f"hidden pixels wrong, the mean rounded: {wrong(mean, x, known):.1%}")
    print(f"hidden pixels wrong, all of them black: {wrong(0 * x, x, known):.1%}")

    rows = {"digit": x, "seen": np.where(known, x, GREY), "mean": mean}
    rows |= {f"draw {number}": drawn for number, drawn in enumerate(draws, 1)}
    figure, axes = plt.subplots(len(rows), 1, figsize=(0.55 * len(x) + 0.8, 0.6 * len(rows)), layout="constrained")
    for panel, (name, values) in zip(axes, rows.items(), strict=True):
        panel.imshow(np.hstack(values.reshape(-1, 28, 28)), cmap="gray", vmin=0, vmax=1)
        panel.set(xticks=[], yticks=[])
        panel.set_ylabel(name, rotation=0, ha="right", va="center", fontsize="small")
    figure.savefig(options.out, dpi=150, bbox_inches="tight")
    print(f"picture: {options.out}")


def wrong(filled: np.ndarray, x: np.ndarray, known: np.ndarray) -> float:
    return float(np.mean((filled[:, ~known] > 0.5) != (x[:, ~known] > 0.5)))


if __name__ == "__main__":
    main()
