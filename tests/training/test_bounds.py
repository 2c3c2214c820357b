"""Catches expected gradients of directed objectives that differ from enumeration, without Monte Carlo noise.

Batches hold every tuple of binary latent states (and quadrature nodes or fixed noise of Gaussian ones); gradients of
rows are weighted by the probability of their tuple. Bounds are differentiated by complex steps in oracles/directed.py.
"""

from __future__ import annotations

import numpy as np
import pytest
from checks import directed as checks
from checks import directed_laws as laws
from checks.directed import BITS, CLOCK, SERIAL, Case, every_tuple, expected, machine_of, rows_of
from oracles import directed as oracle
from oracles.directed import Directed
from scipy.special import logsumexp

from boltz.models.builders import sbn, vae
from boltz.training.baselines import DECAY, Baseline
from boltz.training.directed_settings import DirectedSettings
from boltz.training.objectives import Weights
from boltz.training.variational import Variational

LINEAR, DEEP = "3b 2b 2b", [[3], [2]]


@pytest.mark.parametrize("widths", [[], DEEP], ids=["linear", "nets"])
@pytest.mark.parametrize(("layers", "samples"), [(LINEAR, 2), (LINEAR, 3), ("3g 2b 2b", 2), ("3g 1b 2b", 3)])
def test_vimco_climbs_the_importance_bound(layers: str, samples: int, widths: list[list[int]]) -> None:
    checks.check_score_function("vimco", machine_of(layers, widths), samples)


@pytest.mark.parametrize("objective", ["nvil", "reinforce"])
@pytest.mark.parametrize(
    ("layers", "samples"), [(LINEAR, 1), (LINEAR, 2), ("3b 2b 1b", 3), ("3g 2b 2b", 1), ("3g 2b 2b", 2), ("3b 3b", 2)]
)
def test_score_functions_climb_the_evidence_lower_bound(objective: str, layers: str, samples: int) -> None:
    """With a baseline far from log w, which must not show."""
    checks.check_score_function(objective, machine_of(layers), samples)


@pytest.mark.parametrize("activation", ["tanh", "relu", "softplus"])
@pytest.mark.parametrize("objective", ["vimco", "nvil", "reinforce"])
def test_score_functions_through_nets(objective: str, activation: str) -> None:
    checks.check_score_function(objective, machine_of(LINEAR, DEEP, activation), 2)


def test_scaled_kl_terms_of_binary_layers() -> None:
    checks.check_warm_up_of_binary_layers()


@pytest.mark.parametrize("objective", ["vimco", "nvil"])
@pytest.mark.parametrize("layers", checks.MIXED)
def test_mixed_machines_take_pathwise_and_score(layers: str, objective: str) -> None:
    checks.check_mixed(layers, objective)


def test_reinforce_on_gaussian_and_mixed_layers() -> None:
    checks.check_reinforce_on_gaussian_layers()


def test_reweighted_wake_sleep_awake() -> None:
    checks.check_reweighted_wake()


def test_reweighted_wake_sleep_awake_on_gaussian_layers() -> None:
    """The same under fixed noise: both wake phases are derivatives at fixed samples."""
    machine = machine_of("3g 2g 1b")
    case = every_tuple(machine, rows_of(machine), 2)
    found = checks.expected_gradient(machine, case, DirectedSettings(objective="rws", samples=2, sleep_share=0.0))
    checks.assert_slopes(found, checks.weighted(case, machine), machine)


def test_sleep_phase_learns_from_every_dream() -> None:
    checks.check_sleep_expectation()


def test_shares_of_wake_and_sleep() -> None:
    checks.check_shares_of_wake_and_sleep()


def test_wake_sleep_awake_is_the_gradient_of_the_expected_log_p() -> None:
    machine = machine_of(LINEAR, [[2], []])
    for samples in (1, 2):
        case = every_tuple(machine, BITS, samples)
        found = checks.expected_gradient(machine, case, DirectedSettings(objective="wake-sleep", samples=samples))
        for side in ("generative", "prior"):  # the entropy of q does not depend on theta
            checks.assert_slopes(found, expected(case, oracle.elbo), machine, side)


def test_dreg_is_unbiased_in_one_layer() -> None:
    checks.check_dreg_is_unbiased()


def test_dreg_is_unbiased_in_two_layers() -> None:
    """By quadrature on twelve nodes in each of four dimensions, whose own error is near 3e-9."""
    checks.check_unbiased(machine_of("3b 1g 1g", scale=0.25), 12, 0.4, 1e-8)


def test_sticking_the_landing_is_unbiased() -> None:
    """By quadrature, one and two layers; what it leaves out of the recognition gradient has expectation zero."""
    for layers, nodes, samples in (("3b 1g", 40, 1), ("3g 1g 1g", 30, 1)):
        machine = machine_of(layers, scale=0.3)
        case = checks.quadrature(machine, rows_of(machine)[:2], samples, nodes)
        found = checks.expected_gradient(machine, case, DirectedSettings(objective="stl", samples=samples))
        checks.assert_slopes(found, expected(case, oracle.elbo), machine)


# ---------------------------------------------------------------- the bounds themselves


