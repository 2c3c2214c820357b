"""Tests of the enumeration oracle: each quantity against a second, slower or analytic way to it."""

from __future__ import annotations

import itertools

import numpy as np
import oracle
import pytest
import stats
from oracle import Table
from scipy.special import logsumexp

from boltz.models import from_arrays


def ring(seed: int = 8) -> Table:
    """Four layers in a ring, one edge written from the upper to the lower layer, and a layer without edges."""
    rng = np.random.default_rng(seed)
    layers = {"v": 2, "h1": 3, "h2": 1, "h3": 2, "h4": 1}
    pairs = [("v", "h1"), ("h1", "h2"), ("h2", "h3"), ("h3", "v")]
    edges = {(a, b): rng.normal(0, 1, (layers[a], layers[b])) for a, b in pairs}
    return Table(layers, edges, {n: rng.normal(0, 1, u) for n, u in layers.items()})


MACHINES = {
    "rbm": Table.random([4, 3], 1.0, 1),
    "wide": Table.random([2, 6], 1.5, 2),
    "dbm2": Table.random([3, 3, 2], 1.0, 3),
    "dbm3": Table.random([2, 2, 2, 2], 1.5, 4),
    "dbm4": Table.random([2, 2, 1, 2, 1], 0.7, 5),
    "ring": ring(),
}


@pytest.fixture(params=MACHINES)
def table(request: pytest.FixtureRequest) -> Table:
    return MACHINES[request.param]


def rows_of(table: Table, rows: int = 5) -> np.ndarray:
    return oracle.draw(table, rows, seed=9)[table.visible]


def test_a_machine_of_two_units_by_hand() -> None:
    table = Table.chain([[[0.7]]], [[-0.2], [0.4]])
    assert oracle.log_z(table) == pytest.approx(np.log(1 + np.exp(-0.2) + np.exp(0.4) + np.exp(0.9)), abs=1e-15)
    assert oracle.joint(table)[2] == pytest.approx(np.exp(-0.2 - oracle.log_z(table)), abs=1e-15)
    assert oracle.energy_slow(table, oracle.states(table)) == pytest.approx([0, -0.4, 0.2, -0.9], abs=1e-15)


def test_energies_agree_with_the_triple_sum(table: Table) -> None:
    slow = oracle.energy_slow(table, oracle.states(table))
    assert np.abs(slow + oracle.log_density(table).reshape(-1)).max() < 1e-12
    assert abs(logsumexp(-slow) - oracle.log_z(table)) < 1e-12


def test_numbers_count_the_states_in_order(table: Table) -> None:
    names = tuple(table.layers)[::-1]
    assert (oracle.numbers(table, oracle.states(table)) == np.arange(2 ** sum(table.layers.values()))).all()
    some = oracle.states(table, names[:2])
    assert (oracle.numbers(table, some, names[:2]) == np.arange(len(some[names[0]]))).all()


def test_both_colour_classes_sum_to_the_same_log_z(table: Table) -> None:
    for names, other in (oracle.colours(table), oracle.colours(table)[::-1]):
        free = oracle.free_energy(table, names)
        assert abs(logsumexp(-free) - oracle.log_z(table)) < 1e-10
        x = oracle.states(table, names)
        formula = -sum(x[n] @ table.biases[n] for n in names)
        formula = formula - sum(np.logaddexp(0, oracle.field(table, n, x)).sum(axis=1) for n in other)
        assert np.abs(formula - free).max() < 1e-10


def test_colour_classes_share_no_edge(table: Table) -> None:
    even, odd = oracle.colours(table)
    assert table.visible in even and sorted(even + odd) == sorted(table.layers)
    assert all((a in even) != (b in even) for a, b in table.edges)


def test_marginals_of_any_layers_in_any_order(table: Table) -> None:
    p, every = oracle.joint(table), oracle.states(table)
    assert abs(p.sum() - 1) < 1e-12
    for names in itertools.permutations(table.layers, 2):
        slow = np.bincount(oracle.numbers(table, every, names), p)
        assert np.abs(oracle.marginal(table, names) - slow).max() < 1e-12
        density = np.exp(-oracle.free_energy(table, names) - oracle.log_z(table))
        assert np.abs(density - slow).max() < 1e-12


