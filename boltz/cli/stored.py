"""What run folders and model files hold, read with distrust: every fault is an InputError or FileError."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from boltz.errors import FileError, InputError
from boltz.models.blueprint import Blueprint
from boltz.models.boltzmann import shapes as graph_shapes
from boltz.models.files import Model
from boltz.models.files import load as load_model
from boltz.models.graph import Graph
from boltz.networks.files import load_network
from boltz.networks.network import Network
from boltz.nn.arena import size
from boltz.storage import atomic, run_folder, tensors

LONGEST_RESULT = 1 << 16  # bytes of test.json


def table(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """A nested table of run.toml, empty where it is missing or no table."""
    found: Any = values
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return dict(found) if isinstance(found, Mapping) else {}


def model_of(path: Path) -> Model:
    """The machine of a model file or of a run that was trained to its end."""
    if path.is_dir() and not (path / run_folder.MODEL).exists():
        if "task" in run_folder.read_settings(path):
            raise InputError(f"{path} holds a fine-tuned network, which only boltz classify and autoencode go on with.")
        raise InputError(f"{path} is not trained to its end: finish it with: boltz train --resume {path}")
    return load_model(path)


def has_network(path: Path) -> bool:
    """Whether this is the file of a network or the folder of a fine-tuning; raises FileError where it is nothing."""
    if path.is_dir():
        return "task" in run_folder.read_settings(path)
    return tensors.read_metadata(path).get("model") == "network"


def network_of(path: Path) -> Network | None:
    """The network of a file or of the folder of a fine-tuning, None for a machine; raises InputError, FileError."""
    if not has_network(path):
        return None
    if path.is_dir() and not (path / run_folder.NETWORK).exists():
        raise InputError(f"{path} is not trained to its end: finish it with --resume {path}")
    return load_network(path)


def settings_of(path: Path) -> dict[str, Any]:
    """What run.toml says, or nothing for a model file."""
    return run_folder.read_settings(path) if path.is_dir() else {}


def without_data(path: Path) -> InputError:
    """The error for a run or model file that says nothing of its data."""
    run = (
        f", or name its run, {path.parent}" if path.is_file() and (path.parent / run_folder.SETTINGS).is_file() else ""
    )
    return InputError(f"{path} does not name its data: give them with --data{run}.")


def image_of(settings: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of the images that a run was trained on, None for other rows."""
    shape = table(settings, "picture").get("shape")
    if not isinstance(shape, list) or len(shape) != 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        return None
    return shape[0], shape[1]


def parameters(plan: Blueprint) -> int:
    """Number of weights and biases, those of recognition included."""
    return size(graph_shapes(plan) if isinstance(plan, Graph) else plan.shapes)


def architecture(plan: Blueprint) -> str:
    """Units from the bottom, such as 784-500; drawn layers in brackets where others are not: 784-200-200-[50]."""
    return plan.architecture


def read_result(folder: Path) -> dict[str, Any] | None:
    """What test.json of a run holds, None where there is none that can be read."""
    try:
        found = json.loads(atomic.read_bytes(folder / run_folder.RESULT, LONGEST_RESULT))
    except (FileError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and {"run", "test"} <= found.keys() else None


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write test.json."""
    atomic.write_text(folder / run_folder.RESULT, json.dumps(result, indent=1, allow_nan=False) + "\n")
