"""Numba sums over rows and through weights, which gradients need beside products; every sum runs in a fixed order."""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu.vectors import LANES, fold_sum, kernel
from boltz.kernels.cpu.vectors import turn as turn_square


@kernel
def _add(a, b, out):
    for i in range(len(out)):
        left, right, target = a[i], b[i % len(b)], out[i]
        for j in range(len(target)):
            target[j] = left[j] + right[j]


@kernel
def _copy(source, out):
    for i in range(len(out)):
        x, target = source[i], out[i]
        for j in range(len(target)):
            target[j] = x[j]


@kernel
def _cut(x, out):
    half, zero, one = x.dtype.type(0.5), x.dtype.type(0), x.dtype.type(1)
    for i in range(len(out)):
        row, target = x[i], out[i]
        for j in range(len(target)):
            target[j] = one if row[j] >= half else zero


@kernel
def _turn(source, out):
    """out := source transposed, by squares that stay in the first-level cache."""
    rows, columns = out.shape
    for top in range(0, rows, 2 * LANES):
        for left in range(0, columns, 2 * LANES):
            for i in range(top, min(top + 2 * LANES, rows)):
                for j in range(left, min(left + 2 * LANES, columns)):
                    out[i, j] = source[j, i]


@kernel
def _turn_single(source, out):
    """The same for contiguous float32, by squares in registers; the last ones overlap those before."""
    rows, columns = out.shape
    if rows < LANES or columns < LANES:
        _turn(source, out)
        return
    start, target = source.ctypes.data, out.ctypes.data
    for top in range(0, rows, LANES):
        i = min(top, rows - LANES)
        for left in range(0, columns, LANES):
            j = min(left, columns - LANES)
            turn_square(start + 4 * (j * rows + i), 4 * rows, target + 4 * (i * columns + j), 4 * columns)


@kernel
def _totals(weights, x, out):
    zero = x.dtype.type(0)
    for j in range(len(out)):
        out[j] = zero
    for i in range(len(x)):
        w, row = weights[i], x[i]
        for j in range(len(out)):
            out[j] += w * row[j]


@kernel
def _weigh(x, signs, offset, total):
    zero, centred = x.dtype.type(0), len(offset) > 0
    for j in range(len(total)):
        total[j] = zero
    for i in range(len(x)):
        sign, row = signs[i], x[i]
        if centred:
            for j in range(len(row)):
                row[j] = (row[j] - offset[j]) * sign
        else:
            for j in range(len(row)):
                row[j] *= sign
        for j in range(len(total)):
            total[j] += row[j]


@kernel
def _track(x, rate, average, spare):
    zero, count = x.dtype.type(0), x.dtype.type(len(x))
    for j in range(len(average)):
        spare[j] = zero
    for i in range(len(x)):
        row = x[i]
        for j in range(len(average)):
            spare[j] += row[j]
    for j in range(len(average)):
        average[j] += rate * (spare[j] / count - average[j])


@kernel
def _row_dot(state, values, total):
    """total += state @ values, summed in double."""
    size = (len(values) + LANES - 1) // LANES * LANES
    terms, one = np.zeros(size, state.dtype), state.dtype.type(1)
    for i in range(len(state)):
        row = state[i]
        for j in range(len(values)):
            terms[j] = row[j] * values[j]
        total[i] += fold_sum(terms.ctypes.data, size // LANES, one)


@kernel
def _tilt(base, change, bend, before, after, out):
    """Biases at two inverse temperatures (2, units) and how far they move, from base on along change and a bend."""
    for j in range(len(base)):
        one = base[j] + before * change[j]
        other = base[j] + after * change[j]
        if len(bend):
            one += before * (1 - before) * bend[j]
            other += after * (1 - after) * bend[j]
        out[0, j], out[1, j], out[2, j] = one, other, other - one


@kernel
def _outer(scale, a, b, out):
    for i in range(len(out)):
        factor, row = scale * a[i], out[i]
        for j in range(len(row)):
            row[j] += factor * b[j]


@kernel
def _through(scale, weight, x, out):
    """out += scale * weight @ x, summed in sixteen lanes."""
    size = (len(x) + LANES - 1) // LANES * LANES
    terms, one = np.zeros(size, x.dtype), x.dtype.type(1)
    for i in range(len(out)):
        row = weight[i]
        for j in range(len(x)):
            terms[j] = row[j] * x[j]
        out[i] += scale * x.dtype.type(fold_sum(terms.ctypes.data, size // LANES, one))


@kernel
def _back(scale, weight, x, out):
    """out += scale * x @ weight."""
    sums = np.zeros(len(out), x.dtype)
    for i in range(len(x)):
        factor, row = x[i], weight[i]
        for j in range(len(sums)):
            sums[j] += factor * row[j]
    for j in range(len(out)):
        out[j] += scale * sums[j]


NOTHING = {kind: np.empty(0, kind) for kind in (np.float32, np.float64)}


@kernel
def _alike(words, most, first, out):
    """Rows as words of eight bytes: bytes that differ leave a bit each, of which at most so many may be set."""
    low, high = np.uint64(0x7F7F7F7F7F7F7F7F), np.uint64(0x8080808080808080)
    twos, fours, ones = np.uint64(0x0101010101010101), np.uint64(56), np.uint64(7)
    width = words.shape[1]
    for i in range(len(out)):
        mine, found = words[first + i], 0
        for j in range(len(words)):
            other, apart = words[j], np.uint64(0)
            for k in range(width):
                v = mine[k] ^ other[k]
                bits = (((v & low) + low) | v) & high
                apart += ((bits >> ones) * twos) >> fours
            found += apart <= most
        out[i] = found


def alike(x, least, first, out):
    rows, units = x.shape
    padded = np.zeros((rows, -(-units // 8) * 8), np.uint8)
    padded[:, :units] = x
    _alike(padded.view(np.uint64), np.uint64(units - least), first, out)


def add(a, b, out):
    _add(a, np.atleast_2d(b), out)


def copy(source, out):
    _copy(source, out)


def cut(x, out):
    _cut(x, out)


def turn(source, out):
    whole = source.flags.c_contiguous and out.flags.c_contiguous and source.dtype == out.dtype == np.float32
    (_turn_single if whole and source.shape == out.shape[::-1] else _turn)(source, out)


def totals(weights, x, out):
    _totals(weights, x, out)


def weigh(x, signs, offset, total):
    kind = x.dtype.type
    nothing = NOTHING[kind]
    _weigh(x, signs, nothing if offset is None else offset, nothing if total is None else total)


def track(x, rate, average):
    _track(x, x.dtype.type(rate), average, np.empty_like(average))


def row_dot(state, values, total):
    _row_dot(state, values, total)


def outer(scale, a, b, out):
    _outer(out.dtype.type(scale), a, b, out)


def through(scale, weight, x, out):
    _through(x.dtype.type(scale), weight, x, out)


def back(scale, weight, x, out):
    _back(x.dtype.type(scale), weight, x, out)
