"""Feed-forward networks in plain numpy, from the parameters by name, without arithmetic of boltz.

Parameters and fields may be complex, so that slopes are complex steps. Losses are in nats a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from oracles import directed

Values = Any  # real or complex arrays
FUNCTIONS: dict[str, Callable[[Values], Values]] = {
    **directed.ACTIVATIONS,
    "sigmoid": lambda field: 1 / (1 + np.exp(-field)),
    "linear": lambda field: field,
}
OUTPUTS: dict[str, Callable[[Values], Values]] = {
    "softmax": lambda field: np.exp(field) / np.exp(field).sum(axis=1, keepdims=True),
    "sigmoid": FUNCTIONS["sigmoid"],
    "linear": FUNCTIONS["linear"],
}
LOSSES: dict[str, Callable[[Values, Values], Values]] = {
    "softmax": lambda p, x: -np.sum(x * np.log(p), axis=1),
    "sigmoid": lambda p, x: -np.sum(x * np.log(p) + (1 - x) * np.log(1 - p), axis=1),
    "linear": lambda p, x: np.sum((p - x) ** 2, axis=1) / 2,
}


def values(
    params: Mapping[str, Values],
    functions: Sequence[str],
    x: Values,
    sides: Mapping[int, Values] | None = None,
    masks: Mapping[int, Values] | None = None,
) -> list[Values]:
    """What each dense layer gives, upwards; sides are heard beside its inputs, masks multiply all that it hears."""
    found = []
    for i, function in enumerate(functions):
        heard = np.hstack([x, sides[i]]) if sides and i in sides else x
        heard = heard * masks[i] if masks and i in masks else heard
        table = OUTPUTS if i == len(functions) - 1 else FUNCTIONS
        x = table[function](heard @ params[f"{i}/weight"] + params[f"{i}/bias"])
        found.append(x)
    return found
