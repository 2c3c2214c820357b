"""Rows to learn from for a machine: of one visible layer, or of several side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from boltz.data import Data
from boltz.data.from_arrays import as_data
from boltz.errors import InputError
from boltz.models.views import views_of
from boltz.units.holes import LEARNERS

VIEWS = "views"  # the kind of rows whose columns are of several kinds


def rows_for(model: Any, x: Any, name: str, missing: bool) -> Data:
    """Rows x as Data for a machine or network; name is what errors call them. missing: some entries may be unknown, NaN
    in an array, if the machine learns from such rows. Raises InputError.
    """
    missing = missing and getattr(model, "kind", None) in LEARNERS
    if len(getattr(model, "visible_layers", ())) < 2:
        return as_data(x, name, model.layers[0], model.levels, missing)
    if isinstance(x, Data):
        if x.kind != VIEWS or x.x.shape[1] != model.columns:
            raise InputError(f"{name} must hold arrays by view, {', '.join(model.graph.views)}, got one table of data.")
        return x
    found, layers = [], {layer.name: layer for layer in model.layers}
    for view, part in views_of(model.graph, x, name).items():
        found.append(as_data(part, f"{name}[{view!r}]", layers[view], None, missing=True))
    rows = np.concatenate([np.asarray(each.x) / np.float32(each.levels or 1) for each in found], axis=1)
    known = None
    if any(each.known is not None for each in found):
        whole = [np.ones(each.x.shape, bool) if each.known is None else each.known for each in found]
        known = np.concatenate(whole, axis=1)
        if not missing:
            raise InputError(f"{name} must have no missing numbers here: leave such rows out, or fill them in.")
    single = rows.dtype if rows.dtype.kind == "f" else np.float32
    return Data(np.ascontiguousarray(rows, single), "array", None, None, None, None, "array", kind=VIEWS, known=known)
