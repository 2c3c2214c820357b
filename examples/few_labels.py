"""How far do labels go? Test error against the number of labelled digits: pixels in logistic regression, nearest
neighbours, and a deep Boltzmann machine that learnt from all images without labels, then was fine-tuned.

Run: python examples/few_labels.py [--seeds 5] [--data mnist] [--out few_labels.png]     (about a minute on two cores)
Needs scikit-learn: python3 -m pip install '.[sklearn]'
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

import boltz

matplotlib.use("Agg")
from matplotlib import pyplot as plt

Learner = Callable[[Any, Any, Any, int], Any]  # rows, their labels, test rows, a seed -> labels of the test rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="mnist-mini", help="mnist-mini or mnist")
    parser.add_argument("--labels", type=int, nargs="+", default=[10, 30, 100, 300, 1000, 3000])
    parser.add_argument("--seeds", type=int, default=3, help="how many choices of the labelled digits")
    parser.add_argument("--epochs", type=int, default=15, help="passes of each stage of the DBM's training")
    parser.add_argument("--units", type=int, default=300, help="in each hidden layer")
    parser.add_argument("--limit", type=int, default=None, help="use the first rows only")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".png"))
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)

    digits = boltz.load_data(options.data, limit=options.limit)
    unseen = boltz.load_data(options.data, split="test", limit=options.limit)
    x, x_unseen = (data.x / np.float32(255) for data in (digits, unseen))
    model = boltz.train(
        boltz.dbm([784, options.units, options.units], digits.x),
        digits,
        pretrain="doubling",
        pretrain_epochs=options.epochs,
        epochs=options.epochs,
        mean_field_sweeps=10,
    ).model

    learners: dict[str, Learner] = {
        "pixels, logistic regression": by_regression,
        "pixels, nearest neighbour": by_neighbours,
        "DBM, fine-tuned": lambda *given: by_fine_tuning(model, *given),
    }
    print("% wrong, mean and standard deviation".ljust(38), *(f"{count:11d}" for count in options.labels))
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for name, learner in learners.items():
        wrong = np.array([[
            100 * np.mean(learner(x[rows], digits.labels[rows], x_unseen, seed) != unseen.labels)
            for seed in range(options.seeds)
            for rows in [some_of_each(digits.labels, count, seed)]
        ] for count in options.labels])  # fmt: skip
        mean, spread = wrong.mean(axis=1), wrong.std(axis=1)
        print(name.ljust(38), *(f"{m:5.1f} ± {s:3.1f}" for m, s in zip(mean, spread, strict=True)), flush=True)
        axes.errorbar(options.labels, mean, spread, label=name, marker="o", markersize=4, capsize=3)
    axes.set(xscale="log", yscale="log", xlabel="labelled digits", ylabel="% of test digits wrong")
    for axis, ticks in ((axes.xaxis, options.labels), (axes.yaxis, [5, 10, 20, 30, 40, 60])):
        axis.set_ticks(ticks, [f"{tick:,}" for tick in ticks])
        axis.set_ticks([], minor=True)
    axes.set_title(f"{options.data}, {len(x):,} digits without labels, {options.seeds} seeds", fontsize="medium")
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)
    figure.savefig(options.out, dpi=150)
    print(f"picture: {options.out}")


def some_of_each(labels: Any, count: int, seed: int) -> Any:
    """Row numbers of so many digits, as nearly as can be the same number of each."""
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels), int)  # of each row among those of its class
    for label in np.unique(labels):
        mine = order[labels[order] == label]
        place[mine] = np.arange(len(mine))
    return order[np.argsort(place[order], kind="stable")][:count]


def by_regression(x: Any, y: Any, x_unseen: Any, seed: int) -> Any:
    return LogisticRegression(C=0.3, max_iter=200).fit(x, y).predict(x_unseen)


def by_neighbours(x: Any, y: Any, x_unseen: Any, seed: int) -> Any:
    return KNeighborsClassifier(1).fit(x, y).predict(x_unseen)


def by_fine_tuning(model: boltz.BoltzmannMachine, x: Any, y: Any, x_unseen: Any, seed: int) -> Any:
    """Four hundred updates whatever the number of labels; no row is spared to choose an epoch."""
    batch = min(len(x), 50)
    epochs = max(400 * batch // len(x), 1)
    settings = {"epochs": epochs, "output_epochs": epochs // 4, "batch_size": batch, "learning_rate": 0.01}
    network = boltz.fine_tune(
        model, x, y, seed=seed, validation=0.0, dropout=0.3, input_dropout=0.1, **settings
    ).network
    return np.array(network.classes)[boltz.classify(network, x_unseen).argmax(axis=1)]


if __name__ == "__main__":
    main()
