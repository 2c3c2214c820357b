"""The data set type, and the checks that turn the numbers of a file or an array into rows of units.

Rows may lie in a mapped file that is larger than memory. So nothing here looks at more than a block of them at once:
what must see all (range, levels, fingerprint) goes block by block.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from boltz import checks
from boltz.data.columns import Columns
from boltz.data.sparse import SparseRows
from boltz.errors import FileError
from boltz.foreign import html_table, short_repr, shown
from boltz.rng import Key
from boltz.scale import Border, blocks, extent, levels_of
from boltz.units import units_of

Array = NDArray[Any]
LARGEST = float(np.finfo(np.float32).max)
MOST_COLUMNS = 8  # whose names a repr shows
COLOURS = 3  # channels of an image in colour
VIEWS = "views"  # the kind of rows whose columns are of several kinds
OWN_VALUES = {"gaussian": "real", "spin": "-1 and 1", "counts": "counts", "binomial": "whole numbers"}


Shape = tuple[int, ...]
"""Height and width of images, and 3 channels where these are colours, side by side in each pixel."""


class View(NamedTuple):
    """A kind of data among several: its name, its columns of rows, the kind of its units, and the shape of images."""

    name: str
    columns: int
    kind: str
    shape: Shape | None = None

    @property
    def units(self) -> int:
        """Its units."""
        return self.columns // units_of(self.kind).columns


class Table(NamedTuple):
    """Numbers as a file holds them: values, the name of their array (npz only), labels, image shape, packed units.

    columns: those that the values are of, where not all columns of the file are, or where they have names; notes: how a
    text was read; known: which of the values are, in their shape, None where all are, and others are 0. alphabet: the
    letters that values are codes of; sequences: they are those of an alignment, whose columns are sites. words: those
    that columns are counts of, of a text that has them; values may be sparse (SparseRows) where counts are asked for.
    """

    values: Any
    array: str | None = None
    labels: Array | None = None
    shape: Shape | None = None
    units: int | None = None
    columns: Columns | None = None
    notes: tuple[str, ...] = ()
    known: Array | None = None
    alphabet: str | None = None
    sequences: bool = False
    words: tuple[str, ...] | None = None

    def cell(self, row: int, column: int) -> str:
        """A number in words: row and column, as in the file."""
        columns = self.columns or Columns(None, range(column + 1))
        return columns.cell(row, column)


@dataclass(frozen=True, eq=False)
class Data:
    """Rows to learn from: x (rows, units) holds whole numbers up to levels, 0/1 bytes (1) or float32 in [0, 1] (None).

    kind: that of the units that rows are states of. "spin": -1 and 1. "gaussian": any finite numbers. "categorical:q":
    one-hot bytes (rows, units * q), levels 1; alphabet then has a letter for each of the q states, where it is known.
    "binomial:n": whole numbers from 0 to n. "counts": how often a document, a row, has each word, and columns then are
    words.

    Rows in a mapped file are read where they are used and keep the number type of the file, which must not change
    meanwhile; those of a sparse matrix (SparseRows) are made dense where they are used. request holds the arguments of
    boltz.data.load that give the same rows again, and is empty for rows from an array. notes say how a text was read;
    columns are the names of the units where it has them.
    mark is their fingerprint where it was needed already, else None.
    known (rows, units): which numbers are, None where all are; others are states that mean nothing.
    weights (rows,): how much each row counts in training, None where all count alike.
    "views": rows of several kinds of data side by side, as boltz.load_views gives them; views then says which.
    """

    x: Any = field(repr=False)
    name: str
    shape: Shape | None
    levels: int | None
    mark: str | None = field(repr=False)
    labels: Array | None = field(repr=False)
    source: str
    request: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = field(default=(), repr=False)
    kind: str = "bernoulli"
    known: Array | None = field(default=None, repr=False)
    weights: Array | None = field(default=None, repr=False)
    alphabet: str | None = None
    views: tuple[View, ...] = ()

    def __repr__(self) -> str:
        return short_repr("Data", (self.name, *self._parts().values()))

    def _repr_html_(self) -> str:
        source = None if self.source == self.name else self.source
        rows = [*self._parts().items(), ("source", source), *(("note", note) for note in self.notes)]
        return html_table(f"Data {self.name}", rows)

    @property
    def states(self) -> int:
        """Columns of a unit: the number of states of categorical units, else 1."""
        return 1 if self.kind == VIEWS else units_of(self.kind).columns

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the rows, as in fingerprint, and of which entries are known where not all are.

        The first look at it reads all of them.
        """
        found = fingerprint(self.x, row_type(self.levels)) if self.mark is None else self.mark
        if self.known is None:
            return found
        return hashlib.sha256(found.encode() + np.packbits(self.known, axis=1).tobytes()).hexdigest()

    def _parts(self) -> dict[str, str | None]:
        """What a repr and a table say alike, by name."""
        if self.kind == VIEWS:
            return self._several()
        levels = {None: OWN_VALUES.get(self.kind.partition(":")[0], "in [0, 1]"), 1: "0 and 1"}
        count, states = self.x.shape[1], self.states
        columns = shown(", ".join(self.columns[:MOST_COLUMNS]) + ", ..." * (len(self.columns) > MOST_COLUMNS))
        return {
            "rows": f"{self.x.shape[0]:,} rows of {count // states:,} units",
            "values": levels.get(self.levels, f"whole numbers, divided by {self.levels}"),
            "states": None if states == 1 else f"{states} states a unit",
            "alphabet": self.alphabet,
            "images": None if self.shape is None else f"images of {' x '.join(map(str, self.shape))}",
            "columns": f"columns {columns}" if columns else None,
            "labels": None if self.labels is None else "labels",
            "missing": None if self.known is None else "some of them missing",
            "weights": None if self.weights is None else "weighed",
        }

    def _several(self) -> dict[str, str | None]:
        """The same of rows of several kinds of data."""
        named = ", ".join(f"{view.name} ({view.units:,} {view.kind})" for view in self.views)
        return {
            "rows": f"{self.x.shape[0]:,} rows of {self.x.shape[1]:,} columns",
            "views": named or None,
            "labels": None if self.labels is None else "labels",
            "missing": None if self.known is None else "some of them missing",
            "weights": None if self.weights is None else "weighed",
        }

    @cached_property
    def binary(self) -> bool:
        """True when every unit of every row is 0 or 1 after division by the levels."""
        return self.levels == 1 or two_valued(self.x, self.levels or 1)


