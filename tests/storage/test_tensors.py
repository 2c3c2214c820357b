"""Catches tensor files that lose bits, break in a crash at any system call, or are trusted when damaged or hostile."""

from __future__ import annotations

import errno
import itertools
import json
import os
import random
import re
import stat
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import numpy as codec

from boltz.errors import FileError, InputError, WriteError
from boltz.storage import atomic
from boltz.storage import tensors as checkpoint
from boltz.storage.atomic import write_bytes, write_text
from boltz.storage.tensors import read_tensors, write_tensors

OLD = {"layer/v/bias": np.arange(3, dtype=np.float32)}
NEW = {"layer/v/bias": np.arange(4, dtype=np.float64), "step": np.array(7, dtype=np.uint64)}


def same(left: dict[str, Any], right: dict[str, Any]) -> bool:
    """Equal names, dtypes, shapes and bits."""
    return left.keys() == right.keys() and all(
        left[n].dtype == right[n].dtype and left[n].shape == right[n].shape and left[n].tobytes() == right[n].tobytes()
        for n in left
    )


def leftovers(folder: Path) -> list[str]:
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def assemble(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file from a header (object, text or bytes) and data, valid or not."""
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return len(text).to_bytes(8, "little") + text + data


# ---- round trips -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", checkpoint.DTYPES.values())
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (2, 3), (2, 1, 3, 2)])
def test_every_dtype_and_shape_comes_back_bitwise(tmp_path: Path, code: str, shape: tuple[int, ...]) -> None:
    dtype = np.dtype(code)
    raw = random.Random(str((code, shape))).randbytes(dtype.itemsize * int(np.prod(shape)))  # NaN payloads included
    array = np.frombuffer(raw, dtype=dtype).reshape(shape)
    path = tmp_path / "x.safetensors"
    write_tensors(path, {"x": array}, {})
    tensors, metadata = read_tensors(path)
    assert same(tensors, {"x": array}) and metadata == {}
    assert tensors["x"].flags.writeable and tensors["x"].flags.c_contiguous


def test_random_dictionaries_come_back_bitwise(tmp_path: Path) -> None:
    draw = random.Random(11)
    codes = list(checkpoint.DTYPES.values())
    path = tmp_path / "x.safetensors"
    for _ in range(60):
        tensors = {}
        for number in range(draw.randrange(6)):
            shape = tuple(draw.randrange(5) for _ in range(draw.randrange(5)))
            dtype = np.dtype(draw.choice(codes))
            raw = draw.randbytes(dtype.itemsize * int(np.prod(shape)))
            tensors[f"t{number}/{draw.randrange(99)}.a_b-c"] = np.frombuffer(raw, dtype=dtype).reshape(shape)
        texts = ["", 'é\n"\\{[', "\U0001f600 \x00", "a" * 300]
        metadata = {f"k{i} {draw.choice(texts)[:3]}": draw.choice(texts) for i in range(draw.randrange(4))}
        write_tensors(path, tensors, metadata)
        found, notes = read_tensors(path)
        assert same(found, tensors) and notes == metadata


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(12, dtype=np.int64)[::-2],
        np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
        np.arange(5).astype(">i4"),
        np.broadcast_to(np.float32(2.5), (3, 2)),
    ],
    ids=["transposed", "negative stride", "Fortran order", "big-endian", "broadcast"],
)
def test_any_memory_layout_keeps_its_values(tmp_path: Path, array: np.ndarray) -> None:
    before = array.copy()
    array.flags.writeable = False
    write_tensors(tmp_path / "x", {"x": array}, {})
    found = read_tensors(tmp_path / "x")[0]["x"]
    assert np.array_equal(found, before) and found.shape == array.shape and np.array_equal(array, before)


def test_the_safetensors_library_reads_the_file_and_metadata_say_what_it_is(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", NEW, {"step": "7"})
    data = (tmp_path / "x").read_bytes()
    assert same(codec.load(data), NEW)
    metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    assert metadata["format"] == "boltz" and metadata["format_version"] == "1" and len(metadata["sha256"]) == 64


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"x": np.zeros(2, np.float16)}, {}),
        ({"x": np.zeros(2, bool)}, {}),
        ({"x": np.zeros(2, complex)}, {}),
        ({"x": np.array(["a"], dtype=object)}, {}),
        ({"x": [1.0, 2.0]}, {}),
        ({"x": np.zeros((1, 1, 1, 1, 1), np.float32)}, {}),
        ({"../x": np.zeros(2, np.float32)}, {}),
        ({"": np.zeros(2, np.float32)}, {}),
        ({"__metadata__": np.zeros(2, np.float32)}, {}),
        ({"x" * 257: np.zeros(2, np.float32)}, {}),
        ({"x y": np.zeros(2, np.float32)}, {}),
        ({"\ud800": np.zeros(2, np.float32)}, {}),
        ({3: np.zeros(2, np.float32)}, {}),
        ({f"t{i}": np.zeros(0, np.float32) for i in range(10_001)}, {}),
        ({}, {"step": 3}),
        ({}, {"sha256": "0"}),
        ({}, {"x": "\ud800"}),
        ({}, {"x": "a" * (1 << 20)}),
    ],
)
def test_what_could_not_be_read_back_is_never_written(tmp_path: Path, tensors: Any, metadata: Any) -> None:
    write_tensors(tmp_path / "x", OLD, {})
    with pytest.raises(InputError):
        write_tensors(tmp_path / "x", tensors, metadata)
    assert same(read_tensors(tmp_path / "x")[0], OLD) and os.listdir(tmp_path) == ["x"]


def test_arrays_that_change_while_they_are_written_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.zeros(4, np.float32)
    digest = checkpoint._digest

    def late(tensors: Any, metadata: Any) -> str:
        result = digest(tensors, metadata)
        array[0] += 1
        return result

    monkeypatch.setattr(checkpoint, "_digest", late)
    with pytest.raises(FileError, match="damaged"):
        write_tensors(tmp_path / "x", {"x": array}, {})
    assert os.listdir(tmp_path) == []


def test_equal_content_gives_equal_bytes_whatever_the_order_it_came_in(tmp_path: Path) -> None:
    tensors = {"b": np.arange(3, dtype=np.uint8), "a": np.arange(2.0), "c": np.arange(5, dtype=np.float32)}
    metadata = {f"key{i}": "x" for i in range(20)}
    for name, turned in (("one", False), ("two", True)):
        items = [sorted(table.items(), reverse=turned) for table in (tensors, metadata)]
        write_tensors(tmp_path / name, *map(dict, items))
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert list(read_tensors(tmp_path / "one")[0]) == ["a", "c", "b"]  # the widest types first, so that all are aligned


def test_joined_tensors_share_one_piece_of_memory_in_the_order_asked_for(tmp_path: Path) -> None:
    parts = {
        name: np.random.Generator(np.random.Philox(3)).normal(size=n) for name, n in {"c": 4, "a": 3, "b": 5}.items()
    }
    write_tensors(tmp_path / "x", {**parts, "other": np.arange(7, dtype=np.uint8)}, {})
    found = read_tensors(tmp_path / "x", "bca")[0]
    assert same(found, read_tensors(tmp_path / "x")[0])
    whole = found["b"].base
    assert whole is not None and all(found[name].base is whole for name in "bca") and found["other"].base is not whole
    assert np.array_equal(whole.view(np.float64), np.concatenate([parts[name] for name in "bca"]))
    for names in ("bz", ("b", "other"), ()):
        assert same(read_tensors(tmp_path / "x", names)[0], found), "without a common type each has a place of its own"


def test_reading_and_writing_take_no_second_copy(tmp_path: Path) -> None:
    """Peak of Python's and numpy's own memory: 1.3 of the file for reading, a fifth for writing, and 0.3 MB."""
    array = np.random.Generator(np.random.Philox(4)).normal(size=(1 << 20, 8))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        write_tensors(tmp_path / "x", {"x": array[: 1 << 19], "y": array[1 << 19 :]}, {})
        written = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.reset_peak()
        found = read_tensors(tmp_path / "x", "yx")[0]
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert same(found, {"x": array[: 1 << 19], "y": array[1 << 19 :]})
    assert peak <= 1.3 * array.nbytes + 3e5 and written <= 0.2 * array.nbytes + 3e5


def test_a_header_alone_tells_the_metadata(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", NEW, {"model": "boltzmann"})
    assert checkpoint.read_metadata(tmp_path / "x") == {"model": "boltzmann"}
    (tmp_path / "y").write_bytes((tmp_path / "x").read_bytes()[:-1])
    with pytest.raises(FileError, match="y is not a valid boltz tensor file"):
        checkpoint.read_metadata(tmp_path / "y")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_what_the_machine_cannot_write_is_an_error_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr(atomic.os, "write", raiser(OSError(code, os.strerror(code))))
    for write in (lambda: write_tensors(tmp_path / "x", OLD, {}), lambda: write_text(tmp_path / "x", "x")):
        with pytest.raises(WriteError, match=os.strerror(code)):
            write()
    monkeypatch.setattr(atomic.os, "write", raiser(OSError(errno.EACCES, "no")))
    with pytest.raises(FileError) as caught:
        write_text(tmp_path / "x", "x")
    assert not isinstance(caught.value, WriteError), "a place that is not for us to write is what was named"


# ---- damage ----------------------------------------------------------------------------------------------------


@pytest.fixture
def good(tmp_path: Path) -> bytes:
    rng = np.random.Generator(np.random.Philox(5))
    tensors = {"edge/v-h1/weight": rng.normal(size=(5, 4)).astype(np.float32), "step": np.array(3), "e": np.zeros(0)}
    write_tensors(tmp_path / "good", tensors, {"rule": "pcd", "lines": "12"})
    return (tmp_path / "good").read_bytes()


def test_truncation_at_every_byte_is_detected(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "bad"
    for size in range(len(good)):
        path.write_bytes(good[:size])
        with pytest.raises(FileError, match="bad"):
            read_tensors(path)
    for extra in (b"\0", b"\0" * 8, good):
        path.write_bytes(good + extra)
        with pytest.raises(FileError, match="bad"):
            read_tensors(path)


def test_bit_flips_are_detected(tmp_path: Path, good: bytes) -> None:
    path, draw = tmp_path / "bad", random.Random(3)
    every = list(range(8 * len(good)))  # more than 2,000 single flips: all of them
    double = [draw.sample(every, 2) for _ in range(500)]
    assert len(every) >= 2000
    for bits in [[bit] for bit in every] + double:
        damaged = bytearray(good)
        for bit in bits:
            damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(FileError, match="bad"):
            read_tensors(path)


def test_tensors_swapped_between_good_files_are_detected(tmp_path: Path) -> None:
    for name, value in (("a", 1.0), ("b", 2.0)):
        write_tensors(tmp_path / name, {"x": np.full(3, value)}, {})
    a, b = ((tmp_path / name).read_bytes() for name in "ab")
    (tmp_path / "bad").write_bytes(a[:-24] + b[-24:])
    with pytest.raises(FileError, match="SHA-256"):
        read_tensors(tmp_path / "bad")


# ---- hostile files ---------------------------------------------------------------------------------------------

BAD_NAMES = ["", "/x", "../x", "a/../b", "a//b", "a/", ".", "a b", "a\0b", "a\nb", "é", "C:\\x", "x" * 300, "\x1b[2J"]
META = {"format": "boltz", "format_version": "1", "sha256": "0" * 64}


def entry(dtype: Any = "F32", shape: Any = (1,), offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def one(value: Any, name: str = "x", data: bytes = bytes(4)) -> bytes:
    return assemble({"__metadata__": META, name: value}, data)


def meta(metadata: Any) -> bytes:
    return assemble({"__metadata__": metadata})


def text(body: str, data: bytes = b"") -> bytes:
    """A header of valid metadata and a hand-written rest."""
    return assemble('{"__metadata__":' + json.dumps(META) + "," + body + "}", data)


HOSTILE: dict[str, bytes] = {
    "empty": b"",
    "seven bytes": bytes(7),
    "length zero": bytes(8),
    "length one": assemble("{"),
    "length 2^64-1": b"\xff" * 8 + b"{}",
    "length 2^63": (1 << 63).to_bytes(8, "little") + b"{}",
    "length beyond the file": (100).to_bytes(8, "little") + b"{}",
    "length over 1 MiB": assemble(" " * (1 << 20) + "{}"),
    "header over 1 MiB": meta({**META, "x": "a" * (1 << 20)}),
    "big-endian length": (2).to_bytes(8, "big") + b"{}",
    "no metadata": assemble({}),
    "not JSON": assemble("{]"),
    "two objects": assemble("{}{}"),
    "a list": assemble("[]"),
    "a number": assemble("12"),
    "null": assemble("null"),
    "leading space": assemble(" " + json.dumps({"__metadata__": META})),
    "byte order mark": assemble(b"\xef\xbb\xbf{}"),
    "UTF-16": assemble("{}".encode("utf-16")),
    "not UTF-8": assemble(b'{"\xff":1}'),
    "overlong UTF-8": assemble(b'{"\xc0\xaf":1}'),
    "NUL in the header": assemble(b"{}\0\0"),
    "unterminated string": assemble('{"' + "\\" * 5001),
    "many quotes": assemble('{"' + '\\"' * 200_000),
    "many brackets": text('"x":' + "[" * 500_000),
    "nesting of 100,000": text('"x":' + "[" * 100_000 + "]" * 100_000),
    "nesting of nine": text('"x":' + "[" * 8 + "]" * 8),
    "nesting in the metadata": meta({**META, "x": [[[[[[[[[]]]]]]]]]}),
    "zip file": b"PK\x03\x04" + bytes(40),
    "pickle": b"\x80\x04\x95" + bytes(40),
    "repeated tensor": text('"x":' + json.dumps(entry()) + ',"x":' + json.dumps(entry()), bytes(4)),
    "repeated by escape": text('"x":' + json.dumps(entry()) + ',"\\u0078":' + json.dumps(entry()), bytes(4)),
    "repeated metadata": assemble('{"__metadata__":{},"__metadata__":' + json.dumps(META) + "}"),
    "repeated offsets": text('"x":{"dtype":"F32","shape":[1],"data_offsets":[0,9],"data_offsets":[0,4]}', bytes(4)),
    "metadata list": meta([]),
    "metadata null": meta(None),
    "metadata number": meta({**META, "x": 3}),
    "metadata nested": meta({**META, "x": {}}),
    "no checksum": meta({"format": "boltz", "format_version": "1"}),
    "other format": meta({**META, "format": "pt"}),
    "no version": meta({"format": "boltz", "sha256": "0" * 64}),
    "future version": meta({**META, "format_version": "2"}),
    "version lie": meta({**META, "format_version": "1 "}),
    "checksum of nothing": meta({**META, "sha256": ""}),
    "wrong checksum": one(entry()),
    "upper-case checksum": meta({**META, "sha256": "A" * 64}),
    "entry null": one(None),
    "entry list": one([]),
    "entry text": one("F32"),
    "no dtype": one({"shape": [1], "data_offsets": [0, 4]}),
    "no shape": one({"dtype": "F32", "data_offsets": [0, 4]}),
    "no offsets": one({"dtype": "F32", "shape": [1]}),
    "extra key": one({**entry(), "path": "x"}),
    "unknown dtype": one(entry("Q9")),
    "dtype F16": one(entry("F16", [2])),
    "dtype BOOL": one(entry("BOOL", [4])),
    "dtype object": one(entry("O")),
    "dtype lower case": one(entry("f32")),
    "dtype number": one(entry(3)),
    "dtype list": one(entry(["F32"])),
    "shape text": one(entry("F32", "1")),
    "shape null": one(entry("F32", None)),
    "shape of text": one(entry("F32", ["1"])),
    "shape true": one(entry("F32", [True])),
    "shape of five axes": one(entry("F32", [1] * 5)),
    "shape of 100,000 axes": one(entry("F32", [1] * 100_000)),
    "shape negative": one(entry("F32", [-1])),
    "shape twice negative": one(entry("F32", [-1, -1])),
    "shape minus zero": text('"x":{"dtype":"F32","shape":[-0],"data_offsets":[0,0]}'),
    "shape fraction": one(entry("F32", [1.0])),
    "shape NaN": text('"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,4]}', bytes(4)),
    "shape infinite": text('"x":{"dtype":"F32","shape":[Infinity],"data_offsets":[0,4]}', bytes(4)),
    "shape exponent": text('"x":{"dtype":"F32","shape":[1e0],"data_offsets":[0,4]}', bytes(4)),
    "shape 2^48": one(entry("U8", [1 << 48], [0, 1 << 48])),
    "shape wraps to zero": one(entry("U8", [1 << 32, 1 << 32], [0, 0]), data=b""),
    "shape wraps to four": one(entry("F32", [(1 << 62) + 1]), data=bytes(4)),
    "shape huge but empty": one(entry("F32", [0, 1 << 47, 1 << 47], [0, 0]), data=b""),
    "integer of 5,000 digits": text('"x":{"dtype":"F32","shape":[' + "9" * 5000 + '],"data_offsets":[0,4]}', bytes(4)),
    "offsets text": one(entry("F32", [1], "04")),
    "offsets of one": one(entry("F32", [1], [0])),
    "offsets of three": one(entry("F32", [1], [0, 4, 8])),
    "offsets reversed": one(entry("F32", [1], [4, 0])),
    "offsets negative": one(entry("F32", [1], [-4, 0])),
    "offsets beyond the file": one(entry("F32", [1], [4, 8])),
    "offsets too short": one(entry("F32", [1], [0, 3]), data=bytes(3)),
    "offsets too long": one(entry("F32", [1], [0, 8]), data=bytes(8)),
    "offsets 2^48": one(entry("F32", [1], [1 << 48, (1 << 48) + 4])),
    "data missing": one(entry(), data=b""),
    "data left over": one(entry(), data=bytes(5)),
    "data without tensors": assemble({"__metadata__": META}, bytes(4)),
    "gap": assemble({"__metadata__": META, "a": entry(), "b": entry(offsets=[8, 12])}, bytes(12)),
    "gap in front": one(entry(offsets=[4, 8]), data=bytes(8)),
    "overlap": assemble({"__metadata__": META, "a": entry(), "b": entry(offsets=[0, 4])}, bytes(4)),
    "overlap by one": assemble({"__metadata__": META, "a": entry(), "b": entry(offsets=[3, 7])}, bytes(7)),
    "10,001 tensors": assemble({"__metadata__": META, **{f"{i}": entry("U8", [0], [0, 0]) for i in range(10_001)}}),
    **{f"name {name!r}": one(entry(), name) for name in BAD_NAMES},
}


def test_there_are_enough_hostile_files() -> None:
    assert len(HOSTILE) >= 50 and len(set(HOSTILE.values())) == len(HOSTILE)


def test_the_shape_of_the_hostile_files_is_otherwise_valid(tmp_path: Path) -> None:
    """The helpers make a loadable file when nothing is wrong, so each hostile file is refused for its own fault."""
    digest = checkpoint._digest({"x": np.zeros(1, np.float32)}, META)
    (tmp_path / "x").write_bytes(assemble({"__metadata__": {**META, "sha256": digest}, "x": entry()}, bytes(4)))
    assert same(read_tensors(tmp_path / "x")[0], {"x": np.zeros(1, np.float32)})


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(tmp_path: Path, what: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(HOSTILE[what])
    begin = time.perf_counter()
    with pytest.raises(FileError) as caught:
        read_tensors(path)
    assert time.perf_counter() - begin < 5
    message = str(caught.value)
    assert message.startswith(str(path)) and message.endswith(".") and message.isprintable() and len(message) < 500


def test_structural_faults_are_found_before_the_data_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the files that lie only about their checksum are refused by a rule on the header alone."""
    monkeypatch.setattr(checkpoint, "_room", raiser(FileError("its data are read")))
    checksum_only = {"wrong checksum", "checksum of nothing", "upper-case checksum"}
    for what, data in HOSTILE.items():
        (tmp_path / "x").write_bytes(data)
        with pytest.raises(FileError) as caught:
            read_tensors(tmp_path / "x")
        assert ("its data are read" in str(caught.value)) == (what in checksum_only), what


def test_mutated_headers_raise_nothing_but_file_errors(tmp_path: Path, good: bytes) -> None:
    draw, path, loaded = random.Random(9), tmp_path / "x", 0
    expected = read_tensors(tmp_path / "good")[0]
    end = 8 + int.from_bytes(good[:8], "little")
    tokens = [b"{", b"}", b"[", b"]", b'"', b",", b":", b"-1", b"1e9", b"NaN", b"\\u0000", b"\xff", b"1" * 15]
    for _ in range(3000):
        header = bytearray(good[8:end])
        for _ in range(draw.randint(1, 4)):
            at = draw.randrange(len(header))
            header[at : at + draw.randrange(4)] = draw.choice(tokens)
        path.write_bytes(assemble(bytes(header), good[end:]))
        try:
            found, metadata = read_tensors(path)
        except FileError:
            continue
        assert same(found, expected) and metadata == {"rule": "pcd", "lines": "12"}  # only white space has changed
        loaded += 1
    assert loaded < 150


def test_only_regular_files_are_read(tmp_path: Path, good: bytes) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, target in (("to pipe", "pipe"), ("to folder", "folder"), ("to zero", "/dev/zero"), ("loop", "loop")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "dangling").symlink_to("nothing")
    for name in ("pipe", "folder", "to pipe", "to folder", "to zero", "loop", "dangling", "nothing", "good/x"):
        with pytest.raises(FileError, match=re.escape(name)):
            read_tensors(tmp_path / name)
    (tmp_path / "to good").symlink_to("good")
    assert "step" in read_tensors(tmp_path / "to good")[0]


def test_a_sparse_giant_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "giant", "wb") as stream:
        stream.write(one(entry("U8", [1 << 40], [0, 1 << 40]), data=b""))
        stream.truncate(1 << 40)
    with pytest.raises(FileError, match="giant"):
        read_tensors(tmp_path / "giant")


