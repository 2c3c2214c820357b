"""Catches a registered conditional whose densities do not sum to one, or whose scores, draws or paths are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import directed_nets as checks
from scipy.special import expit
from support import stats

from boltz.nn.conditionals import CONDITIONALS, Conditional

STREAM = (21, 22, 23)
STEP = 1e-6


@pytest.fixture(params=CONDITIONALS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def conditional(kind: str) -> Conditional:
    return CONDITIONALS[kind]


def support(conditional: Conditional) -> tuple[np.ndarray, float]:
    """States (n, 1) of one unit and their mass: 0 and 1, or a fine grid where draws are smooth."""
    if not conditional.reparameterised:
        return np.array([[0.0], [1.0]]), 1.0
    grid = np.linspace(-60, 60, 24_001)
    return grid[:, None], float(grid[1] - grid[0])


def draw(conditional: Conditional, field: Any, bias: Any, rows: Any, units: int) -> tuple[Any, Any]:
    state, offset = (np.full((len(rows), units), np.nan, field.dtype) for _ in range(2))
    conditional.sample((field, bias), STREAM, rows, state, offset)
    return state, offset


def test_log_densities_by_scipy_and_scores_by_complex_steps() -> None:
    checks.check_scores()


def test_slopes_by_the_state() -> None:
    checks.check_state_slopes()


def test_paths_of_draws_at_fixed_noise() -> None:
    checks.check_paths_of_draws()


def test_tables_by_scipy() -> None:
    checks.check_tables()


def test_densities_sum_to_one_and_have_the_mean(kind: str, conditional: Conditional) -> None:
    field, bias = checks.head_of(kind, 9, 1)
    states, mass = support(conditional)
    p = np.exp(conditional.table(field, bias, states)) * mass
    np.testing.assert_allclose(p.sum(axis=0), 1, rtol=0, atol=1e-10)
    np.testing.assert_allclose(states[:, 0] @ p, conditional.mean(field, bias)[:, 0], rtol=0, atol=1e-10)


def test_the_score_is_the_derivative_of_the_log_density(kind: str, conditional: Conditional) -> None:
    """Central differences of what score itself adds, at given states."""
    field, bias = checks.head_of(kind, 5, 2)
    state = checks.states_of(kind, 5, 2)

    def log_density(moved: np.ndarray) -> np.ndarray:
        found = np.zeros(5)
        conditional.score(moved.copy(), bias, state, found)
        return found

    score = field.copy()
    conditional.score(score, bias, state, np.zeros(5))
    for i in range(field.shape[1]):
        change = STEP * (np.arange(field.shape[1]) == i)
        slope = (log_density(field + change) - log_density(field - change)) / (2 * STEP)
        np.testing.assert_allclose(score[:, i], slope, rtol=0, atol=1e-7)


def test_the_path_is_the_derivative_of_the_draw(kind: str, conditional: Conditional) -> None:
    """Central differences of draws from the same stream."""
    if not conditional.reparameterised:
        return
    field, bias = checks.head_of(kind, 5, 2)
    rows, out = np.arange(5), np.empty(field.shape)
    signal = np.random.default_rng(8).normal(size=(5, 2))
    conditional.path(signal, draw(conditional, field, bias, rows, 2)[1], out)
    for i in range(field.shape[1]):
        change = STEP * (np.arange(field.shape[1]) == i)
        up, down = (draw(conditional, field + sign * change, bias, rows, 2)[0] for sign in (1, -1))
        np.testing.assert_allclose(out[:, i], np.sum(signal * (up - down), axis=1) / (2 * STEP), rtol=0, atol=1e-7)


def test_only_what_is_said_to_change_changes(kind: str, conditional: Conditional) -> None:
    """Arguments that cannot be written are not; the score alone takes the place of its field."""
    field, bias = checks.head_of(kind, 4, 3)
    state = checks.states_of(kind, 4, 3)
    given = (field, bias, state)
    before = [x.copy() for x in given]
    for x in given:
        x.flags.writeable = False
    conditional.mean(field, bias)
    conditional.table(field, bias, state)
    draw(conditional, field, bias, np.arange(4), 3)
    score = field.copy()
    conditional.score(score, bias, state, np.zeros(4))
    assert all((x == old).all() for x, old in zip(given, before, strict=True)) and (score != field).any()


def test_draws_belong_to_chain_numbers(kind: str, conditional: Conditional) -> None:
    """The draws of a row depend on its number alone, not on the rows beside it."""
    field, bias = checks.head_of(kind, 8, 3)
    numbers = np.array([3, 500, 7, 2**31, 0, 1, 90, 4])
    whole = draw(conditional, field, bias, numbers, 3)[0]
    for part in (slice(0, 3), slice(3, 8)):
        assert (draw(conditional, field[part], bias, numbers[part], 3)[0] == whole[part]).all()
    other = draw(conditional, np.zeros_like(field), bias * 0, numbers + 1, 3)[0]
    assert (other != draw(conditional, np.zeros_like(field), bias * 0, numbers, 3)[0]).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_draws_follow_the_density(kind: str, conditional: Conditional, dtype: Any) -> None:
    """Chi-square of 100,000 draws in each of ten heads against the cells of the density; alpha 1e-6 in all.

    Catches a scale or a probability that is off by 5 %, a bias that is left out, coarse random numbers.
    """
    rows, heads = 100_000, 10
    field, bias = checks.head_of(kind, heads, 1)
    states, mass = support(conditional)
    density = np.exp(conditional.table(field, bias, states)) * mass
    p_values = []
    for i in range(heads):
        many = np.repeat(field[[i]], rows, axis=0).astype(dtype)
        state, _ = draw(conditional, many, bias.astype(dtype), np.arange(rows) + i * rows, 1)
        assert state.dtype == dtype
        if conditional.reparameterised:
            edges = np.interp(np.linspace(0, 1, 17)[1:-1], np.cumsum(density[:, i]), states[:, 0] + mass / 2)
            cells, p = np.searchsorted(edges, state[:, 0]), np.full(16, 1 / 16)
        else:
            cells, p = state[:, 0].astype(np.int64), density[:, i] / density[:, i].sum()
        p_values.append(stats.chi_square(np.bincount(cells, minlength=len(p)), p))
    assert stats.detectable_binomial(rows, 0.5, 0.525, heads), "a probability that is off by 5 %"
    stats.accept(stats.smallest_of(p_values), f"draws of {kind} do not follow its density")


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_extreme_outputs_stay_finite(kind: str, conditional: Conditional, dtype: Any) -> None:
    """Logits up to 1e4, and log sigmas up to 20, without overflow; log-densities of the likely states near exact."""
    largest = 20.0 if conditional.reparameterised else 1e4
    values = np.array([0.0, 1.0, -1.0, largest, -largest], dtype)
    field = np.stack([values] * conditional.outputs(1), axis=1)
    bias, rows = np.zeros(conditional.outputs(1), dtype), np.arange(5)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        state, offset = draw(conditional, field, bias, rows, 1)
        score, log_density = field.copy(), np.zeros(5)
        conditional.score(score, bias, state, log_density)
        table = conditional.table(field, bias, state)
        conditional.path(np.ones((5, 1), dtype), offset, np.empty_like(field))
        mean = conditional.mean(field, bias)
    assert all(np.isfinite(x).all() for x in (state, score, log_density, table, mean))
    # the table is exact for the states that were drawn, whose own rounding a tiny sigma would blow up
    keep = slice(0, 4) if conditional.reparameterised and dtype is np.float32 else slice(None)
    relative = 1e-4 if dtype is np.float32 else 1e-9
    np.testing.assert_allclose(log_density[keep], np.diag(table)[keep], rtol=relative, atol=1e-30)


def test_binary_log_densities_at_extreme_logits() -> None:
    """Both states at logits of +-40 and +-1e4: the unlikely one has the logit itself as its log-density."""
    logits = np.array([[40.0], [-40.0], [1e4], [-1e4]])
    for state in (0.0, 1.0):
        found, score = np.zeros(4), logits.copy()
        CONDITIONALS["bernoulli"].score(score, np.zeros(1), np.full((4, 1), state), found)
        likely = (logits[:, 0] > 0) == bool(state)
        wanted = np.where(likely, -np.exp(-np.abs(logits[:, 0])), -np.abs(logits[:, 0]))
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-16)
        np.testing.assert_allclose(score[:, 0], state - expit(logits[:, 0]), rtol=0, atol=1e-16)


def test_a_nan_output_gives_a_nan_state(kind: str, conditional: Conditional) -> None:
    field, bias = checks.head_of(kind, 3, 2)
    field[1] = np.nan
    state, _ = draw(conditional, field, bias, np.arange(3), 2)
    log_density = np.zeros(3)
    conditional.score(field, bias, state, log_density)
    assert np.isnan(state[1]).all() and np.isnan(log_density[1]) and np.isfinite(state[[0, 2]]).all()


def test_it_is_documented_with_its_outputs(conditional: Conditional) -> None:
    assert type(conditional).__doc__
    for units in (1, 7):
        assert conditional.outputs(units) == units * conditional.outputs(1) >= units