@pytest.mark.parametrize("layers", [LINEAR, "3g 2b 2b"])
def test_importance_bounds_rise_to_the_log_likelihood(layers: str) -> None:
    """E[L_k] from the library's log-weights of every state: rises with k, and its gap becomes var(w / p) / 2k."""
    machine = machine_of(layers, DEEP)
    for row in rows_of(machine)[:3]:
        log_w, q = laws.every_weight(machine, row)
        truth = float(oracle.log_evidence(Directed.of(machine), row[None])[0])
        assert abs(q.sum() - 1) < 1e-12 and abs(logsumexp(log_w, b=q) - truth) < 1e-12
        counts = (1, 2, 3, 4, 10, 100, 10**3, 10**5)
        bounds = [oracle.importance_bound(log_w, q, k) for k in counts]
        assert (np.diff([*bounds, truth]) > 0).all()
        spread = float(q @ (np.exp(log_w - truth) - 1) ** 2)
        assert abs((truth - bounds[-1]) * 2e5 / spread - 1) < 1e-2
        assert abs(bounds[0] - q @ log_w) < 1e-11
        for k, bound in zip(counts[1:4], bounds[1:4], strict=True):
            picks = np.indices((len(q),) * k).reshape(k, -1)
            by_hand = np.prod(q[picks], axis=0) @ (logsumexp(log_w[picks], axis=0) - np.log(k))
            assert abs(bound - by_hand) < 1e-10


# ---------------------------------------------------------------- weights and baselines


def test_weights_of_rows_in_order() -> None:
    a = np.arange(12.0).reshape(4, 3)
    weights = Weights(a, None, -a, 2 * a).over(4)
    assert weights.b is None and (weights.a == a / 4).all() and weights.score is not None
    some = weights.of(slice(1, 3), np.float32)
    assert some.b is None and some.a.dtype == np.float32 and some.a.tolist() == [x / 4 for x in range(3, 9)]
    assert some.score is not None and (some.score == 2 * some.a).all() and (some.fixed == -some.a).all()
    assert (Weights(a, a, None).fixed == -a).all()


def test_a_baseline_does_not_know_the_sample_it_is_used_on() -> None:
    """The value belongs to what earlier steps learned; then it learns: c a running mean, C by one step of Adam."""
    machine = machine_of(LINEAR)
    baseline = Baseline(True, 0.01)
    rng = np.random.default_rng(4)
    found = []
    for log_w in rng.normal(-3, 1, (2, 3, 5)):
        state = checks.baseline_state(machine, True)
        before = {name: x.copy() for name, x in state.items()}
        found.append(baseline.value(machine, state, BITS, log_w, CLOCK))
        mean = float(before["baseline/mean"][0])
        assert state["baseline/mean"][0] == pytest.approx(mean + (1 - DECAY) * (log_w.mean() - mean), abs=1e-14)
        assert (state["baseline/arena"] != before["baseline/arena"]).any()
    assert (found[0] == found[1]).all() and (found[0] != found[0][0]).any()


def test_the_baseline_net_climbs_towards_log_w() -> None:
    """First moments of Adam from zero are 0.1 g: g must be the slope of -(target - C(x))^2 / 2, averaged over rows."""
    machine = machine_of(LINEAR)
    state = checks.baseline_state(machine, True)
    log_w = np.random.default_rng(5).normal(-3, 1, (3, 4))
    net = Baseline(True, 0.01).net(machine)
    shapes, start = net.shapes("baseline"), state["baseline/arena"].copy()
    target = log_w.mean(axis=1) - state["baseline/mean"][0]
    params, first = {}, 0
    for name, shape in shapes.items():
        params[name] = start[first : first + int(np.prod(shape))].reshape(shape)
        first += int(np.prod(shape))

    def value(moved: Directed) -> object:
        return -np.mean((target - oracle.outputs(moved, "baseline", BITS)[:, 0]) ** 2) / 2

    constant = Baseline(True, 0.01).value(machine, state, BITS, log_w, CLOCK)
    fitted = oracle.outputs(Directed((), params), "baseline", BITS)[:, 0]
    np.testing.assert_allclose(constant, -1.7 + fitted, rtol=0, atol=1e-12)
    slopes = state["baseline/first"] / 0.1
    for name, direction, slope in oracle.slopes(value, Directed((), params)):
        first = sum(int(np.prod(shapes[n])) for n in list(shapes)[: list(shapes).index(name)])
        found = slopes[first : first + direction.size].reshape(direction.shape)
        assert abs(np.sum(found * direction) - slope) < 1e-12, name


def test_baselines_start_at_the_mean_log_weight_and_belong_to_two_objectives() -> None:
    for objective, names in (("nvil", {"mean", "arena", "first", "second"}), ("reinforce", {"mean"}), ("vimco", set())):
        machine = sbn([3, 2, 2], seed=1)
        state = Variational(DirectedSettings(objective=objective, samples=2)).init(machine, BITS, CLOCK.key, len(BITS))
        assert set(state) == {f"baseline/{name}" for name in names}
    constant = vae([3], 2).astype(np.float64)
    constant.arena[...] = 0  # log w is log p(v) = 3 log 1/2 whatever is drawn
    state = Variational(DirectedSettings(objective="reinforce")).init(
        constant, np.tile(BITS, (30, 1)), CLOCK.key, 30 * len(BITS)
    )
    assert state["baseline/mean"][0] == pytest.approx(3 * np.log(0.5), abs=1e-12)


def test_the_case_of_these_tests_is_a_distribution() -> None:
    """Test of the test: probabilities of the tuples of each row sum to one."""
    for layers in (LINEAR, "3b 2g 2b"):
        machine = machine_of(layers)
        case: Case = every_tuple(machine, BITS, 2)
        assert abs(case.probability(Directed.of(machine)).sum() - 1) < 1e-12
    grid = checks.quadrature(machine_of("3b 1g 2b"), BITS, 1, 9)
    assert abs(grid.probability(Directed.of(machine_of("3b 1g 2b"))).sum() - 1) < 1e-12
    assert SERIAL.count == 1
