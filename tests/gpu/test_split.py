"""Catches weights in three parts of 16 bits that lose bits, and wrong products of states with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boltz.kernels.cuda.split import split


def parts_of(weight: Any, cupy: Any) -> Any:
    """The three parts (3, units, columns) as float32, the largest first; those of the transpose are the same."""
    units, columns = weight.shape
    upward, downward = (x.parts.get() for x in split(cupy.asarray(weight)))
    found = upward[:, :columns].reshape(3, units, columns)
    np.testing.assert_array_equal(downward[:, : 3 * columns].reshape(units, 3, columns).swapaxes(0, 1), found)
    return (found[::-1].astype(np.uint32) << 16).view(np.float32)


def joined(parts: Any) -> Any:
    """The sum of the parts, in float64."""
    with np.errstate(invalid="ignore"):  # the largest weights are rounded to infinity
        return parts.astype(np.float64).sum(axis=0)


def weights() -> Any:
    """Every exponent, ends of its range, random bits and both signs."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**23, (255, 40), dtype=np.uint32)
    bits[:, :4] = [0, 1, 2**23 - 1, 2**15]
    exponents = np.arange(255, dtype=np.uint32)[:, None] << 23
    return ((bits | exponents) | (generator.integers(0, 2, bits.shape, dtype=np.uint32) << 31)).view(np.float32)


def test_three_parts_are_the_weight(cupy: Any) -> None:
    """Exactly, wherever its last bit is not below the smallest numbers; catches a part rounded the wrong way."""
    w = weights()
    found, exact = joined(parts_of(w, cupy)), w.astype(np.float64)
    large = np.abs(exact) >= 2.0**-102
    # the largest numbers of 32 bits lie beyond the largest of 16: a trained machine is far from both ends
    large &= np.abs(exact) < 2.0**127
    np.testing.assert_array_equal(found[large], exact[large])
    small = np.abs(exact) < 2.0**-102
    assert np.abs(found - exact)[small].max() <= 2.0**-125
    assert large.sum() > 8000 and small.sum() > 900


def test_each_part_is_far_smaller_than_the_one_before(cupy: Any) -> None:
    """By 2^-8 at least, on which the bound of the error rests."""
    w = np.random.default_rng(1).normal(size=(50, 60)).astype(np.float32)
    parts = np.abs(parts_of(w, cupy))
    assert (parts[1] <= 2.0**-8 * parts[0]).all() and (
        parts[2] <= 2.0**-8 * np.maximum(parts[1], 2.0**-9 * parts[0])
    ).all()


@pytest.mark.parametrize(
    ("count", "units", "columns"), [(1, 1, 1), (7, 5, 3), (40, 33, 65), (3, 784, 50), (0, 5, 3), (3, 0, 4)]
)
def test_products_are_as_accurate_as_in_float32(count: int, units: int, columns: int, cupy: Any) -> None:
    """Within the bound that cuda.split derives, both ways; catches a lost part, sums added to what was there."""
    generator = np.random.default_rng(2)
    w = generator.normal(size=(units, columns)).astype(np.float32)
    upward, downward = split(cupy.asarray(w))
    for weight, factor in ((upward, w), (downward, np.ascontiguousarray(w.T))):
        state = (generator.random((count, len(factor))) < 0.4).astype(np.float32)
        out = cupy.asarray(np.full((count, factor.shape[1]), np.nan, np.float32))
        weight.product(cupy.asarray(state), out)
        exact, size = state.astype(float) @ factor, state.astype(float) @ np.abs(factor)
        bound = 3 * state.sum(axis=1, keepdims=True) * 2.0**-23 * (1 + 2.0**-8 + 2.0**-16) * size
        assert (np.abs(out.get() - exact) <= bound).all()


def test_a_nan_in_a_state_shows(cupy: Any) -> None:
    """Every NaN, also one whose bits are all in the lower half; its row alone is lost."""
    state = np.ones((3, 4), np.float32)
    state.view(np.uint32)[1, 2] = 0x7F800001
    out = cupy.asarray(np.zeros((3, 5), np.float32))
    split(cupy.asarray(np.ones((4, 5), np.float32)))[0].product(cupy.asarray(state), out)
    np.testing.assert_array_equal(np.isnan(out.get()), [[False] * 5, [True] * 5, [False] * 5])
