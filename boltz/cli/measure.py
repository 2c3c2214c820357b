"""Log Z and log-likelihoods for the commands, and what of them is certified, in words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

import boltz
from boltz import checks
from boltz.cli.progress import Progress
from boltz.data import Data
from boltz.data.binarize import undrawn
from boltz.errors import InputError
from boltz.estimators.estimate import TRUSTED_SAMPLES, TRUSTED_SHARE, Estimate, few_effective
from boltz.estimators.exact import QUICK_UNITS, class_units, enumerable
from boltz.estimators.likelihood import QUICK_HIDDEN, TRUSTED_ROWS
from boltz.estimators.words import in_words
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.rng import Key
from boltz.sampling.temperatures import adaptive_steps, schedule

MOST_STEPS = 10**8
SAMPLES, SAMPLES_WITH_PRIOR = 1000, 100  # a sample costs more where an RBM is its prior
WEIGHTED = "the importance-weighted bound of {:,} samples a row"
ANNEALED = "the log of the mean weight of {:,} annealed chains a row"
BOUNDS = {
    "exact": "The log-likelihood is exact.",
    "lower": "The log-likelihood is a certified lower bound: it bounds log p*(v) from below, and log Z is exact.",
    "upper": "The log-likelihood is an over-estimate in expectation: log p*(v) is exact, but annealed importance "
    "sampling under-estimates log Z.",
    "none": "The log-likelihood is no bound: it is a lower bound on log p*(v) minus an under-estimate of log Z.",
}
BETWEEN = "The log-likelihood is no bound: it is {} less the log Z of replica exchange, which may err to either side."
CONSERVATIVE = (
    "The log-likelihood is conservative, but no bound: it is a lower bound in expectation for the annealing model, "
    "usually the worse one, and certifies nothing of the machine itself."
)
RAISE, NOT_BINARY = "RAISE", "not 0/1"  # how the methods of such estimates begin and end
DIRECTED = "The log-likelihood is a certified lower bound in expectation: "
GREY = "The rows are not 0/1, so this is no log-likelihood of binary units; binarise them."


@dataclass(frozen=True)
class Annealing:
    """Chains, inverse temperatures and seed of annealed importance sampling; raises InputError."""

    chains: int = 100
    betas: int | str = "sm2008"
    seed: int = 0

    def __post_init__(self) -> None:
        checks.integer(self.chains, "the number of chains", 1, 10**6)
        checks.integer(self.seed, "seed", 0, 2**63 - 1)
        steps = adaptive_steps(self.betas)
        if steps is None:
            schedule(self.betas)
        else:
            checks.integer(steps, "the number of adaptive temperatures", 1, MOST_STEPS)


def undirected(model: Model) -> BoltzmannMachine | None:
    """The part of a machine whose log Z is not 0: itself, or the RBM on top of a deep belief net."""
    return model if isinstance(model, BoltzmannMachine) else model.prior_machine


def quick(machine: BoltzmannMachine) -> bool:
    """Whether log Z is exact unless something else is asked for: at most 20 units in the smaller colour class."""
    return min(class_units(machine, layers) for layers in machine.graph.colours) <= QUICK_UNITS


def estimate_log_z(model: Model, how: str, annealing: Annealing, progress: Progress) -> Estimate | None:
    """log Z by "exact" enumeration, by "ais", or by what "auto" finds quick; None where it is 0 by construction."""
    machine = undirected(model)
    if machine is None:
        return None
    if how == "exact" or (how == "auto" and quick(machine)):
        return boltz.exact_log_z(machine)

    def show(done: int, total: int) -> None:
        progress.update("annealing log Z", done, total)

    return boltz.ais(machine, annealing.chains, annealing.betas, annealing.seed, progress=show)


def samples_for(model: Model, asked: int) -> int:
    """Importance samples a row: as many as asked for, else none where the machine does without, else a default."""
    asked = checks.integer(asked, "samples", 0, 10**6)
    if asked or isinstance(model, BoltzmannMachine) or enumerable(model, QUICK_HIDDEN):
        return asked
    return SAMPLES if model.prior_machine is None else SAMPLES_WITH_PRIOR


def visible_rows(data: Data, how: str | None, seed: int, model: Model) -> tuple[Any, str]:
    """Rows (rows, units) as the machine sees them, drawn once by seed, and how; 0/1 data stay as they are ("none")."""
    units, gaussian = model.units[model.visible], model.layers[0].kind == "gaussian"
    if data.x.shape[1] != units:
        raise InputError(f"{data.source} has {data.x.shape[1]} units a row, but the machine has {units} visible units.")
    if gaussian and how not in (None, "none"):
        raise InputError(f"binarize must be none for Gaussian visible units, got {how}.")
    needed = data.x.size * max(np.dtype(np.float32).itemsize, data.x.itemsize if gaussian else 0)
    if needed > memory():
        raise InputError(
            f"The {len(data.x):,} rows of {data.source} take {needed / 2**30:,.0f} GiB as the machine sees them, more "
            "than this computer has: name fewer with --limit."
        )
    if gaussian:
        return undrawn(np.asarray(data.x), data.levels), "none"
    how = "none" if data.binary else how or "dynamic"
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("evaluate")
    return boltz.binarize(data.x, data.levels, how, key, 0, np.arange(len(data.x), dtype=np.int64)), how


def memory() -> float:
    """Bytes of memory that this computer has, as far as it says."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def verdict(log_likelihood: Estimate, log_z: Estimate | None, samples: int = 0, row_chains: int = 0) -> str:
    """Plain sentences on what the kinds of both certify, and whether what was estimated can be believed.

    log_z None means that it is 0 by construction; samples is the number of importance samples a row, row_chains that of
    annealed chains a row, 0 for none.
    """
    count, what = (row_chains, "chains") if row_chains else (samples, "samples")
    weighted = (ANNEALED if row_chains else WEIGHTED).format(count)
    sampled = log_likelihood.kind == "lower" and (log_z is None or (count > 0 and log_z.kind == "exact"))
    conservative, grey = log_likelihood.method.startswith(RAISE), NOT_BINARY in log_likelihood.method
    if grey:
        parts = [GREY]
    elif conservative:
        parts = [CONSERVATIVE]
    elif sampled:
        parts = [f"{DIRECTED}{weighted}, and log Z is {'0' if log_z is None else 'exact'}."]
    else:
        parts = [BOUNDS[log_likelihood.kind]]
    if count and not grey and log_likelihood.kind != "exact" and (log_z is None or log_z.trusted):
        truth = "that of the annealing model" if conservative else "log p(v) itself" if sampled else "log p*(v) itself"
        parts.append(_closeness(log_likelihood, what, truth))
    elif not grey and not log_likelihood.trusted and (log_z is None or log_z.trusted):
        parts.append(f"The log-likelihood is NOT trusted, since {' and '.join(log_likelihood.doubts)}.")
    if log_z is not None and log_z.kind != "exact":
        parts.append(trust(log_z))
    return " ".join(parts)


