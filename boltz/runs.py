"""Run folders: run.toml, checkpoint.safetensors, trained machine or network, trajectory, metrics.jsonl and pictures.

A run folder exists complete or not at all, has one writer at a time, and can be continued after a kill at any moment.
"""

import errno
import fcntl
import json
import math
import os
import shutil
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from boltz import checkpoint, snapshots
from boltz.checkpoint import PathLike
from boltz.errors import FileError, InputError, unwritten
from boltz.foreign import shown

SETTINGS, METRICS, RESULT, LOCK = "run.toml", "metrics.jsonl", "test.json", ".lock"
CHECKPOINT, PREVIOUS, MODEL = "checkpoint.safetensors", "checkpoint.previous.safetensors", "model.safetensors"
START, NETWORK, TABLES = "start.safetensors", "network.safetensors", ("predictions.csv", "confusion.csv", "codes.npy")
OWN = (SETTINGS, CHECKPOINT, PREVIOUS, MODEL, METRICS, RESULT, LOCK, snapshots.FOLDER, START, NETWORK, *TABLES)
PICTURES = (".png", ".svg", ".pdf")
MAX_SETTINGS = 1 << 14  # bytes of run.toml (reading takes time quadratic in the size of a hostile one)
MAX_METRICS = 1 << 28  # bytes of metrics.jsonl

Table = Mapping[str, Any]
Tensors = Mapping[str, NDArray[Any]]
Told = Mapping[str, str]
Files = Mapping[str, Callable[[Path], None]]


def create(
    path: PathLike, settings: Table, tensors: Tensors, told: Told, force: bool = False, more: Files | None = None
) -> Path:
    """Make a run folder, all or nothing: settings, first checkpoint, what `more` writes to paths; returns its path.

    A name in use raises InputError, unless `force` replaces an old run; what cannot be written raises FileError.
    """
    target = _folder(path)
    text = _settings_text(settings)
    _tidy(target)
    check_free(target, force)
    new = checkpoint.temporary(target)
    try:
        os.mkdir(new)
        checkpoint.write_text(new / SETTINGS, text)
        checkpoint.write_tensors(new / CHECKPOINT, tensors, told)
        for name, write in (more or {}).items():
            write(new / name)
        _move_in(new, target, force)
    except InputError as problem:
        raise type(problem)(str(problem).replace(str(new), str(target))) from problem
    except OSError as problem:
        raise unwritten(f"{target} could not be made: {checkpoint.reason(problem, target)}.", problem) from problem
    finally:
        shutil.rmtree(new, ignore_errors=True)
    checkpoint.sync_folder(target.parent)
    return target


def read_settings(folder: PathLike) -> dict[str, Any]:
    """Settings of a run as nested tables, from its run.toml; raises FileError."""
    data = settings_bytes(folder)
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError) as problem:
        raise FileError(f"{_folder(folder) / SETTINGS} is not valid TOML ({shown(problem)}).") from problem


def settings_bytes(folder: PathLike) -> bytes:
    """The run.toml of a run as it lies there; raises FileError."""
    return checkpoint.read_bytes(_run_folder(folder) / SETTINGS, MAX_SETTINGS)


def save_checkpoint(folder: PathLike, tensors: Tensors, metadata: Told) -> None:
    """Replace the checkpoint of a run atomically and keep the one before it; raises FileError."""
    checkpoint.write_tensors(Path(folder) / CHECKPOINT, tensors, metadata, keep=Path(folder) / PREVIOUS)


def load_checkpoint(folder: PathLike) -> tuple[dict[str, NDArray[Any]], dict[str, str], list[str]]:
    """Tensors and metadata of the newest checkpoint that verifies, and a sentence on each one skipped.

    Raises FileError when there is none, or when none that is there can be read.
    """
    folder = _run_folder(folder)
    skipped = []
    for name in (CHECKPOINT, PREVIOUS):
        if not os.path.lexists(folder / name):
            continue
        try:
            tensors, metadata = checkpoint.read_tensors(folder / name)
        except FileError as problem:
            skipped.append(str(problem))
        else:
            return tensors, metadata, skipped
    if not skipped:
        raise FileError(f"{folder} holds no checkpoint: expected {CHECKPOINT}.")
    raise FileError(f"{folder} has no readable checkpoint: {' '.join(skipped)}")


