"""Which units of rows are known, in words or from a file, and files of completed rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz
from boltz.cli.rows import Rows, mask_from
from boltz.errors import InputError
from boltz.foreign import shown
from boltz.plotting import images
from boltz.storage.tables import Table, written

Known = NDArray[np.bool_]
HALVES = ("left", "right", "top", "bottom")
GREY = 0.5


def known_part(text: str | None, rows: Rows, shape: tuple[int, int] | None) -> Known:
    """Which units (rows, units) are known: half an image, a share of each row, as a file says, or, without text, those
    that are there; raises InputError.
    """
    count, units = rows.data.x.shape
    if text is None:
        if rows.mask is None:
            raise InputError(f"--mask must say what is known: {rows.data.source} has no empty cells to fill in.")
        return rows.mask
    if text in HALVES:
        return np.broadcast_to(_half(text, images.image_shape(units, shape)), (count, units))
    if text.startswith("random:"):
        key = rows.key.derive("mask")
        share = np.full((count, units), _share(text), np.float32)
        drawn = boltz.binarize(share, None, "fixed", key, 0, np.arange(count, dtype=np.int64))
        return drawn.astype(bool)
    return np.broadcast_to(mask_from(text, count, units).astype(bool), (count, units))


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


def _half(text: str, shape: tuple[int, int] | None) -> Known:
    if shape is None:
        raise InputError(f"--mask {text} is half an image, but the rows are no images: name a file of 0 and 1.")
    known = np.zeros(shape, bool)
    upright, first = (known, text == "top") if text in ("top", "bottom") else (known.T, text == "left")
    middle = len(upright) // 2
    upright[slice(None, middle) if first else slice(middle, None)] = True
    return known.reshape(-1)


def _share(text: str) -> float:
    try:
        share = float(text.removeprefix("random:"))
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise InputError(f"--mask {shown(repr(text))} must be random:SHARE with a share of known units within [0, 1].")
    return share
