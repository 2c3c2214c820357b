"""Tensor files that survive crashes and distrust what they read: safetensors with a SHA-256, replaced atomically.

Every write of boltz goes through `write_bytes`: unique temporary file in the same folder, write, fsync, compare with
what reads back, rename, fsync of the folder. A reader therefore meets the old file or the new one, never a mixture.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltz.errors import FileError, InputError
from boltz.foreign import shown
from boltz.storage.atomic import PathLike, as_path, opened, put, replacing

FORMAT = "boltz"
FORMAT_VERSION = "1"
DTYPES = {"F32": "<f4", "F64": "<f8", "U8": "|u1", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8"}
MAX_HEADER = 1 << 20  # bytes
MAX_TENSORS = 10_000
MAX_RANK = 4
MAX_INTEGER = 1 << 48
MAX_DEPTH = 8  # of nested JSON brackets
MAX_NAME = 256  # characters

_RESERVED = ("format", "format_version", "sha256")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_BRACKETS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)

Array = NDArray[Any]
Entry = tuple[str, list[int]]  # dtype, shape


def write_tensors(
    path: PathLike, tensors: Mapping[str, Array], metadata: Mapping[str, str], keep: PathLike | None = None
) -> None:
    """Write named arrays and string metadata to one safetensors file, atomically, with a SHA-256 over all of it.

    Where `keep` is given, the file that is replaced stays under that name. Raises InputError on arrays or metadata
    that the format does not hold, FileError when the file cannot be written; the earlier file then stays as it was.
    """
    path = as_path(path)
    plain = dict(sorted(((name, _plain(name, array)) for name, array in tensors.items()), key=_place))
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str) or key in _RESERVED:
            raise InputError(f"metadata {shown(key)} of {path} must be a string under a string key beside {_RESERVED}.")
    full = {**metadata, "format": FORMAT, "format_version": FORMAT_VERSION}
    try:
        full["sha256"] = _digest(plain, full)
        head = _header(plain, full)
    except ValueError as problem:
        raise InputError(f"{path} could not be encoded as safetensors ({shown(problem)}).") from problem
    with replacing(path, keep) as new:
        put(new, [head, *(_bytes(array) for array in plain.values())])
        if _digest(plain, full) != full["sha256"]:
            raise FileError(f"{path} would be damaged: its arrays changed while they were written.")


def read_metadata(path: PathLike) -> dict[str, str]:
    """Metadata of a file of `write_tensors` from its header alone: the checksum is left to `read_tensors`."""
    path = as_path(path)
    with opened(path) as (stream, size):
        metadata = _read_header(path, stream, size)[1]
    return {key: value for key, value in metadata.items() if key not in _RESERVED}


def read_tensors(path: PathLike, joined: Sequence[str] = ()) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and metadata of a file of `write_tensors`, checked to the last bit; whatever is wrong raises FileError.

    The arrays are read straight into their places. Those that `joined` names lie end to end in one piece of memory,
    in this order, if the file holds all of them and in one type.
    """
    path = as_path(path)
    with opened(path) as (stream, size):
        entries, metadata = _read_header(path, stream, size)
        tensors = _room(entries, joined)
        for name in entries:
            _fill(path, stream, tensors[name])
    if metadata["sha256"] != _digest(tensors, metadata):
        raise FileError(f"{path} is damaged: its content does not match its SHA-256.")
    return tensors, {key: value for key, value in metadata.items() if key not in _RESERVED}


def _plain(name: object, array: object) -> Array:
    """The array as contiguous little-endian numpy, bits unchanged; raises InputError on what the format cannot hold."""
    if not isinstance(name, str) or not isinstance(array, np.ndarray):
        what = f"tensor {shown(name)} is a {type(array).__name__}"
        raise InputError(f"{what}, expected a numpy array under a string name.")
    dtype = array.dtype.newbyteorder("<")
    if dtype not in [np.dtype(code) for code in DTYPES.values()]:
        raise InputError(f"tensor {name} has dtype {array.dtype}, expected one of {', '.join(DTYPES)}.")
    return np.asarray(array, dtype=dtype, order="C")


def _place(named: tuple[str, Array]) -> tuple[int, str]:
    """Where a tensor stands in a file: the widest types first, so that all are aligned, then by name."""
    name, array = named
    return -array.dtype.itemsize, name


