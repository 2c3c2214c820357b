"""Machines on the same rows: paired differences of mean log-likelihoods in nats, verdicts, and which may be the best.

Machines that see the same rows share most of the chance of their choice: what counts is how much the difference varies
from row to row. The errors of two log Z are taken as independent of it and of each other; all rows share them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate, Kind, joint_interval, kind_of_difference
from boltz.estimators.likelihood import IMPOSSIBLE
from boltz.estimators.words import MOST, digits, figure, small
from boltz.foreign import shown
from boltz.rng import Key

Floats = NDArray[np.float64]
REACH, MANY = 1.96, 10**6  # standard errors of a 95 % interval, and a number of values that makes Student's t normal
OVERSHOOT = math.log(40)  # nats; a bound in expectation errs more with a probability of at most 1 in 40, by Markov
MOST_ROWS, LEAST_ERROR, HALVINGS = 10**9, 1e-4, 16
ROUNDING, CLEARLY = 1e-9, 1.01
DRAWS = 20_000  # an error of the probabilities of at most 0.0036
LOG_Z, VARIATIONAL = "; log Z by ", "variational bound"  # what methods of estimates say
UNDECIDED = "not decided"
VALUES = {"exact": "exact", "lower": "a lower bound", "upper": "an upper bound", "none": "no bound"}


@dataclass(frozen=True, eq=False)
class Entry:
    """A machine in a comparison: its name, its mean log-likelihood with per_row (rows,), and the label of its group.

    Runs that differ only by seed share a label. Raises InputError.
    """

    name: str
    estimate: Estimate
    group: str | None = None

    def __post_init__(self) -> None:
        checks.instance(self.name, "name", str)
        checks.instance(self.estimate, "estimate", Estimate)
        checks.instance(self.group, "group", str, optional=True)
        if self.estimate.per_row is None or len(self.estimate.per_row) == 0:
            raise InputError("estimate must have one value a row (per_row), as that of boltz.log_likelihood has.")
        if not np.isfinite(self.estimate.per_row).all():
            raise InputError("estimate must have finite values in per_row: leave out the rows that have none.")

    @property
    def per_row(self) -> Floats:
        """log p(v) of each row (rows,), nats."""
        return np.asarray(self.estimate.per_row, np.float64)

    @property
    def variational(self) -> bool:
        """Whether the value is a variational bound, whose distance from the log-likelihood no error tells."""
        return self.estimate.method.startswith(VARIATIONAL)

    @property
    def against(self) -> str:
        """Why the value cannot be believed, in words; empty where it can."""
        if self.estimate.trusted:
            return ""
        more = len(self.estimate.doubts) - 1
        told = self.estimate.doubts[0] + (f", and {more} more" if more else "")
        return f"the value of {shown(self.name)} is not trusted ({told})"


@dataclass(frozen=True)
class Pair:
    """First less second in nats a row, on the same rows.

    standard_error_rows is what other rows of the same kind would change, in pairs; standard_error that of estimation,
    both log Z and samples. interval (95 %) joins them; an end is infinite where nothing bounds that side. verdict and
    certified are words. trusted: whether both values are.
    """

    first: str
    second: str
    difference: float
    standard_error_rows: float
    standard_error: float
    interval: tuple[float, float]
    verdict: str
    certified: str
    trusted: bool

    @property
    def winner(self) -> str | None:
        """The machine that is better, None where that is not decided."""
        if self.verdict.startswith(UNDECIDED):
            return None
        return self.first if self.interval[0] > 0 else self.second

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; an infinite number becomes None."""
        return {
            "first": self.first,
            "second": self.second,
            "difference": self.difference,
            "standard_error": _plain(self.standard_error),
            "standard_error_rows": _plain(self.standard_error_rows),
            "interval": [_plain(end) for end in self.interval],
            "verdict": self.verdict,
            "certified": self.certified,
            "trusted": self.trusted,
        }

    def __str__(self) -> str:
        named = {"estimation": self.standard_error, "rows, in pairs": self.standard_error_rows}
        errors = {name: error for name, error in named.items() if 0 < error < math.inf}
        value = figure(self.difference, min(errors.values(), default=0.0))
        told = " ".join([value, *(f"+- {small(error)} ({name})" for name, error in errors.items())])
        return f"{shown(self.first)} less {shown(self.second)}: {told}; {self.verdict}"


