"""Numba random bits: Philox4x32-10, sixteen neighbouring blocks at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from boltz.kernels.cpu.vectors import INT32, INT64, LANES, kernel, spread, store

TILE = 4 * LANES
HALF = LANES // 2  # blocks in a vector of 64-bit lanes, which hold a 32-bit word and, above it, anything
PAIR, LOW = ir.VectorType(INT64, HALF), 0xFFFFFFFF


def _rounds(builder: Any, counter: list[Any], keys: list[Any]) -> list[Any]:
    """Ten rounds of Philox on a counter of four vectors; the product of a round leaves its low word where it is."""
    low, up = PAIR([LOW] * HALF), PAIR([32] * HALF)
    first, second = PAIR([0xD2511F53] * HALF), PAIR([0xCD9E8D57] * HALF)
    c0, c1, c2, c3 = counter
    k0, k1 = keys
    for _ in range(10):
        p0, p1 = builder.mul(builder.and_(c0, low), first), builder.mul(builder.and_(c2, low), second)
        c0 = builder.xor(builder.xor(builder.lshr(p1, up), c1), spread(builder, k0, HALF))
        c2 = builder.xor(builder.xor(builder.lshr(p0, up), c3), spread(builder, k1, HALF))
        c1, c3 = p1, p0
        k0, k1 = builder.add(k0, INT64(0x9E3779B9)), builder.add(k1, INT64(0xBB67AE85))
    return [c0, c1, c2, c3]


@intrinsic
def _sixteen_blocks(typingctx: Any, keys: Any, block: Any, chain: Any, step: Any, out: Any) -> Any:
    """The words of sixteen neighbouring blocks at out: first words, second words, and so on."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        keys, block, chain, step, out = arguments
        k = [builder.extract_value(keys, i) for i in range(2)]
        rest = [spread(builder, x, HALF) for x in (chain, step, builder.lshr(step, INT64(32)))]
        halves = []
        for start in (0, HALF):
            blocks = builder.add(spread(builder, block, HALF), PAIR([start + i for i in range(HALF)]))
            halves.append(_rounds(builder, [blocks, *rest], k))
        narrow, order = ir.VectorType(INT32, HALF), ir.Constant(ir.VectorType(INT32, LANES), list(range(LANES)))
        for i, words in enumerate(zip(*halves, strict=True)):
            parts = [builder.trunc(x, narrow) for x in words]
            store(builder, builder.shuffle_vector(*parts, order), out, 4 * LANES * i)
        return context.get_dummy_value()

    return types.void(types.UniTuple(types.uint64, 2), types.uint64, types.uint64, types.uint64, types.int64), codegen


@kernel
def tile_bits(keys, tile, chain, step, bits):
    """The words of one chain that a tile of this number holds, (TILE,)."""
    _sixteen_blocks(keys, np.uint64(tile * LANES), chain, step, bits.ctypes.data)


@kernel
def row_bits(key0, key1, chain, step, bits):
    """Fill bits (a multiple of TILE) with the words of one chain."""
    keys = np.uint64(key0), np.uint64(key1)
    for tile in range(len(bits) // TILE):
        _sixteen_blocks(keys, np.uint64(tile * LANES), chain, step, bits.ctypes.data + 4 * TILE * tile)


@kernel
def scratch(units):
    return np.empty((units + TILE - 1) // TILE * TILE, np.uint32)


@kernel
def _philox(key0, key1, step, first_row, out):
    bits = scratch(out.shape[1])
    for i in range(len(out)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        row = out[i]
        for j in range(len(row)):  # a slice assigned as a whole takes two seconds more to compile
            row[j] = bits[j]


def words(stream):
    return np.uint32(stream[0]), np.uint32(stream[1]), np.uint64(stream[2])


def philox(stream, first_row, out):
    _philox(*words(stream), first_row, out)
