"""What the numbers of a table are states of: kinds of units as they are asked for, or as they tell themselves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from boltz.checks import brief
from boltz.data.alignments import checked_alphabet, states
from boltz.data.counts import counted
from boltz.data.dataset import Array, Shape, Table, units
from boltz.data.npy import LIMIT_BYTES
from boltz.data.sparse import SparseRows
from boltz.errors import FileError, InputError
from boltz.scale import Border, blocks, extent
from boltz.units import MOST_STATES, kind_of, units_of
from boltz.units.binomial import MOST_TRIALS
from boltz.units.onehot import one_hot
from boltz.units.states import ends, state_words

ANY_STATES = "categorical"  # of as many states as the codes show
BINARY, SPIN, REAL, SUMS, COUNTS = "bernoulli", "spin", "gaussian", "binomial", "counts"


@dataclass(frozen=True)
class Kind:
    """The kind of units that is asked for, None for what the numbers tell, and the alphabet of categorical ones."""

    kind: str | None = None
    alphabet: str | None = None

    @property
    def real(self) -> bool:
        """Whether any real numbers are asked for."""
        return self.kind == REAL

    @property
    def counts(self) -> bool:
        """Whether counts of words are asked for, perhaps of documents of one length."""
        return self.kind is not None and self.kind.startswith(COUNTS)

    @property
    def states(self) -> bool:
        """Whether states are asked for that nothing divides: spins, codes, sums or counts."""
        return self.kind is not None and self.kind not in (BINARY, REAL)


def asked_kind(kind: Any, alphabet: Any, levels: int | None) -> Kind:
    """The kind that arguments of boltz.load_data ask for; raises InputError where they do not fit together."""
    if kind is not None and not (isinstance(kind, str) and kind == ANY_STATES):
        kind = kind_of(kind, "units")
        if kind not in (BINARY, SPIN, REAL) and not kind.startswith((ANY_STATES, SUMS, COUNTS)):
            raise InputError(
                f"units of files are {BINARY}, {SPIN}, {REAL}, {ANY_STATES}, {SUMS}:TRIALS or {COUNTS}, got {kind!r}: "
                "give rows of these as an array."
            )
    if alphabet is not None:
        alphabet = checked_alphabet(alphabet)
        if kind not in (None, ANY_STATES, states(alphabet)):
            raise InputError(
                f"alphabet has {len(alphabet)} letters, which are for units of kind {states(alphabet)}, but units is "
                f"{kind!r}: leave one of both out."
            )
        kind = states(alphabet)
    found = Kind(kind, alphabet)
    if found.states and levels is not None:
        raise InputError(f"levels divide numbers, but units of kind {kind} are states as they are: leave levels out.")
    return found


@dataclass(frozen=True)
class Taken:
    """Rows of units (rows, columns) of a kind, as Data keeps them, with what is known of them and what to say."""

    x: Any
    levels: int | None
    shape: Shape | None
    kind: str
    alphabet: str | None
    known: Array | None
    notes: tuple[str, ...]


def alphabet_of(table: Table, asked: Kind, place: str) -> Kind:
    """The kind that is asked for, with the alphabet of the table where it has one; raises FileError."""
    if table.alphabet is None or asked.kind in (BINARY, REAL, SPIN):
        if table.alphabet is not None and table.sequences:
            raise FileError(
                f"{place} is an alignment, whose units are {states(table.alphabet)}, but units is "
                f"{asked.kind!r}: leave it out."
            )
        return asked
    if asked.alphabet not in (None, table.alphabet):
        raise FileError(
            f"{place} has the alphabet {table.alphabet}, but {asked.alphabet} is asked for: leave alphabet out."
        )
    if asked.kind not in (None, ANY_STATES, states(table.alphabet)):
        raise FileError(
            f"{place} has an alphabet of {len(table.alphabet)} letters, but units is {asked.kind!r}: give another "
            "alphabet (--alphabet), or the units that it has."
        )
    return Kind(states(table.alphabet), table.alphabet)


def resolved(table: Table, asked: Kind, border: Border) -> Kind:
    """The kind of units that the numbers of a table are states of: as asked for, else as they tell themselves."""
    found = alphabet_of(table, asked, border.name)
    if found.kind is None and border.levels is None and table.units is None and _are_spins(table):
        return Kind(SPIN)
    return found


def taken(table: Table, kind: Kind, border: Border) -> Taken:
    """The numbers of a table as rows of units of a kind; raises FileError naming row and column of what is no state."""
    known = None if table.known is None else table.known.reshape(len(table.known), -1)
    if not kind.states:
        x, levels, shape = units(table, border)
        real = kind.real and levels is None
        return Taken(x, levels, shape, REAL if real else BINARY, None, known, table.notes)
    rows, shape = _flat(table, border)
    border = replace(border, cell=table.cell)
    if kind.counts:
        assert kind.kind is not None
        return Taken(counted(rows, known, units_of(kind.kind), border), None, None, kind.kind, None, None, table.notes)
    if kind.kind == SPIN:
        return _spins(rows, shape, known, table.notes, border)
    if str(kind.kind).startswith(SUMS):
        return _sums(rows, shape, str(kind.kind), known, border, table.notes)
    return _codes(rows, kind, known, table.notes, border)


def _flat(table: Table, border: Border) -> tuple[Any, Shape | None]:
    """The numbers (rows, units) of a table of any number of axes, and their image shape; raises FileError."""
    if table.units is not None:
        raise FileError(f"{border.name} holds packed bits, which are units of 0 and 1: leave units out.")
    values = table.values
    if not 2 <= values.ndim <= 4:
        raise FileError(f"{border.name} has shape {values.shape}; expected (rows, units), or images with 3 or 4 axes.")
    if values.size == 0:
        raise FileError(f"{border.name} is empty, its shape is {values.shape}; expected at least one row and column.")
    if isinstance(values, SparseRows):
        return values, None
    shape = (values.shape[1], values.shape[2]) if values.ndim == 3 else table.shape
    return values.reshape(len(values), -1), shape


def _are_spins(table: Table) -> bool:
    """Whether all numbers are -1 and 1, and both are there."""
    values = table.values
    if values.ndim not in (2, 3, 4) or values.size == 0 or values.dtype.kind not in "if":
        return False
    rows = values.reshape(len(values), -1)
    if extent(rows) != (-1.0, 1.0):
        return False
    free = None if table.known is None else ~table.known.reshape(rows.shape)
    start = 0
    for block in blocks(rows):
        fits = np.abs(block) == 1
        if free is not None:
            fits |= free[start : start + len(block)]
        if not fits.all():
            return False
        start += len(block)
    return True


def _spins(rows: Array, shape: Any, known: Array | None, notes: tuple[str, ...], border: Border) -> Taken:
    """Numbers (rows, units) as spins, mapped ones as they lie in their file; unknown ones stand as -1."""
    if known is not None:
        rows = np.where(known, rows, -1)
    for block in blocks(rows):
        if not (np.abs(block) == 1).all():
            raise _misfit(rows, [(-1, -1), (1, 1)], border, "-1 and 1, the states of spins", _spin_advice(rows))
    x = rows if isinstance(rows, np.memmap) else np.ascontiguousarray(rows, np.float32)
    return Taken(x, None, shape, SPIN, None, known, notes)


def _sums(rows: Array, shape: Any, kind: str, known: Array | None, border: Border, notes: tuple[str, ...]) -> Taken:
    """Whole numbers (rows, units) from 0 to n, mapped ones as they lie in their file; unknown ones stand as 0."""
    low, most = ends(units_of(kind))
    if known is not None:
        rows = np.where(known, rows, 0)
    if not all(((b >= low) & (b <= most) & (b == np.rint(b))).all() for b in blocks(rows)):
        high = extent(rows)[1]
        remedy = f"units='{SUMS}:{high:g}' (--units {SUMS}:{high:g}) has them all" if most < high <= MOST_TRIALS else ""
        wanted = f"{state_words(units_of(kind))}, the states of {kind} units"
        raise _misfit(rows, [(low, most)], border, wanted, remedy if high == np.rint(high) else "")
    x = rows if isinstance(rows, np.memmap) else np.ascontiguousarray(rows, np.float32)
    return Taken(x, None, shape, kind, None, known, notes)


def _spin_advice(rows: Array) -> str:
    """What to do with numbers that are no spins, in words."""
    low, high = extent(rows)
    if low >= 0 and high == 1:
        return "units of 0 and 1 are units='bernoulli' (--units bernoulli), or give 2 * x - 1"
    return ""


def _codes(rows: Array, kind: Kind, known: Array | None, notes: tuple[str, ...], border: Border) -> Taken:
    """Codes (rows, units) as one-hot rows (rows, units * states)."""
    assert kind.kind is not None
    _, high = extent(rows)
    if kind.kind == ANY_STATES:
        count = max(int(high) + 1, 2) if 0 <= high < MOST_STATES else MOST_STATES
        notes = (*notes, f"{border.name}: its codes go from 0 to {high:g}, taken as {ANY_STATES}:{count} units.")
    else:
        count = units_of(kind.kind).columns
    wanted = f"whole numbers from 0 to {count - 1}, the codes of {count} states"
    if not all(((b >= 0) & (b < count) & (b == np.rint(b))).all() for b in blocks(rows)):
        raise _misfit(rows, [(0, count - 1)], border, wanted, "")
    size = rows.shape[0] * rows.shape[1] * count
    if size > LIMIT_BYTES:
        raise FileError(f"{border.name} would take {size} bytes as one-hot rows; expected at most {LIMIT_BYTES}.")
    _refuse_one_hot(rows, count, high, border)
    if known is not None:
        known = np.repeat(known, count, axis=1)
    return Taken(one_hot(rows, count), 1, None, f"{ANY_STATES}:{count}", kind.alphabet, known, notes)


def _refuse_one_hot(rows: Array, count: int, high: float, border: Border) -> None:
    """Raise FileError for rows that are one-hot columns already, where codes are expected."""
    sites, over = divmod(rows.shape[1], count)
    if count < 3 or over or high > 1:
        return
    if all((b.reshape(len(b), sites, count).sum(axis=2) == 1).all() for b in blocks(rows)):
        raise FileError(
            f"{border.name} holds one-hot columns, a single 1 in {count} each; expected codes from 0 to {count - 1}, "
            "one column a unit: give x.reshape(rows, units, states).argmax(axis=2)."
        )


def _misfit(rows: Array, ranges: list[tuple[float, float]], border: Border, wanted: str, remedy: str) -> InputError:
    """The error for the first number that is not whole, or not within one of some ranges."""
    start = 0
    for block in blocks(rows):
        fits = (block == np.rint(block)) & np.any([(block >= low) & (block <= high) for low, high in ranges], axis=0)
        if not fits.all():
            row, column = (int(n) for n in np.argwhere(~fits)[0])
            text = (
                f"{border.name}, {border.cell(start + row, column)} is {float(block[row, column]):g}; expected {wanted}"
            )
            return FileError(f"{text}{': ' if remedy else ''}{remedy}.")
        start += len(block)
    raise AssertionError("all numbers fit")


def kind_words(kind: str, alphabet: str | None = None) -> str:
    """What numbers of a kind are, in words."""
    if kind == SPIN:
        return "-1 and 1"
    name, _, number = kind.partition(":")
    if name == ANY_STATES:
        return f"codes of {number} states" + ("" if alphabet is None else f", the letters {alphabet}")
    if name == SUMS:
        return f"whole numbers from 0 to {number}"
    if name == COUNTS:
        return "counts of words" + (f", {number} a row" if number else "")
    return "real numbers" if kind == REAL else "numbers in [0, 1]"


def named_kind(asked: Kind, named: str) -> Kind:
    """The kind that is asked for of a named set, whose numbers are known; raises InputError."""
    if asked.states:
        raise InputError(f"{brief(named)} is a named set, whose rows are no {asked.kind} units: leave units out.")
    return Kind()