def test_clamping_keeps_the_energy(table: Table) -> None:
    rng = np.random.default_rng(6)
    for name, units in table.layers.items():
        value = rng.random(units)
        rest, constant = oracle.clamp(table, {name: value})
        state = oracle.states(rest)
        full = {**state, name: np.tile(value, (len(oracle.joint(rest)), 1))}
        assert np.abs(oracle.energy_slow(table, full) - oracle.energy_slow(rest, state) + constant).max() < 1e-12


def test_clamping_two_neighbours_keeps_their_edge() -> None:
    table = MACHINES["dbm2"]
    x = oracle.draw(table, 1, seed=1)
    rest, constant = oracle.clamp(table, {"v": x["v"][0], "h1": x["h1"][0]})
    assert list(rest.layers) == ["h2"] and not rest.edges
    assert constant + float(x["h2"][0] @ rest.biases["h2"]) == pytest.approx(
        -oracle.energy_slow(table, x)[0], abs=1e-12
    )


def test_log_likelihood_and_posterior_follow_from_the_joint(table: Table) -> None:
    v = oracle.states(table, (table.visible,))[table.visible]
    p = oracle.joint(table).reshape(len(v), -1)
    assert np.abs(oracle.log_likelihood(table, v) - np.log(p.sum(axis=1))).max() < 1e-10
    for row, mine in zip(v, p, strict=True):
        assert np.abs(oracle.posterior(table, row) - mine / mine.sum()).max() < 1e-12


def test_moments_by_a_sum_over_states(table: Table) -> None:
    p, x = oracle.joint(table), oracle.states(table)
    found = oracle.moments(table)
    for a, b in table.edges:
        slow = np.einsum("s,si,sj->ij", p, x[a], x[b])
        assert np.abs(found[f"edge/{a}-{b}/weight"] - slow).max() < 1e-12
    for name in table.layers:
        assert np.abs(found[f"layer/{name}/bias"] - p @ x[name]).max() < 1e-12


def test_conditionals_follow_from_the_joint(table: Table) -> None:
    p, x = oracle.joint(table), oracle.states(table)
    for name, units in table.layers.items():
        found = np.broadcast_to(oracle.conditional(table, name, x), x[name].shape)
        for u in range(units):
            flipped = {**x, name: np.array(x[name])}
            flipped[name][:, u] = 1 - flipped[name][:, u]
            other = p[oracle.numbers(table, flipped)]
            assert np.abs(found[:, u] - np.where(x[name][:, u] == 1, p, other) / (p + other)).max() < 1e-12


def test_the_gradient_is_that_of_the_enumerated_log_likelihood(table: Table) -> None:
    rows, step = rows_of(table), 1e-5
    found = oracle.gradient(table, rows)
    parameters = {f"edge/{a}-{b}/weight": w for (a, b), w in table.edges.items()}
    parameters |= {f"layer/{n}/bias": b for n, b in table.biases.items()}
    assert set(found) == set(parameters)
    for name, values in parameters.items():
        for index in np.ndindex(values.shape):
            kept = values[index]
            difference = 0.0
            for sign in (1, -1):
                values[index] = kept + sign * step
                difference += sign * float(oracle.log_likelihood(table, rows).mean())
            values[index] = kept
            assert found[name][index] == pytest.approx(difference / (2 * step), abs=1e-6)


def test_draws_follow_the_joint(table: Table) -> None:
    """Catches rows that are chosen or counted under another numbering; alpha 1e-6."""
    p = oracle.joint(table)
    found = oracle.counts(table, oracle.draw(table, 20_000, seed=4))
    assert stats.detectable_chi_square(20_000, p, 0.9 * p + 0.1 / len(p))
    stats.accept(stats.chi_square(found, p), "draws do not follow the joint distribution")


