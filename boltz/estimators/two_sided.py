"""log Z from both sides, to an accuracy that is asked for: annealing up, annealing down, and replica exchange between.

Up is a lower bound in expectation. Down is an upper bound if its chains start from exact samples (Grosse, Ancha & Roy
2016), which only machines small enough to enumerate have; from samples of replica exchange it is a diagnostic.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from boltz import checks, html
from boltz.estimators import words
from boltz.estimators.ais import annealed_up, missed, moved, thinned
from boltz.estimators.bases import chosen
from boltz.estimators.estimate import Estimate, Kind, OfLogZ, difference, joined, kind_of_difference
from boltz.estimators.exact import exact_log_z, quick
from boltz.estimators.precision import wide_enough
from boltz.estimators.replica_exchange import LadderEstimate, estimated, settle, started
from boltz.estimators.reverse_ais import annealed_down
from boltz.estimators.words import ends_of, in_words, small, value_of
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.rng import Key
from boltz.sampling.annealing import Progress
from boltz.sampling.base_rate import base_rates, held_states
from boltz.sampling.ladder_fitting import COPIES
from boltz.sampling.modes import Modes
from boltz.sampling.replica_exchange import exchange

Standing = Literal["certified", "diagnostic", "none"]

FIRST_ROUNDS, FIRST_STEPS = 300, 1500
CHAINS, MOST_CHAINS = 100, 10_000  # so many that what all of them miss is less than the error asked for
CONTRADICTION = 4.0
LEAST_GROWTH, MOST_GROWTH, MARGIN = 2.0, 4.0, 1.2
KINDS = {
    "lower": "a lower bound in expectation",
    "upper": "an upper bound in expectation",
    "none": "a diagnostic: its chains start from samples of replica exchange, not from exact ones",
}


@dataclass(frozen=True, eq=False)
class TwoSided(OfLogZ):
    """log Z from both sides, in nats.

    - estimate: the best value. Its interval holds that of the ladder, the lower end of lower's and the upper end of
      upper's. It is trusted if all three parts are and agree.
    - lower, upper: annealing up, and annealing down.
    - ladder: replica exchange, None where log Z is exact.
    - wanted: the half-width that was asked for.
    - reached: whether the interval is trusted and that narrow.
    - seconds: the time it took.
    """

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

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the best value is in estimate."""
        return {
            "wanted": self.wanted,
            "reached": self.reached,
            "gap": self.gap,
            "lower": self.lower.as_dict(),
            "upper": self.upper.as_dict(),
            "ladder": None if self.ladder is None else self.ladder.as_dict(),
        }

    def __str__(self) -> str:
        return "\n".join(lines("log Z", self))

    def __repr__(self) -> str:
        return f"TwoSided(log Z {words.in_words(self.estimate)}, {goal(self)})"

    def _repr_html_(self) -> str:
        if self.ladder is None:
            return html.table(words.table_lines(self.estimate), caption="log Z")
        parts = {"annealing up": self.lower, "replica exchange": self.ladder.estimate, "annealing down": self.upper}
        wanted = [(f"wanted +-{self.wanted:g}", "reached" if self.reached else "NOT reached")]
        return html.table(
            [*words.table_lines(self.estimate), *wanted, *((name, words.in_words(x)) for name, x in parts.items())],
            caption="log Z from both sides",
        )


def from_both_sides(
    model: BoltzmannMachine,
    error: float = 0.25,
    budget: float = 600.0,
    seed: int = 0,
    base: Any = None,
    progress: Progress | None = None,
) -> TwoSided:
    """log Z with a two-sided 95 % interval of half-width at most error nats, or the best that budget seconds give.

    Machines with at most 20 units in the smaller colour class are enumerated, and those of one layer eliminated unit by
    unit where that is as quick; only these may have couplings within layers. Others are measured by replica exchange,
    whose samples start annealing downwards, and by annealing upwards, with more rounds and temperatures each time until
    the interval is narrow and all parts trust themselves and agree. A new attempt begins only if it is expected to end
    within the budget; the first always runs. The outcome of an attempt depends on seed alone. progress counts attempts'
    parts. Raises InputError.
    """
    model = checked_model(model, any_units=True, any_graph=True)
    error = checks.number(error, "error", 1e-9)
    budget = checks.number(budget, "budget", 0.0)
    checks.callback(progress, "progress", 2)
    seed, began = checks.seed(seed), time.monotonic()
    if base is not None:
        base_rates(model, base, seed)  # a base that does not fit is refused also where it is not needed
    if quick(model):
        found = exact_log_z(model)
        return TwoSided(found, found, found, None, error, True, time.monotonic() - began)
    return two_sided(model, error, budget, seed, base, progress)


