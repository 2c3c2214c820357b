"""Read plain matrices from a MATLAB file of version 5, as little of the format as that needs.

scipy reads these files too, but bytes that are no MATLAB file can end the process in its compiled code.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Collection

import numpy as np

from boltz.data.dataset import Array

TYPES = {1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8"}
MATRIX, COMPRESSED = 14, 15  # kinds of elements
NUMERIC, COMPLEX = range(6, 16), 0x800  # classes of matrices; the flag of an imaginary part
HEAD, MARK = 128, b"\x00\x01IM"  # bytes before the first element, and how they end


def matrices(data: bytes, names: Collection[str], most: int) -> dict[str, Array]:
    """Those of the named real matrices that the content of a file holds, each of at most so many bytes.

    Raises ValueError, KeyError, struct.error or zlib.error where the bytes do not keep to the format.
    """
    if data[HEAD - len(MARK) : HEAD] != MARK:
        raise ValueError("it is no MATLAB file of version 5")
    found, at = {}, HEAD
    while at < len(data):
        kind, body, at = _element(data, at)
        if kind == COMPRESSED:
            kind, body, _ = _element(zlib.decompressobj().decompress(body, most), 0)
        if kind == MATRIX:
            flags, shape, name, values = _parts(body)
            if name in names:
                found[name] = _matrix(flags, shape, values)
    return found


def _element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Kind and content of the element at a place, and where the next one begins."""
    kind, size = struct.unpack_from("<II", data, at)
    if kind >> 16:  # a small one: its size stands above its kind, its content in the place of the size
        return kind & 0xFFFF, data[at + 4 : at + 4 + min(kind >> 16, 4)], at + 8
    body = data[at + 8 : at + 8 + size]
    if len(body) < size:
        raise ValueError("an element is cut off")
    return kind, body, at + 8 + (size if kind == COMPRESSED else -(-size // 8) * 8)


def _parts(body: bytes) -> tuple[bytes, bytes, str, tuple[int, bytes]]:
    """Flags, shape and name of a matrix, and the kind and bytes of its values."""
    _, flags, at = _element(body, 0)
    _, shape, at = _element(body, at)
    _, name, at = _element(body, at)
    kind, values, _ = _element(body, at) if at < len(body) else (0, b"", 0)
    return flags, shape, name.decode("latin-1"), (kind, values)


def _matrix(flags: bytes, shape: bytes, values: tuple[int, bytes]) -> Array:
    """A real matrix (rows, columns), which a file holds column by column."""
    (about,), sizes, (kind, numbers) = struct.unpack_from("<I", flags), np.frombuffer(shape, "<i4"), values
    if about & 0xFF not in NUMERIC or about & COMPLEX or len(sizes) != 2 or sizes.min() < 0:
        raise ValueError("an array is no real matrix")
    return np.frombuffer(numbers, TYPES[kind]).reshape(tuple(map(int, sizes)), order="F")
