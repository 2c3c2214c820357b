"""Read arrays of plain numbers from .npy bytes without evaluating or unpickling anything."""

from __future__ import annotations

import math
import re
from typing import IO, Any, NamedTuple

import numpy as np

from boltz.data.dataset import Array
from boltz.errors import FileError

LIMIT_BYTES = 2**34
LONGEST_HEADER = 10_000
MOST_AXES = 4
CHUNK = 2**18
MAGIC = b"\x93NUMPY"
NUMBERS = re.compile(r"[<>|=](b1|[iu][1248]|f[248])")
HEADER_ITEM = re.compile(
    r"'(descr|fortran_order|shape)'\s*:\s*('[^'\\]*'|\[[^\]]*\]|True|False"
    r"|\(\s*(?:\d{1,15}L?\s*(?:,\s*\d{1,15}L?\s*){0,31})?,?\s*\))\s*,?"
)


class Header(NamedTuple):
    """What a .npy header says: dtype description, memory order and shape."""

    description: str
    fortran: bool
    shape: tuple[int, ...]


def read_npy(stream: IO[bytes], place: str, size: int, mapped: bool = False) -> Array:
    """The array of a .npy stream of this many bytes; FileError names the place.

    Where mapped, stream is a plain file, and what it holds in row order stays there as a read-only memory map.
    """
    header, start = read_header(stream, place)
    if not NUMBERS.fullmatch(header.description):
        holds = "Python objects, which are never read" if "O" in header.description else repr(header.description)
        raise FileError(f"{place} holds {holds:.80}; expected plain numbers (bool, integer or float).")
    shape = header.shape[::-1] if header.fortran else header.shape
    if mapped and not header.fortran:
        return _mapped(stream, np.dtype(header.description), shape, place, start)
    values = fill(stream, np.dtype(header.description), shape, place, size - start)
    if values.nbytes != size - start:
        raise FileError(f"{place} declares {size} bytes; its header asks for {start + values.nbytes}.")
    return values.T if header.fortran else values


def _mapped(stream: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], place: str, start: int) -> Array:
    """The numbers of a file behind its header; no limit but the size of the file, as no memory is taken."""
    size, there = math.prod(shape) * dtype.itemsize, stream.seek(0, 2) - start
    if size > there:
        raise FileError(f"{place} is cut short: its header declares {size} bytes, {there} are there.")
    if size < there:
        raise FileError(f"{place} has more bytes than the {size} that its header declares.")
    return np.memmap(stream, dtype, "r", start, shape)


def read_header(stream: IO[bytes], place: str) -> tuple[Header, int]:
    """The header of a .npy stream and its length in bytes, read without evaluating it."""
    start = stream.read(12)
    if len(start) < 12 or start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise FileError(f"{place} is not in .npy format (it starts with bytes {start[:8].hex(' ')!r}).")
    length = int.from_bytes(start[8:10] if start[6] == 1 else start[8:12], "little")
    if length > LONGEST_HEADER:
        raise FileError(f"{place} declares a header of {length} bytes; expected at most {LONGEST_HEADER}.")
    rest = length - (2 if start[6] == 1 else 0)
    text = (start[10:] if start[6] == 1 else b"") + stream.read(max(rest, 0))
    items = re.fullmatch(r"\{(.*)\}\s*", text.decode("latin-1").replace('"', "'"), re.DOTALL)
    found = HEADER_ITEM.findall(items[1]) if items else []
    entries = dict(found)
    damaged = len(text) != length or (len(found), len(entries)) != (3, 3)
    if damaged or not items or HEADER_ITEM.sub("", items[1]).strip():
        raise FileError(f"{place} has a damaged .npy header.")
    shape = tuple(int(n) for n in re.findall(r"\d+", entries["shape"]))
    if entries["fortran_order"] not in ("True", "False") or entries["shape"][0] != "(" or len(shape) > MOST_AXES:
        raise FileError(f"{place} has a damaged .npy header, or more than {MOST_AXES} axes.")
    return Header(entries["descr"].strip("'"), entries["fortran_order"] == "True", shape), 12 + rest


def fill(stream: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...], place: str, available: int) -> Array:
    """An array filled from exactly the bytes its header declares, of which at most `available` can be there."""
    size = math.prod(shape) * dtype.itemsize
    if size > LIMIT_BYTES:
        raise FileError(f"{place} declares {size} bytes; expected at most {LIMIT_BYTES}.")
    if size > available:
        raise FileError(f"{place} is cut short: its header declares {size} bytes, at most {available} are there.")
    buffer = np.empty(size, np.uint8)
    done = 0
    while done < size:
        got = stream.readinto(buffer[done : done + CHUNK].data)  # type: ignore[attr-defined]
        if not got:
            raise FileError(f"{place} is cut short: {done} of {size} bytes are there.")
        done += got
    if stream.read(1):
        raise FileError(f"{place} has more bytes than the {size} that its header declares.")
    return buffer.view(dtype).reshape(shape)
