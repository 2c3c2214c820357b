"""What operating systems differ in: flags of open files, locks, folders that can be synced, processes, cores.

Linux is what the tests run on. What macOS and Windows lack is looked up here and nowhere else, so that the tests can
take it away.
"""

from __future__ import annotations

import importlib
import os
import platform
from pathlib import Path
from types import ModuleType

FAR = 1 << 30  # place of a lock of Windows, which keeps others from reading what it covers


def module(name: str) -> ModuleType | None:
    """A module that only some systems have."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


fcntl, msvcrt = module("fcntl"), module("msvcrt")
POSIX = os.name == "posix"


def flags(*names: str) -> int:
    """The flags of os.open with these names that the system has; bytes are written as they are, for this process."""
    return sum(getattr(os, name, 0) for name in {*names, "O_CLOEXEC", "O_BINARY"})


def take(descriptor: int) -> None:
    """Lock an open file for this process until it is closed; raises BlockingIOError if another one has it, OSError."""
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    assert msvcrt is not None
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, FAR, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as problem:
        raise BlockingIOError(problem.errno, "another process has it") from problem
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)


def read_at(descriptor: int, size: int, place: int) -> bytes:
    """Bytes of a file from a place on, as many as come at once."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, place)
    os.lseek(descriptor, place, os.SEEK_SET)
    return os.read(descriptor, size)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system opens folders at all; raises OSError."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, flags("O_RDONLY", "O_DIRECTORY"))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def seek_process(pid: int) -> None:
    """Raise ProcessLookupError where no process has this number; on Windows none is asked, as that ends it."""
    if POSIX:
        os.kill(pid, 0)


def host() -> str:
    """The name of this machine."""
    return platform.node()


def cores() -> int:
    """How many cores this process may use, or how many there are where the system does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
