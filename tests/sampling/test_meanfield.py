"""Catches mean-field fixed points that do not solve their equations, or whose bounds are not the enumerated ones."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from oracles import enumeration
from oracles.enumeration import Table
from scipy.special import expit
from support.machines import FORTY, SMALL, machine_of

import boltz
from boltz import MeanField
from boltz.sampling.gibbs import Scratch
from boltz.sampling.meanfield import solve, variational_free_energy

TIGHT = MeanField(tolerance=1e-15, sweeps=5000)
DBMS = {n: t for n, t in SMALL.items() if n.startswith(("dbm", "strong", "ring"))}


@pytest.fixture(params=DBMS)
def table(request: pytest.FixtureRequest) -> Table:
    return DBMS[request.param]


def rows_of(table: Table) -> np.ndarray:
    """Every visible state, and three grey rows."""
    grey = np.random.default_rng(2).random((3, table.layers["v"]))
    return np.concatenate([enumeration.bits(table.layers["v"]), grey])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["rbm", "wide", "one", "free"])
def test_the_means_of_an_rbm_are_exact(name: str, dtype: Any) -> None:
    table = SMALL[name]
    rows = rows_of(table)
    means = boltz.mean_field(machine_of(table, dtype), rows)
    assert list(means) == ["h1"] and means["h1"].dtype == dtype
    assert (
        np.abs(means["h1"] - enumeration.conditional(table, "h1", {"v": rows})).max()
        < {np.float32: 1e-6, np.float64: 1e-13}[dtype]
    )


def test_the_means_of_a_dbm_solve_the_mean_field_equations(table: Table) -> None:
    """Catches a layer that is left at its start, a dropped bias, a doubled input that stays doubled."""
    rows = rows_of(table)
    means = boltz.mean_field(machine_of(table), rows, TIGHT)
    assert list(means) == list(table.hidden)
    assert enumeration.mean_field_residual(table, rows, means) < 1e-12


@pytest.mark.parametrize("name", [n for n, t in FORTY.items() if len(t.layers) > 2][:12])
def test_the_means_of_larger_machines_solve_them_too(name: str) -> None:
    rows = np.random.default_rng(3).integers(0, 2, (40, FORTY[name].layers["v"])).astype(float)
    means = boltz.mean_field(machine_of(FORTY[name]), rows, TIGHT)
    assert enumeration.mean_field_residual(FORTY[name], rows, means) < 1e-12


def test_the_default_tolerance_bounds_the_residual(table: Table) -> None:
    """The largest change of the last sweep is below the tolerance; a layer updated early in it moves little more."""
    rows = rows_of(table)
    for dtype, dust in ((np.float64, 0.0), (np.float32, 1e-6)):
        means = boltz.mean_field(machine_of(table, dtype), rows)
        assert enumeration.mean_field_residual(table, rows, means) < 10 * MeanField().tolerance + dust


def test_a_damped_solution_is_a_fixed_point_as_well(table: Table) -> None:
    rows = rows_of(table)
    means = boltz.mean_field(machine_of(table), rows, MeanField(1e-15, 5000, damping=0.5))
    assert enumeration.mean_field_residual(table, rows, means) < 1e-12


def test_the_variational_free_energy_is_minus_the_bound(table: Table) -> None:
    """Against a sum over every hidden state, and below the exact log-likelihood; catches a lost entropy or bias."""
    rows, machine = rows_of(table), machine_of(table)
    free, means = variational_free_energy(machine, rows, TIGHT)
    bound = enumeration.variational_bound(table, rows, means)
    assert np.abs(-free - enumeration.log_z(table) - bound).max() < 1e-10
    assert (bound <= enumeration.log_likelihood(table, rows) + 1e-10).all()
    assert np.abs(free + enumeration.log_likelihood(table, rows) + enumeration.log_z(table)).max() > 1e-6


def test_the_variational_free_energy_of_an_rbm_is_its_free_energy() -> None:
    table = SMALL["rbm"]
    rows = enumeration.bits(4)
    free, _ = variational_free_energy(machine_of(table), rows, MeanField())
    assert np.abs(free - enumeration.free_energy(table, ("v",))).max() < 1e-12


def test_every_sweep_raises_the_bound(table: Table) -> None:
    """Coordinate ascent over whole colour classes; catches layers of one class that see each other's old values."""
    rows, machine = rows_of(table), machine_of(table)
    bounds = [-variational_free_energy(machine, rows, MeanField(0.0, n))[0] for n in range(1, 12)]
    for before, after in itertools.pairwise(bounds):
        assert (after >= before - 1e-12).all()


