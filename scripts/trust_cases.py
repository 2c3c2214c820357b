"""Machines on which estimates of log Z once agreed on a wrong value and trusted it, with the right value if known.

One line a case and estimator: truth, value, 95 % interval, whether it is trusted, and what speaks against it; for
samples the share of chains whose units are mostly on, which is 1/2 in these machines. The machines are symmetric ones
whose biases, in 0/1 units, point into one phase; hubs; strong and near-deterministic weights; a machine trained on
samples of an Ising lattice, with the rates of its data and without.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from oracles.ising import bipartite_log_z
from support import fooling

import boltz

Case = tuple[str, boltz.BoltzmannMachine, float | None]


def equal(first: int, second: int, coupling: float) -> Case:
    """Two groups of spins with equal couplings between them, in 0/1 units."""
    weights = coupling * np.ones((first, second))
    model = boltz.from_arrays([4 * weights], [-2 * weights.sum(axis=1), -2 * weights.sum(axis=0)])
    truth = bipartite_log_z(first, second, coupling) - coupling * first * second
    return f"equal couplings {first} + {second}, J {coupling:g}", model, truth


def lattice() -> Case:
    """The periodic 8 x 8 Ising model at K = 0.6."""
    model, truth = fooling.checkerboard(8, 8, 0.6)
    return "periodic 8 x 8 Ising, K 0.6", model, truth


def strong(seed: int, deviation: float) -> Case:
    """14 + 10 units with normal weights and biases."""
    rng = np.random.default_rng(seed)
    weights = [rng.normal(0, deviation, (14, 10))]
    model = boltz.from_arrays(weights, [rng.normal(0, deviation, n) for n in (14, 10)])
    return f"14 + 10 units, deviation {deviation:g}, number {seed}", model, boltz.exact_log_z(model).value


def trained() -> Iterator[Case]:
    """An RBM 64-64 trained on balanced samples of an 8 x 8 Ising model; what it is worth is not known exactly."""
    model, _ = fooling.checkerboard(8, 8, 0.5)
    states = boltz.tempered_sample(model, 4096, 640, seed=3)
    rows = np.concatenate([states["v"], states["h1"]], axis=1)
    rows = np.concatenate([rows, 1 - rows]).astype(np.float32)
    settings = boltz.Settings(epochs=20, learning_rate=0.05, binarize="none", rule="ptt", seed=1)
    run = boltz.train(boltz.rbm(64, 64, x=rows), rows, **settings.as_dict())
    assert isinstance(run.model, boltz.BoltzmannMachine)
    yield "RBM 64-64 trained on Ising samples, kept rates", run.model, None
    yield "the same without rates", boltz.BoltzmannMachine(run.model.graph, run.model.arena), None


def cases() -> Iterator[Case]:
    yield equal(24, 22, 0.15)
    yield equal(40, 40, 0.1)
    yield lattice()
    for seed in range(3):
        yield strong(seed, 4.0)
        yield strong(seed, 16.0)
        yield strong(seed, 1000.0)
    yield from trained()


def estimates(model: boltz.BoltzmannMachine, budget: float) -> Iterator[tuple[str, Any]]:
    yield "ais", boltz.ais(model, 200, 2000)
    yield "exchange", boltz.exchange_log_z(model, rounds=600).estimate
    if min(model.units.values()) > 20:
        yield "log_z", boltz.log_z(model, error=0.1, budget=budget).estimate


def shares(model: boltz.BoltzmannMachine) -> str:
    """The shares of chains that are mostly on, by Gibbs chains and by replica exchange."""
    gibbs, tempered = (
        float((draw(model, 300)["v"].mean(axis=1) > 0.5).mean()) for draw in (boltz.sample, boltz.tempered_sample)
    )
    return f"share of chains mostly on: sample {gibbs:.2f}, tempered_sample {tempered:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=30.0, help="seconds of log_z")
    budget = parser.parse_args().budget
    for name, model, truth in cases():
        print(name, "" if truth is None else f"(truth {truth:.4f})", flush=True)
        for how, found in estimates(model, budget):
            low, high = found.interval
            verdict = "trusted" if found.trusted else "NOT trusted"
            held = "" if truth is None or not found.trusted else " holds" if low <= truth <= high else " MISSES"
            why = "; ".join(getattr(found, "doubts", ()))
            print(f"  {how:9} {found.value:10.4f} [{low:.4f}, {high:.4f}] {verdict}{held} {why}", flush=True)
        if "equal" in name or "Ising" in name or "same" in name:
            print(f"  {shares(model)}", flush=True)


if __name__ == "__main__":
    began = time.monotonic()
    main()
    print(f"{time.monotonic() - began:.0f} s")
