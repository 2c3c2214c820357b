"""Training on rows with separated modes: persistent chains (pcd) beside chains that exchange and jump (ptt).

A row of 40 units is one of some patterns, each unit flipped with a small probability: two complementary patterns mixed
50:50 to 95:5, two and three unrelated ones, and two of which one is noisier. An RBM with 20 hidden units is trained
with each rule, other settings being the defaults, and measured by enumeration. --layers names other hidden layers; the
bottom of a DBM is pretrained for as many epochs. One line a run: log-likelihood of the training rows (nats a row), that
under the law they were drawn from (truth), that of independent units, shares of the patterns in the rows and under the
machine, mode gap after the last epoch, seconds of training, and whether the run has a note.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, logsumexp

import boltz
from boltz.estimators.exact import drawn_class

Floats = NDArray[np.float64]
UNITS, ROWS, NOISE = 40, 2000, 0.02
DRAWS, NEAR = 10_000, 12  # exact draws for the machine's shares; a draw with fewer flips belongs to a pattern
HEADER = f"{'mixture':<22}{'rule':<6}{'seed':>4}{'log-lik.':>10}{'truth':>8}{'indep.':>8}  "


@dataclass(frozen=True)
class Mixture:
    """Shares (patterns,), and the probability of a flip in each pattern; whether two patterns are complementary."""

    name: str
    shares: tuple[float, ...]
    noise: tuple[float, ...]
    complementary: bool = False

    def draw(self, seed: int) -> tuple[Floats, Floats, float]:
        """Rows (rows, units), patterns (patterns, units), and the mean log-probability of the rows under this law."""
        rng = np.random.default_rng(seed)
        patterns = (rng.random((len(self.shares), UNITS)) < 0.5).astype(np.float64)
        if self.complementary:
            patterns[1] = 1 - patterns[0]
        which, noise = rng.choice(len(self.shares), ROWS, p=self.shares), np.array(self.noise)
        rows = np.abs(patterns[which] - (rng.random((ROWS, UNITS)) < noise[which, None]))
        flips = np.abs(rows[:, None] - patterns).sum(axis=2)
        log_p = np.log(self.shares) + flips * np.log(noise) + (UNITS - flips) * np.log1p(-noise)
        return rows, patterns, float(logsumexp(log_p, axis=1).mean())


def pair(share: int) -> Mixture:
    """Two complementary patterns."""
    return Mixture(f"opposites {share}:{100 - share}", (share / 100, 1 - share / 100), (NOISE, NOISE), True)


MIXTURES = (
    *(pair(share) for share in (50, 70, 80, 90, 95)),
    Mixture("unrelated 70:30", (0.7, 0.3), (NOISE, NOISE)),
    Mixture("unrelated 50:30:20", (0.5, 0.3, 0.2), (NOISE,) * 3),
    Mixture("unequal noise 60:40", (0.6, 0.4), (NOISE, 0.1)),
)


def shares(rows: Any, patterns: Floats) -> list[float]:
    """Share of the rows near each pattern."""
    return [float((np.abs(rows - pattern).sum(axis=1) < NEAR).mean()) for pattern in patterns]


def line(mixture: Mixture, rule: str, seed: int, epochs: int, layers: list[int]) -> str:
    """Train one machine, and say what it is like."""
    x, patterns, truth = mixture.draw(seed)
    first = {"pretrain": "bottom", "pretrain_epochs": epochs} if len(layers) > 1 else {}
    settings = boltz.Settings(rule=rule, epochs=epochs, seed=seed, **first)
    run = boltz.train(boltz.dbm([UNITS, *layers], x=x, seed=seed), x, **settings.as_dict())
    found = boltz.log_likelihood(run.model, x, boltz.exact_log_z(run.model)).value
    hidden = drawn_class(run.model, DRAWS, seed)
    drawn = np.random.default_rng(seed).random((DRAWS, UNITS)) < 1 / (1 + np.exp(-run.model.field("v", hidden)))
    last, alone = run.history[-1], -float(entr(np.stack([x.mean(axis=0), 1 - x.mean(axis=0)])).sum())
    data, model = (" ".join(f"{share:.2f}" for share in shares(v, patterns)) for v in (x, drawn))
    noted = " noted" if run.notes else ""
    return (
        f"{mixture.name:<22}{rule:<6}{seed:>4}{found:>10.2f}{truth:>8.2f}{alone:>8.2f}  "
        f"{data:<16}{model:<16}{last['mode_gap']:>5.2f}{last['seconds']:>7.1f}{noted}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--rules", nargs="+", default=["pcd", "ptt"])
    parser.add_argument("--layers", nargs="+", type=int, default=[20])
    options = parser.parse_args()
    print(f"{HEADER}{'data':<16}{'machine':<16}{'gap':>5}{'s':>7}")
    for mixture in MIXTURES:
        for rule in options.rules:
            for seed in range(options.seeds):
                print(line(mixture, rule, seed, options.epochs, options.layers), flush=True)


if __name__ == "__main__":
    main()
