"""Catches a log Z from both sides that is not exact where it can be, does not cover, or judges its parts wrongly."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from checks.two_sided import blocks, both, ladder, made
from oracles import enumeration
from scipy.stats import t as student
from support import stats
from support.machines import SMALL, machine_of
from support.shorter import shorten

import boltz
from boltz.estimators import two_sided
from boltz.estimators.estimate import interval
from boltz.estimators.two_sided import bracket, from_both_sides

FAR = 0.01  # an accuracy that first attempts do not reach, with 200 chains


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch)


# ---------------------------------------------------------------- whole machines


@pytest.mark.parametrize("name", ["rbm", "dbm3", "ring", "strong"])
def test_small_machines_are_exact(name: str) -> None:
    found = from_both_sides(machine_of(SMALL[name]))
    truth = enumeration.log_z(SMALL[name])
    assert found.estimate.value == pytest.approx(truth, abs=1e-10) and found.estimate.kind == "exact"
    assert found.lower is found.upper is found.estimate and found.ladder is None and found.gap == 0
    assert found.reached is True and found.estimate.interval == (found.estimate.value,) * 2


def test_a_large_machine_is_measured_as_well_as_asked_for(quick: None) -> None:
    """24 + 24 units; Student's test at stats.ALPHA that the value is right, which catches one that is off by 0.3."""
    machine, truth = blocks(scale=1.6)
    arena = machine.arena.tobytes()
    found = from_both_sides(machine, 0.04, 600.0, 2)  # seconds, of a loaded machine too
    low, high = found.estimate.interval
    assert found.reached is True and found.estimate.trusted and (high - low) / 2 <= 0.04 == found.wanted
    assert found.ladder is not None and found.estimate.value == found.ladder.estimate.value
    assert (found.lower.kind, found.upper.kind, found.estimate.kind) == ("lower", "none", "none")
    for part in (found.lower, found.upper, found.estimate):
        error = part.standard_error
        stats.accept(float(2 * student.sf(abs(part.value - truth) / error, 63)), f"{part.method} is off")
        assert stats.detectable_ratio(0.3, error)
    ends = [part.interval for part in (found.lower, found.ladder.estimate, found.upper)]
    assert low == min(ends[0][0], ends[1][0]) and high == max(ends[1][1], ends[2][1])
    assert found.lower.steps == found.upper.steps > 40, "an attempt of 40 temperatures is too wide"
    assert machine.arena.tobytes() == arena and found.gap == found.upper.value - found.lower.value


def test_a_budget_of_nothing_gives_one_attempt(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Any] = []

    def counted(*words: Any) -> Any:
        attempts.append(words)
        return bracket(*words)

    monkeypatch.setattr(two_sided, "bracket", counted)
    found = from_both_sides(blocks()[0], FAR, 0.0)
    assert len(attempts) == 1 and found.reached is False and found.lower.steps == 40 and found.seconds > 0
    assert found.estimate.interval[1] - found.estimate.interval[0] > 2 * FAR


