"""Read a sparse matrix as scipy.sparse.save_npz writes it, without unpickling; every array is treated as hostile."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.data.sparse import SparseRows, summed
from boltz.errors import FileError

Array = NDArray[Any]
MOST_COLUMNS = 2**24  # of which a row must fit into memory several times


def is_sparse_file(names: Container[str]) -> bool:
    """Whether the names of the arrays of an .npz file are those of a sparse matrix."""
    return all(name in names for name in ("data", "shape", "format"))


def checked_format(found: str, place: str) -> None:
    """Raise FileError unless the format of a sparse matrix is CSR, which has its rows one after the other."""
    if found != "csr":
        raise FileError(
            f"{place} holds a sparse matrix of format {found!r:.20}; expected 'csr': save matrix.tocsr() with "
            "scipy.sparse.save_npz."
        )


def read_csr(member: Callable[[str], Array], place: str) -> SparseRows:
    """The rows of a CSR matrix whose arrays member gives by name; raises FileError.

    Where a row has several numbers for one column, they are added, as SciPy does.
    """
    from scipy.sparse import csr_array

    shape, data, indices, starts = (member(name) for name in ("shape", "data", "indices", "indptr"))
    _check_shape(shape, place)
    rows, columns = (int(n) for n in shape)
    for name, values in (("data", data), ("indices", indices), ("indptr", starts)):
        if values.ndim != 1:
            raise FileError(f"{place}: array {name!r} has {values.ndim} axes; expected one.")
        if name != "data" and values.dtype.kind not in "iu":
            raise FileError(f"{place}: array {name!r} holds {values.dtype.name}; expected whole numbers.")
    if len(data) != len(indices):
        raise FileError(f"{place}: array 'indices' has {len(indices)} numbers; expected {len(data)}, as 'data' has.")
    if len(starts) != rows + 1:
        raise FileError(f"{place}: array 'indptr' has {len(starts)} numbers; expected {rows + 1}, one more than rows.")
    if starts[0] != 0 or (starts[1:] < starts[:-1]).any() or starts[-1] > len(data):
        raise FileError(f"{place}: array 'indptr' must rise from 0 to at most {len(data)}, the length of 'data'.")
    used = int(starts[-1])
    data, indices = data[:used], indices[:used]
    if used and not (indices.min() >= 0 and indices.max() < columns):
        wrong = int(indices.min()) if indices.min() < 0 else int(indices.max())
        raise FileError(f"{place}: array 'indices' holds {wrong}; expected columns from 0 to {columns - 1}.")
    small = np.int64 if used >= 2**31 else np.int32
    matrix = csr_array((_native(data), indices.astype(small), starts.astype(small)), shape=(rows, columns))
    matrix = summed(matrix)
    matrix.eliminate_zeros()
    return SparseRows(matrix)


def _check_shape(shape: Array, place: str) -> None:
    """Raise FileError unless a shape is of at least a row and a column, and not of too many columns."""
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise FileError(f"{place}: array 'shape' must hold 2 whole numbers, rows and columns, got {shape.ravel()[:4]}.")
    if shape.min() < 1 or shape[1] > MOST_COLUMNS or shape[0] >= 2**62:
        found = " x ".join(str(int(n)) for n in shape)
        raise FileError(
            f"{place} is {found}, rows by columns; expected at least one row, and from 1 to {MOST_COLUMNS:,} columns."
        )


def _native(data: Array) -> Array:
    """Numbers in the byte order of the processor and a type that SciPy computes in, truth values as 0 and 1."""
    kind = data.dtype
    wide = np.uint8 if kind.kind == "b" else np.float32 if kind == np.float16 else kind
    return data.astype(np.dtype(wide).newbyteorder("="), copy=False)
