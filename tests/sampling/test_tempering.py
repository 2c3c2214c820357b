"""Catches replica exchange with a wrong joint law, wrong swaps, records or journeys, or one that goes on wrongly.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

import numpy as np
import pytest
from checks.ladders import (
    HIGH,
    KEY,
    KINDS,
    Rungs,
    exact_start,
    journeys,
    ladder_of,
    laws,
    mean_acceptance,
    slow,
    tables,
)
from oracles import enumeration
from oracles.chains import reduced_chain
from oracles.enumeration import Table
from support import stats
from support.machines import SMALL, rates_of

import boltz
from boltz.sampling.ladders import Machines, Temperatures
from boltz.sampling.replica_exchange import Exchanged, Replicas, exchange, replicas_of

RBM = Table.random([4, 3], 2.5, 41)
DBM = Table.random([2, 3, 2], 2.5, 41)  # its smaller class is h1


def copied(replicas: Replicas) -> list[dict[str, np.ndarray]]:
    return [{n: x.copy() for n, x in state.items()} for state in replicas.states]


# ---------------------------------------------------------------- the law


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("table", "rungs"), [(RBM, 2), (RBM, 4), (DBM, 3), (slow(), HIGH)], ids=["rbm 2", "rbm 4", "dbm 3", "slow"]
)
def test_the_joint_law_of_a_ladder_stays_as_it_is(kind: str, table: Table, rungs: Rungs) -> None:
    """From exact draws three rounds leave every pair of neighbouring rungs independent and each with its own law.

    Catches a swap that looks at one side only, rungs or copies that share random numbers, a move at the wrong rung; in
    chains that stay where they are, states that are at two rungs after a swap.
    """
    copies = 20_000
    replicas = exact_start(table, rungs, copies, kind)
    exchange(replicas, 3, keep=0)
    held = replicas.ladder.held
    wanted, p_values = laws(table, held, rungs), []
    counted = [enumeration.numbers(table, state, held) for state in replicas.states]
    size = len(wanted[0])
    for k in range(len(wanted) - 1):
        pair = np.bincount(counted[k] * size + counted[k + 1], minlength=size**2)
        joint = np.multiply.outer(wanted[k], wanted[k + 1]).reshape(-1)
        p_values.append(stats.chi_square(pair, joint))
        twins = 0.9 * joint + 0.1 * np.diag(wanted[k]).reshape(-1)
        assert stats.detectable_chi_square(copies, joint, twins), "one state at two rungs"
        mixed = 0.85 * wanted[k] + 0.15 * wanted[k + 1]
        assert stats.detectable_chi_square(copies, wanted[k], mixed) or rungs == HIGH
    for k in range(len(wanted)):
        twice = counted[k][::2] * size + counted[k][1::2]  # a copy and the next one
        both = np.multiply.outer(wanted[k], wanted[k]).reshape(-1)
        p_values.append(stats.chi_square(np.bincount(twice, minlength=size**2), both))
    stats.accept(stats.smallest_of(p_values), "the ladder does not leave its joint law as it is")


def test_climbing_has_its_exact_law() -> None:
    """Exact draws of the first rung, then two transitions at each further one, by matrices."""
    copies, rungs, sweeps = 20_000, 3, 2
    replicas = replicas_of(ladder_of(RBM, rungs), copies, sweeps, KEY)
    held = replicas.ladder.held
    p = laws(RBM, held, rungs)[0]
    climbed = [{n: x[: copies // 2] for n, x in state.items()} for state in replicas.states]
    for state, table in zip(climbed, tables(RBM, rungs), strict=True):
        before, p = p, p @ np.linalg.matrix_power(reduced_chain(table, held), sweeps)
        stats.accept(stats.chi_square(enumeration.counts(RBM, state, held), p), "climbing does not move as it should")
    assert stats.detectable_chi_square(copies // 2, p, before)
    fallen = {n: x[copies // 2 :] for n, x in replicas.states[0].items()}
    stats.accept(
        stats.chi_square(enumeration.counts(RBM, fallen, held), laws(RBM, held, rungs)[0]), "not independent below"
    )


def test_swaps_happen_as_often_as_they_must() -> None:
    """The first round from exact draws against the expectation over all pairs of states; marks show who swapped.

    Catches a probability that is off by 0.03.
    """
    copies = 20_000
    wanted = float(mean_acceptance(RBM, ladder_of(RBM, 2).held, 2)[0])
    replicas = exact_start(RBM, 2, copies)
    replicas.ends[...] = [[5], [6]]
    found = exchange(replicas, 2, keep=0)
    swapped = replicas.ends[-1] == 5
    stats.accept(stats.binomial_table([swapped.sum()], copies, [wanted]), "swaps have not their probability")
    assert stats.detectable_binomial(copies, wanted, wanted - 0.03)
    ratio = (found.up + found.down)[0, 0]
    assert swapped[ratio >= 0].all() and not swapped[ratio < -20].any()
    chance = np.exp(np.minimum(ratio, 0))
    assert found.acceptance[0] == pytest.approx(chance.mean(), rel=1e-12)
    spread = float(chance.var())
    stats.accept(stats.mean_test(chance, wanted, spread), "the acceptance is not that of the Metropolis rule")
    assert stats.detectable_mean(copies, 0.03, spread)


# ---------------------------------------------------------------- what is recorded


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [0, 1])
def test_ratios_and_heights_are_those_of_the_states_before(kind: str, number: int) -> None:
    replicas = exact_start(DBM, 5, 30, kind)
    replicas.rounds = 2 + number  # no turning round, as in every sixteenth round
    path, betas = ladder_of(DBM, 5).path, np.linspace(0, 1, 5)
    assert isinstance(path, type(ladder_of(DBM, 2).path))
    before = copied(replicas)
    found = exchange(replicas, 2, keep=0)
    assert found.up.shape == found.down.shape == (4, 1, 30) and found.height.shape == (2, 30)

    def log_f(k: int, rung: int) -> np.ndarray:
        return path.log_density(before[k], betas[rung])

    for k in range(number, 4, 2):
        np.testing.assert_allclose(found.up[k, 0], log_f(k, k + 1) - log_f(k, k), atol=1e-10)
        np.testing.assert_allclose(found.down[k, 0], log_f(k + 1, k) - log_f(k + 1, k + 1), atol=1e-10)
    np.testing.assert_allclose(found.height[0], log_f(4, 4), atol=1e-10)


def test_both_kinds_of_ladder_give_the_same_states() -> None:
    """Inverse temperatures and machines of the same densities, from the climb on; their logs differ by rounding."""
    for table, rungs in ((RBM, 4), (DBM, 3), (SMALL["ring"], 3)):
        runs = [replicas_of(ladder_of(table, rungs, kind), 24, 2, KEY) for kind in KINDS]
        one, other = (exchange(replicas, 20) for replicas in runs)
        for mine, theirs in zip(*(copied(replicas) for replicas in runs), strict=True):
            assert all((mine[n] == theirs[n]).all() for n in mine)
        np.testing.assert_allclose(one.up, other.up, atol=1e-10)
        np.testing.assert_allclose(one.down, other.down, atol=1e-10)
        assert (one.trips == other.trips).all() and one.trips.sum() > 0
        assert runs[0].ladder.start_log_z == pytest.approx(runs[1].ladder.start_log_z, rel=1e-12)
        assert (runs[0].ladder.held, runs[0].ladder.rungs) == (runs[1].ladder.held, runs[1].ladder.rungs)


@pytest.mark.parametrize(("rounds", "keep"), [(20, 1), (20, 7), (20, 20), (21, 21), (7, 3), (5, 9), (4, 0)])
def test_as_many_states_are_kept_as_asked_for(rounds: int, keep: int) -> None:
    """Evenly spaced rounds, the last one among them; no two the same."""
    replicas = exact_start(RBM, 2, 6)
    alone, states = exact_start(RBM, 2, 6), []
    found = exchange(replicas, rounds, keep)
    for _ in range(rounds):
        exchange(alone, 1, keep=0)
        states.append(copied(alone)[-1])
    count = min(keep, rounds)
    assert {n: len(x) for n, x in found.samples.items()} == dict.fromkeys(alone.ladder.held if keep else (), 6 * count)
    for n, x in found.samples.items():
        marks = sorted({rounds - 1 - i * rounds // keep for i in range(keep)})
        assert len(marks) == count and max(np.diff(marks), default=1) - min(np.diff(marks), default=1) <= 1
        assert (x == np.concatenate([states[i][n] for i in marks])).all()


@pytest.mark.parametrize("rungs", [2, 3, 4, 5])
def test_journeys_are_those_of_single_replicas(rungs: int) -> None:
    """Trips, and which end each replica saw last, against loops that follow every replica."""
    replicas = exact_start(RBM, rungs, 8)
    found = exchange(replicas, 40)
    trips, _ = journeys(found.up, found.down, 8)
    assert (found.trips == trips).all() and (replicas.trips == trips).all() and trips.sum() > 0
    assert (replicas.ends[0] == 1).all() and np.isin(replicas.ends, (0, 1, 2)).all()
    more = exchange(replicas, 40)
    assert (replicas.trips == trips + more.trips).all(), "trips are those of this call"


def test_marks_travel_with_their_replicas() -> None:
    rungs, copies = 5, 12
    replicas = exact_start(RBM, rungs, copies)
    replicas.ends[...] = 10 + np.arange(rungs)[:, None]
    found = exchange(replicas, 2, keep=0)
    _, places = journeys(found.up, found.down, copies)
    for copy, at in enumerate(places):
        met = 0
        for rung in range(1, rungs - 1):
            if replicas.ends[rung, copy] != 1:  # has not been at the first rung
                assert replicas.ends[rung, copy] == 10 + at[rung]
                met += 1
        assert met > 0


# ---------------------------------------------------------------- going on, threads


def equal(one: Replicas, other: Replicas) -> bool:
    """Whether two runs stand at the same place."""
    states = all((a[n] == b[n]).all() for a, b in zip(one.states, other.states, strict=True) for n in one.ladder.held)
    same = (one.ends == other.ends).all() and (one.trips == other.trips).all()
    return bool(states and same and one.rounds == other.rounds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", [20, 7])
def test_going_on_gives_the_same_bits(kind: str, first: int) -> None:
    whole, parts = exact_start(DBM, 4, 20, kind), exact_start(DBM, 4, 20, kind)
    found = exchange(whole, 40)
    one, two = exchange(parts, first), exchange(parts, 40 - first)
    assert equal(whole, parts) and (np.concatenate([one.height, two.height]) == found.height).all()
    assert (one.trips + two.trips == found.trips).all()
    if first % 2 == 0:
        assert (np.concatenate([one.up, two.up], axis=1) == found.up).all()
        assert (np.concatenate([one.down, two.down], axis=1) == found.down).all()
    assert all((two.samples[n] == x).all() for n, x in found.samples.items())


@pytest.mark.parametrize("rungs", [2, 5])
def test_results_do_not_depend_on_threads(rungs: int) -> None:
    before, runs, found = boltz.threads(), [], list[Exchanged]()
    try:
        for count in (1, 3):
            boltz.threads(count)
            runs.append(exact_start(DBM, rungs, 40))
            found.append(exchange(runs[-1], 10))
    finally:
        boltz.threads(before)
    assert equal(*runs) and (found[0].up == found[1].up).all() and (found[0].height == found[1].height).all()


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int]] = []
    exchange(exact_start(RBM, 2, 3), 25, progress=lambda done, total: told.append((done, total)))
    assert told == [(10, 25), (20, 25), (25, 25)]


def test_a_ladder_of_machines_starts_at_independent_units() -> None:
    ladder, plain = ladder_of(DBM, 3, "machines"), ladder_of(DBM, 3)
    assert isinstance(ladder, Machines) and isinstance(plain, Temperatures)
    assert not any(x.any() for n, x in ladder.members[0].params.items() if n.startswith("edge"))
    assert ladder.start_log_z == pytest.approx(enumeration.log_z(tables(DBM, 3)[0]), rel=1e-12)
    assert ladder.machine is ladder.members[-1] and len(rates_of(DBM)) == 3