@dataclass(frozen=True)
class Group:
    """Runs that differ only by seed: the mean of their values and the standard deviation between them, in nats a row.

    trusted: whether the values of all members are.
    """

    name: str
    members: tuple[str, ...]
    mean: float
    spread: float
    trusted: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        found = {"name": self.name, "members": list(self.members), "mean": self.mean}
        return found | {"spread": self.spread, "trusted": self.trusted}

    def __str__(self) -> str:
        told = f"mean {figure(self.mean, self.spread)}, spread {small(self.spread)} nats"
        return f"{shown(self.name)}: {len(self.members)} runs, {told}" + ", not all trusted" * (not self.trusted)


def pairs(entries: Sequence[Entry]) -> tuple[Pair, ...]:
    """Every two machines, in the order of the entries. Raises InputError unless names differ and rows are the same."""
    return tuple(_pair(first, second) for first, second in combinations(_checked(entries), 2))


def groups(entries: Sequence[Entry]) -> tuple[Group, ...]:
    """The groups of two or more entries that share a label, in the order of their first ones. Raises InputError."""
    found = _checked(entries)
    labels = dict.fromkeys(each.group for each in found if each.group is not None)
    shared = {label: [each for each in found if each.group == label] for label in labels}
    return tuple(_group(label, members) for label, members in shared.items() if len(members) > 1)


def ranking(entries: Sequence[Entry]) -> tuple[tuple[str, float | None], ...]:
    """Names with the probability of being the best, the most probable first, where all values can be believed.

    It is the share of draws that a machine wins: mean differences vary by the covariance over rows (Student's t, so
    many degrees as rows less one), each value by the error of its own log Z. Equals share a win. It takes all means to
    be equally likely beforehand. None for all of them, the largest value first, where one of them is not trusted or a
    variational bound, since that one may be the best; and where there is only one row. Raises InputError.
    """
    found = _checked(entries)
    ranked = all(each.estimate.trusted and not each.variational for each in found)
    comparable = ranked and (len(found) == 1 or (len(found) > 1 and len(found[0].per_row) > 1))
    shares = dict(zip([each.name for each in found], _shares(found).tolist(), strict=True)) if comparable else {}
    order = sorted(found, key=lambda each: (-shares.get(each.name, -1.0), -each.estimate.value))
    return tuple((each.name, shares.get(each.name)) for each in order)


def best(found: Sequence[Pair]) -> tuple[str, float] | None:
    """The machine that each pair with another decides for, and the least that it is sure to lead by, in nats a row.

    None where no machine is that sure, or where there are no pairs.
    """
    for name in dict.fromkeys(name for pair in found for name in (pair.first, pair.second)):
        own = [pair for pair in found if name in (pair.first, pair.second)]
        if all(pair.winner == name for pair in own):
            return name, min(max(pair.interval[0], -pair.interval[1]) for pair in own)
    return None


def _plain(number: float) -> float | None:
    return number if math.isfinite(number) else None


def _checked(entries: Sequence[Entry]) -> list[Entry]:
    found = checks.sequence(entries, "entries")
    for i, each in enumerate(found):
        checks.instance(each, f"entries[{i}]", Entry)
        if each.name in [other.name for other in found[:i]]:
            raise InputError(f"entries must have names of their own, got {checks.brief(each.name)} twice.")
        rows, wanted = len(each.per_row), len(found[0].per_row)
        if rows != wanted:
            raise InputError(f"entries must be measured on the same rows, got {wanted:,} and {rows:,} of them.")
    return found


def _group(label: str, members: list[Entry]) -> Group:
    values = np.array([each.estimate.value for each in members])
    trusted = all(each.estimate.trusted for each in members)
    return Group(label, tuple(each.name for each in members), float(values.mean()), float(values.std(ddof=1)), trusted)


