"""Catches block Gibbs chains whose states, draws or starts have another law than exact transition matrices give.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6. The laws are exact at every number
of sweeps, so slow mixing can neither hide an error nor raise an alarm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import chains, enumeration
from oracles.enumeration import Table
from scipy.special import expit
from support import stats
from support.machines import SMALL, machine_of

import boltz
from boltz.rng import Key
from boltz.sampling.gibbs import GibbsSweep, random_state
from boltz.sampling.inputs import Scratch, layer_input, turned_weights

STATIONARY = {
    "rbm": Table.random([4, 4], 0.8, 41),
    "dbm2": Table.random([3, 3, 2], 1.0, 42),
    "dbm3": Table.random([2, 2, 2, 2], 1.2, 43),
}


def scaled(table: Table, gain: float) -> Table:
    """The machine whose every field is gain times that of the table."""
    return Table(
        table.layers, {e: gain * w for e, w in table.edges.items()}, {n: gain * b for n, b in table.biases.items()}
    )


def independent(table: Table, given: dict[str, np.ndarray]) -> np.ndarray:
    """Probability of every state: given layers at their row, every other unit drawn from its bias."""
    p, every = np.ones(2 ** sum(table.layers.values())), enumeration.states(table)
    for layer, x in every.items():
        mean = given[layer] if layer in given else expit(table.biases[layer])
        p = p * np.prod(np.where(x == 1, mean, 1 - mean), axis=1)
    return p


@pytest.mark.parametrize("name", STATIONARY)
def test_chains_that_start_in_the_exact_law_stay_there(name: str) -> None:
    """Chi-square on all states after 4 sweeps of 500,000 float32 chains from exact draws.

    Catches a gain error of 2 %, coarse uniforms, reused random numbers, a stale layer, a bias that is left out.
    """
    table, sweeps, rows = STATIONARY[name], 4, 500_000
    p, classes = enumeration.joint(table), enumeration.colours(table)
    off = chains.sweep_matrix(scaled(table, 1.02), classes)
    assert stats.detectable_chi_square(rows, p, p @ np.linalg.matrix_power(off, sweeps)), "a gain error of 2 %"
    start = enumeration.draw(table, rows, seed=1)
    state = boltz.sample(machine_of(table, np.float32), rows, sweeps, seed=11, start=start)
    stats.accept(stats.chi_square(enumeration.counts(table, state), p), "the chain leaves the law of the machine")


@pytest.mark.parametrize("given", [(), ("v",), ("h1",), ("v", "h2"), ("v", "h1"), ("v", "h1", "h2")])
@pytest.mark.parametrize("sweeps", [0, 1, 2, 5])
def test_chains_from_a_fixed_start_follow_the_exact_law_of_each_sweep(given: tuple[str, ...], sweeps: int) -> None:
    """Chi-square of 80,000 chains from one start against its exact law; layers not given come from their bias.

    Catches a layer that never moves, a start that is ignored or redrawn first, one sweep too many or too few.
    """
    table, rows = STATIONARY["dbm2"], 80_000
    fixed = {"v": np.array([1.0, 0, 1]), "h1": np.array([0.0, 1, 1]), "h2": np.array([1.0, 1])}
    first, second = enumeration.colours(table)
    order = (second, first) if given and all(n in first for n in given) else (first, second)
    matrix = chains.sweep_matrix(table, order)
    law = independent(table, {n: fixed[n] for n in given}) @ np.linalg.matrix_power(matrix, sweeps)
    start = {n: np.tile(fixed[n], (rows, 1)) for n in given}
    state = boltz.sample(machine_of(table), rows, sweeps, seed=12, start=start)
    counts = enumeration.counts(table, state)
    if sweeps == 0 and len(given) == 3:
        assert counts.max() == rows and law[counts.argmax()] == 1
        return
    stats.accept(stats.chi_square(counts, law), "the chain does not follow its transition matrix")
    stuck = chains.update_matrix(table, order[1])  # the class sampled first never moves
    if sweeps == 5:
        assert stats.detectable_chi_square(rows, law, independent(table, {n: fixed[n] for n in given}) @ stuck)


@pytest.mark.parametrize("sweeps", [1, 3])
def test_a_fixed_start_tells_the_number_of_sweeps(sweeps: int) -> None:
    """Power of the test above: laws after neighbouring numbers of sweeps differ visibly."""
    table = STATIONARY["dbm2"]
    matrix = chains.sweep_matrix(table, enumeration.colours(table))
    p = independent(table, {"v": np.ones(3), "h1": np.ones(3), "h2": np.ones(2)})
    laws = [p @ np.linalg.matrix_power(matrix, n) for n in (sweeps, sweeps + 1)]
    assert stats.detectable_chi_square(80_000, laws[0], laws[1])


def flat(state: dict[str, np.ndarray], layer: str, rows: slice = slice(None)) -> np.ndarray:
    return state[layer][rows].reshape(-1)


def test_draws_of_chains_layers_sweeps_and_seeds_are_independent() -> None:
    """Correlations on a machine without weights, where every draw is fresh; 80,000 pairs or more, alpha 1e-6 in all.

    Catches a stream shared by layers, sweeps, seeds or blocks, and chain numbers that restart in each block.
    """
    rows, units = 16_000, 6
    model = boltz.from_arrays([np.zeros((units, units))] * 2, [np.zeros(units)] * 3)
    one, two = (boltz.sample(model, rows, sweeps, seed=1) for sweeps in (1, 2))
    other = boltz.sample(model, rows, 1, seed=2)
    pairs = {
        "layers v and h1": (flat(one, "v"), flat(one, "h1")),
        "layers v and h2": (flat(one, "v"), flat(one, "h2")),
        "layers h1 and h2": (flat(one, "h1"), flat(one, "h2")),
        "sweeps": (flat(one, "v"), flat(two, "v")),
        "sweeps, layers": (flat(one, "h1"), flat(two, "v")),
        "seeds": (flat(one, "v"), flat(other, "v")),
        "units": (one["v"][:, :-1].reshape(-1), one["v"][:, 1:].reshape(-1)),
    }
    for lag in (1, 2, 64, 127, 128, 256):
        pairs[f"chains {lag} apart"] = flat(one, "v", slice(lag, None)), flat(one, "v", slice(None, -lag))
    values = {name: stats.correlation_test(*pair) for name, pair in pairs.items()}
    worst = min(values, key=lambda name: values[name])
    stats.accept(stats.smallest_of(list(values.values())), f"draws are correlated: {worst}")
    assert stats.detectable_correlation(rows * (units - 1), 0.03, stats.ALPHA / len(values))


def test_chains_do_not_correlate_on_a_machine_with_weights() -> None:
    """Chains from one start are independent given it; 200,000 pairs, alpha 1e-6; catches blocks with common numbers."""
    table, rows = STATIONARY["rbm"], 200_000
    state = boltz.sample(machine_of(table, np.float32), rows, 3, seed=5)
    total = np.hstack(list(state.values())).sum(axis=1)
    values = [stats.correlation_test(total[lag:], total[:-lag]) for lag in (1, 127, 128, 1000)]
    stats.accept(stats.smallest_of(values), "chains are correlated")
    assert stats.detectable_correlation(rows - 1000, 0.02, stats.ALPHA / len(values))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_chain_does_not_depend_on_how_many_run_beside_it(dtype: Any) -> None:
    model = machine_of(SMALL["dbm3"], dtype)
    many = boltz.sample(model, 700, 12, seed=3)
    for rows in (1, 31, 32, 128, 129):
        few = boltz.sample(model, rows, 12, seed=3)
        assert all((few[n] == many[n][:rows]).all() for n in few)
    assert not all((boltz.sample(model, 700, 12, seed=4)[n] == many[n]).all() for n in many)


def test_sample_returns_fresh_states_of_the_machines_type() -> None:
    model = machine_of(SMALL["dbm2"], np.float32)
    start = {n: np.ones((50, u), np.float32) for n, u in model.graph.units.items()}
    for x in start.values():
        x.flags.writeable = False
    state = boltz.sample(model, 50, 3, start=start)
    assert list(state) == ["v", "h1", "h2"]
    for n, x in state.items():
        assert x.dtype == np.float32 and x.shape == (50, model.graph.units[n]) and np.isin(x, (0, 1)).all()
        assert not np.shares_memory(x, start[n]) and (start[n] == 1).all()
    still = boltz.sample(model, 50, 0, start=start)
    assert all((still[n] == 1).all() for n in still)
    again = boltz.sample(model, 50, 3, start=start)
    assert all((state[n] == again[n]).all() for n in state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"chains": 0}, "chains must be a whole number of at least 1"),
        ({"chains": 2.0}, "chains must be a whole number"),
        ({"sweeps": -1}, "sweeps must be a whole number of at least 0"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"start": {"q": np.zeros((5, 3))}}, "start must hold layers among v, h1, h2, got 'q'"),
        ({"start": {"v": np.zeros((4, 3))}}, r"start\['v'\] must have 5 rows, one a chain, got 4"),
        ({"start": np.zeros((5, 3))}, "start must map layers to arrays, got ndarray"),
        ({"start": {"v": np.zeros((5, 3)), "h1": np.zeros((4, 3))}}, "equally many chains"),
    ],
)
def test_sample_refuses_what_does_not_fit(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        boltz.sample(machine_of(SMALL["dbm2"]), **{"chains": 5, "sweeps": 1, **settings})


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_of_wide_layers_at_any_share_of_units_on(dtype: Any, turned: bool) -> None:
    """Sparse states, dense states and means take different products; each against float64 of the oracle."""
    table, rng = Table.random([300, 160, 140], 0.3, 5), np.random.default_rng(6)
    machine, scratch = machine_of(table, dtype), Scratch(np.empty(0, dtype))
    flipped = turned_weights(machine) if turned else None
    for share in (0.0, 0.05, 0.3, 0.6, 1.0, None):
        for rows in (1, 7, 100):
            random = {n: rng.random((rows, u)) for n, u in table.layers.items()}
            state = {n: (x if share is None else x < share).astype(dtype) for n, x in random.items()}
            for layer in table.layers:
                found = layer_input(machine, layer, state, scratch, flipped)
                expected = enumeration.field(Table.of(machine), layer, state) - Table.of(machine).biases[layer]
                tolerance = {np.float32: 2e-5, np.float64: 1e-12}[dtype] * (1 + np.abs(expected).max())
                assert np.abs(found - expected).max() <= tolerance


def test_turned_weights_are_transposes_of_their_own() -> None:
    machine = machine_of(SMALL["dbm3"])
    turned = turned_weights(machine)
    assert set(turned) == {edge.key for edge in machine.graph.edges}
    for key, weight in turned.items():
        assert weight.flags.c_contiguous and (weight == machine.params[key].T).all()
        assert not np.shares_memory(weight, machine.arena)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_in_reused_buffers_are_those_of_the_machine(dtype: Any) -> None:
    """More rows, fewer rows, fewer neighbours, then none: nothing of the last use remains."""
    table, rng = SMALL["dbm4"], np.random.default_rng(1)
    machine, scratch = machine_of(table, dtype), Scratch(np.empty(0, dtype))
    for rows in (5, 9, 2, 9):
        state = {n: rng.integers(0, 2, (rows, u)).astype(dtype) for n, u in table.layers.items()}
        for layer in table.layers:
            for present in (list(state), ["v", "h2"], [layer]):
                part = {n: state[n] for n in present}
                found = layer_input(machine, layer, part, scratch)
                assert found.flags.c_contiguous and found.shape == (rows, table.layers[layer])
                assert np.abs(found - machine.input(layer, part)).max() < 1e-5
    assert scratch.get("input", "v", (4, 2)).base is scratch.get("input", "v", (9, 2)).base


def test_a_random_start_follows_the_biases() -> None:
    """Chi-square on all states of 50,000 rows, alpha 1e-6; catches a start of zeros, a bias of another layer."""
    table = STATIONARY["dbm2"]
    state = random_state(machine_of(table), 50_000, Key(8, 9))
    law = independent(table, {})
    stats.accept(stats.chi_square(enumeration.counts(table, state), law), "the random start does not follow the biases")
    swapped = Table(table.layers, table.edges, {**table.biases, "v": table.biases["h1"], "h1": table.biases["v"]})
    assert stats.detectable_chi_square(50_000, law, independent(swapped, {}))


def test_sweep_returns_the_means_of_the_class_sampled_last() -> None:
    table = SMALL["dbm3"]
    machine, state = machine_of(table), {n: np.ones((4, u)) for n, u in table.layers.items()}
    for transition in (GibbsSweep(machine, Key(1, 2)), GibbsSweep(machine, Key(1, 2), flipped=True)):
        means = transition.sweep(state, 0, 0, Scratch(np.empty(0)))
        assert tuple(means) == transition.order[1]
        for layer, mean in means.items():
            assert np.abs(mean - enumeration.conditional(table, layer, state)).max() < 1e-12
