"""Products with 0/1 states, as sums of rows or columns of the other factor, against dense products in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boltz import kernels
from boltz.kernels import cpu, reference

BACKENDS = pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
WIDTHS = (1, 15, 16, 17, 127, 128, 129, 143, 144, 255, 256, 257, 384, 500, 1000)
BAND = 64


def states(rows: int, units: int, share: float, dtype: Any = np.float32, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((rows, units)) < share).astype(dtype)


def guarded(shape: tuple[int, int], dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """An array of NaN between two bands of sevens, and the whole memory."""
    size = int(np.prod(shape))
    memory = np.full(size + 2 * BAND, 7, dtype)
    out = memory[BAND : BAND + size].reshape(shape)
    out[...] = np.nan
    return out, memory


def check(backend: Any, name: str, state: np.ndarray, values: np.ndarray) -> bool:
    """Whether the backend took the work; if so the result must be right to float rounding and lie within its array."""
    turned = state.T if name == "binary_contraction" else state
    out, memory = guarded((len(turned), values.shape[1]), values.dtype)
    kept = state.copy(), values.copy()
    took = getattr(backend, name)(state, values, out)
    assert took in (True, False)
    assert (memory[:BAND] == 7).all() and (memory[-BAND:] == 7).all(), "written outside of the result"
    assert (state == kept[0]).all() and (values == kept[1]).all()
    if took:
        expected = turned.astype(np.float64) @ values.astype(np.float64)
        bound = (
            np.finfo(values.dtype).eps
            * turned.shape[1]
            * (turned.astype(np.float64) @ np.abs(values, dtype=np.float64))
        )
        assert (np.abs(out - expected) <= bound).all()
    return bool(took)


@BACKENDS
@pytest.mark.parametrize("name", ["binary_product", "binary_contraction"])
@pytest.mark.parametrize("columns", WIDTHS)
def test_sums_equal_the_dense_product_at_every_width(backend: Any, name: str, columns: int) -> None:
    """Rows and units of all residues; catches a last tile that is skipped, summed twice or written beyond the edge."""
    took = 0
    for rows, units, share in ((1, 1, 1.0), (3, 17, 0.2), (8, 64, 0.0), (5, 200, 0.05), (100, 300, 0.3)):
        state = states(rows, units, share)
        length = rows if name == "binary_contraction" else units
        values = np.random.default_rng(2).normal(size=(length, columns)).astype(np.float32)
        took += check(backend, name, state, values)
    if backend is reference or columns >= 128:
        assert took >= 2, "the backend declines sparse float32 work of ordinary size"


@BACKENDS
@pytest.mark.parametrize("name", ["binary_product", "binary_contraction"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dense_strided_and_double_precision_work_is_right_or_declined(backend: Any, name: str, dtype: Any) -> None:
    for share in (0.1, 0.34, 0.36, 0.5, 0.9, 1.0):
        wide = states(40, 90, share, dtype)
        for state in (wide, wide[:, 10:80], wide[::2], np.asfortranarray(wide), wide.T.copy().T):
            length = len(state) if name == "binary_contraction" else state.shape[1]
            values = np.random.default_rng(3).normal(size=(length, 300)).astype(dtype)
            for factor in (values, np.asfortranarray(values), values[:, ::2], values[:, 5:255]):
                check(backend, name, state, factor)


@BACKENDS
@pytest.mark.parametrize("name", ["binary_product", "binary_contraction"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.5, 2.0, -1.0, 1e-30, 1 - 6e-8])
def test_anything_but_0_and_1_is_declined(backend: Any, name: str, bad: float) -> None:
    """Wherever it stands; otherwise means would be taken for states, and a NaN chain would look healthy."""
    values = np.ones((60, 256), np.float32)
    for place in ((0, 0), (0, 59), (31, 17), (59, 0), (59, 59)):
        state = states(60, 60, 0.1)
        state[place] = bad
        out = np.zeros((60, 256), np.float32)
        assert getattr(backend, name)(state, values, out) in (False, np.False_)


@BACKENDS
def test_negative_zero_is_off(backend: Any) -> None:
    state = np.array([[-0.0, 1.0, 0.0, -0.0]], np.float32)
    out = np.full((1, 256), np.nan, np.float32)
    if backend.binary_product(state, np.full((4, 256), 3, np.float32), out):
        assert (out == 3).all()
    assert backend is cpu or (out == 3).all()


def test_a_nan_weight_reaches_exactly_the_rows_that_are_on() -> None:
    state, weight = states(50, 40, 0.2), np.ones((40, 300), np.float32)
    weight[7] = np.nan
    out = np.zeros((50, 300), np.float32)
    assert kernels.binary_product(state, weight, out)
    assert (np.isnan(out).all(axis=1) == (state[:, 7] == 1)).all() and np.isnan(out).any(axis=1).sum() < 50


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    """Sums run in the order of the units, whatever the block; catches sums that are split by block."""
    state = states(90, 200, 0.15)
    weight = np.random.default_rng(4).normal(size=(200, 333)).astype(np.float32)
    whole, part = np.empty((90, 333), np.float32), np.empty((30, 333), np.float32)
    assert cpu.binary_product(state, weight, whole) and cpu.binary_product(state[30:60], weight, part)
    assert (part == whole[30:60]).all()