def test_mean_field_is_a_fixed_point_and_a_local_maximum_of_the_bound(table: Table) -> None:
    rows, rng = rows_of(table), np.random.default_rng(2)
    means = oracle.mean_field(table, rows)
    best = oracle.variational_bound(table, rows, means)
    assert oracle.mean_field_residual(table, rows, means) < 1e-12
    assert (best <= oracle.log_likelihood(table, rows) + 1e-12).all()
    for scale in (0.01, 0.1):
        moved = {n: np.clip(m + scale * rng.normal(size=m.shape), 1e-9, 1 - 1e-9) for n, m in means.items()}
        assert oracle.mean_field_residual(table, rows, moved) > scale / 10
        assert (oracle.variational_bound(table, rows, moved) < best).all()


def test_the_bound_agrees_with_its_closed_form(table: Table) -> None:
    rows, rng = rows_of(table), np.random.default_rng(12)
    means = {n: rng.uniform(0.05, 0.95, (len(rows), table.layers[n])) for n in table.hidden}
    entropy = -sum((m * np.log(m) + (1 - m) * np.log(1 - m)).sum(axis=1) for m in means.values())
    closed = -oracle.energy_slow(table, {table.visible: rows, **means}) + entropy - oracle.log_z(table)
    assert np.abs(oracle.variational_bound(table, rows, means) - closed).max() < 1e-12


@pytest.mark.parametrize("name", ["rbm", "wide"])
def test_mean_field_is_exact_without_edges_between_hidden_layers(name: str) -> None:
    table = MACHINES[name]
    rows = rows_of(table)
    means = oracle.mean_field(table, rows)
    assert np.abs(oracle.variational_bound(table, rows, means) - oracle.log_likelihood(table, rows)).max() < 1e-10
    for samples in (1, 2):
        one = {"h1": means["h1"][0]}
        bound = oracle.importance_bound(table, rows[0], one, samples)
        assert bound == pytest.approx(oracle.log_likelihood(table, rows)[0], abs=1e-10)


@pytest.mark.parametrize("name", ["dbm2", "dbm3"])
def test_the_importance_bound_rises_with_the_samples(name: str) -> None:
    table = MACHINES[name]
    rows = rows_of(table, 1)
    means = oracle.mean_field(table, rows)
    one = {n: m[0] for n, m in means.items()}
    bounds = [oracle.importance_bound(table, rows[0], one, k) for k in (1, 2, 3)]
    truth = oracle.log_likelihood(table, rows)[0]
    assert bounds[0] == pytest.approx(oracle.variational_bound(table, rows, means)[0], abs=1e-12)
    assert bounds[0] + 1e-6 < bounds[1] and bounds[1] + 1e-6 < bounds[2] < truth
    log_w, q = oracle.importance_log_weights(table, rows[0], one)
    assert np.log(q @ np.exp(log_w)) == pytest.approx(truth, abs=1e-12)


def test_a_table_is_read_from_a_machine_by_parameter_names() -> None:
    weights, biases = oracle.weights_and_biases(MACHINES["dbm2"])
    single = from_arrays([w.astype(np.float32) for w in weights], [b.astype(np.float32) for b in biases])
    read = Table.of(single)
    assert read.layers == MACHINES["dbm2"].layers and list(read.edges) == [("v", "h1"), ("h1", "h2")]
    for pair, weight in MACHINES["dbm2"].edges.items():
        assert read.edges[pair].dtype == np.float64 and (read.edges[pair] == weight.astype(np.float32)).all()
    for name, bias in MACHINES["dbm2"].biases.items():
        assert (read.biases[name] == bias.astype(np.float32)).all()


def test_twenty_units_are_enumerated() -> None:
    table = Table.random([10, 10], 0.5, 7)
    v = oracle.bits(10)
    free = -v @ table.biases["v"] - np.logaddexp(0, v @ table.edges["v", "h1"] + table.biases["h1"]).sum(axis=1)
    assert abs(oracle.log_z(table) - logsumexp(-free)) < 1e-10
