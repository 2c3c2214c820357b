"""Catches independent units or mixtures of products that differ from enumeration or from a known law."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import boltz
from boltz.estimators.simple_models import Beyond
from boltz.models import products

RNG = np.random.default_rng(3)
STATES = np.array(list(itertools.product([0, 1], repeat=6)), np.float32)
PATTERNS = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], np.float32)


def drawn(count: int, seed: int, noise: float = 0.1) -> np.ndarray:
    """Rows (count, 6), each a noisy copy of one of two patterns."""
    rng = np.random.default_rng(seed)
    return np.abs(PATTERNS[rng.integers(0, 2, count)] - (rng.random((count, 6)) < noise)).astype(np.float32)


def law(rows: np.ndarray, noise: float = 0.1) -> float:
    """Mean log-probability of rows under the law that they are drawn from."""
    flips = np.abs(rows[:, None, :] - PATTERNS).sum(axis=2)
    return float(np.log((noise**flips * (1 - noise) ** (6 - flips)).mean(axis=1)).mean())


@pytest.mark.parametrize("model", [products.independent(drawn(50, 1)), products.mixture(drawn(50, 1), 5, 0)])
def test_probabilities_sum_to_one(model: products.Products) -> None:
    assert np.exp(model.log_prob(STATES)).sum() == pytest.approx(1, abs=1e-5)


def test_independent_units_are_counted() -> None:
    """Three rows of four units by hand: (ones + 1/2) / (rows + 1)."""
    rows = np.array([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]], np.float32)
    rates = np.array([3.5, 1.5, 1.5, 0.5]) / 4
    found = boltz.independent_units(rows, rows[:1])
    assert found.kind == "exact" and found.value == pytest.approx(
        np.log(rates[0] * (1 - rates[1]) * rates[2] * (1 - rates[3])), abs=1e-6
    )


def test_fair_coins_cost_log_two_each() -> None:
    rows = np.concatenate([STATES, STATES])
    assert boltz.independent_units(rows, rows).value == pytest.approx(-6 * np.log(2), abs=1e-6)


def test_a_mixture_finds_patterns() -> None:
    """Near the law itself, 6 H(0.1) + log 2 = 2.64 nats; independent units need 6 log 2 = 4.16.

    On 2,000 rows the mean under the law has a standard error of 0.04; both are measured on the same rows.
    """
    train, test = drawn(2000, 1), drawn(2000, 2)
    truth, alone = law(test), boltz.independent_units(train, test).value
    found = boltz.mixture_of_products(train, test).value
    assert alone < truth - 1.2
    assert truth - 0.1 < found


def test_a_mixture_beats_independent_units_on_few_rows() -> None:
    """The rates of all rows stand behind each component, so that few rows do not ruin it."""
    train, test = drawn(20, 1), drawn(2000, 2)
    assert boltz.mixture_of_products(train, test).value > boltz.independent_units(train, test).value


def test_grey_rows_have_no_likelihood() -> None:
    with pytest.raises(boltz.InputError, match="x must hold 0 and 1"):
        boltz.independent_units(STATES, STATES * 0.5)
    with pytest.raises(boltz.InputError, match="x must have shape"):
        boltz.independent_units(STATES[:, :3], STATES)


@pytest.mark.parametrize(
    ("change", "trusted", "kind", "words"),
    [
        (0.0, True, "exact", "has learnt nothing beyond independent units (+0.00 nats a row)"),
        (0.05, True, "exact", "has learnt nothing beyond independent units"),
        (1.0, True, "exact", "is 1.00 nats a row better than independent units"),
        (1.0, False, "lower", "is at least 1.00 nats a row better than independent units"),
        (1.0, False, "none", "whose value is not trusted, is 1.00 nats a row better"),
        (-3.0, True, "exact", "is 3.00 nats a row worse than independent units"),
    ],
)
def test_the_verdict(change: float, trusted: bool, kind: str, words: str) -> None:
    train, test = drawn(2000, 1), drawn(500, 2)
    beyond = Beyond.of(train, test)
    assert beyond.mixture.value - beyond.independent.value > 1.2  # a tenth of that is nothing
    estimate = {"standard_error": 0.0, "trusted": trusted, "kind": kind}
    said = beyond.verdict(beyond.independent.per_row + change, estimate, "It")
    assert words in said and "a mixture of 20 products is" in said and " better than them" in said
    gain = beyond.mixture.value - beyond.independent.value
    if abs(change) >= 1:
        most = "at most " if kind == "lower" else ""
        assert said.endswith(f" {gain:.2f} better than them, {most}{gain - change:.2f} better than It.")


def test_few_rows_do_not_tell() -> None:
    train, test = drawn(2000, 1), drawn(4, 2)
    beyond = Beyond.of(train, test)
    per_row = beyond.independent.per_row + np.array([4.0, -3.0, 2.0, 1.0])
    said = beyond.verdict(per_row, {"standard_error": 0.0, "trusted": True, "kind": "exact"})
    assert "cannot be told from independent units by so few rows (+1.00 +-" in said
