"""Catches base rates from the wrong place, and rates that should be refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import enumeration
from oracles.enumeration import Table
from support.machines import SMALL, machine_of, rates_of

import boltz
from boltz.models import BoltzmannMachine
from boltz.sampling.base_rate import base_rates


def test_base_rates_by_layer_from_rows_from_training_and_from_a_pilot() -> None:
    table = SMALL["dbm2"]
    model, rates = machine_of(table), rates_of(table)
    assert all((base_rates(model, rates, 0)[n] == rates[n]).all() for n in rates)
    trained = BoltzmannMachine(model.graph, model.arena, rates)
    assert all((base_rates(trained, None, 0)[n] == rates[n]).all() for n in rates)
    rows = np.array([[1, 0, 1], [1, 0, 0]])
    found = base_rates(model, rows, 0)
    assert found["v"] == pytest.approx([0.75, 0.25, 0.5])
    means = boltz.mean_field(model, rows)
    assert found["h1"] == pytest.approx((means["h1"].sum(axis=0) + 1) / 4)
    assert base_rates(trained, rows, 0)["v"] == pytest.approx([0.75, 0.25, 0.5])
    pilot = base_rates(model, None, 0)
    assert list(pilot) == ["v", "h1", "h2"] and all(((r > 0) & (r < 1)).all() for r in pilot.values())


def test_the_pilot_finds_the_activities_of_the_machine() -> None:
    """100 chains, drawn a little to 1/2: within 6 standard deviations (0.05 each) and the pull of 0.01 of the truth."""
    table = Table.random([4, 4], 0.5, 61)
    moments = enumeration.moments(table)
    pilot = base_rates(machine_of(table), None, 3)
    for n in table.layers:
        tail = np.abs(pilot[n] * 102 - 1 - 100 * moments[f"layer/{n}/bias"])
        assert (tail < 6 * np.sqrt(100 * 0.25)).all()


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"v": np.full(3, 0.5)}, "base must hold rates of layer h1, got v"),
        ({"v": np.full(3, 0.5), "h1": np.full(2, 0.5), "h2": np.full(2, 0.5)}, r"base\['h1'\] must have shape \(3\)"),
        ({"v": np.zeros(3), "h1": np.full(3, 0.5), "h2": np.full(2, 0.5)}, r"base\['v'\] must lie strictly between"),
        ({"v": np.ones(3), "h1": np.full(3, 0.5), "h2": np.full(2, 0.5)}, r"base\['v'\] must lie strictly between"),
        (np.zeros((4, 2)), r"base must have shape \(any, 3\), got \(4, 2\)"),
        (np.full((4, 3), 2.0), r"base must hold numbers in \[0, 1\]"),
        (3, "base must have shape"),
        ("v", "base must be an array"),
    ],
)
def test_bases_that_do_not_fit_are_refused(base: Any, message: str) -> None:
    with pytest.raises(boltz.InputError, match=message):
        boltz.ais(machine_of(SMALL["dbm2"]), 10, 5, base=base)
