"""Checks of moves, modes and base models that both the tests and the planted faults run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import comb, expit, logsumexp
from scipy.stats import binom
from support import fooling, stats
from support.machines import SMALL, machine_of

import boltz
from boltz.estimators import ais, bases
from boltz.estimators.estimate import Estimate, interval
from boltz.estimators.replica_exchange import estimated
from boltz.rng import Key
from boltz.sampling.flips import Flips, Moment
from boltz.sampling.inputs import Scratch, turned_weights
from boltz.sampling.ladders import Temperatures
from boltz.sampling.modes import Modes, relaxed, search
from boltz.sampling.replica_exchange import exchange, replicas_of
from boltz.targets import path_to

KEY = Key(7, 8)


def coupled(strength: float = 0.15) -> boltz.BoltzmannMachine:
    """24 + 22 units with equal couplings and no field in +-1 form, written in 0/1 units: log Z is 0.7426."""
    weights = strength * np.ones((24, 22))
    return boltz.from_arrays([4 * weights], [-2 * weights.sum(axis=1), -2 * weights.sum(axis=0)])


def coupled_log_z(strength: float = 0.15) -> float:
    """log Z of the coupled machine, as a sum over how many units of each layer are on."""
    i, j = np.arange(25.0)[:, None], np.arange(23.0)
    states = np.log(comb(24, i)) + np.log(comb(22, j))
    return float(logsumexp(states + strength * (4 * i * j - 44 * i - 48 * j)))


def hub(more: float = 6.0) -> tuple[boltz.BoltzmannMachine, float]:
    """60 + 61 units and log Z; a hidden unit holds every visible one on or off, in a phase of e^more times the other's.

    The other phase has all states of the visible units alike, and prevails at higher temperatures. The other hidden
    units are never on, and send to the visible ones what hides the pattern from starts by chance.
    """
    weights = 9.0 * np.random.default_rng(5).choice([-1.0, 1.0], (60, 61))
    weights[:, 0] = np.tile([9.0, -9.0], 30)
    off, on = 60 * np.log(2), 30 * (np.log1p(np.exp(9.0)) + np.log1p(np.exp(-9.0)))
    model = boltz.from_arrays([weights], [np.zeros(60), np.array([off - on + more] + [-1000.0] * 60)])
    return model, float(np.logaddexp(off, off + more))


def check_flips_leave_the_law(table: Table, which: int, scale: float, count: int) -> None:
    """From exact draws of a class four moves leave its law as it is: as many as it takes, up to a count.

    Catches biases off by a fifth.
    """
    scaled = Table(table.layers, {e: scale * w for e, w in table.edges.items()}, table.biases)
    machine = machine_of(table)
    layers = machine.graph.colours[which]
    law = enumeration.marginal(scaled, layers)
    bare = enumeration.marginal(
        Table(table.layers, scaled.edges, {n: 0.8 * b for n, b in table.biases.items()}), layers
    )
    count = next((n for n in range(10_000, count, 10_000) if stats.detectable_chi_square(n, law, bare)), count)
    drawn = enumeration.draw(scaled, count, 5)
    state = {n: drawn[n].copy() for n in layers}
    moves = Flips(machine, turned_weights(machine))
    for step in range(4):
        moves.move(state, scale, machine.bias, Moment(KEY, step), Scratch(machine.arena))
    assert any((state[n] != drawn[n]).any() for n in layers), "nothing moved"
    stats.accept(stats.chi_square(enumeration.counts(scaled, state, layers), law), "moves change the law")
    assert stats.detectable_chi_square(count, law, bare)


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


def check_settled_rows() -> None:
    """Rows that settle at different sweeps end at fixed points, each as it does alone."""
    rng = np.random.default_rng(3)
    model = boltz.from_arrays([rng.normal(0, 0.8, (30, 25))], [rng.normal(size=30), rng.normal(size=25)])
    starts = (rng.random((60, 30)) < 0.5).astype(np.float64)
    means, bounds = relaxed(model, {"v": starts})
    settled = 0
    for i, start in enumerate(starts):
        alone, bound = relaxed(model, {"v": start[None]})
        assert np.abs(alone["v"][0] - means["v"][i]).max() < 1e-6 and abs(bound[0] - bounds[i]) < 1e-6
        again = expit(model.field("v", {"h1": expit(model.field("h1", alone))}))
        settled += bool(np.abs(again - alone["v"]).max() < 1e-3)
    assert settled >= 40


def check_unmet_modes_are_told() -> None:
    """Chains in one phase of the coupled machine are told of the other; chains in both are not."""
    modes: Modes = search(coupled(), KEY)
    value, weights = coupled_log_z(), np.zeros(100)
    one = {"h1": np.zeros((100, 22))}
    both = {"h1": np.repeat([[0.0], [1.0]], 50, axis=0) * np.ones(22)}
    assert any("none of the chains met it" in doubt for doubt in modes.unmet(one, weights, value))
    assert modes.unmet(both, weights, value) == ()
    assert "certifies" in modes.unmet(both, weights, value - 5)[0]


def check_base_widths() -> None:
    """Wide where temperatures afford it, narrow where not, the caller's own as it is, and one that meets modes."""
    machine = coupled()
    rates = {n: np.full(u, 0.2) for n, u in machine.units.items()}
    kept = boltz.BoltzmannMachine(machine.graph, machine.arena, rates)
    assert bases.chosen(kept, 500, 0, None)[0].width == 1
    assert bases.chosen(machine, 3, 0, None)[0].width < 1
    narrow = bases.chosen(kept, 500, 0, rates)[0]
    assert narrow.width == 0 and narrow.unseen(50) == 0.02
    sharp = boltz.from_arrays([np.zeros((40, 41))], [np.full(40, 3.0), np.zeros(41)])
    assert bases.chosen(sharp, 1000, 0, None)[0].width == 1 > bases.chosen(sharp, 100, 0, None)[0].width
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


