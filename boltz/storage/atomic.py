"""Files that are either old or new: written beside and moved in place, and read without surprises."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from boltz import system
from boltz.errors import FileError, InputError, unwritten
from boltz.foreign import shown

BLOCK = 1 << 20  # bytes that are compared at once
STALE_AGE = 86_400.0  # seconds after which a temporary of another machine counts as left behind
_TEMPORARY = re.compile(r"\.(.+)\.(\d{1,9})-([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{8}\.\w+")  # name, pid, host, process
_HOST = hashlib.sha256(os.fsencode(system.host())).hexdigest()[:8]
_PROCESS = secrets.token_hex(4)  # tells this process from an earlier one that had the same pid
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # file system without hard links
PathLike = str | os.PathLike[str]
Buffer = bytes | memoryview


def write_text(path: PathLike, text: str) -> None:
    """Write a text as UTF-8, atomically; raises FileError, and the earlier file then stays as it was."""
    try:
        data = text.encode()
    except UnicodeEncodeError as problem:
        raise InputError(f"{path} cannot hold text that is not valid Unicode ({shown(problem)}).") from problem
    write_bytes(path, data)


def write_bytes(path: PathLike, data: bytes, keep: PathLike | None = None) -> None:
    """Replace a file atomically and durably; where `keep` is given, what was there before stays under that name."""
    with replacing(as_path(path), keep) as new:
        put(new, [data])


@contextmanager
def replacing(path: Path, keep: PathLike | None) -> Iterator[Path]:
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


def put(new: Path, parts: Sequence[Buffer]) -> None:
    """Write a new file, durably, and compare it with what reads back; raises OSError."""
    descriptor = os.open(new, system.flags("O_WRONLY", "O_CREAT", "O_EXCL"), 0o666)
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
        descriptor = os.open(path, system.flags("O_RDONLY", "O_NONBLOCK", "O_NOCTTY"))
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
        part = system.read_at(descriptor, size - at, at)
        if not part:
            raise OSError(errno.EIO, "it became shorter while it was read")
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; raises FileError (file systems that cannot sync folders pass)."""
    try:
        system.sync_folder(folder)
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
            system.seek_process(int(pid))
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