def append_metrics(folder: PathLike, record: Mapping[str, Any]) -> int:
    """Add a record to metrics.jsonl, durably, under the running number "line" (from 1), and return that number.

    Numbers that are not finite become null; a torn last line is cut off first. Raises InputError or FileError.
    """
    path = Path(folder) / METRICS
    if "line" in record:
        raise InputError('a metrics record must not set "line": it is the running number.')
    try:
        return _append_line(path, _plain(record, "metrics", toml=False))
    except OSError as problem:
        raise unwritten(f"{path} could not be written: {checkpoint.reason(problem, path)}.", problem) from problem


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


def trim_metrics(folder: PathLike, lines: int) -> int:
    """Keep the first `lines` valid lines of metrics.jsonl and nothing else; returns how many there are."""
    path = Path(folder) / METRICS
    if not os.path.lexists(path):
        return 0
    kept = [line for line in _metric_lines(path) if _parse_line(line) is not None][:lines]
    content = b"".join(line + b"\n" for line in kept)
    if content != checkpoint.read_bytes(path, MAX_METRICS):
        checkpoint.write_bytes(path, content)
    return len(kept)


@contextmanager
def lock(folder: PathLike) -> Iterator[Path]:
    """Be the only writer of a run for the length of a block; a second one raises InputError, a dead one leaves none."""
    folder = _run_folder(folder)
    path = folder / LOCK
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as problem:
        raise unwritten(f"{path} could not be written: {checkpoint.reason(problem, path)}.", problem) from problem
    try:
        _take(descriptor, folder)
        _sweep(folder)
        yield folder
    finally:
        os.close(descriptor)


def next_free(parent: PathLike, stem: str) -> Path:
    """The first of parent/stem, parent/stem-2, parent/stem-3 ... that does not exist."""
    path, number = Path(parent) / stem, 1
    while os.path.lexists(path):
        number += 1
        path = Path(parent) / f"{stem}-{number}"
    return path


def _folder(path: PathLike) -> Path:
    """The path of a folder, absolute where it has no name of its own (such as the current folder)."""
    return checkpoint.as_path(os.path.abspath(path) if str(path) in ("", ".", "..") else path)


def _run_folder(folder: PathLike) -> Path:
    """The folder, put back if a replacement was cut off in the middle; raises FileError unless it holds a run."""
    path = _folder(folder)
    if not os.path.isdir(path):
        _tidy(path)
    if not os.path.isdir(path):
        there = os.path.lexists(path)
        raise FileError(f"{path} {'is not a folder' if there else 'does not exist'}: expected a run folder.")
    if not os.path.lexists(path / SETTINGS):
        raise FileError(f"{path} is not a run folder: it has no {SETTINGS}.")
    return path


def check_free(path: PathLike, force: bool = False) -> bool:
    """Whether an old run is to be replaced; raises InputError when the name is taken by anything that must stay."""
    target = _folder(path)
    if os.path.islink(target) or (os.path.lexists(target) and not os.path.isdir(target)):
        raise InputError(f"{target} is a file or a link, and neither --resume nor --force applies: name a new folder.")
    names = snapshots.names_in(target)
    if not names:
        if os.path.exists(target) and os.path.samefile(target, os.curdir):
            raise InputError(f"{target} is the current folder: name a new folder in it.")
        return False
    if SETTINGS not in names:
        raise InputError(f"{target} holds files but no run: neither --resume nor --force applies, use a new folder.")
    if not force:
        raise InputError(f"{target} already holds a run: continue it with --resume or replace it with --force.")
    snapshots.check_own(target)
    for name in names:
        own = name in OWN or name.endswith((*PICTURES, ".tmp"))
        if not own or (name != snapshots.FOLDER and os.path.isdir(target / name)):
            foreign = f"{target} holds {shown(name)}, which is not part of a run"
            raise InputError(f"{foreign}, so --force does not replace it.")
    return True


