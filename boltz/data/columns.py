"""The columns of a table: which of them are units, which are labels or left out, and which cannot be units."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz.checks import brief
from boltz.errors import FileError, InputError

Array = NDArray[Any]
LABELS = {"label", "labels", "class", "classes", "target", "targets", "y"}
NO_UNITS = {*LABELS, "id", "ids", "index"}
UNNAMED = re.compile(r"(unnamed: \d+(\.\d+)*)?", re.IGNORECASE)  # what pandas makes of a column without a name
LONGEST_LABEL, SHOWN = 200, 3
COUNTING = 10  # rows from which a column that counts them is taken for a number of the row
GREYER = 5  # times that other columns hold more than one that may be of classes
MANY, EVEN = 5, 1.5  # least number of classes where others hold little more, and most rows of one over their mean
WHOLE = re.compile(r"[+-]?\d+(\.0*)?")


@dataclass(frozen=True)
class Asked:
    """The column of labels and those to leave out, each by its name in the header, else by its number from 1.

    exact: numbers of text with all their digits; missing: numbers may be missing; alphabet: that of an alignment.
    counts: rows are counts of words; vocabulary: these words, None where the file has them.
    """

    label: str | int | None = None
    drop: tuple[str | int, ...] = ()
    exact: bool = False
    missing: bool = False
    alphabet: str | None = None
    counts: bool = False
    vocabulary: tuple[str, ...] | None = None

    @property
    def request(self) -> dict[str, Any]:
        """The arguments of boltz.data.load that ask for the same."""
        label = {} if self.label is None else {"label_column": self.label}
        return label | ({"drop_columns": list(self.drop)} if self.drop else {})

    @property
    def words(self) -> frozenset[str]:
        """Those of them that can only be names."""
        found = (str(column).strip() for column in (self.label, *self.drop) if column is not None)
        return frozenset(name for name in found if name and not name.isdigit())

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers among them, from 0."""
        found = (str(column).strip() for column in (self.label, *self.drop) if column is not None)
        return frozenset(int(name) - 1 for name in found if name.isascii() and name.isdigit())

    def indices(self, names: Sequence[str] | None, count: int, place: str) -> tuple[int | None, frozenset[int]]:
        """The numbers, from 0, of the column of labels and of those to leave out; raises FileError."""
        drop = frozenset(_index(column, names, count, place, "--drop-column") for column in self.drop)
        label = None if self.label is None else _index(self.label, names, count, place, "--label-column")
        if label in drop:
            raise FileError(f"{place}: column {brief(self.label)} is in label_column and in drop_columns: choose one.")
        if len(drop) + (label is not None) >= count:
            raise FileError(f"{place} has {count} columns, of which none would be left as a unit.")
        return label, drop


def asked(label: Any, drop: Any) -> Asked:
    """The columns that arguments of boltz.data.load ask for; raises InputError."""
    if label is not None and not _is_column(label):
        raise InputError(f"label_column must be the name or the number (from 1) of a column, got {brief(label)}.")
    if isinstance(drop, str | bytes | bytearray) or not isinstance(drop, Sequence) or not all(map(_is_column, drop)):
        raise InputError(f"drop_columns must be a list of names or numbers (from 1) of columns, got {brief(drop)}.")
    return Asked(label, tuple(drop))


def _is_column(column: Any) -> bool:
    whole = isinstance(column, int) and not isinstance(column, bool)
    return isinstance(column, str) or (whole and 0 < column < 10**9)


def _index(column: str | int, names: Sequence[str] | None, count: int, place: str, option: str) -> int:
    text = str(column).strip()
    found = [i for i, name in enumerate(names or ()) if name == text]
    if len(found) > 1:
        first, second = found[0] + 1, found[1] + 1
        raise FileError(f"{place} has two columns {text!r:.40}, {first} and {second}: {option} takes a number as well.")
    if found:
        return found[0]
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) and 1 <= int(text) <= count:
        return int(text) - 1
    shown = ", ".join(f"{name!r:.30}" for name in (names or ())[:SHOWN])
    has = (
        f"its columns are called {shown}{', ...' if len(names) > SHOWN else ''}"
        if names
        else "its columns have no names"
    )
    raise FileError(f"{place} has no column {text!r:.40} for {option}: {has}, and their numbers are 1 to {count}.")


