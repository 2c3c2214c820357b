"""Files of completed rows: numbers with their mask, or a picture of some rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from boltz.models.files import Model
from boltz.plotting import images
from boltz.plotting.machines import shades
from boltz.storage.run_folder import PICTURES
from boltz.storage.tables import Table, written

GREY = 0.5


def write(out: Path, model: Model, parts: Mapping[str, Any], shape: tuple[int, int] | None, title: str) -> None:
    """Write data, known and completed (rows, units) of a machine as the ending of the file says; raises FileError."""
    found, known = parts["completed"], parts["known"]
    if out.suffix in PICTURES:
        data, again = (shades(model, parts[name][: images.MOST_STACKED]) for name in ("data", "completed"))
        given = np.where(known[: images.MOST_STACKED], data, GREY)
        images.save(images.stacked_tiles({"data": data, "given": given, "completed": again}, shape, title), out)
        return
    columns = [f"v_{i}" for i in range(1, found.shape[1] + 1)]
    table = Table("completed", found.shape, found.dtype, columns, {"mask": known.astype(np.uint8)})
    with written(out, table) as put:
        put(found)
