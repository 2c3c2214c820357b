"""Log-densities of the factors that a layer may have of its own, from their parameters by name, in plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from checks.autoregressive import plain
from oracles import pixels
from oracles.flows import Flow

from boltz.nn.flows import CouplingFlow
from boltz.nn.made import Made
from boltz.nn.nade import Nade
from boltz.nn.pixelcnn import PixelCNN

Law = Callable[[dict[str, Any], Any, Any], Any]


def law(name: str, factor: Any, step: int | None = None) -> Law:
    """The log-density (rows,) of states given those of the layer above, or None, by parameters under this name."""
    if isinstance(factor, PixelCNN):
        return lambda params, state, above: pixels.log_density(
            factor, name, params, state, np.zeros((len(state), 0)) if above is None else above
        )
    if isinstance(factor, Nade | Made):
        return lambda params, state, above: plain(factor, renamed(params, name), above, state, step)
    coupling = isinstance(factor, CouplingFlow)
    flow = Flow(factor.units, factor.steps, factor.widths, factor.kind, factor.activation, coupling=coupling)
    return lambda params, state, above: flow.log_density(renamed(params, name), state)


def renamed(params: dict[str, Any], name: str) -> dict[str, Any]:
    """Parameters under a name, under "f"."""
    return {f"f/{key.removeprefix(name + '/')}": value for key, value in params.items() if key.startswith(f"{name}/")}
