"""The data set type, and the checks that turn the numbers of a file into rows of units in [0, 1]."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boltz.errors import FileError

Array = NDArray[Any]
GREY = 255
BLOCK = 2**22
EXPECTED = f"numbers in [0, 1], or whole numbers 0 to {GREY} throughout"


class Table(NamedTuple):
    """Numbers as a file holds them: values, the name of their array (npz only), labels, image shape, packed units."""

    values: Array
    array: str | None = None
    labels: Array | None = None
    shape: tuple[int, int] | None = None
    units: int | None = None


@dataclass(frozen=True, eq=False)
class Data:
    """Rows to learn from: x (rows, units) holds grey bytes (levels 255), 0/1 bytes (1) or float32 in [0, 1] (None).

    request holds the arguments of boltz.data.load that give the same rows again, and is empty for rows from an array.
    """

    x: Array = field(repr=False)
    name: str
    shape: tuple[int, int] | None
    levels: int | None
    fingerprint: str
    labels: Array | None = field(repr=False)
    source: str
    request: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def binary(self) -> bool:
        """True when every unit of every row is 0 or 1 after division by the levels."""
        if self.levels == 1:
            return True
        on = self.levels or 1
        return all(((block == 0) | (block == on)).all() for block in _blocks(self.x))


def fingerprint(x: Array) -> str:
    """SHA-256 (hex) of dtype, shape and bytes of an array, which names a data set independently of its file."""
    digest = hashlib.sha256(f"{x.dtype.name} {x.shape}\n".encode())
    digest.update(np.ascontiguousarray(x).data)
    return digest.hexdigest()


def units(table: Table, place: str) -> tuple[Array, int | None, tuple[int, int] | None]:
    """The rows (rows, units) of a table, their levels and image shape, or FileError naming place, row and column."""
    values, shape = table.values, table.shape
    if not 2 <= values.ndim <= 4:
        raise FileError(f"{place} has shape {values.shape}; expected (rows, units), or images with 3 or 4 axes.")
    if values.size == 0:
        raise FileError(f"{place} is empty, its shape is {values.shape}; expected at least one row and one column.")
    if table.units is not None:
        return np.unpackbits(values, axis=1, count=table.units), 1, shape
    if values.ndim == 3:
        shape = (values.shape[1], values.shape[2])
    elif values.ndim == 4:
        sides = [n for n in values.shape[1:] if n > 1]
        shape = (sides[0], sides[1]) if len(sides) == 2 else None
    return *_levels(values.reshape(len(values), -1), place), shape


def _levels(values: Array, place: str) -> tuple[Array, int | None]:
    kind = values.dtype.kind
    if kind == "b":
        values = values.view(np.uint8)
    if kind in "biu":
        most = values.max()
        allowed = 1 if kind == "b" else GREY
        if values.min() < 0 or most > allowed:
            raise _outside(values, 0, allowed, place)
        return np.ascontiguousarray(values, np.uint8), GREY if most > 1 else 1
    for block in _blocks(values):
        if not ((block >= 0) & (block <= 1)).all():
            raise _outside(values, 0, 1, place)
    return np.ascontiguousarray(values, np.float32), None


def _blocks(values: Array) -> list[Array]:
    step = max(1, BLOCK // values.shape[1])
    return [values[start : start + step] for start in range(0, len(values), step)]


def _outside(values: Array, least: int, most: int, place: str) -> FileError:
    row, column = (int(i) for i in np.argwhere(~((values >= least) & (values <= most)))[0])
    found = values[row, column]
    return FileError(f"{place}, row {row + 1}, column {column + 1} is {found:g}; expected {EXPECTED}.")
