"""Quick checks of paired comparisons: coverage on enumerable machines, verdicts, what would be needed, the ranking.

Each check takes no argument. Those that draw numbers have fixed seeds and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from oracles import enumeration
from oracles.enumeration import Table
from scipy.stats import norm
from scipy.stats import t as student
from support import stats
from support.machines import machine_of

from boltz.estimators.closed_forms import certain
from boltz.estimators.estimate import Estimate, Kind, exact, interval
from boltz.estimators.likelihood import of_rows
from boltz.evaluation.paired import Entry, Pair, best, pairs, ranking

Floats = NDArray[np.float64]
KINDS = {"exact": 0, "log z": 100, "few chains": 5, "samples": 5}  # with the chains behind each log Z
PAIRS, FAMILIES, SETS = 400, 50, 200


@dataclass(frozen=True, eq=False)
class Case:
    """Machines measured on rows that another one drew, and their true means of log p(v) over all that it may draw."""

    entries: tuple[Entry, ...]
    truth: Floats


@dataclass(frozen=True, eq=False)
class Family:
    """A machine that draws rows, p(v) of its states (states,), and machines near it: log p*(v) (machines, states)."""

    source: Table
    near: tuple[Table, ...]
    p: Floats
    log_marginal: Floats
    log_z: Floats

    @property
    def truth(self) -> Floats:
        """Mean log p(v) (machines,) over all rows that may be drawn."""
        return self.log_marginal @ self.p - self.log_z


@cache
def family(number: int, machines: int, strong: bool = False) -> Family:
    """A random RBM or DBM, and machines whose parameters are its own but for normal changes of a size of their own."""
    rng = np.random.default_rng(number)
    source = Table.random(
        ([6, 3], [5, 3, 2])[number % 2], rng.uniform(2, 3) if strong else rng.uniform(0.3, 1.5), number
    )
    log_p = -enumeration.free_energy(source, ["v"])
    parts, near = enumeration.weights_and_biases(source), []
    for spread in rng.uniform(0.05, 0.6, machines):
        near.append(Table.chain(*([x + rng.normal(0, spread, x.shape) for x in part] for part in parts)))
    log_marginal = np.array([-enumeration.free_energy(table, ["v"]) for table in near])
    log_z = np.array([enumeration.log_z(table) for table in near])
    return Family(source, tuple(near), np.exp(log_p - enumeration.log_z(source)), log_marginal, log_z)


def made_log_z(truth: float, error: float, chains: int, rng: np.random.Generator) -> Estimate:
    """The mean of so many normal values about log Z, with the error that they show; error is the true one. 0: exact."""
    if chains == 0:
        return exact(truth, "enumeration")
    drawn = rng.normal(truth, error * np.sqrt(chains), chains)
    value, shown = float(drawn.mean()), float(drawn.std(ddof=1) / np.sqrt(chains))
    return Estimate(value, shown, interval(value, shown, chains), "none", chains, chains, 1, method="normal values")


def case(kind: str, group: Family, seed: int) -> Case:
    """Rows of a family, and what is estimated of its machines on them; kind says what errs beside the choice of rows.

    exact: nothing; log z: log Z of each machine, by 100 values; few chains: by 5; samples: that and the value of each
    row.
    """
    rng = np.random.default_rng(seed)
    drawn, machine = numbers_of_rows(group, rng), machine_of(group.source)
    x, error = enumeration.bits(group.source.layers["v"])[drawn], rng.uniform(0.1, 0.5) / np.sqrt(len(drawn))
    entries = []
    for i, (values, log_z) in enumerate(zip(group.log_marginal, group.log_z, strict=True)):
        found = row_values(values[drawn], rng, kind == "samples")
        made = made_log_z(log_z, error, KINDS[kind], rng)
        entries.append(Entry(f"machine {i}", of_rows(machine, x, *found, made)))
    return Case(tuple(entries), group.truth)


def numbers_of_rows(group: Family, rng: np.random.Generator) -> NDArray[np.int64]:
    """The numbers of the states of 50, 200 or 1,000 rows that the machine of a family draws."""
    return rng.choice(len(group.p), int(rng.choice([50, 200, 1000])), p=group.p / group.p.sum())


def row_values(log_marginal: Floats, rng: np.random.Generator, noisy: bool) -> tuple[Floats, int, tuple[Kind, str]]:
    """What of_rows takes: log p* of each row, exact or with normal noise of a known size."""
    if not noisy:
        return certain(log_marginal), 0, ("exact", "enumeration")
    errors = rng.uniform(0.1, 0.6, len(log_marginal))
    values = log_marginal + rng.normal(0, errors)
    return np.stack([values, errors, np.ones(len(values)), values], axis=1), 1000, ("none", "normal noise")


def covered(found: Pair, truth: float) -> bool:
    """Whether the interval holds the true difference."""
    return found.interval[0] <= truth <= found.interval[1]


def check_coverage() -> None:
    """95 % intervals of 400 pairs of each kind hold the true difference 95 % of the time; false-alarm rate 1e-6 each.

    Catches 80 %, as without the errors of log Z, and 99.99 %, as with errors twice as large.
    """
    for effect in (0.8, 0.9999):
        assert stats.detectable_binomial(PAIRS, 0.95, effect)
    for kind in ("exact", "few chains", "samples"):
        cases = [case(kind, family(seed % FAMILIES, 2), seed) for seed in range(PAIRS)]
        hits = sum(covered(pairs(each.entries)[0], -float(np.diff(each.truth)[0])) for each in cases)
        stats.accept(stats.binomial_table(hits, PAIRS, 0.95), f"intervals of {kind} hold {hits} of {PAIRS}")


def check_variances() -> None:
    """Noise of samples counts once: all variances together are that of the paired rows, and of both log Z."""
    rng, table = np.random.default_rng(3), Table.random([6, 3], 0.8, 3)
    x, log_z = enumeration.draw(table, 400, 4)["v"], made_log_z(0.0, 0.2, 100, rng)
    made = [row_values(rng.normal(-3, 1, 400), rng, True) for _ in range(2)]
    one, other = (of_rows(machine_of(table), x, *found, log_z) for found in made)
    found = pairs([Entry("a", one), Entry("b", other)])[0]
    apart = one.per_row - other.per_row  # type: ignore[operator]
    wanted = apart.var(ddof=1) / 400 + 2 * log_z.standard_error**2
    assert abs(found.standard_error**2 + found.standard_error_rows**2 - wanted) < 1e-9 * wanted
    assert found.standard_error**2 - 2 * log_z.standard_error**2 > 0.0005, "noise is part of the error of estimation"


def flat(per_row: Sequence[float] | Floats, error: float = 0.0, kind: str = "exact", chains: int = 100) -> Estimate:
    """An estimate of rows (rows,) without noise, whose log Z has this error."""
    x, many = np.asarray(per_row, np.float64), len(per_row)
    of_all = float(x.std(ddof=1) / np.sqrt(many)) if many > 1 else float("inf")
    value, method = float(x.mean()), "free energy; log Z by annealing" if error else "free energy"
    ends = (value - 1.97 * np.hypot(error, of_all), value + 1.97 * np.hypot(error, of_all))
    count = chains if error else 0
    return Estimate(value, error, ends, kind, 0.0, count, 0, (), np.empty(0), x, method, np.empty((0, 2)), of_all)  # type: ignore[arg-type]


def spread_rows(rows: int, mean: float, deviation: float) -> Floats:
    """Values with exactly this mean and standard deviation, half of them on each side."""
    signs = np.resize([1.0, -1.0], rows)
    return mean + deviation * signs * np.sqrt((rows - 1) / rows)


def needed(verdict: str) -> tuple[int | None, float | None]:
    """The rows and the error of log Z that a verdict names."""
    rows, error = re.search(r"about ([\d,]+) rows", verdict), re.search(r"below ([\d.]+)", verdict)
    return rows and int(rows[1].replace(",", "")), error and float(error[1])


def check_needed() -> None:
    """So many rows as the verdict names decide, and a tenth fewer do not; likewise for the error of log Z."""
    zero = Entry("b", flat(np.zeros(200)))

    def verdict(rows: int, error: float) -> str:
        first = Entry("a", flat(spread_rows(rows, 0.1, 1.0), error))
        return pairs([first, Entry("b", flat(np.zeros(rows)))])[0].verdict

    rows, error = needed(verdict(200, 0.0))
    assert rows is not None and error is None
    assert "better" in verdict(rows, 0.0) and "not decided" in verdict(round(0.9 * rows) // 2 * 2, 0.0)
    rows, error = needed(verdict(200, 0.04))
    assert rows is not None and error is None, "log Z alone is not enough"
    assert "better" in verdict(rows, 0.04) and "not decided" in verdict(round(0.9 * rows) // 2 * 2, 0.04)
    rows, error = needed(verdict(2000, 0.06))
    assert rows is None and error is not None, "rows alone are not enough"
    assert "better" in verdict(2000, error) and "not decided" in verdict(2000, 1.1 * error)
    rows, error = needed(verdict(200, 0.3))
    assert rows is not None and error is not None and " and " in verdict(200, 0.3)
    assert "better" in verdict(rows, error)
    both = needed(verdict(800, 0.045))
    assert both[0] is not None and both[1] is not None and " or " in verdict(800, 0.045)
    assert "better" in verdict(both[0], 0.045) and "better" in verdict(800, both[1])
    assert "same value" in pairs([zero, Entry("c", flat(np.zeros(200)))])[0].verdict


def check_needed_with_samples() -> None:
    """Noise of samples shrinks with more rows, which have samples of their own, as the spread over rows does."""
    rng = np.random.default_rng(5)
    machine, x = machine_of(Table.random([6, 3], 0.8, 3)), np.zeros((400, 6))
    values, errors = spread_rows(400, -3.0, 0.1) + rng.normal(0, 1.0, 400), np.full(400, 1.0)
    found = np.stack([values, errors, np.ones(400), values], axis=1)
    one = of_rows(machine, x, found, 1000, ("none", "normal noise"), exact(0.0, "enumeration"))
    first, second = Entry("a", one), Entry("b", flat(np.full(400, one.value - 0.05)))
    rows, error = needed(pairs([first, second])[0].verdict)
    wanted = (1.96 / 0.05) ** 2 * (1.0 + max(values.var(ddof=1) - 1.0, 0.0))
    assert error is None and rows is not None and abs(rows / wanted - 1) < 0.06


def check_verdicts() -> None:
    """Which is better, whichever comes first, and no decision where the value of one is not trusted."""
    better, worse = Entry("a", flat(spread_rows(100, 1, 1.0))), Entry("b", flat(np.zeros(100)))
    assert pairs([better, worse])[0].verdict == "a is better by 0.80 to 1.20 nats"
    assert pairs([worse, better])[0].verdict == "a is better by 0.80 to 1.20 nats"
    doubted = Entry("b", replace(worse.estimate, doubts=("one thing", "another")))
    found = pairs([better, doubted])[0]
    assert not found.trusted
    assert found.verdict == "not decided: the value of b is not trusted (one thing, and 1 more)"


def check_bounds() -> None:
    """A bound that is far from the other value decides without trust, in its own direction only."""
    doubts = ("few samples",)
    for kind, shift, decided in (("lower", 6, True), ("lower", -6, False), ("upper", -6, True), ("none", 6, False)):
        estimate = replace(flat(spread_rows(100, shift, 1.0), kind=kind), doubts=doubts)
        found = pairs([Entry("a", estimate), Entry("b", flat(np.zeros(100)))])[0]
        assert ("better by at least 2.11 nats" in found.verdict) == decided, found.verdict
        assert ("better" in found.verdict) == decided == np.isinf(found.interval).any() and not found.trusted
    near_by = replace(flat(spread_rows(100, 3, 1.0), kind="lower"), doubts=doubts)
    assert "not decided" in pairs([Entry("a", near_by), Entry("b", flat(np.zeros(100)))])[0].verdict


def check_hindrances() -> None:
    """Where a lower bound leads a value without a bound, that value is named as what hinders, and the bound is not."""
    leading = Entry("a", replace(flat(spread_rows(100, 14, 1.0), kind="lower"), doubts=("few samples",)))
    loose = Entry("b", flat(np.zeros(100), kind="none"))
    said = "not decided: a leads as a lower bound, but the value of b is no bound, and may be too low"
    assert pairs([leading, loose])[0].verdict == pairs([loose, leading])[0].verdict == said
    doubted = Entry("b", replace(loose.estimate, doubts=("few chains",)))
    both = pairs([leading, doubted])[0].verdict
    assert "(few chains)" in both and "few samples" not in both and "a leads as a lower bound" in both
    behind = Entry("a", replace(flat(spread_rows(100, -14, 1.0), kind="lower"), doubts=("few samples",)))
    assert pairs([behind, loose])[0].verdict == "not decided: the value of a is not trusted (few samples)"


def check_best() -> None:
    """A machine that cannot be ranked leaves nobody a probability; the best is one that every pair decides for."""
    names = {"low": 0.0, "middle": 1.0}
    known = [Entry(name, flat(spread_rows(100, mean, 1.0), kind="upper")) for name, mean in names.items()]
    bound = Entry("bound", replace(flat(spread_rows(100, 20, 1.0), kind="lower"), doubts=("few samples",)))
    assert [share for _, share in ranking([*known, bound])] == [None] * 3
    name, least = best(pairs([*known, bound])) or ("", 0.0)
    assert name == "bound" and abs(least - (19 - np.log(40))) < 0.5
    assert best(pairs([*known, replace(bound, estimate=replace(bound.estimate, kind="none"))])) is None
    assert best(pairs(known)) is not None and best([]) is None and best(pairs([known[0]])) is None


def check_certified() -> None:
    """A lower bound beside an exact value certifies that it is better, and never that it is worse."""
    exact = Entry("b", flat(np.zeros(100)))
    for mean, said in ((1.0, "certified in"), (-1.0, "not certified"), (0.01, "only that a is better could")):
        lower = Entry("a", flat(spread_rows(100, mean, 1.0), kind="lower"))
        assert pairs([lower, exact])[0].certified.startswith(said)
        assert pairs([exact, lower])[0].certified.startswith(said)
    for kind, said in (("exact", "certified but for"), ("none", "nothing"), ("upper", "not certified")):
        other = Entry("a", flat(spread_rows(100, 1.0, 1.0), kind=kind))
        assert pairs([other, exact])[0].certified.startswith(said)
    twice = [Entry(name, flat(spread_rows(100, mean, 1.0), kind="lower")) for name, mean in (("a", 1.0), ("b", 0.0))]
    assert pairs(twice)[0].certified.startswith("nothing")


def check_ranking_of_two() -> None:
    """The probability of two machines is that of Student's t for rows, and of a normal error of log Z; within 0.015."""
    for mean in (0.05, -0.1, 0.2):
        for rows in (4, 1000):
            deviation = np.sqrt(rows) / 10
            first = Entry("a", flat(spread_rows(rows, mean, deviation)))
            found = dict(ranking([first, Entry("b", flat(np.zeros(rows)))]))
            assert abs(found["a"] - student.cdf(mean / 0.1, rows - 1)) < 0.015
        first = Entry("a", flat(spread_rows(1000, mean, np.sqrt(1000) / 10), 0.1, chains=10_000))
        found = dict(ranking([first, Entry("b", flat(np.zeros(1000)))]))
        assert abs(found["a"] - norm.cdf(mean / 0.1 / np.sqrt(2))) < 0.015


