"""Rows of a sparse matrix: only the rows that are asked for are ever dense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.errors import InputError

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A SciPy matrix in CSR format without duplicates, read like an array (rows, units): [rows] gives dense rows."""

    matrix: Any

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, units)."""
        rows, units = self.matrix.shape
        return int(rows), int(units)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The number type of the dense rows."""
        found: np.dtype[Any] = self.matrix.dtype
        return found

    @property
    def ndim(self) -> int:
        """Axes, of which a matrix has two."""
        return 2

    @property
    def size(self) -> int:
        """How many numbers the dense rows have."""
        return self.shape[0] * self.shape[1]

    @property
    def itemsize(self) -> int:
        """Bytes of one of them."""
        return self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Array:
        found: Array = self.matrix[rows].toarray()
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """All rows, dense."""
        found: Array = self.matrix.toarray()
        return found if dtype is None else found.astype(dtype, copy=False)

    def mean(self) -> float:
        """The mean of the dense rows."""
        return float(self.matrix.sum(dtype=np.float64)) / self.size

    def only(self, rows: slice | NDArray[np.int64]) -> SparseRows:
        """Some of the rows, still sparse."""
        return SparseRows(self.matrix[rows])

    def clipped(self) -> SparseRows:
        """The same rows cut to [0, 1]."""
        matrix = self.matrix.copy()
        np.clip(matrix.data, 0, 1, out=matrix.data)
        return SparseRows(matrix)

    def astype(self, dtype: Any) -> SparseRows:
        """The same rows in another number type."""
        return SparseRows(self.matrix.astype(dtype))


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix or array of SciPy, which need not be imported to tell."""
    return hasattr(x, "tocsr") and hasattr(x, "nnz")


def sparse_rows(x: Any, name: str, units: int) -> SparseRows:
    """The rows of a sparse matrix (rows, units) of real numbers in any format; raises InputError."""
    if len(x.shape) != 2 or x.shape[1] != units:
        raise InputError(f"{name} must have shape (any, {units}), got {x.shape}.")
    if x.dtype.kind not in "fiub":
        raise InputError(f"{name} must be a matrix of real numbers, got dtype {x.dtype}.")
    matrix = summed(x.tocsr())
    return SparseRows(matrix.astype(np.uint8) if matrix.dtype.kind == "b" else matrix)


def summed(matrix: Any) -> Any:
    """A CSR matrix whose columns rise in each row, with numbers for the same place added, whole ones in a type that
    holds their sums.
    """
    found, kind = matrix, matrix.dtype
    if not matrix.has_canonical_format:
        found = matrix.astype(np.result_type(kind, np.int64)) if kind.kind in "iu" else matrix.copy()
        found.sum_duplicates()
    small = found.astype(kind, copy=False)
    return small if np.array_equal(small.data, found.data, equal_nan=kind.kind == "f") else found
