"""Catches training rules whose phases, centring or sparsity differ from enumeration."""

from __future__ import annotations

import numpy as np
import pytest
from checks import training as checks
from oracles import enumeration
from oracles.enumeration import Table
from support import stats

from boltz.parallel import Workers
from boltz.training.contrastive import Contrastive, Workspace
from boltz.training.rules import Clock
from boltz.training.settings import Settings


def parameters(table: Table) -> dict[str, np.ndarray]:
    found = {f"edge/{a}-{b}/weight": w for (a, b), w in table.edges.items()}
    return found | {f"layer/{n}/bias": b for n, b in table.biases.items()}


def from_parameters(table: Table, values: dict[str, np.ndarray]) -> Table:
    edges = {(a, b): values[f"edge/{a}-{b}/weight"] for a, b in table.edges}
    return Table(table.layers, edges, {n: values[f"layer/{n}/bias"] for n in table.layers})


def from_centred(table: Table, values: dict[str, np.ndarray], offsets: dict[str, np.ndarray]) -> Table:
    """The plain machine of E = -sum (x_a - o_a) W (x_b - o_b) - sum b'.(x - o), constants left out."""
    plain = {name: x.copy() for name, x in values.items()}
    for a, b in table.edges:
        weight = values[f"edge/{a}-{b}/weight"]
        plain[f"layer/{a}/bias"] -= weight @ offsets[b]
        plain[f"layer/{b}/bias"] -= offsets[a] @ weight
    return from_parameters(table, plain)


def differences(values: dict[str, np.ndarray], function, step: float = 1e-5) -> dict[str, np.ndarray]:
    """Central finite differences of a function of named arrays."""
    found = {name: np.zeros_like(x) for name, x in values.items()}
    for name, x in values.items():
        for index in np.ndindex(x.shape):
            ends = []
            for sign in (1, -1):
                moved = {n: y.copy() for n, y in values.items()}
                moved[name][index] += sign * step
                ends.append(function(moved))
            found[name][index] = (ends[0] - ends[1]) / (2 * step)
    return found


def test_exact_expectations_give_the_likelihood_gradient() -> None:
    checks.check_contraction_is_the_likelihood_gradient()


@pytest.mark.parametrize("units", [(3, 2), (2, 2, 2)])
def test_the_likelihood_gradient_is_that_of_finite_differences(units: tuple[int, ...]) -> None:
    table, rows = Table.random(units, 0.8, 21), checks.coin_rows(3, units[0], 22)

    def value(moved: dict[str, np.ndarray]) -> float:
        return float(enumeration.log_likelihood(from_parameters(table, moved), rows).mean())

    checks.assert_close(checks.contracted(table, rows), differences(parameters(table), value), 1e-8)


@pytest.mark.parametrize("units", [(3, 2), (2, 2, 2)])
def test_centring_is_gradient_ascent_in_centred_parameters(units: tuple[int, ...]) -> None:
    """The direction equals the finite-difference gradient in W, b' at fixed offsets, mapped back to W, b."""
    table, rows = Table.random(units, 0.8, 23), checks.coin_rows(3, units[0], 24)
    rng = np.random.default_rng(25)
    offsets = {n: rng.random(u) for n, u in table.layers.items()}
    start = {name: x.copy() for name, x in parameters(table).items()}
    for a, b in table.edges:
        start[f"layer/{a}/bias"] += table.edges[a, b] @ offsets[b]
        start[f"layer/{b}/bias"] += offsets[a] @ table.edges[a, b]
    checks.assert_close(parameters(from_centred(table, start, offsets)), parameters(table), 1e-14)

    def value(moved: dict[str, np.ndarray]) -> float:
        return float(enumeration.log_likelihood(from_centred(table, moved, offsets), rows).mean())

    wanted = differences(start, value)
    for a, b in table.edges:  # a step in (W, b') moves b by that of b' less W o
        wanted[f"layer/{a}/bias"] -= wanted[f"edge/{a}-{b}/weight"] @ offsets[b]
        wanted[f"layer/{b}/bias"] -= offsets[a] @ wanted[f"edge/{a}-{b}/weight"]
    checks.assert_close(checks.contracted(table, rows, offsets), wanted, 1e-8)


def test_centring_transforms_the_plain_gradient() -> None:
    checks.check_centred_gradient_is_the_plain_one_transformed()


