"""Catches tempered transitions that change the machine's law, or stay in modes as Gibbs sampling does for ever.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import annealing
from oracles import chains, enumeration
from oracles.enumeration import Table
from support import stats
from support.machines import SMALL, base_of, machine_of, rates_of

import boltz
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath
from boltz.sampling.tempered_transitions import tempered_transition
from boltz.targets import path_to

BETAS = np.array([0.0, 0.5, 1.0])


def exact_path(table: Table) -> tuple[tuple[str, ...], chains.Path]:
    """The class that boltz holds, and the enumerated path over it."""
    held = path_to(machine_of(table), rates_of(table)).held
    return held, chains.reduced_path(table, base_of(table), BETAS, held)


@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3"])
def test_a_transition_leaves_the_law_of_the_machine(name: str) -> None:
    """Chi-square over the states of the held class after one transition from 100,000 exact draws.

    Catches a move after the last weight, whose law is a sum over all walks, and a share of accepted chains that is off
    by a twentieth, as where one half of the walk alone is weighed.
    """
    table, count = SMALL[name], 100_000
    held, path = exact_path(table)
    law = enumeration.marginal(table, held)
    right, share = annealing.tempered_law(path)
    late, _ = annealing.tempered_law(path, late=True)
    np.testing.assert_allclose(right, law, atol=1e-12)
    assert stats.detectable_chi_square(count, law, late)
    model = machine_of(table, np.float32)
    state = {n: x.astype(np.float32) for n, x in enumeration.draw(table, count, 3).items()}
    before = {n: x.copy() for n, x in state.items()}
    accepted = tempered_transition(GibbsPath(path_to(model, rates_of(table))), state, BETAS, Key(5, 6))
    stats.accept(stats.chi_square(enumeration.counts(table, state, held), law), "the law of the machine drifts")
    for layer in held:
        assert (state[layer] == before[layer])[~accepted].all(), "a rejected chain moved"
    stats.accept(stats.binomial_table(accepted.sum(), count, share), "another share is accepted")
    assert stats.detectable_binomial(count, share, 1.05 * share)


def planted() -> Table:
    """An RBM of two modes, all visible units on or all off, of known weights that differ; Gibbs never switches."""
    weights = np.full((6, 4), 8.0)
    return Table.chain([weights], [np.full(6, -16.0), np.full(4, -24.1)])


def test_planted_modes_are_left_and_weighed() -> None:
    """400 chains from one mode: Gibbs stays there, tempered transitions reach both in their enumerated shares."""
    table, count = planted(), 400
    model = machine_of(table)
    law = enumeration.marginal(table, ("v",))
    weight = float(law[-1] / (law[0] + law[-1]))
    assert law[0] + law[-1] > 0.99 and 0.3 < weight < 0.7
    start: dict[str, Any] = {"v": np.zeros((count, 6)), "h1": np.zeros((count, 4))}
    stuck = boltz.sample(model, count, 100, 1, start)
    assert (stuck["v"].mean(axis=1) < 0.5).all()
    fair = {n: np.full(u, 0.5) for n, u in table.layers.items()}  # the base-rate model must know of both modes
    state, share = boltz.tempered_transitions(model, start, 12, 60, 1, fair)
    on = int((state["v"].mean(axis=1) > 0.5).sum())
    assert share > 0.2 and stats.detectable_binomial(count, weight, 0.0)
    stats.accept(stats.binomial_table(on, count, weight), "the modes do not have their shares")
    assert (start["v"] == 0).all(), "the caller's states were changed"


def test_all_layers_follow_the_machine() -> None:
    """From exact states, 60,000 chains; after the last sweep every layer goes with the others."""
    table, count = SMALL["dbm2"], 60_000
    start = enumeration.draw(table, count, 9)
    state, share = boltz.tempered_transitions(machine_of(table), start, 1, BETAS, 2, rates_of(table))
    p = enumeration.joint(table)
    strong = Table(table.layers, {pair: 1.1 * w for pair, w in table.edges.items()}, table.biases)
    assert stats.detectable_chi_square(count, p, enumeration.joint(strong)) and 0 < share < 1
    stats.accept(stats.chi_square(enumeration.counts(table, state), p), "tempered chains have another law")


def test_results_depend_on_the_seed_alone() -> None:
    model, before = machine_of(SMALL["dbm2"]), boltz.threads()
    (first, share), (other, _) = (boltz.tempered_transitions(model, 300, 2, 10, seed) for seed in (1, 2))
    try:
        boltz.threads(3)
        again, same = boltz.tempered_transitions(model, 300, 2, 10, 1)
    finally:
        boltz.threads(before)
    assert share == same and all((again[n] == first[n]).all() for n in first)
    assert any((other[n] != first[n]).any() for n in first)
    assert {n: x.shape for n, x in first.items()} == {"v": (300, 3), "h1": (300, 3), "h2": (300, 2)}


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"start": 0}, "start"),
        ({"start": "data"}, "start"),
        ({"start": {"v": np.zeros((2, 3))}}, "start"),
        ({"start": {"h1": np.zeros((0, 3))}}, "start"),
        ({"start": {"h1": np.full((2, 3), 0.5)}}, r"start\['h1'\]"),
        ({"transitions": 0}, "transitions"),
        ({"betas": [0, 2]}, "betas"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(boltz.InputError, match=rf"^{name} must "):
        boltz.tempered_transitions(machine_of(SMALL["dbm2"]), **arguments)


def test_an_overflow_is_told() -> None:
    model = boltz.from_arrays([np.full((3, 2), np.float32(3e38))], [np.zeros(3, np.float32), np.zeros(2, np.float32)])
    with pytest.raises(boltz.NumericalError):
        boltz.tempered_transitions(model, 40, 2, 5, base={"v": np.full(3, 0.5), "h1": np.full(2, 0.5)})
