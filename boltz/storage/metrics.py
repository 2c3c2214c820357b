"""metrics.jsonl of a run: a line of JSON an epoch, torn last lines left out; metrics.csv is the same as a table."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from boltz import system
from boltz.errors import FileError, InputError, unwritten
from boltz.storage import atomic
from boltz.storage.atomic import PathLike
from boltz.storage.tables import commas

METRICS, TABLE = "metrics.jsonl", "metrics.csv"
MAX_METRICS = 1 << 28  # bytes of metrics.jsonl


def append_metrics(folder: PathLike, record: Mapping[str, Any]) -> int:
    """Add a record to metrics.jsonl, durably, under the running number "line" (from 1), and return that number.

    Numbers that are not finite become null; a torn last line is cut off first. Raises InputError or FileError.
    """
    path = Path(folder) / METRICS
    if "line" in record:
        raise InputError('a metrics record must not set "line": it is the running number.')
    try:
        return _append_line(path, plain(record, "metrics", toml=False))
    except OSError as problem:
        raise unwritten(f"{path} could not be written: {atomic.reason(problem, path)}.", problem) from problem


def read_metrics(folder: PathLike) -> list[dict[str, Any]]:
    """Records of metrics.jsonl in order, without a torn last line, [] when there is no file; raises FileError."""
    path = Path(folder) / METRICS
    records = []
    for number, line in enumerate(_metric_lines(path), 1):
        record = _parse_line(line)
        if record is None:
            raise FileError(f"{path} is damaged: line {number} is not a JSON object.")
        records.append(record)
    return records


def write_table(folder: PathLike) -> None:
    """Write metrics.csv, atomically: the records of metrics.jsonl, a column for each of their fields, empty where a
    record lacks it or has None.

    Raises FileError.
    """
    records = read_metrics(folder)
    names = list(dict.fromkeys(["line", *(name for record in records for name in record)]))
    text = commas([names, *([record.get(name) for name in names] for record in records)])
    atomic.write_bytes(Path(folder) / TABLE, text.encode("utf-8", "replace"))


def trim_metrics(folder: PathLike, lines: int) -> int:
    """Keep the first `lines` valid lines of metrics.jsonl and nothing else; returns how many there are."""
    path = Path(folder) / METRICS
    if not os.path.lexists(path):
        return 0
    kept = [line for line in _metric_lines(path) if _parse_line(line) is not None][:lines]
    content = b"".join(line + b"\n" for line in kept)
    if content != atomic.read_bytes(path, MAX_METRICS):
        atomic.write_bytes(path, content)
    return len(kept)


def _append_line(path: Path, record: Mapping[str, Any]) -> int:
    """Append a record after the last whole line, or leave the file as it was and raise OSError."""
    descriptor = os.open(path, system.flags("O_RDWR", "O_CREAT", "O_NOFOLLOW"), 0o666)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_METRICS:
            raise OSError(errno.EFBIG, f"it is no regular file of at most {MAX_METRICS} bytes")
        data = atomic.read_fully(descriptor, status.st_size)
        number, whole = data.count(b"\n") + 1, data.rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)
        os.lseek(descriptor, whole, os.SEEK_SET)
        try:
            atomic.write_fully(descriptor, json.dumps({"line": number, **record}, allow_nan=False).encode() + b"\n")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, whole)
            raise
    finally:
        os.close(descriptor)
    if number == 1:
        atomic.sync_folder(path.parent)
    return number


def _metric_lines(path: Path) -> list[bytes]:
    """Whole lines of the metrics file without their ends, [] when there is no file."""
    return atomic.read_bytes(path, MAX_METRICS).split(b"\n")[:-1] if os.path.lexists(path) else []


def _parse_line(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, or None where it is not one."""
    try:
        record = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def plain(value: Any, name: str, toml: bool) -> Any:
    """A value in the types of TOML (None left out of tables) or of strict JSON (not finite becomes None)."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = str(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InputError(f"{name} has a key that is not a string.")
        table = {key: plain(entry, f"{name}.{key}", toml) for key, entry in value.items()}
        return {key: entry for key, entry in table.items() if entry is not None or not toml}
    if isinstance(value, list | tuple):
        return [plain(entry, f"{name}[{i}]", toml) for i, entry in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value) and not toml:
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise InputError(f"{name} is a {type(value).__name__}, expected text, numbers, lists or tables.")