@dataclass(frozen=True)
class Variances:
    """The variances of a mean log-likelihood, in nats squared.

    noise: by samples of its rows, as the spread of the rows has it already; sampled: the same as its error counts it;
    log_z: what all rows share; chains: how many values are behind log_z.
    """

    noise: float
    sampled: float
    log_z: float
    chains: int

    @classmethod
    def of(cls, found: Estimate) -> Variances:
        """Those of an estimate.

        Its error over rows is the spread of the rows less their noise (see error_of_rows), which tells the noise. What
        its interval reaches beyond its errors counts as error of log Z.
        """
        per_row, total = np.asarray(found.per_row, np.float64), found.standard_error**2
        rows, noise = len(per_row), 0.0
        if rows > 1:
            spread = float(per_row.var(ddof=1)) / rows
            noise = spread - found.standard_error_rows**2
            noise = min(noise if noise > ROUNDING * spread else 0.0, total)
        annealed = LOG_Z in found.method and found.chains > 0
        sampled, log_z = (noise, total - noise) if annealed else (total, 0.0)
        chains = found.chains or MANY
        parts = (found.standard_error_rows**2, rows), (sampled, MANY), (log_z, chains)
        near, far = _reach(parts), max(found.value - found.interval[0], found.interval[1] - found.value)
        beyond = (far**2 - near**2) / REACH**2 if math.isfinite(near) and far > CLEARLY * near else 0.0
        return cls(noise, sampled, log_z + beyond, chains)


def _apart(first: Entry, second: Entry) -> Floats:
    """First less second (rows,), 0 where it is what rounding leaves."""
    apart = first.per_row - second.per_row
    return np.where(np.abs(apart) <= ROUNDING * (1 + np.abs(first.per_row)), 0.0, apart)


def _variance_of_mean(apart: Floats) -> float:
    """The variance of the mean over rows of differences (rows,); 0 if they are equal but for rounding."""
    if len(apart) < 2:
        return math.inf
    equal = np.ptp(apart) <= ROUNDING * (1 + np.abs(apart).max())
    return 0.0 if equal else float(apart.var(ddof=1)) / len(apart)


def _reach(parts: Iterable[tuple[float, int]]) -> float:
    """Half the width of the 95 % interval by Student's t (see joint_interval) of (variance, number of values)."""
    return joint_interval(0.0, *((math.sqrt(part), count) for part, count in parts if part > 0))[1]


@dataclass(frozen=True)
class Parts:
    """A paired difference on so many rows, and the variances of its parts: rows, samples, log Z of first and second."""

    difference: float
    rows: int
    of_rows: float
    sampled: float
    log_z: tuple[float, float]
    chains: tuple[int, int]

    @classmethod
    def of(cls, first: Entry, second: Entry) -> Parts:
        """Those of first less second; noise of samples is taken out of the spread of the rows, where it is as well."""
        apart = _apart(first, second)
        one, other, rows = Variances.of(first.estimate), Variances.of(second.estimate), len(apart)
        value = first.estimate.value - second.estimate.value if apart.any() else 0.0
        of_rows = max(_variance_of_mean(apart) - one.noise - other.noise, 0.0)
        sampled, log_z = one.sampled + other.sampled, (one.log_z, other.log_z)
        return cls(value, rows, of_rows, sampled, log_z, (one.chains, other.chains))

    @property
    def reach(self) -> float:
        """Half the width of the 95 % interval."""
        log_z = zip(self.log_z, self.chains, strict=True)
        return _reach([(self.of_rows, self.rows), (self.sampled, MANY), *log_z])

    @property
    def decides(self) -> bool:
        """Whether the interval excludes 0."""
        return abs(self.difference) > self.reach

    def with_rows(self, rows: int) -> Parts:
        """The same difference on so many rows."""
        share = self.rows / rows
        return replace(self, rows=rows, of_rows=self.of_rows * share, sampled=self.sampled * share)

    def with_error(self, error: float) -> Parts:
        """The same difference with errors of log Z of at most so many nats."""
        first, second = (min(part, error**2) for part in self.log_z)
        return replace(self, log_z=(first, second))


