"""Weights of rows: given ones, checked, and those that count similar sequences once."""

from __future__ import annotations

import os
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

import boltz.kernels as kernels
from boltz import checks
from boltz.data.loading import values
from boltz.errors import FileError, InputError
from boltz.foreign import shown
from boltz.parallel import workers
from boltz.scale import table
from boltz.units import MOST_STATES, units_of
from boltz.units.onehot import codes_of, shape_of

Floats = NDArray[np.float64]
BLOCK = 64  # rows that a thread takes at a time
ROUNDING = 1e-6  # of a share of the sites
SIMILARITY = "similarity:"


def sequence_weights(x: Any, similarity: float = 0.8) -> Floats:
    """Weights (rows,) of aligned sequences x: codes (rows, sites), or what boltz.load_data gives.

    A weight is 1 over the number of rows that agree in at least this share of the sites, the row itself among them
    (Morcos et al. 2011, section on sequence weighting).

    Their sum is the effective number of sequences. Raises InputError.
    """
    checks.number(similarity, "similarity", 0, 1)
    if hasattr(x, "fingerprint"):
        x = _codes(x)
    shape = shape_of(x)
    if len(shape) != 2:
        raise InputError(f"x must hold codes (rows, sites), got shape {shape!s:.80}.")
    codes = table(x, "x", shape[1])
    if codes.size == 0:
        raise InputError(f"x must have at least one row and one site, got shape {codes.shape}.")
    if not ((codes >= 0) & (codes < min(MOST_STATES, 256)) & (codes == np.floor(codes))).all():
        raise InputError("x must hold codes (rows, sites), whole numbers from 0 to 255.")
    rows, sites = codes.shape
    least = ceil(similarity * sites - ROUNDING)
    found, ready = np.empty(rows, np.int64), np.ascontiguousarray(codes, np.uint8)

    def count(first: int) -> None:
        kernels.alike(ready, least, first, found[first : first + BLOCK])

    with workers() as pool:
        pool.map(count, list(range(0, rows, BLOCK)))
    return 1 / found


def _codes(data: Any) -> Any:
    """The codes (rows, sites) of rows as boltz.load_data gives them."""
    if not data.kind.startswith("categorical:"):
        raise InputError(f"x must be rows of categorical units, but {data.source} has {data.kind} ones.")
    return codes_of(data.x, units_of(data.kind).columns)


def named_weights(name_or_path: str | os.PathLike[str], data: Any) -> Floats:
    """Weights (rows,) of rows as boltz.load_data gives them: a number for each row, in a file, or "similarity:SHARE".

    The latter are those of sequence_weights. A file may go on where the data end at a limit. Raises InputError,
    FileError.
    """
    words, rows = str(name_or_path), len(data.x)
    if words.startswith(SIMILARITY):
        return sequence_weights(data, checks.number(_number(words.removeprefix(SIMILARITY)), "similarity", 0, 1))
    found = values(name_or_path, exact=True)
    if found.ndim > 2 or (found.ndim == 2 and found.shape[1] != 1):
        raise FileError(f"{words} must hold one column, a number for each row, got shape {found.shape!s:.80}.")
    found = np.asarray(found, np.float64).reshape(-1)
    found = found[:rows] if data.request.get("limit") is not None else found
    if len(found) != rows:
        raise FileError(f"{words} must hold a number for each of {rows:,} rows of {data.source}, got {len(found):,}.")
    if not np.isfinite(found).all() or found.min() < 0 or not found.max() > 0:
        raise FileError(f"{words} must hold finite numbers of at least 0 that are not all 0.")
    return found


def _number(text: str) -> float:
    """A number that is written in words; raises InputError."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"similarity must be a number, got {shown(text)}.") from None


def effective_rows(weights: Floats) -> float:
    """How many rows of one weight would say as much: the square of the sum over the sum of the squares (Kish 1965)."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def checked_weights(weights: Any, rows: int) -> Floats | None:
    """Weights (rows,) of rows, at least 0 and not all 0; None stays None. Raises InputError."""
    if weights is None:
        return None
    found = checks.array(weights, "weights", (rows,), np.float64)
    if found.min() < 0 or not found.max() > 0:
        raise InputError(f"weights must be at least 0 and not all 0, got {found.min():g} to {found.max():g}.")
    return found


def drawn_rows(weights: Floats, generator: np.random.Generator) -> NDArray[np.int64]:
    """As many row numbers as there are rows, each row as often as its weight asks for, rounded up or down by chance.

    They are spread evenly over the sum of the weights from a random start (systematic sampling, Kitagawa 1996), so that
    every row has its share of each epoch in expectation, with the least chance.
    """
    return spread_rows(weights, len(weights), generator.random())


def spread_rows(weights: Floats, count: int, start: float = 0.5) -> NDArray[np.int64]:
    """So many row numbers at even places over the sum of the weights, each row as often as its weight asks for."""
    shares = np.cumsum(weights) / weights.sum()
    places = (np.arange(count) + start) / count
    return np.minimum(np.searchsorted(shares, places, side="right"), len(weights) - 1)
