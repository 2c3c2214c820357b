"""Checks of moves, modes and base models that both the tests and the planted faults run."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracle
import stats
from machines import machine_of
from oracle import Table

import boltz
from boltz.estimators import annealed, bases
from boltz.estimators.result import Estimate, interval
from boltz.rng import Key
from boltz.sampling.flips import Flips, Moment
from boltz.sampling.inputs import Scratch, turned_weights
from boltz.sampling.modes import Modes, search

KEY = Key(7, 8)


def coupled(strength: float = 0.15) -> boltz.BoltzmannMachine:
    """24 + 22 units with equal couplings and no field in +-1 form, written in 0/1 units: log Z is 0.7426."""
    weights = strength * np.ones((24, 22))
    return boltz.from_arrays([4 * weights], [-2 * weights.sum(axis=1), -2 * weights.sum(axis=0)])


def hub(more: float = 6.0) -> tuple[boltz.BoltzmannMachine, float]:
    """60 + 61 units and log Z; a hidden unit holds all visible ones on, in a phase of e^more times the other weight.

    The other phase has all states of the visible units alike, and prevails at higher temperatures.
    """
    weights = np.zeros((60, 61))
    weights[:, 0] = 9.0
    off, on = 60 * np.log(2), 60 * np.log1p(np.exp(9.0))
    model = boltz.from_arrays([weights], [np.zeros(60), np.array([off - on + more] + [0.0] * 60)])
    return model, float(np.logaddexp(off, off + more) + 60 * np.log(2))


def check_flips_leave_the_law(table: Table, which: int, scale: float) -> None:
    """From 100,000 exact draws of a class one move leaves its law as it is."""
    count = 100_000
    scaled = Table(table.layers, {e: scale * w for e, w in table.edges.items()}, table.biases)
    machine = machine_of(table)
    layers = machine.graph.colours[which]
    law = oracle.marginal(scaled, layers)
    drawn = oracle.draw(scaled, count, 5)
    state = {n: drawn[n].copy() for n in layers}
    moves = Flips(machine, turned_weights(machine))
    moves.move(state, scale, machine.bias, Moment(KEY, 3), Scratch(machine.arena))
    assert any((state[n] != drawn[n]).any() for n in layers), "nothing moved"
    stats.accept(stats.chi_square(oracle.counts(scaled, state, layers), law), "moves change the law")
    bare = Table(table.layers, scaled.edges, {n: 0.8 * b for n, b in table.biases.items()})
    assert stats.detectable_chi_square(count, law, oracle.marginal(bare, layers))


def check_samples_have_both_phases(start: str | None) -> None:
    """400 chains of the coupled machine, half of them in each phase."""
    x = boltz.sample(coupled(), 400, 100, 1, start)["v"]
    up = int((x.mean(axis=1) > 0.5).sum())
    stats.accept(stats.binomial_table(up, 400, 0.5), "one phase prevails")
    assert stats.detectable_binomial(400, 0.5, 0.25)


def check_modes_bound_log_z() -> None:
    """No bound above log Z, and log Z itself where units are independent; two modes of the coupled machine."""
    rng = np.random.default_rng(9)
    for number in range(12):
        weights = rng.normal(0, 0.2 + number / 2, (8, 7))
        model = boltz.from_arrays([weights], [rng.normal(size=8), rng.normal(size=7)])
        assert search(model, KEY).bounds[0] <= boltz.exact_log_z(model).value + 1e-9
    alone = boltz.from_arrays([np.zeros((8, 7))], [rng.normal(size=8), rng.normal(size=7)])
    assert abs(search(alone, KEY).bounds[0] - boltz.exact_log_z(alone).value) < 1e-9
    modes = search(coupled(), KEY)
    assert len(modes.bounds) == 2 and modes.bounds[0] - modes.bounds[1] < 1e-6


def check_unmet_modes_are_told() -> None:
    """Chains in one phase of the coupled machine are told of the other; chains in both are not."""
    modes: Modes = search(coupled(), KEY)
    value, weights = boltz.exact_log_z(coupled()).value, np.zeros(100)
    one = {"h1": np.zeros((100, 22))}
    both = {"h1": np.repeat([[0.0], [1.0]], 50, axis=0) * np.ones(22)}
    assert "none of the chains met it" in modes.unmet(one, weights, value)[0]
    assert modes.unmet(both, weights, value) == ()
    assert "certifies" in modes.unmet(both, weights, value - 5)[0]


def check_base_widths() -> None:
    """Wide where temperatures afford it, narrow where not, the caller's own as it is, and one that meets modes."""
    machine = coupled()
    rates = {n: np.full(u, 0.2) for n, u in machine.units.items()}
    kept = boltz.BoltzmannMachine(machine.graph, machine.arena, rates)
    assert bases.chosen(kept, 500, 0, None)[0].width == 1
    assert bases.chosen(machine, 3, 0, None)[0].width < 1
    assert bases.chosen(kept, 500, 0, rates)[0].width == 0
    found, _ = bases.chosen(hub()[0], 300, 0, None)
    assert found.width < 1, "from 1/2 no chain meets the phase of the hub"


def check_hub() -> None:
    """A first-order transition that annealing from 1/2 does not follow is found, or not trusted."""
    machine, truth = hub()
    found = boltz.ais(machine, 200, 300, 1)
    assert not found.trusted or abs(found.value - truth) < 5 * found.standard_error
    half = {n: np.full(u, 0.5) for n, u in machine.units.items()}
    missed = boltz.ais(machine, 200, 300, 1, half)
    assert missed.value < truth - 3 and not missed.trusted and "mean field" in " ".join(missed.doubts)


def made(value: float, error: float = 0.1, steps: int = 100) -> Estimate:
    """An estimate with this value and error."""
    return Estimate(value, error, interval(value, error, 100), "lower", 80.0, 100, steps)


def check_second_looks_speak() -> None:
    """Half the temperatures that move the value, and a wider base model that finds more, are doubts; less is none."""
    assert annealed.moved(made(3.0, steps=50), made(4.0)) and annealed.moved(made(4.0, steps=50), made(3.0))
    assert not annealed.moved(made(3.7), made(4.0))
    assert annealed.below(made(3.0), made(4.0)) and not annealed.below(made(4.0), made(3.0))


def check_quenched_machine_is_not_trusted() -> None:
    """From rates of one phase all chains agree on that phase of the coupled machine: off by log 2, and told so."""
    machine: Any = coupled(0.2)
    low = {n: np.full(u, 0.02) for n, u in machine.units.items()}
    found = boltz.ais(machine, 200, 400, 1, low)
    assert found.value < boltz.exact_log_z(machine).value - 0.5 and not found.trusted


def check_log_z_of_two_phases() -> None:
    """Annealing of the coupled machine, whose biases point into one phase, is right within five of its errors."""
    found = boltz.ais(coupled(), 200, 1000, 1)
    assert abs(found.value - 0.7426412) < 5 * found.standard_error and found.trusted