def columns_entry(columns: tuple[str, ...]) -> dict[str, str]:
    """What run.toml says of the names of columns: marks of them in their order, and of them in any."""
    if not columns:
        return {}
    marks = (hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] for names in (columns, sorted(columns)))
    return dict(zip(("columns", "names"), marks, strict=True))


def row_type(levels: int | None) -> type[np.uint8] | type[np.uint16] | type[np.float32]:
    """The number type of rows in memory."""
    if levels is None:
        return np.float32
    return np.uint8 if levels <= np.iinfo(np.uint8).max else np.uint16


def kept(values: Any, levels: int | None) -> Any:
    """Rows ready for use: a memory map as it is, sparse ones in their row type, others contiguous too."""
    if isinstance(values, SparseRows):
        return values.astype(row_type(levels))
    return values if isinstance(values, np.memmap) else np.ascontiguousarray(values, row_type(levels))


def fingerprint(x: Array, dtype: Any = None) -> str:
    """SHA-256 (hex) of dtype, shape and bytes of rows (rows, units) in dtype, by default their own.

    It names a data set independently of its file: mapped rows in their row type have that of the same rows in memory.
    """
    dtype = x.dtype if dtype is None else np.dtype(dtype)
    digest = hashlib.sha256(f"{dtype.name} {x.shape}\n".encode())
    for block in blocks(x):
        digest.update(np.ascontiguousarray(block, dtype).data)
    return digest.hexdigest()


def two_valued(x: Array, on: int) -> bool:
    """Whether every number is 0 or on."""
    return all(((block == 0) | (block == on)).all() for block in blocks(x))


def zeros_and_ones(x: Array) -> NDArray[np.uint8] | None:
    """Rows (rows, units) as bytes where every number is 0 or 1, else None."""
    found, row = np.empty(x.shape, np.uint8), 0
    for block in blocks(x):
        ones = found[row : row + len(block)].view(bool)
        row += len(block)
        np.equal(block, 1, out=ones)
        if not ((block == 0) | ones).all():
            return None
    return found


def units(table: Table, border: Border) -> tuple[Array, int | None, Shape | None]:
    """The rows (rows, units) of a table, their levels and image shape, or FileError naming place, row and column."""
    values, shape, place = table.values, table.shape, border.name
    if not 2 <= values.ndim <= 4:
        raise FileError(f"{place} has shape {values.shape}; expected (rows, units), or images with 3 or 4 axes.")
    if values.size == 0:
        raise FileError(f"{place} is empty, its shape is {values.shape}; expected at least one row and one column.")
    if table.units is not None:
        return np.unpackbits(values, axis=1, count=table.units), 1, shape
    if values.ndim in (3, 4):
        shape = sides_of(values.shape[1:])
    return *rows_of(values.reshape(len(values), -1), replace(border, cell=table.cell)), shape