def two_sided(
    model: BoltzmannMachine,
    error: float,
    budget: float,
    seed: int = 0,
    base: Any = None,
    progress: Progress | None = None,
) -> TwoSided:
    """As from_both_sides, of a checked machine and without its enumeration."""
    began, key, model = time.monotonic(), Key.from_seed(seed).derive("log_z"), wide_enough(model)
    replicas = started(model, (), COPIES, base, seed, key.derive("exchange"))
    rounds, steps, attempt, shorter = FIRST_ROUNDS, FIRST_STEPS, 0, None
    direction, chains = settle(replicas, rounds // 2), int(np.clip(round(2 / error), CHAINS, MOST_CHAINS))
    while True:
        start = time.monotonic()
        ladder = estimated(replicas, exchange(replicas, rounds, 2, progress, direction))
        lower, upper, shorter = _annealed(
            model, ladder, (steps, attempt, shorter), (key, base, replicas.modes), chains, progress
        )
        found = bracket(lower, upper, ladder)
        width, taken = (found.interval[1] - found.interval[0]) / 2, time.monotonic() - start
        reached = found.trusted and width <= error
        growth = float(np.clip(MARGIN * (width / error) ** 2, LEAST_GROWTH, MOST_GROWTH))
        if reached or time.monotonic() - began + growth * taken > budget:
            return TwoSided(found, lower, upper, ladder, error, reached, time.monotonic() - began)
        rounds, steps, attempt = round(growth * rounds), round(growth * steps), attempt + 1


def _annealed(
    model: BoltzmannMachine,
    ladder: LadderEstimate,
    attempt: tuple[int, int, Estimate | None],
    chance: tuple[Key, Any, Modes | None],
    chains: int,
    progress: Progress | None,
) -> tuple[Estimate, Estimate, Estimate]:
    """Annealing up and down, over so many temperatures at this attempt, and what the next one is to be compared with.

    The attempt before, which had fewer temperatures, is the second look; the first attempt runs a fifth of its own.
    """
    (steps, number, shorter), (key, base, modes) = attempt, chance
    own = key.derive("annealing", number)
    chosen_base, chance_key = chosen(model, f"adaptive:{steps}", own.key0, base, modes=modes)
    if shorter is None:
        fewer = replace(chosen_base, betas=thinned(chosen_base.betas))
        shorter = annealed_up(fewer, chains, chance_key.derive("shorter"))
    up = annealed_up(chosen_base, chains, chance_key, progress=progress)
    lower = replace(up, doubts=joined(up.doubts, moved(shorter, up), missed(up, chosen_base, chance_key)))
    states = held_states(chosen_base.path, ladder.samples)
    upper = annealed_down(chosen_base, states, chance_key, False, progress)
    return lower, upper, up


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


@dataclass(frozen=True, eq=False)
class Side:
    """One side of a log-likelihood in nats, and what it is worth.

    certified: a bound in expectation on this side, or exact; diagnostic: it would be one if that side of log Z were
    certified; none: no bound on this side, whatever log Z is.
    """

    estimate: Estimate
    standing: Standing


@dataclass(frozen=True, eq=False)
class Sides:
    """A mean log-likelihood in nats: the best value, and its two sides."""

    best: Estimate
    lower: Side
    upper: Side

    def as_dict(self) -> dict[str, Any]:
        """The two sides with their standing, as plain values for JSON."""
        both = {"lower": self.lower, "upper": self.upper}
        return {name: side.estimate.as_dict() | {"standing": side.standing} for name, side in both.items()}


def sides(log_marginal: Estimate, log_z: TwoSided) -> Sides:
    """The mean of log p*(v) less log Z: less its best value, its upper side (lower), and its lower side (upper)."""
    return Sides(
        difference(log_marginal, log_z.estimate),
        _side(log_marginal, log_z.upper, "lower"),
        _side(log_marginal, log_z.lower, "upper"),
    )


def _side(log_marginal: Estimate, log_z: Estimate, wanted: Kind) -> Side:
    """The side that a bound of the wanted kind is on, less this side of log Z."""
    found = difference(log_marginal, log_z)
    if found.kind in (wanted, "exact"):
        return Side(found, "certified")
    opposite: Kind = "upper" if wanted == "lower" else "lower"
    possible = log_z.kind == "none" and kind_of_difference(log_marginal.kind, opposite) == wanted
    return Side(found, "diagnostic" if possible else "none")


def lines(name: str, found: TwoSided) -> list[str]:
    """The best value, what was wanted, and each part with what makes it doubtful."""
    if found.ladder is None:
        return [f"{name} {in_words(found.estimate)}"]
    up, down, middle = found.lower, found.upper, found.ladder.estimate
    value = f"{value_of(middle):>9}  +- {small(middle.standard_error)}"
    return [
        headline(name, found.estimate, found),
        *(f"  {sentence}" for sentence in [_contradictions(found)] if sentence),
        f"annealing up     {value_of(up):>9}  from {ends_of(up)[0]}  {KINDS[up.kind]}, {_weights(up)}",
        f"annealing down   {value_of(down):>9}  to {ends_of(down)[1]:<6}  {KINDS[down.kind]}, {_weights(down)}",
        f"replica exchange {value}  {found.ladder.words}; forward/reverse gap {round(found.gap, 2) + 0.0:.2f}",
    ]


def side_words(found: Sides) -> list[str]:
    """A sentence for each side of a log-likelihood: what bounds it there, and whether that is certified."""
    low, high = found.lower.estimate, found.upper.estimate
    return [
        _side_words(found.lower, f"at least {value_of(low)} (95 % from {ends_of(low)[0]})", "above"),
        _side_words(found.upper, f"at most  {value_of(high)} (95 % to {ends_of(high)[1]})", "below"),
    ]


def _side_words(side: Side, bound: str, source: str) -> str:
    estimate, trust = side.estimate, "" if side.estimate.trusted else "; NOT trusted, since one of its parts is not"
    if side.standing == "certified":
        return f"{bound}: certified in expectation, less log Z from {source}{trust}"
    if side.standing == "diagnostic":
        return f"{bound}: a diagnostic, less log Z from {source}, which is no certified bound{trust}"
    return f"no bound {value_of(estimate)}: a lower bound on log p*(v) less log Z from {source}{trust}"


def headline(name: str, estimate: Estimate, log_z: TwoSided) -> str:
    """A value that rests on log Z from both sides, and whether what was wanted of that was reached."""
    trust = "trusted" if estimate.trusted else "NOT trusted, nor is its interval"
    return f"{name} {in_words(estimate)} ({goal(log_z)}), {trust}"


def goal(log_z: TwoSided) -> str:
    """What was wanted of log Z, whether it was reached, and if not, what to raise."""
    ends = log_z.estimate.interval
    width, wanted = (ends[1] - ends[0]) / 2, f"wanted +-{log_z.wanted:g}"
    if log_z.reached:
        return f"{wanted}: reached"
    if width > log_z.wanted:
        return f"{wanted}: NOT reached within the budget, it is +-{small(width)}; raise --budget or --error"
    return f"{wanted}: NOT reached within the budget, the interval is +-{small(width)} but not trusted; raise --budget"


def _weights(estimate: Estimate) -> str:
    """How many chains are effective, and the verdict on an annealing run that is not trusted."""
    count = f"{estimate.ess:.0f} of {estimate.chains} chains effective"
    if estimate.trusted:
        return count
    return f"{count}: NOT trusted, since {' and '.join(estimate.doubts)}"


def _contradictions(found: TwoSided) -> str:
    """Which parts contradict each other, or nothing."""
    assert found.ladder is not None
    named = [*zip(("annealing up", "annealing down"), (found.lower, found.upper), strict=True)]
    middle = ("replica exchange", found.ladder.estimate)
    pairs = [(named[0], middle), (middle, named[1]), (named[0], named[1])]
    wrong = [
        f"{below} lies above {above}"
        for (below, one), (above, other) in pairs
        if one.value - other.value > CONTRADICTION * float(np.hypot(one.standard_error, other.standard_error))
    ]
    return f"NOT trusted, since parts contradict each other: {', '.join(wrong)}" if wrong else ""
