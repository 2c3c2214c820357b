"""Time and quality of `fit` of boltz.sklearn.BernoulliRBM beside scikit-learn's own, at the same settings.

Both fit the same rows in turns: 1,797 digits of 64 units from scikit-learn, and 1,000 of 784 units from boltz, in
float32 and float64, in batches of 10 and 100. The table gives milliseconds (the shortest fit), how many times as long
scikit-learn takes (shortest fits, and the median of the turns), and the mean pseudo-likelihood of the rows in nats, of
several seeds, with its standard error; both machines are judged by scikit-learn's score_samples.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import BernoulliRBM as Theirs
from turns import PAUSE, command, count, numbers

import boltz
from boltz.sklearn import BernoulliRBM as Ours

HEAD = "| threads | units | batch | type | boltz | scikit-learn | ratio | median | boltz | scikit-learn |"
ROW = "| {} | {} | {} | {} | {:.0f} ms | {:.0f} ms | {:.2f} | {:.2f} | {} | {} |"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=numbers, default="1,2", help="numbers of threads, commas between (1,2)")
    parser.add_argument("--repeats", type=count, default=5, help="turns of each, with seeds of their own (5)")
    parser.add_argument("--epochs", type=count, default=3, help="n_iter (3)")
    parser.add_argument("--rows", type=count, default=2000, help="at most so many rows of each set (2000)")
    return parser.parse_args()


def judged(machine: Any, rows: Any) -> float:
    """The pseudo-likelihood of rows, by one unit of each, a few times."""
    judge = Theirs(machine.n_components)
    for name in ("components_", "intercept_hidden_", "intercept_visible_"):
        setattr(judge, name, getattr(machine, name))
    return float(np.mean([judge.set_params(random_state=seed).score_samples(rows).mean() for seed in range(5)]))


def run(options: argparse.Namespace) -> int:
    """Time both on every line and print the table."""
    sets = [load_digits(return_X_y=True)[0] / 16, boltz.load_data("mnist-mini").x[:1000] / 255]
    print(HEAD, "|" + " --- |" * (HEAD.count("|") - 1), sep="\n")
    for threads in options.threads:
        boltz.threads(threads)  # scikit-learn's products run in the BLAS of numpy, whose threads this sets too
        for rows in sets:
            for batch in (10, 100):
                for kind in (np.float32, np.float64):
                    print(line(rows[: options.rows].astype(kind), batch, threads, options), flush=True)
    return 0


def line(rows: Any, batch: int, threads: int, options: argparse.Namespace) -> str:
    """A line of the table."""
    times: dict[Any, list[float]] = {Ours: [], Theirs: []}
    scores: dict[Any, list[float]] = {Ours: [], Theirs: []}
    for turn in range(options.repeats + 1):
        for kind in times:
            machine = kind(batch_size=batch, n_iter=options.epochs, random_state=turn)
            time.sleep(PAUSE)
            start = time.perf_counter()
            machine.fit(rows)
            times[kind].append(time.perf_counter() - start)
            scores[kind].append(judged(machine, rows))
    ours, theirs = (each[1:] for each in times.values())  # the first turn warms up
    ratios = [one / other for one, other in zip(theirs, ours, strict=True)]
    said = [f"{np.mean(s):.2f} ± {np.std(s, ddof=1) / np.sqrt(len(s)):.2f}" for s in scores.values()]
    fastest = 1000 * min(ours), 1000 * min(theirs)
    places = threads, rows.shape[1], batch, rows.dtype, *fastest, fastest[1] / fastest[0], statistics.median(ratios)
    return ROW.format(*places, *said)


if __name__ == "__main__":
    sys.exit(command(run, arguments))
