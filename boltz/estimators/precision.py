"""Where float32 is not enough: machines whose energies are so large that their rounding would be seen in nats."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from boltz.estimators.estimate import Estimate
from boltz.models.files import Model
from boltz.units.states import known_words

Array = NDArray[Any]
M = TypeVar("M", bound=Model)
SEEN, SEEN_IN_LOG_Z = 1e-3, 0.05  # nats, in a row and in an estimate of log Z


def accurate(model: Model, x: Array) -> tuple[Model, Array]:
    """A machine and its visible rows x, both in float64 where sums in float32 could err by more than 0.001 nats.

    Every parameter of float32 is one of float64. A field sums at most the units of a layer, whose rounding grows as the
    root of their number (Higham 2002, section 2.6).
    """
    wide = wide_enough(model, SEEN)
    return (model, x) if wide is model else (wide, x.astype(np.float64))


def wide_enough(model: M, seen: float = SEEN_IN_LOG_Z) -> M:
    """A machine, in float64 where sums in float32 could err by more than so many nats."""
    if model.dtype != np.float32:
        return model
    words = known_words(model.layers[0].type)  # that each hidden unit hears
    largest, units = float(np.abs(model.arena).max()), max(sum(model.units.values()), words)
    if largest * units * float(np.finfo(np.float32).eps) < seen:
        return model
    wide: Any = model.astype(np.float64)
    return wide


def above_zero(per_row: NDArray[np.float64], errors: NDArray[np.float64], log_z: Estimate) -> bool:
    """Whether log-likelihoods (rows,) of binary rows are above 0 by more than 4 of their errors (rows,), in nats.

    The rounding of log Z counts as an error.
    """
    rounding = 64 * float(np.finfo(np.float64).eps) * max(1.0, abs(log_z.value))
    return bool((per_row > 4 * np.where(np.isfinite(errors), errors, np.inf) + rounding).any())
