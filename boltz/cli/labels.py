"""Labels of rows from a file of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from boltz import checkpoint
from boltz.data.loading import values
from boltz.errors import FileError, InputError

Labels = NDArray[np.generic]
LARGEST = 1 << 30  # bytes of a file of labels
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
    if found.dtype.kind == "f" and np.array_equal(found, np.rint(found)):
        found = found.astype(np.int64)
    return np.asarray(found)


def _lines(path: Path) -> Labels:
    """The lines of a file: numbers if all of them are, else words."""
    try:
        lines = [line.strip() for line in checkpoint.read_bytes(path, LARGEST).decode("utf-8-sig").splitlines()]
    except UnicodeDecodeError as problem:
        raise FileError(f"{path} is not text; expected one label a line.") from problem
    lines = lines[1:] if lines and lines[0].lower() in HEADERS else lines
    for number, line in enumerate(lines, 1):
        if not line or "," in line:
            raise FileError(f"{path} has {line!r:.60} as label {number}; expected one label a line.")
    try:
        numbers = np.array([float(line) for line in lines])
    except ValueError:
        return np.array(lines)
    if not np.isfinite(numbers).all():
        raise FileError(f"{path} holds labels that are not finite; expected whole numbers or words.")
    return numbers
