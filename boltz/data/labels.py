"""Labels of rows from a file of their own."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltz.data.loading import values
from boltz.errors import FileError, InputError
from boltz.foreign import shown
from boltz.storage import atomic

Labels = NDArray[np.generic]
LARGEST = 1 << 30  # bytes of a file of labels
WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
HEADERS = ("label", "labels", "class", "classes", "y")


def labels_from(name: str, rows: int, option: str = "--labels") -> Labels:
    """The label of each row: one a line of a .csv, numbers or words, or numbers (rows,) of another file.

    The first line of a .csv may be a header: label, class or y. Raises InputError, FileError.
    """
    found = _lines(Path(name)) if name.lower().endswith(".csv") else values(name)
    found = found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found
    if found.shape != (rows,):
        shape = len(found) if found.ndim == 1 else f"an array of shape {found.shape}"
        raise InputError(f"{option} must hold one label for each of the {rows} rows, but {name} has {shape}.")
    return _whole(np.asarray(found), name)


def _whole(found: Labels, name: str) -> Labels:
    """Floating numbers that are whole as integers; raises FileError for those that merge with their neighbours."""
    if found.dtype.kind != "f":
        return found
    if not np.isfinite(found).all():
        raise FileError(f"{name} holds labels that are not finite; expected whole numbers or words.")
    exact = 2.0 ** (np.finfo(str(found.dtype)).nmant + 1)
    large = np.abs(found) >= exact
    if large.any():
        what = f"{name} holds the label {found[large][0]:.17g}, but {found.dtype} tells whole numbers below {exact:.0f}"
        raise FileError(f"{what} apart only; expected integers or words.")
    return found.astype(np.int64) if np.array_equal(found, np.rint(found)) else found


def _lines(path: Path) -> Labels:
    """The lines of a file: numbers if all of them are, else words."""
    try:
        lines = [line.strip() for line in atomic.read_bytes(path, LARGEST).decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as problem:
        raise FileError(f"{path} is not text; expected one label a line.") from problem
    lines = lines[1:] if lines and lines[0].lower() in HEADERS else lines
    for number, line in enumerate(lines, 1):
        if not line or "," in line:
            raise FileError(f"{path} has {shown(repr(line))} as label {number}; expected one label a line.")
    numbers = [_number(line) for line in lines]
    known = [number for number in numbers if number is not None]
    if len(known) < len(lines):
        return np.array(lines)
    if not all(isinstance(number, int) for number in known):
        return np.array(known, np.float64)
    large = [number for number in known if not -(1 << 63) <= number < 1 << 63]
    if large:
        raise FileError(f"{path} holds the label {large[0]}, which does not fit in 64 bits; expected words or less.")
    return np.array(known, np.int64)


def _number(text: str) -> int | float | None:
    """The number that a line is, whole ones as they are, None for a word."""
    if WHOLE.fullmatch(text):
        return int(text)
    try:
        return None if "_" in text else float(text)
    except (ValueError, OverflowError):
        return None
