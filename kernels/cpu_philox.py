"""Numba random bits: Philox4x32-10, sixteen neighbouring blocks at a time."""

from __future__ import annotations

import numpy as np

from boltz.kernels.cpu_products import kernel

LANES = 16
TILE = 4 * LANES


@kernel
def _high(a, b):
    return np.uint32((np.uint64(a) * np.uint64(b)) >> np.uint64(32))


@kernel
def _low(a, b):
    return np.uint32(np.uint64(a) * np.uint64(b))


@kernel
def row_bits(key0, key1, chain, step, bits):
    """Fill bits (a multiple of TILE) with the words of one chain; ten Philox rounds a block."""
    for tile in range(len(bits) // TILE):
        for lane in range(LANES):
            c0 = np.uint32(tile * LANES + lane)
            c1 = np.uint32(chain)
            c2 = np.uint32(step)
            c3 = np.uint32(step >> np.uint64(32))
            k0, k1 = key0, key1
            for _ in range(10):
                h0, l0 = _high(np.uint32(0xD2511F53), c0), _low(np.uint32(0xD2511F53), c0)
                h1, l1 = _high(np.uint32(0xCD9E8D57), c2), _low(np.uint32(0xCD9E8D57), c2)
                c0, c1, c2, c3 = np.uint32(h1 ^ c1 ^ k0), l1, np.uint32(h0 ^ c3 ^ k1), l0
                k0, k1 = np.uint32(k0 + np.uint32(0x9E3779B9)), np.uint32(k1 + np.uint32(0xBB67AE85))
            start = tile * TILE + lane
            bits[start] = c0
            bits[start + LANES] = c1
            bits[start + 2 * LANES] = c2
            bits[start + 3 * LANES] = c3


@kernel
def scratch(units):
    return np.empty((units + TILE - 1) // TILE * TILE, np.uint32)


@kernel
def _philox(key0, key1, step, first_row, out):
    bits = scratch(out.shape[1])
    for i in range(len(out)):
        row_bits(key0, key1, np.uint64(first_row + i), step, bits)
        out[i] = bits[: out.shape[1]]


def words(stream):
    return np.uint32(stream[0]), np.uint32(stream[1]), np.uint64(stream[2])


def philox(stream, first_row, out):
    _philox(*words(stream), first_row, out)
