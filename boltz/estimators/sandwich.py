"""log Z from both sides, to an accuracy that is asked for: annealing up, annealing down, and replica exchange between.

Up is a lower bound in expectation. Down is an upper bound if its chains start from exact samples (Grosse, Ancha & Roy
2016), which only machines small enough to enumerate have; from samples of replica exchange it is a diagnostic.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from boltz import checks
from boltz.estimators.annealed import ais, reverse_ais
from boltz.estimators.exact import QUICK_UNITS, class_units, exact_log_z
from boltz.estimators.exchange import COPIES, SWEEPS, LadderEstimate, estimated, fitted_ladder
from boltz.estimators.result import Estimate, joined
from boltz.estimators.temperatures import adaptive
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, Progress
from boltz.sampling.rates import base_rates
from boltz.sampling.tempering import climb, exchange
from boltz.targets import path_to

FIRST_ROUNDS, FIRST_STEPS, CHAINS = 300, 1500, 100
CONTRADICTION = 4.0
LEAST_GROWTH, MOST_GROWTH, MARGIN = 2.0, 4.0, 1.2


@dataclass(frozen=True, eq=False)
class TwoSided:
    """log Z from both sides, in nats.

    estimate: the best value; its interval holds that of the ladder, the lower end of lower's and the upper end of
    upper's; trusted if all three parts are and agree; lower and upper: annealing up and down; ladder: replica exchange,
    None where log Z is exact; wanted: the half-width that was asked for; reached: whether the interval is trusted and
    that narrow; seconds: the time it took.
    """

    estimate: Estimate
    lower: Estimate
    upper: Estimate
    ladder: LadderEstimate | None
    wanted: float
    reached: bool
    seconds: float

    @property
    def gap(self) -> float:
        """upper less lower: how much annealing loses on the way up and down together."""
        return self.upper.value - self.lower.value


def log_z(
    model: BoltzmannMachine,
    error: float = 0.25,
    budget: float = 600.0,
    seed: int = 0,
    base: Any = None,
    progress: Progress | None = None,
) -> TwoSided:
    """log Z with a two-sided 95 % interval of half-width at most error nats, or the best that budget seconds give.

    Machines with at most 20 units in the smaller colour class are enumerated. Others are measured by replica exchange,
    whose samples start annealing downwards, and by annealing upwards, with more rounds and temperatures each time until
    the interval is narrow and all parts trust themselves and agree. A new attempt begins only if it is expected to end
    within the budget; the first always runs. The outcome of an attempt depends on seed alone. progress counts attempts'
    parts. Raises InputError.
    """
    model, began = checked_model(model), time.monotonic()
    error = checks.number(error, "error", 1e-9)
    budget = checks.number(budget, "budget", 0.0)
    seed = checks.integer(seed, "seed", 0, 2**64 - 1)
    rates, key = base_rates(model, base, seed), Key.from_seed(seed).derive("log_z")
    if min(class_units(model, layers) for layers in model.graph.colours) <= QUICK_UNITS:
        found = exact_log_z(model)
        return TwoSided(found, found, found, None, error, True, time.monotonic() - began)
    replicas = climb(fitted_ladder(model, (), rates, seed), COPIES, SWEEPS, key.derive("exchange"))
    rounds, steps, attempt = FIRST_ROUNDS, FIRST_STEPS, 0
    exchange(replicas, rounds // 2, keep=0)
    while True:
        start, own = time.monotonic(), key.derive("annealing", attempt)
        ladder = estimated(replicas, exchange(replicas, rounds, keep=2, progress=progress))
        betas = adaptive(GibbsPath(path_to(model, rates)), steps, own)
        lower = ais(model, CHAINS, betas, own.key0, rates, progress=progress)
        upper = reverse_ais(model, ladder.samples, CHAINS, betas, own.key0, rates, progress=progress)
        found = bracket(lower, upper, ladder)
        width, taken = (found.interval[1] - found.interval[0]) / 2, time.monotonic() - start
        reached = found.trusted and width <= error
        growth = float(np.clip(MARGIN * (width / error) ** 2, LEAST_GROWTH, MOST_GROWTH))
        if reached or time.monotonic() - began + growth * taken > budget:
            return TwoSided(found, lower, upper, ladder, error, reached, time.monotonic() - began)
        rounds, steps, attempt = round(growth * rounds), round(growth * steps), attempt + 1


def bracket(lower: Estimate, upper: Estimate, ladder: LadderEstimate) -> Estimate:
    """The value of replica exchange, within an interval that holds its own one, lower's lower and upper's upper end.

    Trusted if all three are, and if no two of them contradict each other by more than 4 standard errors.
    """
    middle = ladder.estimate
    ends = min(lower.interval[0], middle.interval[0]), max(upper.interval[1], middle.interval[1])
    parts = {"annealing up": lower, "replica exchange": middle, "annealing down": upper}
    wrong = tuple(
        f"{below} lies above {above}"
        for below, above in combinations(parts, 2)
        if not _not_above(parts[below], parts[above])
    )
    doubts = joined(*(tuple(f"{name}: {doubt}" for doubt in part.doubts) for name, part in parts.items()), wrong)
    return Estimate(
        middle.value,
        middle.standard_error,
        ends,
        "none",
        min(lower.ess, upper.ess),
        lower.chains,
        lower.steps,
        doubts,
        method=f"{middle.method}, between annealing up and down over {lower.steps} temperatures",
    )


def _not_above(one: Estimate, other: Estimate) -> bool:
    return one.value - other.value <= CONTRADICTION * float(np.hypot(one.standard_error, other.standard_error))
