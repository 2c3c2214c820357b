"""How far fitted couplings are from planted ones, beside what any estimate can reach: inverse Ising and Potts problems.

The limit is the root of the trace of the inverse Fisher information of the couplings over the number of rows (Cramer
1946): of spins by a sum over all states. Run from the checkout: python -m benchmarks.inverse --rows 100000.
"""

from __future__ import annotations

import time
from typing import Any

import click
import numpy as np

import boltz

SPINS, SITES, STATES, CONTACTS = 16, 20, 5, 24


def planted_spins(beta: float, seed: int) -> boltz.BoltzmannMachine:
    """A Sherrington-Kirkpatrick model with fields (Sherrington & Kirkpatrick 1975)."""
    rng = np.random.default_rng(seed)
    couplings = np.triu(rng.normal(0, beta / np.sqrt(SPINS), (SPINS, SPINS)), 1)
    return boltz.ising(couplings + couplings.T, rng.normal(0, 0.2, SPINS))


def limit(model: boltz.BoltzmannMachine, rows: int) -> float:
    """The least root of the summed variances of unbiased couplings from so many rows."""
    first, second = np.triu_indices(SPINS, 1)
    s = 2.0 * (np.arange(2**SPINS)[:, None] >> np.arange(SPINS) & 1) - 1
    statistics = np.concatenate([s[:, first] * s[:, second], s], axis=1)
    p = np.exp(-model.energy({"v": s}) - boltz.exact_log_z(model).value)
    mean = p @ statistics
    information = (statistics * p[:, None]).T @ statistics - np.outer(mean, mean)
    return float(np.sqrt(np.trace(np.linalg.inv(information)[: len(first), : len(first)]) / rows))


def off(found: Any, truth: boltz.BoltzmannMachine) -> tuple[float, float]:
    """The distance of couplings, each pair once, and the norm of the true ones."""
    pairs = np.triu_indices(SPINS, 1)
    true = truth.params["edge/v-v/weight"][pairs]
    return float(np.linalg.norm(found.params["edge/v-v/weight"][pairs] - true)), float(np.linalg.norm(true))


def spins(beta: float, seed: int, rows: int) -> None:
    """Pseudo-likelihood and persistent chains on exact samples of a planted model."""
    truth = planted_spins(beta, seed)
    x, least = boltz.exact_samples(truth, rows, seed=seed)["v"], limit(truth, rows)
    start = boltz.boltzmann(SPINS, units="spin", lateral="visible", x=x, dtype=np.float64)
    settings: dict[str, Any] = {"epochs": 60, "learning_rate": 0.05, "batch_size": 1000, "chains": 1000, "l2": 0.0}
    ways = {
        "pseudo-likelihood": lambda: boltz.fit_pairwise(start, x).model,
        "persistent chains": lambda: boltz.train(start, x, **settings).model,
    }
    for name, way in ways.items():
        began = time.process_time()
        error, norm = off(way(), truth)
        told = f"relative error {error / norm:.4f}, limit {least / norm:.4f}, ratio {error / least:.3f}"
        click.echo(f"beta {beta:g}, seed {seed}, {name}: {told}, {time.process_time() - began:.1f} s of CPU")


def sites(rows: int) -> None:
    """The pairs of sites that have couplings, from samples of long chains of a planted Potts model."""
    rng = np.random.default_rng(3)
    pairs: set[tuple[int, int]] = set()
    while len(pairs) < CONTACTS:
        i, j = sorted(rng.choice(SITES, 2, replace=False).tolist())
        pairs.add((i, j))
    couplings = np.zeros((SITES, SITES, STATES, STATES))
    for i, j in pairs:
        block = rng.normal(0, 1.0, (STATES, STATES))
        block = block - block.mean(axis=0) - block.mean(axis=1, keepdims=True) + block.mean()
        couplings[i, j], couplings[j, i] = block, block.T
    truth = boltz.potts(couplings, rng.normal(0, 0.3, (SITES, STATES)))
    x = boltz.sample(truth, rows, 300, seed=1)["v"].reshape(rows, SITES, STATES).argmax(axis=2)
    found = boltz.fit_pairwise(boltz.boltzmann(SITES, units=("categorical", STATES)), x)
    scores = boltz.couplings(found.model).scores
    ranked = sorted(((i, j) for i in range(SITES) for j in range(i + 1, SITES)), key=lambda pair: -scores[pair])
    share = sum(pair in pairs for pair in ranked[:CONTACTS]) / CONTACTS
    click.echo(
        f"Potts {SITES} x {STATES}, {rows:,} rows: {share:.2f} of the first {CONTACTS} pairs are coupled; {found}"
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--rows", default=100_000, show_default=True, help="Rows of spins; a fifth of them of Potts sites.")
@click.option("--seeds", default=3, show_default=True, help="Planted models of spins.")
def main(rows: int, seeds: int) -> None:
    """Compare fitted couplings with planted ones and with the limit."""
    for seed in range(seeds):
        spins(0.6, seed, rows)
    sites(rows // 5)


if __name__ == "__main__":
    main()
