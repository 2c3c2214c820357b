"""Catches chains that go on from given states with old random numbers, or without a warning.

Every statistical test has a fixed seed and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
from oracles import chains, enumeration
from oracles.enumeration import Table
from support import stats
from support.machines import machine_of

import boltz

TABLE = Table.random([3, 3], 0.8, 51)
MODEL = machine_of(TABLE, np.float32)
START = {"v": np.zeros((1, 3), np.float32), "h1": np.zeros((1, 3), np.float32)}


def looped(rows: int, calls: int, seeds: Any) -> list[dict[str, Any]]:
    """The states after each of several calls of two sweeps, each of which goes on from the one before."""
    state = {n: np.repeat(x, rows, axis=0) for n, x in START.items()}
    found = []
    for i in range(calls):
        state = boltz.sample(MODEL, rows, sweeps=2, start=dict(state), seed=seeds(i))
        found.append(state)
    return found


def test_a_loop_with_a_seed_for_each_call_has_the_law_of_one_long_chain() -> None:
    """Chi-square on all states after 3 calls of 2 sweeps of 200,000 chains that all start at 0."""
    rows, p = 200_000, np.zeros(64)
    p[0] = 1.0
    step = chains.sweep_matrix(TABLE, enumeration.colours(TABLE))
    long = p @ np.linalg.matrix_power(step, 6)
    assert stats.detectable_chi_square(rows, long, p @ np.linalg.matrix_power(step, 2)), "calls that do not go on"
    state = looped(rows, 3, lambda i: i)[-1]
    stats.accept(stats.chi_square(enumeration.counts(TABLE, state), long), "calls do not go on as one chain")


def test_calls_with_seeds_of_their_own_draw_other_numbers_and_one_seed_freezes_chains() -> None:
    """Correlation of a unit between two calls that are 12 sweeps apart; the trap itself has 1."""
    rows = 20_000
    assert stats.detectable_correlation(rows, 0.5)
    frozen, free = looped(rows, 13, lambda i: 0), looped(rows, 13, lambda i: i)
    distance = [np.mean(each[12]["v"][:, 0] != each[6]["v"][:, 0]) for each in (frozen, free)]
    assert distance[0] < 0.05 < distance[1], distance  # the same numbers lead chains to the same states
    stats.accept(stats.correlation_test(free[12]["v"][:, 0], free[6]["v"][:, 0]), "calls share random numbers")


def test_going_on_with_the_same_seed_is_warned_of() -> None:
    state = boltz.sample(MODEL, chains=4, sweeps=1, seed=7)
    with pytest.warns(UserWarning, match="start was drawn with the same seed.* seed=i in a loop") as caught:
        boltz.sample(MODEL, chains=4, sweeps=1, seed=7, start=state)
    assert caught[0].filename == __file__
    moved, _ = boltz.tempered_transitions(MODEL, 4, transitions=1, betas=3, seed=7)
    with pytest.warns(UserWarning, match="start was drawn with the same seed") as caught:
        boltz.tempered_transitions(MODEL, moved, transitions=1, betas=3, seed=7)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in (8, 9):
            state = boltz.sample(MODEL, chains=4, sweeps=1, seed=seed, start=state)
        boltz.tempered_transitions(MODEL, moved, transitions=1, betas=3, seed=8)


def test_states_are_a_dict_whose_copies_keep_the_key() -> None:
    state = boltz.sample(MODEL, chains=4, sweeps=1)
    assert isinstance(state, dict) and list(state) == ["v", "h1"]
    drawn = boltz.sample(boltz.sbn([4, 3]), chains=2)
    for each in (copy.copy(state), copy.deepcopy(state), pickle.loads(pickle.dumps(state)), drawn):
        assert each.key == state.key
    np.testing.assert_equal(dict(copy.deepcopy(state)), dict(state))


def test_tempered_samples_say_whether_they_can_be_trusted() -> None:
    """In 20 rounds on a ladder of at least 5 rungs no copy makes 8 journeys there and back."""
    few = boltz.tempered_sample(MODEL, chains=8, rounds=20)
    assert {n: x.shape for n, x in few.items()} == {"v": (8, 3), "h1": (8, 3)}
    assert not few.trusted and any("journeys a copy, fewer than" in doubt for doubt in few.doubts)
    assert len(few.doubts) == len(few.ladder.doubts) and few.doubts[-1].endswith(": give more rounds than 20")
    assert few.ladder.acceptance.min() > 0
    again = pickle.loads(pickle.dumps(few))
    assert again.key == few.key and again.doubts == few.doubts
