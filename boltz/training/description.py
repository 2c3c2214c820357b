"""What all run folders share: the data and versions they name, whose settings a checkpoint has, and signals."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from boltz import checks
from boltz.data import Data, load
from boltz.data.dataset import columns_entry
from boltz.data.from_arrays import as_data
from boltz.errors import BoltzError, FileError, InputError
from boltz.foreign import shown
from boltz.models.blueprint import Blueprint
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.files import Model, structure_from
from boltz.models.graph import Graph
from boltz.models.helmholtz import described
from boltz.storage import run_folder
from boltz.training.pretraining import Stage
from boltz.training.settings import AnySettings
from boltz.training.stages import settings_of, stages


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
    return hashlib.sha256(run_folder.settings_bytes(folder)).hexdigest()


def description_of(model: Model, settings: AnySettings, data: Data, held_out: Data | None) -> dict[str, Any]:
    """What run.toml says."""
    machine: dict[str, Any]
    if isinstance(model, BoltzmannMachine):
        kinds = {layer.kind for layer in model.layers}
        machine = {"units": [layer.units for layer in model.layers], "kind": kinds.pop()}
    else:
        machine = {"structure": described(model.structure)}
    machine |= {"dtype": str(model.dtype)} | ({} if model.levels is None else {"levels": model.levels})
    return {
        "model": machine,
        "settings": settings.as_dict(),
        "data": data_entry(data),
        "held_out": {} if held_out is None else data_entry(held_out),
        "versions": versions(),
    }


def described_run(
    description: dict[str, Any], folder: Path
) -> tuple[AnySettings, Blueprint, np.dtype[Any], list[Stage]]:
    """The settings, the machine without its parameters, their type, and the plan that run.toml asks for."""
    try:
        model = description["model"]
        if "structure" in model:
            drawn: Blueprint = structure_from(model["structure"])
        else:
            drawn = Graph.chain([checks.integer(n, "units", 1, 10**7) for n in model["units"]], model["kind"])
        chosen = settings_of(drawn, description["settings"])
        return chosen, drawn, np.dtype(model["dtype"]), stages(drawn, chosen)
    except (KeyError, TypeError, ValueError, BoltzError) as problem:
        raise FileError(f"{folder / 'run.toml'} does not describe a run ({shown(problem)}).") from problem
