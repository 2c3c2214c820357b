"""Run folders: run.toml, checkpoint.safetensors, trained machine or network, trajectory, metrics.jsonl and pictures.

A run folder exists complete or not at all, has one writer at a time, and can be continued after a kill at any moment.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w
from numpy.typing import NDArray

from boltz import system
from boltz.errors import FileError, InputError, unwritten
from boltz.foreign import shown
from boltz.storage import atomic, snapshots
from boltz.storage import tensors as checkpoint
from boltz.storage.atomic import PathLike
from boltz.storage.metrics import METRICS, TABLE, plain

SETTINGS, RESULT, LOCK = "run.toml", "test.json", ".lock"
CHECKPOINT, PREVIOUS, MODEL = "checkpoint.safetensors", "checkpoint.previous.safetensors", "model.safetensors"
COUPLINGS = "couplings.safetensors"  # the pairs that sparse couplings join
START, NETWORK, TABLES = "start.safetensors", "network.safetensors", ("predictions.csv", "confusion.csv", "codes.npy")
OWN = (
    *(SETTINGS, COUPLINGS, CHECKPOINT, PREVIOUS, MODEL, METRICS, TABLE, RESULT, LOCK),
    *(snapshots.FOLDER, START, NETWORK, *TABLES),
)
PICTURES = (".png", ".svg", ".pdf")
LONGEST_RESULT = 1 << 16  # bytes of test.json
MAX_SETTINGS = 1 << 14  # bytes of run.toml (reading takes time quadratic in the size of a hostile one)

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
    new = atomic.temporary(target)
    try:
        os.mkdir(new)
        atomic.write_text(new / SETTINGS, text)
        checkpoint.write_tensors(new / CHECKPOINT, tensors, told)
        for name, write in (more or {}).items():
            write(new / name)
        _move_in(new, target, force)
    except InputError as problem:
        raise type(problem)(str(problem).replace(str(new), str(target))) from problem
    except OSError as problem:
        raise unwritten(f"{target} could not be made: {atomic.reason(problem, target)}.", problem) from problem
    finally:
        shutil.rmtree(new, ignore_errors=True)
    atomic.sync_folder(target.parent)
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
    return atomic.read_bytes(_run_folder(folder) / SETTINGS, MAX_SETTINGS)


def mark(folder: PathLike) -> str:
    """The settings that a checkpoint belongs to, as the SHA-256 of run.toml; raises FileError."""
    return hashlib.sha256(settings_bytes(folder)).hexdigest()


def read_result(folder: Path) -> dict[str, Any] | None:
    """What test.json of a run holds, None where there is none that can be read."""
    try:
        found = json.loads(atomic.read_bytes(folder / RESULT, LONGEST_RESULT))
    except (FileError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"run", "test"} <= found.keys() else None


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write test.json."""
    atomic.write_text(folder / RESULT, json.dumps(result, indent=1, allow_nan=False) + "\n")


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


@contextmanager
def lock(folder: PathLike) -> Iterator[Path]:
    """Be the only writer of a run for the length of a block; a second one raises InputError, a dead one leaves none."""
    folder = _run_folder(folder)
    path = folder / LOCK
    try:
        descriptor = os.open(path, system.flags("O_RDWR", "O_CREAT", "O_NOFOLLOW"), 0o666)
    except OSError as problem:
        raise unwritten(f"{path} could not be written: {atomic.reason(problem, path)}.", problem) from problem
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
    return atomic.as_path(os.path.abspath(path) if str(path) in ("", ".", "..") else path)


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
    old = atomic.temporary(target, "old")
    with lock(target):
        os.utime(target)
        os.rename(target, old)
        try:
            os.rename(new, target)
        except OSError:
            os.rename(old, target)
            raise
    atomic.sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _tidy(target: Path) -> None:
    """Finish or undo what a dead process left half done beside a run folder."""
    with suppress(OSError):
        for entry in sorted(target.parent.iterdir()):
            if atomic.stale(entry) != target.name:
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
                if entry.suffix == ".tmp" and atomic.stale(entry) is not None:
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
        system.take(descriptor)
    except BlockingIOError as problem:
        holder = os.read(descriptor, 16).decode("ascii", "replace").strip()
        raise InputError(f"{folder} is in use by another process (pid {holder or 'unknown'}).") from problem
    except OSError as problem:
        raise FileError(f"{folder} is on a file system that cannot lock files: {problem.strerror}.") from problem
    try:
        if not os.path.samestat(os.fstat(descriptor), os.stat(folder / LOCK)):
            raise InputError(f"{folder} was replaced by another process meanwhile.")
        os.ftruncate(descriptor, 0)
        atomic.write_fully(descriptor, f"{os.getpid()}\n".encode())
    except OSError as problem:
        raise unwritten(f"{folder / LOCK} could not be written: {problem.strerror}.", problem) from problem


def _settings_text(settings: Mapping[str, Any]) -> str:
    """The settings as TOML, settings that are None left out; raises InputError on values that TOML cannot hold."""
    values = plain(settings, "settings", toml=True)
    try:
        text = tomli_w.dumps(values)
    except (TypeError, ValueError) as problem:
        raise InputError(f"the settings cannot be written as TOML ({shown(problem)}).") from problem
    if len(text.encode("utf-8", "replace")) > MAX_SETTINGS:
        raise InputError(f"the settings need {len(text)} characters of TOML, expected at most {MAX_SETTINGS}.")
    return text
