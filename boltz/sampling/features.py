"""Features of visible rows: posterior means of the hidden units, each row's the same whatever rows stand beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.arrays import host
from boltz.checks import brief
from boltz.errors import InputError
from boltz.models.files import Model, checked_machine
from boltz.parallel import padded, shares, workers
from boltz.sampling.completion import filled
from boltz.sampling.evidence import evidence_of
from boltz.sampling.inference import inference_of

Array = NDArray[Any]
Layer = str | int
TOP, ALL = "top", "all"


def features(model: Model, x: Any, layer: Layer = TOP, mask: Any = None) -> Array:
    """Posterior means (rows, units) of a hidden layer given visible rows x (rows, units), as a numpy array.

    layer: "top", "all" (all hidden layers side by side, from the bottom), the name of a layer, or its number, from 1
    for the lowest. Exact for an RBM; 25 sweeps of mean field for a deeper Boltzmann machine (Salakhutdinov & Hinton
    2009, section 2.2); the means of the recognition model, passed upwards, for a Helmholtz machine; where a flow is
    behind its draw, what the flow makes of the mean of the Gaussian. A row's features do not depend on the other rows,
    in float32 to the last bit. Raises InputError.

    mask (rows, units) or (units,) is True where a unit is known; without one, NaN in x marks what is missing. Unknown
    units are first put at means given the known ones, without chance: for a Boltzmann machine those of complete with
    "mean-field", for a Helmholtz machine those where 50 passes up and down lead, by the means of both its models.
    """
    return features_of(checked_machine(model, any_units=True, any_graph=True, any_factors=True), x, layer, mask)


def features_of(model: Model, x: Any, layer: Layer = TOP, mask: Any = None, name: str = "x") -> Array:
    """As features, of a machine that is one; name is what errors call x."""
    names = feature_layers(model, layer)
    return host(side_by_side(model, filled(model, evidence_of(model, x, mask, name)), names))


def feature_layers(model: Model, layer: Layer) -> list[str]:
    """The names of the hidden layers that a choice of layer means; raises InputError."""
    hidden = [each.name for each in model.hidden_layers]
    if not hidden:
        raise InputError("model must have hidden units to have features, got none.")
    if isinstance(layer, str) and layer in (TOP, ALL, *hidden):
        return {TOP: hidden[-1:], ALL: hidden}.get(layer, [layer])
    if isinstance(layer, int | np.integer) and not isinstance(layer, bool) and 1 <= layer <= len(hidden):
        return [hidden[layer - 1]]
    raise InputError(f"layer must be top, all, 1 to {len(hidden)}, or one of {', '.join(hidden)}, got {brief(layer)}.")


def side_by_side(model: Model, rows: Array, names: list[str]) -> Array:
    """The means of these layers (rows, units of all) for checked visible rows, where the model lives."""
    count, edges = len(rows), np.cumsum([0, *(model.units[name] for name in names)])
    rows = padded(rows)
    out = np.empty_like(rows, shape=(len(rows), int(edges[-1])))

    def work(block: slice) -> None:
        found = inference_of(model).hidden_means(model, rows[block])
        for name, first, stop in zip(names, edges, edges[1:], strict=False):
            out[block, first:stop] = found[name]

    with workers(rows) as pool:
        pool.map(work, shares(len(rows), rows))
    return out[:count]
