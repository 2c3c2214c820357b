"""Catches rows in their file whose values, levels, fingerprint or refusals differ from memory, or that fill memory."""

from __future__ import annotations

import hashlib
import mmap
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.data_files import BAD_FILES, write

import boltz
from boltz import scale
from boltz.data import load, readers
from boltz.data.from_arrays import given
from boltz.errors import FileError, InputError

GENERATOR = np.random.default_rng(5)
ROWS, UNITS = 41, 6
GREY = GENERATOR.integers(0, 256, (ROWS, UNITS))
BITS = GENERATOR.integers(0, 2, (ROWS, UNITS))
BITS[0] = 0, 1, 0, 0, 0, 0
ARRAYS: dict[str, np.ndarray] = {
    "grey": GREY.astype(np.uint8),
    "wide grey": GREY,
    "big-endian grey": GREY.astype(">i4"),
    "bits": BITS.astype(np.uint8),
    "bool": BITS.astype(bool),
    "bits as floats": BITS.astype(np.float64),
    "float32": (GREY / 255).astype(np.float32),
    "float64": GENERATOR.random((ROWS, UNITS)),
    "big-endian floats": GENERATOR.random((ROWS, UNITS)).astype(">f4"),
    "half floats": GENERATOR.random((ROWS, UNITS)).astype(np.float16),
    "images": GREY.astype(np.uint8).reshape(ROWS, 2, 3),
}
LEVELS = {"wide grey": 255, "big-endian grey": 255}  # of whole numbers that are no bytes


def in_file(x: Any) -> bool:
    """Whether an array is a view of a mapped file."""
    while isinstance(x, np.ndarray):
        x = x.base
    return isinstance(x, mmap.mmap)


