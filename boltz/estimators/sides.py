"""Log-likelihoods between the two sides of log Z, and what each side certifies.

log p(v) = log p*(v) - log Z, so that the upper side of log Z gives the lower side of log p(v) and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from boltz.estimators.result import Estimate, Kind, joined, kind_of_difference
from boltz.estimators.sandwich import TwoSided

Standing = Literal["certified", "diagnostic", "none"]


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


def sides(log_marginal: Estimate, log_z: TwoSided) -> Sides:
    """The mean of log p*(v) less log Z: less its best value, its upper side (lower), and its lower side (upper)."""
    return Sides(
        difference(log_marginal, log_z.estimate),
        _side(log_marginal, log_z.upper, "lower"),
        _side(log_marginal, log_z.lower, "upper"),
    )


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first - second in nats, their errors taken as independent, per_row that of first less second.

    Each end of the interval is as far from the value as both ends that lead there, added in squares. Chains, their
    effective number and log-weights are those of second, unless it is exact.
    """
    value, counted = first.value - second.value, first if second.kind == "exact" else second
    below = np.hypot(first.value - first.interval[0], second.interval[1] - second.value)
    above = np.hypot(first.interval[1] - first.value, second.value - second.interval[0])
    return Estimate(
        value,
        float(np.hypot(first.standard_error, second.standard_error)),
        (float(value - below), float(value + above)),
        kind_of_difference(first.kind, second.kind),
        counted.ess,
        counted.chains,
        counted.steps,
        joined(first.doubts, second.doubts),
        counted.log_weights,
        None if first.per_row is None else first.per_row - second.value,
        f"{first.method}; log Z by {second.method}",
        standard_error_rows=float(np.hypot(first.standard_error_rows, second.standard_error_rows)),
    )


def _side(log_marginal: Estimate, log_z: Estimate, wanted: Kind) -> Side:
    """The side that a bound of the wanted kind is on, less this side of log Z."""
    found = difference(log_marginal, log_z)
    if found.kind in (wanted, "exact"):
        return Side(found, "certified")
    opposite: Kind = "upper" if wanted == "lower" else "lower"
    possible = log_z.kind == "none" and kind_of_difference(log_marginal.kind, opposite) == wanted
    return Side(found, "diagnostic" if possible else "none")
