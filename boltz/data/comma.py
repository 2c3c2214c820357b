"""Read comma-separated numbers line by line, naming the row of the first thing that is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

import numpy as np

from boltz.data.table import Array
from boltz.errors import FileError

LONGEST_LINE = 2**22
ROWS_AT_ONCE = 1000
TEXT_AT_ONCE = 2**22


def read_comma(stream: IO[bytes], place: str, limit: int) -> Array:
    """The table (rows, columns): int16 or int32 if all numbers are whole ones that fit, else float32.

    Never uint8, so that no table is taken for grey bytes. FileError names the row.
    """
    lines = _lines(stream, place, limit)
    first = next(lines, None)
    if first is None:
        raise FileError(f"{place} holds no rows.")
    header = not any(_is_number(text) for text in first.split(","))
    columns = first.count(",") + 1
    held = [] if header else [first]
    blocks: list[Array] = []
    rows = size = 0
    for line in lines:
        if line.count(",") + 1 != columns:
            found = f"{_where(rows + len(held), header)} has {line.count(',') + 1} columns"
            raise FileError(f"{place}, {found}; expected {columns} as in the first line.")
        held.append(line)
        size += len(line)
        if len(held) >= ROWS_AT_ONCE or size > TEXT_AT_ONCE:
            blocks.append(_parsed(held, rows, columns, header, place))
            rows, held, size = rows + len(held), [], 0
    if held:
        blocks.append(_parsed(held, rows, columns, header, place))
    if not blocks:
        raise FileError(f"{place} holds no rows of numbers, only the line {first!r:.60}.")
    return np.concatenate(blocks)


def _lines(stream: IO[bytes], place: str, limit: int) -> Iterator[str]:
    """Lines as text without line ends; empty lines are allowed at the end of the file only."""
    size = number = empty = 0
    while raw := stream.readline(LONGEST_LINE):
        number += 1
        size += len(raw)
        if len(raw) == LONGEST_LINE or size > limit:
            raise FileError(f"{place}, line {number} passes {LONGEST_LINE} bytes, or the text {limit} bytes.")
        try:
            line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as problem:
            raise FileError(f"{place}, line {number} is not text; expected comma-separated numbers.") from problem
        if not line:
            empty = empty or number
            continue
        if empty:
            raise FileError(f"{place}, line {empty} is empty; expected a row of comma-separated numbers.")
        yield line


def _parsed(lines: list[str], rows: int, columns: int, header: bool, place: str) -> Array:
    try:
        block = np.loadtxt(lines, np.float64, comments=None, delimiter=",", ndmin=2)
    except ValueError as problem:
        raise _unreadable(lines, rows, header, place) from problem
    if block.shape != (len(lines), columns):
        raise _unreadable(lines, rows, header, place)
    for kind in (np.int16, np.int32):
        if ((block == np.rint(block)) & (np.abs(block) <= np.iinfo(kind).max)).all():
            return block.astype(kind)
    with np.errstate(over="ignore"):
        return block.astype(np.float32)


def _unreadable(lines: list[str], rows: int, header: bool, place: str) -> FileError:
    for row, line in enumerate(lines, rows):
        for column, text in enumerate(line.split(","), 1):
            if not _is_number(text):
                return FileError(f"{place}, {_where(row, header)}, column {column} is {text!r:.40}; expected a number.")
    return FileError(f"{place}, rows {rows + 1} to {rows + len(lines)} are not plain comma-separated numbers.")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _where(row: int, header: bool) -> str:
    return f"row {row + 1} (line {row + 1 + header})"
