"""Read a table of numbers from text, line by line, naming the row and the column of the first thing that is wrong."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Iterator
from itertools import chain
from typing import IO, Any

import numpy as np

from boltz.data.columns import Array, Asked, Columns, label_values, refuse_labels
from boltz.data.dataset import Table
from boltz.data.header import TRUTH, Layout, cells_of, layout_of, number
from boltz.errors import FileError

LONGEST_LINE = 2**22
ROWS_AT_ONCE = 1000
TEXT_AT_ONCE = 2**22
FIRST_LINES, FIRST_BYTES = 50, 2**20  # that tell the layout


def read_comma(stream: IO[bytes], place: str, limit: int, asked: Asked | None = None) -> Table:
    """The units (rows, units) of a table of text, the labels and names of columns, and notes on how it was read.

    Cells are separated by commas, semicolons, tabs or blanks; the first line may name the columns, the first column the
    rows. Whole numbers come as int16, int32 or int64, others as float32, or as float64 where all digits are asked for,
    and missing ones, where they are asked for, as 0 that is not known. Raises FileError.
    """
    lines = text_lines(stream, place, limit)
    first = _first(lines)
    if not first:
        raise FileError(f"{place} holds no rows.")
    asked = asked or Asked()
    layout = layout_of(first, place, asked)
    rows = _Rows(layout, asked, place)
    floats = np.float64 if asked.exact else np.float32
    blocks: list[Array] = []
    known: list[Array] = []
    for held in _pieces(chain(first[layout.names is not None :], lines)):
        block = rows.block(held)
        if asked.missing:
            known.append(~np.isnan(block))
            block = np.where(known[-1], block, 0)
        blocks.append(_narrow(block, floats))
    if not blocks:
        raise FileError(f"{place} holds no rows of numbers, only the line {first[0]!r:.60}.")
    kind = floats if any(b.dtype.kind == "f" for b in blocks) else np.result_type(*blocks)
    with np.errstate(over="ignore"):
        return rows.table(
            np.concatenate(blocks, dtype=kind, casting="unsafe"), np.concatenate(known) if known else None
        )


def text_lines(stream: IO[bytes], place: str, limit: int, wanted: str = "a row of numbers") -> Iterator[str]:
    """Lines as text without line ends; empty lines are allowed at the end of the file only. Raises FileError."""
    size = count = empty = 0
    while raw := stream.readline(LONGEST_LINE):
        count += 1
        size += len(raw)
        if len(raw) == LONGEST_LINE or size > limit:
            raise FileError(f"{place}, line {count} passes {LONGEST_LINE} bytes, or the text {limit} bytes.")
        try:
            line = raw.decode("utf-8-sig" if count == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as problem:
            raise FileError(f"{place}, line {count} is not text in UTF-8; expected a table of numbers.") from problem
        if not line.strip():
            empty = empty or count
            continue
        if empty:
            raise FileError(f"{place}, line {empty} is empty; expected {wanted}.")
        if line.lstrip().startswith("#") or re.fullmatch(r"sep=.", line.strip()):
            raise FileError(f"{place}, line {count} is no row ({line.strip()!r:.40}); take such lines out.")
        if "\r" in line:
            raise FileError(f"{place}, line {count} has a carriage return within; expected LF or CRLF at line ends.")
        yield line


def _first(lines: Iterator[str]) -> list[str]:
    """The first lines, so many as tell the layout."""
    found: list[str] = []
    size = 0
    for line in lines:
        found.append(line)
        size += len(line)
        if len(found) >= FIRST_LINES or (size > FIRST_BYTES and len(found) > 1):
            break
    return found


def _pieces(lines: Iterator[str]) -> Iterator[list[str]]:
    """The lines in lists of some size."""
    held: list[str] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if len(held) >= ROWS_AT_ONCE or size > TEXT_AT_ONCE:
            yield held
            held, size = [], 0
    if held:
        yield held


def _narrow(block: Array, floats: type[np.floating[Any]]) -> Array:
    """Numbers of float64 in the smallest type: int16, int32 or int64 if all are whole, else that of floats."""
    most = float(np.abs(block).max())
    if most < 2**53 and (block == np.rint(block)).all():
        return block.astype(np.int16 if most < 2**15 else np.int32 if most < 2**31 else np.int64)
    with np.errstate(over="ignore"):
        return block.astype(floats)


class _Rows:
    """The rows of a table as they are read, and the labels and names of rows so far."""

    def __init__(self, layout: Layout, asked: Asked, place: str) -> None:
        self.layout, self.place, self.rows, self.missing = layout, place, 0, asked.missing
        self.label, drop = asked.indices(layout.names, layout.columns, place)
        self.named = layout.row_names and self.label != 0 and 0 not in drop
        if self.named:
            refuse_labels(Columns(layout.names, (0,)), place)
        left = drop | {self.label} | ({0} if self.named else set())
        kept = tuple(i for i in range(layout.columns) if i not in left)
        if not kept:
            raise FileError(f"{place} has {layout.columns} columns, of which none would be left as a unit.")
        self.columns = Columns(layout.names, kept, int(layout.names is not None), layout.greatest)
        self.dropped = len(drop)
        self.labels: list[str] = []
        self.names: array[float] | None = array("d") if self.named else None  # of rows; None where there is text
        self.points = self.commas = False  # whether they stand in numbers
        self.truth = True  # whether all cells so far are True or False

    def block(self, lines: list[str]) -> Array:
        """The numbers (rows, units) of the next rows; raises FileError."""
        values = self._plain(lines)
        return np.stack([self._row(line) for line in lines]) if values is None else values

    def _plain(self, lines: list[str]) -> Array | None:
        """The next rows all at once, None (and nothing done) unless their cells are plain numbers."""
        columns, units = self.layout.columns, self.columns.units
        try:
            rows = list(cells_of(lines, self.layout.separator))
            if len(rows) != len(lines) or any(len(row) != columns for row in rows):
                return None
            kept = rows if len(units) == columns else [[row[i] for i in units] for row in rows]
            cells = list(chain.from_iterable(kept))
            values = np.fromiter(map(float, cells), np.float64, len(cells)).reshape(len(lines), -1)
        except (csv.Error, ValueError):
            return None
        text, self.truth = "".join(cells), False
        if "_" in text or not text.isascii() or self.commas or np.isnan(values).any():
            return None
        self.points |= "." in text
        for row in rows if self.label is not None or self.names is not None else ():
            self._aside(row)
        self.rows += len(rows)
        return values

    def _row(self, line: str) -> Array:
        """The numbers (units,) of the next row; raises FileError."""
        try:
            (cells,) = cells_of([line], self.layout.separator)
        except csv.Error as problem:
            raise FileError(f"{self._where()} cannot be cut into cells: {str(problem)!r:.80}.") from problem
        if len(cells) != self.layout.columns:
            found = f"{self._where()} has {len(cells)} columns"
            raise FileError(f"{found}; expected {self.layout.columns} as in the first line.")
        self._aside(cells)
        values = self._numbers([cells[i] for i in self.columns.units])
        self.rows += 1
        return values

    def _aside(self, cells: list[str]) -> None:
        """Keep the label and the name of a row."""
        if self.label is not None:
            self.labels.append(cells[self.label].strip())
        if self.names is not None:
            name = number(cells[0])
            if name is None:
                self.names = None
            else:
                self.names.append(name)

    def _where(self) -> str:
        return f"{self.place}, row {self.rows + 1} (line {self.rows + 1 + self.columns.lines})"

    def _numbers(self, cells: list[str]) -> Array:
        """The numbers of cells one by one; raises FileError for text and for missing values."""
        found = [number(cell) for cell in cells]
        self.truth &= all(cell.strip().lower() in TRUTH for cell in cells)
        if None in found:
            unit = found.index(None)
            option = self.columns.option(unit)
            out = f"use --label-column {option} for labels, or leave the column out with --drop-column {option}"
            what = f"{self.columns.words(unit)} is {cells[unit].strip()!r:.40}"
            raise FileError(f"{self._where()}, {what}; expected a number: {out}.")
        values = np.array(found, np.float64)
        self.points |= any("." in cell for cell in cells)
        self.commas |= any("," in cell for cell in cells)
        if np.isnan(values).any() and not self.missing:
            unit = int(np.flatnonzero(np.isnan(values))[0])
            what = f"{self.columns.words(unit)} is {cells[unit].strip()!r:.20}, a missing value"
            out = f"leave the row out, or the column with --drop-column {self.columns.option(unit)}"
            raise FileError(
                f"{self._where()}, {what}; expected numbers everywhere: fill it in (boltz complete), {out}."
            )
        if self.points and self.commas:
            raise FileError(f"{self._where()}: numbers have decimal points and decimal commas; expected one of them.")
        return values

    def table(self, values: Array, known: Array | None) -> Table:
        """The table of all rows, whose numbers of units are values (rows, units), and which are known (None: all).

        Raises FileError.
        """
        greatest, names = self.layout.greatest, self.names
        if greatest is not None and values.max() >= greatest:
            found = f"the first line may name the columns, up to {greatest:g}, or be a row of data"
            raise FileError(f"{self.place}: {found}, as the rows hold up to {values.max():g}: give the columns names.")
        if names is not None and (len(np.unique(names)) < len(names) or np.rint(names).tolist() != names.tolist()):
            raise FileError(
                f"{self.place}, column 1 has no name, and its numbers do not name the rows: give it a name, or leave "
                "it out with --drop-column 1."
            )
        labels = None
        if self.label is not None:
            called = Columns(self.layout.names, (self.label,)).words(0)
            labels = label_values(self.labels, called, self.place)
        if self.truth:
            values = values.astype(bool)  # which no levels divide
        return Table(
            values,
            labels=labels,
            columns=self.columns,
            notes=self._notes(),
            known=None if known is None or known.all() else known,
        )

    def _notes(self) -> tuple[str, ...]:
        """What is to be said of how the table was read: the header, and columns that are no units."""
        found = []
        if self.layout.names is not None:
            found.append("the first line names the columns")
        if self.layout.note:
            found.append(self.layout.note)
        if self.named:
            found.append(f"{Columns(self.layout.names, (0,)).words(0)} names the rows and is left out")
        if self.label is not None:
            found.append(f"{Columns(self.layout.names, (self.label,)).words(0)} holds the labels")
        if self.dropped:
            found.append(f"{self.dropped} column{'s are' if self.dropped > 1 else ' is'} left out as asked for")
        units = len(self.columns.units)
        found.append(f"{units} column{'s are units' if units > 1 else ' is a unit'}")
        return (f"{self.place}: {'; '.join(found)}.",) if len(found) > 1 else ()
