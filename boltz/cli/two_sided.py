"""log Z from both sides and by replica exchange, for the commands: the work with its progress, and in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import boltz
from boltz import checks
from boltz.cli.common import say
from boltz.cli.measure import quick
from boltz.cli.progress import Progress
from boltz.estimators.estimate import Estimate
from boltz.estimators.replica_exchange import LadderEstimate
from boltz.estimators.two_sided import CONTRADICTION, Side, Sides, TwoSided
from boltz.estimators.words import ends_of, in_words, small, value_of
from boltz.models.boltzmann import BoltzmannMachine

PARTS = ("replica exchange", "annealing up", "annealing down")
KINDS = {
    "lower": "a lower bound in expectation",
    "upper": "an upper bound in expectation",
    "none": "a diagnostic: its chains start from samples of replica exchange, not from exact ones",
}


@dataclass(frozen=True)
class Wanted:
    """The half-width of the interval of log Z in nats, seconds to reach it in, and the seed; raises InputError."""

    error: float = 0.25
    budget: float = 600.0
    seed: int = 0

    def __post_init__(self) -> None:
        checks.number(self.error, "--error", 1e-9)
        checks.number(self.budget, "--budget", 0.0)
        checks.integer(self.seed, "seed", 0, 2**63 - 1)


def measured(machine: BoltzmannMachine, wanted: Wanted, progress: Progress) -> TwoSided:
    """log Z from both sides, each part of each attempt shown on its own."""
    if not quick(machine):
        say("fitting a ladder of temperatures")
    return boltz.log_z(machine, wanted.error, wanted.budget, wanted.seed, progress=_shown(progress))


def _shown(progress: Progress) -> Callable[[int, int], None]:
    """What shows parts that follow one another: one ends where all of its steps are done."""
    ended = 0

    def show(done: int, total: int) -> None:
        nonlocal ended
        attempt, part = divmod(ended, len(PARTS))
        progress.update(f"attempt {attempt + 1}, {PARTS[part]}", done, total)
        ended += done == total

    return show


def as_dict(found: TwoSided) -> dict[str, Any]:
    """Everything but the best value, for JSON."""
    return {
        "wanted": found.wanted,
        "reached": found.reached,
        "gap": found.gap,
        "lower": found.lower.as_dict(),
        "upper": found.upper.as_dict(),
        "ladder": None if found.ladder is None else ladder_dict(found.ladder),
    }


def ladder_dict(ladder: LadderEstimate) -> dict[str, Any]:
    """What replica exchange says, for JSON."""
    return {
        "estimate": ladder.estimate.as_dict(),
        "places": ladder.places.tolist(),
        "log_z": plain(ladder.log_z),
        "errors": plain(ladder.errors),
        "acceptance": plain(ladder.acceptance),
        "trips": ladder.trips.tolist(),
        "halves": float(ladder.halves),
        "memory": float(ladder.memory),
        "doubts": list(ladder.doubts),
    }


def plain(values: Any) -> list[float | None]:
    """Numbers for JSON, None for what is not finite."""
    return [float(x) if np.isfinite(x) else None for x in values]


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
        f"replica exchange {value}  {ladder_words(found.ladder)}; forward/reverse gap {round(found.gap, 2) + 0.0:.2f}",
    ]


def sides_dict(found: Sides) -> dict[str, Any]:
    """The two sides of a log-likelihood with their standing, for JSON."""
    both = {"lower": found.lower, "upper": found.upper}
    return {name: side.estimate.as_dict() | {"standing": side.standing} for name, side in both.items()}


def side_words(found: Sides) -> list[str]:
    """A sentence for each side of a log-likelihood: what bounds it there, and whether that is certified."""
    low, high = found.lower.estimate, found.upper.estimate
    return [
        _side(found.lower, f"at least {value_of(low)} (95 % from {ends_of(low)[0]})", "above"),
        _side(found.upper, f"at most  {value_of(high)} (95 % to {ends_of(high)[1]})", "below"),
    ]


def _side(side: Side, bound: str, source: str) -> str:
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


def ladder_words(ladder: LadderEstimate) -> str:
    """Rungs, copies and journeys of replica exchange, and what makes it doubtful."""
    estimate, kinds = ladder.estimate, "temperatures" if "temperatures" in ladder.estimate.method else "machines"
    made = f"{estimate.ess:.0f} of them made the journey"
    told = f"{len(ladder.places)} {kinds}, {estimate.chains} copies, {made}"
    return told if estimate.trusted else f"{told}: NOT trusted, since " + " and ".join(ladder.doubts)