def _pair(first: Entry, second: Entry) -> Pair:
    parts = Parts.of(first, second)
    kind = kind_of_difference(first.estimate.kind, second.estimate.kind)
    low, high = parts.difference - parts.reach, parts.difference + parts.reach
    doubts = [told for each in (first, second) if (told := each.against)]
    low = low if not second.variational else -math.inf
    high = high if not first.variational else math.inf
    if doubts:
        bound = _bound(first, second, kind, parts)
        decided = bound is not None
        low, high = bound or (low, high)
    else:
        decided = low > 0 or high < 0
    verdict = _better(first, second, (low, high)) if decided else _undecided(first, second, parts)
    errors = math.sqrt(parts.of_rows), math.hypot(first.estimate.standard_error, second.estimate.standard_error)
    winner = (first if low > 0 else second) if decided else None
    certified = _certified(first, second, kind, winner)
    return Pair(first.name, second.name, parts.difference, *errors, (low, high), verdict, certified, not doubts)


def _bound(first: Entry, second: Entry, kind: Kind, parts: Parts) -> tuple[float, float] | None:
    """The interval of a difference that decides because it is a bound in expectation, though values are not trusted.

    The log of a mean of unbiased weights exceeds the truth by b nats with a probability of at most exp(-b), by Markov's
    inequality; so does the sum of two independent ones. No error has to be believed for that, but values that are not
    trusted must be such bounds. None where it does not decide.
    """
    doubted = [each.estimate for each in (first, second) if not each.estimate.trusted]
    possible = all(each.kind in ("lower", "upper") and IMPOSSIBLE[0] not in each.doubts for each in doubted)
    if not possible or parts.rows < 2 or kind != ("lower" if parts.difference > 0 else "upper"):
        return None
    reach = _reach([(_variance_of_mean(_apart(first, second)), parts.rows)])
    least = abs(parts.difference) - OVERSHOOT - reach
    if least <= 0:
        return None
    return (least, math.inf) if parts.difference > 0 else (-math.inf, -least)


def _better(first: Entry, second: Entry, ends: tuple[float, float]) -> str:
    """Which is better, by how much: in as many decimals as show the smaller end."""
    winner, (low, high) = (first, ends) if ends[0] > 0 else (second, (-ends[1], -ends[0]))
    places = digits((high - low) / (2 * REACH))
    while places < MOST and float(f"{low:.{places}f}") == 0:
        places += 1
    name, least = shown(winner.name), f"{low:.{places}f}"
    if low == high:
        return f"{name} is better by {least} nats in every row"
    if math.isinf(high):
        return f"{name} is better by at least {least} nats"
    return f"{name} is better by {least} to {high:.{places}f} nats"


def _undecided(first: Entry, second: Entry, parts: Parts) -> str:
    """Why it is not decided, or what would be needed."""
    ahead, loose = (second, first) if parts.difference < 0 else (first, second)
    if first.against or second.against:
        why = "; ".join(_hindrances(ahead, loose))
    elif parts.rows < 2:
        why = "one row tells nothing of others"
    elif not _apart(first, second).any():
        why = "both give every row the same value"
    elif loose.variational:
        why = f"the value of {shown(loose.name)} is a variational bound, which may lie far below its log-likelihood"
    else:
        why = _needed(first, second, parts)
    return f"{UNDECIDED}: {why}"


def _hindrances(ahead: Entry, behind: Entry) -> list[str]:
    """What keeps a lead from being sure, where a value is not trusted.

    A lower bound that leads and an upper bound that trails need no trust, as they err on the safe side; then what
    hinders is that the other value has no bound on its own safe side.
    """
    told = []
    for each, other, safe, needed in ((ahead, behind, "lower", "upper"), (behind, ahead, "upper", "lower")):
        if not each.against:
            continue
        sure = each.estimate.kind == safe and IMPOSSIBLE[0] not in each.estimate.doubts
        if not sure or other.estimate.kind in (needed, "exact"):
            told.append(each.against)
            continue
        side = "low" if each is ahead else "high"
        leads = f"{shown(each.name)} {'leads' if each is ahead else 'trails'} as {VALUES[safe]}"
        told.append(f"{leads}, but the value of {shown(other.name)} is {_kind(other)}, and may be too {side}")
    return told


