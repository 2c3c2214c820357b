"""Numba products with a 0/1 operand: sums of weight rows, which beat a dense product while few units are on."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LANES = 16
ROW_TILE = 8 * LANES
MOST_ON = 0.35  # above this share of units on, a dense product is faster


def kernel(function: Any) -> Any:
    """Compile on first use, to run without the interpreter lock, and keep the code where a folder can be written."""
    try:
        return njit(nogil=True, cache=True, error_model="numpy")(function)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(function)


@intrinsic
def _sum_rows(typingctx: Any, weight: Any, index: Any, count: Any, stride: Any, out: Any) -> Any:
    """out[:ROW_TILE] = sum of weight[index[s] * stride:][:ROW_TILE] over s < count, in vector registers.

    weight, index (int32) and out are addresses. LLVM keeps these accumulators in registers, which it does not do for a
    loop over a local array.
    """

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        base, indices, total, step, target = arguments
        wide, single = ir.VectorType(ir.FloatType(), LANES), ir.FloatType()
        base, target = (builder.inttoptr(address, single.as_pointer()) for address in (base, target))
        indices = builder.inttoptr(indices, ir.IntType(32).as_pointer())
        before, function = builder.block, builder.function
        head, body, after = (function.append_basic_block(name) for name in ("rows", "add", "store"))
        builder.branch(head)
        builder.position_at_end(head)
        s = builder.phi(total.type)
        sums = [builder.phi(wide) for _ in range(ROW_TILE // LANES)]
        s.add_incoming(total.type(0), before)
        for lane in sums:
            lane.add_incoming(wide([0.0] * LANES), before)
        builder.cbranch(builder.icmp_signed("<", s, total), body, after)
        builder.position_at_end(body)
        row = builder.zext(builder.load(builder.gep(indices, [s])), total.type)
        start = builder.gep(base, [builder.mul(row, step)])
        for i, lane in enumerate(sums):
            part = builder.bitcast(builder.gep(start, [total.type(i * LANES)]), wide.as_pointer())
            lane.add_incoming(builder.fadd(lane, builder.load(part, align=4)), body)
        s.add_incoming(builder.add(s, total.type(1)), body)
        builder.branch(head)
        builder.position_at_end(after)
        for i, lane in enumerate(sums):
            part = builder.bitcast(builder.gep(target, [total.type(i * LANES)]), wide.as_pointer())
            builder.store(lane, part, align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@kernel
def _add_rows(index, starts, counts, weight, out):
    """out[i] = sum of the weight rows index[starts[i]:][: counts[i]], by tiles of columns that fit the cache."""
    columns = out.shape[1]
    size = out.itemsize
    for tile in range(0, columns, ROW_TILE):
        first = min(tile, columns - ROW_TILE)  # the last tile overlaps, writing equal values
        for i in range(len(out)):
            _sum_rows(
                weight.ctypes.data + size * first,
                index.ctypes.data + 4 * starts[i],
                counts[i],
                columns,
                out.ctypes.data + size * (i * columns + first),
            )


@kernel
def _binary_product(state, weight, out, most):
    rows, units = state.shape
    index = np.empty(most + units + 1, np.int32)
    starts, counts = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    filled = 0
    for i in range(rows):
        starts[i] = filled
        other = False
        for j in range(units):
            x = state[i, j]
            index[filled] = j  # overwritten unless the unit is on
            filled += x != 0
            other |= (x != 0) & (x != 1)
        if other or filled > most:
            return False
        counts[i] = filled - starts[i]
    _add_rows(index, starts, counts, weight, out)
    return True


@kernel
def _binary_contraction(state, values, out, most):
    rows, units = state.shape
    counts, next_free = np.zeros(units, np.int64), np.empty(units, np.int64)
    on = 0
    for i in range(rows):
        other = False
        for j in range(units):
            x = state[i, j]
            counts[j] += x != 0
            on += x != 0
            other |= (x != 0) & (x != 1)
        if other or on > most:
            return False
    starts = np.empty(units, np.int64)
    filled = 0
    for j in range(units):
        starts[j] = next_free[j] = filled
        filled += counts[j] + 1  # one spare place that a unit that is off may overwrite
    index = np.empty(filled, np.int32)
    for i in range(rows):
        for j in range(units):
            index[next_free[j]] = i
            next_free[j] += state[i, j] != 0
    _add_rows(index, starts, counts, values, out)
    return True


def _sums_rows(weight, out):
    """Whether the arrays are as the row sums need them: they write through addresses."""
    single = weight.dtype == out.dtype == np.float32
    plain = weight.flags.c_contiguous and out.flags.c_contiguous
    return single and plain and out.shape[1] == weight.shape[1] >= ROW_TILE


def binary_product(state, weight, out):
    fits = (len(out), len(weight)) == state.shape and _sums_rows(weight, out)
    return fits and _binary_product(state, weight, out, int(MOST_ON * state.size))


def binary_contraction(state, values, out):
    fits = (len(values), len(out)) == state.shape and _sums_rows(values, out)
    return fits and _binary_contraction(state, values, out, int(MOST_ON * state.size))