def test_attempts_share_no_random_numbers_with_another_seed(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two attempts at the largest seeds: at seed + attempt one would be out of range, and two would be the same."""
    starts: list[int] = []
    plain = two_sided.chosen

    def seen(model: Any, betas: Any, seed: int, base: Any, modes: Any) -> Any:
        starts.append(seed)
        return plain(model, betas, seed, base, modes=modes)

    def second(*words: Any) -> Any:
        found = bracket(*words)
        return found if len(starts) % 2 else replace(found, interval=(found.value, found.value), doubts=())

    monkeypatch.setattr(two_sided, "chosen", seen)
    monkeypatch.setattr(two_sided, "bracket", second)
    for seed in (2**64 - 2, 2**64 - 1):
        assert from_both_sides(blocks()[0], FAR, 1e6, seed).reached is True
    assert len(starts) == len(set(starts)) == 4


def test_results_depend_on_the_seed_alone(quick: None) -> None:
    machine, before, found = blocks()[0], boltz.threads(), []
    try:
        for count, seed in ((1, 0), (3, 0), (1, 1)):
            boltz.threads(count)
            part = from_both_sides(machine, FAR, 0.0, seed)
            found.append((part.lower.value, part.estimate.value, part.upper.value))
    finally:
        boltz.threads(before)
    assert found[0] == found[1] and all(one != other for one, other in zip(found[0], found[2], strict=True))


# ---------------------------------------------------------------- bracket


def test_the_interval_is_the_hull_and_the_value_that_of_exchange() -> None:
    """Of the lower end of annealing up, the upper end of annealing down, and both ends of exchange."""
    low, high = made(9.9, 0.1), made(10.2, 0.2)
    found = bracket(low, high, ladder(made(10.0, 0.01)))
    assert (found.value, found.standard_error, found.kind, found.trusted) == (10.0, 0.01, "none", True)
    assert found.interval == (interval(9.9, 0.1, 100)[0], interval(10.2, 0.2, 100)[1])
    wide = bracket(low, high, ladder(made(10.0, 1.0)))
    assert wide.interval == interval(10.0, 1.0, 100)
    assert bracket(made(9.0, ess=33.0), made(11.0, ess=50.0), ladder(made(10.0, 0.3))).ess == 33


@pytest.mark.parametrize(
    ("values", "trusted"),
    [
        ((9.9, 10.0, 10.1), True),
        ((10.05, 10.0, 9.95), True),  # within errors
        ((10.4, 10.0, 10.5), False),  # annealing up above exchange
        ((9.5, 10.4, 10.0), False),  # exchange above annealing down
        ((10.25, 10.05, 9.85), False),  # annealing up above annealing down, each near exchange
        ((5.0, 10.0, 15.0), True),  # far apart, but on their sides
    ],
    ids=str,
)
def test_parts_that_contradict_each_other_are_not_trusted(values: tuple[float, ...], trusted: bool) -> None:
    """Standard errors of 0.05: two parts may be 0.28 on the wrong side of each other."""
    low, middle, high = (made(v) for v in values)
    assert bracket(low, high, ladder(middle)).trusted is trusted


@pytest.mark.parametrize("untrusted", [0, 1, 2])
def test_every_part_must_be_trusted(untrusted: int) -> None:
    low, middle, high = (made(10.0, doubts=("made",) * (i == untrusted)) for i in range(3))
    found = both(low, ladder(middle), high)
    assert found.estimate.trusted is False and found.reached is False


def test_what_is_wide_is_not_reached() -> None:
    wide = both(made(9.0), ladder(made(10.0)), made(11.0), 0.5)
    assert wide.estimate.trusted and not wide.reached and wide.gap == 2
    assert both(made(9.0), ladder(made(10.0)), made(11.0), 1.5).reached


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("error", (0, -0.1, np.nan, np.inf, "0.1", None, True, [0.1])),
        ("budget", (-1, np.nan, np.inf, "1", None, False)),
        ("seed", (-1, 0.5, None, 2**64)),
    ],
)
def test_bad_numbers_are_refused_by_name(name: str, values: tuple[Any, ...]) -> None:
    for model in (machine_of(SMALL["one"]), blocks()[0]):
        for value in values:
            with pytest.raises(boltz.InputError, match=f"^{name} must be "):
                from_both_sides(model, **{name: value})


def test_a_bad_base_is_refused_even_where_it_is_not_needed() -> None:
    for base in ({"v": [0.5]}, {"v": [0.5], "h1": [1.0]}, "data", [[2.0]]):
        with pytest.raises(boltz.InputError, match=r"^base"):
            from_both_sides(machine_of(SMALL["one"]), base=base)
    with pytest.raises(boltz.InputError, match=r"^model must be a BoltzmannMachine, got HelmholtzMachine\.$"):
        from_both_sides(boltz.sbn([3, 2]))  # type: ignore[arg-type]
