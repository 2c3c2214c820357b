"""Catches checks at the public border that pass what is wrong, change what is right, or refuse in other words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from boltz import checks
from boltz.errors import BoltzError, FileError, InputError, Interrupted, NumericalError


@pytest.mark.parametrize(
    ("value", "least", "most"), [(0, 0, None), (5, 1, 5), (np.int8(3), 3, 9), (np.uint64(2**63), 0, None)]
)
def test_whole_numbers_pass(value: Any, least: int, most: int | None) -> None:
    found = checks.integer(value, "n", least, most)
    assert found == value and type(found) is int


@pytest.mark.parametrize(
    "value", [True, np.True_, 1.0, np.float32(1), "1", None, [1], np.array([1]), 1j, b"1"], ids=repr
)
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"^n must be a whole number of at least 0, got .*"):
        checks.integer(value, "n")


@pytest.mark.parametrize(("value", "most"), [(0, None), (8, 7), (10**400, 7)])
def test_whole_numbers_outside_their_bounds_are_refused(value: int, most: int | None) -> None:
    with pytest.raises(InputError, match="n must be a whole number of at least 1"):
        checks.integer(value, "n", 1, most)


@pytest.mark.parametrize("value", [0, 1, 0.5, np.float32(0.25), np.int64(1), 1e-300])
def test_numbers_pass(value: Any) -> None:
    found = checks.number(value, "x", 0, 1)
    assert found == value and type(found) is float


@pytest.mark.parametrize(
    "value",
    [True, "0.5", None, [0.5], np.array(0.5), 0.5j, np.nan, np.inf, -np.inf, -1e-9, 1.001, 10**400, -(10**400)],
    ids=str,
)
def test_what_is_no_number_in_range_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"^x must be a "):
        checks.number(value, "x", 0, 1)
    if isinstance(value, int) and not isinstance(value, bool):
        with pytest.raises(InputError, match=r"^x must be a finite number"):
            checks.number(value, "x")


def test_choices() -> None:
    assert checks.choice("a", "which", ("b", "a")) == "a"
    for wrong in ("c", None, 1, ["a"], np.array(["a"])):
        with pytest.raises(InputError, match="which must be one of a, b, got"):
            checks.choice(wrong, "which", ("b", "a"))


@pytest.mark.parametrize("value", [[1, 2], (1, 2), np.array([1, 2]), [[1], [2, 3]]], ids=repr)
def test_sequences_pass_as_lists(value: Any) -> None:
    assert len(checks.sequence(value, "s")) == 2


@pytest.mark.parametrize(
    "value", [None, 3, 2.5, "ab", b"ab", {1: 2}, np.array(3), iter([1])], ids=lambda v: type(v).__name__
)
def test_what_is_no_sequence_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="s must be a sequence, got"):
        checks.sequence(value, "s")


GRID = np.arange(6.0).reshape(2, 3)
FORMS = {
    "list": GRID.tolist(),
    "int": GRID.astype(int),
    "float16": GRID.astype(np.float16),
    "big endian": GRID.astype(">f8"),
    "Fortran order": np.asfortranarray(GRID),
    "negative stride": np.ascontiguousarray(GRID[::-1, ::-1])[::-1, ::-1],
    "every other": np.repeat(GRID, 2, axis=1)[:, ::2],
    "nested arrays": list(GRID),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("dtype", [None, np.float32, np.float64])
def test_arrays_of_any_form_come_out_alike(name: str, dtype: Any) -> None:
    found = checks.array(FORMS[name], "a", (None, 3), dtype)
    assert type(found) is np.ndarray and found.flags.c_contiguous and found.dtype.isnative
    assert found.dtype == (dtype or np.float64) and (found == GRID).all()


def test_float32_stays_and_other_types_become_float64() -> None:
    assert checks.array(np.zeros(2, np.float32), "a", (2,)).dtype == np.float32
    for dtype in (np.float16, np.int8, bool, np.longdouble):
        assert checks.array(np.zeros(2, dtype), "a", (2,)).dtype == np.float64


class CupyLike:
    __module__ = "cupy._core"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((2, 4)), r"a must have shape \(any, 3\), got \(2, 4\)\.$"),
        (np.zeros(3), r"a must have shape \(any, 3\), got \(3,\)\.$"),
        (np.zeros((1, 2, 3)), r"a must have shape"),
        (3.0, r"a must have shape \(any, 3\), got \(\)"),
        ([[1, 2], [3]], "a must be an array of numbers, got list"),
        ([["1", "2", "3"]], "a must be an array of real numbers, got dtype <U1"),
        ([[1, 2, 3j]], "a must be an array of real numbers, got dtype complex128"),
        ([[None, 1, 2]], "a must be an array of real numbers, got dtype object"),
        (np.zeros((1, 3), "M8[s]"), "a must be an array of real numbers"),
        ({"a": 1}, "a must be an array of real numbers"),
        ([[0, 0, 0], [0, np.nan, 0]], r"a must be finite, got nan at index \(1, 1\)"),
        ([[0, 0, -np.inf]], r"a must be finite, got -inf at index \(0, 2\)"),
        (CupyLike(), "a must be a numpy array, got a CuPy array"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        checks.array(value, "a", (None, 3))


def test_numbers_beyond_the_range_of_float32_are_refused() -> None:
    assert checks.array([1e300], "a", (1,))[0] == 1e300
    with pytest.raises(InputError, match=r"a must lie within the range of float32, got 1e\+300"):
        checks.array([1e300], "a", (1,), np.float32)


def test_errors_are_what_callers_catch() -> None:
    for error, parents in {
        InputError: (BoltzError, ValueError),
        FileError: (InputError,),
        NumericalError: (BoltzError, ArithmeticError),
        Interrupted: (BoltzError,),
    }.items():
        assert all(issubclass(error, parent) for parent in parents)
    assert not issubclass(Interrupted, InputError) and not issubclass(NumericalError, ValueError)