def verdict_between(log_marginal: Estimate, samples: int = 0, row_chains: int = 0) -> str:
    """As verdict, of log p*(v) less the log Z of replica exchange."""
    if NOT_BINARY in log_marginal.method:
        return GREY
    if log_marginal.kind == "exact":
        return BETWEEN.format("log p*(v)")
    said = BETWEEN.format(f"a lower bound on log p*(v) ({log_marginal.method})")
    if not samples + row_chains:
        return said
    return f"{said} {_closeness(log_marginal, 'chains' if row_chains else 'samples', 'log p*(v) itself')}"


def _closeness(log_likelihood: Estimate, what: str, truth: str) -> str:
    """Whether a bound from samples or chains, which is what they are called, can be taken for the truth."""
    wanted = f"{TRUSTED_SHARE:.0%} of at least {TRUSTED_SAMPLES}, in {TRUSTED_ROWS:.0%} of the rows"
    if log_likelihood.trusted:
        return f"Enough {what} are effective to take it for {truth} ({wanted})."
    why = " and ".join(log_likelihood.doubts)
    return f"The {what} do not suffice to take it for {truth}, since {why}; more {what} bring it closer."


def trust(log_z: Estimate) -> str:
    """Whether log Z by annealing is trusted, and what that takes."""
    if log_z.trusted:
        return f"log Z is trusted: {_chains(log_z)}."
    return f"log Z is NOT trusted, nor is its interval, since {' and '.join(log_z.doubts)}; take more chains or betas."


def _chains(estimate: Estimate) -> str:
    return f"{estimate.ess:.0f} of {estimate.chains} chains are effective"


def described(name: str, estimate: Estimate) -> str:
    """One line on an estimate."""
    parts = [f"{name} {in_words(estimate)}"]
    if estimate.chains:
        if estimate.trusted or few_effective(estimate.ess, estimate.chains):
            parts.append(f"{_chains(estimate)} ({'' if estimate.trusted else 'NOT '}trusted)")
        else:  # chains of log Z are enough, but not what the rows were measured with
            parts.append(f"NOT trusted, though {_chains(estimate)}")
    return ", ".join(parts)
