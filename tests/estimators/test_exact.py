"""Catches enumerated normalisers and marginals that differ from enumeration of every unit, on forty random machines."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import enumeration
from scipy.special import logsumexp
from support.machines import FORTY, SMALL, machine_of

import boltz
from boltz.estimators import exact


def test_the_forty_machines_are_what_they_should_be() -> None:
    sizes = [sum(table.layers.values()) for table in FORTY.values()]
    depths = [len(table.layers) - 1 for table in FORTY.values()]
    assert len(FORTY) == 40 and max(sizes) == 20 and sorted(set(depths)) == [1, 2, 3, 4]
    spreads = [np.std(np.concatenate([w.reshape(-1) for w in t.edges.values()])) for t in FORTY.values()]
    assert min(spreads) < 0.5 and max(spreads) > 1.2


@pytest.mark.parametrize("name", FORTY)
def test_exact_log_z_is_the_enumerated_one_and_that_of_either_class(name: str) -> None:
    table = FORTY[name]
    machine, truth = machine_of(table), enumeration.log_z(table)
    found = boltz.exact_log_z(machine)
    assert abs(found.value - truth) < 1e-9
    assert (found.kind, found.standard_error, found.trusted) == ("exact", 0.0, True)
    for names in machine.graph.colours:
        assert abs(logsumexp(-machine.free_energy(enumeration.states(table, names))) - truth) < 1e-9


@pytest.mark.parametrize("name", SMALL)
def test_small_float32_and_unusual_machines(name: str) -> None:
    """A float32 machine is summed in float64: what remains is the rounding of its parameters."""
    table = SMALL[name]
    assert abs(boltz.exact_log_z(machine_of(table)).value - enumeration.log_z(table)) < 1e-10
    single = machine_of(table, np.float32)
    assert abs(boltz.exact_log_z(single).value - enumeration.log_z(enumeration.Table.of(single))) < 1e-10


def test_many_chunks_are_put_together() -> None:
    """15 units in the smaller class are 8 chunks; independent units, whose log Z is known in closed form."""
    biases = [np.linspace(-2, 2, 15), np.linspace(-1, 3, 40)]
    model = boltz.from_arrays([np.zeros((15, 40))], biases)
    assert exact.CHUNK < 2**15
    truth = sum(np.logaddexp(0, b).sum() for b in biases)
    for machine in (model, boltz.from_arrays([np.zeros((40, 15))], biases[::-1])):
        assert abs(boltz.exact_log_z(machine).value - truth) < 1e-10


def test_a_log_z_beyond_the_range_of_exp() -> None:
    model = boltz.from_arrays([np.full((3, 4), 400.0)], [np.zeros(3), np.zeros(4)])
    assert boltz.exact_log_z(model).value == pytest.approx(4800, abs=1e-9)


@pytest.mark.parametrize("name", SMALL)
def test_configurations_are_all_states_once(name: str) -> None:
    machine = machine_of(SMALL[name], np.float32)
    for layers in machine.graph.colours:
        slices = list(exact.chunks(machine, layers))
        parts = [exact.configurations(machine, layers, numbers) for numbers in slices]
        state = {n: np.concatenate([part[n] for part in parts]) for n in layers}
        assert (
            np.sort(enumeration.numbers(SMALL[name], state, layers))
            == np.arange(2 ** exact.class_units(machine, layers))
        ).all()
        assert all(x.dtype == np.float32 for x in state.values())


@pytest.mark.parametrize("name", SMALL)
def test_marginals_of_visible_rows_are_enumerated_ones(name: str) -> None:
    """Every visible state, and grey rows clamped; catches the visible bias left out, a summed class that is drawn."""
    table = SMALL[name]
    rows = np.concatenate(
        [enumeration.bits(table.layers["v"]), np.random.default_rng(1).random((3, table.layers["v"]))]
    )
    found = exact.exact_log_marginal(machine_of(table), rows)
    assert np.abs(found - enumeration.log_likelihood(table, rows) - enumeration.log_z(table)).max() < 1e-10


def test_more_than_28_units_are_refused() -> None:
    model = boltz.dbm([20, 29, 9])
    with pytest.raises(
        boltz.InputError, match=r"at most 28 units, but the smaller side of the machine \(.*\) has 29; use boltz.ais"
    ):
        boltz.exact_log_z(model)
