"""Mean activities of all layers, for the base-rate model that annealing starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.sampling.gibbs import sample
from boltz.sampling.meanfield import mean_field

Array = NDArray[Any]
PILOT_CHAINS, PILOT_SWEEPS = 100, 200


def base_rates(model: BoltzmannMachine, base: Any, seed: int) -> dict[str, Array]:
    """Mean activity of every layer for the base-rate model, layer -> (units,) within (0, 1).

    base: visible rows, whose mean-field activities count; rates by layer; or None for the rates kept with a trained
    model, else those of a short Gibbs run. Any choice gives an unbiased Z; a close one gives little variance.
    """
    if base is None and model.rates:
        base = model.rates
    if base is None:
        return _smooth(sample(model, PILOT_CHAINS, PILOT_SWEEPS, seed), PILOT_CHAINS)
    if not isinstance(base, Mapping):
        units = model.graph.units[model.graph.visible]
        visible = arrays.host(checks.rows(base, "base", units, model.dtype, model.arena))
        return _smooth({model.graph.visible: visible, **mean_field(model, visible)}, len(visible))
    rates = {}
    for layer, units in model.graph.units.items():
        if layer not in base:
            raise InputError(f"base must hold rates of layer {layer}, got {', '.join(base)}.")
        rates[layer] = checks.array(base[layer], f"base[{layer!r}]", (units,), np.float64)
        if not ((rates[layer] > 0) & (rates[layer] < 1)).all():
            raise InputError(f"base[{layer!r}] must lie strictly between 0 and 1.")
    return rates


def _smooth(states: Mapping[str, Array], count: int) -> dict[str, Array]:
    """Column means drawn a little to 1/2, as by one more row on and one more row off."""
    return {n: (x.sum(axis=0, dtype=np.float64) + 1) / (count + 2) for n, x in states.items()}
