"""How a text table is laid out, told from its first lines: the separator, the names of columns, names of rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from boltz.data.columns import UNNAMED, Asked
from boltz.errors import FileError

SEPARATORS = ("\t", ";", ",", " ")
TRUTH = {"true": 1.0, "false": 0.0}
MISSING = frozenset({"", "na", "n/a", "<na>", "nan", "nat", "null", "none", "?", "-"})
DECIMAL = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?", re.ASCII)
COUNTED, RISING = 6, 8  # so many numbers 0, 1, 2, ... or rising ones are no row of data by chance


@dataclass(frozen=True)
class Layout:
    """What separates cells, how many columns there are, and their names where the first line is a header.

    greatest: of a header of numbers that a row of data could hold as well, the greatest, which all rows must stay
    below; row_names: the first column has no name, or holds text; note says what else must be told.
    """

    separator: str
    columns: int
    names: tuple[str, ...] | None
    greatest: float | None = None
    row_names: bool = False
    note: str = ""


def cells_of(lines: Iterable[str], separator: str) -> Iterator[list[str]]:
    """The cells of each line, without quotes; raises csv.Error."""
    whole = map(str.strip, lines) if separator == " " else lines
    return csv.reader(whole, delimiter=separator, skipinitialspace=True, strict=True)


def number(text: str) -> float | None:
    """The number, truth value or missing value (NaN) that a cell holds, None for other text."""
    text = text.strip()
    low = text.lower()
    if low in TRUTH:
        return TRUTH[low]
    if low in MISSING:
        return float("nan")
    if not text.isascii() or "_" in text:
        return None
    try:
        return float(text.replace(",", ".") if DECIMAL.fullmatch(text) else text)
    except ValueError:
        return None


def layout_of(lines: Sequence[str], place: str, asked: Asked) -> Layout:
    """The layout of a table from its first lines; raises FileError where they could mean two things.

    A first line with a word that is asked for names the columns; columns that are asked for by number tell nothing.
    """
    separator = _separator(lines)
    first, *rest = (_cells(line, separator) for line in lines)
    if not first:
        raise FileError(f"{place}: the first line cannot be cut into cells, as a quote does not end in it.")
    named = bool(asked.words & set(first))
    words = named or all(map(_is_name, first)) or (len(first) > 2 and _counted([_whole(cell) for cell in first]))
    if rest and words and all(len(row) == len(first) + 1 for row in rest):  # as R writes names of rows
        return Layout(separator, len(first) + 1, ("", *first), row_names=True)
    rest = [row for row in rest if len(row) == len(first)]
    text = len(first) > 1 and bool(rest) and all(_is_row_name(row[0]) for row in rest)
    units = [i for i in range(len(first)) if i not in asked.numbers]
    if not named and not _is_header([first[i] for i in units], [[row[i] for i in units] for row in rest], place):
        row_names = text and _is_row_name(first[0])
        return Layout(separator, len(first), None, row_names=row_names, note=_doubt(first, rest))
    unnamed = UNNAMED.fullmatch(first[0]) is not None and len(first) > 1
    return Layout(separator, len(first), tuple(first), _greatest(first, rest), text or unnamed)


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(cells_of([line], separator))]
    except csv.Error:
        return []


def _separator(lines: Sequence[str]) -> str:
    """The first that cuts all lines into as many cells, at least two; else the one that cuts most lines."""
    cuts = {}
    for separator in SEPARATORS:
        counts = [len(_cells(line, separator)) for line in lines]
        rows = counts[1:] or counts
        if min(rows) == max(rows) > 1 and counts[0] in (rows[0], rows[0] - 1):
            return separator
        cuts[separator] = sum(count > 1 for count in counts)
    return max(cuts, key=lambda separator: (cuts[separator], separator == ","))


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]], place: str) -> bool:
    """Whether the first line is of another kind than the others, so that it names the columns; raises FileError."""
    places = [i for i, cell in enumerate(first) if not _is_name(cell)]
    if not first or not places or not rest:
        return not places and any(map(_is_text, first[1:] or first))
    digits = [_whole(first[i]) for i in places]
    if None in digits or not all(a < b for a, b in pairwise(digits)) or not _named_beside(first, rest, places):  # type: ignore[operator]
        return False
    if any(_is_text(row[i]) for row in rest for i in places):
        return False
    if not first[0] or _otherwise(first, rest):
        return True
    rows = [[value for i in places if (value := number(row[i])) is not None] for row in rest]
    if len(digits) > 2 and all(len(row) == len(digits) and all(a < b for a, b in pairwise(row)) for row in rows):
        return False  # rows that all rise
    top = max((value for row in rows for value in row if value == value), default=0.0)
    counted = _counted(digits)
    if digits[-1] > max(top, 1):  # type: ignore[operator]
        return top <= 1 or _sure(digits) or (counted and len(digits) > 2)
    if counted and len(digits) > 2 and not _sure(digits):
        shown = ", ".join(f"{digit:g}" for digit in digits)
        raise FileError(f"{place}: the first line {shown} may name the columns or be a row of data: give them names.")
    numbered = 0 not in places and _counted([number(row[0]) for row in rest])
    return counted and (_sure(digits) or numbered)


def _greatest(first: Sequence[str], rest: Sequence[Sequence[str]]) -> float | None:
    """The greatest of a few numbers in a header, if a row of data could hold them too, None where none could."""
    digits = [_whole(cell) for cell in first if not _is_name(cell)]
    sure = _sure(digits) or any(map(_is_name, first[1:])) or (digits and _otherwise(first, rest))
    return None if sure or not digits or digits[-1] in (0, 1) else digits[-1]


def _sure(digits: Sequence[float | None]) -> bool:
    """Whether so many rising numbers are no row of data by chance."""
    return len(digits) >= (COUNTED if _counted(digits) else RISING)


def _named_beside(first: Sequence[str], rest: Sequence[Sequence[str]], places: Sequence[int]) -> bool:
    """Whether the cells beside the numbers of a first line can be names: above numbers, or other than all below."""
    beside = set(range(1, len(first))) - set(places)
    above = all(
        all(number(row[i]) is not None for row in rest) or all(row[i] != first[i] for row in rest) for i in beside
    )
    return not beside or (above and len(places) > 2)


def _otherwise(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether whole numbers that count the columns stand above truth values, or above numbers with a point."""
    places = [i for i, cell in enumerate(first) if not _is_name(cell)]
    below = [row[i] for row in rest for i in places]
    counted = _counted([_whole(first[i]) for i in places])
    return counted and (all(cell.lower() in TRUTH for cell in below) or all("." in cell for cell in below))