def made(value: float, error: float = 0.1, steps: int = 100, spread: float = 0.1) -> Estimate:
    """An estimate with this value and error, whose log-weights have this spread about it."""
    weights = value + spread * np.tile([-1.0, 1.0], 50)
    reach = interval(value, error, 100)
    return Estimate(value, error, reach, "lower", 80.0, 100, steps, log_weights=weights)


def check_second_looks_speak() -> None:
    """Fewer temperatures that move the value, and a wider base model that finds more, are doubts; less is none.

    Where the few chains of the second look spread by 3 nats, 4.5 more are what their variance foretells.
    """
    assert ais.moved(made(3.0, steps=50), made(4.0)) and ais.moved(made(4.0, steps=50), made(3.0))
    assert not ais.moved(made(3.7), made(4.0))
    assert not ais.moved(made(3.0, steps=50, spread=3.0), made(7.5))
    assert ais.below(made(3.0), made(4.0)) and not ais.below(made(4.0), made(3.0))


def check_quenched_machine_is_not_trusted() -> None:
    """From rates of one phase all chains agree on that phase of the coupled machine: off by log 2, and told so.

    Mean field tells it to the annealing alone, and annealing from units of rate 1/2 tells it to boltz.ais.
    """
    machine: Any = coupled(0.2)
    low = {n: np.full(u, 0.02) for n, u in machine.units.items()}
    found = boltz.ais(machine, 200, 400, 1, low)
    assert found.value < coupled_log_z(0.2) - 0.5
    assert any("wider base model" in doubt for doubt in found.doubts)
    base, key = bases.chosen(machine, 400, 1, low)
    assert any("mean field" in doubt for doubt in ais.annealed_up(base, 200, key).doubts)


def check_log_z_of_two_phases() -> None:
    """Annealing of the coupled machine, whose biases point into one phase, is right within five of its errors."""
    found = boltz.ais(coupled(), 200, 1000, 1)
    assert abs(found.value - 0.7426412) < 5 * found.standard_error and found.trusted


def check_flips_of_an_rbm() -> None:
    """Both classes of an RBM, at a scale below 1."""
    for which in (0, 1):
        check_flips_leave_the_law(SMALL["rbm"], which, 0.4, 15_000)


def check_flips_of_a_dbm() -> None:
    """The class that holds two layers, and the one between them."""
    for which, count in ((0, 15_000), (1, 100_000)):
        check_flips_leave_the_law(SMALL["dbm2"], which, 1.0, count)


