"""Validation at the public border: a check returns the value ready for use or raises InputError with one sentence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays
from boltz.errors import InputError

Array = NDArray[Any]
INITIAL_ROWS, INITIAL_NUMBERS = 10_000, 1 << 23


def integer(value: Any, name: str, least: int = 0, most: int | None = None) -> int:
    """A whole number within [least, most]."""
    bounds = f"a whole number of at least {least}" + ("" if most is None else f" and at most {most}")
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name} must be {bounds}, got {value!r}.")
    if value < least or (most is not None and value > most):
        raise InputError(f"{name} must be {bounds}, got {value}.")
    return int(value)


def number(value: Any, name: str, least: float = -np.inf, most: float = np.inf) -> float:
    """A finite real number within [least, most]."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name} must be a number, got {value!r}.")
    try:
        found = float(value)
    except OverflowError:
        found = np.inf
    if not (np.isfinite(found) and least <= found <= most):
        within = f" in [{least:g}, {most:g}]" if np.isfinite(most) else ""
        if least > -np.inf and most == np.inf:
            within = f" of at least {least:g}"
        raise InputError(f"{name} must be a finite number{within}, got {found}.")
    return found


def sequence(value: Any, name: str) -> list[Any]:
    """The items of a list, a tuple or an array."""
    scalar = isinstance(value, str | bytes) or (isinstance(value, np.ndarray) and value.ndim == 0)
    if scalar or not isinstance(value, Sequence | np.ndarray):
        raise InputError(f"{name} must be a sequence, got {type(value).__name__}.")
    return list(value)


def choice(value: Any, name: str, options: Collection[str]) -> str:
    """One of the named options."""
    if not isinstance(value, str) or value not in options:
        raise InputError(f"{name} must be one of {', '.join(sorted(options))}, got {value!r}.")
    return value


def path(value: Any, name: str) -> Path:
    """A path of a file or folder, given as text or as a path object."""
    if not isinstance(value, str | PathLike):
        raise InputError(f"{name} must be a path, got {type(value).__name__}.")
    return Path(value)


def numbers(value: Any, name: str, shape: tuple[int | None, ...]) -> Array:
    """A numpy array of real numbers of this shape (None: any length); a memory map stays one."""
    if arrays.on_device(value):
        raise InputError(f"{name} must be a numpy array, got a CuPy array.")
    try:
        found = value if isinstance(value, np.memmap) else np.asarray(value)
    except (ValueError, TypeError) as problem:
        raise InputError(f"{name} must be an array of numbers, got {type(value).__name__}.") from problem
    if hasattr(value, "tocsr"):
        raise InputError(f"{name} must be a dense array, got a sparse matrix: give it some rows at a time, made dense.")
    if found.dtype.kind not in "fiub":
        raise InputError(f"{name} must be an array of real numbers, got dtype {found.dtype}.")
    wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
    fits = found.ndim == len(shape) and all(n is None or n == m for n, m in zip(shape, found.shape, strict=True))
    if not fits:
        raise InputError(f"{name} must have shape {wanted}, got {found.shape}.")
    return found


def array(value: Any, name: str, shape: tuple[int | None, ...], dtype: Any = None, like: Any = None) -> Array:
    """A real, finite, C-contiguous array of this shape (None: any length), in dtype or its own floating type.

    It lives where like does, to which an array of the host is moved; without like it must be a numpy array.
    """
    return _settled(_checked(_host(value, name, like), name, shape, dtype), like)


def _host(value: Any, name: str, like: Any) -> Any:
    """The value on the host, where it is checked; only what belongs to a device may come from there."""
    if arrays.on_device(value) and not arrays.on_device(like):
        raise InputError(f"{name} must be a numpy array, got a CuPy array: what it goes with is not on a device.")
    return arrays.host(value)


def _settled(found: Array, like: Any) -> Array:
    return found if like is None else arrays.beside(found, like)


def _checked(value: Any, name: str, shape: tuple[int | None, ...], dtype: Any) -> Array:
    found = numbers(value, name, shape)
    if found.dtype.kind == "f" and not np.isfinite(found).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise InputError(f"{name} must be finite, got {found[where]} at index {where}.")
    if dtype is None:
        dtype = found.dtype if found.dtype in (np.dtype(np.float32), np.dtype(np.float64)) else np.float64
    with np.errstate(over="ignore"):
        ready = np.ascontiguousarray(found, dtype=dtype)
    if found.dtype.kind == "f" and not np.isfinite(ready).all():
        raise InputError(f"{name} must lie within the range of {ready.dtype}, got {np.abs(found).max():g}.")
    return ready


def real_rows(value: Any, name: str, units: int, dtype: Any, like: Any = None) -> Array:
    """Data rows (rows, units) of any finite numbers, at least one, where like lives."""
    found = _checked(_host(value, name, like), name, (None, units), dtype)
    if len(found) == 0:
        raise InputError(f"{name} must have at least one row, got none.")
    return _settled(found, like)


def initial_rows(value: Any) -> Any:
    """At most INITIAL_ROWS rows of an array, evenly spaced: enough for the visible biases of a new machine.

    Of a sparse matrix no more than INITIAL_NUMBERS numbers, made dense.
    """
    if hasattr(value, "tocsr") and len(value.shape) == 2:
        most = min(INITIAL_ROWS, max(INITIAL_NUMBERS // max(value.shape[1], 1), 1))
        return value.tocsr()[:: max(-(-value.shape[0] // most), 1)].toarray()
    many = isinstance(value, np.ndarray) and value.ndim > 0 and len(value) > INITIAL_ROWS
    return value[:: -(-len(value) // INITIAL_ROWS)] if many else value
