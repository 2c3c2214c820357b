"""Tensor files that survive crashes and distrust what they read: safetensors with a SHA-256, replaced atomically.

Every write of boltz goes through `write_bytes`: unique temporary file in the same folder, write, fsync, compare with
what reads back, rename, fsync of the folder. A reader therefore meets the old file or the new one, never a mixture.
"""

import errno
import hashlib
import json
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from boltz.errors import FileError, InputError, unwritten
from boltz.foreign import shown

FORMAT = "boltz"
FORMAT_VERSION = "1"
DTYPES = {"F32": "<f4", "F64": "<f8", "U8": "|u1", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8"}
MAX_HEADER = 1 << 20  # bytes
BLOCK = 1 << 20  # bytes that are compared at once
MAX_TENSORS = 10_000
MAX_RANK = 4
MAX_INTEGER = 1 << 48
MAX_DEPTH = 8  # of nested JSON brackets
MAX_NAME = 256  # characters
STALE_AGE = 86_400.0  # seconds after which a temporary of another machine counts as left behind

_RESERVED = ("format", "format_version", "sha256")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_BRACKETS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
_TEMPORARY = re.compile(r"\.(.+)\.(\d{1,9})-([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{8}\.\w+")  # name, pid, host, process
_HOST = hashlib.sha256(os.fsencode(os.uname().nodename)).hexdigest()[:8]
_PROCESS = secrets.token_hex(4)  # tells this process from an earlier one that had the same pid
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # file system without hard links

Array = NDArray[Any]
PathLike = str | os.PathLike[str]
Buffer = bytes | memoryview
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
    with _replacing(path, keep) as new:
        _put(new, [head, *(_bytes(array) for array in plain.values())])
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


def write_text(path: PathLike, text: str) -> None:
    """Write a text as UTF-8, atomically; raises FileError, and the earlier file then stays as it was."""
    try:
        data = text.encode()
    except UnicodeEncodeError as problem:
        raise InputError(f"{path} cannot hold text that is not valid Unicode ({shown(problem)}).") from problem
    write_bytes(path, data)


def write_bytes(path: PathLike, data: bytes, keep: PathLike | None = None) -> None:
    """Replace a file atomically and durably; where `keep` is given, what was there before stays under that name."""
    with _replacing(as_path(path), keep) as new:
        _put(new, [data])


@contextmanager
def _replacing(path: Path, keep: PathLike | None) -> Iterator[Path]:
    """A new name, whose file takes the place of `path` when the block ends well; raises FileError."""
    new, link = temporary(path), temporary(path)
    try:
        yield new
        if keep is not None:
            _keep(path, as_path(keep), link)
        os.replace(new, path)
    except OSError as problem:
        raise unwritten(f"{path} could not be written: {reason(problem, path)}.", problem) from problem
    finally:
        for leftover in (new, link):
            with suppress(OSError):
                os.unlink(leftover)
    sync_folder(path.parent)


def _put(new: Path, parts: Sequence[Buffer]) -> None:
    """Write a new file, durably, and compare it with what reads back; raises OSError."""
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for part in parts:
            write_fully(descriptor, part)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    with open(new, "rb") as stream:
        blocks = (memoryview(part)[start : start + BLOCK] for part in parts for start in range(0, len(part), BLOCK))
        if not all(stream.read(len(block)) == bytes(block) for block in blocks) or stream.read(1):
            raise OSError(errno.EIO, "it does not read back as it was written")


def read_bytes(path: PathLike, limit: int) -> bytes:
    """Content of a regular file of at most `limit` bytes; raises FileError."""
    path = as_path(path)
    with opened(path) as (stream, size):
        if size > limit:
            raise FileError(f"{path} has {size} bytes, expected at most {limit}.")
        return stream.read(size)


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading and give (stream, size); all that goes wrong in the block raises FileError."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise FileError(f"{path} is not a regular file.")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        with open(descriptor, "rb") as stream:
            yield stream, os.fstat(descriptor).st_size
    except FileNotFoundError as problem:
        raise FileError(f"{path} does not exist.") from problem
    except (OSError, MemoryError) as problem:
        why = getattr(problem, "strerror", None) or "there is not enough memory"
        raise FileError(f"{path} could not be read: {why}.") from problem


def write_fully(descriptor: int, data: Buffer) -> None:
    """Write every byte to a descriptor, going on after short writes; raises OSError."""
    rest = memoryview(data)
    while rest:
        written = os.write(descriptor, rest)
        if written <= 0:
            raise OSError(errno.EIO, "the system wrote nothing")
        rest = rest[written:]


def read_fully(descriptor: int, size: int) -> bytes:
    """The first bytes that a descriptor has, this many, going on after short reads; raises OSError."""
    parts, at = [], 0
    while at < size:
        part = os.pread(descriptor, size - at, at)
        if not part:
            raise OSError(errno.EIO, "it became shorter while it was read")
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; raises FileError (file systems that cannot sync folders pass)."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as problem:
        if problem.errno in (errno.EINVAL, errno.ENOTSUP):
            return
        what = f"{folder} could not be synced, a power cut may undo its newest file: {problem}."
        raise unwritten(what, problem) from problem


def as_path(path: PathLike) -> Path:
    """The path as a Path; raises FileError on what no file can be called."""
    try:
        usable = b"\0" not in os.fsencode(path) and Path(path).name != ""
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise FileError(f"{shown(repr(path))} does not name a file.")
    return Path(path)


def reason(problem: OSError, path: Path) -> str:
    """Why a path could not be written, in words for the person who chose it."""
    parent = {errno.ENOENT: f"the folder {path.parent} does not exist", errno.ENOTDIR: f"{path.parent} is not a folder"}
    return parent.get(problem.errno or 0) or problem.strerror or str(problem)


def temporary(path: Path, ending: str = "tmp") -> Path:
    """A new name beside `path` that says whose it is: .NAME.<pid>-<host, process and random hex>.<ending>."""
    return path.with_name(f".{path.name}.{os.getpid()}-{_HOST}{_PROCESS}{secrets.token_hex(4)}.{ending}")


def stale(path: Path) -> str | None:
    """The name that a left-behind temporary was meant for, or None for other files and those of a living process."""
    match = _TEMPORARY.fullmatch(path.name)
    if match is None:
        return None
    name, pid, host, process = match.groups()
    dead = False
    try:
        if host != _HOST:
            dead = time.time() - path.lstat().st_mtime > STALE_AGE
        elif int(pid) == os.getpid():
            dead = process != _PROCESS
        else:
            os.kill(int(pid), 0)
    except ProcessLookupError:
        dead = True
    except OSError:  # gone meanwhile, or a process of somebody else
        dead = False
    return name if dead else None


def _keep(path: Path, kept: Path, link: Path) -> None:
    """Give the file at `path` the second name `kept`, or rename it where the file system has no hard links."""
    if not os.path.lexists(path):
        return
    try:
        os.link(path, link)
        os.replace(link, kept)
    except OSError as problem:
        if problem.errno not in _NO_LINKS:
            raise
        os.replace(path, kept)


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
