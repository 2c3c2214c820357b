"""Catches a function of a layer or outputs with a wrong formula, slope or loss, or one that fails at extreme fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from oracles import networks as plain

from boltz.networks.feedforward import FUNCTIONS, OUTPUTS

STEP = 1e-25
FIELDS = np.array([[0.3, -1.7, 2.5, -4.0], [1e-3, -1e-3, 11.0, -11.0]])
BIAS = np.array([0.5, -0.25, 0.0, 1.0])
EXTREME = np.array([[0.0, -0.0, 40.0, -40.0, 1e4, -1e4]])
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_the_oracle_knows_all() -> None:
    assert set(FUNCTIONS) == set(plain.FUNCTIONS) and set(OUTPUTS) == set(plain.OUTPUTS) == set(plain.LOSSES)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_the_formula(name: str, dtype: Any) -> None:
    found, bias = FIELDS.astype(dtype), BIAS.astype(dtype)
    assert FUNCTIONS[name][0](found, bias) is None and found.dtype == dtype
    np.testing.assert_allclose(found, plain.FUNCTIONS[name](FIELDS.astype(dtype) + BIAS), TOLERANCE[dtype], 1e-15)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_slopes_follow_from_the_value(name: str, dtype: Any) -> None:
    value, delta = FIELDS.astype(dtype), np.array([[1.0, -2.0, 0.5, 3.0]] * 2, dtype)
    wanted = delta * plain.FUNCTIONS[name](value + BIAS + 1j * STEP).imag / STEP
    FUNCTIONS[name][0](value, BIAS.astype(dtype))
    kept = value.copy()
    assert FUNCTIONS[name][1](value, delta) is None and (value == kept).all() and delta.dtype == dtype
    np.testing.assert_allclose(delta, wanted, rtol=0, atol=TOLERANCE[dtype])


def target_of(name: str) -> np.ndarray:
    """Classes for softmax, grey targets for sigmoid outputs, any numbers for linear ones."""
    if name == "softmax":
        return np.eye(4)[[2, 0]]
    return np.array([[0.0, 1.0, 0.25, 0.5], [1.0, 1.0, 0.0, 0.75]]) * (3 if name == "linear" else 1)


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_and_losses_are_those_of_the_formulas(name: str, dtype: Any) -> None:
    output, target = FIELDS.astype(dtype), target_of(name).astype(dtype)
    start, loss = OUTPUTS[name]
    assert start(output, BIAS.astype(dtype)) is None and output.dtype == dtype
    p = plain.OUTPUTS[name](FIELDS.astype(dtype) + BIAS)
    np.testing.assert_allclose(output, p, rtol=TOLERANCE[dtype])
    field = FIELDS.astype(dtype) + BIAS.astype(dtype)
    kept, found = field.copy(), loss(field, target)
    assert found.shape == (2,) and found.dtype == np.float64 and (field == kept).all()
    np.testing.assert_allclose(found, plain.LOSSES[name](p, target), rtol=1e-4 if dtype is np.float32 else 1e-10)


@pytest.mark.parametrize("name", OUTPUTS)
def test_the_slope_of_the_loss_is_output_minus_target(name: str) -> None:
    """Which is what a backward pass starts from."""
    target, direction = target_of(name), np.random.default_rng(1).normal(size=FIELDS.shape)
    p = plain.OUTPUTS[name](FIELDS + 1j * STEP * direction)
    slope = plain.LOSSES[name](p, target).imag / STEP
    output = FIELDS.copy()
    OUTPUTS[name][0](output, np.zeros(4))
    np.testing.assert_allclose(np.sum((output - target) * direction, axis=1), slope, rtol=1e-10)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_extreme_fields_overflow_nowhere(name: str, dtype: Any) -> None:
    value, delta = EXTREME.astype(dtype), np.ones(EXTREME.shape, dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        FUNCTIONS[name][0](value, np.zeros(6, dtype))
        FUNCTIONS[name][1](value, delta)
    assert np.isfinite(value).all() and (delta >= 0).all() and (delta <= 1).all()


@pytest.mark.parametrize("name", OUTPUTS)
def test_losses_of_extreme_fields_are_those_of_the_formulas(name: str, dtype: Any) -> None:
    """Also where a target was called impossible, and where float32 outputs round to 1; a NaN stays one."""
    field, target = np.array([[17.0, 0.0], [1e4, 0.0]], dtype), np.array([[0, 1], [0, 1]], dtype)
    loss = OUTPUTS[name][1]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        found = loss(field, target)
    wanted = {
        "softmax": [17 + np.log1p(np.exp(-17)), 1e4],
        "sigmoid": [17 + np.log1p(np.exp(-17)) + np.log(2), 1e4 + np.log(2)],
        "linear": [(17**2 + 1) / 2, (1e8 + 1) / 2],
    }
    np.testing.assert_allclose(found, wanted[name], rtol=1e-6 if dtype is np.float32 else 1e-13)
    field[0, 0] = np.nan
    with np.errstate(invalid="ignore"):
        assert np.isnan(loss(field, target)[0])
