"""Log Z and log-likelihoods for the commands, and what of them is certified, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import boltz
from boltz import checks
from boltz.cli.progress import Progress
from boltz.data import Data
from boltz.errors import InputError
from boltz.estimators.annealed import schedule
from boltz.estimators.exact import class_units
from boltz.estimators.likelihood import QUICK_UNITS
from boltz.estimators.result import TRUSTED_CHAINS, TRUSTED_SHARE, Estimate
from boltz.rng import Key

BOUNDS = {
    "exact": "The log-likelihood is exact.",
    "lower": "The log-likelihood is a certified lower bound: it bounds log p*(v) from below, and log Z is exact.",
    "upper": "The log-likelihood is an over-estimate in expectation: log p*(v) is exact, but annealed importance "
    "sampling under-estimates log Z.",
    "none": "The log-likelihood is no bound: it is a lower bound on log p*(v) minus an under-estimate of log Z.",
}


@dataclass(frozen=True)
class Annealing:
    """Chains, inverse temperatures and seed of annealed importance sampling; raises InputError."""

    chains: int = 100
    betas: int | str = "sm2008"
    seed: int = 0

    def __post_init__(self) -> None:
        checks.integer(self.chains, "the number of chains", 1, 10**6)
        checks.integer(self.seed, "seed", 0, 2**63 - 1)
        schedule(self.betas)


def estimate_log_z(model: boltz.BoltzmannMachine, how: str, annealing: Annealing, progress: Progress) -> Estimate:
    """log Z by "exact" enumeration, by "ais", or by what "auto" finds quick."""
    units = min(class_units(model, layers) for layers in model.graph.colours)
    if how == "exact" or (how == "auto" and units <= QUICK_UNITS):
        return boltz.exact_log_z(model)

    def show(done: int, total: int) -> None:
        progress.update("annealing log Z", done, total)

    return boltz.ais(model, annealing.chains, annealing.betas, annealing.seed, progress=show)


def visible_rows(data: Data, how: str, seed: int, model: boltz.BoltzmannMachine) -> tuple[Any, str]:
    """Rows (rows, units) as the machine sees them, drawn once by seed, and how; 0/1 data stay as they are ("none")."""
    units = model.graph.units[model.graph.visible]
    if data.x.shape[1] != units:
        raise InputError(f"{data.source} has {data.x.shape[1]} units a row, but the machine has {units} visible units.")
    how = "none" if data.binary else how
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("evaluate")
    return boltz.binarize(data.x, data.levels, how, key, 0, np.arange(len(data.x), dtype=np.int64)), how


def verdict(log_likelihood: Estimate, log_z: Estimate) -> str:
    """Plain sentences on what the kinds of both certify, and whether an estimated log Z can be believed."""
    bound = BOUNDS[log_likelihood.kind]
    if log_likelihood.method.endswith("not 0/1"):
        bound = "The rows are not 0/1, so this is no log-likelihood of binary units; binarise them."
    if log_z.kind == "exact":
        return bound
    if log_z.trusted:
        trust = f"log Z is trusted: {_chains(log_z)}."
    else:
        trust = (
            f"log Z is NOT trusted, nor is its interval: {_chains(log_z)}, and at least {TRUSTED_CHAINS} chains with "
            f"{TRUSTED_SHARE:.0%} effective are needed; take more chains or more betas."
        )
    return f"{bound} {trust}"


def _chains(estimate: Estimate) -> str:
    return f"{estimate.ess:.0f} of {estimate.chains} chains are effective"


def described(name: str, estimate: Estimate) -> str:
    """One line on an estimate."""
    if estimate.kind == "exact":
        return f"{name} {estimate.value:.4f} nats, exact"
    low, high = estimate.interval
    parts = [f"{name} {estimate.value:.2f} nats", f"95 % interval {low:.2f} to {high:.2f}"]
    if estimate.chains:
        parts.append(f"{_chains(estimate)} ({'' if estimate.trusted else 'NOT '}trusted)")
    return ", ".join(parts)