@pytest.mark.parametrize("path", ["", "a\0b", ".", "/", "\ud800", None, 3, b"x"])
def test_paths_that_name_no_file_are_file_errors(path: Any) -> None:
    for call in (read_tensors, lambda p: write_tensors(p, OLD, {}), lambda p: write_text(p, "x")):
        with pytest.raises(FileError, match="does not name a file"):
            call(path)


def test_reading_errors_become_file_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tensors(tmp_path / "x", OLD, {})
    for name in ("open", "fstat", "stat"):
        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, name, raiser(OSError(errno.EIO, "Input/output error")))
            with pytest.raises(FileError, match=r"x could not be read: Input/output error\."):
                read_tensors(tmp_path / "x")
    assert same(read_tensors(tmp_path / "x")[0], OLD)


# ---- failing writes --------------------------------------------------------------------------------------------


def raiser(problem: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise problem

    return fail


CALLS = ("open", "write", "fsync", "close", "link", "replace")


def record(monkeypatch: pytest.MonkeyPatch, fail_at: int = -1, problem: OSError | None = None) -> list[str]:
    """Log the system calls of a write; the call number `fail_at` raises `problem` (a failing close still closes)."""
    log: list[str] = []

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            log.append(name)
            if len(log) - 1 == fail_at:
                if name == "close":
                    real(*args, **named)
                assert problem is not None
                raise problem
            return real(*args, **named)

        return call

    for name in CALLS:
        monkeypatch.setattr(atomic.os, name, wrap(name, getattr(os, name)))
    return log


def write_once(folder: Path) -> None:
    write_tensors(folder / "x", NEW, {"new": "yes"}, keep=folder / "x.previous")


def calls_of_a_write(folder: Path) -> list[str]:
    with pytest.MonkeyPatch.context() as patch:
        log = record(patch)
        write_once(folder)
    return list(log)


def test_data_reach_the_disk_before_the_name(tmp_path: Path) -> None:
    write_tensors(tmp_path / "x", OLD, {})
    order = ["open", "write", "fsync", "close", "link", "replace", "replace", "open", "fsync", "close"]
    calls = calls_of_a_write(tmp_path)
    assert [name for name, _ in itertools.groupby(calls[:-5])] + calls[-5:] == order


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EACCES, errno.EDQUOT])
def test_every_failing_call_leaves_an_intact_file(tmp_path: Path, code: int) -> None:
    write_tensors(tmp_path / "x", OLD, {})
    calls = calls_of_a_write(tmp_path)
    renamed = len(calls) - 1 - calls[::-1].index("replace")
    for number in range(len(calls)):
        for name in os.listdir(tmp_path):
            os.unlink(tmp_path / name)
        write_tensors(tmp_path / "x", OLD, {})
        with pytest.MonkeyPatch.context() as patch:
            record(patch, number, OSError(code, os.strerror(code)))
            with pytest.raises(FileError, match=os.strerror(code)):
                write_once(tmp_path)
        found = read_tensors(tmp_path / "x")[0]
        assert same(found, OLD if number <= renamed else NEW), (number, calls[number])
        assert number <= renamed or same(read_tensors(tmp_path / "x.previous")[0], OLD)
        assert leftovers(tmp_path) == [], (number, calls[number])
    write_once(tmp_path)
    assert same(read_tensors(tmp_path / "x")[0], NEW)


