"""Which units of rows are known: in words, or from a file of 0 and 1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data.binarize import binarize
from boltz.data.dataset import Data, Shape
from boltz.data.loading import values
from boltz.errors import FileError, InputError
from boltz.foreign import shown
from boltz.rng import Key
from boltz.scale import blocks

Known = NDArray[np.bool_]
Array = NDArray[Any]
HALVES = ("left", "right", "top", "bottom")


def known_part(text: str | None, data: Data, shape: Shape | None, key: Key) -> Known:
    """Which columns (rows, columns) of units are known: half an image of a shape, a share of each row, as a file says,
    or, without text, those that are there; raises InputError.
    """
    count, units = len(data.x), data.x.shape[1] // data.states
    if text is None:
        if data.known is None:
            raise InputError(f"--mask must say what is known: {data.source} has no empty cells to fill in.")
        return data.known
    return np.repeat(_known_units(text, (count, units), shape, key), data.states, axis=1)


def _known_units(text: str, rows: tuple[int, int], shape: Shape | None, key: Key) -> Known:
    """As known_part, one column a unit."""
    count, units = rows
    if text in HALVES:
        return np.broadcast_to(_half(text, shape), (count, units))
    if text.startswith("random:"):
        key = key.derive("mask")
        share = np.full((count, units), _share(text), np.float32)
        drawn = binarize(share, None, "fixed", key, 0, np.arange(count, dtype=np.int64))
        return drawn.astype(bool)
    return np.broadcast_to(mask_from(text, count, units).astype(bool), (count, units))


def _half(text: str, shape: Shape | None) -> Known:
    if shape is None:
        raise InputError(f"--mask {text} is half an image, but the rows are no images: name a file of 0 and 1.")
    known = np.zeros(shape, bool)
    upright, first = (known, text == "top") if text in ("top", "bottom") else (known.swapaxes(0, 1), text == "left")
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


def mask_from(name: str, rows: int, units: int) -> Array:
    """The mask (rows or 1, units) of a file of 0 and 1, where 1 marks what is known; raises InputError, FileError."""
    try:
        found = values(name)
    except FileError:
        raise
    except InputError as problem:
        raise InputError(f"--mask must name a file of 0 and 1 (known), got {shown(repr(name))}.") from problem
    found = found[None] if found.ndim == 1 else found
    if found.ndim != 2 or found.shape[0] not in (1, rows) or found.shape[1] != units:
        raise InputError(f"--mask must have shape ({rows}, {units}) or ({units},), but {name} has {found.shape}.")
    first = 0
    for block in blocks(found):
        wrong = (block != 0) & (block != 1)
        if wrong.any():
            row, column = (int(n) for n in np.argwhere(wrong)[0])
            what = f"{name} has {block[row, column]:g} in row {first + row + 1}, column {column + 1}"
            raise InputError(f"--mask must hold 0 and 1 (known), but {what}.")
        first += len(block)
    return found
