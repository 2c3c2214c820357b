"""What an estimate of log Z from both sides says of the machine: findings for a diagnosis.

Estimates fail silently where neighbouring densities do not overlap, or where annealing is too quick for the machine to
follow; swaps, journeys along the ladder, the way down and a shorter schedule each see a part of that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from boltz import checks
from boltz.diagnostics.findings import Finding, Verdict, graded
from boltz.estimators.ais import ais
from boltz.estimators.estimate import Estimate
from boltz.estimators.replica_exchange import LONGEST_MEMORY, TRUSTED_TRAVELLED, LadderEstimate
from boltz.estimators.two_sided import CONTRADICTION, TwoSided
from boltz.estimators.words import TRUSTED_SHARE
from boltz.models.boltzmann import BoltzmannMachine

LOW, LOST = 0.2, 0.05  # mean probability that neighbours swap
WIDE = 1.0  # nats between annealing up and down
FEW_EFFECTIVE = 0.05  # share of chains
SOME_MEMORY = 0.25  # correlation over copies, which 64 that forget reach once in 40 times
NAMED = 3  # pairs that a sentence names
MORE = "give it more time (--budget), and trust neither the value nor its interval."


def overlap(found: TwoSided, shorter: Estimate | None = None) -> list[Finding]:
    """Findings on log Z, on swaps, journeys and memory of the ladder, on the gap of annealing, on a shorter schedule.

    shorter is annealing upwards over half the temperatures of found.lower; without it the doubling is not judged. A
    machine whose log Z is exact has the first finding alone.
    """
    if found.ladder is None:
        return [value_found(found)]
    ladder = found.ladder
    along = [overlap_lost(ladder), swap_acceptance(ladder), round_trips(ladder), memory_found(ladder)]
    findings = [value_found(found), *along, gap_found(found)]
    return findings if shorter is None else [*findings, doubling(shorter, found.lower)]


def halved(model: BoltzmannMachine, found: TwoSided, seed: int = 0, base: Any = None) -> Estimate | None:
    """Annealing upwards over half as many temperatures as found.lower; None where log Z is exact. Raises InputError.

    seed is that of log_z, beside whose random numbers these are others.
    """
    if found.ladder is None:
        return None
    own = (checks.seed(seed) + 2**63) % 2**64
    return ais(model, found.lower.chains, f"adaptive:{found.lower.steps // 2}", own, base)


def value_found(found: TwoSided) -> Finding:
    """log Z with its interval, and whether it is trusted and as narrow as was asked for."""
    value, (low, high) = found.estimate.value, found.estimate.interval
    if found.ladder is None:
        return Finding("log Z", "fine", value, f"log Z is {value:.4f} nats, by enumeration.")
    sentence = f"log Z is {value:.2f} nats, 95 % interval {low:.2f} to {high:.2f}, "
    if found.reached:
        return Finding("log Z", "fine", value, f"{sentence}as narrow as was asked for (+-{found.wanted:g}).")
    if found.estimate.trusted:
        sentence += f"trusted, but not within the +-{found.wanted:g} that was asked for."
        return Finding("log Z", "attention", value, sentence, "give it more time (--budget), or a larger --error.")
    return Finding("log Z", "bad", value, f"{sentence}NOT trusted.", MORE)


def overlap_lost(ladder: LadderEstimate) -> Finding:
    """How many neighbours of the ladder hardly ever swap, and between which places they stand."""
    lost = np.flatnonzero(ladder.acceptance < LOST)
    if not len(lost):
        sentence = f"No neighbours of the {len(ladder.places)} rungs swap with probability below {LOST}."
        return Finding("overlap lost", "fine", 0.0, sentence)
    worst = sorted(lost[np.argsort(ladder.acceptance[lost], kind="stable")][:NAMED])
    pairs = ", ".join(f"{ladder.places[k]:.4g} and {ladder.places[k + 1]:.4g}" for k in worst)
    more = f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    sentence = (
        f"Overlap is lost between the rungs at {pairs}{more}: swaps there have probability "
        f"{ladder.acceptance.min():.2g} at the least."
    )
    advice = (
        "the machine changes abruptly there: anneal with more temperatures there, or go along snapshots of training."
    )
    return Finding("overlap lost", "bad", float(len(lost)), sentence, advice)


def swap_acceptance(ladder: LadderEstimate) -> Finding:
    """The least and the mean probability that neighbours of the ladder swap."""
    least, k = float(ladder.acceptance.min()), int(ladder.acceptance.argmin())
    verdict = graded(-least, -LOW, -LOST)
    sentence = (
        f"Neighbours of the ladder swap with probability {ladder.acceptance.mean():.2f} on average, and {least:.2g} "
        f"between the rungs at {ladder.places[k]:.4g} and {ladder.places[k + 1]:.4g}."
    )
    advice = (
        ""
        if verdict == "fine"
        else "the number of rungs follows a short pilot run: another --seed may place them better."
    )
    return Finding("swap acceptance", verdict, least, sentence, advice)


def round_trips(ladder: LadderEstimate) -> Finding:
    """The share of copies in which a replica went from the first rung to the last and back."""
    share, rounds = float(np.mean(ladder.trips > 0)), ladder.estimate.steps
    verdict: Verdict = "fine" if share >= TRUSTED_TRAVELLED else "attention" if share > 0 else "bad"
    sentence = (
        f"Replicas went from the first rung to the last and back in {int((ladder.trips > 0).sum())} of "
        f"{len(ladder.trips)} copies, {ladder.trips.mean():.1f} times a copy within {rounds:,} rounds."
    )
    advice = "" if verdict == "fine" else f"samples have not forgotten where they came from: {MORE}"
    return Finding("round trips", verdict, share, sentence, advice)


def memory_found(ladder: LadderEstimate) -> Finding:
    """Whether copies of the ladder forget where they were within half of the run."""
    verdict = graded(ladder.memory, SOME_MEMORY, LONGEST_MEMORY)
    sentence = f"What copies say of log Z in both halves of the run has a correlation of {ladder.memory:.2f}."
    advice = "" if verdict == "fine" else f"copies stay long in modes that are hard to leave or to find: {MORE}"
    return Finding("memory of copies", verdict, ladder.memory, sentence, advice)


def gap_found(found: TwoSided) -> Finding:
    """Annealing down less annealing up, beside the error of the difference."""
    gap = found.gap
    error = float(np.hypot(found.lower.standard_error, found.upper.standard_error))
    sentence = f"Annealing down lies {gap:+.2f} nats from annealing up, with a standard error of {error:.2f}."
    if gap < -CONTRADICTION * error:
        advice = f"the lower end lies above the upper one, so that one of both has missed a mode: {MORE}"
        return Finding("forward/reverse gap", "bad", gap, sentence, advice)
    if gap > WIDE:
        return Finding("forward/reverse gap", "attention", gap, sentence, f"the annealing is too quick: {MORE}")
    return Finding("forward/reverse gap", "fine", gap, sentence)


def doubling(shorter: Estimate, longer: Estimate) -> Finding:
    """Whether annealing upwards gives the same over twice the temperatures, with enough of its chains effective."""
    change = longer.value - shorter.value
    error = float(np.hypot(shorter.standard_error, longer.standard_error))
    shares = shorter.ess / max(shorter.chains, 1), longer.ess / max(longer.chains, 1)
    moved = abs(change) > CONTRADICTION * error
    verdict = graded(-shares[1], -TRUSTED_SHARE, -FEW_EFFECTIVE)
    verdict = "attention" if moved and verdict == "fine" else verdict
    sentence = (
        f"From {shorter.steps:,} to {longer.steps:,} temperatures annealing moves by {change:+.2f} nats, with a "
        f"standard error of {error:.2f}; {shares[0]:.0%} and {shares[1]:.0%} of its chains are effective."
    )
    advice = "" if verdict == "fine" else f"annealing has not settled: {MORE}"
    return Finding("doubling of the schedule", verdict, change, sentence, advice)
