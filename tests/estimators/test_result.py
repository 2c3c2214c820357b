"""Catches estimates with wrong intervals or trust, bounds that add up to no bound, and plain values that lose any."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from scipy.stats import t as student
from support import calibration, stats

from boltz.estimators import estimate
from boltz.estimators.estimate import Estimate, from_log_weights, interval, kind_of_difference, kind_of_sum

# an error may be negative, may be positive: what each kind allows, in expectation
ALLOWED = {"exact": (False, False), "lower": (True, False), "upper": (False, True), "none": (True, True)}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ALLOWED, repeat=2)))
def test_kinds_of_sums_and_differences_allow_what_their_terms_allow(first: str, second: str) -> None:
    a, b = ALLOWED[first], ALLOWED[second]
    assert ALLOWED[kind_of_sum(first, second)] == (a[0] or b[0], a[1] or b[1])  # type: ignore[arg-type]
    assert ALLOWED[kind_of_difference(first, second)] == (a[0] or b[1], a[1] or b[0])  # type: ignore[arg-type]


def test_a_mean_weight_its_error_and_effective_number_by_hand() -> None:
    """Weights 1, 2, 3, 4 times e^1000: log mean 1000 + log 2.5, sd/mean/2 = 0.2582, (10^2)/30 effective."""
    found = from_log_weights(1000 + np.log([1.0, 2, 3, 4]), 7, "by hand")
    assert found.value == pytest.approx(1000 + np.log(2.5), abs=1e-12)
    assert found.standard_error == pytest.approx(np.std([1, 2, 3, 4], ddof=1) / 2.5 / 2, rel=1e-10)
    assert found.ess == pytest.approx(100 / 30, rel=1e-10)
    reach = student.ppf(0.975, 3) * found.standard_error
    assert found.interval == pytest.approx((found.value - reach, found.value + reach), abs=1e-12)
    assert (found.kind, found.chains, found.steps, found.method) == ("lower", 4, 7, "by hand")
    assert found.per_row is None and not found.trusted


@pytest.mark.parametrize("chains", [99, 100, 1000])
@pytest.mark.parametrize("share", [0.29, 0.31, 1.0])
def test_trust_needs_a_hundred_chains_of_which_three_tenths_are_effective(chains: int, share: float) -> None:
    """Weights 1 for a share of the chains and almost 0 for the rest: that share is the effective one."""
    ones = round(share * chains)
    found = from_log_weights(np.where(np.arange(chains) < ones, 0.0, -800.0), 1, "")
    assert found.ess == pytest.approx(ones)
    assert found.trusted == (chains >= 100 and ones >= 0.3 * chains)


def test_equal_weights_have_no_error() -> None:
    found = from_log_weights(np.full(100, -3.5), 1, "")
    assert found.value == pytest.approx(-3.5, abs=1e-14) and found.standard_error == pytest.approx(0, abs=1e-14)
    assert found.ess == pytest.approx(100) and found.trusted


def test_a_single_weight_has_an_infinite_error_and_plain_values_say_none() -> None:
    found = from_log_weights(np.array([2.0]), 1, "")
    assert found.value == 2 and found.standard_error == np.inf and found.interval == (-np.inf, np.inf)
    assert not found.trusted
    plain = found.as_dict()
    assert plain["standard_error"] is None and plain["interval"] == [None, None] and plain["value"] == 2


def test_an_exact_estimate() -> None:
    found = estimate.exact(-1.25, "sums")
    assert (found.value, found.standard_error, found.interval) == (-1.25, 0.0, (-1.25, -1.25))
    assert found.kind == "exact" and found.trusted and found.chains == found.steps == 0
    assert found.standard_error_rows == 0 and found.per_row is None and len(found.log_weights) == 0


def test_plain_values_are_json_with_the_promised_keys() -> None:
    for found in (estimate.exact(1.0, ""), from_log_weights(np.arange(5.0), 3, "")):
        text = json.dumps(found.as_dict(), allow_nan=False)
        assert list(json.loads(text)) == [
            "value",
            "standard_error",
            "standard_error_rows",
            "interval",
            "kind",
            "ess",
            "chains",
            "steps",
            "trusted",
            "doubts",
        ]
        assert json.loads(text)["interval"] == pytest.approx(list(found.interval))


def test_an_estimate_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        estimate.exact(1.0, "").value = 2.0  # type: ignore[misc]
    assert isinstance(estimate.exact(1.0, ""), Estimate)


def test_intervals_of_few_values_are_wider() -> None:
    assert interval(1.0, 0.5, 2) == pytest.approx((1 - 0.5 * 12.706, 1 + 0.5 * 12.706), abs=1e-3)
    assert interval(1.0, 0.5, 10**6) == pytest.approx((1 - 0.98, 1 + 0.98), abs=1e-3)
    assert interval(1.0, 0.0, 10) == (1.0, 1.0)


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_intervals_of_log_normal_weights_cover_the_truth(spread: float) -> None:
    """8,000 estimates from 1,000 weights each, log Z = 0, where the gate trusts; coverage from 0.92 to 0.98.

    alpha 1e-6; catches a lost square root, a reach of one standard error, one that is 0.8 or 1.4 of the right one.
    """
    rng, trials = np.random.default_rng(6), 8_000
    hits = trusted = 0
    for _ in range(trials):
        found = from_log_weights(rng.normal(-(spread**2) / 2, spread, 1000), 1, "")
        hits, trusted = hits + (found.interval[0] <= 0 <= found.interval[1]), trusted + found.trusted
    stats.accept(calibration.coverage_test(hits, trials), f"intervals cover {hits / trials:.3f}")
    assert trusted > 0.9 * trials
    assert calibration.detectable_coverage(trials, 0.883) and calibration.detectable_coverage(trials, 0.993)
