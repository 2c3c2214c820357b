"""The recorded primitives of nets: activations, Gaussian layers, log-densities and log-weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from boltz.kernels.cpu import programs
from boltz.kernels.cpu.runners import Array
from boltz.kernels.cpu.words import NotRecordedError, sized, stream_of, whole
from boltz.kernels.reference import HALF_LOG_TWO_PI

Recorded = Any  # an array of recorded.py, whose program operations are added to


def _gains(log_density: Array, rows: int) -> int:
    """The address of what rows gain in log-density."""
    if log_density.shape != (rows,) or log_density.dtype != np.float64 or not log_density.flags.c_contiguous:
        raise NotRecordedError("log-densities of a program are float64 numbers side by side, one a row.")
    return int(log_density.ctypes.data)


def activate(kind: str, field: Recorded, bias: Array) -> None:
    words = sized(field) | {4: whole(bias).ctypes.data, 5: programs.KINDS.index(kind)}
    field.program.add(programs.ACTIVATE, words, (), (field, bias))


def slope(kind: str, value: Array, delta: Recorded) -> None:
    words = sized(delta) | {4: whole(value).ctypes.data, 5: programs.KINDS.index(kind)}
    delta.program.add(programs.SLOPE, words, (), (value, delta))


def normal(stream: Any, rows: Array, out: Recorded) -> None:
    out.program.add(programs.NORMAL, sized(out) | {4: rows.ctypes.data} | stream_of(stream), (), (rows, out))


def gaussian_shift(field: Recorded, bias: Array, state: Array, offset: Array) -> None:
    words = sized(state) | {place: whole(x).ctypes.data for place, x in ((4, field), (5, bias), (6, offset))}
    field.program.add(programs.SHIFT, words, (), (field, bias, state, offset))


def _score(code: int, head: tuple[Recorded, Array], state: Array, constant: float, log_density: Array) -> None:
    field, bias = head
    words = sized(field) | {4: whole(bias).ctypes.data, 5: whole(state).ctypes.data, 6: len(state)}
    words |= {7: _gains(log_density, len(field))}
    field.program.add(code, words, (constant,), (field, bias, state, log_density))


def bernoulli_score(field: Recorded, bias: Array, state: Array, log_density: Array) -> None:
    _score(programs.BINARY, (field, bias), state, 0.0, log_density)


def gaussian_score(field: Recorded, bias: Array, state: Array, constant: float, log_density: Array) -> None:
    _score(programs.GAUSSIAN, (field, bias), state, constant, log_density)


def normal_score(state: Recorded, log_density: Array) -> None:
    words = sized(state) | {7: _gains(log_density, len(state))}
    constant = state.shape[1] * HALF_LOG_TWO_PI
    state.program.add(programs.PRIOR, words, (constant,), (state, log_density))


def gaussian_path(signal: Recorded, offset: Array, out: Array) -> None:
    words = sized(out) | {4: whole(signal).ctypes.data, 5: whole(offset).ctypes.data}
    signal.program.add(programs.PATH, words, (), (signal, offset, out))


def weighted(x: Recorded, weights: Array, more: bool, out: Array) -> None:
    words = sized(out) | {4: whole(x).ctypes.data, 5: whole(weights).ctypes.data, 6: x.shape[1], 7: more}
    x.program.add(programs.WEIGHTED, words, (), (x, weights, out))


def repeated(source: Recorded, out: Array) -> None:
    words = sized(out) | {4: whole(source).ctypes.data, 6: len(source)}
    source.program.add(programs.REPEATED, words, (), (source, out))


def pooled(x: Recorded, more: bool, out: Array) -> None:
    words = sized(out) | {4: whole(x).ctypes.data, 6: len(x), 7: more}
    x.program.add(programs.POOLED, words, (), (x, out))


def _log_weights(code: int, x: Recorded, out: Array) -> None:
    if x.dtype != np.float64 or not x.flags.c_contiguous or x.ndim != 2:
        raise NotRecordedError("log-weights of a program are float64 numbers side by side.")
    words = {1: _gains(out, len(x)) if code == programs.MEANS else out.ctypes.data, 2: x.shape[0], 3: x.shape[1]}
    x.program.add(code, words | {4: x.ctypes.data}, (), (x, out))


def softmax(x: Recorded, out: Array) -> None:
    _log_weights(programs.SOFTMAX, x, out)


def without_one(x: Recorded, out: Array) -> None:
    _log_weights(programs.WITHOUT, x, out)


def row_means(x: Recorded, out: Array) -> None:
    _log_weights(programs.MEANS, x, out)