@dataclass(frozen=True)
class Columns:
    """The columns of a table by their place in the file: names, or None without a header, and the numbers, from 0, of
    those that are units. lines is how many lines come before the first row; greatest: see Layout."""

    names: tuple[str, ...] | None
    units: Sequence[int]
    lines: int = 0
    greatest: float | None = None

    def words(self, unit: int) -> str:
        """The column of a unit in words, such as column 'age' (7)."""
        return f"column {self.called(unit)}"

    def called(self, unit: int) -> str:
        """Name and number of the column of a unit, or its number."""
        number = self.units[unit]
        name = self.names[number] if self.names else ""
        return f"{name!r:.40} ({number + 1})" if name else f"{number + 1}"

    def option(self, unit: int) -> str:
        """What --label-column and --drop-column take for the column of a unit."""
        number = self.units[unit]
        name = "" if self.names is None else self.names[number]
        alone = self.names is not None and 0 < len(name) <= 40 and "'" not in name and self.names.count(name) == 1
        return shlex.quote(name) if alone else str(number + 1)

    def cell(self, row: int, unit: int) -> str:
        """A cell in words: its row, the line where that is another number, and its column."""
        line = f" (line {row + 1 + self.lines})" if self.lines else ""
        return f"row {row + 1}{line}, {self.words(unit)}"


def label_values(cells: Sequence[str], columns: str, place: str) -> Array:
    """The labels (rows,) of the cells of a column: whole numbers if all of them are, else words; raises FileError."""
    for row, cell in enumerate(cells, 1):
        if not cell or len(cell) > LONGEST_LABEL:
            found = "is empty" if not cell else f"has {len(cell)} letters"
            raise FileError(f"{place}, row {row}: the label in {columns} {found}; expected a word or a whole number.")
    if not all(WHOLE.fullmatch(cell) for cell in cells):
        for row, cell in enumerate(cells, 1):
            if re.fullmatch(r"[+-]?\d*\.\d+", cell):
                raise FileError(f"{place}, row {row}: the label in {columns} is {cell!r:.40}; expected a whole number.")
        return np.array(cells)
    numbers = [int(cell.split(".")[0]) for cell in cells]
    if max(map(abs, numbers)) >= 2**63:
        return np.array(cells)
    return np.array(numbers, np.int64)


def split_columns(values: Array, wanted: Asked, place: str) -> tuple[Array, Array | None, Columns]:
    """The units and labels of an array (rows, columns), whose columns have numbers only; raises FileError."""
    if values.ndim != 2:
        raise FileError(f"{place} has shape {values.shape}; columns are chosen of tables with 2 axes only.")
    label, drop = wanted.indices(None, values.shape[1], place)
    units = tuple(i for i in range(values.shape[1]) if i != label and i not in drop)
    labels = None
    if label is not None:
        found = np.asarray(values[:, label])
        if (found.dtype.kind == "f" and not (np.abs(found) < 2**53).all()) or (found != np.rint(found)).any():
            raise FileError(f"{place}: the labels in column {label + 1} are no whole numbers.")
        labels = found.astype(np.int64)
    return np.ascontiguousarray(values[:, list(units)]), labels, Columns(None, units)


def refuse_named(columns: Columns, place: str, others: Callable[[list[int]], str]) -> None:
    """Raise FileError for a column whose name says that it is no unit.

    others is told all such columns and says what to know of the remaining ones, so that one error names it all.
    """
    names = () if columns.names is None else [columns.names[number].strip() for number in columns.units]
    found = [unit for unit, name in enumerate(names) if name.lower() in NO_UNITS or UNNAMED.fullmatch(name)]
    if found:
        what = columns.words(found[0]) + (" would be a unit" if names[found[0]] else " has no name")
        remedy = f"{_remedies(columns, found[0])}, or give it another name if it is a unit"
        raise FileError(f"{place}: {what}: {remedy}{others(found)}.")


def refuse_labels(columns: Columns, place: str) -> None:
    """Raise FileError where the column that would name the rows is called as labels are."""
    name = "" if columns.names is None else columns.names[columns.units[0]].strip()
    if name.lower() in LABELS:
        raise FileError(f"{place}: {columns.words(0)} holds text, which may be labels: {_remedies(columns, 0)}.")


