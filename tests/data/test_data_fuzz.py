"""Catches damaged bytes of any kind of file that load as invalid rows or end in anything but a BoltzError."""

from __future__ import annotations

import gzip
import io
import random
import struct

import numpy as np
import pytest

from boltz.data import load
from boltz.errors import BoltzError

MUTANTS = 350  # of each of the kinds below: 2,100 in all
WORDS = (b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"nan", b"(", b"'", b",", b"\n", b"1e999", b"|O", b"-1", b"9999")


def _npy() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(20, dtype=np.uint8).reshape(4, 5))
    return buffer.getvalue()


def _npz() -> bytes:
    buffer = io.BytesIO()
    x = np.packbits(np.eye(9, 20, dtype=np.uint8), axis=1)
    np.savez_compressed(buffer, x_train=x, y_train=np.arange(9), x_test=x, shape=np.array([4, 5]))
    return buffer.getvalue()


IDX = bytes([0, 0, 8, 3]) + struct.pack(">3I", 2, 3, 4) + bytes(range(24))
SEEDS = {
    "a.npy": _npy(),
    "a.npz": _npz(),
    "a.idx": IDX,
    "a.idx.gz": gzip.compress(IDX),
    "a.csv": b"a,b,c\n" + b"0,0.25,1\n" * 6,
    "a.csv.gz": gzip.compress(b"0,1,0\n" * 6),
}


def _mutant(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(changed) + 1)
        action = dice.randrange(6)
        if action == 0 and at < len(changed):
            changed[at] ^= 1 << dice.randrange(8)
        elif action == 1 and at < len(changed):
            changed[at] = dice.randrange(256)
        elif action == 2:
            word = dice.choice(WORDS)
            changed[at : at + len(word)] = word
        elif action == 3:
            changed[at:at] = dice.choice(WORDS)
        elif action == 4:
            del changed[at : at + dice.randrange(1, 40)]
        else:
            changed[at:at] = changed[: dice.randrange(1, 40)]
    return bytes(changed)


@pytest.mark.parametrize("name", SEEDS)
def test_mutants_give_rows_or_a_boltz_error(tmp_path, name):
    dice = random.Random(f"mutants of {name}")
    path = tmp_path / name
    refused = 0
    for number in range(MUTANTS):
        path.write_bytes(_mutant(SEEDS[name], dice))
        try:
            data = load(path)
        except BoltzError as problem:
            refused += 1
            assert str(path) in str(problem), (number, problem)
            continue
        assert data.x.ndim == 2 and data.x.size > 0, number
        assert data.x.min() >= 0 and data.x.max() <= (data.levels or 1), number
    assert refused > MUTANTS // 10
