"""The scale of visible rows: which tables of numbers are rows, and what their numbers are divided by.

Floating numbers are on the scale of the units, [0, 1]. Whole numbers are on the scale of the data and are divided by
the levels that a machine keeps or that are said; where nothing is said they are 0/1, or grey bytes. Nothing here looks
at more than a block of rows at once, as they may lie in a mapped file that is larger than memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from math import isfinite, prod
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays, checks
from boltz.errors import FileError, InputError

Array = NDArray[Any]
GREY, LEAST_GREY = 255, 128  # bytes that reach the latter are grey where nothing is said
MOST_LEVELS = 2**16 - 1
ROUNDING = 1e-6  # beyond 0 and 1, as rounding leaves it
BLOCK = 2**17  # numbers that are looked at together, which a cache holds
LEVELS = "levels"  # the entry of a model file
GAUSSIAN = "take real numbers as they are with units='gaussian' (--units gaussian; vae --visible gaussian)"
CODES = "units='categorical' (--units categorical) for codes of states"
COUNTS = "units='counts' (--units counts) for counts of words"
MOST_CODES = 1000
MOST_DENSE = 2**27  # numbers of a sparse matrix that is made dense


def _cell(row: int, column: int) -> str:
    return f"row {row + 1}, column {column + 1}"


@dataclass(frozen=True)
class Border:
    """Where rows come in: what they are called there, the levels that are known, and how to say levels.

    said: the levels are those of this table, of whatever type it is, and not those that a machine keeps. file: places
    are rows and columns from 1, or what cell makes of them. real: numbers without levels are any finite ones.
    """

    name: str
    levels: int | None = None
    remedy: str = ""
    said: bool = False
    file: bool = False
    cell: Callable[[int, int], str] = _cell
    real: bool = False

    def as_they_are(self, values: Array) -> bool:
        """Whether numbers (rows, units) are taken as they are: real ones without levels, no grey bytes of a file."""
        levels = self.said or (self.levels is not None and values.dtype.kind != "f")
        return self.real and not levels and not (self.file and grey(values))

    def refusal(self, what: str, remedy: str = "") -> InputError:
        """The error for what is wrong, and what to do about it."""
        kind = FileError if self.file else InputError
        return kind(f"{self.name}{' ' if self.file else ' must '}{what}{': ' if remedy else ''}{remedy}.")

    def misfit(self, values: Array, least: float, most: float, wanted: str, remedy: str = "") -> InputError:
        """The error for the first of the numbers (rows, units) that is not within [least, most], or not whole."""
        row, column, found = _outside(values, least, most)
        number = f"{found:.9g}" if 0 < found < 2 else f"{found:g}"
        if self.file:
            text = f"{self.name}, {self.cell(row, column)} is {number}; expected {wanted}"
            return FileError(f"{text}{': ' if remedy else ''}{remedy}.")
        return self.refusal(f"hold {wanted}, got {number} at index ({row}, {column})", remedy)


def grey(values: Array) -> bool:
    """Whether numbers are grey bytes, which need no levels."""
    return bool(values.dtype == np.uint8 and values.max() >= LEAST_GREY)


def checked_levels(levels: Any) -> int | None:
    """What whole numbers are divided by, 1 to 65535; None stays None. Raises InputError."""
    return None if levels is None else checks.integer(levels, "levels", 1, MOST_LEVELS)


def above_one(levels: Any) -> int | None:
    """Levels as a machine keeps them: None where they are 1; raises InputError."""
    found = checked_levels(levels)
    return None if found == 1 else found


def told(levels: int | None) -> dict[str, str]:
    """What a model file says of the levels."""
    return {} if levels is None else {LEVELS: str(levels)}


def divided(value: Any, levels: int | None) -> Any:
    """An array as it is, or that of whole numbers divided by levels where a machine keeps them."""
    found = np.asarray(value) if levels is not None and not arrays.on_device(value) else value
    return found / levels if levels is not None and found.dtype.kind in "iu" else value


def levels_of(values: Array, border: Border) -> int | None:
    """What the numbers (rows, units) are divided by; None for floats, which are in [0, 1] but for rounding.

    All of them are looked at. Raises InputError, or FileError for those of a file.
    """
    kind, (low, high) = values.dtype.kind, extent(values)
    if kind == "b" or (kind != "f" and border.levels == 1):
        if not (low >= 0 and high <= 1):
            raise border.misfit(values, 0, 1, "0 and 1")
        return 1
    if kind == "f" and not (border.said and (border.levels or 1) > 1):
        if not (low >= -ROUNDING and high <= 1 + ROUNDING):
            bare = border if border.file else replace(border, remedy="")  # floats are not divided
            remedy = _division(border) if whole_floats(values, border.levels) else _advice(low, high, bare)
            raise border.misfit(values, -ROUNDING, 1 + ROUNDING, "numbers in [0, 1]", remedy)
        return None
    return _divisor(values, border, low, high)


def whole_floats(values: Array, levels: int | None) -> bool:
    """Whether floats (rows, units) hold whole numbers from 0 to more than 1, which these levels would divide."""
    if levels is None or values.dtype.kind != "f":
        return False
    low, high = extent(values)
    return low >= 0 and 1 < high <= levels and _whole(values)


def _division(border: Border) -> str:
    """How floats come to be divided by levels that are known, in words."""
    if border.file:
        return border.remedy.format(border.levels)
    return f"give whole numbers as such, {border.name}.astype(int), or {border.name} / {border.levels}"


def _divisor(values: Array, border: Border, low: float, high: float) -> int:
    """What whole numbers between low and high are divided by."""
    levels = border.levels
    if levels is None:
        if low < 0:
            raise border.misfit(values, 0, high, "whole numbers from 0", _advice(low, high, border))
        if high > 1 and not (values.dtype == np.uint8 and high >= LEAST_GREY):
            wanted = "whole numbers 0/1, or grey bytes (uint8)"
            raise border.misfit(values, 0, np.nextafter(high, 0), wanted, _advice(0, high, border))
        return GREY if high > 1 else 1
    if not (low >= 0 and high <= levels and _whole(values)):
        raise border.misfit(values, 0, levels, f"whole numbers from 0 to {levels}, by which they are divided")
    if high == 1 and levels >= LEAST_GREY:
        what = "holds" if border.file else "hold more than"
        raise border.refusal(
            f"{what} whole numbers 0 and 1 alone where they are divided by {levels}",
            "give 0/1 as bool or floats (--levels 1), grey values divided by their greatest",
        )
    return levels


def extent(values: Array) -> tuple[float, float]:
    """The least and the greatest of the numbers (rows, units), NaN where one is."""
    ends = [(float(block.min()), float(block.max())) for block in blocks(values)]  # half floats cannot hold bounds
    return float(np.min([low for low, _ in ends])), float(np.max([high for _, high in ends]))


def rows(value: Any, border: Border, units: int, dtype: Any, like: Any = None, real: bool = False) -> Array:
    """Visible rows (rows, units) in dtype, at least one, where like lives: numbers in [0, 1], or any if they are real.

    Whole numbers are divided by the levels of the border. Raises InputError.
    """
    found = table(arrays.host(value) if arrays.on_device(like) else value, border.name, units)
    if real and (border.levels is None or found.dtype.kind == "f"):
        return checks.real_rows(found, border.name, units, dtype, like)
    if len(found) == 0:
        raise InputError(f"{border.name} must have at least one row, got none.")
    levels = levels_of(found, border)
    ready = np.ascontiguousarray(found, dtype)
    if levels is not None and levels > 1:
        ready = ready / np.asarray(levels, dtype)
    elif levels is None and (ready.min() < 0 or ready.max() > 1):
        ready = np.clip(ready, 0, 1)
    return ready if like is None else arrays.beside(ready, like)


def table(value: Any, name: str, units: int) -> Array:
    """A numpy array (rows, units) of real numbers, of which NaN may be one, from what holds them; raises InputError.

    value: an array, rows in lists, a table of pandas or the like (to_numpy), an array of Python numbers, a sparse
    matrix, which is made dense, or images (rows, height, width), whose units lie row by row. A memory map stays one.
    """
    if arrays.on_device(value):
        raise InputError(f"{name} must be a numpy array, got a CuPy array.")
    if hasattr(value, "tocsr"):
        value = _dense(value, name)
    if isinstance(value, np.ma.MaskedArray):
        if np.ma.is_masked(value):
            raise InputError(
                f"{name} must have no masked entries: give {name}.filled(0) with mask=~{name}.mask to boltz.complete "
                "or boltz.features, which take unknown units."
            )
        value = value.data
    try:
        found = value if isinstance(value, np.memmap) else np.asarray(_plain(value))
    except (ValueError, TypeError, OverflowError) as problem:
        raise InputError(f"{name} must be an array of numbers, got {type(value).__name__}.") from problem
    if found.dtype.kind == "O":
        found = _of_objects(found, name, getattr(value, "columns", None))
    if found.dtype.kind not in "fiub":
        raise InputError(f"{name} must be an array of real numbers, got dtype {found.dtype!s:.80}.")
    if found.ndim in (3, 4) and prod(found.shape[1:]) == units:
        return found.reshape(len(found), units)
    if found.ndim != 2 or found.shape[1] != units:
        one = f": a single row is {name}[None]" if found.shape == (units,) else ""
        raise InputError(f"{name} must have shape (any, {units}), got {found.shape!s:.80}{one}.")
    return found


def first_rows(value: Any, units: int) -> Array:
    """Some rows of x (rows, units), evenly spaced, in [0, 1] as float32, on the scale of all; raises InputError."""
    border = Border("x")
    if hasattr(value, "fingerprint"):  # rows as boltz.load_data gives them
        return rows(np.divide(checks.initial_rows(value.x), np.float32(value.levels or 1)), border, units, np.float32)
    if hasattr(value, "tocsr"):
        return rows(checks.initial_rows(value), border, units, np.float32)
    whole = table(value, "x", units)
    if whole.dtype.kind in "iu" and len(whole):
        border = Border("x", levels_of(whole, border), said=True)
        return np.divide(checks.initial_rows(whole), np.float32(border.levels or 1), dtype=np.float32)
    return rows(checks.initial_rows(whole), border, units, np.float32)


def _plain(value: Any) -> Any:
    """What numpy makes an array of: a table of pandas or the like as it gives itself away."""
    give = getattr(value, "to_numpy", None)
    return give() if callable(give) else value


def _dense(matrix: Any, name: str) -> Any:
    """A sparse matrix as a dense array."""
    if prod(matrix.shape) > MOST_DENSE:
        raise InputError(
            f"{name} must be a dense array or a sparse matrix of at most {MOST_DENSE:,} entries, got one of "
            f"{prod(matrix.shape):,}: give it some rows at a time."
        )
    return matrix.toarray()


def _of_objects(values: Array, name: str, columns: Any) -> Array:
    """An array of Python numbers as one of whole or floating numbers, or truth values."""
    kinds = {type(each) for each in values.flat}
    wrong = tuple(kind for kind in kinds if not issubclass(kind, Real | np.bool_ | Decimal))
    if wrong:
        place = next(place for place, each in np.ndenumerate(values) if type(each) in wrong)
        found = values[place]
        missing = found is None or type(found).__name__ in ("NAType", "NaTType")
        shown = "a missing value" if missing else f"{checks.brief(found, 40)} ({type(found).__name__:.40})"
        column = f", column {checks.brief(columns[place[1]], 40)}" if columns is not None and len(place) == 2 else ""
        remedy = "fill it in, or turn to floats with NaN for boltz.complete" if missing else "turn it into numbers"
        raise InputError(f"{name} must hold numbers, got {shown} at index {place}{column}: {remedy}.")
    if all(issubclass(kind, bool | np.bool_) for kind in kinds):
        return values.astype(bool)
    whole = all(issubclass(kind, int | np.integer | np.bool_) for kind in kinds)
    try:
        return values.astype(np.int64 if whole else np.float64)
    except (OverflowError, ValueError, TypeError) as problem:
        range_of = "int64" if whole else "float64"
        raise InputError(f"{name} must hold numbers within the range of {range_of}.") from problem


def _advice(low: float, high: float, border: Border) -> str:
    """What to do with numbers from low to high, in words."""
    if not (isfinite(low) and isfinite(high)):
        return ""
    if low < 0 and low >= -1 and high <= 1:
        return f"give (x + 1) / 2, or {GAUSSIAN}" if border.file else "for -1 and 1 give (x + 1) / 2"
    gaussian = f", or {GAUSSIAN}" if border.file and not border.said else ""
    if low < 0:
        return f"give (x - least) / (greatest - least){gaussian}"
    whole = high == int(high) and high <= MOST_LEVELS
    first = f"{border.remedy.format(int(high))}, or " if whole and border.remedy else ""
    grey = ", or give grey values as uint8" if LEAST_GREY <= high <= GREY and not border.file else ""
    codes = f", or {CODES}" if first and border.file and high < MOST_CODES else ""
    codes += f", or {COUNTS}" if first and border.file else ""
    return f"{first}divide by the greatest, {high:.9g}{'' if first else gaussian}{grey}{codes}"


def _outside(values: Array, least: float, most: float) -> tuple[int, int, Any]:
    """Row, column and value of the first number that is not within [least, most]; else of the first broken one."""
    for broken in (False, True):
        row = 0
        for block in blocks(values):
            wide = block.astype(np.float64)
            wrong = wide != np.rint(wide) if broken else ~((wide >= least) & (wide <= most))
            if wrong.any():
                i, column = (int(n) for n in np.argwhere(wrong)[0])
                return row + i, column, block[i, column]
            row += len(block)
    raise AssertionError("all numbers fit")


def _whole(values: Array) -> bool:
    """Whether all numbers are whole ones."""
    return values.dtype.kind != "f" or all((block == np.rint(block)).all() for block in blocks(values))


def blocks(values: Array) -> Iterator[Array]:
    """Whole rows in order, about BLOCK numbers at once."""
    step = max(1, BLOCK // values.shape[1])
    return (values[start : start + step] for start in range(0, len(values), step))
