"""Games of adversarial autoencoders: steps by hand, runs that go on as if unbroken, priors that are matched, collapse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import adversarial as checks

import boltz
from boltz.errors import InputError
from boltz.rng import Key
from boltz.training.game_notes import matched

ROWS = (np.random.default_rng(1).random((120, 9)) < 0.4).astype(np.float32)
QUICK: dict[str, Any] = {"epochs": 2, "discriminator_widths": (8,), "batch_size": 50}


@pytest.mark.parametrize("kind", checks.KINDS)
def test_a_step_is_that_by_hand(kind: str) -> None:
    checks.check_step(kind)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_spreads_stay,
        checks.check_smoothing,
        checks.check_penalty,
        checks.check_spectral,
        checks.check_noise,
        checks.check_kernel_slope,
        checks.check_two_samples,
        checks.check_named_components,
        checks.check_labelled_sum,
        checks.check_labelled_draws,
        checks.check_threads,
    ],
)
def test_parts(check: Any) -> None:
    check()


@pytest.mark.parametrize("name", checks.PRIORS)
def test_priors(name: str) -> None:
    checks.check_prior_density(name)
    checks.check_prior_draws(name)