def test_short_writes_go_on_and_silent_losses_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tensors(tmp_path / "x", OLD, {})
    real = os.write
    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "write", lambda d, b: real(d, b[:7]))
        write_tensors(tmp_path / "x", NEW, {})
    assert same(read_tensors(tmp_path / "x")[0], NEW)
    liars: list[Callable[..., int]] = [
        lambda d, b: real(d, b[:-1]) + 1,
        lambda d, b: len(b),
        lambda d, b: real(d, bytes(len(b))),
        lambda d, b: 0,
    ]
    for liar in liars:
        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "write", liar)
            with pytest.raises(FileError):
                write_tensors(tmp_path / "x", OLD, {})
        assert same(read_tensors(tmp_path / "x")[0], NEW) and leftovers(tmp_path) == []


def test_an_interrupt_in_the_middle_leaves_no_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tensors(tmp_path / "x", OLD, {})
    monkeypatch.setattr(atomic.os, "fsync", raiser(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        write_tensors(tmp_path / "x", NEW, {})
    assert same(read_tensors(tmp_path / "x")[0], OLD) and os.listdir(tmp_path) == ["x"]


def test_folders_that_cannot_be_synced_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    write_tensors(tmp_path / "x", NEW, {})
    assert same(read_tensors(tmp_path / "x")[0], NEW)


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOTSUP])
def test_keep_works_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(atomic.os, "link", raiser(OSError(code, "no links here")))
    for step in range(3):
        write_tensors(tmp_path / "x", {"step": np.array(step)}, {}, keep=tmp_path / "old")
        assert read_tensors(tmp_path / "x")[0]["step"] == step
        assert step == 0 or read_tensors(tmp_path / "old")[0]["step"] == step - 1
    assert sorted(os.listdir(tmp_path)) == ["old", "x"]


