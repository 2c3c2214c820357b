"""Quick checks of what nets do between their products, in float32, where the kernels of the processor do it."""

from __future__ import annotations

import numpy as np
from checks import cuda_parity

from boltz.kernels import cpu

PASSES = (
    "activations",
    "biases_of_activations",
    "slopes",
    "gaussian_shift",
    "gaussian_score",
    "normal_score",
    "gaussian_path",
    "weighted",
    "repeated_and_pooled",
)


BACKEND = cuda_parity.Backend(cpu, np.array, np.asarray, lambda *launch: None)


def check_passes() -> None:
    """Every pass against the reference in double."""
    for name in PASSES:
        cuda_parity.CHECKS[name](BACKEND, np.float32)


def check_log_weights() -> None:
    """Softmax, what a sample adds and means against their formulas."""
    cuda_parity.CHECKS["log_weights"](BACKEND, np.float64)
