"""Catches kernels of nets with a band of weights that do not do what the reference does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boltz.kernels import reference_flows as reference
from boltz.kernels.cpu import flows as kernels
from boltz.nn.dense import ACTIVATIONS


def bands(units: int, columns: int) -> dict[str, tuple[Any, Any]]:
    """Ranges (low, high) of units by column: all, first and last parts, and parts in between, some of them empty."""
    rng = np.random.default_rng(5)
    rising = np.sort(rng.integers(0, units + 1, columns))
    none, all_ = np.zeros(columns, np.int64), np.full(columns, units)
    return {"all": (none, all_), "first": (none, rising), "last": (rising, all_), "some": (rising // 2, rising)}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, 5), (5, 40, 17), (40, 33, 70), (13, 300, 100), (600, 20, 33)], ids=str)
def test_banded_products_are_those_of_the_reference(shape: tuple[int, int, int], turned: bool, dtype: Any) -> None:
    """Whatever masked weights hold; and a row is the same to the last bit without the others."""
    rows, units, columns = shape
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, units)).astype(dtype)
    weight = (
        rng.normal(size=(columns, units)).astype(dtype).T if turned else rng.normal(size=(units, columns)).astype(dtype)
    )
    for low, high in bands(units, columns).values():
        unit = np.arange(units)[:, None]
        dead = (unit < low) | (unit >= high)
        weight[dead] = np.nan
        found, wanted = (np.full((rows, columns), np.nan, dtype) for _ in range(2))
        kernels.banded(x, weight, low, high, found)
        reference.banded(x.astype(float), weight.astype(float), low, high, wanted)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 if dtype is np.float32 else 1e-12)
        if dtype is np.float32:
            alone = np.empty((1, columns), dtype)
            kernels.banded(x[-1:], weight, low, high, alone)
            np.testing.assert_array_equal(alone[0], found[-1])
        by_columns = np.full((columns, rows), np.nan, dtype).T
        kernels.banded(x, weight, low, high, by_columns)
        np.testing.assert_allclose(by_columns, wanted, rtol=0, atol=1e-4 if dtype is np.float32 else 1e-12)
        weight[dead] = rng.normal(size=int(dead.sum()))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_units_settle_as_in_the_reference(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    value, weight = rng.normal(size=(5, 4)).astype(dtype), rng.normal(size=(4, 9)).astype(dtype)
    reach = np.array([0, 2, 5, 9]), np.array([9, 9, 8, 9])
    for kind in ("linear", *ACTIVATIONS):
        one, other = np.ones((5, 9), dtype), np.ones((5, 9), dtype)
        kernels.settle(kind, value, (1, 4), reach, weight, one)
        reference.settle(kind, value, (1, 4), reach, weight, other)
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 if dtype is np.float32 else 1e-14)
        assert (one[:, :2] == 1).all() and (one[:, 2:5] != 1).any() and (one[:, 5:8] != 1).any()
