"""Active units: hidden units whose posterior mean varies with the data (Burda et al. 2016, section 5.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.models.files import Model, checked_machine, visible_rows
from boltz.rng import Key
from boltz.sampling.inference import inference_of

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
    model = checked_machine(model, any_units=True, any_graph=True, any_factors=True)
    key = Key.from_seed(seed).derive("activity")
    x = visible_rows(model, x)
    means = inference_of(model).posterior_means(model, x, key)
    return {layer: host(mean).astype(np.float64).var(axis=0) for layer, mean in means.items()}
