"""Catches a MADE whose masks, densities, slopes or draws are not those of the paper, or that depends on blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import autoregressive as checks

from boltz.errors import InputError
from boltz.nn.made import Made
from boltz.rng import Key


def test_densities() -> None:
    checks.check_made_densities()


def test_normalisation() -> None:
    checks.check_made_normalisation()


def test_slopes() -> None:
    checks.check_made_slopes()


def test_pull_options() -> None:
    checks.check_made_pull_options()


def test_draws() -> None:
    checks.check_made_draws()


def test_blocks() -> None:
    checks.check_blocks(checks.MADES)


def test_threads() -> None:
    checks.check_threads()


def test_precision() -> None:
    checks.check_precision(checks.MADES)


def test_kernels() -> None:
    checks.check_made_kernels()


def test_order() -> None:
    checks.check_made_order()


def test_degrees() -> None:
    checks.check_degrees()


def test_steps() -> None:
    checks.check_steps()


def test_blocks_of_a_step_share_masked_weights() -> None:
    """One copy a step on the tape, none where all masks are mixed."""
    factor = Made(5, (7,), masks=2)
    params, state = checks.params_of(factor), checks.states(6, 5)
    place = checks.place_of(factor, params, np.zeros((6, 0)), 0)
    factor.score(place, state)
    kept = place.part.tape.made["f/masked"]
    factor.score(place, state)
    assert place.part.tape.made["f/masked"] is kept
    elsewhere = checks.place_of(factor, params, np.zeros((6, 0)))
    factor.score(elsewhere, state)
    assert not elsewhere.part.tape.made and "f/direct/weight" not in elsewhere.part.tape.held


def test_start_fills_weights_alone() -> None:
    """Uniform weights of the scale of Glorot & Bengio; biases and direct edges stay 0."""
    factor = Made(30, (40, 20), given=5)
    params = {name: np.zeros(shape) for name, shape in factor.shapes("f").items()}
    factor.start("f", params, Key.from_seed(1))
    for name, value in params.items():
        if name.endswith("bias") or "direct" in name:
            assert (value == 0).all()
        else:
            reach = np.sqrt(6 / sum(value.shape))
            assert 0.9 * reach < np.abs(value).max() <= reach and value.std() > 0.5 * reach


def test_a_nan_does_not_get_lost() -> None:
    """A row with a NaN has a NaN for a density, alone."""
    factor = Made(5, (7,), masks=2)
    params, state = checks.params_of(factor), checks.states(4, 5)
    state[1, 2] = np.nan
    for step in checks.STEPS:
        density = checks.log_density(factor, params, np.zeros((4, 0)), state, step)
        assert np.isnan(density[1]) and np.isfinite(density[[0, 2, 3]]).all()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"units": 0}, "units must be"),
        ({"given": -1}, "given must be"),
        ({"masks": 0}, "masks must be"),
        ({"widths": (3, 0)}, "widths must be"),
        ({"seed": -1}, "seed must be"),
        ({"activation": "sigmoid"}, "activation must be one of elu, relu, softplus, tanh, got 'sigmoid'"),
        ({"natural": 3}, "natural must be"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Made(**({"units": 3, "widths": (2,)} | arguments))


def test_devices_and_programs_are_refused() -> None:
    checks.check_refusals(Made(5, (7,)))
