"""Catches a kind of file that is read wrongly, and a bad file without one sentence that names it."""

from __future__ import annotations

import gzip
import io
import os
import re
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.data_files import (
    BAD_FILES,
    BITS,
    GREY,
    IMAGES,
    header_bytes,
    idx_bytes,
    npy_bytes,
    npz_bytes,
    write,
    zip_bytes,
)

from boltz.data import load, npy, readers, splits
from boltz.errors import FileError, InputError


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.npy", npy_bytes(GREY)),
        ("v2.npy", npy_bytes(GREY, version=(2, 0))),
        ("v3.npy", npy_bytes(GREY, version=(3, 0))),
        ("fortran.npy", npy_bytes(np.asfortranarray(GREY))),
        ("wide.npy", npy_bytes(GREY.astype(np.int64))),
        ("big_endian.npy", npy_bytes(GREY.astype(">i4"))),
        ("quotes.npy", header_bytes('{"descr": "|u1", "fortran_order": False, "shape": (2L, 3L)}', GREY.tobytes())),
        ("only.npz", npz_bytes(anything=GREY)),
        ("x.npz", npz_bytes(x=GREY, other=BITS, third=BITS)),
        ("parts.npz", npz_bytes(x_train=GREY, x_test=BITS)),
        ("stored.npz", zip_bytes({"x.npy": npy_bytes(GREY), "readme.txt": b"hello"}, zipfile.ZIP_STORED)),
        ("a.csv", b"0,128,255\n7,0,1\n"),
        ("no_end.csv", b"0,128,255\n7,0,1"),
        ("dos.csv", b"0,128,255\r\n7,0,1\r\n\r\n"),
        ("header.csv", b'"a","b","c"\n0,128,255\n7,0,1\n'),
        ("mark.csv", b"\xef\xbb\xbf0,128,255\n7,0,1\n"),
        ("points.csv", b" 0.0, 128.0,255.0\n7.,0e0,1\n"),
        ("a.csv.gz", gzip.compress(b"0,128,255\n7,0,1\n")),
        ("A.CSV", b"0,128,255\n7,0,1\n"),
        ("train-images-idx2-ubyte", idx_bytes(GREY)),
        ("a.idx", idx_bytes(GREY, 12)),
        ("a-ubyte.gz", gzip.compress(idx_bytes(GREY))),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",
)
def test_every_kind_of_file_gives_the_same_grey_rows(tmp_path, name, content):
    data = load(write(tmp_path, name, content), levels=255)
    assert data.x.dtype == np.uint8 and data.levels == 255 and data.shape is None and not data.binary
    np.testing.assert_array_equal(data.x, GREY)
    assert data.x.flags.c_contiguous and not data.x.flags.writeable
    assert data.fingerprint == load(write(tmp_path, "same.npy", npy_bytes(GREY))).fingerprint


@pytest.mark.parametrize(
    ("array", "levels", "dtype"),
    [
        (BITS, 1, np.uint8),
        (BITS.astype(bool), 1, np.uint8),
        (BITS.astype(np.int64), 1, np.uint8),
        (np.zeros((2, 3), np.int8), 1, np.uint8),
        (BITS.astype(np.float64), None, np.float32),
        (BITS * np.float16(0.5), None, np.float32),
        (BITS.astype(">f4") / 4, None, np.float32),
    ],
)
def test_dtypes_and_levels(tmp_path, array, levels, dtype):
    data = load(write(tmp_path, "a.npy", npy_bytes(array)))
    assert data.levels == levels and data.x.dtype == dtype
    np.testing.assert_array_equal(data.x, np.asarray(array, dtype))
    assert data.binary == bool(np.isin(array, (0, 1)).all())


def test_black_and_white_grey_counts_as_binary(tmp_path):
    data = load(write(tmp_path, "a.npy", npy_bytes(BITS * np.uint8(255))))
    assert data.levels == 255 and data.binary


def test_fractions_in_csv_give_floats_and_row_blocks_join(tmp_path):
    rows = np.random.default_rng(0).integers(0, 2, (2503, 3)).astype(np.float64)
    rows[2100, 1] = 0.25
    text = "".join(",".join(f"{v:g}" for v in row) + "\n" for row in rows)
    data = load(write(tmp_path, "a.csv", text.encode()))
    assert data.levels is None and data.x.dtype == np.float32
    np.testing.assert_array_equal(data.x, rows)


@pytest.mark.parametrize(
    ("values", "shape"),
    [
        (IMAGES, (3, 4)),
        (IMAGES[:, None], (3, 4)),
        (IMAGES[..., None], (3, 4)),
        (np.stack([IMAGES] * 3, 1), None),
    ],
)
def test_images_are_flattened_row_by_row(tmp_path, values, shape):
    data = load(write(tmp_path, "a.npy", npy_bytes(values)))
    assert data.shape == shape
    np.testing.assert_array_equal(data.x, values.reshape(2, -1))
    np.testing.assert_array_equal(load(write(tmp_path, "a.idx", idx_bytes(values))).x, data.x)


