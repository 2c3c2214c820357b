"""Catches digits that do not follow the error: two significant ones of it, and as many decimals of the value."""

from __future__ import annotations

import numpy as np
import pytest

import boltz
from boltz.estimators.estimate import Estimate, exact
from boltz.estimators.words import digits, ends_of, errors_of, figure, in_words, small, value_of


@pytest.mark.parametrize(
    ("error", "wanted", "shown"),
    [(0.0, 4, "0.0000"), (np.inf, 2, "inf"), (7.3, 2, "7.30"), (0.79, 2, "0.79"), (0.1, 2, "0.10"),
     (0.0671, 3, "0.067"), (0.0099, 4, "0.0099"), (0.001, 4, "0.0010"), (1.3e-5, 6, "0.000013"), (1e-9, 6, "0.000000")],
)  # fmt: skip
def test_an_error_has_two_digits_that_say_something(error: float, wanted: int, shown: str) -> None:
    assert digits(error) == wanted and small(error) == shown


def test_a_value_has_the_digits_of_its_error() -> None:
    assert figure(-84.67215, 0.0012) == "-84.6721" or figure(-84.67215, 0.0012) == "-84.6722"
    assert figure(-84.67215, 0.3) == "-84.67" and figure(-84.67215, np.inf) == "-84.67"


def of_rows(error: float, rows: int, kind: str = "upper") -> Estimate:
    of_all = 0.7912 if rows > 1 else np.inf
    ends = (-86.2291, -83.1129) if rows > 1 else (-np.inf, np.inf)
    return Estimate(-84.671, error, ends, kind, 69, 100, 9, per_row=np.zeros(rows), standard_error_rows=of_all)  # type: ignore[arg-type]


def test_an_estimate_says_which_error_is_which() -> None:
    told = "-84.671 nats +- 0.067 (estimation) +- 0.79 (2,000 rows), 95 % interval -86.23 to -83.11"
    assert in_words(of_rows(0.0671, 2000)) == told
    assert in_words(of_rows(0.0, 2000, "exact")) == (
        "-84.67 nats, exact +- 0.79 (2,000 rows), 95 % interval -86.23 to -83.11"
    )
    assert errors_of(of_rows(0.0671, 1)) == "+- 0.067 (estimation) (one row tells nothing of others)"
    assert "interval" not in in_words(of_rows(0.0671, 1)), "from minus to plus infinity says nothing"


def test_without_rows_there_is_one_error() -> None:
    log_z = Estimate(1121.0266, 0.0671, (1120.8937, 1121.1597), "lower", 69, 100, 9)
    assert in_words(log_z) == "1121.027 nats +- 0.067, 95 % interval 1120.894 to 1121.160"
    assert ends_of(log_z) == ("1120.894", "1121.160") and value_of(log_z) == "1121.027"
    assert in_words(exact(3.0, "sums")) == "3.0000 nats, exact"
    assert in_words(boltz.exact_log_z(boltz.rbm(3, 2))).endswith("nats, exact")
