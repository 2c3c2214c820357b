"""Catches products by tables or panels that differ from products in float64, at any shape or kind of state."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from checks import quick_products

from boltz.kernels import cpu, reference
from boltz.kernels.cpu import products
from boltz.kernels.cpu.vectors import registers

BACKENDS = pytest.mark.parametrize("backend", [cpu, reference], ids=["cpu", "reference"])
NAMES = pytest.mark.parametrize("name", ["product", "contraction"])
WIDTHS = (1, 3, 11, 12, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 95, 97, 128, 143, 200, 500)
SHAPES = ((1, 1), (3, 17), (13, 64), (24, 63), (31, 130), (50, 200), (77, 5), (100, 300))  # rows, units
BAND = 64


def states(rows: int, units: int, share: float, dtype: Any = np.float32, seed: int = 1) -> np.ndarray:
    return (np.random.default_rng(seed).random((rows, units)) < share).astype(dtype)


def means(rows: int, units: int, dtype: Any = np.float32, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((rows, units)).astype(dtype)


def guarded(shape: tuple[int, int], dtype: Any = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """An array of NaN between two bands of sevens, and the whole memory."""
    size = int(np.prod(shape))
    memory = np.full(size + 2 * BAND, 7, dtype)
    out = memory[BAND : BAND + size].reshape(shape)
    out[...] = np.nan
    return out, memory


def check(backend: Any, name: str, x: np.ndarray, values: np.ndarray) -> None:
    """The result is right to float rounding and lies within its array, and the factors are untouched."""
    turned = x.T if name == "contraction" else x
    out, memory = guarded((len(turned), values.shape[1]), values.dtype)
    kept = x.copy(), values.copy()
    getattr(backend, name)(x, values, out)
    assert (memory[:BAND] == 7).all() and (memory[-BAND:] == 7).all(), "written outside of the result"
    assert (x == kept[0]).all() and (values == kept[1]).all()
    expected = turned.astype(np.float64) @ values.astype(np.float64)
    size = np.abs(turned, dtype=np.float64) @ np.abs(values, dtype=np.float64)
    assert (np.abs(out - expected) <= np.finfo(values.dtype).eps * (turned.shape[1] + 1) * size).all()


def second(name: str, x: np.ndarray, columns: int, dtype: Any = np.float32) -> np.ndarray:
    length = len(x) if name == "contraction" else x.shape[1]
    return np.random.default_rng(2).normal(size=(length, columns)).astype(dtype)


@BACKENDS
@NAMES
@pytest.mark.parametrize("columns", WIDTHS)
def test_products_are_right_at_every_width(backend: Any, name: str, columns: int) -> None:
    """Rows and units of many residues; catches a last tile or word that is skipped, summed twice or overwritten."""
    for rows, units in SHAPES:
        for x in (states(rows, units, 0.2), means(rows, units)):
            check(backend, name, x, second(name, x, columns))
    for share in (0.0, 0.5, 1.0):
        x = states(70, 140, share)
        check(backend, name, x, second(name, x, columns))


@BACKENDS
@NAMES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_read_any_layout(backend: Any, name: str, dtype: Any) -> None:
    """Slices, gaps and both orders of either factor; catches a stride that is taken for granted."""
    for wide in (states(64, 160, 0.3, dtype), means(64, 160, dtype)):
        for x in (wide, wide[:, 10:80], wide[::2], wide[:, ::2], np.asfortranarray(wide)):
            values = second(name, x, 300, dtype)
            for factor in (values, np.asfortranarray(values), values[:, ::2], values[:, 5:38], values[:, :1]):
                check(backend, name, x, factor)


@BACKENDS
@NAMES
def test_long_sums_and_many_rows(backend: Any, name: str) -> None:
    """More units than a tile is deep and more rows than a chunk; catches sums that begin anew."""
    for x in (states(700, 40, 0.3), means(700, 40), states(40, 700, 0.3), means(40, 700)):
        check(backend, name, x, second(name, x, 37))


@BACKENDS
@NAMES
def test_empty_factors_give_zeros(backend: Any, name: str) -> None:
    for rows, units in ((0, 5), (50, 0), (0, 0)):
        x = np.zeros((rows, units), np.float32)
        check(backend, name, x, second(name, x, 40))


@BACKENDS
@NAMES
@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.5, 2.0, -1.0, 1e-30, 1 - 6e-8])
def test_a_number_that_is_not_0_or_1_counts_as_what_it_is(backend: Any, name: str, bad: float) -> None:
    """Wherever it stands, the parts beyond the vectors included; else means would be taken for states."""
    for row, unit in ((0, 0), (0, 59), (31, 17), (59, 0), (59, 59), (40, 47), (47, 40)):
        x, values = states(60, 60, 0.1), np.full((60, 40), 1e30 if bad == 1e-30 else 1, np.float32)
        x[row], x[:, unit] = 0, 0
        x[row, unit] = bad
        out = np.zeros((60, 40), np.float32)
        getattr(backend, name)(x, values, out)
        place = unit if name == "contraction" else row
        assert np.array_equal(out[place], np.float32(bad) * values[0], equal_nan=True)
        others = np.delete(x.T if name == "contraction" else x, place, axis=0)
        if np.isfinite(bad):
            assert np.allclose(np.delete(out, place, axis=0), others @ values, rtol=1e-5)


@BACKENDS
def test_negative_zero_is_off(backend: Any) -> None:
    x = np.tile(np.array([-0.0, 1.0, 0.0, -0.0], np.float32), (30, 1))
    out = np.full((30, 256), np.nan, np.float32)
    backend.product(x, np.full((4, 256), 3, np.float32), out)
    assert (out == 3).all()


@BACKENDS
def test_a_nan_weight_reaches_exactly_the_rows_that_are_on(backend: Any) -> None:
    """Which also shows that states of ordinary shape go by tables: a dense product would spread it to every row."""
    x, weight = states(50, 40, 0.2), np.ones((40, 300), np.float32)
    weight[7] = np.nan
    out = np.zeros((50, 300), np.float32)
    backend.product(x, weight, out)
    assert (np.isnan(out).all(axis=1) == (x[:, 7] == 1)).all() and np.isnan(out).any(axis=1).sum() < 50


@pytest.mark.parametrize("columns", [5, 40, 333])
@pytest.mark.parametrize("kind", ["states", "means"])
def test_a_row_does_not_depend_on_the_rows_beside_it(kind: str, columns: int) -> None:
    """To the last bit: on this rests that results do not depend on the number of threads; catches sums by block."""
    x = states(97, 600, 0.15) if kind == "states" else means(97, 600)
    weight = second("product", x, columns)
    whole = np.empty((97, columns), np.float32)
    cpu.product(x, weight, whole)
    for rows in (slice(0, 24), slice(24, 61), slice(61, 97)):
        part = np.empty((rows.stop - rows.start, columns), np.float32)
        cpu.product(x[rows], weight, part)
        assert (part == whole[rows]).all()
        cpu.product(x[rows], np.asfortranarray(weight), part)
        assert (part == whole[rows]).all()


@NAMES
@pytest.mark.parametrize("columns", [13, 40])
def test_a_binary_row_does_not_depend_on_real_rows_beside_it(name: str, columns: int) -> None:
    """To the last bit; catches tables for a share of binary rows that a larger share treats as real numbers."""
    x, beside = states(100, 71, 0.3), states(100, 71, 0.3)
    real = np.arange(0, 71, 3) if name == "contraction" else np.arange(0, 100, 3)
    place = np.s_[:, real] if name == "contraction" else np.s_[real]
    beside[place] = means(100, 71)[place]
    for kind, kept in ((x, np.delete(np.arange(71 if name == "contraction" else 100), real)), (means(100, 71), real)):
        found = []
        for each in (kind, beside):
            values = second(name, x, columns)
            found.append(np.empty((71 if name == "contraction" else 100, columns), np.float32))
            getattr(cpu, name)(each, values, found[-1])
        assert (found[0][kept] == found[1][kept]).all()


@NAMES
def test_shapes_that_do_not_match_are_refused(name: str) -> None:
    """Before any memory is touched, which addresses would not notice."""
    x, values = states(40, 40, 0.3), np.zeros((40, 50), np.float32)
    for factor, out in ((values[:39], (40, 50)), (values, (40, 49)), (values, (39, 50)), (values, (41, 50))):
        with pytest.raises(ValueError):
            getattr(cpu, name)(x, factor, np.empty(out, np.float32))


def test_the_block_of_a_table_does_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is chosen by a clock, so runs would differ otherwise."""
    x = states(60, 210, 0.3)
    weight, found = second("product", x, 100), []
    for block in (32, 64):
        monkeypatch.setattr(products, "_block", lambda block=block: block)
        out = np.empty((60, 100), np.float32)
        cpu.product(x, weight, out)
        found.append(out)
    assert (found[0] == found[1]).all()


def test_the_register_file_is_one_that_the_panels_know() -> None:
    assert registers() in ((16, 32), (8, 16), (4, 16))


def test_packed_rows() -> None:
    quick_products.check_packed_rows()


def test_turned_weights() -> None:
    quick_products.check_turned()
