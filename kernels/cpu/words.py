"""The words of an operation of a program: where its arrays lie, how large they are, and what changes with time."""

from __future__ import annotations

from typing import Any

import numpy as np

from boltz.kernels.cpu.runners import Array, Count, Entry, Words


class NotRecordedError(TypeError):
    """Something was done to a recorded array that no operation does."""


def rows_of(x: Array) -> Words:
    """The words of a target of rows: address, rows, units, bytes between rows."""
    x = x if x.ndim == 2 else x.reshape(1, -1)
    if x.strides[1] != x.itemsize and x.shape[1] > 1:
        raise NotRecordedError("the units of a recorded array must lie side by side.")
    return {1: x.ctypes.data, 2: x.shape[0], 3: x.shape[1], 4: x.strides[0]}


def whole(x: Array) -> Array:
    """An array that an operation reads as a block of memory."""
    if not x.flags.c_contiguous or x.dtype != np.float32:
        raise NotRecordedError("an operation of a program takes float32 numbers side by side.")
    return x


def head(x: Array, bias: Array) -> Words:
    """The words of a matrix and of biases of its columns, one for all rows or one a row."""
    rows = np.atleast_2d(whole(bias))
    return {1: whole(x).ctypes.data, 2: x.shape[0], 3: x.shape[1], 4: rows.ctypes.data, 5: rows.shape[0]}


def stream_of(stream: Any) -> Words:
    key0, key1, step = stream
    cell, factor, term = step.words if isinstance(step, Count) else (0, 0, step)
    return {6: key0, 7: key1, 8: cell, 9: factor, 10: term}


def placed(place: int, words: tuple[int, ...]) -> Words:
    """Words from a place of an operation on."""
    return dict(enumerate(words, place))


def entry(value: Any, place: int) -> tuple[float, Words, tuple[Any, ...]]:
    """A number as a constant or, of a table, as the words of its place."""
    if isinstance(value, Entry):
        return 0.0, placed(place, value.words), (value.table,)
    return float(value), {}, ()


def sized(x: Array) -> Words:
    """The words of a matrix that lies as a block of memory."""
    return {1: whole(x).ctypes.data, 2: x.shape[0], 3: x.shape[1]}
