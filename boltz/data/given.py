"""Data from an array that a caller gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from boltz.data.sparse import SparseRows, is_sparse, sparse_rows
from boltz.data.table import Data, fingerprint, kept, row_type, rows_of, two_valued
from boltz.errors import InputError
from boltz.scale import Border, table

WITH_LEVELS = "use model.with_levels({})"


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
    values, levels = rows_of(values, border)
    if levels is None and not taken and two_valued(values, 1):
        values, levels = kept(values, 1), 1
    mark = fingerprint(values, row_type(levels))
    rows = values if isinstance(values, SparseRows) else np.asarray(values)
    return Data(rows, "array", None, levels, mark, None, "array")
