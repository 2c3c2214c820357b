"""Numba products of matrices; those with a 0/1 operand by tables of partial sums, past the limit of dense products.

Four units have sixteen joint states. For every four rows of the weights the sixteen sums of a subset of them are put
into a table, which then serves all rows of the state: a row of the product is a sum of table entries, a quarter as many
as there are units (Arlazarov, Dinic, Kronrod & Faradzhev 1970), with no multiplication and whatever the share of units
that are on. A table covers 32 columns and the units of one block, so that it stays in the first-level cache; states are
read as bits. Every sum runs in the order of the units, and whether a row is binary is asked of each row, so a row does
not depend on the rows beside it nor on the block.
"""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic
from numpy.lib.stride_tricks import as_strided

from boltz.kernels.cpu.dense import dense
from boltz.kernels.cpu.vectors import (
    BYTES,
    ENTRY,
    INT64,
    LANES,
    TILE,
    WIDE,
    aligned,
    fetch,
    gather,
    kernel,
    load,
    move,
    number_at,
    sixteen_bits,
    sixteen_columns,
    store,
)

GROUP = 16 * ENTRY  # bytes of the sums of four rows
WORD = 64  # units in a word of bits
CHUNK = 512  # rows whose sums are kept at a time
LEAST_ROWS = 24  # below, making the tables costs more than they save
LEAST_COLUMNS = 12
FEW_ROWS = 8  # that a BLAS is left to, as the other factor is hardly used again


