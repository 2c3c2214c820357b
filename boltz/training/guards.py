"""Guards of a run: a number that is not finite stops it within one step and never reaches a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.errors import NumericalError
from boltz.models.files import Model

Array = NDArray[Any]


def finite(arrays: Mapping[str, Array]) -> bool:
    """Whether every number is finite."""
    return all(np.isfinite(x).all() for x in arrays.values() if x.dtype.kind == "f")


def stop(machine: Model, gradient: Array, rule: Mapping[str, Array], place: str) -> None:
    """Raise NumericalError naming the first array that is not finite, nearest the cause first."""
    named = {f"chain or average {name}": x for name, x in rule.items()}
    named |= {f"gradient of {name}": x for name, x in machine.views(gradient).items()}
    named |= {f"parameter {name}": x for name, x in machine.params.items()}
    bad = [name for name, x in named.items() if not np.isfinite(x).all()]
    what = bad[0] if bad else "optimizer state"
    raise NumericalError(f"Training stopped at {place}: {what} is not finite; try a smaller learning_rate.")


def check_measures(measures: Mapping[str, float | None], place: str) -> None:
    """Raise NumericalError if anything that was measured after an epoch is not finite."""
    for name, value in measures.items():
        if value is not None and not np.isfinite(value):
            raise NumericalError(f"Training stopped at {place}: the {name} is not finite; try a smaller learning_rate.")


def check_state(tensors: Mapping[str, Array], place: str) -> None:
    """Raise NumericalError if any array that is about to be saved is not finite."""
    for name, x in tensors.items():
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise NumericalError(f"Training stopped at {place}: {name} is not finite, so it was not saved.")
