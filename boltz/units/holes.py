"""Rows of which some entries are unknown: where these are, and what they start at."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.errors import InputError
from boltz.rng import Key
from boltz.scale import table
from boltz.units.onehot import Visible, by_codes
from boltz.units.states import states_of

Array = NDArray[Any]
LEARNERS = ("rbm", "dbm", "multimodal")  # kinds of machines that learn from rows with unknown entries


def parted_holes(x: Any, name: str, layer: Visible) -> tuple[Any, NDArray[np.bool_] | None]:
    """Rows with a state of the layer's units where x is NaN, and which columns (rows, units) are known; None: all.

    Counts of a document stay as they are, since one with an unknown count has no known length.
    """
    if hasattr(x, "fingerprint") and x.known is not None:  # rows as boltz.load_data gives them
        return np.asarray(x.x) / (x.levels or 1), x.known
    if hasattr(x, "tocsr") or hasattr(x, "fingerprint") or layer.type.joint:
        return x, None
    found = table(x, name, layer.units // layer.columns if by_codes(x, layer) else layer.units)
    if found.dtype.kind != "f" or not np.isnan(found).any():
        return x, None
    known = ~np.isnan(found)
    if found.shape[1] != layer.units:
        return np.where(known, found, 0), np.repeat(known, layer.columns, axis=1)
    states = states_of(layer.type)
    first = np.zeros(layer.columns) if states is None else states[0]
    return np.where(known, found, np.tile(first, layer.units // layer.columns)), known


def first_guesses(rows: Array, known: NDArray[np.bool_], columns: int, key: Key) -> Array:
    """Rows (rows, units) with each unknown unit, of so many columns, as it is in a random row that knows it.

    Raises InputError where no row knows a unit.
    """
    found, generator = rows.copy(), key.generator()
    for unit in range(rows.shape[1] // columns):
        mine = slice(unit * columns, (unit + 1) * columns)
        there, lacking = np.flatnonzero(known[:, mine.start]), np.flatnonzero(~known[:, mine.start])
        if not len(there):
            raise InputError(f"x must know each of its columns in some row, but column {unit + 1} is unknown in all.")
        found[lacking, mine] = rows[generator.choice(there, len(lacking)), mine]
    return found
