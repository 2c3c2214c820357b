"""Counter-based random keys: no hidden state, so results do not depend on batch split, threads or order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from boltz import checks
from boltz.errors import InputError

Stream = tuple[int, int, Any]


@dataclass(frozen=True)
class Key:
    """A 64-bit Philox key; every purpose (layer, phase, epoch ...) derives a key of its own."""

    key0: int
    key1: int

    def __post_init__(self) -> None:
        for name in ("key0", "key1"):
            value = getattr(self, name)
            if type(value) is not int or not 0 <= value < 2**32:
                object.__setattr__(self, name, checks.integer(value, name, 0, 2**32 - 1))

    @classmethod
    def from_seed(cls, seed: int) -> Key:
        """The root key of a seed from 0 to 2^64 - 1; raises InputError for any other."""
        seed = checks.seed(seed)
        return cls(seed & 0xFFFFFFFF, seed >> 32)

    def derive(self, *purpose: str | int) -> Key:
        """The key of a purpose, text and whole numbers, under this key, by SHA-256 of both; raises InputError."""
        for part in purpose:
            whole = isinstance(part, int) and not isinstance(part, bool) and part.bit_length() <= 64
            if not whole and not isinstance(part, str):
                raise InputError(f"purpose must be text or a whole number of 64 bits, got {checks.brief(part)}.")
        text = repr((self.key0, self.key1, *purpose)).encode()
        words = hashlib.sha256(text).digest()
        return Key(int.from_bytes(words[:4], "little"), int.from_bytes(words[4:8], "little"))

    def stream(self, step: Any) -> Stream:
        """What a kernel takes: the key and the step, a number or a counter in the memory of a device."""
        return self.key0, self.key1, step

    def generator(self) -> np.random.Generator:
        """numpy's generator of this key, for what is drawn once and on the host."""
        return np.random.Generator(np.random.Philox(key=[self.key0, self.key1]))