@intrinsic
def _tabulate(typingctx: Any, weight: Any, stride: Any, table: Any) -> Any:
    """The sums of every subset of four rows of weight, stride bytes apart, at table: entry m holds the rows in m."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weight, stride, table = arguments
        for half in (0, BYTES):
            sums, start = [WIDE([0.0] * LANES)], weight
            for _ in range(4):
                row = load(builder, start, half)
                sums += [builder.fadd(x, row) if m else row for m, x in enumerate(sums)]
                start = builder.add(start, stride)
            for m, x in enumerate(sums):
                store(builder, x, table, ENTRY * m + half, BYTES)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 3), codegen


def _adder(groups: int) -> Any:
    """The intrinsic that adds the table entries of groups of four units to a row's sums."""

    @intrinsic
    def add(typingctx: Any, table: Any, word: Any, sums: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            table, word, target = arguments
            first, second = load(builder, target, 0, BYTES), load(builder, target, BYTES, BYTES)
            scale = ENTRY.bit_length() - 1
            for group in range(groups):
                shift = 4 * group - scale
                moved = builder.lshr(word, INT64(shift)) if shift >= 0 else builder.shl(word, INT64(-shift))
                entry = builder.add(table, builder.and_(moved, INT64(15 * ENTRY)))
                first = builder.fadd(first, load(builder, entry, GROUP * group, BYTES))
                second = builder.fadd(second, load(builder, entry, GROUP * group + BYTES, BYTES))
            store(builder, first, target, 0, BYTES)
            store(builder, second, target, BYTES, BYTES)
            return context.get_dummy_value()

        return types.void(types.int64, types.uint64, types.int64), codegen

    return add


_add16, _add8, _add4 = _adder(16), _adder(8), _adder(4)


@kernel
def _make_tables(weight, down, across, units, columns, table, spare):
    if across != 4 or columns < TILE or units % 4:
        gather(weight, down, across, units, columns, spare)
        weight, down = spare.ctypes.data, ENTRY
    for group in range((units + 3) // 4):
        _tabulate(weight + 4 * group * down, down, table.ctypes.data + GROUP * group)


@kernel
def _find(bits, first, rows):
    """The words that are not 0 among rows of a chunk, the places of their sums in bytes, and how many: all by word."""
    words, places = np.empty((len(bits), rows), np.uint64), np.empty((len(bits), rows), np.int64)
    counts = np.zeros(len(bits), np.int64)
    for word in range(len(bits)):
        filled = 0
        for i in range(rows):
            words[word, filled] = bits[word, first + i]
            places[word, filled] = i * ENTRY
            filled += bits[word, first + i] != 0  # else it is overwritten
        counts[word] = filled
    return words, places, counts


@kernel
def _add_entries(table, words, places, shift, units, sums, ahead):
    """Add the entries of a block of units, from bit shift of the words on, to the sums in these places.

    ahead: address, stride and number of the rows of weights that the next table is made of. They are fetched
    meanwhile, as they lie too far apart for the processor to see them coming.
    """
    following, down, count = ahead
    if units <= WORD // 4:
        for i in range(len(words)):
            _add4(table, words[i] >> shift, sums + places[i])
    elif units <= WORD // 2:
        for i in range(len(words)):
            if i < count:
                fetch(following + i * down)
            _add8(table, words[i] >> shift, sums + places[i])
    elif places[-1] == (len(words) - 1) * ENTRY:  # none is left out
        for i in range(len(words)):
            if i < count:
                fetch(following + i * down)
            _add16(table, words[i], sums + i * ENTRY)
    else:
        for i in range(len(words)):
            if i < count:
                fetch(following + i * down)
            _add16(table, words[i], sums + places[i])


@kernel
def _ahead(weight, down, across, unit, tile, sizes):
    """The rows of weights that follow a block and a tile of sizes (units, columns, block), as _add_entries takes them.

    Of weights that are read turned there are none: their numbers lie side by side the other way.
    """
    units, columns, block = sizes
    if unit + block >= units:
        unit, tile = 0, tile + TILE
    else:
        unit += block
    if across != 4 or tile >= columns:
        return weight, down, 0
    return weight + unit * down + max(min(tile, columns - TILE), 0) * across, down, min(block, units - unit)


@kernel
def _tables(bits, weight, down, across, units, out, columns, block):
    """The first columns of out := state @ weight, state as bits (words, rows), weight at an address with strides."""
    rows = len(out)
    table = _new_table()
    sums, spare = aligned(min(rows, CHUNK) * TILE), np.empty(WORD * TILE, np.float32)
    width = min(TILE, columns)
    for chunk in range(0, rows, CHUNK):
        count = min(CHUNK, rows - chunk)
        words, places, counts = _find(bits, chunk, count)
        for tile in range(0, columns, TILE):
            first = max(min(tile, columns - TILE), 0)  # the last tile overlaps the one before, with equal values
            for i in range(count * TILE):
                sums[i] = 0
            for unit in range(0, units, block):
                word, shift, here = unit // WORD, np.uint64(unit % WORD), min(block, units - unit)
                if counts[word]:
                    live, where = words[word, : counts[word]], places[word, : counts[word]]
                    _make_tables(weight + unit * down + first * across, down, across, here, width, table, spare)
                    ahead = _ahead(weight, down, across, unit, tile, (units, columns, block))
                    _add_entries(table.ctypes.data, live, where, shift, here, sums.ctypes.data, ahead)
            _put(sums, count, width, out, chunk, first)


@kernel
def _new_table():
    """Memory for a block's table; zero, as entries 0 of groups beyond the last are read."""
    return aligned(WORD // 4 * GROUP // 4)


@kernel
def _put(sums, count, width, out, chunk, first):
    """The sums of a tile in their place."""
    for i in range(count):
        if width == TILE:
            move(sums.ctypes.data + i * ENTRY, out.ctypes.data + 4 * ((chunk + i) * out.shape[1] + first))
        else:
            for j in range(width):
                out[chunk + i, j] = sums[i * TILE + j]


@kernel
def _pack(state, stride, bits, units, binary):
    """Bits (words, rows) of rows of units at an address, stride bytes apart; binary (rows,): those of 0 and 1 only."""
    words, rows = bits.shape
    for i in range(rows):
        other = np.int64(0)
        for word in range(words):
            packed = np.uint64(0)
            start = word * WORD
            whole = min(units - start, WORD) // LANES * LANES
            for j in range(0, whole, LANES):
                found = sixteen_bits(state + i * stride + 4 * (start + j))
                packed |= np.uint64(found & 0xFFFF) << np.uint64(j)
                other |= found >> LANES
            for j in range(whole, min(units - start, WORD)):
                x = number_at(state + i * stride + 4 * (start + j))
                packed |= np.uint64(x == 1) << np.uint64(j)
                other |= (x != 0) & (x != 1)
            bits[word, i] = packed
            if other:
                break
        binary[i] = other == 0


@kernel
def _pack_turned(state, stride, bits, rows, binary):
    """Bits (words over the rows, units) of the columns of such a state; binary (units,)."""
    units = bits.shape[1]
    whole = units // LANES * LANES
    others = np.zeros(whole // LANES, np.int64)  # a bit a column
    for j in range(units):
        binary[j] = True
        for word in range(len(bits)):
            bits[word, j] = 0
    for i in range(rows):
        row, bit, found = state + i * stride, np.uint64(1) << np.uint64(i % WORD), bits[i // WORD]
        left = False
        for j in range(0, whole, LANES):
            others[j // LANES] |= sixteen_columns(row + 4 * j, found.ctypes.data + 8 * j, bit)
            left |= others[j // LANES] != 2**LANES - 1
        for j in range(whole, units):
            x = number_at(row + 4 * j)
            found[j] |= bit * np.uint64(x == 1)
            binary[j] &= (x == 0) | (x == 1)
            left |= binary[j]
        if not left:
            break
    for j in range(whole):
        binary[j] = not (others[j // LANES] >> (j % LANES)) & 1


@kernel
def _chosen(bits, binary, count):
    """The bits (words, count) of the rows that are binary."""
    kept, filled = np.empty((len(bits), count), np.uint64), 0
    for i in range(len(binary)):
        if binary[i]:
            for word in range(len(bits)):
                kept[word, filled] = bits[word, i]
            filled += 1
    return kept


@kernel
def _put_back(rows, binary, out):
    """The rows in their places, those that are binary."""
    filled = 0
    for i in range(len(binary)):
        if binary[i]:
            for j in range(rows.shape[1]):
                out[i, j] = rows[filled, j]
            filled += 1


@kernel
def _multiply(x, strides, units, weight, down, across, out, columns, block):
    """The first columns of out := x @ weight, both at addresses; rows of 0 and 1 by tables, the others as real numbers.

    x and weight have byte strides down and across. A block of 0 units is for no tables at all.
    """
    rows = out.shape[0] if block else 0
    bits, binary = np.empty(((units + WORD - 1) // WORD, rows), np.uint64), np.zeros(rows, np.bool_)
    if strides[1] == 4:
        _pack(x, strides[0], bits, units, binary)
    elif strides[0] == 4:
        _pack_turned(x, strides[1], bits, units, binary)
    count = 0
    for i in range(rows):
        count += binary[i]
    mixed = count < len(out)
    if mixed:
        dense(x, strides, units, weight, down, across, out, columns)
    if count:
        chosen, target = bits, out
        if mixed:
            chosen, target = _chosen(bits, binary, count), np.empty((count, columns), np.float32)
        _tables(chosen, weight, down, across, units, target, columns, block)
        if mixed:
            _put_back(target, binary, out)


@cache
def _block() -> int:
    """Units of a table: those of a word where the first-level cache holds their table, else half; timed once.

    The result of a product does not depend on it.
    """
    state, weight = np.ones((128, 256), np.float32), np.zeros((256, 256), np.float32)
    out, seconds = np.empty((128, 256), np.float32), {}
    for _ in range(5):
        for block in (WORD, WORD // 2):
            start = time.perf_counter()
            address, *strides = _where(state)
            _multiply(address, tuple(strides), 256, *_where(weight), out, 256, block)
            seconds[block] = min(time.perf_counter() - start, seconds.get(block, 1e9))
    return min(seconds, key=seconds.__getitem__)


@kernel
def _address(x):
    return x.ctypes.data


def _where(x):
    return _address(x), *x.strides  # an array's own ways to say its address take a microsecond


def _single(x, values, out):
    """Whether there are rows enough, of float32, and a result whose columns lie side by side, as addresses need."""
    found = len(out) > FEW_ROWS and x.dtype == values.dtype == out.dtype == np.float32
    return found and out.strides[1] == 4 and out.strides[0] >= 4 * out.shape[1]


def _whole(out):
    """The matrix that some columns belong to, from the first of them on; what lies after the last is let be."""
    length = out.strides[0] // 4
    return out if out.flags.c_contiguous else as_strided(out, (len(out), length), (4 * length, 4))


def block_for(out):
    """Units of a table for a product with this result; 0 where tables are not worth their making."""
    return _block() if len(out) >= LEAST_ROWS and out.shape[1] >= LEAST_COLUMNS else 0


def product(x, weight, out):
    if len(weight) == x.shape[1] and out.shape == (len(x), weight.shape[1]) and _single(x, weight, out):
        address, *strides = _where(x)
        _multiply(address, tuple(strides), x.shape[1], *_where(weight), _whole(out), out.shape[1], block_for(out))
    else:
        np.matmul(x, weight, out=out)  # which says what is wrong with shapes that do not match


def contraction(x, values, out):
    product(x.T, values, out)
