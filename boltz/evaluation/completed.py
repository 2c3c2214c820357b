"""Files of completed rows: numbers with their mask, or a picture of some rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from boltz.data import Data
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model
from boltz.plotting import images
from boltz.plotting.machines import greys_of
from boltz.storage.run_folder import PICTURES
from boltz.storage.tables import Table, write_arrays, written
from boltz.units.onehot import codes_of

GREY = 0.5


def write(
    out: Path,
    model: Model,
    parts: Mapping[str, Any],
    shape: tuple[int, ...] | None,
    about: tuple[str, bool, Data],
) -> None:
    """Write data, known and completed (rows, columns) of a machine as the ending of the file says.

    about: the title of a picture; whether categorical units were drawn, so that they are written as codes; the data,
    whose columns and letters name those of the file. Raises FileError.
    """
    found, known = parts["completed"], parts["known"]
    title, drawn, rows = about
    if out.suffix in PICTURES:
        greys = greys_of(model, found)
        data, again = (greys.of(parts[name][: images.MOST_STACKED]) for name in ("data", "completed"))
        given = np.where(known[: images.MOST_STACKED], data, GREY)
        images.save(images.stacked_tiles({"data": data, "given": given, "completed": again}, shape, title), out)
        return
    states = model.layers[0].columns
    columns = list(rows.columns) or [f"v_{i}" for i in range(1, found.shape[1] // states + 1)]
    if states > 1 and drawn:
        found, known = codes_of(found, states), known[:, ::states]
    elif states > 1:
        columns = [f"{column}_{state}" for column in columns for state in rows.alphabet or range(states)]
    table = Table("completed", found.shape, found.dtype, columns, {"mask": known.astype(np.uint8)})
    with written(out, table) as put:
        put(found)


def write_views(out: Path, model: BoltzmannMachine, found: Mapping[str, Any], known: Any, labels: Any) -> None:
    """Write completed rows of each visible layer, (rows, columns), under its name into an .npz file, what was known of
    it as mask.NAME, and labels as y; raises FileError.
    """
    arrays = {view: np.asarray(x) for view, x in found.items()}
    for view, part in model.graph.split(known).items():
        arrays[f"mask.{view}"] = part[:, :: part.shape[1] // found[view].shape[1]].astype(np.uint8)
    if labels is not None and "y" not in arrays:
        arrays["y"] = labels
    write_arrays(out, arrays)


def view_differences(
    model: BoltzmannMachine, data: Data, known: Any, found: Mapping[str, Any]
) -> dict[str, dict[str, float | None]]:
    """For each visible layer of which something was hidden, how far it is from what the data have there."""
    there = np.ones(data.x.shape, bool) if data.known is None else data.known
    told = {}
    for view, part in model.graph.columns.items():
        if known[:, part].all():
            continue
        parts = {"data": data.x[:, part], "known": known[:, part], "completed": found[view]}
        told[view] = difference(parts, there[:, part], model.unit_type(view).columns)
    return told


def difference(parts: Mapping[str, Any], there: Any, states: int) -> dict[str, float | None]:
    """How far completed rows are from what the data have where it was hidden: the mean squared difference, or the share
    of categorical units whose most probable state is that of the data; None where nothing was hidden.
    """
    data, completed = parts["data"], parts["completed"]
    hidden = np.broadcast_to(~parts["known"] & there, data.shape)
    if states == 1:
        return {"squared_error": float(((completed - data)[hidden] ** 2).mean()) if hidden.any() else None}
    same = (codes_of(data, states) == codes_of(completed, states))[hidden[:, ::states]]
    return {"recovered": float(same.mean()) if same.size else None}