def check_ranking_of_correlated() -> None:
    """What rows have in common does not count: a difference of two of its errors is as sure as ever, within 0.01."""
    shared = spread_rows(1000, -80.0, 10.0)
    apart = np.repeat(spread_rows(500, 0.0, np.sqrt(1000) / 10), 2)
    found = dict(ranking([Entry("a", flat(shared + apart + 0.2)), Entry("b", flat(shared))]))
    assert abs(found["a"] - norm.cdf(2)) < 0.01


def check_ranking_is_calibrated() -> None:
    """Of 200 sets of three machines, each is the best as often as its probability says.

    Their true means are drawn evenly from an interval much wider than the errors, which is what the ranking supposes.
    The score of a set is by how much the probability of its best machine exceeds what it is on average if all are
    right. Catches machines whose chances exceed even ones by half as much as told.
    """
    told, won = calibration([normal_case(seed) for seed in range(SETS)])
    above = told - 1 / 3
    mean = (told * above).sum(axis=1)
    score, variance = (won * above).sum(axis=1) - mean, (told * above**2).sum(axis=1) - mean**2
    assert stats.detectable_mean(len(told), float((above**2).sum(axis=1).mean()) / 2, float(variance.mean()))
    stats.accept(stats.mean_test(score, 0.0, float(variance.mean())), f"scores are {score.mean():.3f} on average")


def normal_case(seed: int) -> Case:
    """Three machines on 100 rows whose values are normal and correlated, with errors of log Z of 0.1 nats.

    The error by the choice of rows is 0.1 nats for a difference of the first two, and 0.2 for the third.
    """
    rng = np.random.default_rng(seed)
    truth, shared = rng.uniform(-1, 1, 3), rng.normal(0, 3, 100)
    rows = truth + shared[:, None] + rng.normal(0, [0.7, 0.7, 1.9], (100, 3))
    estimates = [flat(values + rng.normal(0, 0.1), 0.1) for values in rows.T]
    return Case(tuple(Entry(f"machine {i}", each) for i, each in enumerate(estimates)), truth)


def calibration(cases: Sequence[Case]) -> tuple[Floats, NDArray[np.bool_]]:
    """The probabilities (sets, machines) that rankings give, and whether each machine is the best."""
    found = [dict(ranking(each.entries)) for each in cases]
    told = [[ranked[entry.name] for entry in each.entries] for ranked, each in zip(found, cases, strict=True)]
    won = [each.truth == each.truth.max() for each in cases]
    return np.array(told, np.float64), np.array(won)
