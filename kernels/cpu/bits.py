"""Numba moves between states of 0 and 1 and bits, eight units a byte, the first unit in the highest bit."""

from __future__ import annotations

from boltz.kernels.cpu.vectors import kernel


@kernel
def _unpack(bits, rows, out):
    for i in range(len(out)):
        source, target = bits[rows[i]], out[i]
        for j in range(len(target)):
            target[j] = (source[j >> 3] >> (7 - (j & 7))) & 1


@kernel
def _pack(x, rows, bits):
    for i in range(len(x)):
        row, target = x[i], bits[rows[i]]
        for place in range(len(target)):
            byte = 0
            for j in range(8 * place, min(8 * place + 8, len(row))):
                byte |= (row[j] != 0) << (7 - (j & 7))
            target[place] = byte


def unpack_rows(bits, rows, out):
    _unpack(bits, rows, out)


def pack_rows(x, rows, bits):
    _pack(x, rows, bits)
