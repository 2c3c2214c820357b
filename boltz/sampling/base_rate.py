"""Mean activities of all layers, for the base-rate model that annealing starts from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks
from boltz.arrays import host
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine, State
from boltz.models.files import visible_rows
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, anneal
from boltz.sampling.gibbs import check_states
from boltz.sampling.meanfield import mean_field
from boltz.sampling.modes import Modes, search
from boltz.targets import path_to

Array = NDArray[Any]
PILOT_CHAINS, PILOT_STEPS = 100, 500


def base_rates(model: BoltzmannMachine, base: Any, seed: int) -> dict[str, Array]:
    """Mean activity of every layer for the base-rate model, layer -> (units,) within (0, 1).

    base: visible rows, whose mean-field activities count; rates by layer; or None for the rates kept with a trained
    model, else those of pilot_rates. Any choice gives an unbiased Z; a close one gives little variance.
    """
    if base is None and model.rates:
        base = model.rates
    if base is None:
        return pilot_rates(model, seed, search(model, Key.from_seed(seed).derive("pilot")))
    if not isinstance(base, Mapping):
        visible = arrays.host(visible_rows(model, base, "base"))
        return _smooth({model.graph.visible: visible, **mean_field(model, visible)}, len(visible))
    rates = {}
    for layer, units in model.graph.units.items():
        if layer not in base:
            raise InputError(f"base must hold rates of layer {layer}, got {checks.few(base)}.")
        rates[layer] = checks.array(base[layer], f"base[{layer!r}]", (units,), np.float64)
        if not ((rates[layer] > 0) & (rates[layer] < 1)).all():
            raise InputError(f"base[{layer!r}] must lie strictly between 0 and 1.")
    return rates


def pilot_rates(model: BoltzmannMachine, seed: int, modes: Modes) -> dict[str, Array]:
    """Mean activities of a machine whose data are not known, layer -> (units,) within (0, 1).

    They are the mean of two estimates. One is from chains that are annealed from units of rate 1/2: these reach the
    modes that are easy to reach. The other is from the modes of mean field, weighted by their bounds: these may be hard
    to reach. Biases are not used, since in 0/1 coordinates they point into one mode.
    """
    key = Key.from_seed(seed).derive("pilot")
    path = GibbsPath(path_to(model, widened({}, 1.0, model)))
    state = path.density.sample_start(key, PILOT_CHAINS)
    anneal(path, state, np.linspace(0, 1, PILOT_STEPS + 1), key)
    chains = _smooth({n: host(x) for n, x in state.items()}, PILOT_CHAINS)
    found = modes.rates()
    return {n: (x + np.clip(found[n], 0.01, 0.99)) / 2 for n, x in chains.items()}


def widened(rates: Mapping[str, Array], width: float, model: BoltzmannMachine) -> dict[str, Array]:
    """Rates drawn to 1/2: a width of 0 leaves them as they are, 1 makes them all 1/2."""
    return {n: np.full(u, 0.5) if width == 1 else (1 - width) * rates[n] + width / 2 for n, u in model.units.items()}


def _smooth(states: Mapping[str, Array], count: int) -> dict[str, Array]:
    """Column means drawn a little to 1/2, as by one more row on and one more row off."""
    return {n: (x.sum(axis=0, dtype=np.float64) + 1) / (count + 2) for n, x in states.items()}


def held_states(path: GibbsPath, start: State) -> dict[str, Array]:
    """Own copies of the held layers of a start, the summed ones at zero until drawn; raises InputError."""
    machine, held = path.machine, path.density.held
    given = machine.checked(start, held, "start")
    rows, units = len(given[held[0]]), machine.graph.units
    if rows == 0:
        raise InputError("start must hold at least one chain, got none.")
    for layer in held:
        check_states(machine, layer, given[layer], "start")
    return {n: given[n].copy() if n in held else machine.zeros(rows, n) for n in units}
