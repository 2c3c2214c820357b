"""Validation at the public border: a check returns the value ready for use or raises InputError with one sentence."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import arrays
from boltz.errors import FileError, InputError

Array = NDArray[Any]
INITIAL_ROWS, INITIAL_NUMBERS = 10_000, 1 << 23
BRIEF, LONG_BITS, LONGEST_PATH = 60, 100, 4000
PLAIN = (type(None), bool, int, float, complex, str, bytes, Fraction, Decimal)
MOST_STEPS = 10**9  # sweeps, rounds, transitions: more of them would not end


def brief(value: Any, most: int = BRIEF) -> str:
    """A value in a message: a plain one as Python writes it, another one by its type, in at most so many characters.

    No code of the value is run to say what it is, and a list is not looked through.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, np.ndarray):
        text = f"an array of shape {value.shape} and type {value.dtype}"
    elif isinstance(value, int) and value.bit_length() > LONG_BITS:
        text = f"a whole number of more than {int(value.bit_length() * 0.3)} digits"
    elif type(value) in PLAIN:
        text = repr(value[:most] if isinstance(value, str | bytes) else value)
    elif type(value) in (list, tuple) and most == BRIEF:
        few = ", ".join(brief(item, BRIEF // 4) for item in islice(value, 3))
        text = f"[{few}, ...]" if len(value) > 3 else f"[{few}]"
    else:
        text = f"a value of type {type(value).__name__}"
    return text if len(text) <= most else text[: most - 3] + "..."


def few(values: Iterable[Any]) -> str:
    """The first of some values in a message, names as they are, or that there are none."""
    some = list(islice(values, 4))
    plain = [isinstance(value, str) and value.isidentifier() for value in some]
    found = [value[:BRIEF] if as_is else brief(value) for value, as_is in zip(some, plain, strict=True)]
    return ", ".join(found[:3]) + ", ..." * (len(found) > 3) or "nothing"


def integer(value: Any, name: str, least: int = 0, most: int | None = None) -> int:
    """A whole number within [least, most]."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least or (most is not None and value > most):
        bounds = f"a whole number of at least {least}" + ("" if most is None else f" and at most {most}")
        raise InputError(f"{name} must be {bounds}, got {brief(value)}.")
    return int(value)


def rising(value: Any, name: str, least: int = 0, most: int | None = None) -> tuple[int, int]:
    """A whole number within [least, most], or text such as 1:10 of two between which it rises; both ends."""
    if not isinstance(value, str):
        return (integer(value, name, least, most),) * 2
    found = [int(end) for end in value.split(":") if end.isascii() and end.isdecimal() and len(end) < 10]
    if len(found) != 2 or value.count(":") != 1 or not least <= found[0] < found[1] or (most and found[1] > most):
        wanted = f"a whole number of at least {least}, or two between which it rises, such as 1:10"
        raise InputError(f"{name} must be {wanted}, got {brief(value)}.")
    return found[0], found[1]


def seed(value: Any) -> int:
    """The seed of a random key, argument "seed"."""
    return integer(value, "seed", 0, 2**64 - 1)


def real(value: Any, name: str) -> float:
    """A real number, which may be infinite or NaN."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise InputError(f"{name} must be a number, got {brief(value)}.")
    try:
        return float(value)
    except OverflowError:
        return float("inf")


def number(value: Any, name: str, least: float = -np.inf, most: float = np.inf) -> float:
    """A finite real number within [least, most]."""
    found = real(value, name)
    if not (np.isfinite(found) and least <= found <= most):
        within = f" in [{least:g}, {most:g}]" if np.isfinite(most) else ""
        if least > -np.inf and most == np.inf:
            within = f" of at least {least:g}"
        raise InputError(f"{name} must be a finite number{within}, got {found}.")
    return found


def flag(value: Any, name: str) -> bool:
    """True or False, and nothing that is only taken for one of them."""
    if not isinstance(value, bool):
        raise InputError(f"{name} must be True or False, got {brief(value)}.")
    return value


def callback(value: Any, name: str, arguments: int) -> None:
    """None, or a function that can be called with so many arguments."""
    if value is None:
        return
    if not callable(value):
        raise InputError(f"{name} must be a function or None, got {brief(value)}.")
    if _takes(value, arguments) is False:
        raise InputError(f"{name} must be a function of {arguments} argument(s), got one that takes others.")


def watch(value: Any, name: str, second: str) -> bool:
    """Whether a function of a record takes a second argument, too: one that it needs, or that has this very name.

    None and a function of C that does not say what it takes count as functions of a record alone.
    """
    wanted = f"a function of (record) or of (record, {second}), or None"
    if value is None:
        return False
    if not callable(value):
        raise InputError(f"{name} must be {wanted}, got {brief(value)}.")
    one, two = _takes(value, 1), _takes(value, 2)
    if not two and one is False:
        raise InputError(f"{name} must be {wanted}, got one that takes others.")
    return bool(two) and (not one or list(inspect.signature(value).parameters)[1:2] == [second])


def _takes(function: Any, arguments: int) -> bool | None:
    """Whether a function can be called with so many arguments; None for one of C that does not say what it takes."""
    try:
        inspect.signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:
        return None
    return True


def sequence(value: Any, name: str, most: int | None = None) -> list[Any]:
    """The items of a list, a tuple or an array, at most so many."""
    scalar = isinstance(value, str | bytes | bytearray) or (isinstance(value, np.ndarray) and value.ndim == 0)
    if scalar or not isinstance(value, Sequence | np.ndarray):
        raise InputError(f"{name} must be a sequence, got {type(value).__name__}.")
    if most is not None and len(value) > most:
        raise InputError(f"{name} must hold at most {most} items, got {len(value)}.")
    return list(value)


def choice(value: Any, name: str, options: Collection[str]) -> str:
    """One of the named options."""
    if not isinstance(value, str) or value not in options:
        raise InputError(f"{name} must be one of {', '.join(sorted(options))}, got {brief(value)}.")
    return value


def table(value: Any, name: str) -> None:
    """None, or a dict of values by names."""
    if value is not None and not (isinstance(value, Mapping) and all(isinstance(key, str) for key in value)):
        raise InputError(f"{name} must be a dict with text as keys or None, got {brief(value)}.")


def instance(value: Any, name: str, kind: type, optional: bool = False) -> None:
    """A value of a class of boltz, or None where that is allowed."""
    if not isinstance(value, kind) and not (optional and value is None):
        raise InputError(f"{name} must be a {kind.__name__}{' or None' * optional}, got {type(value).__name__}.")


def floating(value: Any, name: str) -> np.dtype[Any]:
    """The type of parameters: float32 or float64, as numpy or text."""
    try:
        found = np.dtype(value) if isinstance(value, str | type | np.dtype) else None
    except (TypeError, ValueError, SyntaxError):
        found = None
    if found is None or found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InputError(f"{name} must be float32 or float64, got {brief(value)}.")
    return found


def path(value: Any, name: str) -> Path:
    """A path of a file or folder, given as text or as a path object."""
    if not isinstance(value, str | PathLike):
        raise InputError(f"{name} must be a path, got {type(value).__name__}.")
    text = os.fspath(value)
    if not isinstance(text, str) or not text or "\0" in text or len(text) > LONGEST_PATH or not _encodable(text):
        raise FileError(f"{name} must be a path of 1 to {LONGEST_PATH} characters that a system can have, without NUL.")
    return Path(text)


def _encodable(text: str) -> bool:
    try:
        return bool(os.fsencode(text))
    except UnicodeEncodeError:
        return False


def affordable(count: int, name: str, each: int) -> int:
    """A number of things of so many bytes each, which must fit into the memory that there is."""
    most = memory() // each
    if count > most:
        raise InputError(f"{name} is {count}, but the memory of this machine holds at most {most} of them.")
    return count


def memory() -> int:
    """How many bytes this process can have: those of the machine, or fewer where a limit is set."""
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        import resource
    except (AttributeError, ValueError, OSError, ImportError):
        return 2**63 - 1  # a system that does not tell
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return found if limit == resource.RLIM_INFINITY else min(found, limit)


def numbers(value: Any, name: str, shape: tuple[int | None, ...]) -> Array:
    """A numpy array of real numbers of this shape (None: any length); a memory map stays one."""
    if arrays.on_device(value):
        raise InputError(f"{name} must be a numpy array, got a CuPy array.")
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(f"{name} must have no masked entries, whose mask would be lost.")
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
