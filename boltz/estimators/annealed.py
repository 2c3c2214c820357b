"""Annealed importance sampling of log Z (Neal 2001; Salakhutdinov & Murray 2008)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.errors import InputError
from boltz.estimators.exact import class_units
from boltz.estimators.result import Estimate, from_log_weights
from boltz.models.boltzmann import BoltzmannMachine, checked_model
from boltz.rng import Key
from boltz.sampling.driver import blocks, workers
from boltz.sampling.gibbs import Scratch, layer_input, turned_weights
from boltz.sampling.rates import base_rates
from boltz.targets import BaseRatePath

Array = NDArray[Any]
STRETCH = 250
SM2008 = ((0.0, 0.5, 500), (0.5, 0.9, 4000), (0.9, 1.0, 10000))
Progress = Callable[[int, int], None]


def schedule(betas: int | str | Any) -> NDArray[np.float64]:
    """Inverse temperatures from 0 to 1: a number of uniform steps, "sm2008", or the values themselves.

    sm2008: 500 steps to 0.5, 4,000 to 0.9, 10,000 to 1 (Salakhutdinov & Murray 2008, section 6.1).
    """
    if isinstance(betas, str):
        checks.choice(betas, "betas", ("sm2008",))
        return np.concatenate([np.linspace(a, b, n, endpoint=False) for a, b, n in SM2008] + [np.ones(1)])
    if not isinstance(betas, Sequence | np.ndarray):
        return np.linspace(0, 1, checks.integer(betas, "betas", 1, 10**8) + 1)
    values = checks.array(betas, "betas", (None,), np.float64)
    if len(values) < 2 or values[0] != 0 or values[-1] != 1 or not (np.diff(values) > 0).all():
        raise InputError("betas must rise strictly from 0 to 1.")
    return values


def path_to(model: BoltzmannMachine, rates: Mapping[str, Array]) -> BaseRatePath:
    """The base-rate path to a machine; the larger colour class is summed out."""
    held, summed = sorted(model.graph.colours, key=lambda layers: class_units(model, layers))
    base = {layer: model.unit_type(layer).natural(rates[layer]) for layer in model.graph.units}
    return BaseRatePath(model, base, held, summed)


def ais(
    model: BoltzmannMachine,
    chains: int = 100,
    betas: Any = "sm2008",
    seed: int = 0,
    base: Any = None,
    progress: Progress | None = None,
) -> Estimate:
    """log Z in nats by annealed importance sampling; log_weights (chains,) has one weight a chain.

    The mean weight is an unbiased estimate of Z, so its log is a lower bound in expectation. betas as in schedule, base
    as in base_rates. Results do not depend on the number of threads. Raises InputError.
    """
    model = checked_model(model)
    chains = checks.integer(chains, "chains", 1, 2**32)
    seed = checks.integer(seed, "seed", 0, 2**64 - 1)
    values = schedule(betas)
    path = path_to(model, base_rates(model, base, seed))
    key = Key.from_seed(seed).derive("ais")
    state, log_weights = path.sample_start(key, chains), np.full(chains, path.start_log_z)
    parts, turned = blocks(chains), turned_weights(model)
    scratch = {part.start: Scratch(model.dtype) for part in parts}
    with workers() as pool:
        for first in range(1, len(values), STRETCH):
            last = min(first + STRETCH, len(values))

            def run(part: slice, first: int = first, last: int = last) -> None:
                mine = {layer: x[part] for layer, x in state.items()}
                for i in range(first, last):
                    _anneal(
                        path, turned, (values[i - 1], values[i]), i, key, mine, log_weights[part], part.start, scratch
                    )

            pool.map(run, parts)
            if progress is not None:
                progress(last - 1, len(values) - 1)
    return from_log_weights(
        log_weights, len(values) - 1, f"annealed importance sampling, {len(values) - 1} temperatures"
    )


def _anneal(
    path: BaseRatePath,
    turned: Mapping[str, Array],
    betas: tuple[float, float],
    step: int,
    key: Key,
    state: dict[str, Array],
    log_weights: Array,
    first_row: int,
    scratches: Mapping[int, Scratch],
) -> None:
    """Weight the chains for the change of temperature, then move them at the new one: two products in all."""
    machine, scratch = path.machine, scratches[first_row]
    for layer in path.held:
        change = (betas[1] - betas[0]) * path.bias_change[layer]
        log_weights += state[layer] @ change.astype(machine.dtype)
    for layer in path.summed:
        inputs = layer_input(machine, layer, state, scratch, turned)
        biases = path.bias(layer, betas[0]), path.bias(layer, betas[1])
        stream = key.derive("anneal", layer).stream(step)
        machine.unit_type(layer).anneal(inputs, betas, biases, stream, first_row, state[layer], log_weights)
    for layer in path.held:
        inputs = layer_input(machine, layer, state, scratch, turned)
        stream = key.derive("anneal", layer).stream(step)
        machine.unit_type(layer).sample(inputs, betas[1], path.bias(layer, betas[1]), stream, first_row, state[layer])