def check_samples_from_biases() -> None:
    """Chains that begin in the phase that biases point into are spread over both by turning round."""
    check_samples_have_both_phases("bias")


def check_mixed_start() -> None:
    """Every second chain of a machine with strong biases starts from 1/2: 400 x 20 units, half of them on."""
    model = boltz.from_arrays([np.zeros((20, 4))], [np.full(20, 9.0), np.zeros(4)])
    on = boltz.sample(model, 800, 0, 1)["v"]
    assert on[1::2].mean() > 0.99
    stats.accept(stats.binomial_table(int(on[::2].sum()), 8000, 0.5), "uniform starts are not uniform")
    assert stats.detectable_binomial(8000, 0.5, 0.6)


def check_hub_is_found() -> None:
    """Its phase has one state of 60 visible units, which no other start leads to."""
    machine, truth = hub(30.0)
    assert abs(search(machine, KEY).bounds[0] - truth) < 0.5


def check_valley_of_a_glass() -> None:
    """The best mode holds the likeliest state of 13 and of 10 spins, which block sweeps and mean field seldom reach."""
    for number in (14, 43, 17, 35):
        machine = fooling.glass(number).machine
        states = enumeration.bits(machine.units["v"])
        given = states @ machine.bias("v") + np.logaddexp(0, machine.field("h1", {"v": states})).sum(axis=1)
        np.testing.assert_array_equal(search(machine, KEY).means["v"][0].round(), states[given.argmax()])


def two_rungs(machine: boltz.BoltzmannMachine, rate: float) -> Temperatures:
    """Independent units of this rate, and the machine."""
    rates = {n: np.full(u, rate) for n, u in machine.units.items()}
    return Temperatures(path_to(machine, rates), np.array([0.0, 1.0]))


def check_halves_start_apart() -> None:
    """The machine alone as a rung, in one phase by its rates: half of the copies come from the cold side, in both."""
    machine = coupled(0.4)
    states = replicas_of(two_rungs(machine, 0.02), 80, 4, KEY, search(machine, KEY)).states[-1]
    on = next(iter(states.values())).mean(axis=1)
    assert on[:40].max() < 0.5 < on[40:].max()


def check_halves_that_stay_apart() -> None:
    """Halves whose states differ along a direction, or in energy, are told; halves that agree are not."""
    replicas = replicas_of(two_rungs(coupled(0.01), 0.5), 40, 4, KEY)
    found = exchange(replicas, 60, 2)
    noise = np.random.default_rng(2).normal(size=(60, 40))
    apart = noise + np.where(np.arange(40) < 20, 1.0, -1.0)
    told = {what: estimated(replicas, replace(found, **{what: apart})).doubts for what in ("along", "height")}
    assert all("have not mixed" in " ".join(doubts) for doubts in told.values())
    assert not estimated(replicas, replace(found, along=noise)).doubts


def check_exchange_turns_round() -> None:
    """Copies of the coupled machine at a single cold rung, all in one phase: half of them leave it at once."""
    machine = coupled(0.4)
    ladder = two_rungs(machine, 0.5)
    replicas = replicas_of(ladder, 64, 2, KEY)
    for x in replicas.states[-1].values():
        x[...] = 0
    replicas.rounds = 16
    exchange(replicas, 2, keep=0)
    up = int((replicas.states[-1]["h1"].mean(axis=1) > 0.5).sum())
    stats.accept(stats.binomial_table(up, 64, 0.5), "chains are not turned round")
    assert stats.detectable_binomial(64, 0.5, 0.0)


def check_states_belong_together() -> None:
    """After 1, 33 and 34 sweeps both classes of a machine that is strongly coupled are in one phase.

    Only chains in which both classes tie by chance may differ, 3 % at the most, right after the start.
    """
    for sweeps in (1, 33, 34):
        state = boltz.sample(coupled(0.5), 300, sweeps, 2)
        apart = int(((state["v"].mean(axis=1) > 0.5) != (state["h1"].mean(axis=1) > 0.5)).sum())
        stats.accept(float(binom.sf(apart - 1, 300, 0.03)), f"{apart} of 300 chains after {sweeps} sweeps are apart")
    assert stats.detectable_binomial(300, 0.03, 0.5)
