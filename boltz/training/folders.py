"""What all run folders share: the data and versions they name, whose settings a checkpoint has, and signals."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from boltz import runs
from boltz.data import Data, load
from boltz.data.given import given
from boltz.data.table import columns_entry
from boltz.errors import FileError, InputError, Interrupted
from boltz.foreign import shown
from boltz.models.graph import Layer


def as_data(x: Any, name: str, layer: Layer, levels: int | None = None) -> Data:
    """Rows as Data, checked against the visible layer and the levels of a machine; raises InputError."""
    if not isinstance(x, Data):
        x = given(x, name, layer.units, layer.kind == "gaussian", levels)
    if x.known is not None:
        raise InputError(f"{name} ({x.source}) must have no missing numbers: leave such rows out, or fill them in.")
    if x.real and layer.kind != "gaussian":
        raise InputError(
            f"{name} ({x.source}) was loaded as real numbers, but the visible units of the machine are {layer.kind}: "
            "load it without real=True."
        )
    if levels is not None and x.levels not in (None, 1, levels):
        raise InputError(
            f"{name} ({x.source}) is divided by {x.levels}, but the machine divides whole numbers by {levels}: load it "
            f"with levels={levels}, or give floats in [0, 1]."
        )
    if x.x.shape[1] != layer.units:
        raise InputError(f"{name} ({x.source}) must have {layer.units} units a row, got {x.x.shape[1]}.")
    if len(x.x) == 0:
        raise InputError(f"{name} ({x.name}) must have at least one row, got none.")
    return x


def data_entry(data: Data) -> dict[str, Any]:
    """What run.toml says of rows: how to load them again, and their fingerprint."""
    entry = {"load": dict(data.request), "rows": len(data.x), "fingerprint": data.fingerprint}
    return entry | columns_entry(data.columns)


def with_levels_of(model: Any, data: Data) -> Any:
    """A machine or network that keeps the levels of the data it learns from, where they have any."""
    return replace(model, levels=data.levels) if (data.levels or 1) > 1 else model


def data_again(description: dict[str, Any], entry: str, x: Any, model: Any, folder: Path) -> Data | None:
    """The rows of an entry of run.toml for a machine or network, loaded again unless x gives them.

    Raises InputError where they changed.
    """
    wanted = description.get(entry) or None
    if wanted is None:
        return None
    name = "x" if entry == "data" else entry
    if x is None and not wanted.get("load"):
        raise InputError(f"{folder} was trained on an array; give it again as {name}.")
    try:
        data = as_data(load(**wanted["load"]) if x is None else x, name, model.layers[0], model.levels)
    except TypeError as problem:
        raise FileError(f"{folder / 'run.toml'} does not say how to load the {entry} ({shown(problem)}).") from problem
    if data.fingerprint != wanted.get("fingerprint"):
        raise InputError(f"the {entry} of {folder} changed: the fingerprint of {name} differs from that in run.toml.")
    return data


def versions() -> dict[str, str]:
    """Versions of what results depend on."""
    packages = {name: metadata.version(name) for name in ("numpy", "numba", "scipy")}
    return {"python": platform.python_version(), **packages}


def mark(folder: Path) -> str:
    """The settings that a checkpoint belongs to, as the SHA-256 of run.toml; raises FileError."""
    return hashlib.sha256(runs.settings_bytes(folder)).hexdigest()


@contextlib.contextmanager
def stop_requests() -> Iterator[list[str]]:
    """Names of the signals received; the first only asks, a second one of the same kind acts as usual."""
    asked: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: Any) -> None:
        asked.append(signal.Signals(number).name)
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def interrupted(name: str, command: str) -> Interrupted:
    """What to raise after a signal of this name, once all is saved; the command goes on with the run."""
    return Interrupted(f"Stopped by {name} after saving; continue with: {command}")
