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
from boltz.units import Units
from boltz.units.states import ends, fair, inside, smoothed

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
        return _smooth({**model.evidence(visible), **mean_field(model, visible)}, len(visible), model)
    rates = {}
    for layer, units in model.graph.units.items():
        if layer not in base:
            raise InputError(f"base must hold rates of layer {layer}, got {checks.few(base)}.")
        rates[layer] = checks.array(base[layer], f"base[{layer!r}]", (units,), np.float64)
        low, high = ends(model.unit_type(layer))
        if not ((rates[layer] > low) & (rates[layer] < high)).all():
            raise InputError(f"base[{layer!r}] must lie strictly between {low:g} and {high:g}.")
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
    chains = _smooth({n: host(x) for n, x in state.items()}, PILOT_CHAINS, model)
    found = modes.rates()
    return {n: (x + inside(model.unit_type(n), found[n], 0.01)) / 2 for n, x in chains.items()}


def widened(rates: Mapping[str, Array], width: float, model: BoltzmannMachine) -> dict[str, Array]:
    """Rates drawn to those of units without a field, such as 1/2, which a width of 1 takes; 0 leaves rates alone."""
    alone = {n: fair(host_units(model, n), np.zeros(u)) for n, u in model.units.items()}
    return {n: x if width == 1 else (1 - width) * rates[n] + width * x for n, x in alone.items()}


def host_units(model: BoltzmannMachine, layer: str) -> Units:
    """The units of a layer with their parameters on the host, in float64."""
    own = {name: host(x).astype(np.float64) for name, x in model.own(layer).items()}
    return model.unit_type(layer).bound(own)


def _smooth(states: Mapping[str, Array], count: int, model: BoltzmannMachine) -> dict[str, Array]:
    """Column means drawn a little inwards, as by one more row in each state of a unit."""
    return {n: smoothed(model.unit_type(n), x.sum(axis=0, dtype=np.float64), count) for n, x in states.items()}


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