@pytest.mark.parametrize("offsets", [None, "any"])
def test_the_gradient_is_zero_at_a_stationary_point(offsets: str | None) -> None:
    """Data that are the machine's own distribution: every state of v, with its probability as its share of rows."""
    table = Table.random((3, 2, 2), 0.9, 26)
    collected, signs = checks.enumerated(table, enumeration.states(table, ("v",))["v"])
    p, hidden = enumeration.marginal(table, ("v",)), 2**4
    signs[: len(p) * hidden] *= len(p) * np.repeat(p, hidden)
    rng = np.random.default_rng(27)
    state = {f"offset/{n}": rng.random(u) for n, u in table.layers.items()} if offsets else {}
    work = Workspace(checks.machine_of(table))
    found = Contrastive(Settings(center=bool(offsets)))._contract(work, collected, signs, state, checks.SERIAL)
    for name, x in found.items():
        np.testing.assert_allclose(x, 0, atol=1e-14, err_msg=name)
    assert max(np.abs(x).max() for x in checks.contracted(table, [np.ones(3)]).values()) > 0.1  # not always zero


def test_the_persistent_gradient_is_that_of_its_own_chains() -> None:
    checks.check_persistent_gradient_equals_its_own_chains()


def test_persistent_chains_move_by_the_machine() -> None:
    checks.check_persistent_chains_move_by_the_machine()


def test_persistent_chains_start_at_the_data() -> None:
    checks.check_particles_start_at_the_data()


def test_successive_steps_are_independent() -> None:
    checks.check_steps_are_independent()


def test_particles_are_independent() -> None:
    checks.check_particles_are_independent()


def test_chains_stay_where_the_step_before_left_them() -> None:
    """Two calls with k = 1 equal one with k = 2 (the generator counts sweeps, not calls); chains are states."""
    table = Table.random((4, 3, 3), 1.0, 28)
    machine, batch = checks.machine_of(table), checks.coin_rows(3, 4, 29)
    _, first = checks.gradient_of(machine, batch, Contrastive(Settings(chains=50)), step=0)
    _, second = checks.gradient_of(machine, batch, Contrastive(Settings(chains=50)), first, step=1)
    _, both = checks.gradient_of(machine, batch, Contrastive(Settings(chains=50, k=2)), step=0)
    for name, x in checks.chains_of(second).items():
        assert np.isin(x, (0, 1)).all()
        np.testing.assert_array_equal(x, checks.chains_of(both)[name])
        assert (x != checks.chains_of(first)[name]).any()


def test_contrastive_divergence_has_the_enumerated_expectation() -> None:
    checks.check_contrastive_expectation()


def test_three_sweeps_have_their_own_expectation() -> None:
    checks.check_three_sweeps()


@pytest.mark.parametrize("scales", [{"h1": 2.0, "v": 1.0}, {"h1": 1.0, "v": 2.0}, {"h1": 2.0, "v": 2.0}])
def test_doubled_inputs_have_their_own_expectation(scales: dict[str, float]) -> None:
    """alpha 1e-6; catches a doubling that reaches only one of the two phases, or the biases."""
    stats.accept(checks.contrastive_p(1, scales), f"CD-1 with scales {scales} has a wrong expected negative phase")


def test_the_oracle_of_contrastive_divergence_agrees_with_itself() -> None:
    """The per-row law used here and oracle_chains.contrastive_moments give one expectation."""
    from oracles import chains

    table, rows = Table.random((4, 3), 1.2, 30), checks.coin_rows(9, 4, 31)
    start = chains.empirical(table, {"v": rows}, ("v",))
    for k in (1, 2, 5):
        wanted = chains.contrastive_moments(table, start, k)
        checks.assert_close(checks.contrastive_statistics(table, rows, k)[0], wanted, 1e-13)


def test_contrastive_divergence_of_a_deep_machine_starts_at_the_posterior_means() -> None:
    """CD in a DBM: with huge biases on h1 and h2 the chain cannot leave, so both phases agree on the hidden layers."""
    table = Table.random((4, 3, 2), 0.5, 32)
    for name in table.hidden:
        table.biases[name][:] = 40.0
    batch = checks.coin_rows(5, 4, 33)
    found, _ = checks.gradient_of(checks.machine_of(table), batch, Contrastive(Settings(rule="cd")))
    for name in ("layer/h1/bias", "layer/h2/bias", "edge/h1-h2/weight"):
        np.testing.assert_allclose(found[name], 0, atol=1e-12)
    assert np.abs(found["layer/v/bias"]).max() > 0.01


