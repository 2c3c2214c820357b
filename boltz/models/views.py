"""Several visible layers: each as a machine of its own, and its columns of rows of data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from boltz import checks, scale
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.graph import Edge, Graph, Layer
from boltz.models.scaling import Scaling
from boltz.units.onehot import shape_of


def of_several(model: Any) -> BoltzmannMachine | None:
    """The machine if it has several visible layers, else None."""
    found: BoltzmannMachine | None = getattr(model, "undirected", None)
    return found if found is not None and len(found.graph.views) > 1 else None


def alone(machine: BoltzmannMachine, view: str) -> BoltzmannMachine:
    """A visible layer of a machine as an RBM of its own with one idle hidden unit, in the same units of the data."""
    layer = Layer(view, machine.units[view], machine.graph.kinds[view])
    graph = Graph((layer, Layer("idle", 1)), (Edge(view, "idle"),))
    found = BoltzmannMachine(graph, np.zeros_like(machine.arena, shape=(graph.parameters,)))
    for name, own in machine.own(view).items():
        found.own(view)[name][...] = own
    part, scaling = machine.graph.columns[view], machine.scaling
    if scaling is None or layer.kind != "gaussian":
        return found
    return replace(found, scaling=Scaling(scaling.location[part], scaling.spread[part]))


def views_of(graph: Graph, x: Any, name: str) -> dict[str, Any]:
    """What rows of data hold of each visible layer: arrays by view as they are, or columns of one array; name is what
    errors call them. Of rows as boltz.load_views gives them unknown numbers are NaN. Raises InputError.
    """
    if hasattr(x, "fingerprint"):
        if tuple(view.name for view in x.views) != graph.views:
            raise InputError(f"{name} ({x.source}) must hold the views {', '.join(graph.views)}: see boltz.load_views.")
        x = x.x if x.known is None else np.where(x.known, x.x, np.float32(np.nan))
    if isinstance(x, Mapping):
        if set(x) != set(graph.views):
            raise InputError(f"{name} must hold arrays by view, {', '.join(graph.views)}, got {checks.few(x)}.")
        for view in graph.views:
            if not shape_of(x[view]) and not hasattr(x[view], "tocsr"):
                raise InputError(f"{name}[{view!r}] must be an array (rows, units), got {checks.brief(x[view])}.")
        counts = {view: shape_of(x[view])[0] if shape_of(x[view]) else x[view].shape[0] for view in graph.views}
        if len(set(counts.values())) > 1:
            raise InputError(f"{name} must hold equally many rows of each view, got {counts}.")
        return {view: x[view] for view in graph.views}
    columns = sum(graph.units[view] for view in graph.views)
    found: dict[str, Any] = graph.split(scale.table(x, name, columns))
    return found