def _move_in(new: Path, target: Path, force: bool) -> None:
    """Rename the finished folder to its name, an old run out of the way first; `_tidy` mends what a crash leaves."""
    if not check_free(target, force):
        try:
            os.rename(new, target)
        except OSError as problem:
            if problem.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise InputError(f"{target} was made by another process meanwhile: see --resume, --force.") from problem
            raise
        return
    old = checkpoint.temporary(target, "old")
    with lock(target):
        os.utime(target)
        os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            os.rename(old, target)
            raise
    checkpoint.sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _tidy(target: Path) -> None:
    """Finish or undo what a dead process left half done beside a run folder."""
    with suppress(OSError):
        for entry in sorted(target.parent.iterdir()):
            if checkpoint.stale(entry) != target.name:
                continue
            if entry.suffix == ".tmp" or (entry.suffix == ".old" and (target / SETTINGS).is_file()):
                _remove(entry)
            elif entry.suffix == ".old" and not os.path.lexists(target):
                os.rename(entry, target)


def _sweep(folder: Path) -> None:
    """Remove the temporaries that dead processes left in a run folder and among its snapshots."""
    for place in (folder, folder / snapshots.FOLDER):
        with suppress(OSError):
            for entry in sorted(place.iterdir()):
                if entry.suffix == ".tmp" and checkpoint.stale(entry) is not None:
                    _remove(entry)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with suppress(OSError):
            os.unlink(entry)


def _take(descriptor: int, folder: Path) -> None:
    """Lock the open lock file and write the pid into it; raises InputError when another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        holder = os.read(descriptor, 16).decode("ascii", "replace").strip()
        raise InputError(f"{folder} is in use by another process (pid {holder or 'unknown'}).") from problem
    except OSError as problem:
        raise FileError(f"{folder} is on a file system that cannot lock files: {problem.strerror}.") from problem
    try:
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder / LOCK)):
            raise InputError(f"{folder} was replaced by another process meanwhile.")
        os.ftruncate(descriptor, 0)
        checkpoint.write_fully(descriptor, f"{os.getpid()}\n".encode())
    except OSError as problem:
        raise unwritten(f"{folder / LOCK} could not be written: {problem.strerror}.", problem) from problem


def _append_line(path: Path, record: Mapping[str, Any]) -> int:
    """Append a record after the last whole line, or leave the file as it was and raise OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_METRICS:
            raise OSError(errno.EFBIG, f"it is no regular file of at most {MAX_METRICS} bytes")
        data = checkpoint.read_fully(descriptor, status.st_size)
        number, whole = data.count(b"\n") + 1, data.rfind(b"\n") + 1
        os.ftruncate(descriptor, whole)
        os.lseek(descriptor, whole, os.SEEK_SET)
        try:
            checkpoint.write_fully(descriptor, json.dumps({"line": number, **record}, allow_nan=False).encode() + b"\n")
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, whole)
            raise
    finally:
        os.close(descriptor)
    if number == 1:
        checkpoint.sync_folder(path.parent)
    return number


def _metric_lines(path: Path) -> list[bytes]:
    """Whole lines of the metrics file without their ends, [] when there is no file."""
    return checkpoint.read_bytes(path, MAX_METRICS).split(b"\n")[:-1] if os.path.lexists(path) else []


def _parse_line(line: bytes) -> dict[str, Any] | None:
    """The JSON object of a line, or None where it is not one."""
    try:
        record = json.loads(line.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def _settings_text(settings: Mapping[str, Any]) -> str:
    """The settings as TOML, settings that are None left out; raises InputError on values that TOML cannot hold."""
    plain = _plain(settings, "settings", toml=True)
    try:
        text = tomli_w.dumps(plain)
    except (TypeError, ValueError) as problem:
        raise InputError(f"the settings cannot be written as TOML ({shown(problem)}).") from problem
    if len(text.encode("utf-8", "replace")) > MAX_SETTINGS:
        raise InputError(f"the settings need {len(text)} characters of TOML, expected at most {MAX_SETTINGS}.")
    return text


def _plain(value: Any, name: str, toml: bool) -> Any:
    """A value in the types of TOML (None left out of tables) or of strict JSON (not finite becomes None)."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, os.PathLike):
        value = str(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InputError(f"{name} has a key that is not a string.")
        table = {key: _plain(entry, f"{name}.{key}", toml) for key, entry in value.items()}
        return {key: entry for key, entry in table.items() if entry is not None or not toml}
    if isinstance(value, list | tuple):
        return [_plain(entry, f"{name}[{i}]", toml) for i, entry in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value) and not toml:
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    raise InputError(f"{name} is a {type(value).__name__}, expected text, numbers, lists or tables.")
