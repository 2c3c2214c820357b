"""Rows to learn from for a machine: of one visible layer, or of several side by side."""

from __future__ import annotations

from typing import Any

from boltz.data import Data
from boltz.data.dataset import VIEWS
from boltz.data.from_arrays import as_data
from boltz.data.views import side_by_side
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.views import views_of
from boltz.units.holes import LEARNERS


def rows_for(model: Any, x: Any, name: str, missing: bool) -> Data:
    """Rows x as Data for a machine or network; name is what errors call them. missing: some entries may be unknown, NaN
    in an array, if the machine learns from such rows. Raises InputError.
    """
    missing = missing and getattr(model, "kind", None) in LEARNERS
    if len(getattr(model, "visible_layers", ())) < 2:
        return as_data(x, name, model.layers[0], model.levels, missing)
    if isinstance(x, Data):
        check_views(model, x, name)
        if x.known is not None and not missing:
            raise InputError(f"{name} must have no missing numbers here: leave such rows out, or fill them in.")
        return x
    found, layers = {}, {layer.name: layer for layer in model.layers}
    for view, part in views_of(model.graph, x, name).items():
        found[view] = as_data(part, f"{name}[{view!r}]", layers[view], None, missing=True), layers[view].kind
    whole = side_by_side(found)
    if whole.known is not None and not missing:
        raise InputError(f"{name} must have no missing numbers here: leave such rows out, or fill them in.")
    return whole


def check_views(model: BoltzmannMachine, x: Data, name: str) -> None:
    """Raise InputError unless rows of data have the visible layers of a machine; name is what errors call them."""
    if x.kind != VIEWS:
        raise InputError(
            f"{name} must hold arrays by view, {', '.join(model.graph.views)}, got one table of data ({x.source})."
        )
    wanted = [(layer.name, layer.units, layer.kind) for layer in model.layers[: len(model.graph.views)]]
    found = [(view.name, view.columns, view.kind) for view in x.views]
    if found != wanted:
        told, held = (", ".join(f"{n} {units} {kind}" for n, units, kind in each) for each in (wanted, found))
        raise InputError(f"{name} ({x.source}) must have the visible layers {told} in this order, got {held}.")
