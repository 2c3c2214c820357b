"""Traced chains: would catch a wrong temperature, a record of another moment, and chains that recording changes."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from checks import quick_pieces as checks
from support.machines import machine_of

import boltz

MODEL = machine_of(checks.DBM)


def test_energies_at_each_temperature_follow_the_exact_law() -> None:
    checks.check_energies_at_temperatures()


def test_the_last_states_are_those_of_sample() -> None:
    checks.check_chains_end_as_samples()


def test_temperatures_are_independent() -> None:
    checks.check_temperatures_are_independent()


@pytest.mark.parametrize("start", [None, "uniform", "bias", "data"])
def test_starts_are_those_of_sample(start: Any) -> None:
    data = np.eye(3) if start == "data" else None
    wanted = boltz.sample(MODEL, 37, 40, seed=1, start=start, data=data)
    run = boltz.run_chains(MODEL, 40, 37, every=3, seed=1, start=start, data=data)
    for layer, x in wanted.items():
        np.testing.assert_array_equal(run.states[layer], x)


def test_threads_change_nothing() -> None:
    before = boltz.threads()
    try:
        runs = []
        for count in (1, 3):
            boltz.threads(count)
            runs.append(boltz.run_chains(MODEL.astype("float32"), 40, 600, every=2, seed=2))
    finally:
        boltz.threads(before)
    np.testing.assert_array_equal(runs[0].trace, runs[1].trace)


def test_functions_see_the_states_of_their_moment_and_may_keep_them() -> None:
    """A record is the state after k * every sweeps; what a function does to its copy reaches no chain."""
    kept: list[dict[str, Any]] = []

    def size(state: dict[str, Any]) -> Any:
        kept.append(state)
        found = state["v"].sum(axis=1)
        state["h1"][...] = 7
        return found

    record = {"size": size, "energy": MODEL.energy}
    run = boltz.run_chains(MODEL, 11, 20, every=4, record=record, seed=3)
    assert run.traces["size"].shape == run.traces["energy"].shape == (2, 20)
    for k, sweeps in enumerate((4, 8)):
        state = boltz.sample(MODEL, 20, sweeps, seed=3)
        np.testing.assert_array_equal(kept[k]["v"], state["v"])
        np.testing.assert_array_equal(run.traces["size"][k], state["v"].sum(axis=1))
        np.testing.assert_array_equal(run.traces["energy"][k], MODEL.energy(state))
    np.testing.assert_array_equal(run.states["h1"], boltz.sample(MODEL, 20, 11, seed=3)["h1"])


def test_the_first_temperature_is_that_of_a_run_of_its_own() -> None:
    many = boltz.run_chains(MODEL, 8, 10, every=2, beta=[0.5, 2.0], seed=4)
    alone = boltz.run_chains(MODEL, 8, 10, every=2, beta=0.5, seed=4)
    assert many.traces["energy"].shape == (2, 4, 10) and many.states["h2"].shape == (2, 10, 2)
    np.testing.assert_array_equal(many.traces["energy"][0], alone.trace)
    np.testing.assert_array_equal(many.states["v"][0], alone.states["v"])


def test_chains_go_on_from_states_at_their_temperatures() -> None:
    """States with a leading axis start each temperature at its own; at beta 1e6 nothing moves away from the best."""
    best = boltz.run_chains(MODEL, 50, 10, beta=[1e3, 1e3], seed=5)
    again = boltz.run_chains(MODEL, 1, 10, beta=[1e3, 1e3], start=best.states, seed=6)
    for layer, x in best.states.items():
        np.testing.assert_array_equal(again.states[layer], x)
    with pytest.warns(UserWarning, match="same seed"):
        boltz.run_chains(MODEL, 1, 10, beta=[1e3, 1e3], start=best.states, seed=5)


def test_what_a_run_shows() -> None:
    run = boltz.run_chains(MODEL, 6, 5, every=2, beta=[0.5, 1.0])
    assert repr(run) == "ChainRun(energy: 3 records of 5 chains, 6 sweeps, beta 2 values)"
    assert repr(boltz.run_chains(MODEL, 6, 5)).endswith("6 sweeps, beta 1)")
    assert run.trace is run.traces["energy"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(run)).trace, run.trace)
    two = boltz.run_chains(MODEL, 1, 5, record={"a": MODEL.energy, "b": MODEL.energy})
    with pytest.raises(boltz.InputError, match="single trace"):
        _ = two.trace


def test_traces_go_to_the_measures_of_mixing() -> None:
    run = boltz.run_chains(MODEL, 300, 20, start="uniform")
    assert 1 <= boltz.integrated_time(run) == boltz.integrated_time(run.trace, axis=0) < 10
    assert boltz.split_rhat(run.trace.T) < 1.2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"record": {"a": 3}}, r"record\['a'\] must be a function"),
        ({"record": {}}, "record must be a function, a dict"),
        ({"record": lambda state: 3.0}, "record 'record' must have shape"),
        ({"record": {"w": lambda state: state["v"]}}, "record 'w' must have shape"),
        ({"beta": -1.0}, "beta must be a finite number"),
        ({"beta": [1.0, "a"]}, r"beta\[1\] must be a number"),
        ({"beta": []}, "beta must hold at least one"),
        ({"every": 5}, "every must be"),
        ({"sweeps": 0}, "sweeps must be"),
        ({"start": "data"}, "give data=rows"),
    ],
)
def test_bad_arguments_are_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(boltz.InputError, match=words):
        boltz.run_chains(**({"model": MODEL, "sweeps": 4, "chains": 3} | change))


def test_weights_beyond_their_type_are_told() -> None:
    with pytest.raises(boltz.NumericalError):
        boltz.run_chains(boltz.from_arrays([np.full((2, 2), 1e308)], [np.zeros(2)] * 2), 2, 3, beta=100.0)