def _doubt(first: Sequence[str], rest: Sequence[Sequence[str]]) -> str:
    """What is to be said of a first line that was taken for a row, though it may count the columns."""
    digits = [_whole(cell) for cell in first if not _is_name(cell)]
    shown = ", ".join(f"{cell:.20}" for cell in first[:3])
    rising = None not in digits and all(a < b for a, b in pairwise(digits))  # type: ignore[operator]
    counted = bool(rest) and 0 < len(digits) < 3 and (_counted(digits) or (_is_name(first[0]) and rising))
    return f"the first line ({shown}) was read as a row, not as names" if counted else ""


def _counted(numbers: Sequence[float | None]) -> bool:
    """Whether the numbers are 0, 1, 2, ... or 1, 2, 3, ..."""
    return bool(numbers) and numbers[0] in (0, 1) and list(numbers) == [numbers[0] + i for i in range(len(numbers))]


def _whole(cell: str) -> float | None:
    """The whole number of a cell, written without a point, None where it holds none."""
    return float(cell) if re.fullmatch(r"\d{1,15}", cell, re.ASCII) else None


def _is_text(cell: str) -> bool:
    return number(cell) is None


def _is_row_name(cell: str) -> bool:
    """Whether a cell holds text that is no number badly written, such as 50%."""
    return _is_text(cell) and not (cell[0].isdigit() or cell[0] in "+-.,$€£%")


def _is_name(cell: str) -> bool:
    """Whether a cell of a first line can be a name that is no number: text, or nothing."""
    return cell.lower() in MISSING or _is_text(cell)