def refuse_odd(values: Array, columns: Columns, place: str, scale: str) -> None:
    """Raise FileError for columns of values (rows, units) whose range differs from all others, or that number the rows.

    scale: "units" are within [0, 1]; "levels" are whole numbers whose range was given, which all columns have to keep;
    "real" numbers may be any, so that only whole numbers of classes beside numbers with fractions tell themselves.
    """
    low, high = (bound(axis=0).astype(np.float64) for bound in (values.min, values.max))
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return
    units = values.shape[1]
    outside = (low < 0) | (high > 1)
    wide = outside & (high - low == len(values) - 1)
    numbers = [unit for unit in np.flatnonzero(wide).tolist() if _numbers_rows(values[:, unit])]
    if 0 < len(numbers) <= max(1, units // 4) and units > 1:
        found = f"{columns.words(numbers[0])} holds {low[numbers[0]]:g} to {high[numbers[0]]:g}, a number for each row"
        raise FileError(f"{place}: {found}: leave it out with --drop-column {columns.option(numbers[0])}.")
    if scale == "real":
        _refuse_classes(values, columns, place, high)
        return
    if scale == "levels":
        for unit in (0, units - 1):
            if _apart(values[:, unit], float(high[unit]), float(high.max())):
                what = f"holds 0 to {high[unit]:g} as classes do, while other columns hold up to {high.max():g}"
                raise FileError(f"{place}: {columns.words(unit)} {what}: {_remedies(columns, unit)}.")
        return
    odd = np.flatnonzero(outside)
    if not 0 < len(odd) <= max(1, units // 4) or units < 3:
        return
    rest = f"while all other columns hold {low[~outside].min():g} to {high[~outside].max():g}"
    first = int(odd[0])
    found = f"holds {low[first]:g} to {high[first]:g} {rest}"
    if len(odd) == 1:
        raise FileError(f"{place}: {columns.words(first)} {found}: {_remedies(columns, first)}.")
    shown = ", ".join(columns.called(int(unit)) for unit in odd[:SHOWN])
    more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
    found = f"columns {shown}{more} hold {low[odd].min():g} to {high[odd].max():g} {rest}"
    raise FileError(f"{place}: {found}: name one with --label-column, leave the others out with --drop-column.")


def _refuse_classes(values: Array, columns: Columns, place: str, high: Array) -> None:
    """Raise FileError for a first or last column of three classes or more, while all others hold fractions."""
    for unit in {0, values.shape[1] - 1} if values.dtype.kind == "f" and values.shape[1] > 1 else ():
        others = np.delete(values, unit, axis=1)
        broken = (others != np.rint(others)).any(axis=0)
        if broken.all() and high[unit] >= 2 and _are_classes(values[:, unit], EVEN):
            what = f"holds 0 to {high[unit]:g} as classes do, while other columns hold fractions"
            remedy = f"{_remedies(columns, unit)}, or put it between others if it is a unit"
            raise FileError(f"{place}: {columns.words(unit)} {what}: {remedy}.")


def _numbers_rows(column: Array) -> bool:
    """Whether a column numbers the rows, in whatever order: whole numbers without a gap, each once."""
    ordered = np.sort(column).astype(np.float64)
    return len(column) >= COUNTING and bool((np.diff(ordered) == 1).all() and ordered[0] == np.rint(ordered[0]))


def _apart(column: Array, high: float, highest: float) -> bool:
    """Whether a column holds numbers of classes, while other columns hold up to the highest number.

    Its numbers are whole ones from 0 without a gap, each held by many rows. Where other columns hold little more, they
    must be many and almost equally frequent, as no counts of anything are.
    """
    if high * GREYER >= highest and not MANY <= high + 1 <= highest:
        return False
    return _are_classes(column, 3 if high * GREYER < highest else EVEN)


def _are_classes(column: Array, most: float) -> bool:
    """Whether numbers are 0, 1, 2, ... without a gap, each held by many rows, no one by most times its share."""
    found, counts = np.unique(column, return_counts=True)
    even = counts.max() * len(found) <= most * len(column)
    enough = len(column) >= COUNTING * len(found) > 2 * COUNTING
    return bool(even) and enough and found.tolist() == list(range(len(found)))


def _remedies(columns: Columns, unit: int) -> str:
    option = columns.option(unit)
    return f"use --label-column {option} if it holds the labels, or leave it out with --drop-column {option}"
