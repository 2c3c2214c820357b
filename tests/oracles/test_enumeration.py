"""Catches a wrong enumeration oracle: each quantity against a second, slower or analytic way to it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from oracles import enumeration
from oracles.enumeration import MACHINES, Table
from scipy.special import logsumexp
from support import stats

from boltz.models import from_arrays


@pytest.fixture(params=MACHINES)
def table(request: pytest.FixtureRequest) -> Table:
    return MACHINES[request.param]


def rows_of(table: Table, rows: int = 5) -> np.ndarray:
    return enumeration.draw(table, rows, seed=9)[table.visible]


def test_a_machine_of_two_units_by_hand() -> None:
    table = Table.chain([[[0.7]]], [[-0.2], [0.4]])
    assert enumeration.log_z(table) == pytest.approx(np.log(1 + np.exp(-0.2) + np.exp(0.4) + np.exp(0.9)), abs=1e-15)
    assert enumeration.joint(table)[2] == pytest.approx(np.exp(-0.2 - enumeration.log_z(table)), abs=1e-15)
    assert enumeration.energy_slow(table, enumeration.states(table)) == pytest.approx([0, -0.4, 0.2, -0.9], abs=1e-15)


def test_energies_agree_with_the_triple_sum(table: Table) -> None:
    slow = enumeration.energy_slow(table, enumeration.states(table))
    assert np.abs(slow + enumeration.log_density(table).reshape(-1)).max() < 1e-12
    assert abs(logsumexp(-slow) - enumeration.log_z(table)) < 1e-12


def test_numbers_count_the_states_in_order(table: Table) -> None:
    names = tuple(table.layers)[::-1]
    assert (enumeration.numbers(table, enumeration.states(table)) == np.arange(2 ** sum(table.layers.values()))).all()
    some = enumeration.states(table, names[:2])
    assert (enumeration.numbers(table, some, names[:2]) == np.arange(len(some[names[0]]))).all()


def test_both_colour_classes_sum_to_the_same_log_z(table: Table) -> None:
    for names, other in (enumeration.colours(table), enumeration.colours(table)[::-1]):
        free = enumeration.free_energy(table, names)
        assert abs(logsumexp(-free) - enumeration.log_z(table)) < 1e-10
        x = enumeration.states(table, names)
        formula = -sum(x[n] @ table.biases[n] for n in names)
        formula = formula - sum(np.logaddexp(0, enumeration.field(table, n, x)).sum(axis=1) for n in other)
        assert np.abs(formula - free).max() < 1e-10


def test_colour_classes_share_no_edge(table: Table) -> None:
    even, odd = enumeration.colours(table)
    assert table.visible in even and sorted(even + odd) == sorted(table.layers)
    assert all((a in even) != (b in even) for a, b in table.edges)


def test_marginals_of_any_layers_in_any_order(table: Table) -> None:
    p, every = enumeration.joint(table), enumeration.states(table)
    assert abs(p.sum() - 1) < 1e-12
    for names in itertools.permutations(table.layers, 2):
        slow = np.bincount(enumeration.numbers(table, every, names), p)
        assert np.abs(enumeration.marginal(table, names) - slow).max() < 1e-12
        density = np.exp(-enumeration.free_energy(table, names) - enumeration.log_z(table))
        assert np.abs(density - slow).max() < 1e-12


def test_clamping_keeps_the_energy(table: Table) -> None:
    rng = np.random.default_rng(6)
    for name, units in table.layers.items():
        value = rng.random(units)
        rest, constant = enumeration.clamp(table, {name: value})
        state = enumeration.states(rest)
        full = {**state, name: np.tile(value, (len(enumeration.joint(rest)), 1))}
        assert (
            np.abs(enumeration.energy_slow(table, full) - enumeration.energy_slow(rest, state) + constant).max() < 1e-12
        )


def test_clamping_two_neighbours_keeps_their_edge() -> None:
    table = MACHINES["dbm2"]
    x = enumeration.draw(table, 1, seed=1)
    rest, constant = enumeration.clamp(table, {"v": x["v"][0], "h1": x["h1"][0]})
    assert list(rest.layers) == ["h2"] and not rest.edges
    assert constant + float(x["h2"][0] @ rest.biases["h2"]) == pytest.approx(
        -enumeration.energy_slow(table, x)[0], abs=1e-12
    )


def test_log_likelihood_and_posterior_follow_from_the_joint(table: Table) -> None:
    v = enumeration.states(table, (table.visible,))[table.visible]
    p = enumeration.joint(table).reshape(len(v), -1)
    assert np.abs(enumeration.log_likelihood(table, v) - np.log(p.sum(axis=1))).max() < 1e-10
    for row, mine in zip(v, p, strict=True):
        assert np.abs(enumeration.posterior(table, row) - mine / mine.sum()).max() < 1e-12


def test_moments_by_a_sum_over_states(table: Table) -> None:
    p, x = enumeration.joint(table), enumeration.states(table)
    found = enumeration.moments(table)
    for a, b in table.edges:
        slow = np.einsum("s,si,sj->ij", p, x[a], x[b])
        assert np.abs(found[f"edge/{a}-{b}/weight"] - slow).max() < 1e-12
    for name in table.layers:
        assert np.abs(found[f"layer/{name}/bias"] - p @ x[name]).max() < 1e-12


def test_conditionals_follow_from_the_joint(table: Table) -> None:
    p, x = enumeration.joint(table), enumeration.states(table)
    for name, units in table.layers.items():
        found = np.broadcast_to(enumeration.conditional(table, name, x), x[name].shape)
        for u in range(units):
            flipped = {**x, name: np.array(x[name])}
            flipped[name][:, u] = 1 - flipped[name][:, u]
            other = p[enumeration.numbers(table, flipped)]
            assert np.abs(found[:, u] - np.where(x[name][:, u] == 1, p, other) / (p + other)).max() < 1e-12


def test_the_gradient_is_that_of_the_enumerated_log_likelihood(table: Table) -> None:
    rows, step = rows_of(table), 1e-5
    found = enumeration.gradient(table, rows)
    parameters = {f"edge/{a}-{b}/weight": w for (a, b), w in table.edges.items()}
    parameters |= {f"layer/{n}/bias": b for n, b in table.biases.items()}
    assert set(found) == set(parameters)
    for name, values in parameters.items():
        for index in np.ndindex(values.shape):
            kept = values[index]
            difference = 0.0
            for sign in (1, -1):
                values[index] = kept + sign * step
                difference += sign * float(enumeration.log_likelihood(table, rows).mean())
            values[index] = kept
            assert found[name][index] == pytest.approx(difference / (2 * step), abs=1e-6)


def test_draws_follow_the_joint(table: Table) -> None:
    """Catches rows that are chosen or counted under another numbering; alpha 1e-6."""
    p = enumeration.joint(table)
    found = enumeration.counts(table, enumeration.draw(table, 20_000, seed=4))
    assert stats.detectable_chi_square(20_000, p, 0.9 * p + 0.1 / len(p))
    stats.accept(stats.chi_square(found, p), "draws do not follow the joint distribution")


def test_mean_field_is_a_fixed_point_and_a_local_maximum_of_the_bound(table: Table) -> None:
    rows, rng = rows_of(table), np.random.default_rng(2)
    means = enumeration.mean_field(table, rows)
    best = enumeration.variational_bound(table, rows, means)
    assert enumeration.mean_field_residual(table, rows, means) < 1e-12
    assert (best <= enumeration.log_likelihood(table, rows) + 1e-12).all()
    for scale in (0.01, 0.1):
        moved = {n: np.clip(m + scale * rng.normal(size=m.shape), 1e-9, 1 - 1e-9) for n, m in means.items()}
        assert enumeration.mean_field_residual(table, rows, moved) > scale / 10
        assert (enumeration.variational_bound(table, rows, moved) < best).all()


def test_the_bound_agrees_with_its_closed_form(table: Table) -> None:
    rows, rng = rows_of(table), np.random.default_rng(12)
    means = {n: rng.uniform(0.05, 0.95, (len(rows), table.layers[n])) for n in table.hidden}
    entropy = -sum((m * np.log(m) + (1 - m) * np.log(1 - m)).sum(axis=1) for m in means.values())
    closed = -enumeration.energy_slow(table, {table.visible: rows, **means}) + entropy - enumeration.log_z(table)
    assert np.abs(enumeration.variational_bound(table, rows, means) - closed).max() < 1e-12


@pytest.mark.parametrize("name", ["rbm", "wide"])
def test_mean_field_is_exact_without_edges_between_hidden_layers(name: str) -> None:
    table = MACHINES[name]
    rows = rows_of(table)
    means = enumeration.mean_field(table, rows)
    assert (
        np.abs(enumeration.variational_bound(table, rows, means) - enumeration.log_likelihood(table, rows)).max()
        < 1e-10
    )
    for samples in (1, 2):
        one = {"h1": means["h1"][0]}
        bound = enumeration.importance_bound(table, rows[0], one, samples)
        assert bound == pytest.approx(enumeration.log_likelihood(table, rows)[0], abs=1e-10)


@pytest.mark.parametrize("name", ["dbm2", "dbm3"])
def test_the_importance_bound_rises_with_the_samples(name: str) -> None:
    table = MACHINES[name]
    rows = rows_of(table, 1)
    means = enumeration.mean_field(table, rows)
    one = {n: m[0] for n, m in means.items()}
    bounds = [enumeration.importance_bound(table, rows[0], one, k) for k in (1, 2, 3)]
    truth = enumeration.log_likelihood(table, rows)[0]
    assert bounds[0] == pytest.approx(enumeration.variational_bound(table, rows, means)[0], abs=1e-12)
    assert bounds[0] + 1e-6 < bounds[1] and bounds[1] + 1e-6 < bounds[2] < truth
    log_w, q = enumeration.importance_log_weights(table, rows[0], one)
    assert np.log(q @ np.exp(log_w)) == pytest.approx(truth, abs=1e-12)


def test_a_table_is_read_from_a_machine_by_parameter_names() -> None:
    weights, biases = enumeration.weights_and_biases(MACHINES["dbm2"])
    single = from_arrays([w.astype(np.float32) for w in weights], [b.astype(np.float32) for b in biases])
    read = Table.of(single)
    assert read.layers == MACHINES["dbm2"].layers and list(read.edges) == [("v", "h1"), ("h1", "h2")]
    for pair, weight in MACHINES["dbm2"].edges.items():
        assert read.edges[pair].dtype == np.float64 and (read.edges[pair] == weight.astype(np.float32)).all()
    for name, bias in MACHINES["dbm2"].biases.items():
        assert (read.biases[name] == bias.astype(np.float32)).all()


def test_twenty_units_are_enumerated() -> None:
    table = Table.random([10, 10], 0.5, 7)
    v = enumeration.bits(10)
    free = -v @ table.biases["v"] - np.logaddexp(0, v @ table.edges["v", "h1"] + table.biases["h1"]).sum(axis=1)
    assert abs(enumeration.log_z(table) - logsumexp(-free)) < 1e-10