def sides_of(axes: Shape) -> Shape | None:
    """The shape of images (height, width), or (height, width, 3) of colours; one more axis of 1 is none. None: no such.

    Planes of colours, (3, height, width), are no image whose rows lie pixel by pixel.
    """
    if len(axes) == 2 or (axes[2] == COLOURS and min(axes) > 1):
        return axes
    sides = tuple(n for n in axes if n > 1)
    return sides if len(sides) == 2 else None


def rows_of(values: Any, border: Border) -> tuple[Any, int | None]:
    """Numbers (rows, units) of any real type as rows, and their levels; raises the errors of the border.

    Rounding beyond [0, 1] is cut off, in memory.
    """
    if border.as_they_are(values):
        finite(values, border)
        return (values if isinstance(values, np.memmap) else _exact(values)), None
    if values.dtype.kind == "b":
        values, border = values.view(np.uint8), replace(border, levels=1)  # a file may hold more than 0 and 1 there
    levels = levels_of(values, border)
    if levels is None:
        low, high = extent(values)
        values = values if low >= 0 and high <= 1 else clipped(values)
    return kept(values, levels), levels


def clipped(values: Any) -> Any:
    """Rows (rows, units) cut to [0, 1], in memory, as 32-bit numbers."""
    if isinstance(values, SparseRows):
        return values.clipped()
    return np.concatenate([np.clip(block, 0, 1, dtype=np.float32, casting="same_kind") for block in blocks(values)])


def _exact(values: Any) -> Any:
    """Rows in memory with all their digits, which columns far from 0 need: in float32 only where that holds them."""
    exact = np.result_type(values.dtype, np.float32)
    return values.astype(exact) if isinstance(values, SparseRows) else np.ascontiguousarray(values, exact)


def finite(values: Any, border: Border) -> None:
    """Check that all numbers (rows, units) are finite ones within the range of 32-bit numbers; raises InputError."""
    low, high = extent(values)
    if not (low >= -LARGEST and high <= LARGEST):
        raise border.misfit(values, -LARGEST, LARGEST, "finite numbers within the range of float32")


def few_rows(labels: Array, number: int, seed: int = 0) -> NDArray[np.int64]:
    """Numbers, in rising order, of so many rows drawn by seed: of each class of labels (rows,) the same number or one
    more, but all rows of a class that has fewer. Raises InputError.
    """
    checks.integer(number, "few", 1, len(labels))
    key = Key.from_seed(checks.integer(seed, "seed", 0, 2**63 - 1)).derive("few")
    order = key.generator().permutation(len(labels))
    _, classes, counts = np.unique(labels[order], return_inverse=True, return_counts=True)
    turn = np.empty(len(labels), np.int64)
    turn[np.argsort(classes, kind="stable")] = np.concatenate([np.arange(count) for count in counts])
    return np.sort(order[np.argsort(turn, kind="stable")[:number]])


def parted(data: Data, share: float, seed: int) -> tuple[Data, Data]:
    """The rows in two parts, drawn by seed: those to learn from, and a share of at least one row that is held out."""
    count = len(data.x)
    held = held_rows(count, share)
    order = Key.from_seed(seed).derive("validation").generator().permutation(count)
    return only(data, np.sort(order[held:])), only(data, np.sort(order[:held]))


def held_rows(count: int, share: float) -> int:
    """How many of so many rows a share holds out: at least one, and not all."""
    return min(max(round(share * count), 1), count - 1) if share > 0 else 0


def known_in_full(data: Data, least: int = 1) -> Data | None:
    """The rows that are known in full, which are all of most data; None where they are fewer than least."""
    if data.known is None:
        return data
    whole = np.flatnonzero(data.known.all(axis=1))
    return replace(only(data, whole), known=None) if len(whole) >= least else None


def only(data: Data, rows: NDArray[np.int64]) -> Data:
    """Some rows of data by their numbers, as an array of their own."""
    sparse = isinstance(data.x, SparseRows)
    x: Any = data.x.only(rows) if sparse else np.ascontiguousarray(data.x[rows])
    parts = {name: getattr(data, name) for name in ("labels", "weights", "known")}
    kept: dict[str, Any] = {name: None if part is None else part[rows] for name, part in parts.items()}
    return replace(data, x=x, **kept, mark=None, request={})
