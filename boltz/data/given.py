"""Data from an array that a caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from boltz import checks
from boltz.data.sparse import SparseRows, is_sparse, sparse_rows
from boltz.data.table import (
    EXPECTED,
    LARGEST,
    Data,
    Refusal,
    check_range,
    fingerprint,
    kept,
    row_type,
    rows_of,
    two_valued,
)
from boltz.errors import InputError


def given(x: Any, name: str, units: int, real: bool = False) -> Data:
    """Rows x (rows, units) of numbers in [0, 1] or whole numbers 0 to 255; real: any finite numbers, as they are.

    A numpy memory map stays in its file, and a sparse matrix sparse; raises InputError.
    """
    values: Any = sparse_rows(x, name, units) if is_sparse(x) else checks.numbers(x, name, (None, units))
    if len(values) == 0:
        raise InputError(f"{name} must have at least one row, got none.")
    levels = None
    if real:
        check_range(values, -LARGEST, LARGEST, _refusal(name, "finite numbers within the range of float32"))
        values = values if isinstance(values, np.memmap) else _real(values)
    else:
        values, levels = rows_of(values, _refusal(name, EXPECTED))
        if levels is None and two_valued(values, 1):
            values, levels = kept(values, 1), 1
    mark = fingerprint(values, row_type(levels))
    rows = values if isinstance(values, SparseRows) else np.asarray(values)
    return Data(rows, "array", None, levels, mark, None, "array")


def _real(values: Any) -> Any:
    """Rows in memory with all their digits, which columns far from 0 need: in float32 only where that holds them."""
    exact = np.result_type(values.dtype, np.float32)
    return values.astype(exact) if isinstance(values, SparseRows) else np.ascontiguousarray(values, exact)


def _refusal(name: str, expected: str) -> Refusal:
    def refusal(row: int, column: int, found: Any) -> InputError:
        return InputError(f"{name} must hold {expected}, got {found:g} at index ({row}, {column}).")

    return refusal
