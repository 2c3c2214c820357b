"""Rows that are counts of words: how frequent each word is, and which documents are of one length."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import scale
from boltz.errors import InputError
from boltz.models.graph import Layer
from boltz.units.states import refuse_others

Array = NDArray[Any]
Floats = NDArray[np.float64]


def word_totals(x: Any, layer: Layer, name: str = "x") -> Floats:
    """How often each word occurs in documents x (rows, words), dense or sparse, (words,); raises InputError."""
    loaded = hasattr(x, "fingerprint")
    rows = getattr(x, "x", x) if loaded else x
    if hasattr(rows, "tocsr"):
        if len(rows.shape) != 2 or rows.shape[1] != layer.units:
            raise InputError(f"{name} must have shape (any, {layer.units}), got {rows.shape}.")
        rows = rows.tocsr()
    elif not (loaded and hasattr(rows, "matrix")):
        rows = scale.table(rows, name, layer.units)
    if not rows.shape[0]:
        raise InputError(f"{name} must have at least one row, got none.")
    total, step = np.zeros(layer.units), max(1, scale.BLOCK // layer.units)
    for first in range(0, rows.shape[0], step):
        block = rows[first : first + step]
        block = np.asarray(block.toarray() if hasattr(block, "toarray") else block)
        refuse_others(layer.type, block, name, first)
        total += block.sum(axis=0, dtype=np.float64)
    return total


def log_frequencies(x: Any, layer: Layer, name: str = "x") -> Floats:
    """Logs of the frequencies of words (words,) in documents x (rows, words), one word of each added."""
    total = word_totals(x, layer, name) + 1
    return np.asarray(np.log(total / total.sum()))


def lengths_of(rows: Array) -> NDArray[np.int64]:
    """Words of each of some rows of counts (rows, words), (rows,)."""
    return np.asarray(rows.sum(axis=1, dtype=np.float64)).astype(np.int64)


def lengths_of_rows(rows: Any) -> NDArray[np.int64]:
    """The same of rows that may be sparse, or lie in a file, block by block."""
    return np.concatenate([lengths_of(block) for block in scale.blocks(rows)])


def by_length(rows: Array) -> dict[int, NDArray[np.int64]]:
    """Numbers of the rows of each length that there is among rows of counts (rows, words), in rising order."""
    lengths = lengths_of(rows)
    return {int(n): np.flatnonzero(lengths == n) for n in np.unique(lengths)}
