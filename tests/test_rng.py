"""Catches two purposes with one key, hidden random state, and keys that differ from machine to machine."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from boltz import kernels
from boltz.rng import Key


def test_a_seed_becomes_two_words_and_a_step_a_stream() -> None:
    key = Key.from_seed(0x0123456789ABCDEF)
    assert (key.key0, key.key1) == (0x89ABCDEF, 0x01234567)
    assert key.stream(2**40 + 1) == (0x89ABCDEF, 0x01234567, 2**40 + 1)
    assert Key.from_seed(2**64 - 1) == Key(2**32 - 1, 2**32 - 1) and Key.from_seed(0) == Key(0, 0)


def test_a_derived_key_is_a_hash_of_key_and_purpose() -> None:
    """Written out: SHA-256 of the text of key and purpose, its first two little-endian words."""
    digest = hashlib.sha256(b"(1, 2, 'gibbs', 3)").digest()
    expected = Key(int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:8], "little"))
    assert Key(1, 2).derive("gibbs", 3) == expected


def test_purposes_never_share_a_key() -> None:
    """Also where the joined texts are equal, or a number meets its digits; no chance collision at these keys."""
    purposes = [
        ("a",),
        ("b",),
        ("a", "b"),
        ("ab",),
        ("a", 1),
        ("a", "1"),
        ("a1",),
        (1,),
        ("1",),
        (),
        ("a", ""),
        ("", "a"),
    ]
    keys = [key.derive(*p) for key, p in itertools.product((Key(1, 2), Key(2, 1), Key(1, 3)), purposes)]
    keys += [Key(1, 2).derive("a").derive("b"), Key(1, 2)]
    assert len(set(keys)) == len(keys)


def test_deriving_does_not_change_a_key() -> None:
    key = Key(1, 2)
    first = key.derive("x")
    key.derive("y")
    assert key == Key(1, 2) and key.derive("x") == first
    with pytest.raises(AttributeError):
        key.key0 = 5  # type: ignore[misc]


@pytest.mark.parametrize("seed", [0, 1, 2**32, 2**64 - 1])
def test_words_fit_the_kernels(seed: int) -> None:
    for key in (Key.from_seed(seed), Key.from_seed(seed).derive("x", seed)):
        assert 0 <= key.key0 < 2**32 and 0 <= key.key1 < 2**32
        out = np.zeros((2, 70), np.uint32)
        kernels.philox(key.stream(2**64 - 1), 0, out)
        assert len(np.unique(out)) == out.size
