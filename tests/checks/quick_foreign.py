"""Quick checks of the borders: foreign text, equal files, short reads, labels, full disks, neighbours in memory."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np

from boltz.errors import FileError, WriteError, unwritten
from boltz.foreign import shown
from boltz.models import files
from boltz.networks.network import is_label
from boltz.storage import atomic, tables, tensors


@contextmanager
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def check_foreign_text() -> None:
    assert shown("a\x1b[31m\nb") == "a\\x1b[31m b"
    assert len(shown("x" * 1000)) == 80 and shown("x" * 1000, 9) == "xxxxxx…xx"


def check_equal_files() -> None:
    metadata = {"b": "1", "a": "2", "c": "3"}
    with place() as folder:
        tensors.write_tensors(folder / "one", {}, metadata)
        tensors.write_tensors(folder / "two", {}, dict(sorted(metadata.items())))
        assert (folder / "one").read_bytes() == (folder / "two").read_bytes()


def check_short_reads() -> None:
    real = os.pread
    with place() as folder, open(folder / "x", "w+b") as stream:
        stream.write(b"0123456789")
        stream.flush()
        with mock.patch.object(os, "pread", lambda d, n, at: real(d, min(n, 3), at)):
            assert atomic.read_fully(stream.fileno(), 10) == b"0123456789"


def check_labels() -> None:
    assert all(map(is_label, (0, "a", True, 0.5, 2**60, -3.0)))
    assert not any(map(is_label, (float("inf"), float("nan"), 1e300, 2.0**53, None)))


def check_full_disk() -> None:
    for code, kind in ((errno.ENOSPC, WriteError), (errno.EDQUOT, WriteError), (errno.EACCES, FileError)):
        assert type(unwritten("x.", OSError(code, "no"))) is kind


def check_neighbours() -> None:
    whole = np.empty(24, np.uint8)
    whole.view(np.float32)[...] = range(6)
    parts = [whole[4:12].view(np.float32), whole[12:24].view(np.float32)]
    assert files._end_to_end(parts).tolist() == [1, 2, 3, 4, 5]
    assert files._end_to_end(parts[::-1]).tolist() == [3, 4, 5, 1, 2]


def check_cells() -> None:
    cells = ["=1+1", "@a", "+b", "-c", "-1.5e3", "a", 3]
    assert tables.commas([cells]) == "'=1+1,'@a,'+b,'-c,-1.5e3,a,3\n"
