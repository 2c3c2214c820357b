"""Estimates in figures and words: two digits of an error, and as many decimals of its value (nats)."""

from __future__ import annotations

import math

from boltz.estimators.estimate import Estimate

FEWEST, MOST, OF_EXACT = 2, 6, 4


def digits(error: float) -> int:
    """Decimals that give an error two significant digits, 2 to 6; 4 beside no error, 2 beside an unknown one."""
    if error == 0:
        return OF_EXACT
    if not math.isfinite(error):
        return FEWEST
    return min(max(1 - math.floor(math.log10(error) + 1e-9), FEWEST), MOST)


def figure(value: float, error: float) -> str:
    """A value in nats with as many decimals as its error asks for."""
    return f"{value:.{digits(error)}f}"


def small(error: float) -> str:
    """An error with two significant digits: at least two decimals, at most six."""
    return figure(error, error)


def least_error(found: Estimate) -> float:
    """The smaller one of the two errors that is not 0: what the digits of the value follow."""
    return min((error for error in (found.standard_error, found.standard_error_rows) if error > 0), default=0.0)


def value_of(found: Estimate) -> str:
    """The value, with the decimals of its smaller error."""
    return figure(found.value, least_error(found))


def ends_of(found: Estimate) -> tuple[str, str]:
    """Both ends of the 95 % interval, with the decimals of the joint error."""
    joint = math.hypot(found.standard_error, found.standard_error_rows)
    low, high = (figure(end, joint) for end in found.interval)
    return low, high


def interval_of(found: Estimate) -> str:
    """The 95 % interval as "low to high"."""
    return " to ".join(ends_of(found))


def errors_of(found: Estimate) -> str:
    """The errors that there are: "+- 0.067 (estimation) +- 0.79 (2,000 rows)", and only "+- 0.067" without rows."""
    estimation = f"+- {small(found.standard_error)}" if found.standard_error > 0 else ""
    if found.per_row is None:
        return estimation
    rows = len(found.per_row)
    many = f"+- {small(found.standard_error_rows)} ({rows:,} rows)"
    of_rows = many if rows > 1 else "(one row tells nothing of others)"
    return f"{estimation} (estimation) {of_rows}" if estimation else of_rows


def in_words(found: Estimate) -> str:
    """Value, errors and 95 % interval of an estimate in nats, in one line; whether it is exact."""
    told = " ".join(filter(None, (value_of(found), "nats", errors_of(found))))
    if found.kind == "exact":
        told = told.replace("nats", "nats, exact", 1)
    known = all(map(math.isfinite, found.interval)) and found.interval[0] != found.interval[1]
    return f"{told}, 95 % interval {interval_of(found)}" if known else told
