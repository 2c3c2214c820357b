"""Catches flips of a colour class or of single units that change the law, or that do not reach what they should.

Every statistical test has a fixed key and the false-alarm rate stats.ALPHA = 1e-6.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import modes
from checks.modes import coupled
from support import stats
from support.machines import SMALL, machine_of

import boltz
from boltz.rng import Key
from boltz.sampling.flips import Flips, Moment
from boltz.sampling.inputs import Scratch, turned_weights


@pytest.mark.parametrize("name", ["rbm", "dbm2", "dbm3"])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_moves_leave_the_law_of_a_class(name: str, which: int, scale: float) -> None:
    """Chi-square from exact draws; catches a bias or a field left out, a wrong neighbour, a scale on one part only."""
    modes.check_flips_leave_the_law(SMALL[name], which, scale, 100_000)


def test_half_of_the_chains_of_a_symmetric_machine_turn_round() -> None:
    """Every proposal is accepted, and half of the chains make none: both classes at once would undo each other."""
    machine, count = coupled(), 4000
    state: dict[str, Any] = {"v": np.zeros((count, 24))}
    moves = Flips(machine, turned_weights(machine))
    moves.move(state, 1.0, machine.bias, Moment(Key(3, 4), 0), Scratch(machine.arena))
    turned = int((state["v"].mean(axis=1) > 0.5).sum())
    stats.accept(stats.binomial_table(turned, count, 0.5), "another share of the chains is turned")
    assert stats.detectable_binomial(count, 0.5, 0.6)


def test_moves_do_not_depend_on_how_chains_are_split() -> None:
    machine = machine_of(SMALL["dbm3"], np.float32)
    whole = boltz.sample(machine, 96, 0, 1, "uniform")
    moves, moment = Flips(machine, turned_weights(machine)), Moment(Key(3, 4), 7)
    first = machine.graph.colours[0]
    parts = [{n: whole[n][a:b].copy() for n in first} for a, b in ((0, 40), (40, 96))]
    state = {n: whole[n].copy() for n in first}
    moves.move(state, 1.0, machine.bias, moment, Scratch(machine.arena))
    for start, part in zip((0, 40), parts, strict=True):
        moves.move(part, 1.0, machine.bias, Moment(Key(3, 4), 7, start), Scratch(machine.arena))
    assert all((state[n] == np.concatenate([part[n] for part in parts])).all() for n in first)
    assert any((state[n] != whole[n]).any() for n in first)


@pytest.mark.parametrize("start", [None, "uniform", "bias"])
def test_samples_of_a_symmetric_machine_have_both_phases(start: str | None) -> None:
    """Its biases point into one phase; catches chains that all begin there and cannot turn."""
    modes.check_samples_have_both_phases(start)


def test_both_classes_belong_together_after_any_number_of_sweeps() -> None:
    """Catches a class that is turned round after its partner was drawn for the last time."""
    modes.check_states_belong_together()


def test_tempered_samples_of_a_symmetric_machine_have_both_phases() -> None:
    """600 chains in 64 copies, each of which turns about every sixteenth round: they count as 64 at least."""
    x = boltz.tempered_sample(coupled(), 600, 200, seed=1)["v"]
    stats.accept(stats.binomial_table(round(64 * float((x.mean(axis=1) > 0.5).mean())), 64, 0.5), "one phase prevails")
    assert stats.detectable_binomial(64, 0.5, 0.95)


def test_starts_have_names() -> None:
    table = SMALL["rbm"]
    model = machine_of(table)
    units = {n: u for n, u in model.units.items()}
    rates = {n: np.full(u, 0.999) for n, u in units.items()}
    kept = boltz.BoltzmannMachine(model.graph, model.arena, rates)
    assert boltz.sample(kept, 500, 0, 1, "rates")["v"].mean() > 0.99
    rows = np.eye(units["v"], dtype=np.float64)
    from_data = boltz.sample(model, 2 * len(rows), 0, 1, "data", rows)["v"]
    assert (from_data == np.repeat(rows, 2, axis=0)).all()
    mixed = boltz.sample(kept, 900, 0, 1)["v"]
    assert mixed[::3].mean() > 0.99 > 0.9 > mixed[1::3].mean()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start": "rates"}, "start='rates' needs a machine that keeps mean activities"),
        ({"start": "data"}, "start='data' needs rows of data"),
        ({"start": "cold"}, "start must be one of bias, data, rates, uniform"),
        ({"start": "data", "data": np.zeros((2, 99))}, "data must have shape"),
    ],
)
def test_starts_that_do_not_fit_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        boltz.sample(machine_of(SMALL["rbm"]), 10, 1, **settings)
