"""Rows of units other than 0 and 1 as callers give them: states, or codes of categorical units for one-hot columns."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from boltz import scale
from boltz.errors import InputError
from boltz.units import Units
from boltz.units.states import state_words

Array = NDArray[Any]


class Visible(Protocol):
    """The visible layer of a machine: its name, how many columns of units it has, and of what kind."""

    @property
    def units(self) -> int:
        """How many columns."""

    @property
    def columns(self) -> int:
        """Columns of a unit."""

    @property
    def kind(self) -> str:
        """The unit type by name."""

    @property
    def binary(self) -> bool:
        """Whether they are 0 and 1."""

    @property
    def type(self) -> Units:
        """The unit type."""


def one_hot(codes: Array, columns: int, name: str = "codes") -> NDArray[np.uint8]:
    """One-hot rows (rows, units * columns) of codes (rows, units) from 0 to columns - 1; name is what errors call them.

    Raises InputError for numbers that are no codes, NaN among them.
    """
    whole = np.asarray(codes)
    wrong = ~((whole >= 0) & (whole < columns) & (whole == np.floor(whole)))
    if wrong.any():
        row, column = (int(n) for n in np.argwhere(wrong)[0])
        raise InputError(
            f"{name} must hold whole numbers from 0 to {columns - 1}, the codes of {columns} states, got "
            f"{whole[row, column]:g} at index ({row}, {column})."
        )
    found = np.zeros((*whole.shape, columns), np.uint8)
    np.put_along_axis(found, whole.astype(np.int64)[..., None], 1, axis=2)
    return found.reshape(len(whole), -1)


def codes_of(x: Array, columns: int) -> NDArray[np.int64]:
    """Codes (rows, units) of one-hot rows (rows, units * columns), or those of the largest of probabilities."""
    return np.asarray(x).reshape(len(x), -1, columns).argmax(axis=2)


def by_columns(x: Any, layer: Visible, name: str) -> Any:
    """Rows of a layer whose units have several columns: one-hot (rows, units * columns) as they are, codes (rows,
    units) as one-hot ones. Raises InputError.
    """
    return one_hot(scale.table(x, name, layer.units // layer.columns), layer.columns, name) if by_codes(x, layer) else x


def by_codes(x: Any, layer: Visible) -> bool:
    """Whether rows of a layer are codes, one for each unit of several columns."""
    if layer.columns == 1 or hasattr(x, "tocsr"):
        return False
    shape = shape_of(x)
    return len(shape) == 2 and shape[1] == layer.units // layer.columns


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of what may be an array, none for what cannot be one."""
    try:
        found = np.shape(x)
        return found if isinstance(found, tuple) else ()
    except Exception:  # of rows of different lengths, or of a stranger's class
        return ()


def not_states(name: str, layer: Visible) -> str:
    """What to say of rows that are no states of their layer."""
    if layer.columns > 1:
        sites = layer.units // layer.columns
        return (
            f"{name} must hold codes (rows, {sites}) from 0 to {layer.columns - 1}, or one-hot rows (rows, "
            f"{layer.units}) with a single 1 in the {layer.columns} columns of each unit."
        )
    if layer.type.support is None:
        return f"{name} must hold states of {layer.kind} units, numbers of at least 0."
    remedy = f": for 0 and 1 give 2 * {name} - 1" if layer.type.support == (-1.0, 1.0) else ""
    return f"{name} must hold states of {layer.kind} units, {state_words(layer.type)}{remedy}."
