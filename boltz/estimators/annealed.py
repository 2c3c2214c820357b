"""Annealed importance sampling of log Z (Neal 2001; Salakhutdinov & Murray 2008), forwards and in reverse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.exact import class_units, exact_samples
from boltz.estimators.result import Estimate, from_annealed
from boltz.estimators.temperatures import adaptive, adaptive_steps, schedule
from boltz.models.boltzmann import BoltzmannMachine, State, checked_model
from boltz.rng import Key
from boltz.sampling.annealing import GibbsPath, Progress, anneal
from boltz.sampling.gibbs import check_states
from boltz.sampling.rates import base_rates
from boltz.targets import BaseRatePath

Array = NDArray[Any]
Floats = NDArray[np.float64]


def path_to(model: BoltzmannMachine, rates: Mapping[str, Array], held_visible: bool = False) -> BaseRatePath:
    """The base-rate path to a machine; the larger colour class is summed out, or the one without the visible layer."""
    held, summed = model.graph.colours
    if not held_visible:
        held, summed = sorted(model.graph.colours, key=lambda layers: class_units(model, layers))
    base = {layer: model.unit_type(layer).natural(rates[layer]) for layer in model.graph.units}
    return BaseRatePath(model, base, held, summed)


def ais(
    model: BoltzmannMachine,
    chains: int = 100,
    betas: Any = "sm2008",
    seed: int = 0,
    base: Any = None,
    resample: float = 0.0,
    progress: Progress | None = None,
) -> Estimate:
    """log Z in nats by annealed importance sampling; log_weights (chains,) has one weight a chain.

    The mean weight is an unbiased estimate of Z, so its log is a lower bound in expectation. betas as in schedule, base
    as in base_rates. resample > 0 makes it a population annealing (Del Moral, Doucet & Jasra 2006): chains are
    resampled whenever less than this share of them is effective. Results do not depend on the number of threads.
    Raises InputError.
    """
    path, values, key = planned(checked_model(model), betas, seed, base)
    chains = checks.integer(chains, "chains", 1, 2**32)
    resample = checks.number(resample, "resample", 0.0, 1.0)
    state = path.density.sample_start(key, chains)
    found = anneal(path, state, values, key, resample, progress)
    steps = len(values) - 1
    method = f"annealed importance sampling, {steps} temperatures" + ", resampled" * (resample > 0)
    return from_annealed(found, path.density.start_log_z, steps, method)


def reverse_ais(
    model: BoltzmannMachine,
    start: State | None = None,
    chains: int = 100,
    betas: Any = "sm2008",
    seed: int = 0,
    base: Any = None,
    exact_start: bool = False,
    progress: Progress | None = None,
) -> Estimate:
    """log Z in nats by annealing from samples of the machine down to the base-rate model.

    The mean weight is then an unbiased estimate of 1 / Z, so that minus its log is an upper bound in expectation
    (Grosse, Ancha & Roy 2016, section 3): if the samples are exact. They are where start is None, which enumerates at
    most 20 units, and where the caller says so by exact_start. Samples of long or tempered chains give a diagnostic:
    kind "none". start: states of at least the smaller colour class, (chains, units) a layer, whose number then
    counts in place of chains. Raises InputError.
    """
    path, values, key = planned(checked_model(model), betas, seed, base)
    state = _target_states(path, start, chains, seed)
    downwards = np.concatenate([[1.0], values[::-1]])  # the first step only moves, at the target itself
    found = anneal(path.reversed(), state, downwards, key.derive("reverse"), progress=progress)
    certified = start is None or exact_start
    method = f"reverse annealing, {len(values) - 1} temperatures" + ("" if certified else " (diagnostic)")
    return from_annealed(found, path.density.start_log_z, len(values) - 1, method, "upper" if certified else "none")


def planned(
    model: BoltzmannMachine, betas: Any, seed: Any, base: Any, held_visible: bool = False
) -> tuple[GibbsPath, Floats, Key]:
    """The path, its temperatures and the key of an annealing run; raises InputError."""
    seed = checks.integer(seed, "seed", 0, 2**64 - 1)
    path = GibbsPath(path_to(model, base_rates(model, base, seed), held_visible))
    steps, key = adaptive_steps(betas), Key.from_seed(seed).derive("ais")
    return path, schedule(betas) if steps is None else adaptive(path, steps, key.derive("adaptive")), key


def _target_states(path: GibbsPath, start: State | None, chains: int, seed: int) -> dict[str, Array]:
    """The start of a reverse run: exact draws where none is given."""
    if start is None:
        start = exact_samples(path.machine, checks.integer(chains, "chains", 1, 2**32), seed)
    return held_states(path, start)


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
