"""Counts of words of a file as rows: whole numbers, in each row some words and not too many."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data.sparse import SparseRows
from boltz.errors import FileError
from boltz.scale import Border, blocks
from boltz.units.counts import LARGEST_COUNT, LONGEST, Counts

Array = NDArray[Any]
WHOLE = f"counts of words, whole numbers from 0 to {LARGEST_COUNT:,}"
UNKNOWN = "a document with an unknown count has no known length: write 0 for no word, or leave the row out"


def count_type(most: float) -> Any:
    """The smallest number type of rows that holds counts up to the most."""
    return np.uint8 if most < 2**8 else np.uint16 if most < 2**16 else np.float32


def counted(values: Any, known: Array | None, units: Any, border: Border) -> Any:
    """Counts (rows, words) of a file, dense or sparse, in a type that holds them; mapped ones as they lie there.

    known: which of them are, None where all are; units: those that rows are states of. Raises FileError naming the
    first row that is no document.
    """
    if known is not None:
        row, column = (int(n) for n in np.argwhere(~known)[0])
        raise FileError(f"{border.name}, {border.cell(row, column)} is missing: {UNKNOWN}.")
    if isinstance(values, SparseRows):
        return _sparse(values, units, border)
    first, most = 0, 0.0
    for block in blocks(values):
        wrong = _wrong(block)
        if wrong.any():
            row, column = (int(n) for n in np.argwhere(wrong)[0])
            raise _no_count(border, border.cell(first + row, column), block[row, column])
        _check_lengths(block.sum(axis=1, dtype=np.float64), units, border, first)
        first, most = first + len(block), max(most, float(block.max()))
    return values if isinstance(values, np.memmap) else np.ascontiguousarray(values, count_type(most))


def _sparse(values: SparseRows, units: Counts, border: Border) -> SparseRows:
    """The same of a sparse matrix, of which only the numbers that it holds are looked at."""
    matrix = values.matrix
    wrong = np.flatnonzero(_wrong(matrix.data))
    if len(wrong):
        row = int(np.searchsorted(matrix.indptr, wrong[0], side="right")) - 1
        raise _no_count(border, border.cell(row, int(matrix.indices[wrong[0]])), matrix.data[wrong[0]])
    _check_lengths(np.asarray(matrix.astype(np.float64).sum(axis=1)).ravel(), units, border, 0)
    return values.astype(count_type(float(matrix.data.max())))


def _wrong(x: Array) -> Array:
    """Which numbers are no counts."""
    return np.asarray(~((x >= 0) & (x <= LARGEST_COUNT) & (x == np.floor(x))))


def _no_count(border: Border, cell: str, found: Any) -> FileError:
    remedy = f": {UNKNOWN}" if found != found else ""
    return FileError(f"{border.name}, {cell} is {float(found):g}; expected {WHOLE}{remedy}.")


def _check_lengths(lengths: NDArray[np.float64], units: Counts, border: Border, first: int) -> None:
    """Raise FileError for the first of some rows that has no word, too many, or others than the units have."""
    wanted = "at least one word" if units.own_lengths else f"{units.length:,} words, as the machine has"
    wrong = lengths == 0 if units.own_lengths else lengths != units.length
    remedy = "leave it out"
    if not wrong.any():
        wrong, wanted, remedy = lengths > LONGEST, f"at most {LONGEST:,} words", "cut it up"
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        found = f"{lengths[row]:,.0f} words" if lengths[row] else "no words"
        raise FileError(f"{border.name}, row {row + first + 1} has {found}; expected {wanted}: {remedy}.")
