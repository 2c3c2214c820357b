"""Log-densities of NADE and MADE by their papers, unit by unit, in plain numpy; parameters may be complex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.nn.made import Made
from boltz.nn.nade import Nade

Floats = Any
ACTIVATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "tanh": np.tanh,
    "relu": lambda field: field * (field.real > 0),
    "softplus": lambda field: np.log(1 + np.exp(field)),
    "elu": lambda field: np.where(field.real > 0, field, np.exp(field) - 1),
}


def act(kind: str, field: Any) -> Any:
    return 1 / (1 + np.exp(-field)) if kind == "sigmoid" else ACTIVATIONS[kind](field)


def coin(logit: Any, state: Floats) -> Any:
    return state * logit - np.log(1 + np.exp(logit))


def plain_nade(factor: Nade, params: Any, above: Any, state: Floats) -> Any:
    """Log-densities (rows,) by Larochelle & Murray (2011), each unit from nothing; real or complex."""
    linear, start = params["f/units/bias"], params["f/hidden/bias"]
    if factor.given:
        linear = linear + above @ params["f/given/units/weight"]
        start = start + above @ params["f/given/hidden/weight"]
    total, before = 0.0, list[int]()
    for i in factor.order or range(factor.units):
        h = act(factor.activation, start + state[:, before] @ params["f/hidden/weight"][before])
        logit = linear[..., i] + h @ params["f/units/weight"][i]
        total = total + coin(logit, state[:, i])
        before.append(i)
    return total * np.ones(len(state))


def plain_mask(factor: Made, mask: int, params: Any, above: Any, state: Floats) -> Any:
    """Log-densities (rows,) under a mask, each weight of which is looked at by itself (Germain et al. 2015, section 4).

    The degrees are those of the factor, which test_degrees looks at.
    """
    degrees, layer, lower = factor.degrees[mask], state, factor.degrees[mask]["units"] + 1
    for name in factor.hidden:
        upper = degrees[name]
        mask_w = np.array([[float(k >= d) for k in upper] for d in lower])
        field = layer @ (params[f"f/{name}/weight"] * mask_w) + params[f"f/{name}/bias"]
        if name == "hidden/0" and factor.given:
            field = field + above @ params["f/given/hidden/weight"]
        layer, lower = act(factor.activation, field), upper
    position = degrees["units"] + 1
    logits = params["f/units/bias"] * np.ones((len(state), 1))
    if factor.hidden:
        mask_v = np.array([[float(d > k) for d in position] for k in lower])
        logits = logits + layer @ (params["f/units/weight"] * mask_v)
    logits = logits + state @ (
        params["f/direct/weight"] * np.array([[float(d > k) for d in position] for k in position])
    )
    if factor.given:
        logits = logits + above @ params["f/given/units/weight"]
    return coin(logits, state).sum(axis=1)


def plain(factor: Any, params: Any, above: Any, state: Floats, step: int | None = None) -> Any:
    """Log-densities (rows,) by the papers; of a MADE without a step the mixture of all masks."""
    if isinstance(factor, Nade):
        return plain_nade(factor, params, above, state)
    masks = range(factor.masks) if step is None else [step % factor.masks]
    return np.log(np.mean([np.exp(plain_mask(factor, mask, params, above, state)) for mask in masks], axis=0))
