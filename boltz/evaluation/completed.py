"""Files of completed rows: numbers with their mask, or a picture of some rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from boltz.plotting import images
from boltz.storage.tables import Table, written

GREY = 0.5


def write(out: Path, parts: Mapping[str, Any], shape: tuple[int, int] | None, title: str) -> None:
    """Write data, known and completed (rows, units) as the ending of the file says; raises FileError."""
    found, known = parts["completed"], parts["known"]
    if out.suffix == ".png":
        some = {name: np.clip(x[: images.MOST_STACKED], 0, 1) for name, x in parts.items()}
        given = np.where(some["known"], some["data"], GREY)
        shown = {"data": some["data"], "given": given, "completed": some["completed"]}
        images.save(images.stacked_tiles(shown, shape, title), out)
        return
    columns = [f"v_{i}" for i in range(1, found.shape[1] + 1)]
    table = Table("completed", found.shape, found.dtype, columns, {"mask": known.astype(np.uint8)})
    with written(out, table) as put:
        put(found)