def test_the_positive_phase_of_a_deep_machine_is_a_mean_field_fixed_point() -> None:
    checks.check_mean_field_positive_phase()


def test_the_collapsed_positive_phase_has_the_enumerated_expectation() -> None:
    checks.check_collapsed_expectation()


def test_a_second_draw_of_the_collapsed_positive_phase_has_its_own_expectation() -> None:
    checks.check_two_draws()


def test_offsets_and_rates_are_moving_averages_of_the_data() -> None:
    checks.check_offsets_follow_the_data()


def test_sparsity_pulls_rates_to_the_target() -> None:
    checks.check_sparsity_pull()


def test_no_sparsity_cost_keeps_no_rates() -> None:
    machine = checks.machine_of(Table.random((4, 3), 1.0, 34))
    state = Contrastive(Settings()).init(machine, checks.coin_rows(2, 4, 34), checks.KEY, 2)
    assert sorted(state) == ["chain/h1", "chain/v"]
    assert Contrastive(Settings(rule="cd")).init(machine, checks.coin_rows(2, 4, 34), checks.KEY, 2) == {}


@pytest.mark.parametrize("rule", ["cd", "pcd"])
def test_a_used_workspace_changes_nothing(rule: str) -> None:
    """A full batch, a short one, a full one: buffers left over from one call do not reach the next."""
    machine = checks.machine_of(Table.random((6, 5, 4), 0.6, 35))
    made = Contrastive(Settings(rule=rule, chains=40, center=True))
    start = checks.coin_rows(9, 6, 36)
    work, kept, fresh = Workspace(machine), *(made.init(machine, start, checks.KEY, len(start)) for _ in range(2))
    for step, rows in enumerate((150, 1, 33, 150)):
        batch = checks.coin_rows(rows, 6, 36 + step)
        found = made.gradient(work, batch, kept, Clock(checks.KEY, step), checks.SERIAL)
        wanted = made.gradient(Workspace(machine), batch, fresh, Clock(checks.KEY, step), checks.SERIAL)
        for name in wanted:
            np.testing.assert_array_equal(found[name], wanted[name])


@pytest.mark.parametrize("rule", ["cd", "pcd"])
def test_a_batch_is_averaged_not_summed(rule: str) -> None:
    """The positive phase of a batch given twice is that of the batch; the model's part does not grow with it."""
    machine = checks.machine_of(Table.random((5, 3), 0.0, 37))  # no weights: h is the same for every row
    batch = checks.coin_rows(20, 5, 38)
    once, _ = checks.gradient_of(machine, batch, Contrastive(Settings(rule=rule, chains=60)))
    twice, _ = checks.gradient_of(machine, np.vstack([batch, batch]), Contrastive(Settings(rule=rule, chains=60)))
    if rule == "pcd":
        checks.assert_close(once, twice, 1e-14)
    np.testing.assert_allclose(once["layer/h1/bias"], 0, atol=1e-14)
    np.testing.assert_allclose(twice["layer/h1/bias"], 0, atol=1e-14)


@pytest.mark.parametrize("rule", ["cd", "pcd"])
def test_inputs_are_left_as_they_were(rule: str) -> None:
    machine = checks.machine_of(Table.random((5, 3), 1.0, 39))
    batch, arena = checks.coin_rows(20, 5, 40), machine.arena.copy()
    batch.flags.writeable = False
    made = Contrastive(Settings(rule=rule, chains=7, center=True))
    made.gradient(
        Workspace(machine),
        batch,
        made.init(machine, batch, checks.KEY, len(batch)),
        Clock(checks.KEY, 0),
        checks.SERIAL,
    )
    np.testing.assert_array_equal(machine.arena, arena)


def test_threads_share_the_work_without_changing_a_bit() -> None:
    from concurrent.futures import ThreadPoolExecutor

    machine = checks.machine_of(Table.random((70, 40, 20), 0.1, 41)).astype(np.float32)
    batch = checks.coin_rows(300, 70, 42).astype(np.float32)
    for rule in ("cd", "pcd"):
        made = Contrastive(Settings(rule=rule, chains=260, center=True, sparsity_cost=0.1))
        one, first = checks.gradient_of(machine, batch, made)
        for count in (2, 3, 7):
            with ThreadPoolExecutor(count - 1) as pool:
                many, second = checks.gradient_of(machine, batch, made, pool=Workers(count, pool))
            for name in one:
                np.testing.assert_array_equal(one[name], many[name])
            for name in first:
                np.testing.assert_array_equal(first[name], second[name])