def test_the_start_is_the_doubled_bottom_up_pass() -> None:
    """One sweep from it, written out (Salakhutdinov & Hinton 2009, section 4): all but the top layer hear double."""
    table = SMALL["dbm3"]
    w1, w2, w3 = table.edges.values()
    b1, b2, b3 = (table.biases[n] for n in table.hidden)
    v = rows_of(table)
    h1 = expit(2 * (v @ w1) + b1)
    h2 = expit(2 * (h1 @ w2) + b2)
    h3 = expit(h2 @ w3 + b3)
    h1, h3 = expit(v @ w1 + h2 @ w2.T + b1), expit(h2 @ w3 + b3)
    h2 = expit(h1 @ w2 + h3 @ w3.T + b2)
    means = boltz.mean_field(machine_of(table), v, MeanField(sweeps=1))
    for name, expected in (("h1", h1), ("h2", h2), ("h3", h3)):
        assert np.abs(means[name] - expected).max() < 1e-12


def test_any_layers_can_be_evidence() -> None:
    """h2 clamped: v, h1 and h3 fulfil their equations; both h1 and h3 clamped: v and h2 are exact."""
    table, rng = SMALL["dbm3"], np.random.default_rng(4)
    machine = machine_of(table)
    for names in (("h2",), ("h1", "h3"), ("v", "h3")):
        evidence = {n: rng.integers(0, 2, (6, table.layers[n])).astype(float) for n in names}
        means = solve(machine, evidence, TIGHT, Scratch(np.empty(0)))
        assert set(means) == set(table.others(names))
        for layer in means:
            assert np.abs(means[layer] - enumeration.conditional(table, layer, {**evidence, **means})).max() < 1e-12


def test_scales_double_the_input_of_a_layer_that_hears_all_its_neighbours() -> None:
    table = SMALL["rbm"]
    v = rows_of(table)
    means = solve(machine_of(table), {"v": v}, MeanField(), Scratch(np.empty(0)), {"h1": 2.0})
    weight, bias = table.edges["v", "h1"], table.biases["h1"]
    assert np.abs(means["h1"] - expit(2 * v @ weight + bias)).max() < 1e-12


def test_rows_do_not_influence_each_other_and_stay_as_they_were() -> None:
    """Up to the stopping rule, which looks at a block: run to convergence, alone and among others."""
    table = SMALL["dbm4"]
    machine, rows = machine_of(table), np.random.default_rng(5).integers(0, 2, (300, 2)).astype(float)
    rows.flags.writeable = False
    many = boltz.mean_field(machine, rows, TIGHT)
    for i in (0, 127, 128, 299):
        alone = boltz.mean_field(machine, rows[i : i + 1], TIGHT)
        assert all(np.abs(alone[n] - many[n][i]).max() < 1e-12 for n in many)


def test_a_reused_scratch_remembers_nothing() -> None:
    table = SMALL["dbm3"]
    machine, scratch, rows = machine_of(table), Scratch(np.empty(0)), rows_of(table)
    first = {n: x.copy() for n, x in solve(machine, {"v": rows}, TIGHT, scratch).items()}
    solve(machine, {"v": 1 - rows[:2]}, TIGHT, scratch)
    again = solve(machine, {"v": rows}, TIGHT, scratch)
    assert all((first[n] == again[n]).all() for n in first)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tolerance": -1e-3}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"sweeps": 0}, "sweeps"),
        ({"damping": 1.0}, "damping"),
        ({"damping": "much"}, "damping"),
    ],
)
def test_options_are_checked(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(boltz.InputError, match=f"{message} must be"):
        MeanField(**settings)


def test_options_must_be_options() -> None:
    with pytest.raises(boltz.InputError, match="options must be a MeanField, got int"):
        boltz.mean_field(machine_of(SMALL["dbm2"]), np.zeros((1, 3)), 50)  # type: ignore[arg-type]
