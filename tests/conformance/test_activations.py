"""Catches a registered activation with a wrong slope, one that is not in place, or one that fails at extreme fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import directed as oracle

from boltz.nn.dense import ACTIVATIONS

NONE = np.zeros(4)  # biases
FIELDS = np.array([[0.3, -1.7, 2.5, -4.0], [1e-3, -1e-3, 11.0, -11.0]])
EXTREME = np.array([[0.0, -0.0, 40.0, -40.0, 1e4, -1e4]])


@pytest.fixture(params=ACTIVATIONS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_the_oracle_knows_it(name: str) -> None:
    assert name in oracle.ACTIVATIONS, "give tests/oracles/directed.py the formula of the activation"


def test_values_are_those_of_the_formula(name: str, dtype: Any) -> None:
    found = FIELDS.astype(dtype)
    assert ACTIVATIONS[name][0](found, NONE.astype(dtype)) is None and found.dtype == dtype
    wanted = oracle.ACTIVATIONS[name](FIELDS.astype(dtype).astype(np.float64))
    np.testing.assert_allclose(found, wanted, rtol=1e-5 if dtype is np.float32 else 1e-13, atol=1e-15)


def test_the_slope_follows_from_the_value(name: str, dtype: Any) -> None:
    value, delta = FIELDS.astype(dtype), np.array([[1.0, -2.0, 0.5, 3.0]] * 2, dtype)
    wanted = delta * np.imag(oracle.ACTIVATIONS[name](value.astype(complex) + 1j * oracle.STEP)) / oracle.STEP
    start, slope = ACTIVATIONS[name]
    start(value, NONE.astype(dtype))
    kept = value.copy()
    assert slope(value, delta) is None and (value == kept).all() and delta.dtype == dtype
    np.testing.assert_allclose(delta, wanted, rtol=0, atol=1e-5 if dtype is np.float32 else 1e-14)


def test_extreme_fields_overflow_nowhere(name: str, dtype: Any) -> None:
    value, delta = EXTREME.astype(dtype), np.ones(EXTREME.shape, dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        ACTIVATIONS[name][0](value, np.zeros(6, dtype))
        ACTIVATIONS[name][1](value, delta)
    assert np.isfinite(value).all() and (delta >= 0).all() and (delta <= 1).all()
    assert delta[0, 4] in (0, 1) and delta[0, 5] in (0, 1)


def test_a_nan_stays_a_nan(name: str, dtype: Any) -> None:
    value, delta = np.array([[np.nan, 1.0]], dtype), np.array([[1.0, np.nan]], dtype)
    with np.errstate(invalid="ignore"):
        ACTIVATIONS[name][0](value, np.zeros(2, dtype))
        ACTIVATIONS[name][1](value, delta)
    assert np.isnan(value[0, 0]) and np.isfinite(value[0, 1]) and np.isnan(delta[0, 1])