def _header(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The head of a file of these tensors: equal tensors and metadata give equal bytes. Raises ValueError."""
    codes, table, end = {text: code for code, text in DTYPES.items()}, {}, 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        table[name] = {"dtype": codes[array.dtype.str], "shape": list(array.shape), "data_offsets": [begin, end]}
    _check_tensors(table, end)
    text = json.dumps({"__metadata__": dict(sorted(metadata.items())), **table}, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"its header has {len(text)} bytes, expected at most {MAX_HEADER}")
    return len(text).to_bytes(8, "little") + text


def _room(entries: Mapping[str, Entry], joined: Sequence[str]) -> dict[str, Array]:
    """Arrays of these types and shapes that wait for their bytes; those joined share one piece of memory."""
    sizes = {name: math.prod(shape) * np.dtype(DTYPES[code]).itemsize for name, (code, shape) in entries.items()}
    codes = {entries[name][0] for name in joined} if entries.keys() >= set(joined) else set()
    together = joined if len(codes) == 1 else ()
    whole, start, bare = np.empty(sum(sizes[name] for name in together), np.uint8), 0, {}
    for name in together:
        bare[name] = whole[start : start + sizes[name]]
        start += sizes[name]
    rooms = {name: bare[name] if name in bare else np.empty(sizes[name], np.uint8) for name in entries}
    return {name: rooms[name].view(DTYPES[code]).reshape(shape) for name, (code, shape) in entries.items()}


def _fill(path: Path, stream: BinaryIO, array: Array) -> None:
    """Read the next bytes of a stream into an array."""
    rest = _bytes(array)
    while rest:
        count = stream.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise FileError(f"{path} changed while it was read.")
        rest = rest[count:]


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def _digest(tensors: Mapping[str, Array], metadata: Mapping[str, str]) -> str:
    """SHA-256 over sorted names, dtypes, shapes and bytes of the tensors and over all other metadata."""
    total = hashlib.sha256()
    total.update(json.dumps(sorted((k, v) for k, v in metadata.items() if k != "sha256")).encode())
    for name in sorted(tensors):
        array = tensors[name]
        total.update(json.dumps([name, array.dtype.str, list(array.shape)]).encode())
        total.update(_bytes(array))
    return total.hexdigest()


def _read_header(path: Path, stream: BinaryIO, size: int) -> tuple[dict[str, Entry], dict[str, str]]:
    """Tensors in their order in a stream of `size` bytes, and metadata; raises FileError unless all keeps the rules."""
    head = stream.read(8)
    length = int.from_bytes(head, "little")
    if len(head) < 8 or not 2 <= length <= min(MAX_HEADER, size - 8):
        raise FileError(f"{path} is not a whole tensor file: it has {size} bytes and announces a header of {length}.")
    try:
        header = _parse_json(stream.read(length))
        metadata = _check_metadata(header.pop("__metadata__", None))
        return _check_tensors(header, size - 8 - length), metadata
    except ValueError as problem:
        raise FileError(f"{path} is not a valid {FORMAT} tensor file: {shown(problem, 200)}.") from problem


def _parse_json(text: bytes) -> dict[str, Any]:
    """The JSON object of a header; raises ValueError on repeated keys, fractions, large integers and deep nesting."""
    depth, quoted = 0, False
    for match in _BRACKETS.finditer(text):
        mark = match[0]
        if mark == b'"':
            quoted = not quoted
        elif not quoted and mark in b"[{":
            depth += 1
        elif not quoted and mark in b"]}":
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"its header nests deeper than {MAX_DEPTH}")
    if not text.startswith(b"{"):
        raise ValueError("its header does not start with a brace")
    header: dict[str, Any] = json.loads(
        text.decode(), object_pairs_hook=_unique, parse_float=_integer, parse_constant=_integer, parse_int=_integer
    )
    return header


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("its header repeats a key")
    return table


def _integer(text: str) -> int:
    if len(text) > 15 or not text.isdecimal() or int(text) >= MAX_INTEGER:
        raise ValueError(f"its header holds the number {text[:40]}, expected an integer from 0 to 2^48")
    return int(text)


def _check_metadata(metadata: object) -> dict[str, str]:
    """The metadata as strings with format, version and checksum; raises ValueError."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are missing or not strings")
    if metadata.get("format") != FORMAT or "sha256" not in metadata:
        raise ValueError("it has no format name or no SHA-256 of its own")
    version = metadata.get("format_version", "")
    if version != FORMAT_VERSION:
        raise ValueError(f"its format version is {version[:40]!r}, and this boltz reads {FORMAT_VERSION!r}")
    return metadata


def _check_tensors(header: Mapping[str, Any], size: int) -> dict[str, Entry]:
    """The tensors in order; raises ValueError unless they lie end to end over exactly `size` bytes of data."""
    if len(header) > MAX_TENSORS:
        raise ValueError(f"it holds {len(header)} tensors, expected at most {MAX_TENSORS}")
    end, found = 0, {}
    for begin, stop, name in sorted((*_check_tensor(name, entry), name) for name, entry in header.items()):
        if begin != end:
            raise ValueError(f"tensor {shown(name)} begins at byte {begin}, expected {end}")
        end, found[name] = stop, (header[name]["dtype"], header[name]["shape"])
    if end != size:
        raise ValueError(f"its tensors need {end} bytes and it holds {size}")
    return found


def _check_tensor(name: str, entry: Any) -> tuple[int, int]:
    """First and last byte offset of one tensor; raises ValueError unless name, dtype, shape and extent agree."""
    if len(name) > MAX_NAME or _NAME.fullmatch(name) is None:
        raise ValueError(f"tensor name {shown(name)} must be letters, digits and . _ - /")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name} must have a dtype, a shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise ValueError(f"tensor {name} has a dtype other than {', '.join(DTYPES)}")
    for what, numbers in (("shape", shape), ("data_offsets", offsets)):
        if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
            raise ValueError(f"tensor {name} has {what} that are not a list of integers")
    if len(shape) > MAX_RANK or math.prod(max(n, 1) for n in shape) >= MAX_INTEGER:
        raise ValueError(f"tensor {name} has {len(shape)} axes or too many elements, expected at most {MAX_RANK} axes")
    if len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize:
        raise ValueError(f"tensor {name} has data_offsets that do not match its shape and dtype")
    return offsets[0], offsets[1]
