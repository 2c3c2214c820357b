"""Catches files and locks that need what only Linux has: macOS and Windows are played by taking it away."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from boltz import system
from boltz.errors import InputError
from boltz.storage import atomic, run_folder

LACKING = ("O_CLOEXEC", "O_DIRECTORY", "O_NOCTTY", "O_NOFOLLOW", "O_NONBLOCK", "pread", "sched_getaffinity")


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """A system without these names, whose locks are those of msvcrt; gives the places that were locked."""
    taken: list[tuple[int, int]] = []

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        here = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        if here in taken:
            raise OSError(errno.EACCES, "Permission denied")
        taken.append(here)

    for name in LACKING:
        monkeypatch.delattr(os, name)
    monkeypatch.setattr(system, "fcntl", None)
    monkeypatch.setattr(system, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(os, "kill", lambda *words: pytest.fail("a signal of Windows ends a process"))
    monkeypatch.setattr(system, "POSIX", False)
    return taken


def test_files_are_written_and_read_where_linux_names_are_lacking(tmp_path: Path, windows: Any) -> None:
    for content in (b"first", b"a\r\nb\n" * 1000):
        atomic.write_bytes(tmp_path / "file", content)
        assert atomic.read_bytes(tmp_path / "file", 10_000) == content
    descriptor = os.open(tmp_path / "file", system.flags("O_RDONLY"))
    assert atomic.read_fully(descriptor, 5000) == content
    os.close(descriptor)
    assert os.listdir(tmp_path) == ["file"] and system.cores() == os.cpu_count()


def test_a_lock_of_windows_is_far_from_what_others_read(tmp_path: Path, windows: list[tuple[int, int]]) -> None:
    path = tmp_path / "lock"
    first, second = (os.open(path, system.flags("O_RDWR", "O_CREAT"), 0o666) for _ in range(2))
    system.take(first)
    os.write(first, b"12\n")
    with pytest.raises(BlockingIOError):
        system.take(second)
    assert windows[0][1] == system.FAR and os.read(second, 9) == b"12\n"
    for descriptor in (first, second):
        os.close(descriptor)


def test_a_run_that_is_in_use_is_refused_by_its_holder(tmp_path: Path, windows: Any) -> None:
    run_folder.create(tmp_path / "r", {"a": 1}, {"step": np.array(0)}, {})
    with (
        run_folder.lock(tmp_path / "r"),
        pytest.raises(InputError, match=f"in use by another process .pid {os.getpid()}"),
        run_folder.lock(tmp_path / "r"),
    ):
        pass


def test_a_process_is_taken_for_alive_where_asking_would_end_it(windows: Any) -> None:
    system.seek_process(2**22)
