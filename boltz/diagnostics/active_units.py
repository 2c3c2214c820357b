"""Active units: hidden units whose posterior mean varies with the data (Burda et al. 2016, section 5.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host, numbers
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, checked_machine, visible_rows
from boltz.models.helmholtz import HelmholtzMachine
from boltz.nn.arena import Part, Tape
from boltz.nn.dense import forward
from boltz.parallel import blocks, workers
from boltz.rng import Key
from boltz.sampling.meanfield import mean_field
from boltz.sampling.recognition import streams

Array = NDArray[Any]
Floats = NDArray[np.float64]
ACTIVE = 0.01


def active_units(model: Model, x: Any, seed: int = 0) -> dict[str, int]:
    """How many units of each hidden layer have a posterior variance above 0.01, as in posterior_variances."""
    found = posterior_variances(model, x, seed)
    return {layer: int((variances > ACTIVE).sum()) for layer, variances in found.items()}


def posterior_variances(model: Model, x: Any, seed: int = 0) -> dict[str, Floats]:
    """Variance over visible rows x (rows, units) of each hidden unit's posterior mean, layer -> (units,).

    The posterior is that of mean field for a Boltzmann machine and of recognition for a Helmholtz machine, where upper
    layers hear one draw of the layer below, by seed. Raises InputError.
    """
    model = checked_machine(model)
    key = Key.from_seed(seed).derive("activity")
    x = visible_rows(model, x)
    means = mean_field(model, x) if isinstance(model, BoltzmannMachine) else _recognised(model, x, key)
    return {layer: host(mean).astype(np.float64).var(axis=0) for layer, mean in means.items()}


def _recognised(model: HelmholtzMachine, x: Array, key: Key) -> dict[str, Array]:
    """Means (rows, units) of every drawn hidden layer given one draw of the layers below it."""
    tape, drawn = Tape(model.arena), streams(model, key, 0)
    tape.get(f"state/{model.visible}", *x.shape)[...] = x
    means = {layer.name: np.empty_like(x, shape=(len(x), layer.units)) for layer in model.structure.latent}

    def work(rows: slice) -> None:
        part, source = Part(tape, rows, len(x)), f"state/{model.visible}"
        for layer in model.structure.latent:
            net, name = model.structure.recognition[layer.name], f"recognition/{layer.name}"
            field, _ = forward(net, name, model.params, source, part)
            head, conditional = (field, net.bias(name, model.params)), model.conditionals[layer.name]
            means[layer.name][rows] = conditional.mean(*head)
            source = f"state/{layer.name}"
            state, offset = (part.get(kind, layer.units) for kind in (source, f"offset/{layer.name}"))
            conditional.sample(head, drawn[layer.name], numbers(rows.start, rows.stop, x), state, offset)

    with workers(x) as pool:
        pool.map(work, blocks(len(x), like=x))
    return means