def test_a_name_that_cannot_be_written_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    cases = {
        "missing/x": "the folder .*missing does not exist",
        "file/x": "[^ ]*file is not a folder",
        "folder": "Is a directory",
        "n" * 250: "File name too long",
    }
    for name, words in cases.items():
        for write in (lambda p: write_tensors(p, OLD, {}), lambda p: write_text(p, "x")):
            with pytest.raises(FileError, match=f"{name} could not be written: {words}"):
                write(tmp_path / name)
    assert leftovers(tmp_path) == []


def test_write_text_keeps_every_character(tmp_path: Path) -> None:
    content = "é\r\n\t\U0001f600 end"
    write_text(tmp_path / "x", "old")
    write_text(tmp_path / "x", content)
    assert (tmp_path / "x").read_bytes() == content.encode()
    with pytest.raises(InputError):
        write_text(tmp_path / "x", "\ud800")
    assert atomic.read_bytes(tmp_path / "x", 100) == content.encode()
    with pytest.raises(FileError, match="expected at most 3"):
        atomic.read_bytes(tmp_path / "x", 3)


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "x", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


# ---- temporaries -----------------------------------------------------------------------------------------------


@pytest.fixture
def dead_pid() -> Iterator[int]:
    yield next(pid for pid in itertools.count(999_999_999, -1) if not Path(f"/proc/{pid}").exists())