@pytest.fixture
def all_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Map .npy files of any size, and look at two rows at once."""
    monkeypatch.setattr(readers, "MAPPED_BYTES", 1)
    monkeypatch.setattr(scale, "BLOCK", 2 * UNITS)


def saved(folder: Path, x: np.ndarray) -> Path:
    np.save(folder / "x.npy", x)
    return folder / "x.npy"


def assert_same_rows(mapped: boltz.Data, plain: boltz.Data) -> None:
    assert in_file(mapped.x) and not in_file(plain.x)
    assert type(mapped.x) is np.ndarray and not mapped.x.flags.writeable
    assert mapped.x.shape == plain.x.shape
    for name in ("fingerprint", "levels", "binary"):
        assert getattr(mapped, name) == getattr(plain, name), name
    key, rows = boltz.Key(1, 2), np.array([40, 3, 17, 3])
    for how in ("dynamic", "fixed", "threshold", "none"):
        found, wanted = (boltz.binarize(d.x[rows], d.levels, how, key, 5, rows) for d in (mapped, plain))
        assert found.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ARRAYS)
def test_a_large_file_is_mapped_and_holds_the_same_rows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, ARRAYS[name])
    levels = LEVELS.get(name)
    plain = load(path, levels=levels)
    monkeypatch.setattr(readers, "MAPPED_BYTES", path.stat().st_size)
    monkeypatch.setattr(scale, "BLOCK", 2 * UNITS)
    assert_same_rows(load(path, levels=levels), plain)
    assert load(path, levels=levels).shape == plain.shape
    monkeypatch.setattr(readers, "MAPPED_BYTES", path.stat().st_size + 1)
    assert not in_file(load(path, levels=levels).x)


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "images"])
def test_a_memory_map_of_the_caller_is_mapped_too(name: str, tmp_path: Path) -> None:
    x, levels = ARRAYS[name], LEVELS.get(name)
    mapped = given(np.load(saved(tmp_path, x), mmap_mode="r"), "x", UNITS, levels=levels)
    assert_same_rows(mapped, given(x, "x", UNITS, levels=levels))
    if x.dtype.kind != "f":  # floats that are all 0 or 1 are levels only where an array is given
        assert mapped.fingerprint == load(saved(tmp_path, x), levels=levels).fingerprint


def test_the_fingerprint_is_that_of_the_bytes_in_memory(tmp_path: Path, all_mapped: None) -> None:
    """Computed here by hand, so that a fault of all blocks alike shows."""
    for name, kind in (("wide grey", np.uint8), ("float64", np.float32)):
        x = np.ascontiguousarray(ARRAYS[name], kind)
        wanted = hashlib.sha256(f"{x.dtype.name} {x.shape}\n".encode() + x.tobytes()).hexdigest()
        assert load(saved(tmp_path, ARRAYS[name]), levels=LEVELS.get(name)).fingerprint == wanted


def test_rows_of_a_file_in_column_order_are_read(tmp_path: Path, all_mapped: None) -> None:
    data = load(saved(tmp_path, np.asfortranarray(ARRAYS["grey"])))
    assert not in_file(data.x) and data.x.flags.c_contiguous
    np.testing.assert_array_equal(data.x, ARRAYS["grey"])


def test_limit_takes_a_view_with_the_levels_of_all(tmp_path: Path, all_mapped: None) -> None:
    x = np.zeros((ROWS, UNITS), np.uint8)
    x[-1, -1] = 200
    data = load(saved(tmp_path, x), limit=7)
    assert in_file(data.x) and data.x.shape == (7, UNITS) and data.levels == 255
    assert data.fingerprint == load(saved(tmp_path, x[:7])).fingerprint


@pytest.mark.parametrize("case", [
    "npy cut data", "npy extra data", "npy lying shape", "npy zero times huge", "npy unknown type", "npy objects",
    "npy one axis", "npy nan", "npy inf", "npy negative", "npy too large", "npy huge", "npy huge float",
    "npy float grey", "npy false bool", "npy image row",
])  # fmt: skip
def test_a_bad_file_is_refused_as_when_read(case: str, tmp_path: Path, all_mapped: None) -> None:
    name, content, piece = BAD_FILES[case]
    path = write(tmp_path, name, content(tmp_path) if callable(content) else content)
    with pytest.raises(FileError) as caught:
        load(path)
    assert str(path) in str(caught.value) and piece in str(caught.value)


@pytest.mark.parametrize(("row", "wrong"), [(0, np.nan), (23, 1.5), (ROWS - 1, -np.inf)])
def test_what_is_wrong_is_found_in_any_block(row: int, wrong: float, tmp_path: Path, all_mapped: None) -> None:
    x = ARRAYS["float64"].copy()
    x[row, 2] = wrong
    path = saved(tmp_path, x)
    with pytest.raises(FileError, match=rf"row {row + 1}, column 3 is {wrong:g}; expected numbers in \[0, 1\]"):
        load(path)
    with pytest.raises(InputError, match=rf"^x must hold numbers in .*, got {wrong:g} at index \({row}, 2\)"):
        given(np.load(path, mmap_mode="r"), "x", UNITS)


def test_real_rows_may_be_anything_finite(tmp_path: Path, all_mapped: None) -> None:
    x = 100 * ARRAYS["float64"] - 50
    mapped = given(np.load(saved(tmp_path, x), mmap_mode="r"), "x", UNITS, real=True)
    plain = given(x, "x", UNITS, real=True)
    assert mapped.fingerprint == plain.fingerprint and mapped.levels is plain.levels is None and in_file(mapped.x)
    for wrong in (np.nan, np.inf, 1e300):
        x[30, 1] = wrong
        with pytest.raises(InputError, match=r"^x must hold finite numbers .* at index \(30, 1\)\.$"):
            given(np.load(saved(tmp_path, x), mmap_mode="r"), "x", UNITS, real=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_no_memory_is_taken_for_the_rows(tmp_path: Path, dtype: Any) -> None:
    """80 MB of zeros in a sparse file: a copy or a mask of all numbers takes an eighth and more; a twelfth may pass."""
    units = 100
    x = np.lib.format.open_memmap(
        tmp_path / "x.npy", "w+", dtype, (80_000_000 // units // np.dtype(dtype).itemsize, units)
    )
    x[-1, 0] = 1
    del x
    tracemalloc.start()
    try:
        data = load(tmp_path / "x.npy")
        assert data.binary and load(tmp_path / "x.npy", limit=len(data.x) // 2).x.base is not None
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert in_file(data.x) and peak < 80_000_000 / 12
