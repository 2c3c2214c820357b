"""Catches measures of mixing that are wrong for chains of known time, for direct sums, or chains that stand still."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checks.chains import autoregressive, slow_ess, slow_nested, slow_rhat, slow_time
from support.stats import accept, detectable_mean, mean_test

import boltz
from boltz.sampling.convergence import nested_rhat

MEASURES: dict[str, Callable[[Any], float]] = {
    "integrated_time": boltz.integrated_time,
    "split_rhat": boltz.split_rhat,
    "chain_ess": boltz.chain_ess,
}
SLOW: dict[str, Callable[[Any], float]] = {
    "integrated_time": slow_time,
    "split_rhat": slow_rhat,
    "chain_ess": slow_ess,
}


@pytest.mark.parametrize("a", [-0.5, 0.0, 0.6])
@pytest.mark.parametrize("shape", [(3, 200), (2, 61), (1, 8)])
@pytest.mark.parametrize("name", MEASURES)
def test_measures_are_their_direct_sums(name: str, shape: tuple[int, int], a: float) -> None:
    x = autoregressive(*shape, a, 10) + 0.2 * np.arange(shape[0])[:, None]
    found, wanted = MEASURES[name](x), SLOW[name](x)
    shown = name != "integrated_time" or 50 * wanted <= x.size
    np.testing.assert_allclose(found, wanted if shown else np.inf, rtol=1e-9)


@pytest.mark.parametrize("groups", [2, 3])
def test_nested_rhat_is_its_direct_sum(groups: int) -> None:
    x = np.random.default_rng(7).normal(size=(groups, 4, 10)) + np.arange(groups)[:, None, None]
    np.testing.assert_allclose(nested_rhat(x), slow_nested(x), rtol=1e-12)
    one = x[:, :1]  # a single chain a group leaves the spread within it
    spread = np.var(one, axis=2, ddof=1).mean()
    between = np.var(one.mean(axis=(1, 2)), ddof=1)
    np.testing.assert_allclose(nested_rhat(one), np.sqrt(1 + between / spread), rtol=1e-12)


@pytest.mark.parametrize("a", [0.5, 0.9])
def test_time_and_effective_draws_of_autoregressive_chains(a: float) -> None:
    """False alarm 1e-6 each; a time that lacks its factor 2 is caught.

    The relative variance of a time summed over a window of 5 times is 20 time / draws (Sokal 1997, eq. 3.19); what lies
    beyond the window is a share below exp(-9).
    """
    chains, draws, time = 20, 10_000, (1 + a) / (1 - a)
    variance = 20 * time / (chains * draws)
    assert detectable_mean(1, 1 - (1 + time) / (2 * time), variance)
    x = autoregressive(chains, draws, a, 11)
    accept(mean_test([boltz.integrated_time(x) / time], 1, variance), "wrong integrated time")
    accept(mean_test([chains * draws / boltz.chain_ess(x) / time], 1, variance), "wrong effective number of draws")


def test_a_time_longer_than_the_run_can_show_is_infinite() -> None:
    """Chains of 500 draws with a time of 199: their correlation does not fall far enough for the window to close."""
    x = autoregressive(20, 500, 0.99, 12)
    assert boltz.integrated_time(x) == np.inf
    assert np.isfinite(boltz.integrated_time(autoregressive(20, 500, 0.5, 12)))
    one = autoregressive(1, 60, 0.5, 13)  # a time of 3 fits 20 times into 60 draws, but not 50 times
    assert boltz.integrated_time(one) == np.inf


@pytest.mark.parametrize("value", [0.0, -3.7, 1e-300, 1e15])
def test_what_never_changes_counts_as_mixed(value: float) -> None:
    x = np.full((5, 20), value)
    assert boltz.split_rhat(x) == 1 and boltz.integrated_time(x) == 1 and boltz.chain_ess(x) == 100
    assert nested_rhat(np.full((2, 3, 10), value)) == 1


@pytest.mark.filterwarnings("error")
def test_huge_numbers_do_not_overflow() -> None:
    x = autoregressive(4, 200, 0.5, 1)
    for measure in (boltz.integrated_time, boltz.split_rhat, boltz.chain_ess):
        np.testing.assert_allclose(measure(x * 1e200), measure(x), rtol=1e-9)


def test_chains_that_stand_still_apart_are_seen() -> None:
    x = np.repeat(np.arange(5.0)[:, None] * 0.1, 20, axis=1)
    assert boltz.split_rhat(x) == np.inf and boltz.integrated_time(x) == np.inf
    assert 4.9 < boltz.chain_ess(x) < 5.5, "about one draw a chain"
    assert nested_rhat(np.repeat([0.0, 1.0], 30).reshape(2, 3, 10)) == np.inf


def test_a_common_drift_is_seen() -> None:
    """All chains alike, but their halves differ: R-hat without the split would be 1."""
    x = autoregressive(4, 100, 0.0, 14) + np.linspace(0, 4, 100)
    assert boltz.split_rhat(x) > 1.2


@pytest.mark.parametrize("name", MEASURES)
def test_order_and_units_do_not_matter(name: str) -> None:
    x = autoregressive(4, 200, 0.3, 15)
    found = MEASURES[name](x)
    for other in (x[::-1], 3 - 2 * x, x[:, ::-1], x.tolist()):
        np.testing.assert_allclose(MEASURES[name](other), found, rtol=1e-9)


BAD: dict[str, tuple[Any, str]] = {
    "a row": (np.zeros(8), "shape"),
    "no chains": (np.zeros((0, 8)), "at least one chain"),
    "few draws": (np.zeros((2, 3)), "at least 4 draws"),
    "nan": (np.array([[0, 1, np.nan, 2.0]]), "finite"),
    "words": ([["a", "b", "c", "d"]], "real numbers"),
    "none": (None, "real numbers"),
}


@pytest.mark.parametrize("form", BAD)
@pytest.mark.parametrize("name", MEASURES)
def test_bad_input_is_refused_by_name(name: str, form: str) -> None:
    value, words = BAD[form]
    with pytest.raises(boltz.InputError, match=f"^x .*{words}"):
        MEASURES[name](value)


@pytest.mark.parametrize("shape", [(1, 3, 4), (2, 3, 1), (2, 0, 4), (2, 8)])
def test_groups_that_are_none_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(boltz.InputError, match=r"^x must "):
        nested_rhat(np.zeros(shape))