def test_packed_bits_are_unpacked_by_shape_or_number_of_variables(tmp_path):
    bits = np.random.default_rng(1).integers(0, 2, (5, 20), np.uint8)
    packed = np.packbits(bits, axis=1)
    for extra in ({"shape": np.array([4, 5], np.int32)}, {"n_vars": np.int32(20)}):
        data = load(write(tmp_path, "a.npz", npz_bytes(x_train=packed, **extra)))
        np.testing.assert_array_equal(data.x, bits)
        assert data.levels == 1 and data.shape == ((4, 5) if "shape" in extra else None)
        plain = load(write(tmp_path, "b.npz", npz_bytes(x_train=bits, **extra)))
        assert plain.fingerprint == data.fingerprint


def test_labels_splits_and_named_arrays(tmp_path):
    y = np.array([3, 9], ">i2")
    path = write(tmp_path, "a.npz", npz_bytes(x_train=GREY, y_train=y, x_test=BITS, y_test=np.array(["a", "b"])))
    assert splits(path) == ("train", "test")
    np.testing.assert_array_equal(load(path).labels, [3, 9])
    assert load(path).labels.dtype.isnative
    test = load(path, "test")
    assert test.labels is None and test.levels == 1 and test.source == f"{path}:x_test" and test.name == "a"
    named = load(f"{path}:x_test")
    assert named.fingerprint == test.fingerprint and splits(f"{path}:x_test") == ("train",)


def test_limit_keeps_the_first_rows_and_the_levels_of_all(tmp_path):
    values = np.zeros((50, 4), np.uint8)
    values[40] = 200
    path = write(tmp_path, "a.npz", npz_bytes(x=values, y=np.arange(50)))
    data = load(path, limit=10)
    assert data.x.shape == (10, 4) and data.levels == 255 and list(data.labels) == list(range(10))
    assert data.fingerprint != load(path).fingerprint and load(path, limit=99).x.shape == (50, 4)
    for wrong in (0, -1, 2.5, True):
        with pytest.raises(InputError, match="limit"):
            load(path, limit=wrong)


def test_a_file_name_may_hold_a_colon(tmp_path):
    path = write(tmp_path, "a:b.npy", npy_bytes(BITS))
    np.testing.assert_array_equal(load(str(path)).x, BITS)


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_gives_one_sentence_that_names_it(tmp_path, case):
    name, content, piece = BAD_FILES[case]
    path = write(tmp_path, name, content(tmp_path) if callable(content) else content)
    with pytest.raises(FileError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and piece in message, message
    assert message.endswith(".") and "\n" not in message and len(message) < 400 + len(str(path)), message


@pytest.mark.parametrize(
    ("name", "array", "split", "piece"),
    [
        ("a.npy", None, "test", "no split 'test'"),
        ("a.npy", "x", "train", "goes with .npz files only"),
        ("x.npz", None, "valid", "no array 'x_valid'"),
        ("x.npz", "y", "train", "no array 'y'; it has 'x'"),
    ],
)
def test_a_split_or_array_that_is_not_there(tmp_path, name, array, split, piece):
    path = write(tmp_path, name, npy_bytes(GREY) if name == "a.npy" else npz_bytes(x=GREY))
    with pytest.raises(FileError, match=re.escape(piece)) as caught:
        load(f"{path}:{array}" if array else path, split)
    assert str(path) in str(caught.value)


def test_what_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    for path in (tmp_path, tmp_path / "pipe.npy"):
        with pytest.raises(FileError, match="is not a file"):
            load(path)
    with pytest.raises(FileError, match="does not exist"):
        load(tmp_path / "none.npy")
    with pytest.raises(FileError):
        load(Path("null\0byte.npy"))


@pytest.mark.skipif(os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_named(tmp_path):
    path = write(tmp_path, "a.npy", npy_bytes(GREY))
    path.chmod(0)
    with pytest.raises(FileError, match="Permission denied"):
        load(path)


def test_twice_the_same_array_name_is_refused(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", npy_bytes(GREY))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.npy", npy_bytes(BITS))
    with pytest.raises(FileError, match="2 arrays of 1 different names"):
        load(write(tmp_path, "a.npz", buffer.getvalue()))


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.idx.gz", "a.csv.gz"])
def test_bombs_stop_at_the_limit(tmp_path, monkeypatch, name):
    """Well-formed files that unpack to more than the limit are refused before the memory is taken."""
    zeros = np.zeros((3000, 1000), np.uint8)
    content = {
        "a.npz": npz_bytes(x=zeros),
        "a.npy": npy_bytes(zeros),
        "a.idx.gz": gzip.compress(idx_bytes(zeros)),
        "a.csv.gz": gzip.compress(b"0," * 10000 + b"0\n"),
    }[name]
    path = write(tmp_path, name, content)
    for module in (npy, readers):
        monkeypatch.setattr(module, "LIMIT_BYTES", 10_000)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="10000"):
            load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.idx.gz"])
def test_memory_stays_near_the_raw_bytes(tmp_path, name):
    """Would catch a copy to float or a second copy of the file: they need at least twice the bytes, here 1.3 pass."""
    values = np.tile(np.arange(100, 200, dtype=np.uint8), (20_000, 4))
    kinds = {"a.npz": lambda: npz_bytes(x=values), "a.npy": lambda: npy_bytes(values)}
    kinds["a.idx.gz"] = lambda: gzip.compress(idx_bytes(values), 1)
    path = write(tmp_path, name, kinds[name]())
    tracemalloc.start()
    try:
        data = load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert data.x.nbytes == values.nbytes and peak < 1.3 * values.nbytes
