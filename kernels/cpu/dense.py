"""Numba products of real float32 matrices, for the blocks of rows that training and mean field work on.

A tile of columns of the second factor is laid out by rows in the first-level cache, in either order of its memory, and
meets a panel of rows whose sums stay in registers. At fifty rows this is as fast as a BLAS, and faster where the second
factor is read transposed. Every sum runs in the order of the units, so a row does not depend on the rows beside it:
results do not depend on how rows are dealt to threads.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from boltz.kernels.cpu.vectors import (
    ENTRY,
    INT64,
    TILE,
    aligned,
    fused_vectors,
    gather,
    kernel,
    load,
    registers,
    repeated,
    spread,
    store,
)

LANES, REGISTERS = registers()
SPAN = 2 * LANES  # columns of a panel
DEEP = 256  # units of a tile, which then takes 32 kB
CHUNK = 512  # rows that a tile serves before the next takes its place
TALL, LOW = (12, 4) if REGISTERS > 16 else (6, 2)


def _panel(rows: int, vectors: int = 2) -> Any:
    """The intrinsic that adds the product of rows with that many vectors of columns of a tile to as many rows of sums.

    x has byte strides (down, across); rows of sums are step bytes apart and taken as zero where they are fresh.
    """

    @intrinsic
    def add(typingctx: Any, x: Any, strides: Any, depth: Any, tile: Any, sums: Any, step: Any, fresh: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            x, strides, depth, tile, sums, step, fresh = arguments
            down, across = (builder.extract_value(strides, i) for i in range(2))
            zero = ir.VectorType(ir.FloatType(), LANES)([0.0] * LANES)
            starts = [builder.add(sums, builder.mul(step, INT64(r))) for r in range(rows)]
            places = [(start, 4 * LANES * v) for start in starts for v in range(vectors)]
            held = [builder.select(fresh, zero, load(builder, *place, kind=zero.type)) for place in places]

            def unit(k: Any, kept: list[Any]) -> list[Any]:
                row, source = builder.add(tile, builder.mul(k, INT64(ENTRY))), builder.add(x, builder.mul(k, across))
                weights = [load(builder, row, 4 * LANES * v, 4 * LANES, zero.type) for v in range(vectors)]
                new = []
                for r in range(rows):
                    factor = spread(builder, load(builder, source, kind=ir.FloatType()), LANES)
                    source = builder.add(source, down)
                    new += [fused_vectors(builder, factor, w, kept[vectors * r + v]) for v, w in enumerate(weights)]
                return new

            for value, place in zip(repeated(builder, depth, held, unit), places, strict=True):
                store(builder, value, *place)
            return context.get_dummy_value()

        pair = types.UniTuple(types.int64, 2)
        return types.void(types.int64, pair, *[types.int64] * 4, types.boolean), codegen

    return add


_tall, _low, _single = (_panel(rows) for rows in (TALL, LOW, 1))
_tall_half, _low_half, _single_half = (_panel(rows, 1) for rows in (TALL, LOW, 1))


@kernel
def _add_panels(x, strides, depth, rows, tile, sums, step, fresh, half):
    """Add x @ tile to sums for all rows: a span of columns, or half of one."""
    i = 0
    while i < rows:
        source, target, left = x + i * strides[0], sums + i * step, rows - i
        if left >= TALL:
            if half:
                _tall_half(source, strides, depth, tile, target, step, fresh)
            else:
                _tall(source, strides, depth, tile, target, step, fresh)
            i += TALL
        elif left >= LOW:
            if half:
                _low_half(source, strides, depth, tile, target, step, fresh)
            else:
                _low(source, strides, depth, tile, target, step, fresh)
            i += LOW
        else:
            if half:
                _single_half(source, strides, depth, tile, target, step, fresh)
            else:
                _single(source, strides, depth, tile, target, step, fresh)
            i += 1


@kernel
def _add_tile(x, strides, depth, rows, skip, tile, sums, step, fresh):
    """Add x @ tile to sums, from column skip on, a multiple of LANES."""
    column = skip
    while column < TILE:
        half = column % SPAN != 0
        _add_panels(x, strides, depth, rows, tile + 4 * column, sums + 4 * column, step, fresh, half)
        column += LANES if half else SPAN


@kernel
def dense(x, strides, units, weight, down, across, out, columns):
    """The first columns of out (rows, ...) := x (rows, units) @ weight (units, columns), at addresses with strides."""
    rows, length = out.shape
    if not units:
        for i in range(rows):
            for j in range(columns):
                out[i, j] = 0
    tile, narrow = aligned(DEEP * TILE), columns < TILE
    spare = aligned(min(rows, CHUNK) * TILE if narrow else 0)
    step = ENTRY if narrow else 4 * length
    for chunk in range(0, rows, CHUNK):
        count = min(CHUNK, rows - chunk)
        for start in range(0, columns, TILE):
            first = max(min(start, columns - TILE), 0)  # the last tile overlaps the one before
            skip = (start - first) // LANES * LANES
            sums = spare.ctypes.data if narrow else out.ctypes.data + 4 * (chunk * length + first)
            for unit in range(0, units, DEEP):
                here = min(DEEP, units - unit)
                gather(weight + unit * down + first * across, down, across, here, min(TILE, columns), tile)
                part = x + chunk * strides[0] + unit * strides[1]
                _add_tile(part, strides, here, count, skip, tile.ctypes.data, sums, step, unit == 0)
            if narrow:
                for i in range(count):
                    for j in range(columns):
                        out[chunk + i, j] = spare[i * TILE + j]
