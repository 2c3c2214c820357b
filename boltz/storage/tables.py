"""Tables of numbers written row by row, so that they may be larger than memory: .npy, .npz and .csv, atomically."""

from __future__ import annotations

import csv
import io
import os
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from boltz.errors import unwritten
from boltz.storage import atomic

Array = NDArray[Any]
Write = Callable[[Array], None]
ENDINGS, PER_ROW = (".npz", ".npy", ".csv"), (".csv", ".npy")
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a cell begins with that spreadsheets run
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
DIGITS = {np.dtype(np.float32): "%.9g", np.dtype(np.float64): "%.17g"}  # enough to read back the same number


@dataclass(frozen=True)
class Table:
    """What a file is to hold: a table of this name, its shape and type, a name for each column, and further arrays.

    Only an .npz file holds the further arrays, and only a .csv file the names of columns, in its first line.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    columns: Sequence[str]
    others: Mapping[str, Array] = field(default_factory=dict)


@contextmanager
def written(path: Path, table: Table) -> Iterator[Write]:
    """Within the block, a function that takes the next rows of the table; the file appears when all went well.

    Raises FileError where it cannot be written, before the block if that can be seen then.
    """
    with _replacing(path) as stream:
        if path.suffix == ".npy":
            _header(stream, table)
            yield lambda rows: _put(stream, rows)
        elif path.suffix == ".csv":
            stream.write(commas([table.columns]).encode())
            yield lambda rows: np.savetxt(stream, rows, DIGITS.get(table.dtype, "%d"), delimiter=",")
        else:
            with zipfile.ZipFile(stream, "w") as archive:
                with archive.open(f"{table.name}.npy", "w", force_zip64=True) as member:
                    _header(member, table)
                    yield lambda rows: _put(member, rows)
                for name, values in table.others.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name to an .npz file, deflated; it appears when it is whole. Raises FileError."""
    with _replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in arrays.items():  # numpy.savez takes none named file
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)


def write_per_row(path: Path, per_row: NDArray[np.float64], names: Sequence[str] = ("log_likelihood",)) -> None:
    """Write log-likelihoods in nats, (rows,) or (rows, machines), to a .npy file, or to a .csv one, whose columns are
    the numbers of the rows, from 1, and one a machine under its name.

    The file appears when it is whole. Raises FileError where it cannot be written.
    """
    columns = ("row", *names)
    numbered = np.column_stack([np.arange(1, len(per_row) + 1), per_row]) if path.suffix == ".csv" else per_row
    with written(path, Table("per_row", numbered.shape, np.dtype(np.float64), columns)) as write:
        write(numbered)


def commas(lines: Sequence[Sequence[Any]]) -> str:
    """Lines of comma-separated values; text that a spreadsheet would run as a formula gets an apostrophe in front."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows([[_cell(value) for value in line] for line in lines])
    return stream.getvalue()


def _cell(value: Any) -> Any:
    runs = isinstance(value, str) and value.startswith(FORMULA) and NUMBER.fullmatch(value) is None
    return f"'{value}" if runs else value


def _header(stream: IO[bytes], table: Table) -> None:
    about = {"descr": np.lib.format.dtype_to_descr(table.dtype), "fortran_order": False, "shape": table.shape}
    np.lib.format.write_array_header_1_0(stream, about)


def _put(stream: IO[bytes], rows: Array) -> None:
    stream.write(np.ascontiguousarray(rows).data)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A stream to a new file, which takes the place of path when the block ends well; raises FileError."""
    path = atomic.as_path(path)
    new = atomic.temporary(path)
    try:
        _sweep(path)
        with open(new, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(new, path)
    except OSError as problem:
        raise unwritten(f"{path} could not be written: {atomic.reason(problem, path)}.", problem) from problem
    finally:
        with suppress(OSError):
            os.unlink(new)
    atomic.sync_folder(path.parent)


def _sweep(path: Path) -> None:
    """Remove what dead processes left of this file."""
    with suppress(OSError):
        for entry in list(path.parent.iterdir()):
            if entry.suffix == ".tmp" and entry.is_file() and atomic.stale(entry) == path.name:
                os.unlink(entry)
