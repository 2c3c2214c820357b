"""Where a run keeps the snapshots of its machine along training: files trajectory/00000123.safetensors by update."""

from __future__ import annotations

import os
import re
from pathlib import Path

from boltz.errors import FileError, InputError, unwritten
from boltz.foreign import shown

FOLDER = "trajectory"
MOST = 1000
_NAME = re.compile(r"([0-9]{8}|[1-9][0-9]{8,18})\.safetensors")


def path_of(run: Path, update: int) -> Path:
    """Where the machine after this update of a run belongs, in a folder that is made if need be; raises FileError.

    The name of a new folder is durable once the next checkpoint is, before which the snapshot would be taken again.
    """
    place = run / FOLDER
    try:
        place.mkdir(exist_ok=True)
    except OSError as problem:
        raise unwritten(f"{place} could not be made: {problem.strerror}.", problem) from problem
    return place / f"{update:08d}.safetensors"


def listed(run: Path) -> list[Path]:
    """The snapshots of a run in the order of its updates, [] where it kept none; raises FileError."""
    found = [name for name in names_in(run / FOLDER) if _NAME.fullmatch(name)]
    if len(found) > MOST:
        raise FileError(f"{run / FOLDER} holds {len(found)} snapshots, expected at most {MOST}.")
    return [run / FOLDER / name for name in sorted(found, key=lambda name: (len(name), name))]


def drop_after(run: Path, update: int) -> None:
    """Remove the snapshots of later updates than this one; raises FileError."""
    for path in listed(run):
        if int(path.stem) > update:
            try:
                path.unlink()
            except OSError as problem:
                raise FileError(f"{path} could not be removed: {problem.strerror}.") from problem


def check_own(run: Path) -> None:
    """Raise InputError unless the trajectory of a run, where it has one, is a folder with files of its own alone."""
    place = run / FOLDER
    foreign = [FOLDER] if os.path.islink(place) or (os.path.lexists(place) and not os.path.isdir(place)) else []
    for name in [] if foreign else names_in(place):
        if not (_NAME.fullmatch(name) or name.endswith(".tmp")) or os.path.isdir(place / name):
            foreign.append(f"{FOLDER}/{shown(name)}")
    if foreign:
        raise InputError(f"{run} holds {foreign[0]}, which is not part of a run, so --force does not replace it.")


def names_in(place: Path) -> list[str]:
    """What lies in a folder, sorted, [] where there is none; raises FileError."""
    try:
        return sorted(os.listdir(place)) if os.path.lexists(place) else []
    except OSError as problem:
        raise FileError(f"{place} could not be read: {problem.strerror}.") from problem
