"""Catches a NADE whose densities, slopes, order or draws are not those of the paper, or that depends on blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import autoregressive as checks

from boltz.errors import InputError
from boltz.nn.nade import Nade
from boltz.rng import Key


def test_densities() -> None:
    checks.check_densities()


def test_normalisation() -> None:
    checks.check_normalisation()


def test_slopes() -> None:
    checks.check_slopes()


def test_pull_options() -> None:
    checks.check_pull_options()


def test_order() -> None:
    checks.check_order()


def test_draws() -> None:
    checks.check_draws()


def test_blocks() -> None:
    checks.check_blocks()


def test_precision() -> None:
    checks.check_precision()


def test_kernels() -> None:
    checks.check_nade_kernels()


def test_start_fills_weights_alone() -> None:
    """Uniform weights of the scale of Glorot & Bengio, not all alike, and biases that stay 0."""
    factor = Nade(30, 40, given=5)
    params = {name: np.zeros(shape) for name, shape in factor.shapes("f").items()}
    factor.start("f", params, Key.from_seed(1))
    for name, value in params.items():
        if name.endswith("bias"):
            assert (value == 0).all()
        else:
            reach = np.sqrt(6 / sum(value.shape))
            assert 0.9 * reach < np.abs(value).max() <= reach and value.std() > 0.5 * reach
    assert not np.array_equal(params["f/hidden/weight"], params["f/units/weight"])


def test_a_nan_does_not_get_lost() -> None:
    """A row with a NaN has a NaN for a density, alone, and gradients of what hears it are NaN."""
    factor = Nade(5, 7)
    params, above, state = checks.params_of(factor), np.zeros((4, 0)), checks.states(4, 5)
    state[1, 2] = np.nan
    place = checks.place_of(factor, params, above)
    scored = factor.score(place, state)
    assert np.isnan(scored.log_density[1]) and np.isfinite(scored.log_density[[0, 2, 3]]).all()
    scored.pull(None, False, True)
    assert np.isnan(checks.gradient_of(factor, place)["f/units/weight"][4]).all()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"units": 0, "hidden": 3}, "units must be"),
        ({"units": 3, "hidden": 0}, "hidden must be"),
        ({"units": 3, "hidden": 2, "given": -1}, "given must be"),
        ({"units": 3, "hidden": 2, "activation": "tanh"}, "activation must be one of relu, sigmoid, got 'tanh'"),
        ({"units": 3, "hidden": 2, "order": (0, 1)}, "order must name each unit from 0 to 2 once, got"),
        ({"units": 3, "hidden": 2, "order": (0, 1, 1)}, "order must name each unit from 0 to 2 once, got"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Nade(**arguments)


def test_binary_states_have_no_slopes() -> None:
    factor = Nade(3, 2)
    scored = factor.score(checks.place_of(factor, checks.params_of(factor), np.zeros((4, 0))), checks.states(4, 3))
    with pytest.raises(InputError, match="states must be real"):
        scored.by_state()


def test_devices_and_programs_are_refused() -> None:
    checks.check_refusals(Nade(5, 7))
