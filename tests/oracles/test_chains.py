"""Catches a wrong transition-matrix oracle: its invariance, reversals, annealing weights and training statistics."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import chains, enumeration
from oracles.enumeration import MACHINES, Table, ring
from support import stats

SMALL = {n: MACHINES[n] for n in ("rbm", "wide", "dbm2", "dbm3", "dbm4")} | {"ring": ring(3)}
BETAS = (0.0, 0.1, 0.35, 0.6, 0.8, 1.0)


@pytest.fixture(params=SMALL)
def table(request: pytest.FixtureRequest) -> Table:
    return SMALL[request.param]


def base_of(table: Table) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(31)
    return {n: rng.normal(0, 0.8, units) for n, units in table.layers.items()}


def paths(table: Table) -> list[chains.Path]:
    """Both reduced paths and the full one in both orders."""
    base, (even, odd) = base_of(table), enumeration.colours(table)
    reduced = [chains.reduced_path(table, base, BETAS, names) for names in (even, odd)]
    return reduced + [chains.sweep_path(table, base, BETAS, order) for order in ((even, odd), (odd, even))]


def test_updates_are_the_conditional_laws_of_the_joint(table: Table) -> None:
    p, every = enumeration.joint(table), enumeration.states(table)
    for names in enumeration.colours(table):
        rest = enumeration.numbers(table, every, table.others(names))
        same = rest[:, None] == rest
        expected = same * p / (same * p).sum(axis=1, keepdims=True)
        assert np.abs(chains.update_matrix(table, names) - expected).max() < 1e-12


def test_every_transition_keeps_its_distribution(table: Table) -> None:
    p, (even, odd) = enumeration.joint(table), enumeration.colours(table)
    sweeps = [chains.sweep_matrix(table, order) for order in ((even, odd), (odd, even), (odd, even, odd), (even,))]
    pairs = [(p, sweep) for sweep in sweeps]
    pairs += [(enumeration.marginal(table, names), chains.reduced_chain(table, names)) for names in (even, odd)]
    for law, matrix in pairs:
        assert np.abs(matrix.sum(axis=1) - 1).max() < 1e-12 and matrix.min() >= 0
        assert chains.invariance_defect(law, matrix) < 1e-12
    assert chains.invariance_defect(np.full(len(p), 1 / len(p)), sweeps[0]) > 1e-4


def test_a_sweep_reaches_every_state_and_one_class_alone_does_not(table: Table) -> None:
    even, odd = enumeration.colours(table)
    assert np.linalg.matrix_power(chains.sweep_matrix(table, (even, odd)), 2).min() > 0
    assert np.linalg.matrix_power(chains.update_matrix(table, even), 50).min() == 0


def test_only_the_opposite_order_reverses_a_sweep(table: Table) -> None:
    p, (even, odd) = enumeration.joint(table), enumeration.colours(table)
    forward, backward = chains.sweep_matrix(table, (odd, even)), chains.sweep_matrix(table, (even, odd))
    assert chains.reversal_defect(p, forward, backward) < 1e-12
    assert chains.reversal_defect(p, forward, forward) > 1e-4
    palindrome = chains.sweep_matrix(table, (odd, even, odd))
    assert chains.reversal_defect(p, palindrome, palindrome) < 1e-12


def test_the_first_class_of_an_order_is_drawn_first(table: Table) -> None:
    for first, second in (enumeration.colours(table), enumeration.colours(table)[::-1]):
        every, sweep = enumeration.states(table), chains.sweep_matrix(table, (first, second))
        drawn = chains.conditional_matrix(table, second, first)[enumeration.numbers(table, every, second)]
        found = np.array([enumeration.marginal(table, first, row) for row in sweep])
        assert np.abs(found - drawn).max() < 1e-12


def test_the_reduced_chain_is_reversible(table: Table) -> None:
    for names in enumeration.colours(table):
        law, matrix = enumeration.marginal(table, names), chains.reduced_chain(table, names)
        assert chains.reversal_defect(law, matrix, matrix) < 1e-12
        assert np.abs(chains.lift(table, law, names) - enumeration.joint(table)).max() < 1e-12


def test_expected_annealing_weights_are_the_ratio_of_partition_functions(table: Table) -> None:
    base = base_of(table)
    start = sum(float(np.logaddexp(0, b).sum()) for b in base.values())
    for path in paths(table):
        assert path.log_ratio == pytest.approx(enumeration.log_z(table) - start, abs=1e-10)
        assert chains.ais_log_moment(path) == pytest.approx(path.log_ratio, abs=1e-10)
        assert chains.reverse_ais_log_moment(path) == pytest.approx(-path.log_ratio, abs=1e-10)


def test_a_transition_of_the_wrong_temperature_biases_the_weights(table: Table) -> None:
    """The fault that the check above is for: moving at the next temperature before the weight is taken there."""
    for path in paths(table):
        late = chains.Path(path.log_f, [*path.forward[1:], path.forward[-1]], path.backward)
        assert abs(chains.ais_log_moment(late) - path.log_ratio) > 1e-5


def test_raise_is_exact_with_the_reversed_transitions_only() -> None:
    for name in ("dbm2", "dbm3"):
        for path in paths(SMALL[name]):
            truth = chains.annealed_distribution(path)
            assert np.abs(chains.raise_expectations(path) / truth - 1).max() < 1e-10
        wrong = chains.Path(path.log_f, path.forward, path.forward)
        assert np.abs(chains.raise_expectations(wrong) / truth - 1).max() > 0.01
        assert chains.ais_log_moment(wrong) == pytest.approx(path.log_ratio, abs=1e-10)


def test_more_temperatures_make_the_weights_less_variable(table: Table) -> None:
    names, base = enumeration.colours(table)[0], base_of(table)
    variances = []
    for betas in ((0, 1), np.linspace(0, 1, 6), np.linspace(0, 1, 101)):
        path = chains.reduced_path(table, base, betas, names)
        first, second = chains.ais_log_moment(path), chains.ais_log_moment(path, 2)
        variances.append(chains.relative_variance(first, second))
    assert variances[0] > variances[1] > variances[2] > 0 and variances[2] < 0.2 * variances[0]


@pytest.mark.parametrize("upwards", [True, False])
def test_simulated_weights_have_the_computed_moments(upwards: bool) -> None:
    """Catches moments of another run than the one described: weight before move going up, after it going down.

    Both the mean and the mean square of 40,000 simulated weights, alpha 1e-6 each, see an error of 5%.
    """
    table = Table.random([3, 3, 2], 0.5, 21)
    order = enumeration.colours(table)
    path, runs, rng = chains.sweep_path(table, table.biases, BETAS, order), 40_000, np.random.default_rng(77)
    log_w = np.zeros(runs)

    def pick(p: np.ndarray) -> np.ndarray:
        return np.minimum((rng.random(runs)[:, None] > np.cumsum(p, axis=-1)).sum(axis=1), p.shape[-1] - 1)

    x = pick(path.distribution(0 if upwards else -1)[None, :])
    steps = range(1, len(BETAS)) if upwards else range(len(BETAS) - 1, 0, -1)
    for t in steps:
        difference = path.log_f[t] - path.log_f[t - 1]
        if upwards:
            log_w += difference[x]
            x = pick(path.forward[t - 1][x])
        else:
            x = pick(path.backward[t - 1][x])
            log_w -= difference[x]
    moment = chains.ais_log_moment if upwards else chains.reverse_ais_log_moment
    first, second, fourth = (np.exp(moment(path, power)) for power in (1, 2, 4))
    assert stats.detectable_mean(runs, 0.05 * first, second - first**2)
    assert stats.detectable_mean(runs, 0.05 * second, fourth - second**2)
    stats.accept(stats.mean_test(np.exp(log_w), first, second - first**2), "wrong mean weight")
    stats.accept(stats.mean_test(np.exp(2 * log_w), second, fourth - second**2), "wrong mean squared weight")


def test_contrastive_moments_go_from_the_data_to_the_model(table: Table) -> None:
    names = enumeration.colours(table)[0]
    model = enumeration.moments(table)
    rng = np.random.default_rng(14)
    start = rng.dirichlet(np.ones(2 ** sum(table.layers[n] for n in names)))
    near, far = (chains.contrastive_moments(table, start, k, names) for k in (1, 2_000))
    assert max(np.abs(far[name] - model[name]).max() for name in model) < 1e-9
    assert max(np.abs(near[name] - model[name]).max() for name in model) > 1e-3


def test_contrastive_moments_of_an_rbm_by_an_explicit_sum() -> None:
    table = Table.random([3, 2], 1.0, 6)
    rows = np.array([[1.0, 0, 1], [0, 0, 1], [1, 0, 1]])
    start = chains.empirical(table, {"v": rows}, ("v",))
    zero, one = (chains.contrastive_moments(table, start, k) for k in (0, 1))
    data = enumeration.posterior_moments(table, rows)
    assert max(np.abs(zero[name] - data[name]).max() for name in data) < 1e-12
    total = np.zeros((3, 2))
    for v0 in rows:
        for h, q in zip(enumeration.bits(2), enumeration.posterior(table, v0), strict=True):
            mean = enumeration.conditional(table, "v", {"h1": h[None, :]})[0]
            for v1 in enumeration.bits(3):
                weight = q * np.prod(np.where(v1 == 1, mean, 1 - mean)) / len(rows)
                total += weight * np.outer(v1, enumeration.conditional(table, "h1", {"v": v1[None, :]})[0])
    assert np.abs(one["edge/v-h1/weight"] - total).max() < 1e-12


def test_persistent_chains_move_by_the_sweep(table: Table) -> None:
    order = enumeration.colours(table)[::-1]
    state = enumeration.draw(table, 7, seed=2)
    chosen = np.zeros(2 ** sum(table.layers.values()))
    for number in enumeration.numbers(table, state):
        chosen[number] += 1 / 7
    after = chains.next_distribution(table, state, order, 2)
    sweep = chains.sweep_matrix(table, order)
    assert np.abs(after - chosen @ sweep @ sweep).max() < 1e-12
    far = chains.persistent_moments(table, state, order, 2_000)
    assert max(np.abs(far[n] - x).max() for n, x in enumeration.moments(table).items()) < 1e-9
    other = chains.next_distribution(table, state, order[::-1], 2)
    assert np.abs(after - other).max() > 1e-4
