"""Catches a Gibbs sweep whose full transition matrix, from the means that it computes, is not the enumerated one.

No draw enters a matrix: update() is asked for the means of each layer at every state of the machine. That the states
it draws come from exactly those means is a check of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from oracles import chains, enumeration
from oracles.enumeration import Table
from support.machines import SMALL, machine_of

from boltz.kernels import reference
from boltz.models import BoltzmannMachine
from boltz.rng import Key
from boltz.sampling.gibbs import GibbsSweep, Scratch

KEY = Key(5, 6)
TRANSITIONS: dict[str, Callable[[BoltzmannMachine], GibbsSweep]] = {
    "gibbs": lambda machine: GibbsSweep(machine, KEY),
    "gibbs flipped": lambda machine: GibbsSweep(machine, KEY, flipped=True),
    "gibbs reversed": lambda machine: GibbsSweep(machine, KEY).reversed(),
}


@pytest.fixture(params=SMALL)
def table(request: pytest.FixtureRequest) -> Table:
    return SMALL[request.param]


@pytest.fixture(params=TRANSITIONS)
def transition(request: pytest.FixtureRequest, table: Table) -> GibbsSweep:
    return TRANSITIONS[request.param](machine_of(table))


def copies(state: Any, dtype: Any = np.float64) -> dict[str, np.ndarray]:
    return {layer: np.array(x, dtype) for layer, x in state.items()}


def order_of(transition: GibbsSweep, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The layers in the order in which one sweep really updates them."""
    found: list[str] = []
    update = GibbsSweep.update

    def spy(self: GibbsSweep, layer: str, *rest: Any) -> Any:
        found.append(layer)
        return update(self, layer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(GibbsSweep, "update", spy)
        transition.step({n: np.zeros((1, u)) for n, u in transition.machine.graph.units.items()}, 0)
    return found


def layer_matrix(transition: GibbsSweep, table: Table, layer: str) -> np.ndarray:
    """Transition on all states of one update, the conditional means measured at every state."""
    every = copies(enumeration.states(table))
    mean = transition.update(layer, copies(every), 0, 0, Scratch(np.empty(0))).astype(np.float64)
    rest = table.others([layer])
    kept = enumeration.numbers(table, every, rest) if rest else np.zeros(len(mean), int)
    matrix = np.array(kept[:, None] == kept, np.float64)
    for unit in range(table.layers[layer]):
        matrix *= np.where(every[layer][:, unit] == 1, mean[:, [unit]], 1 - mean[:, [unit]])
    return matrix


def matrix_of(transition: GibbsSweep, table: Table, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    matrix = np.eye(len(enumeration.joint(table)))
    for layer in order_of(transition, monkeypatch):
        matrix = matrix @ layer_matrix(transition, table, layer)
    return matrix


def test_sweeps_are_the_enumerated_transition_and_keep_its_law(
    transition: GibbsSweep, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a wrong or transposed weight, a dropped bias, a stale neighbour, a layer left out or taken twice."""
    matrix, p = matrix_of(transition, table, monkeypatch), enumeration.joint(table)
    assert np.abs(matrix.sum(axis=1) - 1).max() < 1e-12
    assert np.abs(matrix - chains.sweep_matrix(table, transition.order)).max() < 1e-12
    assert chains.invariance_defect(p, matrix) < 1e-12
    assert np.linalg.matrix_power(matrix, 2).min() > 0, "some state is never reached"


def test_the_reversal_of_a_sweep_is_reversed(
    transition: GibbsSweep, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """p_i P_ij = p_j R_ji with R = reversed(), which changes neither machine, key nor scales; and twice is nothing."""
    p, back = enumeration.joint(table), transition.reversed()
    forward, backward = (matrix_of(t, table, monkeypatch) for t in (transition, back))
    assert chains.reversal_defect(p, forward, backward) < 1e-12
    assert back.machine is transition.machine and back.key == transition.key and back.scales == transition.scales
    assert back.reversed().order == transition.order != back.order


@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3", "dbm4", "ring"])
def test_the_sweep_itself_is_not_reversible(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Companion of the test above: taking the sweep for its own reversal is an error that it sees."""
    transition = GibbsSweep(machine_of(SMALL[name]), KEY)
    matrix = matrix_of(transition, SMALL[name], monkeypatch)
    assert chains.reversal_defect(enumeration.joint(SMALL[name]), matrix, matrix) > 1e-5


def test_the_class_sampled_last_is_a_reversible_chain(
    transition: GibbsSweep, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What annealed importance sampling rests on: seen on the class sampled last, the sweep is reversible."""
    last = transition.order[1]
    matrix, every = (
        matrix_of(transition, table, monkeypatch),
        enumeration.numbers(table, enumeration.states(table), last),
    )
    size = 2 ** sum(table.layers[n] for n in last)
    reduced = np.zeros((len(matrix), size))
    np.add.at(reduced.T, every, matrix.T)
    first = np.array([reduced[every == i][0] for i in range(size)])
    assert np.abs(reduced - first[every]).max() < 1e-12, "the next state depends on the class sampled first"
    p = enumeration.marginal(table, last)
    assert chains.reversal_defect(p, first, first) < 1e-12


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_states_are_drawn_from_the_means_with_the_stream_of_layer_and_step(
    transition: GibbsSweep, table: Table, dtype: Any
) -> None:
    """Catches a mean stored as the state, a stream shared by two layers or two steps, a chain number that restarts."""
    machine = machine_of(table, dtype)
    sweep = GibbsSweep(machine, transition.key, transition.flipped)
    state = copies(enumeration.states(table), dtype)
    streams = set()
    for step in (0, 1, 2**33):
        for layer in table.layers:
            before = copies(state, dtype)
            mean = sweep.update(layer, state, step, 77, Scratch(np.empty(0, dtype)))
            expected = enumeration.conditional(table, layer, before)
            assert np.abs(mean - expected).max() < (1e-6 if dtype is np.float32 else 1e-12)
            drawn = np.empty_like(state[layer])
            reference.bernoulli_from_mean(np.array(mean), sweep.stream(layer, step), 77, drawn)
            assert (state[layer] == drawn).all()
            assert all((state[n] == before[n]).all() for n in table.layers if n != layer)
            streams.add(sweep.stream(layer, step))
    assert len(streams) == 3 * len(table.layers)


@pytest.mark.parametrize("name", ["rbm", "dbm3", "ring"])
def test_scales_multiply_the_input_and_not_the_bias(name: str) -> None:
    """The doubled inputs of greedy pretraining (Salakhutdinov & Hinton 2009, section 4)."""
    table = SMALL[name]
    transition = GibbsSweep(machine_of(table), KEY, scales={"h1": 2.0, "v": 0.5})
    for layer in table.layers:
        state = copies(enumeration.states(table))
        scale = {"h1": 2.0, "v": 0.5}.get(layer, 1.0)
        field = scale * (enumeration.field(table, layer, state) - table.biases[layer]) + table.biases[layer]
        mean = transition.update(layer, state, 0, 0, Scratch(np.empty(0)))
        assert np.abs(mean - 1 / (1 + np.exp(-field))).max() < 1e-12


def test_a_step_leaves_its_start_untouched(transition: GibbsSweep, table: Table) -> None:
    start = copies(enumeration.states(table))
    for x in start.values():
        x.flags.writeable = False
    before = copies(start)
    first, again = transition.step(start, 3), transition.step(start, 3)
    assert all((start[n] == before[n]).all() and (first[n] == again[n]).all() for n in start)
    part = transition.step({n: x[2:] for n, x in start.items()}, 3, first_row=2)
    assert all((part[n] == first[n][2:]).all() for n in start), "the chain number of a block does not count"