def test_temporaries_of_dead_processes_only_are_stale(tmp_path: Path, dead_pid: int) -> None:
    mine = atomic.temporary(tmp_path / "a.b")
    assert re.fullmatch(r"\.a\.b\.\d+-[0-9a-f]{24}\.tmp", mine.name) and mine != atomic.temporary(tmp_path / "a.b")
    mine.write_text("")
    own, other_host = f"{os.getpid()}-", "0" * 8
    dead = tmp_path / mine.name.replace(own, f"{dead_pid}-")
    assert atomic.stale(dead) == "a.b"
    assert atomic.stale(mine) is None
    assert atomic.stale(tmp_path / mine.name.replace(own, f"{os.getppid()}-")) is None
    assert atomic.stale(tmp_path / mine.name.replace(atomic._PROCESS, "0" * 8)) == "a.b"
    abroad = tmp_path / dead.name.replace(atomic._HOST, other_host)
    assert atomic.stale(abroad) is None
    abroad.write_text("")
    assert atomic.stale(abroad) is None
    os.utime(abroad, (0, 0))
    assert atomic.stale(abroad) == "a.b"
    for name in ("x.tmp", ".x.tmp", "checkpoint.safetensors", f".x.{dead_pid}-1234.tmp", dead.name[1:]):
        assert atomic.stale(tmp_path / name) is None
