"""Data from an array that a caller gives."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from boltz.data.counts import count_type
from boltz.data.dataset import VIEWS, Data, kept, rows_of, two_valued, zeros_and_ones
from boltz.data.sparse import SparseRows, is_sparse, sparse_rows
from boltz.errors import InputError
from boltz.scale import Border, blocks, table
from boltz.units.holes import parted_holes
from boltz.units.levels import levels_in
from boltz.units.onehot import Visible, by_columns, not_states
from boltz.units.states import are_states, refuse_others

WITH_LEVELS = "use model.with_levels({})"
KINDS = {
    "gaussian": "real numbers",
    "bernoulli": "units of 0 and 1",
    "spin": "-1/+1 spins",
    "counts": "counts of words",
}  # what rows are called


def given(x: Any, name: str, units: int, real: bool = False, levels: int | None = None) -> Data:
    """Rows x (rows, units) of numbers in [0, 1], 0/1 or grey bytes; real: any finite numbers, as they are.

    levels: what whole numbers are divided by, where that is known. A numpy memory map stays in its file, and a sparse
    matrix sparse; raises InputError.
    """
    values: Any = sparse_rows(x, name, units) if is_sparse(x) else table(x, name, units)
    if len(values) == 0:
        raise InputError(f"{name} must have at least one row, got none.")
    border = Border(name, levels, WITH_LEVELS, real=real)
    taken = border.as_they_are(values)
    plain = type(values) is np.ndarray and values.dtype.kind == "f" and not taken
    found = zeros_and_ones(values) if plain else None
    if found is not None:
        return Data(found, "array", None, 1, None, None, "array")
    values, levels = rows_of(values, border)
    if levels is None and not taken and two_valued(values, 1):
        values, levels = kept(values, 1), 1
    rows = values if isinstance(values, SparseRows) else np.asarray(values)
    return Data(rows, "array", None, levels, None, None, "array")


def as_data(x: Any, name: str, layer: Visible, levels: int | None = None, missing: bool = False) -> Data:
    """Rows as Data, checked against the visible layer and the levels of a machine; raises InputError.

    missing: some entries may be unknown, NaN in an array.
    """
    if not isinstance(x, Data):
        x, known = parted_holes(x, name, layer) if missing else (x, None)
        x = replace(_taken_as(x, name, layer, levels), known=known)
    if x.known is not None and (not missing or layer.type.joint):
        raise InputError(
            f"{name} ({x.source}) must have no missing numbers here: leave such rows out, or fill them in; RBMs "
            "and DBMs alone learn from them."
        )
    refuse_other_kind(x, f"{name} ({x.source})", layer.kind)
    if levels is not None and x.levels not in (None, 1, levels):
        raise InputError(
            f"{name} ({x.source}) is divided by {x.levels}, but the machine divides whole numbers by {levels}: load it "
            f"with levels={levels}, or give floats in [0, 1]."
        )
    if x.x.shape[1] != layer.units:
        raise InputError(f"{name} ({x.source}) must have {layer.units} units a row, got {x.x.shape[1]}.")
    if len(x.x) == 0:
        raise InputError(f"{name} ({x.name}) must have at least one row, got none.")
    return x


def refuse_other_kind(x: Data, name: str, kind: str) -> None:
    """Raise InputError for rows that are states of other units than those of a kind."""
    if x.kind == kind or (kind == "gaussian" and x.kind == "bernoulli"):
        return
    if (levels := levels_in(kind)) is not None:
        _refuse_other_levels(x, name, levels)
        return
    if x.kind == VIEWS:
        raise InputError(f"{name} holds several kinds of data, but the machine has one visible layer of {kind} units.")
    remedy = "give (x + 1) / 2" if (x.kind, kind) == ("spin", "bernoulli") else f"load it with units={kind!r}"
    raise InputError(
        f"{name} was loaded as {KINDS.get(x.kind, x.kind)}, but the visible units of the machine are {kind}: {remedy}."
    )


def _refuse_other_levels(x: Data, name: str, levels: int) -> None:
    """Raise InputError for rows that are not whole numbers from 0 to levels - 1 as loaded."""
    if x.kind != "bernoulli" or x.levels is None:
        found = "numbers in [0, 1]" if x.kind == "bernoulli" else KINDS.get(x.kind, x.kind)
        raise InputError(
            f"{name} holds {found}, but the visible units of the machine have {levels} levels: give whole numbers from "
            f"0 to {levels - 1}, without units."
        )
    if x.levels != levels - 1:
        raise InputError(
            f"{name} holds whole numbers from 0 to {x.levels}, but the visible units of the machine have {levels} "
            f"levels, from 0 to {levels - 1}: load it with levels={levels - 1} (--levels {levels - 1})."
        )


def _taken_as(x: Any, name: str, layer: Visible, levels: int | None) -> Data:
    """Rows of an array as Data of the kind of the layer; raises InputError."""
    if layer.type.joint:
        return _documents(x, name, layer)
    if (own := levels_in(layer.kind)) is not None:
        return _whole(x, name, layer, own - 1)
    plain = layer.columns == 1
    found = given(by_columns(x, layer, name), name, layer.units, plain and not layer.binary, levels if plain else None)
    if layer.binary:
        return found
    if layer.kind == "gaussian":
        return found if found.levels else replace(found, kind=layer.kind)
    if not all(are_states(layer.type, block) for block in blocks(found.x)):
        raise InputError(not_states(name, layer))
    return replace(found, kind=layer.kind)


def _whole(x: Any, name: str, layer: Visible, highest: int) -> Data:
    """Rows of whole numbers from 0 to the highest level as Data, in the smallest type that holds them."""
    values = table(x, name, layer.units)
    if len(values) == 0:
        raise InputError(f"{name} must have at least one row, got none.")
    if not all(are_states(layer.type, block) for block in blocks(values)):
        raise InputError(not_states(name, layer))
    return Data(kept(values, highest), "array", None, highest, None, None, "array")


def _documents(x: Any, name: str, layer: Visible) -> Data:
    """Rows of counts of words, dense or sparse ones, as Data in a number type that holds them; raises InputError."""
    values: Any = sparse_rows(x, name, layer.units) if is_sparse(x) else table(x, name, layer.units)
    if len(values) == 0:
        raise InputError(f"{name} must have at least one row, got none.")
    first, most = 0, 0.0
    for block in blocks(values):
        refuse_others(layer.type, block, name, first)
        first, most = first + len(block), max(most, float(block.max()))
    rows = values if isinstance(values, np.memmap) else values.astype(count_type(most))
    return Data(rows, "array", None, None, None, None, "array", kind=layer.kind)
