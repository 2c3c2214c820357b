"""Would catch paired intervals that are too narrow or too wide, verdicts that decide too much, and a false ranking."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from checks import quick_paired
from checks.quick_paired import flat, spread_rows
from scipy.stats import multivariate_normal, norm

import boltz
from boltz.errors import InputError
from boltz.estimators.estimate import Estimate, difference
from boltz.evaluation.paired import Entry, groups, pairs, ranking

ZERO = Entry("b", flat(np.zeros(100)))
DOUBTS = ("too few samples",)


def test_intervals_cover() -> None:
    quick_paired.check_coverage()


def test_the_ranking_is_calibrated() -> None:
    quick_paired.check_ranking_is_calibrated()


def test_the_machines_of_the_coverage_are_those_that_the_library_measures() -> None:
    """Values by enumeration are the log-likelihoods of the same machines by boltz, row by row."""
    found = quick_paired.family(1, 2)
    machine = quick_paired.machine_of(found.source)
    x = quick_paired.enumeration.bits(5)
    assert boltz.log_likelihood(machine, x).per_row == pytest.approx(np.log(found.p), abs=1e-9)


def test_the_probability_of_three_is_that_of_normal_differences() -> None:
    """P(a beats b and c) by the bivariate normal of both differences; 0.015 is four errors of 20,000 draws."""
    deviations, means = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.0, 0.05])
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 5, 2000)
    noise = rng.normal(0, 1, (3, 2000))
    noise -= noise.mean(axis=1, keepdims=True)
    rows = means[:, None] + shared + deviations[:, None] * np.sqrt(2000) * noise
    found = dict(ranking([Entry(name, flat(x)) for name, x in zip("abc", rows, strict=True)]))
    assert sum(found.values()) == pytest.approx(1)  # type: ignore[arg-type]
    for i, name in enumerate("abc"):
        apart = rows[[j for j in range(3) if j != i]] - rows[i]
        wanted = multivariate_normal(apart.mean(axis=1), np.cov(apart) / 2000).cdf(np.zeros(2))
        assert found[name] == pytest.approx(wanted, abs=0.015)


def test_equal_machines_share_a_win_and_are_not_told_apart() -> None:
    x = np.random.default_rng(1).normal(-80, 5, 50)
    entries = [Entry(name, flat(x + shift)) for name, shift in (("a", 0.0), ("b", 1e-13), ("c", -1.0))]
    assert dict(ranking(entries)) == {"a": 0.5, "b": 0.5, "c": 0.0}
    same, apart, _ = pairs(entries)
    assert same.verdict == "not decided: both give every row the same value"
    assert same.interval == (0, 0) and same.difference == 0
    assert apart.verdict == "a is better by 1.0000 nats in every row" and apart.standard_error_rows == 0


def test_the_same_values_with_errors_of_log_z_keep_an_interval() -> None:
    found = pairs([Entry("a", flat(np.zeros(100), 0.1)), Entry("b", flat(np.zeros(100), 0.1))])[0]
    assert found.verdict == "not decided: both give every row the same value"
    assert (
        found.interval[1] == pytest.approx(1.96 * np.sqrt(0.02), rel=0.02) and found.interval[0] == -found.interval[1]
    )


@pytest.mark.parametrize("winner", ["a", "b"])
def test_one_row_decides_nothing(winner: str) -> None:
    entries = [Entry("a", flat([float(winner == "a")])), Entry("b", flat([float(winner == "b")]))]
    found = pairs(entries)[0]
    assert found.verdict == "not decided: one row tells nothing of others" and found.interval == (-np.inf, np.inf)
    assert ranking(entries)[0] == (winner, None)
    json.dumps(found.as_dict(), allow_nan=False)


def test_few_rows_and_few_chains_reach_as_far_as_student_says() -> None:
    """4 rows: 3.182 standard errors; log Z by 5 chains alone: 2.776."""
    found = pairs([Entry("a", flat(spread_rows(4, 0.5, 2.0))), Entry("b", flat(np.zeros(4)))])[0]
    assert found.interval[1] - 0.5 == pytest.approx(3.182, rel=1e-3)
    found = pairs([Entry("a", flat(np.full(100, 0.5), 1.0, chains=5)), ZERO])[0]
    assert found.interval[1] - 0.5 == pytest.approx(2.776, rel=1e-3)


def test_an_interval_of_log_z_wider_than_its_error_counts() -> None:
    """Bounds of both sides of log Z, half a nat from the value on one side: the difference reaches as far."""
    log_z = Estimate(0.0, 0.01, (-0.5, 0.02), "none", 100.0, 100, 1, method="annealing up and down")
    found = pairs([Entry("a", difference(flat(spread_rows(100, 0.2, 0.1)), log_z)), ZERO])[0]
    assert found.interval[1] - 0.2 == pytest.approx(0.5, rel=0.03) and found.standard_error == pytest.approx(0.01)
    assert found.verdict.endswith("an error of log Z of a below 0.10 would be needed")


def test_a_variational_bound_decides_in_one_direction() -> None:
    """It may lie far below what it bounds, and no error says how far."""
    for shift in (1.0, -1.0):
        estimate = replace(flat(spread_rows(100, shift, 1.0), kind="lower"), method="variational bound; log Z by boltz")
        entries = [Entry("a", estimate), ZERO]
        found, turned = pairs(entries)[0], pairs(entries[::-1])[0]
        assert found.interval == (pytest.approx(shift - 0.198, abs=1e-3), np.inf)
        assert turned.interval == (-np.inf, pytest.approx(0.198 - shift, abs=1e-3)) and turned.verdict == found.verdict
        far = "not decided: the value of a is a variational bound, which may lie far below its log-likelihood"
        assert found.verdict == ("a is better by at least 0.80 nats" if shift > 0 else far)
        assert dict(ranking(entries)) == {"a": None, "b": None}


def test_what_cannot_be_believed_has_no_probability() -> None:
    doubted = Entry("c", replace(flat(spread_rows(100, 3, 1.0)), doubts=DOUBTS))
    known = [ZERO, Entry("a", flat(spread_rows(100, 0.1, 1.0)))]
    assert ranking([doubted, *known]) == (("c", None), ("a", None), ("b", None))
    assert dict(ranking(known))["a"] == pytest.approx(norm.cdf(1), abs=0.015)
    assert ranking([doubted, ZERO]) == (("c", None), ("b", None))
    assert ranking([ZERO]) == (("b", 1.0),) and ranking([]) == () and pairs([]) == ()


def test_what_hinders_a_lead_is_named_and_the_best_is_sure() -> None:
    quick_paired.check_hindrances()
    quick_paired.check_best()


def test_results_are_the_same_each_time() -> None:
    entries = quick_paired.normal_case(1).entries
    assert pairs(entries) == pairs(entries) and ranking(entries) == ranking(entries)


def test_impossible_values_are_no_bounds() -> None:
    """A lower bound above 0 contradicts itself, so it certifies nothing, however far it is."""
    impossible = ("log p(v) of binary rows is above 0, which cannot be",)
    estimate = replace(flat(spread_rows(100, 60, 1.0), kind="lower"), doubts=impossible)
    assert pairs([Entry("a", estimate), ZERO])[0].verdict.startswith("not decided: the value of a is not trusted")


def test_nothing_tells_apart_what_is_equal_on_average() -> None:
    found = pairs([Entry("a", flat(spread_rows(100, 0, 1.0), 0.1)), ZERO])[0]
    assert found.verdict == "not decided: more than 1,000,000,000 rows would be needed"


def test_text_shows_small_ends_and_makes_foreign_names_safe() -> None:
    found = pairs([Entry("a\x1b[31m", flat(spread_rows(100, 0.2, 1.0))), ZERO])[0]
    assert found.verdict == "a\\x1b[31m is better by 0.002 to 0.398 nats"
    assert str(found).startswith("a\\x1b[31m less b: 0.20 +- 0.10 (rows, in pairs); a")
    found = pairs([Entry("a", flat(spread_rows(100, 0.2, 1.0), 0.05)), ZERO])[0]
    assert str(found).startswith("a less b: 0.200 +- 0.050 (estimation) +- 0.10 (rows, in pairs); not decided: about")


def test_groups_of_runs_that_share_a_label() -> None:
    values = {"one": -80.0, "two": -81.0, "three": -82.5, "alone": -70.0}
    entries = [
        Entry(name, flat(np.full(10, value)), None if name == "alone" else "rbm") for name, value in values.items()
    ]
    found = groups([*entries, Entry("x", flat(np.zeros(10)), "only one")])
    assert len(found) == 1 and found[0].members == ("one", "two", "three") and found[0].trusted
    assert found[0].mean == pytest.approx(-81.1667, abs=1e-4) and found[0].spread == pytest.approx(1.2583, abs=1e-4)
    assert str(found[0]) == "rbm: 3 runs, mean -81.17, spread 1.26 nats"
    json.dumps(found[0].as_dict())


def test_bad_entries_are_refused() -> None:
    with pytest.raises(InputError, match="entries must be a sequence"):
        pairs("ab")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="entries\\[1\\] must be a Entry"):
        pairs([ZERO, ("a", ZERO.estimate)])  # type: ignore[list-item]
    with pytest.raises(InputError, match="names of their own, got 'b' twice"):
        pairs([ZERO, ZERO])
    with pytest.raises(InputError, match="the same rows, got 100 and 99"):
        ranking([ZERO, Entry("a", flat(np.zeros(99)))])
    with pytest.raises(InputError, match="one value a row"):
        Entry("a", replace(ZERO.estimate, per_row=None))
    with pytest.raises(InputError, match="finite values in per_row"):
        broken = flat(np.zeros(3))
        broken.per_row[1] = np.nan  # type: ignore[index]
        Entry("a", broken)
    with pytest.raises(InputError, match="name must be a str"):
        Entry(3, ZERO.estimate)  # type: ignore[arg-type]


def test_an_error_of_both_log_z_is_what_each_may_have() -> None:
    def verdict(error: float) -> str:
        entries = [Entry("a", flat(spread_rows(2000, 0.1, 1.0), error)), Entry("b", flat(np.zeros(2000), error))]
        return pairs(entries)[0].verdict

    assert verdict(0.06) == "not decided: an error of log Z below 0.032 would be needed"
    assert "not decided" in verdict(0.034) and verdict(0.032) == "a is better by 0.001 to 0.199 nats"
