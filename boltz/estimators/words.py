"""Estimates in figures and words: two digits of an error, and as many decimals of its value (nats)."""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Protocol

FEWEST, MOST, OF_EXACT = 2, 6, 4
TRUSTED_CHAINS, TRUSTED_SHARE = 100, 0.3


class Told(Protocol):
    """What is said of an estimate (boltz.Estimate)."""

    @property
    def value(self) -> float: ...
    @property
    def standard_error(self) -> float: ...
    @property
    def standard_error_rows(self) -> float: ...
    @property
    def interval(self) -> tuple[float, float]: ...
    @property
    def kind(self) -> str: ...
    @property
    def ess(self) -> float: ...
    @property
    def chains(self) -> int: ...
    @property
    def doubts(self) -> tuple[str, ...]: ...
    @property
    def trusted(self) -> bool: ...
    @property
    def per_row(self) -> Sized | None: ...


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


def least_error(found: Told) -> float:
    """The smaller one of the two errors that is not 0: what the digits of the value follow."""
    return min((error for error in (found.standard_error, found.standard_error_rows) if error > 0), default=0.0)


def value_of(found: Told) -> str:
    """The value, with the decimals of its smaller error."""
    return figure(found.value, least_error(found))


def ends_of(found: Told) -> tuple[str, str]:
    """Both ends of the 95 % interval, with the decimals of the joint error."""
    joint = math.hypot(found.standard_error, found.standard_error_rows)
    low, high = (figure(end, joint) for end in found.interval)
    return low, high


def interval_of(found: Told) -> str:
    """The 95 % interval as "low to high"."""
    return " to ".join(ends_of(found))


def errors_of(found: Told) -> str:
    """The errors that there are: "+- 0.067 (estimation) +- 0.79 (2,000 rows)", and only "+- 0.067" without rows."""
    estimation = f"+- {small(found.standard_error)}" if found.standard_error > 0 else ""
    if found.per_row is None:
        return estimation
    rows = len(found.per_row)
    many = f"+- {small(found.standard_error_rows)} ({rows:,} rows)"
    of_rows = many if rows > 1 else "(one row tells nothing of others)"
    return f"{estimation} (estimation) {of_rows}" if estimation else of_rows


def in_words(found: Told) -> str:
    """Value, errors and 95 % interval of an estimate in nats, in one line; whether it is exact."""
    told = " ".join(filter(None, (value_of(found), "nats", errors_of(found))))
    if found.kind == "exact":
        told = told.replace("nats", "nats, exact", 1)
    known = all(map(math.isfinite, found.interval)) and found.interval[0] != found.interval[1]
    return f"{told}, 95 % interval {interval_of(found)}" if known else told


def few_effective(ess: float, chains: int) -> tuple[str, ...]:
    """What the number of chains and of effective ones says against their error, in words."""
    if chains < TRUSTED_CHAINS:
        return (f"{chains} chains ran, fewer than {TRUSTED_CHAINS}",)
    if ess < TRUSTED_SHARE * chains:
        return (f"{ess:.0f} of {chains} chains are effective, fewer than {TRUSTED_SHARE:.0%}",)
    return ()


def effective(found: Told) -> str:
    """How many chains are effective."""
    return f"{found.ess:.0f} of {found.chains} chains are effective"


def described(name: str, found: Told) -> str:
    """One line on an estimate, called by a name."""
    parts = [" ".join(filter(None, (name, in_words(found))))]
    if found.chains:
        if found.trusted or few_effective(found.ess, found.chains):
            parts.append(f"{effective(found)} ({'' if found.trusted else 'NOT '}trusted)")
        else:  # chains of log Z are enough, but not what the rows were measured with
            parts.append(f"NOT trusted, though {effective(found)}")
    return ", ".join(parts)


def trust(log_z: Told) -> str:
    """Whether log Z by annealing is trusted, and what that takes."""
    if log_z.trusted:
        return f"log Z is trusted: {effective(log_z)}."
    return f"log Z is NOT trusted, nor is its interval, since {' and '.join(log_z.doubts)}; take more chains or betas."


def paragraph(found: Told) -> str:
    """An estimate in words: the line, and what speaks against it."""
    doubts = [] if found.trusted else [f"It is NOT trusted, since {' and '.join(found.doubts)}."]
    return "\n".join([described("", found), *doubts])


def table_lines(found: Told) -> list[tuple[str, str]]:
    """An estimate as lines of a table: value, errors, interval, kind of bound, and whether it is trusted."""
    known = all(map(math.isfinite, found.interval))
    lines = [("value (nats)", value_of(found)), ("error", errors_of(found) or "none")]
    lines += [("95 % interval", interval_of(found))] if known else []
    lines += [("bound", {"none": "no"}.get(found.kind, found.kind))]
    lines += [("effective", f"{found.ess:.0f} of {found.chains} chains")] if found.chains else []
    return [*lines, ("trusted", "yes" if found.trusted else f"NO: {' and '.join(found.doubts)}")]
