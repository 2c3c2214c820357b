"""Catches a run with finite parameters but other measures, unless it ends with one sentence and no warning."""

from __future__ import annotations

import numpy as np
import pytest
from support.training import plain_train

import boltz


@pytest.mark.parametrize("rate", [1e5, 1e6])
def test_a_diverged_run_is_refused(rate: float) -> None:
    """Catches a run that ends with a bound of NaN, and warnings beside the sentence (warnings are errors here)."""
    x = np.random.default_rng(0).integers(0, 2, (40, 6))
    with pytest.raises(boltz.NumericalError, match="Training stopped at joint, epoch 1"):
        plain_train(boltz.vae([6, 5], 3), x, epochs=1, batch_size=20, learning_rate=rate)
