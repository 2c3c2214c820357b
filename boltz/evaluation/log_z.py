"""`log_z`: the log partition function of a machine by any method; and what a log-likelihood wants of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.ais import ais, exact_or_ais
from boltz.estimators.estimate import Estimate
from boltz.estimators.exact import exact_log_z, quick
from boltz.estimators.replica_exchange import LadderEstimate, exchange_log_z
from boltz.estimators.two_sided import TwoSided, from_both_sides
from boltz.estimators.two_sided import two_sided as sampled
from boltz.evaluation.trained import Trained, trained
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.progress import Report, Steps, attempts, steps
from boltz.sampling.base_rate import base_rates
from boltz.sampling.temperatures import adaptive_steps, schedule

METHODS = ("auto", "exact", "ais", "two-sided", "trajectory")
MOST_STEPS, LEAST_ROUNDS = 10**8, 20
PARTS = ("replica exchange", "annealing up", "annealing down")


@overload
def log_z(
    model: Any,
    error: float = 0.25,
    budget: float = 600.0,
    seed: int = 0,
    base: Any = None,
    progress: Steps | None = None,
    *,
    method: Literal["auto", "two-sided"] = "auto",
    chains: int = 100,
    betas: Any = "sm2008",
    rounds: int = 1000,
    trajectory: Sequence[BoltzmannMachine] | None = None,
) -> TwoSided: ...
@overload
def log_z(
    model: Any,
    error: float = 0.25,
    budget: float = 600.0,
    seed: int = 0,
    base: Any = None,
    progress: Steps | None = None,
    *,
    method: Literal["exact", "ais"],
    chains: int = 100,
    betas: Any = "sm2008",
    rounds: int = 1000,
    trajectory: Sequence[BoltzmannMachine] | None = None,
) -> Estimate: ...
@overload
def log_z(
    model: Any,
    error: float = 0.25,
    budget: float = 600.0,
    seed: int = 0,
    base: Any = None,
    progress: Steps | None = None,
    *,
    method: Literal["trajectory"],
    chains: int = 100,
    betas: Any = "sm2008",
    rounds: int = 1000,
    trajectory: Sequence[BoltzmannMachine] | None = None,
) -> LadderEstimate: ...


def log_z(
    model: Any,
    error: float = 0.25,
    budget: float = 600.0,
    seed: int = 0,
    base: Any = None,
    progress: Steps | None = None,
    *,
    method: str = "auto",
    chains: int = 100,
    betas: Any = "sm2008",
    rounds: int = 1000,
    trajectory: Sequence[BoltzmannMachine] | None = None,
) -> TwoSided | Estimate | LadderEstimate:
    """log Z in nats of a machine, a run, or the path of either; of a deep belief net that of the RBM on its top.

    two-sided: a 95 % interval of half-width at most error, or the best that budget seconds give, from both sides. auto
    is the same, but enumerates up to 20 units on the smaller side of the machine (such as the hidden units of an rbm),
    and sums the units of a single layer out one after the other where that is as quick. exact is as boltz.exact_log_z.
    ais anneals chains over betas, as boltz.ais. trajectory: so many rounds of replica exchange along snapshots, by
    default those of the run, as boltz.exchange_log_z. All results have value, standard_error, interval, trusted and
    as_dict; that of exact and ais is an Estimate, that of trajectory a LadderEstimate, others are a TwoSided. base as
    in boltz.ais; progress hears of steps done, and of how many there are. Raises InputError.
    """
    checks.choice(method, "method", METHODS)
    checks.callback(progress, "progress", 2)
    checks.number(error, "error", 1e-9)
    checks.number(budget, "budget", 0.0)
    checks.integer(rounds, "rounds", LEAST_ROUNDS, checks.MOST_STEPS)
    checks.integer(chains, "chains", 1, 2**32)
    check_betas(betas)
    found, seed = trained(model), checks.seed(seed)
    machine = found.model.undirected
    if machine is None:
        raise InputError(f"model must have a log Z to measure, but {found.place} is directed ({found.kind}): it is 0.")
    if base is not None:
        base_rates(machine, base, seed)  # a base that does not fit is refused also where it is not needed
    if method == "exact":
        return exact_log_z(machine)
    if method == "ais":
        return ais(machine, chains, betas, seed, base, progress=progress)
    if method == "trajectory":
        members = found.snapshots if trajectory is None else trajectory
        if not checks.sequence(members, "trajectory"):
            raise InputError("trajectory must hold snapshots of a training run, got none: keep some in training.")
        return exchange_log_z(machine, members, rounds=rounds, seed=seed, base=base, progress=progress)
    if method == "two-sided" and quick(machine):
        return sampled(machine, error, budget, seed, base, progress)
    return from_both_sides(machine, error, budget, seed, base, progress)


@dataclass(frozen=True)
class Annealing:
    """Chains, inverse temperatures and seed of annealed importance sampling; raises InputError."""

    chains: int = 100
    betas: int | str = "sm2008"
    seed: int = 0

    def __post_init__(self) -> None:
        checks.integer(self.chains, "the number of chains", 1, 10**6)
        checks.integer(self.seed, "seed", 0, 2**63 - 1)
        check_betas(self.betas)


def check_betas(betas: Any) -> None:
    """Raise InputError for what is no schedule of inverse temperatures."""
    steps = adaptive_steps(betas)
    if steps is None:
        schedule(betas)
    else:
        checks.integer(steps, "the number of adaptive temperatures", 1, MOST_STEPS)


@dataclass(frozen=True)
class Wanted:
    """The half-width of the interval of log Z in nats, seconds to reach it in, and the seed."""

    error: float = 0.25
    budget: float = 600.0
    seed: int = 0


def annealed(model: Model, annealing: Annealing, progress: Report) -> Estimate | None:
    """log Z, exact where that is quick, else by annealing; None where it is 0 by construction."""
    machine = model.undirected
    if machine is None:
        return None
    how = annealing.chains, annealing.betas, annealing.seed
    return exact_or_ais(machine, *how, steps(progress, "annealing log Z"))


def two_sided(machine: BoltzmannMachine, wanted: Wanted, progress: Report, enumerates: bool = True) -> TwoSided:
    """log Z from both sides, of which progress hears each part of each attempt; small machines may be enumerated."""
    if not quick(machine) or not enumerates:
        progress("fitting a ladder of temperatures", 0, 0)
    if not enumerates and quick(machine):
        return sampled(machine, wanted.error, wanted.budget, wanted.seed, None, attempts(progress, PARTS))
    return from_both_sides(machine, wanted.error, wanted.budget, wanted.seed, None, attempts(progress, PARTS))


def snapshots_of(found: Trained, what: str) -> list[int]:
    """The updates of the snapshots of a run; raises InputError where it kept none."""
    if not found.updates:
        raise InputError(f"{what} needs a run that kept snapshots (boltz train --snapshots), got {found.place}.")
    return found.updates