def _needed(first: Entry, second: Entry, parts: Parts) -> str:
    """How many rows, or which error of log Z, would make the interval exclude 0 if the difference stays as it is."""
    rows, error, word = _fewest(parts), _largest(parts), " or "
    if rows is None and error is None:  # neither is enough, so that each takes half of the variance that there may be
        several = sum(part > 0 for part in parts.log_z)
        error = abs(parts.difference) / REACH / math.sqrt(2 * several) if several else 0.0
        rows, word = _fewest(parts.with_error(error)), " and "
        if rows is None or error < LEAST_ERROR:
            return f"more than {MOST_ROWS:,} rows would be needed"
    told = [] if rows is None else [f"about {_rounded(rows):,} rows"]
    if error is not None:
        told.append(_told_error(first, second, parts, error))
    return f"{word.join(told)} would be needed"


def _fewest(parts: Parts) -> int | None:
    """The fewest rows that decide with the log Z there are, if any do."""
    if not parts.with_rows(MOST_ROWS).decides:
        return None
    low, high = math.log(parts.rows), math.log(MOST_ROWS)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if parts.with_rows(round(math.exp(middle))).decides else (middle, high)
    return round(math.exp(high))


def _largest(parts: Parts) -> float | None:
    """The largest error of each log Z that decides with the rows there are, if any does."""
    if max(parts.log_z) == 0 or not parts.with_error(LEAST_ERROR).decides:
        return None
    low, high = math.log(LEAST_ERROR), math.log(max(parts.log_z)) / 2
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if parts.with_error(math.exp(middle)).decides else (low, middle)
    return math.exp(low)


def _rounded(rows: int) -> int:
    """A number of rows with two significant digits, upwards."""
    unit = 10 ** max(len(str(rows)) - 2, 0)
    return -(-rows // unit) * unit


def _told_error(first: Entry, second: Entry, parts: Parts, error: float) -> str:
    """An error of log Z in words, with the machine that must have it if only one does."""
    large = [each for each, part in zip((first, second), parts.log_z, strict=True) if part > error**2]
    whose = f" of {shown(large[0].name)}" if len(large) == 1 else ""
    unit = 10.0 ** (math.floor(math.log10(error)) - 1)
    return f"an error of log Z{whose} below {small(math.floor(error / unit + ROUNDING) * unit)}"


def _certified(first: Entry, second: Entry, kind: Kind, winner: Entry | None) -> str:
    """What the kinds of both values certify of their difference, in words."""
    both = f"{shown(first.name)}'s value is {_kind(first)}, and {shown(second.name)}'s is {_kind(second)}"
    if kind == "exact":
        return "certified but for the choice of rows: both values are exact"
    if kind == "none":
        return f"nothing is certified: {both}"
    sure, other = (first, second) if kind == "lower" else (second, first)
    if winner is sure:
        return f"certified in expectation: {both}, so that {shown(sure.name)} can only be better by more"
    if winner is other:
        return f"not certified: {both}, so that {shown(other.name)} may be better by less, or not at all"
    return f"only that {shown(sure.name)} is better could be certified: {both}"


def _kind(each: Entry) -> str:
    return VALUES[each.estimate.kind]


def _shares(known: Sequence[Entry]) -> Floats:
    """The share of draws (machines,) of all mean log-likelihoods that each one wins; equals share a win."""
    if len(known) < 2:
        return np.ones(len(known))
    rows, generator = len(known[0].per_row), Key.from_seed(0).derive("ranking").generator()
    per_row = np.array([each.per_row for each in known])
    values, vectors = np.linalg.eigh(np.cov(per_row) / rows)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    student = np.sqrt((rows - 1) / generator.chisquare(rows - 1, (DRAWS, 1)))
    drawn = np.array([each.estimate.value for each in known])
    drawn = drawn + student * (generator.standard_normal((DRAWS, len(known))) @ root)
    for i, each in enumerate(known):
        of_log_z = Variances.of(each.estimate)
        error = math.sqrt(max(of_log_z.sampled - of_log_z.noise, 0.0) + of_log_z.log_z)
        if error > 0:
            drawn[:, i] += error * generator.standard_t(max(of_log_z.chains - 1, 1), DRAWS)
    best = drawn.max(axis=1, keepdims=True)
    wins = drawn >= best - ROUNDING * (1 + np.abs(best))
    return np.asarray((wins / wins.sum(axis=1, keepdims=True)).mean(axis=0), np.float64)
